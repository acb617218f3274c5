//! What is explained is what was scored, as of every instant.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::obvious::{self, Lead, Obvious, shown};
use common::random::{self, NOW};
use common::{DAY, Did, NO_ACCOUNT, OneLead, signals_of};
use proptest::prelude::*;
use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::Playbook;
use tasuki_scoring::{Lift, MOST_EXPECTED, MOST_TIMES, Score, explain};
use tasuki_wire::v1;
use tasuki_wire::v1::activity_record::Event as Activity;

/// What had happened by then, in the words of the documentation.
fn happened_by(history: &[Did], as_of: i64) -> Vec<Did> {
    history.iter().filter(|did| did.occurred_at <= as_of || did.received_at <= as_of).cloned().collect()
}

fn at(instant: i64) -> Timestamp {
    Timestamp::from_millis(instant)
}

/// The points of an axis by rule.
fn points(score: &Score, axis: v1::Axis) -> Vec<(String, i64)> {
    let own = score.contributions.iter().filter(|contribution| contribution.axis() == axis);
    own.map(|contribution| (contribution.rule.clone(), contribution.points_mp)).collect()
}

fn lines(ledger: &[obvious::Line]) -> Vec<(String, i64)> {
    ledger.iter().map(|line| (line.rule.clone(), line.points)).collect()
}

fn as_on_the_log(scored: &v1::LeadScored, playbook: &Playbook) -> Score {
    let mut grade = scored.grade.chars();
    let fit = grade.next().unwrap();
    Score {
        as_of: at(scored.as_of_ms),
        engagement: Millipoints::new(scored.engagement_mp),
        fit: Millipoints::new(scored.fit_mp),
        grade: tasuki_playbook::Grade { fit, engagement: grade.as_str().parse().unwrap() },
        tracks: scored.tracks.clone(),
        contributions: scored.contributions.clone(),
        evidence: scored.evidence.clone().unwrap(),
        facts: playbook.facts().iter().zip(&scored.facts).map(|(_, fact)| fact.value).collect(),
        next_change_at: (scored.next_change_at_ms != 0).then(|| at(scored.next_change_at_ms)),
    }
}

fn model(text: &str, history: &[Did], profile: &v1::Profile, as_of: i64) -> Obvious {
    obvious::score(&Lead::new(text, &happened_by(history, as_of)), profile, as_of)
}

