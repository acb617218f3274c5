//! The state of a lead as bytes: as few as reasonable, and the same for the same state.
//!
//! Texts stand once, in the order of first use by the signals in their order; so do shapes. Instants of signals are
//! differences to the signal before.

use tasuki_domain::{EventId, Timestamp};
use tasuki_playbook::EventKind;
use tasuki_stream::StateError;

use crate::bytes::{Bytes, optional, signed, unsigned, write_text};
use crate::fit::Fit;
use crate::profile::CompactProfile;
use crate::signals::{Shape, Signal, Signals, index, number};
use crate::state::ScoringState;

const FORMAT: u8 = 2;

pub(crate) fn encode(state: &ScoringState, into: &mut Vec<u8>) {
    let signals = &state.signals;
    into.reserve(64 + 32 * signals.list.len() + 64 * signals.shapes.len() + 256);
    into.push(FORMAT);
    unsigned(into, state.seen);
    unsigned(into, state.version);
    for instant in [state.next_change_at, state.profile_received_at, state.dropped_received_at] {
        optional(into, instant);
    }
    into.extend_from_slice(&state.fit_rules.to_le_bytes());
    unsigned(into, state.fit.words.len());
    state.fit.words.iter().for_each(|&word| unsigned(into, word));
    let profile = state.profile.as_ref().map_or(&[][..], CompactProfile::as_bytes);
    unsigned(into, profile.len());
    into.extend_from_slice(profile);

    let mut texts = Renumbered::new(signals.text_count() + 1);
    // Number 0, the empty text, is not written and comes first in any case.
    texts.visit(0);
    let mut shapes = Renumbered::new(signals.shapes.len());
    for signal in &signals.list {
        if shapes.visit(signal.shape) {
            signals.shapes[index(signal.shape)].texts.iter().for_each(|&text| _ = texts.visit(text));
        }
    }
    unsigned(into, texts.order.len() - 1);
    texts.order[1..].iter().for_each(|&old| write_text(into, signals.text(old)));
    unsigned(into, shapes.order.len());
    for &old in &shapes.order {
        write_shape(into, &signals.shapes[index(old)], &texts);
    }
    write_signals(into, signals, &shapes);
}

fn write_shape(into: &mut Vec<u8>, shape: &Shape, texts: &Renumbered) {
    let present = (0..4).filter(|&field| shape.texts[field] != 0).fold(0, |bits, field| bits | 1 << field);
    into.push(shape.kind.code() << 4 | present);
    for &text in shape.texts.iter().filter(|&&text| text != 0) {
        unsigned(into, texts.new_number(text) - 1);
    }
}

fn write_signals(into: &mut Vec<u8>, signals: &Signals, shapes: &Renumbered) {
    unsigned(into, signals.list.len());
    let mut before = 0_i64;
    for signal in &signals.list {
        into.extend_from_slice(signal.id.as_bytes());
        let (occurred, received) = (signal.occurred_at.as_millis(), signal.received_at.as_millis());
        signed(into, occurred.wrapping_sub(before));
        signed(into, received.wrapping_sub(occurred));
        unsigned(into, shapes.new_number(signal.shape));
        before = occurred;
    }
}

/// Numbers given anew, in the order of the first visit.
struct Renumbered {
    new: Vec<u32>,
    order: Vec<u32>,
}

const NOT_VISITED: u32 = u32::MAX;

impl Renumbered {
    fn new(count: usize) -> Self {
        Self { new: vec![NOT_VISITED; count], order: Vec::new() }
    }

    /// True at the first visit.
    fn visit(&mut self, old: u32) -> bool {
        let first = self.new[index(old)] == NOT_VISITED;
        if first {
            self.new[index(old)] = number(self.order.len());
            self.order.push(old);
        }
        first
    }

    fn new_number(&self, old: u32) -> u32 {
        self.new[index(old)]
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<ScoringState, StateError> {
    let mut from = Bytes { rest: bytes };
    let format = from.byte()?;
    if format != FORMAT {
        return Err(StateError(format!("format {format} is not known; this release reads {FORMAT}")));
    }
    let (seen, version) = (from.unsigned()?, from.unsigned()?);
    let (next_change_at, profile_received_at, dropped_received_at) =
        (from.optional()?, from.optional()?, from.optional()?);
    let fit_rules = from.take(4)?.try_into().map_or(0, u32::from_le_bytes);
    let words = (0..from.count()?).map(|_| from.unsigned()).collect::<Result<_, _>>()?;
    let profile = Some(from.count()?).filter(|&length| length > 0);
    let profile = profile.map(|length| CompactProfile::from_bytes(from.take(length)?)).transpose()?;
    let signals = from.signals()?;
    if !from.rest.is_empty() {
        return Err(StateError("there is more behind the end".to_owned()));
    }
    let fit = Fit { words };
    Ok(ScoringState {
        seen,
        version,
        next_change_at,
        profile_received_at,
        dropped_received_at,
        fit_rules,
        fit,
        signals,
        profile,
    })
}

impl Bytes<'_> {
    fn signals(&mut self) -> Result<Signals, StateError> {
        let mut signals = Signals::default();
        for _ in 0..self.count()? {
            signals.push_text(self.text()?);
        }
        for _ in 0..self.count()? {
            let shape = self.shape(&signals)?;
            signals.shapes.push(shape);
        }
        let count = self.count()?;
        // Room for one more, which is what mostly comes next.
        signals.list.reserve_exact(count + 1);
        let mut before = 0_i64;
        for _ in 0..count {
            let id = EventId::from_slice(self.take(16)?).map_err(|error| StateError(error.to_string()))?;
            let occurred = before.wrapping_add(self.signed()?);
            let received = occurred.wrapping_add(self.signed()?);
            let shape = self.number(signals.shapes.len())?;
            let (occurred_at, received_at) = (Timestamp::from_millis(occurred), Timestamp::from_millis(received));
            signals.list.push(Signal { occurred_at, id, received_at, shape });
            before = occurred;
        }
        Ok(signals)
    }

    fn shape(&mut self, signals: &Signals) -> Result<Shape, StateError> {
        let head = self.byte()?;
        let kind = EventKind::from_code(head >> 4).ok_or_else(|| StateError("no such kind of event".to_owned()))?;
        let mut texts = [0; 4];
        for (field, text) in texts.iter_mut().enumerate() {
            if head & 1 << field != 0 {
                *text = self.number(signals.text_count())? + 1;
            }
        }
        Ok(Shape { kind, texts })
    }
}
