//! What happens at the bounds: of count, of time, of sense.

use tasuki_domain::Millis;
use tasuki_identity::IdentitySettings;
use tasuki_stream::Emitted;
use tasuki_wire::Topic;

use crate::support::{Behavior, START, World, attributed, event, lead, minute, profile};

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@gmail.com";
const ANA_KEY: &str = "e:ana@acme.example";
const BEN_KEY: &str = "e:ben@gmail.com";

fn world() -> World {
    World::new(IdentitySettings::default())
}

#[test]
fn of_an_unknown_visitor_the_most_recent_events_are_kept() {
    let mut world = World::new(IdentitySettings { events_per_identifier: 2, ..IdentitySettings::default() });
    world.arrive([
        event(2, 2).visitor("tablet"),
        event(3, 3).visitor("tablet"),
        event(1, 1).visitor("tablet"),
        event(4, 4).visitor("tablet").email(ANA),
    ]);
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [2, 3, 4].into());
}

#[test]
fn payloads_that_stand_apart_are_claimed_and_go_with_their_events() {
    // Three go together.
    let bytes_beside_decisions = 2 * event(1, 1).visitor("tablet").emitted().payload.len();
    let settings = IdentitySettings { events_per_identifier: 4, bytes_beside_decisions, ..IdentitySettings::default() };
    let mut world = World::new(settings);
    let bundles = |world: &World| {
        let mut keys: Vec<String> = world.pipeline.states("identity").into_keys().collect();
        keys.retain(|key| key.starts_with("b:v:"));
        keys
    };
    world.arrive((1..=6).map(|n| event(n, i64::from(n)).visitor("tablet")));
    assert_eq!(bundles(&world), ["b:v:tablet/1", "b:v:tablet/2"]);
    world.pipeline.restart();
    world.arrive([event(7, 7).visitor("tablet").user("4711").email(ANA), event(8, 0).user("4711").email(BEN)]);
    let outcome = world.outcome();
    // The third event was displaced by the one that made Ana known: hers, and no longer corrected.
    assert_eq!(outcome[&lead(ANA_KEY)].0, [3].into());
    assert_eq!(outcome[&lead(BEN_KEY)].0, [4, 5, 6, 7, 8].into());
    assert_eq!(bundles(&world), ["b:v:tablet/2"], "the first three events were displaced");
}

#[test]
fn a_visitor_that_stays_unknown_is_forgotten_when_its_time_is_over() {
    let mut world = world();
    world.arrive([event(1, 1).visitor("tablet"), event(2, 3).visitor("tablet")]);
    let over = |at| minute(at) + Millis::from_seconds(30) + Millis::from_days(90);
    world.advance_to(over(1));
    world.arrive([event(3, 4).visitor("laptop")]);
    let keys = |world: &World| world.pipeline.states("identity").into_keys().collect::<Vec<_>>();
    assert_eq!(keys(&world), ["v:laptop", "v:tablet"]);
    world.advance_to(over(3));
    assert_eq!(keys(&world), ["v:laptop"]);
    world.arrive([event(4, 200_000).visitor("laptop").email(ANA)]);
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [3, 4].into());
}

#[test]
fn who_was_identified_is_remembered_when_the_events_are_forgotten() {
    let mut world = world();
    world.arrive([
        event(1, 1).visitor("tablet").email(ANA),
        event(2, 2).visitor("tablet").email(ANA),
        event(3, 3).visitor("tablet").email(ANA),
        event(4, 4).visitor("tablet").user("4712").email(BEN),
    ]);
    world.advance_to(START + Millis::from_days(91));
    world.arrive([event(5, 5).visitor("tablet"), event(6, 2).visitor("tablet")]);
    let outcome = world.outcome();
    assert_eq!(outcome[&lead(ANA_KEY)].0, [1, 2, 3, 6].into());
    assert_eq!(outcome[&lead(BEN_KEY)].0, [4, 5].into());
}

#[test]
fn of_a_device_that_too_many_share_what_was_before_those_remembered_goes_to_nobody() {
    let settings =
        IdentitySettings { events_per_identifier: 1, identifications_per_visitor: 1, ..IdentitySettings::default() };
    let mut world = World::new(settings);
    world.arrive([
        event(1, 1).visitor("tablet").email(ANA),
        event(3, 3).visitor("tablet").email(BEN),
        event(4, 4).visitor("tablet").email(ANA),
        event(2, 2).visitor("tablet"),
    ]);
    let outcome = world.outcome();
    assert_eq!(outcome[&lead(ANA_KEY)].0, [1, 4].into());
    assert_eq!(outcome[&lead(BEN_KEY)].0, [3].into());
}

#[test]
fn visitors_beyond_the_limit_of_a_user_id_are_told_once() {
    let mut world = World::new(IdentitySettings { visitors_per_user: 1, ..IdentitySettings::default() });
    world.arrive([event(1, 1).visitor("tablet").user("4711"), event(2, 2).visitor("laptop").user("4711")]);
    assert_eq!(
        world.trail("u:4711"),
        [attributed(2, 2, "user"), profile("", "", &[("user_id", "4711", 2)])],
        "the second visitor does not wait"
    );
    world.arrive([event(3, 3).user("4711").email(ANA)]);
    let outcome = world.outcome();
    assert_eq!(outcome[&lead(ANA_KEY)].0, [1, 3].into());
    assert_eq!(outcome[&lead("u:4711")].0, [2].into());
}

#[test]
fn of_a_very_active_lead_the_most_recent_events_are_remembered() {
    let mut world =
        World::new(IdentitySettings { events_per_identifier: 1, events_per_lead: 2, ..IdentitySettings::default() });
    world.arrive([event(2, 2).email(ANA), event(3, 3).email(ANA), event(4, 4).email(ANA), event(4, 4).email(ANA)]);
    // Older than all that is remembered: it cannot be told whether it is new.
    world.arrive([event(1, 1).email(ANA), event(2, 2).email(ANA)]);
    assert_eq!(world.outcome()[&lead(ANA_KEY)].0, [2, 3, 4].into());
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let mut world = world();
    let record = |key: &str, behavior: Behavior| Emitted { key: key.to_owned(), ..behavior.emitted() };
    world.pipeline.publish(record("v:other", event(1, 1).visitor("tablet")));
    world.pipeline.publish(record("v:tablet", event(2, 1)));
    world.pipeline.publish(record("v:tablet", event(3, 1).visitor("tablet").email("Ana@acme.example")));
    world.pipeline.publish(record("v:tablet", event(4, 1).visitor("tablet").email("nobody")));
    world.pipeline.publish(Emitted { topic: Topic::Behavior, key: "v:tablet".to_owned(), payload: vec![0xff] });
    world.pipeline.publish(Emitted { topic: Topic::IdentityLinks, key: "u:1".to_owned(), payload: vec![] });
    world.pipeline.run();
    let mut codes: Vec<&str> = world.pipeline.refused().iter().map(|refused| refused.poison.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["invalid-email", "invalid-email", "invalid-head", "no-identifier", "undecodable", "wrong-key"]);
    assert!(world.pipeline.states("identity").is_empty());
}
