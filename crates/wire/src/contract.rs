//! The public contract of topic `leads.qualified.v1`: one JSON object per record, all that a CRM connector needs.
//!
//! Evolution: keys are only ever added, and [`SPEC_VERSION`] counts that; no key goes away, changes its type or its
//! meaning. Every key is always there, `null` where nothing is known. A later record with the same `handoff_id` and a
//! higher `version` replaces the earlier one whole. There are no tombstones.
//!
//! The JSON Schema made from these types is `docs/contracts/leads.qualified.v1.schema.json`; golden records and the
//! schema of each past `spec_version` are in `crates/wire/golden`.

use serde::{Deserialize, Serialize};
use tasuki_domain::{EventId, HandoffId, LeadId, Millipoints, Timestamp};

/// The version of the contract that this release writes: the second number counts additions.
pub const SPEC_VERSION: &str = "1.2";

/// CloudEvents `type` of every record.
pub const EVENT_TYPE: &str = "tasuki.leads.qualified.v1";

/// CloudEvents `source` of every record.
pub const SOURCE: &str = "/tasuki/handoff";

/// A lead that marketing has qualified and that sales is asked to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct QualifiedLead {
    /// The version of this contract, for example "1.0". What is added raises the second number; nothing is ever removed.
    pub spec_version: String,
    /// Id of this record; also the CloudEvents `id`.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "uuid")))]
    pub event_id: EventId,
    /// When the lead was given to its owner; also the CloudEvents `time`.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub occurred_at: Timestamp,
    /// Idempotency key: one per lead and cycle. Create or update by it.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "uuid")))]
    pub handoff_id: HandoffId,
    /// The lead; also the key of the record and the CloudEvents `subject`.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "uuid")))]
    pub lead_id: LeadId,
    /// Which passage of the lead from qualification to its end: 1, 2, 3 ...
    pub cycle: u32,
    /// Number of the record among those of its lead on this topic: 1, 2, 3 ... without a gap. Drop what is not higher
    /// than the last one seen of the lead.
    pub version: u64,
    /// When marketing qualified the lead.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub qualified_at: Timestamp,
    /// The playbook that decided.
    pub playbook_version: u32,
    /// Which way of the playbook led here.
    pub route: Route,
    /// "urgent", "high" or "normal"; more may be added.
    pub urgency: String,
    /// Who the lead is.
    pub contact: Contact,
    /// The company of the lead.
    pub company: Company,
    /// How good the lead is, and why.
    pub score: Score,
    /// What the lead did, newest first, at most 10.
    pub timeline: Vec<Deed>,
    /// The sales rep who has the lead; null when nobody was free.
    pub owner: Option<Owner>,
    /// The pool of reps that the playbook's route names.
    pub pool: String,
    /// Why this owner or none, in words.
    pub assignment_reason: String,
    /// Until when sales is to accept or reject.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub accept_by: Timestamp,
    /// The lead that this one turned out to be the same person as; null as a rule. The handoff stays as it is. Since 1.1.
    #[serde(default, with = "optional_text")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "uuid")))]
    pub merged_into: Option<LeadId>,
    /// The product line that the route is of, with the score that its condition is about; null where that is the score of
    /// the lead itself. Since 1.2.
    #[serde(default)]
    pub track: Option<Track>,
}

/// A product line of the playbook, and the score of the lead in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Track {
    /// Its name there.
    pub name: String,
    /// How much interest the behaviour shows in it, in points; at most three decimals.
    #[serde(with = "points")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub engagement: Millipoints,
    /// How well the lead matches its ideal customer, in points; at most three decimals.
    #[serde(with = "points")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub fit: Millipoints,
    /// Fit letter and engagement digit, for example "B2".
    pub grade: String,
}

/// A route of the playbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Route {
    /// Its name there.
    pub name: String,
    /// Its condition, as written there.
    pub condition: String,
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Contact {
    /// Normalised: lower case, domain in ASCII form.
    pub email: Option<String>,
    /// The whole name, as the person or a tracker gave it.
    pub name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Job title.
    pub title: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// Phone number, as given.
    pub phone: Option<String>,
}

/// A company.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Company {
    /// The account in Tasuki: the corporate e-mail domain.
    pub account_id: Option<String>,
    /// Name, as given.
    pub name: Option<String>,
    /// Industry, as given.
    pub industry: Option<String>,
    /// Number of employees, as given: a number or a range, as text.
    pub employees: Option<String>,
    /// Country, as given.
    pub country: Option<String>,
    /// Region, as given.
    pub region: Option<String>,
    /// Website, as given.
    pub website: Option<String>,
}

/// The score that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Score {
    /// How much interest the behaviour shows, in points; at most three decimals.
    #[serde(with = "points")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub engagement: Millipoints,
    /// How well the lead matches the ideal customer, in points; at most three decimals.
    #[serde(with = "points")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub fit: Millipoints,
    /// Fit letter and engagement digit, for example "B2".
    pub grade: String,
    /// The instant the score holds for.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub as_of: Timestamp,
    /// The rules that gave most points, the highest first, at most 5. Not all of them: they need not add up. Where the route
    /// is of a product line, those that count for it.
    pub reasons: Vec<Reason>,
}

/// What one rule of the playbook gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reason {
    /// "fit" or "engagement"; more may be added.
    pub axis: String,
    /// Name of the rule in the playbook.
    pub rule: String,
    /// Points after decay and the caps of the rule; at most three decimals.
    #[serde(with = "points")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub points: Millipoints,
    /// How often the rule held.
    pub matches: u32,
}

/// One thing the lead did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Deed {
    /// Id of the behavior event.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "uuid")))]
    pub behavior_id: EventId,
    /// When it happened.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub occurred_at: Timestamp,
    /// What it was, for example "FormSubmitted demo-request".
    pub what: String,
}

/// A sales rep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Owner {
    /// Id in the reps file.
    pub id: String,
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: String,
}

impl QualifiedLead {
    /// As it stands on the topic.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("keys are text and numbers are finite")
    }

    /// Reads a record of the topic, of this or a later addition to the contract.
    ///
    /// # Errors
    ///
    /// If it is not JSON of this contract.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// Ids and instants as their text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// An id as its text, or null.
mod optional_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tasuki_domain::LeadId;

    pub(super) fn serialize<S: Serializer>(value: &Option<LeadId>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(id) => serializer.collect_str(id),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LeadId>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// Millipoints as points: a JSON number with as many decimals as needed, at most three.
mod points {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use serde_json::Number;
    use tasuki_domain::Millipoints;

    pub(super) fn serialize<S: Serializer>(value: &Millipoints, serializer: S) -> Result<S::Ok, S::Error> {
        let number: Number = serde_json::from_str(&value.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millipoints, D::Error> {
        let points = f64::deserialize(deserializer)?;
        let thousandths = (points * 1_000.0).round();
        // Far more than scores reach, and far less than where floating point numbers blur thousandths.
        if thousandths.abs() >= 1e12 {
            return Err(D::Error::custom("more points than can be told apart"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "whole and in range, as just checked")]
        Ok(Millipoints::new(thousandths as i64))
    }
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
