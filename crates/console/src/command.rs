//! What sales decides, as commands on the log. Whether a command still has an effect is decided by handoff, which is
//! the only one to write what becomes of it; the console only makes sure that it is on the log.

use axum::http::HeaderMap;
use prost::Message;
use tasuki_domain::{CommandId, EventId, HandoffId, LeadId, Timestamp, Version};
use tasuki_stream::Emitted;
use tasuki_wire::v1::{AcceptLead, RejectLead, RejectReason, SalesFeedback, sales_feedback};
use tasuki_wire::{Head, Topic};
use uuid::Uuid;

/// Namespace of the ids of commands given on the console.
const COMMANDS: Uuid = Uuid::from_u128(0x4c1e_9a52_7f0d_5b86_9d3a_1f6b_8e27_c054);

/// Longest note and longest name of a person, in characters.
pub(crate) const LONGEST_NOTE: usize = 1_000;
pub(crate) const LONGEST_BY: usize = 200;
const LONGEST_KEY: usize = 200;

/// The verdict of sales.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Sales takes the lead.
    Accept,
    /// Sales refuses it.
    Reject { reason: RejectReason, note: String },
}

impl Verdict {
    /// As in the API's addresses.
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject { .. } => "reject",
        }
    }
}

/// One command: a verdict on a handoff, by somebody.
pub(crate) struct Command {
    pub(crate) handoff: HandoffId,
    pub(crate) lead: LeadId,
    pub(crate) verdict: Verdict,
    /// Who says so.
    pub(crate) by: String,
    /// Chosen by the caller to tell a repetition from a second command.
    pub(crate) idempotency_key: Option<String>,
}

impl Command {
    /// Follows from handoff, verdict and the caller's key, or without one who says so: clicking twice gives the same.
    pub(crate) fn id(&self) -> CommandId {
        let (kind, key) = match &self.idempotency_key {
            Some(key) => ("key", key.as_str()),
            None => ("by", self.by.as_str()),
        };
        let mut name = self.handoff.as_bytes().to_vec();
        for part in [self.verdict.verb(), kind, key] {
            name.push(0);
            name.extend_from_slice(part.as_bytes());
        }
        CommandId::new(Uuid::new_v5(&COMMANDS, &name))
    }

    pub(crate) fn record(&self, now: Timestamp) -> Emitted {
        let head = Head {
            event_id: EventId::new(self.id().uuid()),
            occurred_at: now,
            received_at: now,
            cause: None,
            lead: Some(self.lead),
            version: Version::default(),
        };
        let feedback = SalesFeedback {
            meta: Some(head.to_meta()),
            handoff_id: self.handoff.as_bytes().to_vec(),
            by: self.by.clone(),
            command: Some(match &self.verdict {
                Verdict::Accept => sales_feedback::Command::Accept(AcceptLead {}),
                Verdict::Reject { reason, note } => {
                    sales_feedback::Command::Reject(RejectLead { reason: (*reason).into(), note: note.clone() })
                }
            }),
        };
        Emitted { topic: Topic::SalesFeedback, key: self.lead.to_string(), payload: feedback.encode_to_vec() }
    }
}

/// The caller's `Idempotency-Key`, or what is wrong with it.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, String> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= LONGEST_KEY => Ok(Some(key.to_owned())),
        Ok(key) => Err(format!("Idempotency-Key has {} characters; allowed are 1 to {LONGEST_KEY}", key.len())),
        Err(_) => Err("Idempotency-Key holds more than printable ASCII; allowed is only that".to_owned()),
    }
}

/// Every reason for which sales may reject, with its name in tables and API, in the order of the form.
pub(crate) const REASONS: [(&str, RejectReason); 9] = [
    ("timing", RejectReason::Timing),
    ("no-budget", RejectReason::NoBudget),
    ("no-authority", RejectReason::NoAuthority),
    ("no-need", RejectReason::NoNeed),
    ("unreachable", RejectReason::Unreachable),
    ("bad-data", RejectReason::BadData),
    ("duplicate", RejectReason::Duplicate),
    ("competitor", RejectReason::Competitor),
    ("not-a-fit", RejectReason::NotAFit),
];

/// A reason by its name.
pub(crate) fn reason(name: &str) -> Option<RejectReason> {
    REASONS.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(by: &str, key: Option<&str>, verdict: Verdict) -> Command {
        Command {
            handoff: HandoffId::new(Uuid::from_u128(1)),
            lead: LeadId::new(Uuid::from_u128(2)),
            verdict,
            by: by.to_owned(),
            idempotency_key: key.map(str::to_owned),
        }
    }

    fn reject(reason: RejectReason) -> Verdict {
        Verdict::Reject { reason, note: String::new() }
    }

    #[test]
    fn ids_of_commands_never_change() {
        // Written down once; a change here would let a repeated click count twice across releases.
        assert_eq!(command("mika", None, Verdict::Accept).id().to_string(), "aa201d10-cb26-51ee-bc48-ca5def0e8132");
    }

    #[test]
    fn a_command_is_told_apart_by_handoff_verdict_and_key_or_person() {
        let all = [
            command("mika", None, Verdict::Accept),
            command("ken", None, Verdict::Accept),
            command("mika", Some("mika"), Verdict::Accept),
            command("mika", None, reject(RejectReason::Timing)),
            Command { handoff: HandoffId::new(Uuid::from_u128(9)), ..command("mika", None, Verdict::Accept) },
        ];
        for (i, left) in all.iter().enumerate() {
            for right in &all[i + 1..] {
                assert_ne!(left.id(), right.id());
            }
        }
        assert_eq!(
            command("mika", Some("k"), Verdict::Accept).id(),
            command("ken", Some("k"), Verdict::Accept).id(),
            "with a key of the caller's, who sends it does not matter"
        );
    }

    #[test]
    fn the_record_says_all_of_the_command_under_the_leads_key() {
        let now = Timestamp::from_millis(1_795_426_200_000);
        let command =
            command("mika", None, Verdict::Reject { reason: RejectReason::BadData, note: "moved".to_owned() });
        let record = command.record(now);
        assert_eq!((record.topic, record.key.as_str()), (Topic::SalesFeedback, "00000000-0000-0000-0000-000000000002"));
        let expected = SalesFeedback {
            meta: Some(tasuki_wire::v1::Meta {
                event_id: command.id().as_bytes().to_vec(),
                occurred_at_ms: 1_795_426_200_000,
                received_at_ms: 1_795_426_200_000,
                cause_id: Vec::new(),
                lead_id: Uuid::from_u128(2).as_bytes().to_vec(),
                version: 0,
            }),
            handoff_id: Uuid::from_u128(1).as_bytes().to_vec(),
            by: "mika".to_owned(),
            command: Some(sales_feedback::Command::Reject(RejectLead {
                reason: RejectReason::BadData.into(),
                note: "moved".to_owned(),
            })),
        };
        assert_eq!(SalesFeedback::decode(record.payload.as_slice()), Ok(expected));
    }

    #[test]
    fn every_reason_of_the_contract_has_a_name() {
        for number in 1.. {
            let Ok(known) = RejectReason::try_from(number) else { break };
            assert!(REASONS.iter().any(|(_, reason)| *reason == known), "{known:?}");
        }
        assert_eq!(reason("bad-data"), Some(RejectReason::BadData));
        assert_eq!(reason("because"), None);
    }
}
