//! The state of a lead as bytes: as few as reasonable, quickly read, and the same for the same state.
//!
//! Texts stand once, in the order of first use by the signals in their order; so do shapes. Instants of signals are
//! differences to the signal before. What is alike stands together: all texts, then all shapes, then the instants of
//! all signals, then their ids, which are the last bytes of the state.

use tasuki_domain::{EventId, Timestamp};
use tasuki_playbook::EventKind;
use tasuki_stream::StateError;

use crate::account::Told;
use crate::bytes::{Bytes, signed, too_early, unsigned};
use crate::fit::Fit;
use crate::matching::Matching;
use crate::profile::CompactProfile;
use crate::signals::{MOST_SIGNALS, Shape, Signal, Signals, index, number};
use crate::state::ScoringState;

const FORMAT: u8 = 4;
/// Said of each instant by itself whether it is there, and knew of no accounts.
const FORMAT_BEFORE: u8 = 3;
/// The bit for a lead that adds something to its account, behind one for each instant that is there.
const ADDS: u8 = 1 << 3;
/// For one that hears what its account has, one that was told something, and one that time changed since.
const HEARS: u8 = 1 << 4;
const TOLD: u8 = 1 << 5;
const TIMED: u8 = 1 << 6;

pub(crate) fn encode(state: &ScoringState, into: &mut Vec<u8>) {
    let profile = state.profile.as_ref().map_or(&[][..], CompactProfile::as_bytes);
    let signals = &state.signals;
    let (lists, texts) = (34 * signals.list.len() + 32 * signals.shapes.len(), signals.texts().len());
    into.reserve(128 + lists + texts + profile.len());
    into.push(FORMAT);
    unsigned(into, state.seen);
    unsigned(into, state.version);
    let instants = [state.next_change_at, state.profile_received_at, state.dropped_received_at];
    let present = instants.iter().enumerate().map(|(at, instant)| u8::from(instant.is_some()) << at).sum::<u8>();
    let bits =
        [(state.adds, ADDS), (state.hears, HEARS), (state.told.is_some(), TOLD), (state.timed_at.is_some(), TIMED)];
    into.push(bits.into_iter().filter(|(is, _)| *is).fold(present, |bits, (_, bit)| bits | bit));
    instants.into_iter().flatten().for_each(|instant| signed(into, instant.as_millis()));
    state.told.iter().for_each(|told| told.encode(into));
    state.timed_at.iter().for_each(|instant| signed(into, instant.as_millis()));
    into.extend_from_slice(&state.revision.to_le_bytes());
    unsigned(into, state.fit.words.len());
    state.fit.words.iter().for_each(|&word| unsigned(into, word));
    unsigned(into, profile.len());
    into.extend_from_slice(profile);
    if signals.is_in_order() {
        write_signals(into, signals, &state.matching);
    } else {
        let (signals, matching) = in_order(signals, &state.matching);
        write_signals(into, &signals, &matching);
    }
}

fn write_signals(into: &mut Vec<u8>, signals: &Signals, matching: &Matching) {
    write_texts(into, signals);
    let known = matching.len() == signals.shapes.len();
    into.extend_from_slice(&(if known { matching.fingerprint } else { 0 }).to_le_bytes());
    unsigned(into, signals.shapes.len());
    for (at, shape) in signals.shapes.iter().enumerate() {
        write_shape(into, shape);
        let rules = if known { matching.rules_of(number(at)) } else { &[] };
        write_rules(into, rules);
    }
    unsigned(into, signals.list.len());
    let mut before = 0_i64;
    for signal in &signals.list {
        let (occurred, received) = (signal.occurred_at.as_millis(), signal.received_at.as_millis());
        let late = received.wrapping_sub(occurred);
        let late = (late.cast_unsigned() << 1) ^ (late >> 63).cast_unsigned();
        write_signal(into, occurred.wrapping_sub(before).cast_unsigned(), late, signal.shape);
        before = occurred;
    }
    for signal in &signals.list {
        into.extend_from_slice(signal.id.as_bytes());
    }
}

fn write_texts(into: &mut Vec<u8>, signals: &Signals) {
    unsigned(into, signals.ends().len());
    let mut start = 0;
    for &end in signals.ends() {
        unsigned(into, end - start);
        start = end;
    }
    into.extend_from_slice(signals.texts().as_bytes());
}

fn write_shape(into: &mut Vec<u8>, shape: &Shape) {
    let present = (0..4).filter(|&field| shape.texts[field] != 0).fold(0, |bits, field| bits | 1 << field);
    into.push(shape.kind.code() << 4 | present);
    shape.texts.iter().filter(|&&text| text != 0).for_each(|&text| unsigned(into, text - 1));
}

/// Numbers counted from 1, doubled, and one more where another follows; 0 if there is none.
fn write_rules(into: &mut Vec<u8>, rules: &[u32]) {
    let Some((last, others)) = rules.split_last() else { return into.push(0) };
    others.iter().for_each(|&rule| unsigned(into, 2 * (u64::from(rule) + 1) + 1));
    unsigned(into, 2 * (u64::from(*last) + 1));
}

