//! What leads hear of their account where routes ask for it: the greatest numbers reached that the routes compare with, told
//! only when that changes, and in the end the same whatever came first.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::world::{NOW, World, lead};
use common::{DAY, head};
use proptest::prelude::*;
use prost::Message;
use tasuki_domain::{LeadId, Timestamp};
use tasuki_playbook::Playbook;
use tasuki_scoring::MOST_LEADS;
use tasuki_stream::Emitted;
use tasuki_wire::v1::ScoredBecause;
use tasuki_wire::v1::account_record::Event;
use tasuki_wire::{Topic, v1};
use uuid::Uuid;

/// The built-in playbook, with a route that asks for accounts: 8 points make an engaged person, and more than 60 no account
/// has.
fn asking(version: u32, condition: &str) -> String {
    let text = Playbook::DEFAULT.replace("engaged_from = 20\ncap = 300", "engaged_from = 8\ncap = 60");
    let text = text.replacen("version = 1", &format!("version = {version}"), 1);
    let route = format!(
        "[[routes]]\nname = \"committee\"\nwhen = '{condition}'\nurgency = \"high\"\npool = \"p\"\n\n[[routes]]"
    );
    text.replacen("[[routes]]", &route, 1)
}

const DEPARTMENTS: &str = "account.departments >= 3 && engagement >= 5";

fn world(condition: &str) -> World {
    World::new(Playbook::parse(&asking(1, condition)).unwrap())
}

/// What its last score says of the account of a lead.
fn fact(world: &World, number: u8, name: &str) -> Option<i64> {
    let scored = world.scores().remove(&lead(number))?;
    scored.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value)
}

fn departments(world: &mut World, numbers: std::ops::RangeInclusive<u8>) -> Vec<i64> {
    world.pipeline.run();
    assert_eq!(world.pipeline.refused(), []);
    numbers.map(|number| fact(world, number, "account.departments").expect("routes ask for it")).collect()
}

/// How often leads were told something.
fn tellings(world: &mut World) -> usize {
    world.pipeline.run();
    world.pipeline.records(Topic::AccountLinks).count()
}

/// Three people of three departments, and a fourth who has done nothing.
fn committee() -> World {
    let mut world = world(DEPARTMENTS);
    for (number, department) in [(1, "Production"), (2, "Purchasing"), (3, "Quality"), (4, "Sales")] {
        world.is(number, "acme.example", department, NOW);
    }
    (1..=3).for_each(|number| {
        world.sends(number, "newsletter", NOW);
    });
    world
}

#[test]
fn everybody_of_an_account_hears_when_it_reaches_a_number_that_a_route_asks_about() {
    let mut world = committee();
    assert_eq!(departments(&mut world, 1..=4), [3, 3, 3, 3]);
    assert_eq!(tellings(&mut world), 4, "nobody was told of one department, or of two");
    let told = world.scores().remove(&lead(4)).unwrap();
    assert_eq!((told.because(), told.engagement_mp, told.as_of_ms), (ScoredBecause::Account, 0, NOW));
    // Who belongs to another account, or to none, hears nothing.
    world.is(5, "other.example", "Sales", NOW);
    world.is(6, "", "Sales", NOW);
    assert_eq!(departments(&mut world, 5..=6), [0, 0]);
}

#[test]
fn what_makes_no_difference_to_a_route_is_not_told() {
    let mut world = committee();
    let scores = |world: &World| world.pipeline.records(Topic::Scores).count();
    let (before, told) = (tellings(&mut world), scores(&world));
    for minute in 1..=20 {
        world.sends(1, "newsletter", NOW + minute * 60_000);
        world.sends(4, "newsletter", NOW + minute * 60_000);
    }
    assert_eq!(tellings(&mut world), before, "a fourth department, and a lot of engagement");
    assert_eq!(scores(&world), told + 40, "one for each form, and none besides");
}

