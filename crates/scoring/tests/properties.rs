//! What holds for every playbook and every history.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "the obvious way, with numbers that are small"
)]

mod common;

use std::sync::Arc;

use common::obvious::{self, Lead, Line, Obvious, milliseconds, shown};
use common::random::{self, NOW};
use common::{DAY, Did, OneLead, assert_ledger, of_track, profile, signals_of};
use proptest::prelude::*;
use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::{FactQuery, Playbook};
use tasuki_scoring::{Score, score};
use tasuki_wire::v1;
use tasuki_wire::v1::activity_record::Event as Activity;

fn recent(mut history: Vec<Did>) -> Vec<Did> {
    history.retain(|did| NOW - did.occurred_at <= 400 * DAY);
    history
}

/// The ledger of an axis, in the words of the obvious model.
fn ledger(score: &Score, axis: v1::Axis) -> Vec<Line> {
    lines(score.contributions.iter().filter(|contribution| contribution.axis() == axis))
}

fn lines<'c>(contributions: impl Iterator<Item = &'c v1::Contribution>) -> Vec<Line> {
    let line = |it: v1::Contribution| Line {
        rule: it.rule,
        points: it.points_mp,
        raw: it.raw_mp,
        limit: it.limit_mp,
        cap: it.cap_mp,
        matches: it.matches,
        track: it.track,
    };
    contributions.cloned().map(line).collect()
}

/// The ledgers of a track. In the obvious model its bounds have no other track to be told from.
fn of_obvious_track(lead: &Lead, track: &str, profile: &v1::Profile, as_of: i64) -> Obvious {
    let mut expected = obvious::score(&lead.clone().in_track(track), profile, as_of);
    for line in expected.engagement.iter_mut().chain(&mut expected.fit).filter(|line| line.rule == "cap") {
        track.clone_into(&mut line.track);
    }
    expected
}

fn boss() -> v1::Profile {
    profile("ana@acme.example", &[("title", "boss"), ("country", "jp")])
}

/// On which side of each boundary the lead is, and its facts, by the obvious model.
fn what_matters(lead: &Lead, playbook: &Playbook, as_of: i64) -> (Vec<usize>, Vec<i64>) {
    let side = |lead: &Lead, of| {
        let engagement = shown(&obvious::score(lead, &v1::Profile::default(), as_of).engagement);
        playbook.boundaries_of(of).iter().filter(|&&at| Millipoints::new(engagement) >= at).count()
    };
    let tracks = playbook.tracks().iter().enumerate();
    let of_tracks = tracks.map(|(place, track)| side(&lead.clone().in_track(&track.name), Some(place)));
    ([side(lead, None)].into_iter().chain(of_tracks).collect(), facts(lead, playbook, as_of))
}

fn facts(lead: &Lead, playbook: &Playbook, as_of: i64) -> Vec<i64> {
    let window = |name: &str| milliseconds(name.split('"').nth(3).unwrap());
    let value = |fact: &FactQuery| obvious::within(lead, "rule-0", window(&fact.name), as_of);
    playbook.facts().iter().map(value).collect()
}

proptest! {
    #[test]
    fn the_score_and_its_ledger_are_those_of_the_obvious_model_to_the_millipoint(
        text in random::playbook(), history in random::history(40), profile in random::any_profile(),
        later in proptest::collection::vec(0..430 * DAY, 6),
    ) {
        let playbook = Playbook::parse(&text).expect("a playbook");
        let lead = Lead::new(&text, &history);
        let signals = signals_of(&history);
        for as_of in later.into_iter().chain([-40 * DAY, 0]).map(|later| NOW + later) {
            let score = score(&signals, &profile, &playbook, Timestamp::from_millis(as_of));
            let expected = obvious::score(&lead, &profile, as_of);
            prop_assert_eq!(ledger(&score, v1::Axis::Engagement), &expected.engagement[..]);
            prop_assert_eq!(ledger(&score, v1::Axis::Fit), &expected.fit[..]);
            prop_assert_eq!(score.engagement, Millipoints::new(shown(&expected.engagement)));
            prop_assert_eq!(score.fit, Millipoints::new(shown(&expected.fit)));
            prop_assert_eq!(score.grade.to_string(), expected.grade);
            prop_assert_eq!(&score.facts, &facts(&lead, &playbook, as_of));
            let names: Vec<_> = playbook.tracks().iter().map(|track| track.name.clone()).collect();
            prop_assert_eq!(score.tracks.iter().map(|track| track.track.clone()).collect::<Vec<_>>(), names);
            let scored = score.recorded(&playbook, history.len(), &common::NO_ACCOUNT);
            assert_ledger(&scored);
            for track in &scored.tracks {
                let expected = of_obvious_track(&lead, &track.track, &profile, as_of);
                prop_assert_eq!(lines(of_track(&scored, track, v1::Axis::Engagement)), &expected.engagement[..]);
                prop_assert_eq!(lines(of_track(&scored, track, v1::Axis::Fit)), &expected.fit[..]);
                prop_assert_eq!(track.engagement_mp, shown(&expected.engagement));
                prop_assert_eq!(track.fit_mp, shown(&expected.fit));
                prop_assert_eq!(&track.grade, &expected.grade);
            }
        }
    }

    #[test]
    fn time_alone_changes_something_exactly_when_it_is_said_to(
        text in random::playbook(), history in random::history(25), looks in proptest::collection::vec(0.0..1.0, 12),
    ) {
        let playbook = Playbook::parse(&text).expect("a playbook");
        let lead = Lead::new(&text, &history);
        let now = score(&signals_of(&history), &v1::Profile::default(), &playbook, Timestamp::from_millis(NOW));
        let at = |instant: i64| what_matters(&lead, &playbook, instant);
        let here = at(NOW);
        let until = now.next_change_at.map_or(NOW + 450 * DAY, Timestamp::as_millis);
        prop_assert!(until > NOW);
        let mut instants: Vec<_> = looks.into_iter().map(|look| NOW + ((until - 1 - NOW) as f64 * look) as i64).collect();
        // Where something may turn, of which there are a lot: about a hundred of them.
        let mut turns = obvious::turns(&lead);
        turns.retain(|turn| (NOW..until).contains(turn));
        instants.extend(turns.iter().step_by(turns.len() / 100 + 1));
        for instant in instants {
            prop_assert_eq!(at(instant), here.clone(), "at {} of {}", instant, until);
        }
        if now.next_change_at.is_some() {
            prop_assert_eq!(at(until - 1), here.clone(), "one millisecond before {}", until);
            prop_assert_ne!(at(until), here, "at {}", until);
        }
    }

    #[test]
    fn any_order_with_any_repetition_gives_the_same_score_and_the_same_state(
        text in random::playbook(),
        (history, shuffled) in random::history(12).prop_flat_map(|history| {
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
        text in random::playbook(), history in random::history(30), known in any::<bool>(),
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
                identities_version: 7,
                tracks: values.tracks,
            };
            prop_assert_eq!(&scored, &expected, "record {}", number);
            prop_assert_eq!((head.occurred_at, head.received_at), (as_of, as_of));
        }
    }

    /// Within the bounds of what is kept: what had to go before a retraction does not come back.
    #[test]
    fn what_was_retracted_has_never_been(
        text in random::playbook(), history in random::history(12).prop_map(recent), gone in proptest::collection::vec(any::<bool>(), 12),
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