/// The numbers of a signal. The first byte has the widths of the instants and the shape, if that is below 7; then come
/// the shape, if it is not, and the instants.
fn write_signal(into: &mut Vec<u8>, later: u64, late: u64, shape: u32) {
    let (later_code, late_code) = (later_code(later), late_code(late));
    let [low, high, ..] = shape.min(0xffff).to_le_bytes();
    if shape < 7 {
        into.push(later_code | late_code << 3 | low << 5);
    } else {
        into.extend_from_slice(&[later_code | late_code << 3 | 7 << 5, low, high]);
    }
    for (number, width) in [(later, LATER[usize::from(later_code)]), (late, LATE[usize::from(late_code)])] {
        let end = into.len() + width;
        into.extend_from_slice(&number.to_le_bytes());
        into.truncate(end);
    }
}

const _: () = assert!(MOST_SIGNALS <= 0xffff, "two bytes are a shape, of which there are not more than signals");

/// How many bytes the time since the signal before takes, by its code.
const LATER: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 8];
/// How many bytes the time until the receipt takes, by its code.
const LATE: [usize; 4] = [1, 2, 4, 8];
/// The bits of a number, by its bytes.
const MASKS: [u64; 9] =
    [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0xff_ffff_ffff, 0xffff_ffff_ffff, 0xff_ffff_ffff_ffff, u64::MAX];

#[inline]
fn later_code(number: u64) -> u8 {
    bytes_of(number).min(7)
}

#[inline]
fn late_code(number: u64) -> u8 {
    let bytes = bytes_of(number);
    u8::from(bytes > 1) + u8::from(bytes > 2) + u8::from(bytes > 4)
}

#[inline]
fn bytes_of(number: u64) -> u8 {
    u8::try_from((u64::BITS - number.leading_zeros()).div_ceil(8)).expect("at most 8")
}