#[test]
fn who_comes_into_an_account_hears_what_it_has_and_who_goes_takes_it_back() {
    let mut world = committee();
    world.is(5, "acme.example", "IT", NOW + 1);
    assert_eq!(departments(&mut world, 5..=5), [3], "though it has done nothing");
    world.is(3, "other.example", "Quality", NOW + 2);
    assert_eq!(departments(&mut world, 1..=5), [0, 0, 0, 0, 0]);
    world.is(3, "acme.example", "Quality", NOW + 3);
    assert_eq!(departments(&mut world, 1..=5), [3, 3, 3, 3, 3]);
    // What is told to who has left is not heard.
    world.is(1, "", "Production", NOW + 4);
    world.sends(5, "newsletter", NOW + 4);
    assert_eq!(departments(&mut world, 1..=5), [0, 3, 3, 3, 3]);
}

#[test]
fn who_loses_its_signals_is_missed_by_the_others() {
    let mut world = committee();
    let form = world.sends(4, "newsletter", NOW);
    let mut three = world.sends(3, "newsletter", NOW);
    assert_eq!(departments(&mut world, 1..=4), [3, 3, 3, 3]);
    world.takes_back(3, three, NOW + 1);
    assert_eq!(departments(&mut world, 1..=4), [3, 3, 3, 3], "there is a fourth");
    world.takes_back(4, form, NOW + 2);
    three = world.sends(1, "newsletter", NOW + 3);
    assert_eq!(departments(&mut world, 1..=4), [3, 3, 3, 3], "three is still engaged by its first form");
    world.takes_back(1, three, NOW + 4);
    world.is(2, "acme.example", "production", NOW + 5);
    assert_eq!(departments(&mut world, 1..=4), [0, 0, 0, 0], "two departments are left");
}

#[test]
fn time_alone_takes_an_account_below_and_no_lead_shows_again_what_time_has_taken() {
    let mut world = world("account.people >= 2 && engagement >= 5");
    for (number, at) in [(1, NOW), (2, NOW), (3, NOW + 6 * DAY)] {
        world.is(number, "acme.example", "", NOW);
        world.pipeline.advance_to(Timestamp::from_millis(at));
        world.sends(number, "newsletter", at);
    }
    let people = |world: &World| [1, 2, 3].map(|number| fact(world, number, "account.people").unwrap());
    world.pipeline.run();
    assert_eq!(people(&world), [2, 2, 2]);
    // 10 points, half of them left after 30 days: below 8 after not quite ten days, and below 5 after thirty.
    world.pipeline.advance_to(Timestamp::from_millis(NOW + 11 * DAY));
    assert_eq!(people(&world), [0, 0, 0]);
    world.pipeline.advance_to(Timestamp::from_millis(NOW + 31 * DAY));
    let low = world.scores()[&lead(1)].clone();
    assert!(low.engagement_mp < 5_000, "{}", low.engagement_mp);
    for number in [2, 3] {
        world.sends(number, "demo-request", NOW + 31 * DAY);
    }
    world.pipeline.run();
    let scored = world.scores()[&lead(1)].clone();
    assert_eq!((fact(&world, 1, "account.people"), scored.because()), (Some(2), ScoredBecause::Account));
    assert_eq!((scored.engagement_mp, scored.as_of_ms), (low.engagement_mp, low.as_of_ms));
    let mut last = world.pipeline.messages::<v1::ScoreRecord>(Topic::Scores).into_iter();
    let last = last.rfind(|record| record.meta.as_ref().unwrap().lead_id == lead(1).as_bytes()).unwrap();
    assert_eq!(last.meta.unwrap().occurred_at_ms, NOW + 31 * DAY, "what follows from it does not hold from before");
}

