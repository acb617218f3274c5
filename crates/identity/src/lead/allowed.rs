//! What a lead allows, and which of its events are withheld for want of it.

use tasuki_wire::v1::{self, BehaviorRecord};

use super::Lead;
use crate::consent::{Consents, Purpose, Required};
use crate::history::Order;

/// Events of a lead that are told to be withheld: somebody who looks at it has then seen enough.
const MOST_WITHHELD_TOLD: u32 = 100;

/// An event that is withheld.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Withheld {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) event_id: Vec<u8>,
    /// From the lead as a whole; otherwise from its score alone.
    #[prost(bool, tag = "2")]
    from_lead: bool,
}

/// How an event of the lead stands on `activity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Like any other.
    Counted,
    /// Without points.
    Unscored,
    /// Not at all.
    Withheld,
}

impl Told {
    const fn of(withheld: Option<Purpose>) -> Self {
        match withheld {
            None => Self::Counted,
            // Contact concerns the lead, never an event.
            Some(Purpose::Scoring | Purpose::Contact) => Self::Unscored,
            Some(Purpose::Tracking) => Self::Withheld,
        }
    }
}

impl Lead {
    pub(super) fn hear_consent(&mut self, order: Order<'_>, behavior: &BehaviorRecord) {
        let mut consents = self.consents.take().unwrap_or_default();
        consents.hear(order, behavior);
        self.consents = Some(consents).filter(|it| *it != Consents::default());
    }

    pub(super) fn forget_consent(&mut self, event_id: &[u8]) {
        if let Some(consents) = &mut self.consents {
            consents.forget(event_id);
        }
        self.consents.take_if(|it| *it == Consents::default());
    }

    /// What was said about consent, all of it.
    pub(crate) fn consents(&self) -> Consents {
        self.consents.clone().unwrap_or_default()
    }

    /// What the lead allows, as far as it was said or has to be; nothing for a lead that has no events.
    pub(crate) fn standing(&self, required: Required) -> Vec<v1::Consent> {
        match &self.consents {
            _ if self.attributed.is_empty() => Vec::new(),
            Some(consents) => consents.standing(required),
            None => Consents::default().standing(required),
        }
    }

    /// How an event is to stand on `activity`.
    pub(crate) fn to_tell(&self, order: Order<'_>, behavior: &BehaviorRecord, required: Required) -> Told {
        match &self.consents {
            None if required == Required::default() => Told::Counted,
            None => Told::of(Consents::default().withheld(order, behavior, required)),
            Some(consents) => Told::of(consents.withheld(order, behavior, required)),
        }
    }

    /// How an event stands there, if it is one of the lead's.
    pub(crate) fn told(&self, event_id: &[u8]) -> Told {
        match self.place_of_withheld(event_id) {
            Err(_) => Told::Counted,
            Ok(at) if self.withheld[at].from_lead => Told::Withheld,
            Ok(_) => Told::Unscored,
        }
    }

    /// Notes how it stands there from now on.
    pub(crate) fn note_told(&mut self, event_id: &[u8], told: Told) {
        let from_lead = told == Told::Withheld;
        match (self.place_of_withheld(event_id), told) {
            (Ok(at), Told::Counted) => drop(self.withheld.remove(at)),
            (Ok(at), Told::Withheld | Told::Unscored) => self.withheld[at].from_lead = from_lead,
            (Err(_), Told::Counted) => {}
            (Err(at), Told::Withheld | Told::Unscored) => {
                self.withheld.insert(at, Withheld { event_id: event_id.to_vec(), from_lead });
            }
        }
    }

    /// They stand sorted by event id.
    fn place_of_withheld(&self, event_id: &[u8]) -> Result<usize, usize> {
        self.withheld.binary_search_by(|it| it.event_id.as_slice().cmp(event_id))
    }

    /// Nothing of it stands there any more.
    pub(crate) fn note_nothing_told(&mut self) {
        self.withheld.clear();
    }

    /// Whether somebody is to be told that one more event is withheld.
    pub(crate) fn tells_of_withheld(&mut self) -> bool {
        let tells = self.withheld_told < MOST_WITHHELD_TOLD;
        self.withheld_told += u32::from(tells);
        tells
    }
}
