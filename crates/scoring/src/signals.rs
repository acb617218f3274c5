//! The signals of a lead: the small part of each behavior event that scoring looks at.

use tasuki_domain::{EventId, Millis, Timestamp};
use tasuki_playbook::{EventKind, KEPT_FOR, SignalFields};

/// Most signals that are kept of one lead; the latest stay.
pub const MOST_SIGNALS: usize = 500;

/// Most bytes of a text that are kept; the rest is cut off, and no pattern sees it.
const MOST_BYTES: usize = 256;

/// The signals of one lead, in the order of (occurred_at, event id).
///
/// Texts and whole signals repeat a lot, so each is kept once: a signal is an id, two instants and the number of its
/// shape. Two sets of the same signals are equal in meaning, whatever the order in which they were inserted.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// All texts, one behind the other.
    texts: String,
    /// Where each text ends.
    ends: Vec<u32>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) list: Vec<Signal>,
    /// The latest receipt.
    received_at: Option<Timestamp>,
}

/// What signals have in common that no rule can tell apart. The fields are numbers of texts; 0 is the empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) kind: EventKind,
    /// About, path, source, campaign.
    pub(crate) texts: [u32; 4],
}

impl Shape {
    /// What it is called by: no other kind and text have the same words.
    pub(crate) fn named(&self) -> (EventKind, u32) {
        let [about, path, ..] = self.texts;
        (self.kind, if self.kind == EventKind::PageViewed { path } else { about })
    }
}

/// One signal. The derived order is that of scoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signal {
    pub(crate) occurred_at: Timestamp,
    pub(crate) id: EventId,
    pub(crate) received_at: Timestamp,
    pub(crate) shape: u32,
}

/// A signal as it comes in.
#[derive(Clone, Copy, Debug)]
pub struct NewSignal<'s> {
    /// Of the behavior event.
    pub id: EventId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When Tasuki received it.
    pub received_at: Timestamp,
    /// What rules look at.
    pub fields: SignalFields<'s>,
}

/// What had to go, so that a lead stays within its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub(crate) too_many: usize,
    pub(crate) too_old: usize,
    /// The latest receipt among them.
    pub(crate) received_at: Option<Timestamp>,
}

impl Signals {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a signal; false if its id is known, and nothing changes then.
    pub fn insert(&mut self, signal: &NewSignal<'_>) -> bool {
        // What comes is mostly the latest, and a repetition is of something recent.
        if self.list.iter().rev().any(|known| known.id == signal.id) {
            return false;
        }
        let shape = self.shape_of(&signal.fields);
        let NewSignal { id, occurred_at, received_at, fields: _ } = *signal;
        let signal = Signal { occurred_at, id, received_at, shape };
        let latest = self.list.last().is_none_or(|last| *last < signal);
        let at = if latest { self.list.len() } else { self.list.partition_point(|known| *known < signal) };
        self.list.insert(at, signal);
        self.received_at = self.received_at.max(Some(received_at));
        true
    }

    /// Takes a signal out; false if there is none of this id.
    pub fn remove(&mut self, id: EventId) -> bool {
        let Some(at) = self.list.iter().position(|known| known.id == id) else { return false };
        let removed = self.list.remove(at);
        self.look_for_receipt(Some(removed.received_at));
        true
    }

    /// Those that had happened by an instant, within the bounds of what is kept: that something lies ahead of its own
    /// receipt is what a wrong clock says, and then the receipt decides.
    pub(crate) fn happened_by(&self, as_of: Timestamp) -> Self {
        let mut then = self.clone();
        then.list.retain(|signal| signal.occurred_at.min(signal.received_at) <= as_of);
        then.look_for_receipt(self.received_at);
        then.prune(as_of);
        then
    }

    /// The latest receipt.
    pub fn received_at(&self) -> Option<Timestamp> {
        self.received_at
    }

    /// Finds the latest receipt anew, when signals are gone of which this was the latest.
    fn look_for_receipt(&mut self, gone: Option<Timestamp>) {
        if gone >= self.received_at {
            self.received_at = self.list.iter().map(|signal| signal.received_at).max();
        }
    }