#[test]
fn engagement_is_told_at_its_numbers_and_within_the_cap() {
    let mut world = world("account.engagement > 40 && engagement >= 5 || account.engagement >= 60 && fit >= 90");
    world.is(1, "acme.example", "", NOW);
    world.is(2, "acme.example", "", NOW);
    let engagement = |world: &mut World| {
        world.pipeline.run();
        fact(world, 2, "account.engagement_mp").unwrap()
    };
    world.sends(1, "demo-request", NOW);
    assert_eq!(engagement(&mut world), 0, "40 are not more than 40");
    world.sends(2, "newsletter", NOW);
    assert_eq!(engagement(&mut world), 40_001, "50 are");
    world.sends(2, "demo-request", NOW);
    assert_eq!(engagement(&mut world), 60_000);
    assert_eq!(tellings(&mut world), 4);
}

#[test]
fn a_playbook_that_begins_or_ceases_to_ask_is_heard_by_every_lead() {
    let mut world =
        World::new(Playbook::parse(&Playbook::DEFAULT.replace("engaged_from = 20", "engaged_from = 8")).unwrap());
    for (number, department) in [(1, "Production"), (2, "Purchasing"), (3, "Quality"), (4, "Sales")] {
        world.is(number, "acme.example", department, NOW);
        if number < 4 {
            world.sends(number, "newsletter", NOW);
        }
    }
    assert_eq!(tellings(&mut world), 0);
    assert_eq!(fact(&world, 1, "account.departments"), None);
    let of = |world: &mut World, name: &str| {
        world.pipeline.run();
        [1, 2, 3, 4].map(|number| fact(world, number, name))
    };
    world.publish(&asking(2, DEPARTMENTS), 2, NOW + 10);
    assert_eq!(of(&mut world, "account.departments"), [Some(3); 4]);
    // Other numbers, and another measure.
    world.publish(&asking(3, "account.departments >= 2 && account.people >= 3 && fit >= 5"), 3, NOW + 20);
    assert_eq!(of(&mut world, "account.departments"), [Some(2); 4]);
    assert_eq!(of(&mut world, "account.people"), [Some(3); 4]);
    world.publish(&asking(4, "engagement >= 90"), 4, NOW + 30);
    assert_eq!(of(&mut world, "account.departments"), [None; 4]);
    let before = tellings(&mut world);
    world.sends(4, "newsletter", NOW + 31);
    assert_eq!(tellings(&mut world), before, "nobody is told what nobody asks");
    world.publish(&asking(5, "account.departments >= 4 && fit >= 5"), 5, NOW + 40);
    assert_eq!(of(&mut world, "account.departments"), [Some(4); 4]);
}

#[test]
fn of_a_full_account_who_only_hears_makes_room_for_who_adds_something() {
    let mut world = world("account.people >= 2");
    let joins = |world: &mut World, number: u128, engaged: bool| {
        let id = LeadId::new(Uuid::from_u128(1 << 64 | number));
        let (engagement_mp, as_of_ms) = if engaged { (20_000, NOW) } else { (0, 0) };
        let contributed = v1::LeadContributed {
            score_version: 1,
            engaged,
            engagement_mp,
            as_of_ms,
            hears: true,
            ..Default::default()
        };
        let meta = Some(head(id, 2 << 64 | number, NOW, 0).to_meta());
        let record = v1::AccountRecord { meta, event: Some(Event::Contributed(contributed)) };
        let payload = record.encode_to_vec();
        world.pipeline.publish(Emitted { topic: Topic::Accounts, key: "acme.example".into(), payload });
    };
    let most = u128::try_from(MOST_LEADS).unwrap();
    (0..most).for_each(|number| joins(&mut world, number, number < 1));
    assert_eq!(world.account("acme.example").1, 1);
    assert_eq!(tellings(&mut world), 0);
    joins(&mut world, most, false);
    joins(&mut world, most + 1, true);
    assert_eq!(world.account("acme.example").1, 2);
    assert_eq!(tellings(&mut world), MOST_LEADS);
    let told: Vec<_> = world.pipeline.records(Topic::AccountLinks).map(|record| record.key.clone()).collect();
    let id = |number: u128| LeadId::new(Uuid::from_u128(1 << 64 | number)).to_string().into_bytes();
    assert!(!told.contains(&id(most)), "there was no room for one more who only hears");
    assert!(told.contains(&id(most + 1)) && told.contains(&id(0)) && !told.contains(&id(1)));
}

