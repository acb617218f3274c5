//! The state of a lead as bytes: as few as reasonable, and the same for the same state.
//!
//! Numbers are written in 7-bit groups (LEB128), signed ones zigzag. Texts stand once, in the order of first use by the
//! signals in their order and then the profile; so do shapes. Instants of signals are differences to the signal before.

use tasuki_domain::{EventId, Timestamp};
use tasuki_playbook::EventKind;
use tasuki_stream::StateError;
use tasuki_wire::v1;

use crate::signals::{Shape, Signal, Signals, index, number};
use crate::state::ScoringState;

const FORMAT: u8 = 1;

/// Names of attributes that are written as their number here, counted from 1. Only ever added to.
const KNOWN_NAMES: [&str; 13] = [
    "email",
    "name",
    "first_name",
    "last_name",
    "title",
    "department",
    "phone",
    "company",
    "industry",
    "employees",
    "country",
    "region",
    "website",
];

pub(crate) fn encode(state: &ScoringState, into: &mut Vec<u8>) {
    let signals = &state.signals;
    let mut texts = Texts::new(signals);
    let mut shapes = Renumbered::new(signals.shapes.len());
    for signal in &signals.list {
        if shapes.visit(signal.shape) {
            signals.shapes[index(signal.shape)].texts.iter().for_each(|&text| texts.visit(text));
        }
    }
    let profile = state.profile.as_ref();
    let attributes = profile.into_iter().flat_map(|profile| &profile.attributes);
    let said: Vec<(u32, u32)> =
        attributes.map(|(name, value)| (texts.name(name), texts.extra(&value.source))).collect();

    into.push(FORMAT);
    unsigned(into, state.seen);
    unsigned(into, state.version);
    for instant in [state.next_change_at, state.profile_received_at, state.dropped_received_at] {
        optional(into, instant);
    }
    texts.write(into);
    unsigned(into, shapes.order.len());
    for &old in &shapes.order {
        write_shape(into, &signals.shapes[index(old)], &texts);
    }
    write_signals(into, signals, &shapes);
    write_profile(into, profile, &said);
}

