//! A playbook that was published, as every service reads it.

use std::fmt::Display;

use tasuki_domain::{EventId, Timestamp};
use tasuki_wire::v1::playbook_record::Event;
use tasuki_wire::{Head, v1};

use crate::Poison;

/// A playbook that was published, as its record tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publication<'r> {
    /// Of the event. Stands for one text.
    pub id: EventId,
    /// When it was published.
    pub at: Timestamp,
    /// What was published.
    pub playbook: &'r v1::PlaybookPublished,
}

impl<'r> Publication<'r> {
    /// Reads a record.
    ///
    /// # Errors
    ///
    /// If it has no valid head, or no event that this release knows. The text is not looked at.
    pub fn of(record: &'r v1::PlaybookRecord) -> Result<Self, Poison> {
        let head = Head::read(record.meta.as_ref())?;
        let Some(Event::Published(playbook)) = &record.event else {
            return Err(Poison::new("missing-field", "event is not set, or by a release that this one does not know"));
        };
        Ok(Self { id: head.event_id, at: head.occurred_at, playbook })
    }

    /// What decides which of two counts, in whatever order they come: the greater.
    pub fn order(&self) -> (Timestamp, EventId) {
        (self.at, self.id)
    }

    /// The key under which a partition keeps the playbook of a version. No lead has it.
    pub fn key(version: u32) -> String {
        format!("playbook:{version}")
    }

    /// What a record is whose text cannot be used. Faults quote the file, in which nothing personal stands.
    pub fn unreadable(faults: impl Display) -> Poison {
        Poison::new("unreadable-playbook", format!("this release cannot use it: {faults}"))
    }
}

#[cfg(test)]
mod tests {
    use tasuki_domain::Version;

    use super::*;

    fn record(at: i64, id: &str) -> v1::PlaybookRecord {
        let (event_id, at) = (EventId::reported("test", id), Timestamp::from_millis(at));
        let head =
            Head { event_id, occurred_at: at, received_at: at, cause: None, lead: None, version: Version::new(0) };
        let playbook = v1::PlaybookPublished { version: 7, ..v1::PlaybookPublished::default() };
        v1::PlaybookRecord { meta: Some(head.to_meta()), event: Some(Event::Published(playbook)) }
    }

    #[test]
    fn the_later_counts_and_of_two_at_once_always_the_same() {
        let (early, one, other) = (record(1, "z"), record(2, "a"), record(2, "b"));
        let order = |record| Publication::of(record).expect("a publication").order();
        assert!(order(&early) < order(&one));
        assert!(order(&early) < order(&other));
        assert_ne!(order(&one), order(&other));
        assert_eq!(Publication::of(&one).expect("a publication").playbook.version, 7);
    }

    #[test]
    fn a_record_without_head_or_event_is_refused() {
        let headless = v1::PlaybookRecord { meta: None, ..record(1, "a") };
        let empty = v1::PlaybookRecord { event: None, ..record(1, "a") };
        let code = |record| Publication::of(record).expect_err("no publication").code;
        assert_eq!(code(&empty), "missing-field");
        assert_ne!(code(&headless), "missing-field");
    }
}
