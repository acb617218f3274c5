//! What leads add up to for their accounts.

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
use tasuki_wire::v1::account_record::Event;
use tasuki_wire::{Topic, v1};
use uuid::Uuid;

/// The playbook of a company where few points make an engaged person, and two of them reach the cap.
fn playbook() -> Playbook {
    let text = Playbook::DEFAULT.replace("engaged_from = 20\ncap = 300", "engaged_from = 8\ncap = 60");
    Playbook::parse(&text).unwrap()
}

#[test]
fn an_account_has_the_engagement_of_its_engaged_people_and_their_departments() {
    let mut world = World::new(Playbook::built_in());
    world.is(1, "acme.example", "Sales", NOW);
    world.is(2, "acme.example", " ＩＴ ", NOW);
    world.is(3, "acme.example", "sales", NOW);
    world.is(4, "other.example", "Sales", NOW);
    assert_eq!(world.accounts(), BTreeMap::new(), "nobody is engaged");
    for number in 1..=4 {
        world.sends(number, "demo-request", NOW);
    }
    world.sends(5, "demo-request", NOW);
    let departments = vec![("Sales".to_owned(), 2), ("IT".to_owned(), 1)];
    assert_eq!(world.account("acme.example"), (120_000, 3, departments));
    assert_eq!(world.account("other.example"), (40_000, 1, vec![("Sales".to_owned(), 1)]));
    assert_eq!(world.accounts().len(), 2, "a lead without an account adds to none");
}

#[test]
fn an_account_never_has_more_than_its_cap_and_says_what_there_would_be() {
    let mut world = World::new(playbook());
    for number in 1..=2 {
        world.is(number, "acme.example", "", NOW);
        world.sends(number, "demo-request", NOW);
    }
    let engaged = world.accounts().remove("acme.example").unwrap();
    assert_eq!((engaged.engagement_mp, engaged.sum_mp, engaged.people), (60_000, 80_000, 2));
    assert_eq!((engaged.playbook_version, engaged.as_of_ms, engaged.departments), (1, NOW, vec![]));
}

#[test]
fn a_lead_that_changes_its_account_takes_with_it_what_it_added() {
    let mut world = World::new(Playbook::built_in());
    world.is(1, "acme.example", "Sales", NOW);
    world.sends(1, "demo-request", NOW);
    assert_eq!(world.account("acme.example").1, 1);
    world.is(1, "group:new", "Sales", NOW + 1);
    assert_eq!(world.account("acme.example"), (0, 0, vec![]));
    assert_eq!(world.account("group:new"), (40_000, 1, vec![("Sales".to_owned(), 1)]));
    world.is(1, "", "Sales", NOW + 2);
    assert_eq!(world.account("group:new"), (0, 0, vec![]));
}

#[test]
fn a_lead_that_loses_its_signals_takes_back_what_it_added() {
    let mut world = World::new(Playbook::built_in());
    world.is(1, "acme.example", "Sales", NOW);
    let demo = world.sends(1, "demo-request", NOW);
    assert_eq!(world.account("acme.example").1, 1);
    world.takes_back(1, demo, NOW + 1);
    assert_eq!(world.account("acme.example"), (0, 0, vec![]));
}

#[test]
fn time_alone_takes_a_lead_below_and_out_of_its_account() {
    let mut world = World::new(Playbook::built_in());
    world.is(1, "acme.example", "Sales", NOW);
    world.is(2, "acme.example", "IT", NOW);
    world.sends(1, "demo-request", NOW);
    world.sends(2, "demo-request", NOW + 20 * DAY);
    world.pipeline.advance_to(Timestamp::from_millis(NOW + 20 * DAY));
    assert_eq!(world.account("acme.example").1, 2);
    // 40 points, half of them left after 30 days: below 20 soon after.
    world.pipeline.advance_to(Timestamp::from_millis(NOW + 31 * DAY));
    let engaged = world.accounts().remove("acme.example").unwrap();
    assert_eq!((engaged.people, engaged.departments[0].name.as_str()), (1, "IT"));
    world.pipeline.advance_to(Timestamp::from_millis(NOW + 60 * DAY));
    assert_eq!(world.account("acme.example"), (0, 0, vec![]));
}

