//! The common head of every record, as typed values.

use tasuki_domain::{EventId, InvalidId, LeadId, Stage, Timestamp, Version};

use crate::v1;

/// The head of a record ([`v1::Meta`]), read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The event's own id.
    pub event_id: EventId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When Tasuki received the fact it follows from.
    pub received_at: Timestamp,
    /// The event it follows from, if any.
    pub cause: Option<EventId>,
    /// The lead it is about, if one is known.
    pub lead: Option<LeadId>,
    /// Its number among the records of its lead on its topic; 0 on topics without versions.
    pub version: Version,
}

/// The head of a record as it stands in its bytes, not yet checked: for who reads no more of a record than it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of `Meta`, documented in proto/")]
pub struct RawMeta<'b> {
    pub event_id: &'b [u8],
    pub occurred_at_ms: i64,
    pub received_at_ms: i64,
    pub cause_id: &'b [u8],
    pub lead_id: &'b [u8],
    pub version: u64,
}

impl<'b> From<&'b v1::Meta> for RawMeta<'b> {
    fn from(meta: &'b v1::Meta) -> Self {
        let v1::Meta { event_id, occurred_at_ms, received_at_ms, cause_id, lead_id, version } = meta;
        Self {
            event_id,
            occurred_at_ms: *occurred_at_ms,
            received_at_ms: *received_at_ms,
            cause_id,
            lead_id,
            version: *version,
        }
    }
}

/// A record's head is missing or broken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHead {
    /// No `meta`.
    #[error("the record has no meta")]
    Missing,
    /// An id has the wrong length.
    #[error("meta.{field}")]
    Id {
        /// Which field of `meta`.
        field: &'static str,
        /// What is wrong with it.
        source: InvalidId,
    },
    /// A record that must name a lead does not.
    #[error("meta.lead_id is empty")]
    NoLead,
}

impl Head {
    /// Reads the head of a record.
    pub fn read(meta: Option<&v1::Meta>) -> Result<Self, InvalidHead> {
        Self::read_raw(meta.map(RawMeta::from))
    }

    /// As [`Head::read`].
    pub fn read_raw(meta: Option<RawMeta<'_>>) -> Result<Self, InvalidHead> {
        let meta = meta.ok_or(InvalidHead::Missing)?;
        let cause = optional(meta.cause_id, EventId::from_slice);
        let lead = optional(meta.lead_id, LeadId::from_slice);
        Ok(Self {
            event_id: EventId::from_slice(meta.event_id)
                .map_err(|source| InvalidHead::Id { field: "event_id", source })?,
            occurred_at: Timestamp::from_millis(meta.occurred_at_ms),
            received_at: Timestamp::from_millis(meta.received_at_ms),
            cause: cause.map_err(|source| InvalidHead::Id { field: "cause_id", source })?,
            lead: lead.map_err(|source| InvalidHead::Id { field: "lead_id", source })?,
            version: Version::new(meta.version),
        })
    }

    /// Reads the head of a record that must name a lead.
    pub fn read_with_lead(meta: Option<&v1::Meta>) -> Result<(Self, LeadId), InvalidHead> {
        let head = Self::read(meta)?;
        let lead = head.lead.ok_or(InvalidHead::NoLead)?;
        Ok((head, lead))
    }

    /// As it stands in a record.
    pub fn to_meta(&self) -> v1::Meta {
        v1::Meta {
            event_id: self.event_id.as_bytes().to_vec(),
            occurred_at_ms: self.occurred_at.as_millis(),
            received_at_ms: self.received_at.as_millis(),
            cause_id: self.cause.map_or_else(Vec::new, |id| id.as_bytes().to_vec()),
            lead_id: self.lead.map_or_else(Vec::new, |id| id.as_bytes().to_vec()),
            version: self.version.get(),
        }
    }
}

/// An id field: empty means none.
fn optional<T>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T, InvalidId>) -> Result<Option<T>, InvalidId> {
    if bytes.is_empty() { Ok(None) } else { read(bytes).map(Some) }
}

impl From<Stage> for v1::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Subscriber => Self::Subscriber,
            Stage::Lead => Self::Lead,
            Stage::Mql => Self::Mql,
            Stage::Sal => Self::Sal,
            Stage::Sql => Self::Sql,
            Stage::Opportunity => Self::Opportunity,
            Stage::Customer => Self::Customer,
            Stage::Recycled => Self::Recycled,
            Stage::Disqualified => Self::Disqualified,
            Stage::Lost => Self::Lost,
        }
    }
}

impl v1::Stage {
    /// As the domain's type; `None` for the unspecified one.
    pub fn known(self) -> Option<Stage> {
        Some(match self {
            Self::Unspecified => return None,
            Self::Subscriber => Stage::Subscriber,
            Self::Lead => Stage::Lead,
            Self::Mql => Stage::Mql,
            Self::Sal => Stage::Sal,
            Self::Sql => Stage::Sql,
            Self::Opportunity => Stage::Opportunity,
            Self::Customer => Stage::Customer,
            Self::Recycled => Stage::Recycled,
            Self::Disqualified => Stage::Disqualified,
            Self::Lost => Stage::Lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasuki_domain::LeadId;
    use uuid::Uuid;

    #[test]
    fn a_head_reads_back() {
        let head = Head {
            event_id: EventId::new(Uuid::from_u128(1)),
            occurred_at: Timestamp::from_millis(-5),
            received_at: Timestamp::from_millis(7),
            cause: None,
            lead: Some(LeadId::new(Uuid::from_u128(2))),
            version: Version::new(3),
        };
        assert_eq!(Head::read(Some(&head.to_meta())), Ok(head));
    }

    #[test]
    fn says_which_field_is_broken() {
        assert_eq!(Head::read(None), Err(InvalidHead::Missing));
        let error = Head::read(Some(&v1::Meta { event_id: vec![1], ..Default::default() })).unwrap_err();
        assert_eq!(error.to_string(), "meta.event_id");
        let meta = v1::Meta { event_id: vec![0; 16], ..Default::default() };
        assert_eq!(Head::read_with_lead(Some(&meta)), Err(InvalidHead::NoLead));
    }
}