    /// What rules look at, for each shape.
    pub(crate) fn fields(&self) -> impl Iterator<Item = SignalFields<'_>> {
        self.shapes.iter().map(|shape| self.fields_of(shape))
    }

    pub(crate) fn fields_of(&self, shape: &Shape) -> SignalFields<'_> {
        let [about, path, source, campaign] = shape.texts.map(|number| self.text(number));
        SignalFields { kind: shape.kind, about, path, source, campaign }
    }

    /// Drops what is too old at this instant or too much; the oldest go first.
    pub(crate) fn prune(&mut self, as_of: Timestamp) -> Pruned {
        let too_old = match self.list.first() {
            Some(oldest) if !is_kept(oldest.occurred_at, as_of) => {
                self.list.partition_point(|signal| !is_kept(signal.occurred_at, as_of))
            }
            Some(_) | None => 0,
        };
        let too_many = (self.list.len() - too_old).saturating_sub(MOST_SIGNALS);
        if too_old + too_many == 0 {
            return Pruned::default();
        }
        let received_at = self.list.drain(..too_old + too_many).map(|signal| signal.received_at).max();
        self.look_for_receipt(received_at);
        Pruned { too_many, too_old, received_at }
    }

    #[inline]
    pub(crate) fn text(&self, number: u32) -> &str {
        let Some(at) = index(number).checked_sub(1) else { return "" };
        let start = at.checked_sub(1).map_or(0, |before| index(self.ends[before]));
        &self.texts[start..index(self.ends[at])]
    }

    /// All texts, one behind the other.
    pub(crate) fn texts(&self) -> &str {
        &self.texts
    }

    /// Where each text ends; the empty one, which is number 0, is not among them.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Signals from what was written of them.
    pub(crate) fn from_parts(
        texts: String,
        ends: Vec<u32>,
        shapes: Vec<Shape>,
        list: Vec<Signal>,
        received_at: Option<Timestamp>,
    ) -> Self {
        Self { texts, ends, shapes, list, received_at }
    }

    /// Whether texts and shapes stand in the order of their first use, and each is used.
    pub(crate) fn is_in_order(&self) -> bool {
        let mut shapes = 0;
        for signal in &self.list {
            if signal.shape > shapes {
                return false;
            }
            shapes += u32::from(signal.shape == shapes);
        }
        let mut texts = 0;
        for &text in self.shapes.iter().flat_map(|shape| &shape.texts) {
            if text > texts + 1 {
                return false;
            }
            texts += u32::from(text == texts + 1);
        }
        index(shapes) == self.shapes.len() && index(texts) == self.ends.len()
    }

    fn shape_of(&mut self, fields: &SignalFields<'_>) -> u32 {
        let SignalFields { kind, about, path, source, campaign } = *fields;
        let texts = [about, path, source, campaign].map(|text| &text[..text.floor_char_boundary(MOST_BYTES)]);
        // They differ in the path more often than in anything else.
        let known = self.shapes.iter().position(|shape| {
            shape.kind == kind && [1, 0, 3, 2].iter().all(|&field| self.text(shape.texts[field]) == texts[field])
        });
        number(known.unwrap_or_else(|| {
            let texts = texts.map(|text| self.text_number(text));
            self.shapes.push(Shape { kind, texts });
            self.shapes.len() - 1
        }))
    }

    fn text_number(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let known = (1..=self.ends.len()).map(number).find(|&number| self.text(number) == text);
        known.unwrap_or_else(|| {
            self.texts.push_str(text);
            self.ends.push(number(self.texts.len()));
            number(self.ends.len())
        })
    }
}

/// Whether a signal of then still counts as of that instant.
#[inline]
pub(crate) fn is_kept(occurred_at: Timestamp, as_of: Timestamp) -> bool {
    as_of.since(occurred_at) <= KEPT_FOR
}

/// How old a signal is; what is said to happen in the future is new.
#[inline]
pub(crate) fn age(occurred_at: Timestamp, as_of: Timestamp) -> Millis {
    as_of.since(occurred_at).max(Millis::new(0))
}

#[inline]
pub(crate) fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a transaction touches fewer than four billion signals, and fewer bytes of texts")
}

#[inline]
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).expect("an index that came from a usize")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn signal(id: u128, day: i64, about: &str) -> NewSignal<'_> {
        let occurred_at = Timestamp::from_millis(0) + Millis::from_days(day);
        let fields =
            SignalFields { kind: EventKind::FormSubmitted, about, path: "/form", source: "website", campaign: "" };
        NewSignal { id: EventId::new(Uuid::from_u128(id)), occurred_at, received_at: occurred_at, fields }
    }

    #[test]
    fn keeps_each_text_and_shape_once_and_signals_in_order() {
        let mut signals = Signals::default();
        for (id, day, about) in [(3, 5, "demo"), (1, 5, "demo"), (2, 1, "newsletter")] {
            assert!(signals.insert(&signal(id, day, about)));
        }
        assert!(!signals.insert(&signal(3, 9, "other")), "an id is known once");
        let ids: Vec<_> = signals.list.iter().map(|signal| signal.id.uuid().as_u128()).collect();
        assert_eq!(
            (ids, signals.shapes.len(), signals.texts.as_str()),
            (vec![2, 1, 3], 2, "demo/formwebsitenewsletter")
        );
        assert_eq!(signals.fields().map(|fields| fields.about).collect::<Vec<_>>(), ["demo", "newsletter"]);
    }

    #[test]
    fn drops_the_old_first_and_then_the_oldest() {
        let mut signals = Signals::default();
        for id in 0..502_u32 {
            signals.insert(&signal(u128::from(id), i64::from(id), ""));
        }
        let as_of = Timestamp::from_millis(0) + Millis::from_days(401);
        let received_at = Some(Timestamp::from_millis(0) + Millis::from_days(1));
        assert_eq!(signals.prune(as_of), Pruned { too_many: 1, too_old: 1, received_at });
        assert_eq!(signals.len(), MOST_SIGNALS);
        assert_eq!(signals.prune(as_of), Pruned::default());
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let mut signals = Signals::default();
        let long = "é".repeat(200) + "x";
        signals.insert(&signal(1, 0, &long));
        signals.insert(&signal(2, 0, &"é".repeat(300)));
        assert_eq!(signals.fields().map(|fields| fields.about.len()).collect::<Vec<_>>(), [256]);
    }
}