#[test]
fn another_playbook_counts_and_caps_every_account_anew() {
    let mut world = World::new(Playbook::built_in());
    for number in 1..=6 {
        world.is(number, &format!("a{}.example", number % 2), "", NOW);
        world.sends(number, if number < 3 { "newsletter" } else { "demo-request" }, NOW);
    }
    assert_eq!([world.account("a0.example"), world.account("a1.example")], [(80_000, 2, vec![]), (80_000, 2, vec![])]);
    world.publish(&playbook().text().replace("version = 1", "version = 2"), 2, NOW + 5);
    for account in ["a0.example", "a1.example"] {
        let engaged = world.accounts().remove(account).unwrap();
        assert_eq!((engaged.playbook_version, engaged.engagement_mp, engaged.people), (2, 60_000, 3), "{account}");
        assert_eq!(engaged.sum_mp, 90_000);
        assert_eq!(engaged.as_of_ms, NOW + 5);
    }
}

/// What a lead adds by its score of this version.
#[derive(Clone, Debug)]
struct Adds {
    lead: u8,
    version: u64,
    points: i64,
    department: &'static str,
}

fn contributed(adds: &Adds) -> Emitted {
    let Adds { lead: number, version, points, department } = adds;
    let as_of = NOW + i64::try_from(*version).unwrap();
    let contributed = v1::LeadContributed {
        score_version: *version,
        playbook_version: 1,
        engaged: *points > 0,
        engagement_mp: *points,
        department: if *points > 0 { (*department).to_owned() } else { String::new() },
        as_of_ms: as_of,
        hears: false,
    };
    let id = u128::from(*number) << 32 | u128::from(*version);
    let record = v1::AccountRecord {
        meta: Some(head(lead(*number), id, as_of, 0).to_meta()),
        event: Some(Event::Contributed(contributed)),
    };
    Emitted { topic: Topic::Accounts, key: "acme.example".into(), payload: record.encode_to_vec() }
}

fn adds() -> impl Strategy<Value = Vec<Adds>> {
    let departments = prop::sample::select(vec!["", "Sales", "SALES", "情報システム部", "IT"]);
    let one = (0_u8..6, 1_u64..9, prop_oneof![Just(0), 8_000_i64..100_000], departments);
    let of = |all: Vec<(u8, u64, i64, &'static str)>| {
        // One score has one version.
        let unique: BTreeMap<_, _> =
            all.into_iter().map(|(lead, version, points, d)| ((lead, version), (points, d))).collect();
        let adds = unique.into_iter();
        adds.map(|((lead, version), (points, department))| Adds { lead, version, points, department }).collect()
    };
    prop::collection::vec(one, 1..24).prop_map(of)
}

/// What they come to: of each lead, that of the highest version.
fn slowly(all: &[Adds], cap: i64) -> v1::AccountEngaged {
    let latest = |adds: &&Adds| !all.iter().any(|other| other.lead == adds.lead && other.version > adds.version);
    let latest: Vec<&Adds> = all.iter().filter(latest).collect();
    let engaged: Vec<&&Adds> = latest.iter().filter(|adds| adds.points > 0).collect();
    let sum_mp = engaged.iter().map(|adds| adds.points).sum::<i64>();
    let mut names: Vec<&str> = engaged.iter().map(|adds| adds.department).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup_by_key(|name| name.to_lowercase());
    let of = |name: &str| engaged.iter().filter(|adds| adds.department.to_lowercase() == name.to_lowercase()).count();
    let mut departments: Vec<_> = (names.iter())
        .map(|name| v1::EngagedDepartment { name: (*name).to_owned(), people: u32::try_from(of(name)).unwrap() })
        .collect();
    departments.sort_by_key(|department| std::cmp::Reverse(department.people));
    v1::AccountEngaged {
        playbook_version: 1,
        as_of_ms: NOW + latest.iter().map(|adds| i64::try_from(adds.version).unwrap()).max().unwrap(),
        engagement_mp: sum_mp.min(cap),
        sum_mp,
        people: u32::try_from(engaged.len()).unwrap(),
        departments,
    }
}

