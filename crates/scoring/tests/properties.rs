//! What holds for every playbook and every history.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "the obvious way, with numbers that are small"
)]

mod common;

use std::sync::Arc;

use common::obvious::{self, milliseconds, shown};
use common::{DAY, Did, OneLead, assert_ledger, profile, signals_of};
use proptest::prelude::*;
use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::Playbook;
use tasuki_scoring::{Score, score};
use tasuki_wire::v1;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Behavior;

const NOW: i64 = 1_800_000_000_000;

fn event() -> impl Strategy<Value = (Behavior, String)> {
    prop_oneof![
        proptest::sample::select(vec!["/", "/pricing", "/pricing/x", "/Docs"])
            .prop_map(|path| (Behavior::PageViewed(v1::PageViewed::default()), path.to_owned())),
        proptest::sample::select(vec!["demo", "Demo-Request", "newsletter", ""])
            .prop_map(|form| (Behavior::FormSubmitted(v1::FormSubmitted { form: form.into() }), "/form".to_owned())),
        Just((Behavior::CustomBehavior(v1::CustomBehavior { name: "used".into() }), String::new())),
    ]
}

/// Mostly shortly before now, sometimes long ago, sometimes said to be in the future.
fn age() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..40 * DAY, 2 => 0..430 * DAY, 1 => -20 * DAY..0, 1 => proptest::sample::select(vec![0, DAY, 30 * DAY])]
}

