//! What becomes of the behavior of real people: one test a situation, the whole trail of the lead compared.

use tasuki_domain::Millis;
use tasuki_identity::IdentitySettings;

use crate::support::{Behavior, Seen, World, attributed, event, lead, minute, profile};

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@gmail.com";
const ANA_KEY: &str = "e:ana@acme.example";
const BEN_KEY: &str = "e:ben@gmail.com";

fn world() -> World {
    World::new(IdentitySettings::default())
}

fn ana_is(attributes: &[(&str, &str, i64)]) -> Seen {
    profile(ANA, "acme.example", attributes)
}

/// Two anonymous pages, then the form with the address.
fn pages_then_form() -> [Behavior; 3] {
    [
        event(1, 1).visitor("tablet"),
        event(2, 2).visitor("tablet"),
        event(3, 3).visitor("tablet").email(ANA).says("title", "VP Sales"),
    ]
}

#[test]
fn anonymous_pages_become_the_leads_with_their_own_times_once_the_visitor_is_identified() {
    let mut world = world();
    let [first, second, form] = pages_then_form();
    world.arrive([first, second]);
    assert!(world.trails().is_empty(), "nobody is known yet");
    world.arrive([form]);
    assert_eq!(
        world.trail(ANA_KEY),
        [
            attributed(1, 1, "anonymous"),
            ana_is(&[]),
            attributed(2, 2, "anonymous"),
            attributed(3, 3, "email"),
            ana_is(&[("title", "VP Sales", 3)]),
        ]
    );
}

#[test]
fn what_an_identified_visitor_does_later_is_attributed_at_once() {
    let mut world = world();
    world.arrive([event(1, 1).visitor("tablet").email(ANA), event(2, 2).visitor("tablet")]);
    assert_eq!(world.trail(ANA_KEY), [attributed(1, 1, "email"), ana_is(&[]), attributed(2, 2, "anonymous")]);
}

#[test]
fn duplicates_change_nothing() {
    let mut world = world();
    let events = pages_then_form();
    world.arrive(events.clone());
    let before = (world.trail(ANA_KEY), world.pipeline.states("identity"));
    world.arrive(events);
    assert_eq!((world.trail(ANA_KEY), world.pipeline.states("identity")), before);
}

#[test]
fn a_user_id_on_another_partition_goes_to_the_lead_of_its_address_without_a_correction() {
    // One batch of a server-side tracker: track names the user only, identify names visitor, user and address.
    let track = event(2, 2).user("4711");
    let identify = event(1, 1).visitor("tablet").user("4711").email(ANA);
    for batch in [[track.clone(), identify.clone()], [identify, track]] {
        let mut world = world();
        world.arrive(batch);
        world.advance_to(minute(60));
        assert_eq!(
            world.trail(ANA_KEY),
            [attributed(1, 1, "user"), ana_is(&[("user_id", "4711", 1)]), attributed(2, 2, "user")]
        );
        assert_eq!(world.trails().len(), 1, "no lead but the one of the address");
    }
}

#[test]
fn a_user_id_without_an_address_becomes_a_lead_of_its_own_after_the_wait() {
    let mut world = world();
    world.arrive([event(1, 1).user("4711").says("title", "CTO")]);
    let received = minute(1) + Millis::from_seconds(30);
    world.advance_to(received + Millis::new(2_999));
    assert!(world.trails().is_empty(), "it still waits");
    world.advance_to(received + Millis::from_seconds(3));
    let findable = profile("", "", &[("title", "CTO", 1), ("user_id", "4711", 1)]);
    assert_eq!(world.trail("u:4711"), [attributed(1, 1, "user"), findable]);
    world.arrive([event(2, 2).user("4711")]);
    assert_eq!(world.trail("u:4711").last(), Some(&attributed(2, 2, "user")), "later events do not wait");
}

#[test]
fn an_address_that_comes_after_the_wait_moves_the_history_to_its_lead() {
    let mut world = world();
    world.arrive([event(1, 1).user("4711").says("title", "CTO"), event(2, 2).visitor("tablet").user("4711")]);
    world.advance_to(minute(10));
    world.arrive([event(3, 11).user("4711").email(ANA)]);
    let mut settled = world.trail("u:4711");
    assert_eq!(
        settled.split_off(settled.len() - 4),
        [Seen::Retracted(1), profile("", "", &[("user_id", "4711", 2)]), Seen::Retracted(2), profile("", "", &[])]
    );
    let (events, profile) = world.outcome().remove(&lead(ANA_KEY)).unwrap();
    assert_eq!(events, [1, 2, 3].into());
    assert_eq!(Seen::Profile(profile), ana_is(&[("title", "CTO", 1), ("user_id", "4711", 1)]));
    assert_eq!(world.outcome().len(), 1, "the lead of the user id has nothing left");
}

