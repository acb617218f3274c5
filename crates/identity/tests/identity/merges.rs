//! Merges and splits: compared with a model that looks at all events and all commands at once, and with one person.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tasuki_domain::LeadId;
use tasuki_identity::IdentitySettings;
use tasuki_wire::Topic;

use crate::support::{Behavior, Command, Profile, Seen, World, attributed, event, lead, merge, minute, split};

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@gmail.com";
const EVA: &str = "eva@acme.example";
const ANA_KEY: &str = "e:ana@acme.example";
const BEN_KEY: &str = "e:ben@gmail.com";
const EVA_KEY: &str = "e:eva@acme.example";
/// A user id without an address.
const USER_KEY: &str = "u:4711";
const KEYS: [&str; 4] = [ANA_KEY, BEN_KEY, EVA_KEY, USER_KEY];

type Outcome = BTreeMap<LeadId, (BTreeSet<u8>, Profile)>;

fn world() -> World {
    World::new(IdentitySettings::default())
}

fn ids(outcome: &Outcome, key: &str) -> Vec<u8> {
    outcome.get(&lead(key)).map(|(events, _)| events.iter().copied().collect()).unwrap_or_default()
}

#[test]
fn a_merged_lead_gives_its_events_to_the_one_that_stays_and_a_split_gives_them_back() {
    let mut world = world();
    world.arrive([
        event(1, 1).visitor("tablet").email(ANA).says("title", "CTO"),
        event(2, 2).email(BEN).says("title", "CEO"),
    ]);
    let apart = world.outcome();
    world.say(&merge(100, 10, ANA_KEY, BEN_KEY));
    world.arrive([event(3, 3).email(BEN)]);
    assert_eq!(
        world.trail(ANA_KEY)[2..],
        [
            attributed(2, 2, "email"),
            Seen::Profile(Profile {
                email: ANA.to_owned(),
                account: "acme.example".to_owned(),
                attributes: vec![("title".to_owned(), "CEO".to_owned(), 2)],
                others: vec![BEN.to_owned()],
            }),
            attributed(3, 3, "email"),
        ]
    );
    assert_eq!(world.trail(BEN_KEY)[2..], [Seen::Retracted(2)], "its page still says who that was");
    assert_eq!(
        world.merges(),
        [(lead(ANA_KEY), (None, [lead(BEN_KEY)].into())), (lead(BEN_KEY), (Some(lead(ANA_KEY)), [].into()))].into()
    );
    world.say(&split(101, 11, ANA_KEY, BEN_KEY));
    assert_eq!(world.merges(), [].into());
    assert_eq!(world.trail(BEN_KEY)[3..], [attributed(2, 2, "email"), attributed(3, 3, "email")]);
    let mut after = world.outcome();
    after.get_mut(&lead(BEN_KEY)).unwrap().0.remove(&3);
    assert_eq!(after, apart);
}

#[test]
fn a_lead_without_an_address_takes_that_of_one_that_is_merged_into_it() {
    let mut world = world();
    world.arrive([event(1, 1).user("4711"), event(2, 2).email(BEN), event(3, 3).email(ANA)]);
    world.advance_to(minute(5));
    world.say(&merge(100, 10, USER_KEY, BEN_KEY));
    world.say(&merge(101, 11, USER_KEY, ANA_KEY));
    let (events, profile) = world.outcome().remove(&lead(USER_KEY)).unwrap();
    assert_eq!((events, profile.email.as_str(), profile.others), ([1, 2, 3].into(), ANA, vec![BEN.to_owned()]));
}

#[test]
fn chains_and_rings_of_merges_come_to_the_same_in_every_order() {
    let commands = [
        merge(100, 10, ANA_KEY, BEN_KEY),
        merge(101, 10, BEN_KEY, ANA_KEY),
        merge(102, 12, BEN_KEY, EVA_KEY),
        merge(103, 13, EVA_KEY, ANA_KEY),
    ];
    for first in 0..commands.len() {
        let mut world = world();
        world.arrive([event(1, 1).email(ANA), event(2, 2).email(BEN), event(3, 3).email(EVA)]);
        for step in 0..commands.len() {
            world.say(&commands[(first + step) % commands.len()]);
        }
        let outcome = world.outcome();
        assert_eq!(
            [ids(&outcome, ANA_KEY), ids(&outcome, BEN_KEY), ids(&outcome, EVA_KEY)],
            [vec![1, 2, 3], vec![], vec![]]
        );
    }
}

