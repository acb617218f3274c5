//! Identifiers that are not believed: what becomes of the events that name them, and who is told.

use tasuki_identity::{Blocked, IdentitySettings};
use tasuki_stream::Emitted;
use tasuki_wire::v1::RefusedBecause;

use crate::support::{Behavior, World, event, lead, minute};
use prost::Message;

const ANA: &str = "ana@acme.example";
const ANA_KEY: &str = "e:ana@acme.example";

pub(crate) fn blocking(texts: &[&str]) -> IdentitySettings {
    let blocked: Vec<Blocked> = texts.iter().map(|text| text.parse().unwrap()).collect();
    IdentitySettings { blocked, ..IdentitySettings::default() }
}

fn refused(
    key: &str,
    kind: &str,
    because: RefusedBecause,
    value: &str,
    event: u8,
) -> (tasuki_domain::LeadId, String, RefusedBecause, String, u8) {
    (lead(key), kind.to_owned(), because, value.to_owned(), event)
}

#[test]
fn a_blocked_user_id_joins_nobody_and_each_lead_is_told_once() {
    let mut world = World::new(blocking(&["user:shop-*"]));
    world.arrive([
        event(1, 1).visitor("tablet").user("shop-1").email(ANA),
        event(2, 2).visitor("laptop").user("shop-1").email("ben@gmail.com"),
        event(3, 3).visitor("tablet").user("shop-1"),
        event(4, 4).user("shop-1").email(ANA),
    ]);
    let outcome = world.outcome();
    assert_eq!(outcome[&lead(ANA_KEY)].0, [1, 3, 4].into());
    assert_eq!(outcome[&lead("e:ben@gmail.com")].0, [2].into());
    assert!(outcome[&lead(ANA_KEY)].1.attributes.is_empty(), "the user id is not in the profile");
    let blocked = |key, event| refused(key, "user", RefusedBecause::Blocked, "shop-1", event);
    assert_eq!(world.refusals(), [blocked(ANA_KEY, 1), blocked("e:ben@gmail.com", 2)]);
    assert_eq!(world.pipeline.refused(), []);
}

#[test]
fn an_event_whose_home_is_refused_goes_to_the_next_and_one_that_names_nobody_else_to_the_dead_letters() {
    let mut world = World::new(blocking(&["visitor:kiosk"]));
    let events = [
        event(1, 1).visitor("kiosk").user("4711").email(ANA),
        event(2, 2).visitor("kiosk").email("test@acme.example"),
        event(3, 3).visitor("kiosk").email(ANA),
    ];
    world.arrive(events.clone());
    world.arrive(events);
    world.advance_to(minute(10));
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [1, 3].into());
    assert_eq!(world.outcome().len(), 1);
    assert_eq!(world.refusals(), [refused(ANA_KEY, "visitor", RefusedBecause::Blocked, "kiosk", 1)]);
    let codes: Vec<&str> = world.pipeline.refused().iter().map(|it| it.poison.code).collect();
    assert_eq!(codes, ["no-identifier", "no-identifier"], "each time it came");
    assert!(world.pipeline.states("identity").keys().all(|key| key != "v:kiosk"), "nothing is kept of it");
}

#[test]
fn an_address_of_nobody_is_refused_and_one_of_several_people_only_if_that_is_set() {
    let role = || event(1, 1).visitor("tablet").email("info@acme.example");
    let test = || event(2, 2).visitor("laptop").user("4711").email("noreply@acme.example");
    for refuse_role_addresses in [false, true] {
        let mut world = World::new(IdentitySettings { refuse_role_addresses, ..IdentitySettings::default() });
        world.arrive([role(), test()]);
        world.advance_to(minute(10));
        let outcome = world.outcome();
        assert_eq!(outcome.contains_key(&lead("e:info@acme.example")), !refuse_role_addresses);
        assert_eq!(outcome[&lead("u:4711")].0, [2].into());
        let placeholder = RefusedBecause::Placeholder;
        assert_eq!(world.refusals(), [refused("u:4711", "email", placeholder, "noreply@acme.example", 2)]);
    }
}

