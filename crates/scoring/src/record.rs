//! The record of a score, written straight into its bytes: it is the largest thing that scoring makes, and most of it
//! is evidence, of which there is too much to build it as values first.

use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::{AccountFacts, FitRule, Grade, Playbook, TrackRef};
use tasuki_wire::{Head, v1};

use crate::engagement::{Engagement, Matched};
use crate::fit::Fit;
use crate::message::{Message, zigzag};
use crate::profile::CompactProfile;
use crate::score::{Amount, Assessed, CAP, GROUP_CAP, InTrack, in_words};
use crate::signals::{Signal, Signals, index, number};

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
    /// What is known of the account of the lead.
    pub(crate) account: AccountFacts,
    pub(crate) because: v1::ScoredBecause,
    pub(crate) identities_version: u64,
    pub(crate) wording: &'a Wording,
}

/// The bytes of the `ScoreRecord`.
pub(crate) fn record(scored: &Scored<'_>) -> Vec<u8> {
    let Scored { assessed, .. } = scored;
    let signals = assessed.matched.signals;
    let evidence = 24 * signals.len() + 2 * signals.texts().len() + 100 * assessed.matched.matched().len();
    let mut record =
        Message::with_capacity(512 + evidence + scored.profile.map_or(0, |profile| 3 * profile.as_bytes().len()));
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
    write_grade(message, 5, assessed.grade);
    write_contributions(message, scored);
    for (fact, &value) in scored.wording.facts.iter().zip(&assessed.facts) {
        message.message(7, |message| {
            message.fields(fact.as_bytes());
            message.sint(2, value);
        });
    }
    let asked = playbook.account_asked();
    let account = asked.reached(&scored.account);
    for measure in asked.measures() {
        message.message(7, |message| {
            message.text(1, measure.fact().as_bytes());
            message.sint(2, account.value(measure));
        });
    }
    message.fixed(8, assessed.next_change_at.map_or(0, Timestamp::as_millis));
    if let Some(profile) = scored.profile {
        message.long_message(9, |message| profile.write(message));
    }
    message.uint(10, u32::try_from(signals.len()).expect("a lead has at most some hundred signals"));
    message.uint(11, because(scored.because));
    message.long_message(12, |evidence| write_evidence(evidence, &assessed.matched));
    message.uint(13, scored.identities_version);
    for in_track in &assessed.tracks {
        message.message(14, |message| write_track_score(message, in_track));
    }
}

fn write_grade(message: &mut Message, field: u8, grade: Grade) {
    let mut text = [0; 5];
    let fit = grade.fit.encode_utf8(&mut text).len();
    text[fit] = b'0' + grade.engagement;
    message.text(field, &text[..=fit]);
}

fn because(because: v1::ScoredBecause) -> u32 {
    i32::from(because).cast_unsigned()
}

fn write_contributions(message: &mut Message, scored: &Scored<'_>) {
    for rule in scored.assessed.matched.matched() {
        let write = |contribution: &mut Message| write_behaviour(contribution, &rule);
        if rule.evidence.len() > 16 { message.long_message(6, write) } else { message.message(6, write) }
    }
    for (group, points) in &scored.assessed.by_groups {
        message.message(6, |contribution| {
            contribution.uint(1, axis(v1::Axis::Engagement));
            contribution.texts(2, &[GROUP_CAP, &group.name]);
            contribution.sint(3, points.get());
            write_track(contribution, group.track.as_ref());
        });
    }
    write_bounds(message, 6, v1::Axis::Engagement, scored.assessed.engagement, "");
    for contribution in scored.fit.of_rules(&scored.wording.fit_rules) {
        message.fields(contribution.as_bytes());
    }
    write_bounds(message, 6, v1::Axis::Fit, scored.assessed.fit, "");
}