/// What the accounts tell a lead of three numbers, as records that may come in any order.
fn told(account: &str, version: u64, departments: u32) -> Emitted {
    let told = v1::AccountTold { account_id: account.into(), version, departments, ..Default::default() };
    let link = Some(v1::account_link_record::Link::AccountTold(told));
    let meta = Some(head(lead(1), 3 << 64 | u128::from(version) << 8 | u128::from(departments), NOW, 0).to_meta());
    let payload = v1::AccountLinkRecord { meta, link }.encode_to_vec();
    Emitted { topic: Topic::AccountLinks, key: lead(1).to_string(), payload }
}

proptest! {
    #[test]
    fn of_all_that_an_account_tells_the_latest_word_counts_in_any_order(
        arrivals in Just(vec![1_u64, 2, 3, 4, 5, 6, 2, 5]).prop_shuffle(), elsewhere in 0_usize..8,
    ) {
        let mut world = world(DEPARTMENTS);
        world.is(1, "acme.example", "", NOW);
        world.pipeline.run();
        for (place, version) in arrivals.into_iter().enumerate() {
            world.pipeline.publish(told("acme.example", version, if version % 2 == 0 { 0 } else { 3 }));
            if place == elsewhere {
                world.pipeline.publish(told("other.example", 99, 3));
            }
        }
        prop_assert_eq!(departments(&mut world, 1..=1), [0], "the sixth word");
        world.pipeline.publish(told("acme.example", 7, 3));
        prop_assert_eq!(departments(&mut world, 1..=1), [3]);
    }
}