proptest! {
    #[test]
    fn what_an_account_has_is_the_same_in_any_order_with_any_repetition(
        (all, arrivals) in adds().prop_flat_map(|all| {
            let twice: Vec<_> = all.iter().chain(all.iter().step_by(2)).cloned().collect();
            (Just(all), Just(twice).prop_shuffle())
        }),
    ) {
        let mut world = World::new(playbook());
        for adds in &arrivals {
            world.pipeline.publish(contributed(adds));
        }
        let said = world.accounts();
        prop_assert_eq!(said.len(), 1);
        prop_assert_eq!(&said["acme.example"], &slowly(&all, 60_000));
        let in_order = {
            let mut world = World::new(playbook());
            all.iter().for_each(|adds| world.pipeline.publish(contributed(adds)));
            world.pipeline.run();
            without_version(&world)
        };
        prop_assert_eq!(without_version(&world), in_order);
    }

}

proptest! {
    // Each is many steps on the log.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 5, ..ProptestConfig::default() })]

    #[test]
    fn accounts_are_what_the_last_scores_of_their_leads_come_to(
        steps in prop::collection::vec((0_u8..5, 0_u8..6, 0_u8..3, 0_i64..20), 1..40), rest in 0_i64..90,
    ) {
        let (mut world, mut at, mut sent) = (World::new(playbook()), NOW, Vec::new());
        for (number, what, which, days) in steps {
            at += days * DAY;
            world.pipeline.advance_to(Timestamp::from_millis(at));
            match what {
                0 => world.is(number, ["", "a.example", "b.example"][usize::from(which)], ["", "IT", "it"][usize::from(which)], at),
                1 => world.is(number, "a.example", ["Sales", "IT", ""][usize::from(which)], at),
                2 if !sent.is_empty() => {
                    let (number, id) = sent.swap_remove(usize::from(which) % sent.len());
                    world.takes_back(number, id, at);
                }
                _ => {
                    let id = world.sends(number, ["newsletter", "demo-request", "trial"][usize::from(which)], at);
                    sent.push((number, id));
                }
            }
        }
        world.pipeline.advance_to(Timestamp::from_millis(at + rest * DAY));
        prop_assert_eq!(world.by_events(), world.by_scores(&playbook()));
    }
}

/// The state of the account, but for how often it was said something of it.
fn without_version(world: &World) -> Vec<u8> {
    let state = world.pipeline.states("scoring").remove("a:acme.example").unwrap();
    // The format, a revision and a fingerprint, and then a number below 128.
    [&state[..13], &state[14..]].concat()
}

#[test]
fn an_account_remembers_a_thousand_leads_and_forgets_first_who_adds_nothing_any_more() {
    let mut world = World::new(Playbook::built_in());
    let tell = |world: &mut World, number: u128, engaged: bool| {
        let id = LeadId::new(Uuid::from_u128(1 << 64 | number));
        let contributed = v1::LeadContributed {
            score_version: 1,
            engaged,
            engagement_mp: if engaged { 20_000 } else { 0 },
            as_of_ms: NOW + i64::try_from(number).unwrap(),
            ..v1::LeadContributed::default()
        };
        let meta = Some(head(id, 2 << 64 | number, NOW, 0).to_meta());
        let record = v1::AccountRecord { meta, event: Some(Event::Contributed(contributed)) };
        let payload = record.encode_to_vec();
        world.pipeline.publish(Emitted { topic: Topic::Accounts, key: "acme.example".into(), payload });
    };
    let most = u128::try_from(MOST_LEADS).unwrap();
    (0..most).for_each(|number| tell(&mut world, number, number != 7));
    assert_eq!(world.account("acme.example").1, 999);
    tell(&mut world, most, true);
    assert_eq!(world.account("acme.example").1, 1_000, "in the place of who adds nothing any more");
    tell(&mut world, most + 1, true);
    assert_eq!(world.account("acme.example").1, 1_000, "not counted any more");
    let state = world.pipeline.states("scoring").remove("a:acme.example").unwrap();
    println!("1,000 leads: {} bytes", state.len());
    assert!(state.len() < 40_000);
}