fn write_behaviour(contribution: &mut Message, matched: &Matched<'_>) {
    contribution.uint(1, axis(v1::Axis::Engagement));
    contribution.text(2, matched.rule.name.as_bytes());
    contribution.sint(3, matched.points().get());
    contribution.sint(4, matched.raw().get());
    contribution.uint(5, matched.tally.matches);
    contribution.packed(7, matched.evidence.iter().map(|piece| u64::from(piece.named)), 1);
    contribution.packed(8, matched.evidence.iter().map(|piece| zigzag(piece.points.get())), 3);
    contribution.sint(9, matched.by_limit().get());
    contribution.sint(10, matched.by_cap().get());
    write_track(contribution, matched.rule.track.as_ref());
}

fn write_track(contribution: &mut Message, track: Option<&TrackRef>) {
    contribution.text(12, TrackRef::name_of(track).as_bytes());
}

/// Fields of a `TrackScore`.
fn write_track_score(message: &mut Message, in_track: &InTrack<'_>) {
    message.text(1, in_track.track.name.as_bytes());
    message.sint(2, in_track.engagement.shown.get());
    message.sint(3, in_track.fit.shown.get());
    write_grade(message, 4, in_track.grade);
    write_bounds(message, 5, v1::Axis::Engagement, in_track.engagement, &in_track.track.name);
    write_bounds(message, 5, v1::Axis::Fit, in_track.fit, &in_track.track.name);
}

fn write_evidence(evidence: &mut Message, matched: &Engagement<'_>) {
    let signals = matched.signals;
    let mut words = Words::with_capacity(signals.shapes.len());
    evidence.parts(5, matched.named().map(|signal| signal.id.as_bytes()));
    let mut before = matched.as_of.as_millis();
    let earlier_by = |signal: &Signal| {
        let at = signal.occurred_at.as_millis();
        zigzag(std::mem::replace(&mut before, at).wrapping_sub(at))
    };
    evidence.packed(6, matched.named().map(earlier_by), 4);
    evidence.packed(7, matched.named().map(|signal| words.place(signals, signal.shape)), 1);
    for &shape in &words.shapes {
        evidence.texts(8, &in_words(&signals.fields_of(&signals.shapes[index(shape)])));
    }
}

fn write_attribute(contribution: &mut Message, rule: &FitRule) {
    contribution.uint(1, axis(v1::Axis::Fit));
    contribution.text(2, rule.name.as_bytes());
    contribution.sint(3, rule.points.get());
    contribution.sint(4, rule.points.get());
    contribution.uint(5, 1_u32);
    write_track(contribution, rule.track.as_ref());
}

fn write_bounds(message: &mut Message, field: u8, of: v1::Axis, amount: Amount, track: &str) {
    if amount.by_bounds != Millipoints::ZERO {
        message.message(field, |contribution| {
            contribution.uint(1, axis(of));
            contribution.text(2, CAP.as_bytes());
            contribution.sint(3, amount.by_bounds.get());
            contribution.text(12, track.as_bytes());
        });
    }
}

fn axis(axis: v1::Axis) -> u32 {
    i32::from(axis).cast_unsigned()
}

/// What evidence was, each once.
struct Words {
    /// For each, the first shape of signals that is called so.
    shapes: Vec<u32>,
    /// For each shape, its place among them, counted from 1; 0 where it is not known yet.
    places: Vec<u32>,
}

impl Words {
    fn with_capacity(shapes: usize) -> Self {
        Self { shapes: Vec::with_capacity(shapes), places: vec![0; shapes] }
    }

    /// The place of the words for a shape.
    fn place(&mut self, signals: &Signals, shape: u32) -> u64 {
        if self.places[index(shape)] == 0 {
            let named = signals.shapes[index(shape)].named();
            let known = self.shapes.iter().position(|&known| signals.shapes[index(known)].named() == named);
            let place = known.unwrap_or_else(|| {
                self.shapes.push(shape);
                self.shapes.len() - 1
            });
            self.places[index(shape)] = number(place) + 1;
        }
        u64::from(self.places[index(shape)] - 1)
    }
}