#[test]
fn a_toll_free_number_is_nobodys_and_a_number_or_id_in_another_form_is_no_identifier() {
    let mut world = World::new(IdentitySettings::default());
    world.arrive([
        event(1, 1).email(ANA).phone("+81120123456"),
        event(2, 2).phone("+81120123456"),
        event(3, 3).visitor("tablet").email(ANA).phone("03-1234-5678").crm("123"),
    ]);
    let (ids, profile) = world.outcome().remove(&lead(ANA_KEY)).unwrap();
    assert_eq!(ids, [1, 3].into());
    // As earlier releases of ingest wrote them.
    let said = [("crm_id", "123"), ("phone", "03-1234-5678")].map(|(name, it)| (name.to_owned(), it.to_owned(), 3));
    assert_eq!(profile.attributes, said);
    let shared = RefusedBecause::SharedLine;
    assert_eq!(world.refusals(), [refused(ANA_KEY, "phone", shared, "+81120123456", 1)]);
    let codes: Vec<&str> = world.pipeline.refused().iter().map(|it| it.poison.code).collect();
    assert_eq!(codes, ["no-identifier"]);
}

#[test]
fn what_ingest_refused_is_told_too() {
    let mut world = World::new(IdentitySettings::default());
    let mut record = event(1, 1).visitor("tablet").email(ANA).record();
    record.flags = ["bot", "illegal-user-id", "malformed-anonymous-id", "invalid-phone"].map(str::to_owned).into();
    let emitted = event(1, 1).visitor("tablet").emitted();
    world.pipeline.publish(Emitted { payload: record.encode_to_vec(), ..emitted });
    world.pipeline.run();
    let told = |kind, because| refused(ANA_KEY, kind, because, "", 1);
    let invalid = RefusedBecause::Invalid;
    let expected = [told("user", RefusedBecause::Placeholder), told("visitor", invalid), told("phone", invalid)];
    assert_eq!(world.refusals(), expected);
}

#[test]
fn a_lead_has_no_more_identifiers_than_are_allowed_and_says_so() {
    let mut world = World::new(IdentitySettings { identifiers_per_lead: 2, ..IdentitySettings::default() });
    let on = |id: u8, device: &'static str| event(id, i64::from(id)).visitor(device).email(ANA);
    world.arrive([on(1, "a"), on(2, "b"), on(3, "c"), on(4, "d"), on(5, "a"), event(6, 6).email(ANA)]);
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [1, 2, 5].into());
    let too_many = |kind, event| refused(ANA_KEY, kind, RefusedBecause::IdentifiersPerLead, "", event);
    assert_eq!(world.refusals(), [too_many("visitor", 3), too_many("email", 6)]);
}

#[test]
fn a_user_id_with_too_many_visitors_and_a_visitor_with_too_many_people_are_told_to_the_lead() {
    let mut world = World::new(IdentitySettings { visitors_per_user: 1, ..IdentitySettings::default() });
    world.arrive([event(1, 1).visitor("tablet").user("4711"), event(2, 2).visitor("laptop").user("4711")]);
    assert_eq!(world.refusals(), [], "nobody is known yet");
    world.arrive([event(3, 3).user("4711").email(ANA), event(4, 4).visitor("phone").user("4711")]);
    assert_eq!(world.refusals(), [refused(ANA_KEY, "user", RefusedBecause::VisitorsPerUser, "4711", 2)]);

    let settings =
        IdentitySettings { events_per_identifier: 1, identifications_per_visitor: 1, ..IdentitySettings::default() };
    let mut world = World::new(settings);
    let on_tablet = |id: u8, address| event(id, i64::from(id)).visitor("tablet").email(address);
    world.arrive([on_tablet(1, ANA), on_tablet(2, "ben@gmail.com"), on_tablet(3, ANA)]);
    assert_eq!(world.refusals(), [refused(ANA_KEY, "visitor", RefusedBecause::PeoplePerVisitor, "tablet", 1)]);
}

#[test]
fn so_many_refusals_are_told_of_one_lead_and_no_more() {
    const USERS: [&str; 25] = [
        "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
        "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24",
    ];
    let mut world = World::new(blocking(&["user:x*"]));
    let named = |(id, user): (u8, &'static str)| Behavior { user, ..event(id, i64::from(id)).email(ANA) };
    world.arrive((1..).zip(USERS).map(named));
    assert_eq!((world.outcome()[&lead(ANA_KEY)].0.len(), world.refusals().len()), (25, 20));
}