proptest! {
    /// Whatever came late, twice, from the future, or was taken back in between, and also after time alone changed something.
    #[test]
    fn as_of_the_last_score_it_is_what_stands_on_the_log(
        text in random::playbook(), history in random::history(25), profile in random::any_profile(),
        gone in proptest::collection::vec(any::<bool>(), 5), wait in 0..60 * DAY,
    ) {
        let playbook = Arc::new(Playbook::parse(&text).expect("a playbook"));
        let mut lead = OneLead::new(&playbook, NOW);
        let changed = v1::ProfileChanged { profile: Some(profile.clone()) };
        lead.activity(Activity::ProfileChanged(changed), NOW - 2 * DAY);
        // What is too old when it comes had to go, and what was kept for it does not come back.
        let history: Vec<_> = history.into_iter().filter(|did| NOW - did.occurred_at <= 300 * DAY).collect();
        history.iter().for_each(|did| lead.activity(did.attributed(), did.received_at));
        let mut kept = Vec::new();
        for (place, did) in history.iter().enumerate() {
            if gone.get(place) == Some(&true) {
                lead.activity(did.retracted(), NOW);
            } else {
                kept.push(did.clone());
            }
        }
        lead.pipeline.advance_to(at(NOW + wait));
        let (_, last) = lead.scores().pop().expect("the profile was scored");
        let explained = explain(&signals_of(&kept), &profile, &NO_ACCOUNT, &playbook, at(last.as_of_ms));
        prop_assert_eq!(&explained.score, &as_on_the_log(&last, &playbook));
        prop_assert_eq!(u32::try_from(explained.signals).unwrap(), last.signals);
    }

    #[test]
    fn as_of_any_instant_it_is_what_the_obvious_model_says_of_what_had_happened(
        text in random::playbook(), history in random::history(40), profile in random::any_profile(),
        instants in proptest::collection::vec(-60 * DAY..430 * DAY, 4),
    ) {
        let playbook = Playbook::parse(&text).expect("a playbook");
        let signals = signals_of(&history);
        let near: Vec<_> = history.iter().take(2).flat_map(|did| [did.occurred_at - 1, did.occurred_at]).collect();
        for as_of in instants.into_iter().map(|away| NOW + away).chain(near) {
            let explained = explain(&signals, &profile, &NO_ACCOUNT, &playbook, at(as_of));
            let expected = model(&text, &history, &profile, as_of);
            prop_assert_eq!(points(&explained.score, v1::Axis::Engagement), lines(&expected.engagement));
            prop_assert_eq!(points(&explained.score, v1::Axis::Fit), lines(&expected.fit));
            prop_assert_eq!(explained.score.engagement.get(), shown(&expected.engagement));
            prop_assert_eq!(explained.score.fit.get(), shown(&expected.fit));
            prop_assert_eq!(explained.score.grade.to_string(), expected.grade);
        }
    }

    #[test]
    fn what_is_expected_comes_when_it_is_said_and_nothing_before(
        text in random::playbook(), history in random::history(15), away in -10 * DAY..10 * DAY,
    ) {
        let playbook = Playbook::parse(&text).expect("a playbook");
        let as_of = NOW + away;
        let explained = explain(&signals_of(&history), &v1::Profile::default(), &NO_ACCOUNT, &playbook, at(as_of));
        let lead = Lead::new(&text, &happened_by(&history, as_of));
        // The lead itself, then its tracks.
        let mut whose = vec![(None, lead.clone())];
        let tracks = playbook.tracks().iter().enumerate();
        whose.extend(tracks.map(|(place, track)| (Some(place), lead.clone().in_track(&track.name))));
        let name = |of: Option<usize>| of.map(|of| playbook.tracks()[of].name.as_str());
        let engagement =
            |lead: &Lead, instant: i64| shown(&obvious::score(lead, &v1::Profile::default(), instant).engagement);
        let sides = |of, shown: i64| playbook.boundaries_of(of).iter().filter(|at| at.get() <= shown).count();
        let mut before: Vec<_> = whose.iter().map(|(_, lead)| engagement(lead, as_of)).collect();
        prop_assert!(explained.expected.len() <= MOST_EXPECTED);
        for expected in &explained.expected {
            let then = expected.at.as_millis();
            let mut changes = !expected.facts.is_empty();
            for ((of, lead), before) in whose.iter().zip(&mut before) {
                // A millisecond sooner it is as before.
                prop_assert_eq!(sides(*of, engagement(lead, then - 1)), sides(*of, *before));
                let after = engagement(lead, then);
                let crossed: Vec<_> = playbook.boundaries_of(*of).iter().copied()
                    .filter(|at| (at.get() <= *before) != (at.get() <= after)).collect();
                changes |= !crossed.is_empty();
                let (down, up) = if after < *before { (crossed, vec![]) } else { (vec![], crossed) };
                let said = expected.tracks.iter().find(|it| Some(it.track.as_str()) == name(*of));
                let said = said.map(|it| (it.engagement.get(), &it.falls_below, &it.reaches));
                let wanted = (after, &down, &up);
                if of.is_none() {
                    prop_assert_eq!((expected.engagement.get(), &expected.falls_below, &expected.reaches), wanted);
                } else {
                    prop_assert_eq!(said, (!down.is_empty() || !up.is_empty()).then_some(wanted));
                }
                *before = after;
            }
            prop_assert!(changes);
        }
        if explained.expected.is_empty() {
            for ((of, lead), before) in whose.iter().zip(&before) {
                let later = sides(*of, engagement(lead, as_of + 500 * DAY));
                prop_assert_eq!(later, sides(*of, *before), "nothing is said, and it falls");
            }
        }
    }

    #[test]
    fn what_lifts_engagement_does_so_in_the_obvious_model(
        text in random::playbook(), history in random::history(12), away in -10 * DAY..10 * DAY,
    ) {
        let playbook = Playbook::parse(&text).expect("a playbook");
        let as_of = NOW + away;
        let profile = v1::Profile::default();
        let explained = explain(&signals_of(&history), &profile, &NO_ACCOUNT, &playbook, at(as_of));
        let lead = Lead::new(&text, &happened_by(&history, as_of));
        for of in [None].into_iter().chain((0..playbook.tracks().len()).map(Some)) {
            let name = of.map(|of| playbook.tracks()[of].name.as_str());
            let now = explained.score.axes(of).0.get();
            let next = playbook.boundaries_of(of).iter().map(|at| at.get()).find(|at| *at > now);
            let is_it = |lift: &&Lift| lift.axis == v1::Axis::Engagement && lift.track == name.unwrap_or_default();
            let lift = explained.lifts.iter().find(is_it);
            prop_assert_eq!(lift.map(|lift| (lift.to.get(), lift.missing.get())), next.map(|to| (to, to - now)));
            let Some(lift) = lift else { continue };
            for rule in playbook.rules() {
                let counts = name.is_none() || rule.track.as_ref().is_none_or(|of| Some(of.name.as_str()) == name);
                let with = |times: u32| {
                    let more = lead.clone().with_more(&rule.name, times, as_of);
                    let lead = if let Some(name) = name { more.in_track(name) } else { more };
                    shown(&obvious::score(&lead, &profile, as_of).engagement)
                };
                let gain = with(1) - now;
                let times = (1..=MOST_TIMES).find(|times| with(*times) >= lift.to.get());
                let said = lift.by.iter().find(|by| by.rule == rule.name);
                let said = said.map(|by| (by.points.get(), by.times));
                let wanted = (gain > 0 || times.is_some()).then_some((gain, times)).filter(|_| counts);
                prop_assert_eq!(said, wanted, "{} in {:?}", &rule.name, name);
            }
            prop_assert!(lift.by.is_sorted_by(|a, b| a.points >= b.points));
        }
    }
}

