//! The record of a score, written straight into its bytes: it is the largest thing that scoring makes, and most of it
//! is evidence, of which there is too much to build it as values first.

use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::{FitRule, Grade, Playbook};
use tasuki_wire::{Head, v1};

use crate::engagement::{Matched, Piece};
use crate::fit::Fit;
use crate::message::Message;
use crate::profile::CompactProfile;
use crate::score::{Amount, Assessed, CAP, in_words};
use crate::signals::{Signals, index};

/// What is the same in every record by one playbook, as bytes.
#[derive(Debug)]
pub(crate) struct Wording {
    /// For each fit rule, its contribution.
    fit_rules: Vec<Message>,
    /// For each fact, its name.
    facts: Vec<Message>,
}

impl Wording {
    pub(crate) fn of(playbook: &Playbook) -> Self {
        let fit_rule = |rule: &FitRule| {
            let mut contribution = Message::default();
            contribution.message(6, |contribution| write_attribute(contribution, rule));
            contribution
        };
        let fact = |name: &str| {
            let mut fact = Message::default();
            fact.text(1, name.as_bytes());
            fact
        };
        Self {
            fit_rules: playbook.fit_rules().iter().map(fit_rule).collect(),
            facts: playbook.facts().iter().map(|query| fact(&query.name)).collect(),
        }
    }
}

/// A score, and what stands beside it in its record.
#[derive(Debug)]
pub(crate) struct Scored<'a> {
    pub(crate) head: Head,
    pub(crate) as_of: Timestamp,
    pub(crate) assessed: Assessed<'a>,
    pub(crate) fit: &'a Fit,
    pub(crate) profile: Option<&'a CompactProfile>,
    pub(crate) because: v1::ScoredBecause,
    pub(crate) wording: &'a Wording,
}

/// The bytes of the `ScoreRecord`.
pub(crate) fn record(scored: &Scored<'_>) -> Vec<u8> {
    let Scored { assessed, .. } = scored;
    let evidence: usize = assessed.matched.matched().map(|rule| rule.evidence.len()).sum();
    let mut record =
        Message::with_capacity(512 + 64 * evidence + scored.profile.map_or(0, |profile| 3 * profile.as_bytes().len()));
    record.message(1, |meta| write_meta(meta, &scored.head));
    record.long_message(10, |message| write_scored(message, scored));
    record.into_bytes()
}

fn write_meta(meta: &mut Message, head: &Head) {
    meta.text(1, head.event_id.as_bytes());
    meta.fixed(2, head.occurred_at.as_millis());
    meta.fixed(3, head.received_at.as_millis());
    meta.text(4, head.cause.as_ref().map_or(&[], |id| id.as_bytes()));
    meta.text(5, head.lead.as_ref().map_or(&[], |id| id.as_bytes()));
    meta.uint(6, head.version.get());
}

fn write_scored(message: &mut Message, scored: &Scored<'_>) {
    let Scored { assessed, .. } = scored;
    let (playbook, signals) = (assessed.matched.playbook, assessed.matched.signals);
    message.uint(1, playbook.version().get());
    message.fixed(2, scored.as_of.as_millis());
    message.sint(3, assessed.engagement.shown.get());
    message.sint(4, assessed.fit.shown.get());
    write_grade(message, assessed.grade);
    write_contributions(message, scored, signals);
    for (fact, &value) in scored.wording.facts.iter().zip(&assessed.facts) {
        message.message(7, |message| {
            message.fields(fact.as_bytes());
            message.sint(2, value);
        });
    }
    message.fixed(8, assessed.next_change_at.map_or(0, Timestamp::as_millis));
    if let Some(profile) = scored.profile {
        message.long_message(9, |message| profile.write(message));
    }
    message.uint(10, u32::try_from(signals.len()).expect("a lead has at most some hundred signals"));
    message.uint(11, because(scored.because));
}

fn write_grade(message: &mut Message, grade: Grade) {
    let mut text = [0; 5];
    let fit = grade.fit.encode_utf8(&mut text).len();
    text[fit] = b'0' + grade.engagement;
    message.text(5, &text[..=fit]);
}

fn because(because: v1::ScoredBecause) -> u32 {
    i32::from(because).cast_unsigned()
}

fn write_contributions(message: &mut Message, scored: &Scored<'_>, signals: &Signals) {
    let words = Words::of(signals);
    for rule in scored.assessed.matched.matched() {
        let write = |contribution: &mut Message| write_behaviour(contribution, &rule, signals, &words);
        if rule.evidence.len() > 1 { message.long_message(6, write) } else { message.message(6, write) }
    }
    write_bounds(message, v1::Axis::Engagement, scored.assessed.engagement);
    for contribution in scored.fit.of_rules(&scored.wording.fit_rules) {
        message.fields(contribution.as_bytes());
    }
    write_bounds(message, v1::Axis::Fit, scored.assessed.fit);
}

fn write_behaviour(contribution: &mut Message, matched: &Matched<'_>, signals: &Signals, words: &Words) {
    contribution.uint(1, axis(v1::Axis::Engagement));
    contribution.text(2, matched.rule.name.as_bytes());
    contribution.sint(3, matched.points().get());
    contribution.sint(4, matched.raw().get());
    contribution.uint(5, matched.tally.matches);
    for piece in matched.evidence {
        contribution.message(6, |evidence| write_evidence(evidence, piece, signals, words));
    }
}

fn write_evidence(evidence: &mut Message, piece: &Piece, signals: &Signals, words: &Words) {
    let signal = &signals.list[index(piece.signal)];
    evidence.id_and_instant(signal.id.as_bytes(), signal.occurred_at.as_millis());
    evidence.fields(words.of_shape(signal.shape));
    evidence.sint(4, piece.points.get());
}

fn write_attribute(contribution: &mut Message, rule: &FitRule) {
    contribution.uint(1, axis(v1::Axis::Fit));
    contribution.text(2, rule.name.as_bytes());
    contribution.sint(3, rule.points.get());
    contribution.sint(4, rule.points.get());
    contribution.uint(5, 1_u32);
}

fn write_bounds(message: &mut Message, of: v1::Axis, amount: Amount) {
    if amount.by_bounds != Millipoints::ZERO {
        message.message(6, |contribution| {
            contribution.uint(1, axis(of));
            contribution.text(2, CAP.as_bytes());
            contribution.sint(3, amount.by_bounds.get());
        });
    }
}

fn axis(axis: v1::Axis) -> u32 {
    i32::from(axis).cast_unsigned()
}

/// The field `what` of evidence, for each shape of signals.
struct Words {
    fields: Message,
    ends: Vec<usize>,
}

impl Words {
    fn of(signals: &Signals) -> Self {
        let mut fields = Message::with_capacity(32 * signals.shapes.len());
        let mut ends = Vec::with_capacity(signals.shapes.len());
        for shape in signals.fields() {
            fields.texts(3, &in_words(&shape));
            ends.push(fields.len());
        }
        Self { fields, ends }
    }

    fn of_shape(&self, shape: u32) -> &[u8] {
        let shape = index(shape);
        let start = shape.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fields.as_bytes()[start..self.ends[shape]]
    }
}
