//! What scoring looks at in an activity record, read from the bytes where they stand.
//!
//! As values of the generated types a record is some twenty-five texts and lists of their own, of which scoring looks at
//! six; to allocate them cost more than all of the arithmetic. Whatever [`prost`] accepts is read to the same effect
//! here, which a property holds for all kinds of records; in fields that scoring does not look at, more is accepted.

use prost::Message;
use tasuki_playbook::EventKind;
use tasuki_stream::Poison;
use tasuki_wire::meta::RawMeta;
use tasuki_wire::v1;

use crate::fields::{Field, Undecodable, each};

/// An activity record, as far as scoring looks at it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Record<'b> {
    pub(crate) meta: Option<RawMeta<'b>>,
    /// What of `identities` comes before it.
    pub(crate) identities_version: u64,
    pub(crate) event: Option<Event<'b>>,
    /// The person does not allow that it gives points.
    pub(crate) unscored: bool,
}

/// What it tells of.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack; a box would be an allocation per event")]
pub(crate) enum Event<'b> {
    Attributed(Option<Behavior<'b>>),
    /// The id of the behavior event.
    Retracted(&'b [u8]),
    ProfileChanged(Option<v1::Profile>),
}

/// A behavior event, as far as rules look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Behavior<'b> {
    pub(crate) meta: Option<RawMeta<'b>>,
    pub(crate) source: &'b str,
    pub(crate) path: &'b str,
    pub(crate) campaign: &'b str,
    /// The kind, and what it was about.
    pub(crate) event: Option<(EventKind, &'b str)>,
}

impl<'b> Record<'b> {
    /// Reads a record.
    ///
    /// # Errors
    ///
    /// [`Poison`] with code `undecodable`.
    pub(crate) fn read(payload: &'b [u8]) -> Result<Self, Poison> {
        let mut record = Record::default();
        each(payload, |field| record.take(field)).map_err(|error| undecodable(&error))?;
        // Rare, and made of texts that are kept.
        if let Some(Event::ProfileChanged(profile)) = &mut record.event {
            let whole = v1::ActivityRecord::decode(payload).map_err(|error| undecodable(&error))?;
            if let Some(v1::activity_record::Event::ProfileChanged(changed)) = whole.event {
                *profile = changed.profile;
            }
        }
        Ok(record)
    }

    /// Takes a field of an `ActivityRecord`. Of fields that come again the last counts; messages are put together.
    fn take(&mut self, field: Field<'b>) -> Result<(), Undecodable> {
        match field.number {
            1 => take_meta(self.meta.get_or_insert_default(), field.bytes()?)?,
            2 => self.identities_version = field.uint()?,
            10 => {
                let before = if let Some(Event::Attributed(before)) = self.event { Some(before) } else { None };
                self.unscored &= before.is_some();
                let mut behavior = before.flatten();
                each(field.bytes()?, |field| {
                    match field.number {
                        1 => behavior.get_or_insert_default().take_all(field.bytes()?)?,
                        3 => self.unscored = field.uint()? != 0,
                        _ => {}
                    }
                    Ok(())
                })?;
                self.event = Some(Event::Attributed(behavior));
            }
            11 => {
                let mut id = if let Some(Event::Retracted(before)) = self.event { before } else { &[] };
                each(field.bytes()?, |field| {
                    if field.number == 1 {
                        id = field.bytes()?;
                    }
                    Ok(())
                })?;
                self.event = Some(Event::Retracted(id));
                self.unscored = false;
            }
            12 => {
                self.event = Some(Event::ProfileChanged(None));
                self.unscored = false;
            }
            _ => {}
        }
        Ok(())
    }
}

impl<'b> Behavior<'b> {
    /// Takes the fields of a `BehaviorRecord`.
    fn take_all(&mut self, message: &'b [u8]) -> Result<(), Undecodable> {
        each(message, |field| {
            match field.number {
                1 => take_meta(self.meta.get_or_insert_default(), field.bytes()?)?,
                // Origin.
                2 => each(field.bytes()?, |field| {
                    if field.number == 1 {
                        self.source = field.text()?;
                    }
                    Ok(())
                })?,
                // Circumstances.
                4 => each(field.bytes()?, |field| {
                    match field.number {
                        2 => self.path = field.text()?,
                        6 => self.campaign = field.text()?,
                        _ => {}
                    }
                    Ok(())
                })?,
                number => {
                    if let Some(kind) = kind(number) {
                        self.take_event(kind, field.bytes()?)?;
                    }
                }
            }
            Ok(())
        })
    }

    fn take_event(&mut self, kind: EventKind, message: &'b [u8]) -> Result<(), Undecodable> {
        let mut about = self.event.filter(|&(before, _)| before == kind).map_or("", |(_, about)| about);
        // What these two are about stands elsewhere; of all others the first field says it.
        if !matches!(kind, EventKind::PageViewed | EventKind::LeadIdentified) {
            each(message, |field| {
                if field.number == 1 {
                    about = field.text()?;
                }
                Ok(())
            })?;
        }
        self.event = Some((kind, about));
        Ok(())
    }
}

/// Takes the fields of a `Meta`.
fn take_meta<'b>(meta: &mut RawMeta<'b>, message: &'b [u8]) -> Result<(), Undecodable> {
    each(message, |field| {
        match field.number {
            1 => meta.event_id = field.bytes()?,
            2 => meta.occurred_at_ms = field.fixed()?,
            3 => meta.received_at_ms = field.fixed()?,
            4 => meta.cause_id = field.bytes()?,
            5 => meta.lead_id = field.bytes()?,
            6 => meta.version = field.uint()?,
            _ => {}
        }
        Ok(())
    })
}

/// The kind of event that stands in this field of a `BehaviorRecord`.
fn kind(field: u32) -> Option<EventKind> {
    Some(match field {
        20 => EventKind::PageViewed,
        21 => EventKind::FormSubmitted,
        22 => EventKind::EmailOpened,
        23 => EventKind::EmailClicked,
        24 => EventKind::ContentDownloaded,
        25 => EventKind::EventAttended,
        26 => EventKind::SurveyAnswered,
        27 => EventKind::AssessmentCompleted,
        28 => EventKind::ReferralReceived,
        29 => EventKind::InquiryReceived,
        30 => EventKind::LeadIdentified,
        31 => EventKind::ConsentChanged,
        32 => EventKind::CustomBehavior,
        _ => return None,
    })
}

fn undecodable(error: &impl ToString) -> Poison {
    Poison::new("undecodable", error.to_string())
}

#[cfg(test)]
mod tests;