/// The same, with texts and shapes in the order of their first use, and none that is not used.
fn in_order(signals: &Signals, matching: &Matching) -> (Signals, Matching) {
    let (mut texts, mut ends) = (String::with_capacity(signals.texts().len()), Vec::new());
    let (mut shapes, mut list) = (Vec::new(), signals.list.clone());
    let mut in_order = Matching::with_capacity(signals.shapes.len());
    in_order.fingerprint = if matching.len() == signals.shapes.len() { matching.fingerprint } else { 0 };
    // For each old number the new one and one more, which is that number for texts.
    let (mut new_texts, mut new_shapes) = (vec![0; signals.ends().len() + 1], vec![0; signals.shapes.len()]);
    for signal in &mut list {
        let old = index(signal.shape);
        if new_shapes[old] == 0 {
            let shape = signals.shapes[old];
            let numbers = shape.texts.map(|text| {
                if text != 0 && new_texts[index(text)] == 0 {
                    texts.push_str(signals.text(text));
                    ends.push(number(texts.len()));
                    new_texts[index(text)] = number(ends.len());
                }
                new_texts[index(text)]
            });
            shapes.push(Shape { kind: shape.kind, texts: numbers });
            if in_order.fingerprint != 0 {
                matching.rules_of(signal.shape).iter().for_each(|&rule| in_order.add(rule));
                in_order.end_shape();
            }
            new_shapes[old] = number(shapes.len());
        }
        signal.shape = new_shapes[old] - 1;
    }
    (Signals::from_parts(texts, ends, shapes, list, signals.received_at()), in_order)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<ScoringState, StateError> {
    let mut from = Bytes { rest: bytes };
    let format = from.byte()?;
    if ![FORMAT, FORMAT_BEFORE].contains(&format) {
        let known = format!("this release reads {FORMAT_BEFORE} and {FORMAT}");
        return Err(StateError(format!("format {format} is not known; {known}")));
    }
    let (seen, version) = (from.unsigned()?, from.unsigned()?);
    let (is, [next_change_at, profile_received_at, dropped_received_at]) = if format == FORMAT {
        from.bits_and_instants()?
    } else {
        (0, [from.optional()?, from.optional()?, from.optional()?])
    };
    let told = (is & TOLD != 0).then(|| Told::decode(&mut from)).transpose()?;
    let timed_at = (is & TIMED != 0).then(|| from.signed()).transpose()?.map(Timestamp::from_millis);
    let revision = from.fingerprint()?;
    let words = (0..from.count()?).map(|_| from.unsigned()).collect::<Result<_, _>>()?;
    let profile = Some(from.count()?).filter(|&length| length > 0);
    let profile = profile.map(|length| CompactProfile::from_bytes(from.take(length)?)).transpose()?;
    let (signals, matching) = from.signals()?;
    let fit = Fit { words };
    Ok(ScoringState {
        seen,
        version,
        next_change_at,
        profile_received_at,
        dropped_received_at,
        revision,
        fit,
        signals,
        matching,
        profile,
        adds: is & ADDS != 0,
        hears: is & HEARS != 0,
        told,
        timed_at,
        account: None,
        published: None,
    })
}

impl Bytes<'_> {
    fn bits_and_instants(&mut self) -> Result<(u8, [Option<Timestamp>; 3]), StateError> {
        let present = self.byte()?;
        let mut instants = [None; 3];
        for (at, instant) in instants.iter_mut().enumerate() {
            if present & 1 << at != 0 {
                *instant = Some(Timestamp::from_millis(self.signed()?));
            }
        }
        Ok((present, instants))
    }

    /// The last that is in the bytes.
    fn signals(mut self) -> Result<(Signals, Matching), StateError> {
        let (texts, ends) = self.texts()?;
        let fingerprint = self.fingerprint()?;
        let count = self.count()?;
        let mut shapes = Vec::with_capacity(count + 1);
        let mut matching = Matching::with_capacity(count);
        matching.fingerprint = fingerprint;
        for _ in 0..count {
            shapes.push(self.shape(ends.len())?);
            self.rules(&mut matching)?;
        }
        let (list, received_at) = self.list(shapes.len())?;
        Ok((Signals::from_parts(texts, ends, shapes, list, received_at), matching))
    }

    fn texts(&mut self) -> Result<(String, Vec<u32>), StateError> {
        let count = self.count()?;
        let mut ends = Vec::with_capacity(count + 1);
        let mut length = 0;
        for _ in 0..count {
            length += self.count()?;
            ends.push(u32::try_from(length).map_err(|_| too_early())?);
        }
        let texts = std::str::from_utf8(self.take(length)?).map_err(|_| not_text())?;
        if ends.iter().all(|&end| texts.is_char_boundary(index(end))) {
            Ok((texts.to_owned(), ends))
        } else {
            Err(not_text())
        }
    }

    fn shape(&mut self, texts_known: usize) -> Result<Shape, StateError> {
        let head = self.byte()?;
        let kind = EventKind::from_code(head >> 4).ok_or_else(|| StateError("no such kind of event".to_owned()))?;
        let mut texts = [0; 4];
        for (field, text) in texts.iter_mut().enumerate() {
            if head & 1 << field != 0 {
                *text = self.number(texts_known)? + 1;
            }
        }
        Ok(Shape { kind, texts })
    }

    fn rules(&mut self, matching: &mut Matching) -> Result<(), StateError> {
        loop {
            let number = self.number(usize::MAX)?;
            if let Some(rule) = (number / 2).checked_sub(1) {
                matching.add(rule);
            }
            if number % 2 == 0 {
                matching.end_shape();
                return Ok(());
            }
        }
    }

    /// All signals in their order, and the latest receipt.
    fn list(mut self, shapes: usize) -> Result<(Vec<Signal>, Option<Timestamp>), StateError> {
        let count = self.count()?;
        let ids = self.rest.len().checked_sub(16 * count).ok_or_else(too_early)?;
        let (ids, _) = self.rest[ids..].as_chunks::<16>();
        // Room for one more, which is what mostly comes next.
        let mut list = Vec::with_capacity(count + 1);
        let (mut occurred, mut latest) = (0_i64, i64::MIN);
        for id in ids {
            let head = self.byte()?;
            let mut shape = u64::from(head >> 5);
            if shape == 7 {
                shape = self.fixed(2)?;
            }
            occurred = occurred.wrapping_add(self.fixed(LATER[usize::from(head & 7)])?.cast_signed());
            let late = self.fixed(LATE[usize::from(head >> 3 & 3)])?;
            let received = occurred.wrapping_add((late >> 1).cast_signed() ^ -(late & 1).cast_signed());
            latest = latest.max(received);
            let shape = u32::try_from(shape).expect("two bytes at most");
            if index(shape) >= shapes {
                return Err(StateError("a number points nowhere".to_owned()));
            }
            list.push(Signal {
                occurred_at: Timestamp::from_millis(occurred),
                id: EventId::from_slice(id).map_err(|_| too_early())?,
                received_at: Timestamp::from_millis(received),
                shape,
            });
        }
        if self.rest.len() != 16 * count {
            return Err(StateError("there is more behind the end, or less".to_owned()));
        }
        Ok((list, (count > 0).then(|| Timestamp::from_millis(latest))))
    }

    /// A number of so many bytes. There are ids behind it, so that it can be read as if it had eight.
    #[inline]
    fn fixed(&mut self, bytes: usize) -> Result<u64, StateError> {
        let wide = self.rest.first_chunk().ok_or_else(too_early)?;
        self.rest = &self.rest[bytes..];
        Ok(u64::from_le_bytes(*wide) & MASKS[bytes])
    }

    fn fingerprint(&mut self) -> Result<u32, StateError> {
        Ok(self.take(4)?.try_into().map_or(0, u32::from_le_bytes))
    }
}

fn not_text() -> StateError {
    StateError("a text is not UTF-8".to_owned())
}