fn write_shape(into: &mut Vec<u8>, shape: &Shape, texts: &Texts<'_>) {
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

fn write_profile(into: &mut Vec<u8>, profile: Option<&v1::Profile>, said: &[(u32, u32)]) {
    let Some(profile) = profile else { return into.push(0) };
    // 2: the account is the domain of the address.
    let by_domain = !profile.account_id.is_empty() && domain(&profile.email) == profile.account_id;
    into.push(if by_domain { 2 } else { 1 });
    write_text(into, &profile.email);
    if !by_domain {
        write_text(into, &profile.account_id);
    }
    unsigned(into, said.len());
    let mut before = 0_i64;
    for (&(name, source), attribute) in said.iter().zip(profile.attributes.values()) {
        unsigned(into, name);
        unsigned(into, source);
        write_text(into, &attribute.value);
        signed(into, attribute.occurred_at_ms.wrapping_sub(before));
        before = attribute.occurred_at_ms;
    }
}

fn domain(email: &str) -> &str {
    email.rsplit_once('@').map_or("", |(_, domain)| domain)
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

/// The table of texts as it will be written: those of the signals in use, then those that only the profile has.
struct Texts<'s> {
    signals: &'s Signals,
    used: Renumbered,
    extra: Vec<&'s str>,
}

impl<'s> Texts<'s> {
    fn new(signals: &'s Signals) -> Self {
        // Number 0, the empty text, is not written and comes first in any case.
        let mut used = Renumbered::new(signals.text_count() + 1);
        used.visit(0);
        Self { signals, used, extra: Vec::new() }
    }

    fn visit(&mut self, text: u32) {
        self.used.visit(text);
    }

    /// The number it will have; 0 is the empty text.
    fn new_number(&self, text: u32) -> u32 {
        self.used.new_number(text)
    }

    /// The number that a text of the profile will have.
    fn extra(&mut self, text: &'s str) -> u32 {
        let of_signals = self.used.order.iter().position(|&old| self.signals.text(old) == text);
        let known = of_signals.or_else(|| {
            let extra = self.extra.iter().position(|&known| known == text);
            extra.map(|at| self.used.order.len() + at)
        });
        number(known.unwrap_or_else(|| {
            self.extra.push(text);
            self.used.order.len() + self.extra.len() - 1
        }))
    }

    /// The number of an attribute's name: those of the known names, then those of the texts.
    fn name(&mut self, name: &'s str) -> u32 {
        match KNOWN_NAMES.iter().position(|known| *known == name) {
            Some(at) => number(at + 1),
            None => self.extra(name) + number(KNOWN_NAMES.len()) + 1,
        }
    }

    fn write(&self, into: &mut Vec<u8>) {
        unsigned(into, self.used.order.len() - 1 + self.extra.len());
        for &old in &self.used.order[1..] {
            write_text(into, self.signals.text(old));
        }
        for text in &self.extra {
            write_text(into, text);
        }
    }
}

fn write_text(into: &mut Vec<u8>, text: &str) {
    unsigned(into, text.len());
    into.extend_from_slice(text.as_bytes());
}

fn optional(into: &mut Vec<u8>, instant: Option<Timestamp>) {
    match instant {
        Some(instant) => {
            into.push(1);
            signed(into, instant.as_millis());
        }
        None => into.push(0),
    }
}

fn signed(into: &mut Vec<u8>, number: i64) {
    unsigned(into, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

fn unsigned(into: &mut Vec<u8>, number: impl TryInto<u64>) {
    let Ok(mut rest) = number.try_into() else { unreachable!("counts and numbers fit in 64 bits") };
    loop {
        let low = u8::try_from(rest & 0x7f).expect("seven bits");
        rest >>= 7;
        if rest == 0 {
            return into.push(low);
        }
        into.push(low | 0x80);
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
    let mut signals = Signals::default();
    for _ in 0..from.count()? {
        signals.push_text(from.text()?);
    }
    for _ in 0..from.count()? {
        let shape = from.shape(&signals)?;
        signals.shapes.push(shape);
    }
    from.signals(&mut signals)?;
    let profile = from.profile(&signals)?;
    if !from.rest.is_empty() {
        return Err(StateError("there is more behind the end".to_owned()));
    }
    Ok(ScoringState { seen, version, next_change_at, profile_received_at, dropped_received_at, signals, profile })
}

/// What is left to be read.
struct Bytes<'b> {
    rest: &'b [u8],
}

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], StateError> {
        let taken = self.rest.split_at_checked(count).ok_or_else(|| StateError("it ends too early".to_owned()))?;
        self.rest = taken.1;
        Ok(taken.0)
    }

    fn byte(&mut self) -> Result<u8, StateError> {
        Ok(self.take(1)?[0])
    }

    fn unsigned(&mut self) -> Result<u64, StateError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(StateError("a number has more than 64 bits".to_owned()))
    }

    /// A count of things of at least one byte each.
    fn count(&mut self) -> Result<usize, StateError> {
        let count = usize::try_from(self.unsigned()?).ok().filter(|&count| count <= self.rest.len());
        count.ok_or_else(|| StateError("a count is larger than what follows".to_owned()))
    }

    fn signed(&mut self) -> Result<i64, StateError> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn optional(&mut self) -> Result<Option<Timestamp>, StateError> {
        Ok(if self.byte()? == 0 { None } else { Some(Timestamp::from_millis(self.signed()?)) })
    }

    fn text(&mut self) -> Result<&'b str, StateError> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| StateError("a text is not UTF-8".to_owned()))
    }

    /// A number below a limit.
    fn number(&mut self, limit: usize) -> Result<u32, StateError> {
        let number = u32::try_from(self.unsigned()?).ok().filter(|&number| index(number) < limit);
        number.ok_or_else(|| StateError("a number points nowhere".to_owned()))
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

    fn signals(&mut self, signals: &mut Signals) -> Result<(), StateError> {
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
        Ok(())
    }

    fn profile(&mut self, signals: &Signals) -> Result<Option<v1::Profile>, StateError> {
        let form = self.byte()?;
        if form == 0 {
            return Ok(None);
        }
        let email = self.text()?.to_owned();
        let account_id = if form == 2 { domain(&email) } else { self.text()? }.to_owned();
        let mut profile = v1::Profile { email, account_id, ..v1::Profile::default() };
        let mut before = 0_i64;
        for _ in 0..self.count()? {
            let texts = signals.text_count() + 1;
            let name = index(self.number(KNOWN_NAMES.len() + 1 + texts)?);
            let name = match name.checked_sub(KNOWN_NAMES.len() + 1) {
                Some(text) => signals.text(number(text)),
                None => {
                    KNOWN_NAMES[name.checked_sub(1).ok_or_else(|| StateError("an attribute has no name".to_owned()))?]
                }
            };
            let source = signals.text(self.number(texts)?).to_owned();
            let value = self.text()?.to_owned();
            let occurred_at_ms = before.wrapping_add(self.signed()?);
            before = occurred_at_ms;
            profile.attributes.insert(name.to_owned(), v1::AttributeValue { value, source, occurred_at_ms });
        }
        Ok(Some(profile))
    }
}