#[test]
fn after_a_stop_a_user_id_waits_anew_for_the_link_that_was_under_way() {
    let mut world = world();
    world.advance_to(minute(60));
    world.arrive([event(1, 1).user("4711")]);
    assert!(world.trails().is_empty(), "its time was over long ago, but we were not there");
    world.arrive([event(2, 1).visitor("tablet").user("4711").email(ANA)]);
    world.advance_to(minute(120));
    assert_eq!(world.trails().len(), 1, "no lead but the one of the address");
    world.arrive([event(3, 1).user("4712")]);
    world.advance_to(minute(121));
    assert_eq!(
        world.trail("u:4712"),
        [attributed(3, 1, "user"), profile("", "", &[("user_id", "4712", 1)])],
        "it waits anew once, not for ever"
    );
}

#[test]
fn a_user_id_belongs_to_the_address_of_its_earliest_link() {
    let mut world = world();
    world.arrive([
        event(5, 5).visitor("laptop").user("4711").email(BEN),
        event(6, 6).visitor("laptop"),
        event(1, 1).visitor("tablet").user("4711").email(ANA),
    ]);
    let outcome = world.outcome();
    assert_eq!(outcome.keys().copied().collect::<Vec<_>>(), [lead(ANA_KEY)]);
    assert_eq!(outcome[&lead(ANA_KEY)].0, [1, 5, 6].into());
    assert_eq!(
        world.trail(BEN_KEY),
        [
            attributed(5, 5, "user"),
            profile(BEN, "", &[("user_id", "4711", 5)]),
            attributed(6, 6, "anonymous"),
            Seen::Retracted(5),
            profile(BEN, "", &[]),
            Seen::Retracted(6),
            profile("", "", &[]),
        ]
    );
}

#[test]
fn on_a_shared_device_each_has_what_was_done_from_their_own_identification_on() {
    let mut world = world();
    world.arrive([
        event(1, 1).visitor("tablet"),
        event(2, 2).visitor("tablet").email(ANA),
        event(3, 3).visitor("tablet"),
        event(4, 4).visitor("tablet").email(BEN),
        event(5, 5).visitor("tablet"),
    ]);
    assert_eq!(
        world.trail(ANA_KEY),
        [attributed(1, 1, "anonymous"), ana_is(&[]), attributed(2, 2, "email"), attributed(3, 3, "anonymous")]
    );
    assert_eq!(world.trail(BEN_KEY), [attributed(4, 4, "email"), profile(BEN, "", &[]), attributed(5, 5, "anonymous")]);
}

#[test]
fn an_identification_that_arrives_late_takes_over_what_followed_it() {
    let mut world = world();
    world.arrive([
        event(2, 2).visitor("tablet").email(ANA),
        event(3, 3).visitor("tablet"),
        event(5, 5).visitor("tablet"),
        event(4, 4).visitor("tablet").email(BEN),
    ]);
    let outcome = world.outcome();
    assert_eq!(outcome[&lead(ANA_KEY)].0, [2, 3].into());
    assert_eq!(outcome[&lead(BEN_KEY)].0, [4, 5].into());
    assert_eq!(world.trail(ANA_KEY).last(), Some(&Seen::Retracted(5)));
}

#[test]
fn a_retraction_takes_its_values_away() {
    let mut world = world();
    world.arrive([
        event(1, 1).visitor("tablet").user("4711").email(ANA).says("title", "VP Sales"),
        event(2, 2).user("4712").email(ANA).says("title", "Intern"),
    ]);
    assert_eq!(world.trail(ANA_KEY).last(), Some(&ana_is(&[("title", "Intern", 2), ("user_id", "4712", 2)])));
    // User 4712 turns out to be somebody else.
    world.arrive([event(3, 0).user("4712").email(BEN)]);
    assert_eq!(world.trail(ANA_KEY).last(), Some(&ana_is(&[("title", "VP Sales", 1), ("user_id", "4711", 1)])));
}

#[test]
fn saying_the_same_again_changes_no_profile() {
    let mut world = world();
    let say = |id, minute, title| event(id, minute).email(ANA).says("title", title);
    world.arrive([say(1, 1, "CTO"), say(3, 3, "CTO"), say(2, 2, "CTO"), say(4, 4, "CEO"), say(5, 0, "CFO")]);
    let profiles: Vec<Seen> =
        world.trail(ANA_KEY).into_iter().filter(|seen| matches!(seen, Seen::Profile(_))).collect();
    assert_eq!(profiles, [ana_is(&[("title", "CTO", 1)]), ana_is(&[("title", "CEO", 4)])]);
}

const MOBILE: &str = "+819012345678";

