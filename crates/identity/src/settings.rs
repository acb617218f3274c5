//! Bounds of what identity remembers and how long it waits.

use tasuki_domain::Millis;
use tasuki_playbook::profile_rules::ProfileRules;

use crate::{Blocked, Required};

/// Bounds of what identity remembers and how long it waits. Results do not depend on the order of arrival as long as no
/// bound is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySettings {
    /// Events kept for each identifier, the most recent ones by the time they happened. An anonymous event beyond is
    /// never attributed; one that has been attributed stays so, but is no longer corrected. Default 200.
    pub events_per_identifier: usize,
    /// Bytes of events kept for each identifier, as they came; the most recent ones. Default 256 KiB.
    pub bytes_per_identifier: usize,
    /// Bytes of events, as they came, that an identifier's or lead's own state holds beside what it needs for decisions; beyond,
    /// they move to states of their own together. That changes how much is written for one event and nothing else.
    /// Default 4 KiB: few visitors have more.
    pub bytes_beside_decisions: usize,
    /// How long an event is kept after it was received. Default 90 days.
    pub keep_events_for: Millis,
    /// How long a user id waits for an e-mail address before it becomes a lead of its own. Long enough for the rest of
    /// a tracker's batch to come from other partitions, short enough for a hand raise. Default 3 s.
    pub settle_within: Millis,
    /// Visitors that are told when the address of a user id, CRM id or phone number changes. A visitor beyond is told once what
    /// is known at that time. Default 100.
    pub visitors_per_user: usize,
    /// Identifications remembered for each visitor after the events that made them are forgotten, the most recent ones.
    /// Default 50.
    pub identifications_per_visitor: usize,
    /// Events of a lead that are remembered as attributed, the most recent ones; an event older than all of them is not
    /// attributed any more. Not less than what scoring keeps. Default 500.
    pub events_per_lead: usize,
    /// Merges and splits that are kept for leads connected by them; more are refused. Default 256.
    pub merges_per_group: usize,
    /// Attributes of a profile; the first by name stay, and `user_id`, `crm_id` and `phone` in any case. Default 100.
    pub attributes_per_lead: usize,
    /// Values remembered for each attribute, at least 2: those that its rule needs to tell which one counts, and some
    /// more, so that most retractions need not read the events again. Default 8.
    pub values_per_attribute: usize,
    /// Which value counts when several events say different ones. Default: the most recent.
    pub profile_rules: ProfileRules,
    /// Bytes of the value of an attribute; a longer one is cut off. Default 1,000.
    pub bytes_per_value: usize,
    /// Visitors, user ids, CRM ids, addresses and phone numbers that one lead has events of; events of one more are nobody's, and the lead has an
    /// event that says so. Default 200: a browser that forgets its visitor id every week makes 52 in a year.
    pub identifiers_per_lead: usize,
    /// Identifiers that are never believed, beside the placeholders that are built in. Default none.
    pub blocked: Vec<Blocked>,
    /// Addresses that several people read (`info@...`) are not believed either. Default no: small companies write from
    /// them, and a lead would be lost.
    pub refuse_role_addresses: bool,
    /// Whom a phone number stands for. Default: the one lead that it was named beside.
    pub phone_numbers: PhoneNumbers,
    /// Purposes for which nothing is allowed until the person has said so. Default none.
    pub consent_required: Required,
}

/// Whom a phone number stands for, where an event names nobody by anything else. It never decides about an event that names a
/// user id, a CRM id or an address, and never merges leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PhoneNumbers {
    /// For the lead that it was named beside, as long as that is one; once it was named beside several, or if beside none, for
    /// a lead of its own, which is proposed as a duplicate of theirs.
    #[default]
    Linked,
    /// For a lead of its own, whatever it was named beside.
    Alone,
    /// For nobody: an event that names nothing else is refused.
    Nobody,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            events_per_identifier: 200,
            bytes_per_identifier: 256 * 1024,
            bytes_beside_decisions: 4 * 1024,
            keep_events_for: Millis::from_days(90),
            settle_within: Millis::from_seconds(3),
            visitors_per_user: 100,
            identifications_per_visitor: 50,
            events_per_lead: 500,
            merges_per_group: 256,
            attributes_per_lead: 100,
            values_per_attribute: 8,
            profile_rules: ProfileRules::default(),
            bytes_per_value: 1_000,
            identifiers_per_lead: 200,
            blocked: Vec::new(),
            refuse_role_addresses: false,
            phone_numbers: PhoneNumbers::default(),
            consent_required: Required::default(),
        }
    }
}
