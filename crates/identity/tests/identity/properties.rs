//! The outcome is a function of the set of events: compared with a model that looks at the whole set at once.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tasuki_domain::{LeadId, Millis};
use tasuki_identity::IdentitySettings;
use tasuki_wire::Topic;

use crate::guards::blocking;
use crate::model::{self, VISITORS, behaviors};
use crate::support::{Behavior, START, World, lead, minute};

/// What happens in a run.
#[derive(Clone, Debug)]
enum Step {
    Arrive(Behavior),
    /// Everything that can be done is done.
    Work,
    /// Time passes: to so many seconds after the start.
    Until(i64),
}

/// The events, some of them more than once, in any order, with work and time in between.
fn runs() -> impl Strategy<Value = (Vec<Behavior>, Vec<Step>)> {
    behaviors().prop_flat_map(|behaviors| {
        let again = prop::collection::vec(prop::sample::select(behaviors.clone()), 0..4);
        let idle = prop::collection::vec(prop_oneof![Just(Step::Work), (0_i64..600).prop_map(Step::Until)], 0..8);
        let steps = (again, idle).prop_flat_map({
            let behaviors = behaviors.clone();
            move |(again, idle)| {
                let arrivals = behaviors.iter().cloned().chain(again).map(Step::Arrive);
                Just(arrivals.chain(idle).collect::<Vec<_>>()).prop_shuffle()
            }
        });
        (Just(behaviors), steps)
    })
}

/// The world after all that, payloads beyond so many bytes apart from the state of their home.
fn world_after(steps: &[Step], bytes_beside_decisions: usize) -> World {
    // Each event may say another user id: with fewer values the model would have to know of this bound.
    let settings = IdentitySettings { bytes_beside_decisions, values_per_attribute: 12, ..IdentitySettings::default() };
    let world = world_by(steps, settings);
    assert_eq!(world.pipeline.refused(), []);
    world
}

/// The world after all that, by these settings.
fn world_by(steps: &[Step], settings: IdentitySettings) -> World {
    let mut world = World::new(settings);
    let mut now = START;
    for step in steps {
        match step {
            Step::Arrive(behavior) => world.pipeline.publish(behavior.emitted()),
            Step::Work => world.pipeline.run(),
            Step::Until(seconds) => {
                now = now.max(START + Millis::from_seconds(*seconds));
                world.advance_to(now);
            }
        }
    }
    world.advance_to(minute(60 * 24));
    world
}

/// Bundles of homes; those of leads stay as long as the lead has their events.
fn bundles(world: &World) -> usize {
    let states = world.pipeline.states("identity");
    states.keys().filter(|key| key.starts_with("b:") && !key.starts_with("b:l:")).count()
}

/// The events as they are without what is refused; those that name nobody else are gone.
fn without_refused(behaviors: &[Behavior]) -> Vec<Behavior> {
    let believed = behaviors.iter().cloned().map(|mut it| {
        it.visitor = if it.visitor == "phone" { "" } else { it.visitor };
        it.user = if it.user == "4712" { "" } else { it.user };
        it.email = if it.email == "eva@acme.example" { "" } else { it.email };
        it.crm = if it.crm == "hubspot:2" { "" } else { it.crm };
        it.phone = if it.phone == "+81312345678" { "" } else { it.phone };
        it
    });
    believed.filter(|it| (it.visitor, it.user, it.crm, it.email, it.phone) != ("", "", "", "", "")).collect()
}

proptest! {
    #[test]
    fn identifiers_that_are_refused_are_as_if_nobody_had_named_them((behaviors, steps) in runs()) {
        let settings = blocking(&["visitor:phone", "user:4712", "email:eva@*", "crm:hubspot:2", "phone:+813*"]);
        let world = world_by(&steps, IdentitySettings { values_per_attribute: 12, ..settings });
        let dead = world.pipeline.refused();
        prop_assert!(dead.iter().all(|it| it.poison.code == "no-identifier"));
        let believed = without_refused(&behaviors);
        prop_assert!(dead.len() >= behaviors.len() - believed.len());
        prop_assert_eq!(world.outcome(), model::outcome(&believed));
        // Everybody whose events named something that was refused is told.
        let mut told: BTreeSet<LeadId> = world.refusals().into_iter().map(|it| it.0).collect();
        for (event, key) in model::owners(&believed) {
            let named = behaviors.iter().find(|it| it.id == event.id).unwrap();
            if named != event {
                prop_assert!(told.contains(&lead(&key)) , "{}", key);
            }
        }
        told.retain(|it| world.trails().contains_key(it));
        prop_assert_eq!(told.len(), world.refusals().into_iter().map(|it| it.0).collect::<BTreeSet<_>>().len());
    }
}

proptest! {
    // 256 cases; PROPTEST_CASES asks for more.
    #[test]
    fn any_order_with_any_repetition_gives_what_the_set_of_events_says((behaviors, steps) in runs()) {
        let world = world_after(&steps, IdentitySettings::default().bytes_beside_decisions);
        prop_assert_eq!(world.outcome(), model::outcome(&behaviors));
    }

    #[test]
    fn where_payloads_are_kept_changes_nothing_that_is_sent((_, steps) in runs(), bytes in 0_usize..400) {
        let mut apart = world_after(&steps, bytes);
        let together = world_after(&steps, usize::MAX);
        for topic in [Topic::IdentityLinks, Topic::Activity] {
            prop_assert!(apart.pipeline.records(topic).eq(together.pipeline.records(topic)), "{:?}", topic);
        }
        prop_assert_eq!(bundles(&together), 0);
        // Payloads go when the time of their events is over, not later.
        apart.advance_to(START + Millis::from_days(91));
        prop_assert_eq!(bundles(&apart), 0);
    }
}

#[test]
fn the_cases_reach_what_they_are_for() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut shared, mut unknown, mut without_address) = (0, 0, 0);
    let (mut by_crm, mut by_phone, mut for_others) = (0, 0, 0);
    for _ in 0..256 {
        let behaviors = behaviors().new_tree(&mut runner).unwrap().current();
        let outcome = model::outcome(&behaviors);
        let owners = |visitor: &str| {
            let on_device = behaviors.iter().filter(|it| it.visitor == visitor && !visitor.is_empty());
            let ids: BTreeSet<u8> = on_device.map(|it| it.id).collect();
            outcome.values().filter(|(events, _)| !events.is_disjoint(&ids)).count()
        };
        shared += usize::from(VISITORS.iter().any(|visitor| owners(visitor) > 1));
        unknown += usize::from(outcome.values().map(|(events, _)| events.len()).sum::<usize>() < behaviors.len());
        let known = model::owners(&behaviors);
        by_crm += usize::from(known.iter().any(|(_, lead)| lead.starts_with("c:")));
        by_phone += usize::from(known.iter().any(|(_, lead)| lead.starts_with("p:")));
        let only_phone = |it: &Behavior| (it.visitor, it.user, it.crm, it.email) == ("", "", "", "");
        for_others += usize::from(known.iter().any(|(it, lead)| only_phone(it) && !lead.starts_with("p:")));
        without_address += usize::from(outcome.values().any(|(_, profile)| profile.email.is_empty()));
    }
    assert!(shared > 50 && unknown > 10 && without_address > 20, "{shared} {unknown} {without_address}");
    assert!(by_crm > 20 && by_phone > 10 && for_others > 5, "{by_crm} {by_phone} {for_others}");
}