/// One thing that happens to a lead.
#[derive(Clone, Debug)]
enum Step {
    Is(u8, &'static str, &'static str),
    Sends(u8, &'static str),
    TakesBack(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let account = prop::sample::select(vec!["", "a.example", "a.example", "b.example"]);
    let department = prop::sample::select(vec!["", "IT", "it", "Sales", "Quality"]);
    let form = prop::sample::select(vec!["newsletter", "demo-request", "trial"]);
    let step = prop_oneof![
        3 => (0_u8..5, account, department).prop_map(|(number, account, of)| Step::Is(number, account, of)),
        4 => (0_u8..5, form).prop_map(|(number, form)| Step::Sends(number, form)),
        1 => (0_u8..5).prop_map(Step::TakesBack),
    ];
    prop::collection::vec(step, 1..40)
}

const ASKED: &str =
    "account.departments >= 2 && fit >= 5 || account.people > 2 && account.engagement >= 40 && fit >= 5";

/// What leads do, each its own in this order; all of one lead are received at instants of its own.
fn live(steps: &[Step], publishes: Option<usize>) -> World {
    let start = if publishes.is_some() { asking(1, "account.people >= 4 && fit >= 9") } else { asking(2, ASKED) };
    let mut world = World::new(Playbook::parse(&start).unwrap());
    let (mut sent, mut own) = (BTreeMap::<u8, Vec<Vec<u8>>>::new(), BTreeMap::<u8, i64>::new());
    for (place, step) in steps.iter().enumerate() {
        if publishes == Some(place) {
            world.publish(&asking(2, ASKED), 2, NOW);
        }
        let (Step::Is(number, ..) | Step::Sends(number, _) | Step::TakesBack(number)) = step;
        let later = own.entry(*number).or_default();
        *later += 1;
        let at = NOW + *later * 60_000 + i64::from(*number);
        match step {
            Step::Is(number, account, department) => world.is(*number, account, department, at),
            Step::Sends(number, form) => {
                let id = world.sends_as(*number, u128::from(*number) << 32 | u128::try_from(*later).unwrap(), form, at);
                sent.entry(*number).or_default().push(id);
            }
            Step::TakesBack(number) => {
                if let Some(id) = sent.entry(*number).or_default().pop() {
                    world.takes_back(*number, id, at);
                }
            }
        }
        if place % 3 == 0 {
            world.pipeline.run();
        }
    }
    if publishes.is_some_and(|at| at >= steps.len()) {
        world.publish(&asking(2, ASKED), 2, NOW);
    }
    world.pipeline.run();
    assert_eq!(world.pipeline.refused(), []);
    world
}

/// The last score of each lead, but for what made it; and of whom nothing is left, but for as of when: that is the receipt of
/// what took the last of it, or a publication after that.
fn last(world: &World) -> BTreeMap<LeadId, v1::LeadScored> {
    let made = |scored: v1::LeadScored| {
        let nothing_left = scored.signals == 0 && scored.profile.is_none();
        let as_of_ms = if nothing_left { 0 } else { scored.as_of_ms };
        v1::LeadScored { because: 0, as_of_ms, ..scored }
    };
    world.scores().into_iter().map(|(lead, scored)| (lead, made(scored))).collect()
}

/// By the last score of each lead: what the others of its account come to, and which of the numbers that routes ask about
/// that reaches.
fn by_hand(world: &World) -> BTreeMap<LeadId, Vec<(String, i64)>> {
    let accounts = world.by_scores(&Playbook::parse(&asking(2, ASKED)).unwrap());
    let reached = |value: i64, number: i64| if value >= number { number } else { 0 };
    let facts = |scored: &v1::LeadScored| {
        let account = scored.profile.as_ref().map_or("", |profile| profile.account_id.as_str());
        let (engagement, _, departments, people) = accounts.get(account).cloned().unwrap_or_default();
        vec![
            ("account.departments".to_owned(), reached(i64::try_from(departments.len()).unwrap(), 2)),
            ("account.people".to_owned(), reached(people.into(), 3)),
            ("account.engagement_mp".to_owned(), reached(engagement, 40_000)),
        ]
    };
    world.scores().iter().map(|(lead, scored)| (*lead, facts(scored))).collect()
}

fn as_told(world: &World) -> BTreeMap<LeadId, Vec<(String, i64)>> {
    let of_account = |fact: v1::Fact| fact.name.starts_with("account.").then_some((fact.name, fact.value));
    let scores = world.scores().into_iter();
    scores.map(|(lead, scored)| (lead, scored.facts.into_iter().filter_map(of_account).collect())).collect()
}

/// The same steps, those of each lead in their order, and leads among each other in another.
fn interleaved(steps: &[Step], turns: &[u8]) -> Vec<Step> {
    let number = |step: &Step| {
        let (Step::Is(number, ..) | Step::Sends(number, _) | Step::TakesBack(number)) = step;
        *number
    };
    let mut left = steps.to_vec();
    let mut other = Vec::new();
    for turn in turns.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let whose = number(&left[usize::from(*turn) % left.len()]);
        let next = left.iter().position(|step| number(step) == whose).unwrap();
        other.push(left.remove(next));
    }
    other
}

proptest! {
    // Each is many steps on the log.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 5, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_every_lead_knows_of_its_account_what_all_last_scores_come_to_in_any_order(
        steps in steps(), turns in prop::collection::vec(any::<u8>(), 8), publishes in prop::option::of(0_usize..45),
        rest in 0_i64..60,
    ) {
        let mut world = live(&steps, publishes);
        prop_assert_eq!(as_told(&world), by_hand(&world));
        let mut other = live(&interleaved(&steps, &turns), publishes.map(|at| at / 2));
        prop_assert_eq!(last(&world), last(&other));
        for world in [&mut world, &mut other] {
            world.pipeline.advance_to(Timestamp::from_millis(NOW + rest * DAY));
        }
        prop_assert_eq!(as_told(&world), by_hand(&world));
        prop_assert_eq!(last(&world), last(&other));
    }
}
