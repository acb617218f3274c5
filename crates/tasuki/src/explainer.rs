//! How scoring explains a lead to the console, which does not know scoring.

use tasuki_console::{Expected, ExpectedInTrack, Explained, Explainer, KnownSignal, Lift, LiftedBy, Question};
use tasuki_playbook::{EventKind, SignalFields};
use tasuki_scoring::{NewSignal, Signals, explain};

/// By the very code that scores leads.
pub(crate) fn explainer() -> Explainer {
    Explainer::new(|question: &Question<'_>| {
        let mut signals = Signals::default();
        // A kind of a later release counts nothing here, as in scoring.
        for signal in question.signals.iter().filter_map(as_scoring_sees) {
            signals.insert(&signal);
        }
        let explained = explain(&signals, question.profile, &question.account, question.playbook, question.as_of);
        let lift = |lift: tasuki_scoring::Lift| {
            let by = lift.by.into_iter().map(|by| LiftedBy {
                rule: by.rule,
                points: by.points,
                times: by.times,
                ends: by.ends,
            });
            Lift { track: lift.track, axis: lift.axis, to: lift.to, missing: lift.missing, by: by.collect() }
        };
        Explained {
            scored: explained.score.recorded(question.playbook, explained.signals, &question.account),
            open_routes: explained.open_routes,
            expected: explained.expected.into_iter().map(expected).collect(),
            lifts: explained.lifts.into_iter().map(lift).collect(),
        }
    })
}

fn as_scoring_sees(signal: &KnownSignal) -> Option<NewSignal<'_>> {
    let KnownSignal { id, occurred_at, received_at, kind, about, path, source, campaign } = signal;
    let kind = EventKind::ALL.iter().copied().find(|known| known.name() == kind)?;
    let fields = SignalFields { kind, about, path, source, campaign };
    Some(NewSignal { id: *id, occurred_at: *occurred_at, received_at: *received_at, fields })
}

fn expected(expected: tasuki_scoring::Expected) -> Expected {
    Expected {
        at: expected.at,
        engagement: expected.engagement,
        grade: expected.grade.to_string(),
        falls_below: expected.falls_below,
        reaches: expected.reaches,
        tracks: expected.tracks.into_iter().map(in_track).collect(),
        facts: expected.facts.into_iter().map(|fact| (fact.name, fact.from, fact.to)).collect(),
        open_routes: expected.open_routes,
    }
}

fn in_track(expected: tasuki_scoring::ExpectedInTrack) -> ExpectedInTrack {
    let tasuki_scoring::ExpectedInTrack { track, engagement, grade, falls_below, reaches } = expected;
    ExpectedInTrack { track, engagement, grade, falls_below, reaches }
}