/// What a lead would need so that its fit has the next grade, by the playbook that comes with the program.
#[test]
fn what_lifts_fit_is_what_is_missing_and_what_takes_points() {
    let playbook = Playbook::built_in();
    let nobody = explain(&signals_of(&[]), &v1::Profile::default(), &NO_ACCOUNT, &playbook, at(NOW));
    let lift = nobody.lifts.iter().find(|lift| lift.axis == v1::Axis::Fit).unwrap();
    assert_eq!((lift.to, lift.missing), (Millipoints::from_points(20), Millipoints::from_points(20)));
    for by in &lift.by {
        let rule = playbook.fit_rules().iter().find(|rule| rule.name == by.rule).unwrap();
        assert_eq!((by.points, by.times), (rule.points, (rule.points >= lift.missing).then_some(1)), "{}", by.rule);
    }
    assert!(!lift.by.is_empty());
    // A manager (15) in Japan (20) with a free-mail address (-20): 15, and the address is worth more than what is missing.
    let profile = common::profile("taro@gmail.com", &[("title", "部長"), ("country", "jp")]);
    let taro = explain(&signals_of(&[]), &profile, &NO_ACCOUNT, &playbook, at(NOW));
    let lift = taro.lifts.iter().find(|lift| lift.axis == v1::Axis::Fit).unwrap();
    assert_eq!((taro.score.fit, lift.missing), (Millipoints::from_points(15), Millipoints::from_points(5)));
    let free_mail = lift.by.iter().find(|by| by.rule == "free-mail").unwrap();
    assert_eq!((free_mail.points, free_mail.times, free_mail.ends), (Millipoints::from_points(20), Some(1), true));
    assert!(lift.by.iter().all(|by| by.ends == (by.rule == "free-mail") && by.rule != "manager"));
    // Below zero nothing shows: what only brings it back to zero gives nothing.
    let nothing = explain(&signals_of(&[]), &common::profile("taro@gmail.com", &[]), &NO_ACCOUNT, &playbook, at(NOW));
    let lift = nothing.lifts.iter().find(|lift| lift.axis == v1::Axis::Fit).unwrap();
    let gains: Vec<_> = lift.by.iter().map(|by| (by.rule.as_str(), by.points.get())).collect();
    assert_eq!(gains, [("decision-maker", 15_000), ("mid-size-company", 5_000)]);
}

#[test]
fn before_anything_happened_there_is_nothing_and_what_came_late_counts_from_when_it_happened() {
    let playbook = Playbook::built_in();
    let mut visit = common::typical_visit(2);
    visit.received_at = visit.occurred_at + 30 * DAY;
    let signals = signals_of(std::slice::from_ref(&visit));
    let explained = |as_of: i64| explain(&signals, &v1::Profile::default(), &NO_ACCOUNT, &playbook, at(as_of));
    let before = explained(visit.occurred_at - 1);
    assert_eq!((before.score.engagement, before.signals, before.expected), (Millipoints::ZERO, 0, vec![]));
    assert_eq!(explained(visit.occurred_at).score.engagement, Millipoints::from_points(9));
    // Said to happen in the future: received is early enough.
    visit.occurred_at += 10 * DAY;
    visit.received_at = visit.occurred_at - 5 * DAY;
    let signals = signals_of(std::slice::from_ref(&visit));
    let explained = explain(&signals, &v1::Profile::default(), &NO_ACCOUNT, &playbook, at(visit.received_at));
    assert_eq!((explained.score.engagement, explained.signals), (Millipoints::from_points(9), 1));
}