#[test]
fn a_crm_id_is_as_good_as_an_address_and_belongs_to_the_one_named_beside_it() {
    // The CRM system's webhook comes first, then an import says who that is, then a form on the person's device.
    let webhook = event(1, 1).crm("salesforce:003").says("title", "CTO");
    let import = event(2, 2).crm("salesforce:003").email(ANA);
    let form = event(3, 3).visitor("tablet").crm("salesforce:003");
    let page = event(4, 4).visitor("tablet");
    for events in [
        [webhook.clone(), import.clone(), form.clone(), page.clone()],
        [page.clone(), form.clone(), webhook.clone(), import.clone()],
    ] {
        let mut world = world();
        world.arrive(events);
        world.advance_to(minute(10));
        let (ids, profile) = world.outcome().remove(&lead(ANA_KEY)).unwrap();
        assert_eq!(ids, [1, 2, 3, 4].into());
        assert_eq!(Seen::Profile(profile), ana_is(&[("crm_id", "salesforce:003", 1), ("title", "CTO", 1)]));
        assert_eq!(world.outcome().len(), 1);
    }
}

#[test]
fn a_crm_id_without_an_address_is_a_lead_of_its_own_and_that_of_a_user_id_named_beside_it() {
    let mut world = world();
    world.arrive([event(1, 1).crm("hubspot:1"), event(2, 2).user("4711").crm("hubspot:1"), event(3, 3).user("4711")]);
    world.advance_to(minute(10));
    assert_eq!(world.outcome()[&lead("c:hubspot:1")].0, [1, 2, 3].into());
    assert_eq!(world.outcome().len(), 1);
    // An address of the user id counts for more than the CRM id.
    world.arrive([event(4, 12).user("4711").email(ANA)]);
    assert_eq!(world.outcome()[&lead("c:hubspot:1")].0, [1].into());
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [2, 3, 4].into());
}

#[test]
fn a_phone_number_stands_for_the_one_lead_it_was_named_beside() {
    let call = event(1, 1).phone(MOBILE);
    let form = event(2, 2).visitor("tablet").email(ANA).phone(MOBILE);
    for events in [[call.clone(), form.clone()], [form, call]] {
        let mut world = world();
        world.arrive(events);
        world.advance_to(minute(10));
        assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [1, 2].into());
        assert_eq!(world.outcome().len(), 1);
    }
}

#[test]
fn a_switchboard_joins_nobody_and_its_calls_are_a_lead_of_their_own() {
    let mut world = world();
    world.arrive([event(1, 1).phone(MOBILE), event(2, 2).email(ANA).phone(MOBILE)]);
    world.advance_to(minute(10));
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [1, 2].into());
    world.arrive([event(3, 11).email(BEN).phone(MOBILE)]);
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [2].into());
    assert_eq!(world.outcome()[&lead(BEN_KEY)].0, [3].into());
    let of_phone = world.outcome().remove(&lead("p:+819012345678")).unwrap();
    assert_eq!((of_phone.0, of_phone.1.attributes), ([1].into(), vec![("phone".to_owned(), MOBILE.to_owned(), 1)]));
    let told: Vec<_> = world.refusals().into_iter().map(|(who, kind, why, shown, _)| (who, kind, why, shown)).collect();
    let shared = tasuki_wire::v1::RefusedBecause::SharedLine;
    assert_eq!(told, [(lead("p:+819012345678"), "phone".to_owned(), shared, "+81…78".to_owned())]);
}

#[test]
fn a_phone_number_takes_a_device_from_nobody_who_is_known_by_more() {
    let mut world = world();
    world.arrive([
        event(1, 1).visitor("tablet"),
        event(2, 2).visitor("tablet").phone(MOBILE),
        event(3, 3).visitor("tablet").email(ANA),
        event(4, 4).visitor("tablet").phone(MOBILE),
        event(5, 5).visitor("tablet"),
    ]);
    world.advance_to(minute(10));
    assert_eq!(world.outcome()[&lead("p:+819012345678")].0, [1, 2].into());
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [3, 4, 5].into());
}

#[test]
fn phone_numbers_can_be_set_to_stand_for_themselves_or_for_nobody() {
    use tasuki_identity::PhoneNumbers;
    let events = || [event(1, 1).phone(MOBILE), event(2, 2).email(ANA).phone(MOBILE)];
    for (phone_numbers, leads) in [(PhoneNumbers::Alone, 2), (PhoneNumbers::Nobody, 1)] {
        let mut world = World::new(IdentitySettings { phone_numbers, ..IdentitySettings::default() });
        world.arrive(events());
        world.advance_to(minute(10));
        assert_eq!((world.outcome()[&lead(ANA_KEY)].0.clone(), world.outcome().len()), ([2].into(), leads));
        let codes: Vec<&str> = world.pipeline.refused().iter().map(|it| it.poison.code).collect();
        assert_eq!(codes, if leads == 1 { vec!["no-identifier"] } else { vec![] });
    }
}
