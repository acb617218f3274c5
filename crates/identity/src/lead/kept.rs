//! The events of a lead themselves, beside what they say.

use super::{Attributed, Lead, Place, Remembered, is_lead};
use crate::IdentitySettings;
use crate::bundle::Bundle;

impl Lead {
    /// Lets the events themselves go into a bundle once they are too many to be written with each that comes: says into
    /// which, and what it takes.
    pub(crate) fn bundle(&mut self, settings: &IdentitySettings) -> Option<(u32, Bundle)> {
        let bundled = self.here.take_if(|here| here.bytes() > settings.bytes_beside_decisions)?;
        let number = self.attributed.iter().map(|it| it.bundle).max().unwrap_or(0) + 1;
        for entry in &mut self.attributed {
            if bundled.record(&entry.event_id).is_some() {
                entry.bundle = number;
            }
        }
        Some((number, bundled))
    }

    /// Every event it remembers, once, in the order they happened.
    pub(crate) fn remembered(&self) -> Vec<Remembered> {
        let place = |entry: &Attributed| match entry.bundle {
            0 => match self.here.as_ref().and_then(|here| here.record(&entry.event_id)) {
                Some(record) => Place::Here(record.to_vec()),
                None => Place::Nowhere,
            },
            bundle => Place::Bundle(bundle),
        };
        let events = self.attributed.chunk_by(|a, b| a.event_id == b.event_id);
        let remembered = events.filter_map(|entries| {
            let first = entries.first()?;
            let own = entries.iter().any(|entry| !is_lead(&entry.home));
            Some(Remembered { event_id: first.event_id.clone(), own, place: place(first) })
        });
        remembered.collect()
    }

    /// Whether one of its own homes claims the event, and it is kept.
    pub(crate) fn can_move(&self, event_id: &[u8]) -> bool {
        let entry = self.attributed.iter().find(|it| it.event_id == event_id);
        let here = || self.here.as_ref().is_some_and(|here| here.record(event_id).is_some());
        entry.is_some_and(|entry| entry.bundle > 0 || here())
    }
}