fn history(most: usize) -> impl Strategy<Value = Vec<Did>> {
    let did = (event(), age(), 0..3 * DAY);
    proptest::collection::vec(did, 0..most).prop_map(|all| {
        let number = |(id, ((event, path), age, delay)): (usize, ((Behavior, String), i64, i64))| Did {
            // Not in the order of time.
            id: (id as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            occurred_at: NOW - age,
            received_at: (NOW - age + delay).min(NOW),
            event,
            path,
            campaign: String::new(),
        };
        all.into_iter().enumerate().map(number).collect()
    })
}

fn recent(mut history: Vec<Did>) -> Vec<Did> {
    history.retain(|did| NOW - did.occurred_at <= 400 * DAY);
    history
}

fn rule() -> impl Strategy<Value = String> {
    let matcher = proptest::sample::select(vec![
        "event = \"PageViewed\"",
        "event = \"PageViewed\"\npath = [\"/pricing*\", \"/docs\"]",
        "event = \"FormSubmitted\"",
        "event = \"FormSubmitted\"\nabout = [\"demo*\"]",
        "event = \"CustomBehavior\"",
    ]);
    let half_life = proptest::option::weighted(0.8, proptest::sample::select(vec!["90m", "3d", "14d", "30d", "200d"]));
    let points = prop_oneof![3 => 1_i32..40_000, 1 => -20_000..0];
    (matcher, points, half_life, proptest::option::of(1_u32..60_000)).prop_map(|(matcher, points, half_life, cap)| {
        let half_life = half_life.map(|length| format!("half_life = \"{length}\"\n")).unwrap_or_default();
        let cap = cap.map(|cap| format!("cap = {}\n", f64::from(cap) / 1000.0)).unwrap_or_default();
        format!("{matcher}\npoints = {}\n{half_life}{cap}", f64::from(points) / 1000.0)
    })
}

const REST: &str = r#"
[[fit.rules]]
name = "title"
attribute = "title"
one_of = ["boss"]
points = 60
[[fit.rules]]
name = "country"
attribute = "country"
one_of = ["jp"]
points = 50
[[fit.rules]]
name = "never"
attribute = "industry"
one_of = ["none"]
points = -300
[fit]
cap = 90
[accept_within]
urgent = "4h"
high = "8h"
normal = "24h"
[after_rejection]
timing = "recycle after 90d"
no-budget = "disqualify"
no-authority = "disqualify"
no-need = "disqualify"
unreachable = "disqualify"
bad-data = "disqualify"
duplicate = "disqualify"
competitor = "disqualify"
not-a-fit = "disqualify"
[grades]
fit = { A = 70, B = 45, C = 20 }
"#;

/// The text of a playbook.
fn playbook() -> impl Strategy<Value = String> {
    let window = proptest::sample::select(vec!["1d", "30d", "400d"]);
    (proptest::collection::vec(rule(), 1..8), 30_u32..=100, 1_u32..20, window).prop_map(|(rules, cap, low, window)| {
        let mut text = format!("name = \"random\"\nversion = 1\n{REST}");
        text += &format!("engagement = {{ 1 = {}, 2 = {}, 3 = {low} }}\n", low + 7, f64::from(low) + 0.001);
        text += &format!("[engagement]\ncap = {cap}\n");
        for (number, rule) in rules.iter().enumerate() {
            text += &format!("[[engagement.rules]]\nname = \"rule-{number}\"\n{rule}");
        }
        text += &format!(
            "[[routes]]\nname = \"score\"\nwhen = 'engagement >= {} || signals.within(\"rule-0\", \"{window}\") > 2'\n",
            cap / 2
        );
        text + "urgency = \"normal\"\npool = \"inside-sales\"\n"
    })
}

fn points_of(score: &Score, axis: v1::Axis) -> Vec<(String, i64)> {
    let own = score.contributions.iter().filter(|contribution| contribution.axis() == axis);
    own.map(|contribution| (contribution.rule.clone(), contribution.points_mp)).collect()
}

fn boss() -> v1::Profile {
    profile("ana@acme.example", &[("title", "boss"), ("country", "jp")])
}

/// On which side of each boundary the lead is, and its facts.
fn what_matters(playbook: &Playbook, score: &Score) -> (usize, Vec<i64>) {
    (playbook.boundaries().iter().filter(|&&at| score.engagement >= at).count(), score.facts.clone())
}

proptest! {
    #[test]
    fn the_score_is_that_of_the_obvious_model_to_the_millipoint(
        text in playbook(), history in history(40), later in 0..430 * DAY, known in any::<bool>(),
    ) {
        let playbook = Playbook::parse(&text).expect("a playbook");
        let profile = if known { boss() } else { v1::Profile::default() };
        let as_of = NOW + later;
        let score = score(&signals_of(&history), &profile, &playbook, Timestamp::from_millis(as_of));
        let expected = obvious::score(&text, &history, &profile, as_of);
        prop_assert_eq!(points_of(&score, v1::Axis::Engagement), &expected.engagement[..]);
        prop_assert_eq!(points_of(&score, v1::Axis::Fit), &expected.fit[..]);
        prop_assert_eq!(score.engagement, Millipoints::new(shown(&expected.engagement)));
        prop_assert_eq!(score.fit, Millipoints::new(shown(&expected.fit)));
        prop_assert_eq!(score.grade.to_string(), expected.grade);
        let fact = &playbook.facts()[0];
        let window = milliseconds(fact.name.split('"').nth(3).unwrap());
        prop_assert_eq!(&score.facts, &[obvious::within(&text, &history, "rule-0", window, as_of)]);
    }

    #[test]
    fn time_alone_changes_something_exactly_when_it_is_said_to(
        text in playbook(), history in history(25), looks in proptest::collection::vec(0.0..1.0, 12),
    ) {
        let playbook = Playbook::parse(&text).expect("a playbook");
        let signals = signals_of(&history);
        let at = |instant: i64| score(&signals, &v1::Profile::default(), &playbook, Timestamp::from_millis(instant));
        let now = at(NOW);
        let here = what_matters(&playbook, &now);
        let until = now.next_change_at.map_or(NOW + 450 * DAY, Timestamp::as_millis);
        prop_assert!(until > NOW);
        for look in looks {
            let instant = NOW + ((until - 1 - NOW) as f64 * look) as i64;
            prop_assert_eq!(what_matters(&playbook, &at(instant)), here.clone(), "at {} of {}", instant, until);
        }
        if now.next_change_at.is_some() {
            prop_assert_eq!(what_matters(&playbook, &at(until - 1)), here.clone(), "one millisecond before {}", until);
            prop_assert_ne!(what_matters(&playbook, &at(until)), here, "at {}", until);
        }
    }

    #[test]
    fn any_order_with_any_repetition_gives_the_same_score_and_the_same_state(
        text in playbook(),
        (history, shuffled) in history(12).prop_flat_map(|history| {
            // Each once and some twice.
            let twice: Vec<_> = history.iter().chain(history.iter().step_by(3)).cloned().collect();
            (Just(twice.clone()), Just(twice).prop_shuffle())
        }),
    ) {
        let playbook = Arc::new(Playbook::parse(&text).expect("a playbook"));
        let run = |history: &[Did]| {
            let mut lead = OneLead::new(&playbook, NOW);
            for (version, did) in (1..).zip(history) {
                lead.repeat(did.attributed(), did.received_at, version);
                lead.repeat(did.attributed(), did.received_at, version);
            }
            lead.pipeline.advance_to(Timestamp::from_millis(NOW + 500 * DAY));
            let scores = lead.scores();
            scores.iter().for_each(|(_, scored)| assert_ledger(scored));
            let versions: Vec<_> = scores.iter().map(|(head, _)| head.version.get()).collect();
            assert_eq!(versions, (1..).take(scores.len()).collect::<Vec<u64>>());
            (lead.scores().last().map(|(_, scored)| scored.clone()), without_versions(lead.state()))
        };
        prop_assert_eq!(run(&history), run(&shuffled));
    }

    #[test]
    fn a_record_says_what_the_score_built_as_values_says(
        text in playbook(), history in history(30), known in any::<bool>(),
    ) {
        let playbook = Arc::new(Playbook::parse(&text).expect("a playbook"));
        let mut lead = OneLead::new(&playbook, NOW);
        let profile = known.then(boss);
        if let Some(profile) = profile.clone() {
            lead.activity(Activity::ProfileChanged(v1::ProfileChanged { profile: Some(profile) }), NOW - 500 * DAY);
        }
        for did in recent(history.clone()) {
            lead.activity(did.attributed(), did.received_at);
        }
        for (number, (head, scored)) in lead.scores().into_iter().enumerate() {
            if scored.because() == v1::ScoredBecause::Time {
                continue;
            }
            // What was known then.
            let count = usize::try_from(scored.signals).expect("a small number");
            let signals = signals_of(&recent(history.clone())[..count]);
            let as_of = Timestamp::from_millis(scored.as_of_ms);
            let values = score(&signals, &profile.clone().unwrap_or_default(), &playbook, as_of);
            let facts = playbook.facts().iter().zip(&values.facts);
            let expected = v1::LeadScored {
                playbook_version: playbook.version().get(),
                as_of_ms: as_of.as_millis(),
                engagement_mp: values.engagement.get(),
                fit_mp: values.fit.get(),
                grade: values.grade.to_string(),
                contributions: values.contributions,
                facts: facts.map(|(fact, &value)| v1::Fact { name: fact.name.clone(), value }).collect(),
                next_change_at_ms: values.next_change_at.map_or(0, Timestamp::as_millis),
                profile: profile.clone(),
                signals: scored.signals,
                because: scored.because,
                evidence: Some(values.evidence),
            };
            prop_assert_eq!(&scored, &expected, "record {}", number);
            prop_assert_eq!((head.occurred_at, head.received_at), (as_of, as_of));
        }
    }

    /// Within the bounds of what is kept: what had to go before a retraction does not come back.
    #[test]
    fn what_was_retracted_has_never_been(
        text in playbook(), history in history(12).prop_map(recent), gone in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let playbook = Arc::new(Playbook::parse(&text).expect("a playbook"));
        let run = |history: &[Did], retract: &[Did]| {
            let mut lead = OneLead::new(&playbook, NOW - 450 * DAY);
            let profile = Activity::ProfileChanged(v1::ProfileChanged { profile: Some(boss()) });
            lead.activity(profile, NOW - 450 * DAY);
            history.iter().for_each(|did| lead.activity(did.attributed(), did.received_at));
            retract.iter().for_each(|did| lead.activity(did.retracted(), NOW));
            let last = lead.scores().pop().expect("at least the profile was scored").1;
            assert_ledger(&last);
            (v1::LeadScored { because: 0, ..last }, without_versions(lead.state()))
        };
        let (gone, kept): (Vec<_>, Vec<_>) = history.iter().zip(gone).partition(|(_, gone)| *gone);
        let only = |all: Vec<(&Did, bool)>| all.into_iter().map(|(did, _)| did.clone()).collect::<Vec<_>>();
        prop_assert_eq!(run(&history, &only(gone)), run(&only(kept), &[]));
    }
}

/// How many records came and went depends on the trail; nothing else does.
fn without_versions(state: Vec<u8>) -> Vec<u8> {
    // The format, then two numbers in groups of seven bits.
    let mut rest =
        state.into_iter().skip(1).skip_while(|byte| byte & 0x80 != 0).skip(1).skip_while(|byte| byte & 0x80 != 0);
    rest.next();
    rest.collect()
}
