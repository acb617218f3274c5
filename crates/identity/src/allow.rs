//! What the state of a lead does with consent: gives events to `activity` as far as the person allows it, and takes back or
//! gives back what was given before, when a consent says something else.

use tasuki_domain::LeadId;
use tasuki_wire::Head;
use tasuki_wire::v1::{self, activity_record, identity_record};

use crate::Identity;
use crate::consent::{Consents, Purpose, bare};
use crate::lead::Told;
use crate::leads::{Deciding, Moving, events, identities, lead, retract, via, write};
use crate::metrics::Metric;
use crate::processor::{count, key_of_lead};

/// What a lead had said about consent before something changed.
pub(crate) struct ConsentBefore {
    said: Consents,
    standing: Vec<v1::Consent>,
}

impl Identity {
    pub(crate) fn consent_of(&self, context: Deciding<'_, '_>, key: &str) -> ConsentBefore {
        let lead = lead(context, key);
        ConsentBefore { said: lead.consents(), standing: lead.standing(self.settings.consent_required) }
    }

    /// Gives an event to `activity`, as far as the person allows it.
    pub(crate) fn give(&self, context: Deciding<'_, '_>, lead_id: LeadId, link: &Head, behavior: v1::BehaviorRecord) {
        let lead = lead(context, &key_of_lead(lead_id));
        let id = behavior.meta.as_ref().map_or_else(Vec::new, |meta| meta.event_id.clone());
        let at = behavior.meta.as_ref().map_or(0, |meta| meta.occurred_at_ms);
        let told = lead.to_tell((at, &id), &behavior, self.settings.consent_required);
        lead.note_told(&id, told);
        let tells_of_it = told == Told::Withheld && lead.tells_of_withheld();
        match told {
            Told::Counted | Told::Unscored => {
                let unscored = told == Told::Unscored;
                if unscored {
                    count(context, Metric::WithheldFromScoring);
                }
                let via = via(behavior.identifiers.as_ref()).to_owned();
                let attributed = v1::BehaviorAttributed { behavior: Some(behavior), via, unscored };
                write(context, lead_id, link, activity_record::Event::Attributed(attributed));
            }
            Told::Withheld => {
                count(context, Metric::WithheldFromTracking);
                if tells_of_it {
                    let purpose = Purpose::Tracking.name().to_owned();
                    let withheld = v1::BehaviorWithheld { behavior: Some(bare(&behavior)), purpose };
                    identities(context, lead_id, link, identity_record::Event::BehaviorWithheld(withheld));
                }
            }
        }
    }

    /// Corrects what was given before, if something else was said about consent since, and says what is allowed now.
    pub(crate) fn settle_consent(
        &self,
        context: Deciding<'_, '_>,
        lead_id: LeadId,
        link: &Head,
        before: &ConsentBefore,
    ) {
        let key = key_of_lead(lead_id);
        let after = self.consent_of(context, &key);
        if !after.said.decides_like(&before.said) && lead(context, &key).merged_into().is_none() {
            for Moving { behavior, head, .. } in events(context, &key) {
                let (id, required) = (*head.event_id.as_bytes(), self.settings.consent_required);
                let lead = lead(context, &key);
                let told = lead.told(&id);
                if told == lead.to_tell((head.occurred_at.as_millis(), &id), &behavior, required) {
                    continue;
                }
                let times = Head { occurred_at: head.occurred_at, received_at: head.received_at, ..*link };
                retract(context, lead_id, &times, &id, told);
                self.give(context, lead_id, &times, behavior);
            }
        }
        if after.standing != before.standing {
            let changed = v1::ConsentsChanged { consents: after.standing };
            identities(context, lead_id, link, identity_record::Event::ConsentsChanged(changed));
        }
    }
}