#[test]
fn a_merge_with_itself_is_refused_visibly_and_a_command_given_twice_counts_once() {
    let mut world = world();
    world.say(&merge(100, 10, ANA_KEY, ANA_KEY));
    world.say(&merge(101, 10, ANA_KEY, BEN_KEY));
    world.say(&merge(101, 10, ANA_KEY, BEN_KEY));
    let told: Vec<tasuki_wire::v1::IdentityRecord> = world.pipeline.messages(Topic::Identities);
    let reasons = told.iter().filter_map(|record| {
        let Some(tasuki_wire::v1::identity_record::Event::CommandRefused(refused)) = &record.event else { return None };
        Some(refused.reason.as_str())
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["a lead is one with itself, and cannot be split from itself"]);
    assert_eq!(told.len(), 3);
}

#[test]
fn more_merges_than_are_kept_are_refused() {
    let mut world = World::new(IdentitySettings { merges_per_group: 1, ..IdentitySettings::default() });
    world.say(&merge(100, 10, ANA_KEY, BEN_KEY));
    world.say(&merge(101, 11, ANA_KEY, EVA_KEY));
    assert_eq!(world.merges().keys().copied().collect::<BTreeSet<_>>(), [lead(ANA_KEY), lead(BEN_KEY)].into());
}

#[test]
fn what_a_bound_displaced_from_a_profile_while_two_were_one_is_there_again_after_the_split() {
    let mut world = World::new(IdentitySettings { values_per_attribute: 1, ..IdentitySettings::default() });
    world.arrive([event(1, 1).email(ANA).says("title", "CTO"), event(2, 2).email(BEN).says("title", "CEO")]);
    let apart = world.outcome();
    world.say(&merge(100, 10, ANA_KEY, BEN_KEY));
    world.say(&split(101, 11, ANA_KEY, BEN_KEY));
    assert_eq!(world.outcome(), apart);
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(Behavior),
    Say(Command),
    Work,
    Restart,
}

fn behavior(id: u8) -> impl Strategy<Value = Behavior> {
    let visitors = prop::sample::select(&["", "", "tablet", "laptop"][..]);
    let users = prop::sample::select(&["", "", "4711", "4712"][..]);
    let emails = prop::sample::select(&["", ANA, BEN, EVA][..]);
    let says = prop::option::of(prop::sample::select(&[("title", "CTO"), ("title", "CEO"), ("country", "jp")][..]));
    (0_i64..8, visitors, users, emails, says)
        .prop_filter("an event names somebody", |it| (it.1, it.2, it.3) != ("", "", ""))
        .prop_map(move |(at, visitor, user, email, says)| Behavior {
            says: says.into_iter().collect(),
            ..event(id, at).visitor(visitor).user(user).email(email)
        })
}

fn command(id: u8) -> impl Strategy<Value = Command> {
    let key = || prop::sample::select(&KEYS[..]);
    (0_i64..4, prop::bool::weighted(0.7), key(), key()).prop_filter("two leads", |it| it.2 != it.3).prop_map(
        move |(at, is_merge, into, from)| if is_merge { merge(id, at, into, from) } else { split(id, at, into, from) },
    )
}

fn behaviors() -> impl Strategy<Value = Vec<Behavior>> {
    (1_u8..10).prop_flat_map(|count| (1..=count).map(behavior).collect::<Vec<_>>())
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    (0_u8..6).prop_flat_map(|count| (100..100 + count).map(command).collect::<Vec<_>>())
}

/// All of them, some twice, in any order, with work in between.
fn runs() -> impl Strategy<Value = (Vec<Behavior>, Vec<Command>, Vec<Step>)> {
    (behaviors(), commands()).prop_flat_map(|(behaviors, commands)| {
        let once: Vec<Step> =
            behaviors.iter().cloned().map(Step::Arrive).chain(commands.iter().cloned().map(Step::Say)).collect();
        let again = prop::collection::vec(prop::sample::select(once.clone()), 0..4);
        let between = prop::collection::vec(prop::sample::select(vec![Step::Work, Step::Work, Step::Restart]), 0..8);
        let steps = (again, between).prop_flat_map(move |(again, between)| {
            Just(once.iter().cloned().chain(again).chain(between).collect::<Vec<_>>()).prop_shuffle()
        });
        (Just(behaviors), Just(commands), steps)
    })
}

fn after(steps: &[Step], bytes_beside_decisions: usize) -> World {
    let settings = IdentitySettings { values_per_attribute: 12, bytes_beside_decisions, ..IdentitySettings::default() };
    let mut world = World::new(settings);
    for step in steps {
        match step {
            Step::Arrive(behavior) => world.pipeline.publish(behavior.emitted()),
            Step::Say(command) => world.pipeline.publish(command.emitted()),
            Step::Work => world.pipeline.run(),
            Step::Restart => world.pipeline.restart(),
        }
    }
    world.advance_to(minute(60 * 24));
    assert_eq!(world.pipeline.refused(), []);
    world
}

/// Who is one with whom, said as plainly as possible: people as trees, owned whole.
mod model {
    use super::*;

    #[derive(Debug)]
    struct Person {
        key: &'static str,
        /// Who was merged into this one, with the keys the merge named.
        within: Vec<(Named, Person)>,
    }

    /// Which merge it was, and the keys it named.
    type Named = (usize, [&'static str; 2]);

    impl Person {
        fn keys(&self) -> Vec<&'static str> {
            let mut keys = vec![self.key];
            keys.extend(self.within.iter().flat_map(|(_, person)| person.keys()));
            keys
        }

        /// Every merge that holds within this one.
        fn merges(&self) -> Vec<Named> {
            self.within.iter().flat_map(|(named, person)| [vec![*named], person.merges()].concat()).collect()
        }

        fn find(&mut self, key: &str) -> Option<&mut Person> {
            if self.key == key {
                return Some(self);
            }
            self.within.iter_mut().find_map(|(_, person)| person.find(key))
        }

        /// Takes the first person out for whom this holds, with whoever is within.
        fn take(&mut self, which: &impl Fn(&Named, &Person) -> bool) -> Option<Person> {
            if let Some(place) = self.within.iter().position(|(named, person)| which(named, person)) {
                return Some(self.within.remove(place).1);
            }
            self.within.iter_mut().find_map(|(_, person)| person.take(which))
        }
    }

    /// The key of the lead that has the events of each, by its key; those not named are on their own.
    pub(super) fn tops(commands: &[Command]) -> BTreeMap<&'static str, &'static str> {
        let mut people: Vec<Person> = KEYS.map(|key| Person { key, within: Vec::new() }).into();
        let mut in_order = commands.to_vec();
        in_order.sort_by_key(|command| (command.minute, command.id));
        for (place, Command { into, from, merge, .. }) in in_order.into_iter().enumerate() {
            let of = |people: &[Person], key| people.iter().position(|person| person.keys().contains(&key)).unwrap();
            let (upper, other) = (of(&people, into), of(&people, from));
            if merge && upper != other {
                let other = people.remove(other);
                let upper = people.iter_mut().find_map(|person| person.find(into)).unwrap();
                upper.within.push(((place, [into, from]), other));
            } else if !merge && upper == other {
                let person = &mut people[upper];
                let both = |named: &&Named| named.1.contains(&into) && named.1.contains(&from);
                let last = person.merges().iter().filter(both).map(|(place, _)| *place).max();
                let contains = person.find(from).unwrap().keys().contains(&into);
                let lower = if contains { into } else { from };
                let out =
                    person.take(&|named, _| Some(named.0) == last).or_else(|| person.take(&|_, it| it.key == lower));
                people.extend(out);
            }
        }
        people.iter().flat_map(|person| person.keys().into_iter().map(|key| (key, person.key))).collect()
    }

    /// What two outcomes of events alone come to when those are one whose keys are.
    pub(super) fn outcome(all: &[Behavior], commands: &[Command]) -> Outcome {
        let tops = tops(commands);
        let owners = crate::model::owners(all);
        let mut merged: BTreeMap<String, Vec<(String, &Behavior)>> = BTreeMap::new();
        for (event, owner) in &owners {
            let top = tops.get(owner.as_str()).map_or(owner.clone(), |top| (*top).to_owned());
            merged.entry(top).or_default().push((owner.clone(), event));
        }
        let mut outcome = Outcome::new();
        for (_, owner) in &owners {
            // Who is merged has a page of its own still, without events.
            let own: Vec<&Behavior> = owners.iter().filter(|(_, it)| it == owner).map(|(it, _)| *it).collect();
            let profile = crate::model::profile(owner, own);
            outcome.entry(lead(owner)).or_insert_with(|| (BTreeSet::new(), profile));
        }
        for (top, events) in merged {
            let mut addresses: BTreeSet<&str> =
                events.iter().filter_map(|(owner, _)| owner.strip_prefix("e:")).collect();
            let own = events.iter().any(|(owner, _)| *owner == top);
            let first = addresses.first().copied().unwrap_or_default().to_owned();
            let email = match top.strip_prefix("e:") {
                Some(address) if own => address.to_owned(),
                Some(_) | None => first,
            };
            addresses.remove(email.as_str());
            let key = if email.is_empty() { "u:".to_owned() } else { format!("e:{email}") };
            let mut profile = crate::model::profile(&key, events.iter().map(|(_, event)| *event).collect());
            profile.others = addresses.into_iter().map(str::to_owned).collect();
            outcome.insert(lead(&top), (events.iter().map(|(_, event)| event.id).collect(), profile));
        }
        outcome
    }
}

proptest! {
    // 256 cases; PROPTEST_CASES asks for more.
    #[test]
    fn any_order_of_events_and_commands_gives_what_the_sets_of_both_say(
        (behaviors, commands, steps) in runs(),
        bytes_beside_decisions in prop::sample::select(&[0_usize, 100, 4096][..]),
    ) {
        let world = after(&steps, bytes_beside_decisions);
        prop_assert_eq!(world.outcome(), model::outcome(&behaviors, &commands));
        let merged: BTreeMap<LeadId, LeadId> =
            world.merges().into_iter().filter_map(|(lead, (into, _))| Some((lead, into?))).collect();
        let expected = model::tops(&commands).into_iter().filter(|(key, top)| key != top);
        prop_assert_eq!(merged, expected.map(|(key, top)| (lead(key), lead(top))).collect());
    }

    #[test]
    fn a_split_takes_its_merge_back(
        (_, commands, steps) in runs(),
        into in prop::sample::select(&KEYS[..]),
        from in prop::sample::select(&KEYS[..]),
    ) {
        let before = model::tops(&commands);
        prop_assume!(before[into] != before[from]);
        let mut world = after(&steps, 100);
        let (outcome, merges) = (world.outcome(), world.merges());
        world.say(&merge(200, 100, into, from));
        prop_assert!(world.merges() != merges);
        world.say(&split(201, 101, into, from));
        prop_assert_eq!(world.merges(), merges);
        prop_assert_eq!(world.outcome(), outcome);
    }
}

#[test]
fn the_cases_reach_what_they_are_for() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut chains, mut splits, mut moved) = (0, 0, 0);
    for _ in 0..256 {
        let (behaviors, commands) = (behaviors(), commands()).new_tree(&mut runner).unwrap().current();
        let tops = model::tops(&commands);
        let merged = tops.iter().filter(|(key, top)| key != top).count();
        chains += usize::from(merged > 1);
        let merges: Vec<Command> = commands.iter().filter(|command| command.merge).cloned().collect();
        splits += usize::from(model::tops(&merges) != tops);
        moved += usize::from(model::outcome(&behaviors, &commands) != model::outcome(&behaviors, &[]));
    }
    assert!(chains > 50 && splits > 20 && moved > 60, "{chains} {splits} {moved}");
}
