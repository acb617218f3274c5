//! What scoring remembers about an account: what each of its leads adds.

use std::collections::BTreeMap;

use prost::Message;
use tasuki_domain::{LeadId, Millipoints, Timestamp, fingerprint_64};
use tasuki_playbook::AccountPolicy;
use tasuki_stream::StateError;
use tasuki_wire::v1;

use crate::bytes::{Bytes, signed, unsigned};

/// What the bytes of its state begin with: no format of the state of a lead has this number.
pub(crate) const FORMAT: u8 = b'A';

/// Behind this stands the account's id in the key of its state. No lead's id begins so.
pub(crate) const KEY_PREFIX: &str = "a:";

/// Most leads of an account that are remembered. Those that add nothing any more go first; once all add something, more are
/// not counted.
pub const MOST_LEADS: usize = 1_000;

/// What an account has of its leads, by the latest score of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Account {
    /// The latest version of `AccountEngaged`.
    pub(crate) version: u64,
    /// What that said, as a fingerprint: the same is not said again.
    said: u64,
    /// Also those that add nothing any more, so that what they added by an earlier score does not come back.
    leads: BTreeMap<LeadId, Added>,
}

/// What a lead adds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Added {
    /// Of the score.
    pub(crate) version: u64,
    pub(crate) as_of: Timestamp,
    /// `None`: the lead is no engaged person of the account.
    pub(crate) engaged: Option<Engaged>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Engaged {
    pub(crate) engagement: Millipoints,
    pub(crate) department: String,
}

/// What became of a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Taken,
    /// It is of no later score than what is known.
    Older,
    /// The account has as many leads as are remembered.
    Full,
}

impl Account {
    /// Takes what a lead adds in place of what it added by an earlier score.
    pub(crate) fn hear(&mut self, lead: LeadId, added: Added) -> Heard {
        if let Some(known) = self.leads.get_mut(&lead) {
            if known.version >= added.version {
                return Heard::Older;
            }
            *known = added;
            return Heard::Taken;
        }
        if self.leads.len() >= MOST_LEADS {
            let gone = self.leads.iter().filter(|(_, known)| known.engaged.is_none());
            let Some(oldest) = gone.min_by_key(|(lead, known)| (known.as_of, **lead)).map(|(lead, _)| *lead) else {
                return Heard::Full;
            };
            self.leads.remove(&oldest);
        }
        self.leads.insert(lead, added);
        Heard::Taken
    }

    /// What there is to say of it, unless that was the last thing said.
    pub(crate) fn news(
        &mut self,
        policy: AccountPolicy,
        playbook_version: u32,
        since: Option<Timestamp>,
    ) -> Option<v1::AccountEngaged> {
        let engaged = self.engaged(policy, playbook_version, since);
        let said = fingerprint_64(engaged.encode_to_vec());
        if said == self.said {
            return None;
        }
        self.said = said;
        self.version += 1;
        Some(engaged)
    }

    fn engaged(&self, policy: AccountPolicy, playbook_version: u32, since: Option<Timestamp>) -> v1::AccountEngaged {
        let people = self.leads.values().filter_map(|added| added.engaged.as_ref());
        let sum: Millipoints = people.clone().map(|engaged| engaged.engagement).sum();
        let mut departments: BTreeMap<String, v1::EngagedDepartment> = BTreeMap::new();
        for name in people.clone().map(|engaged| &engaged.department).filter(|name| !name.is_empty()) {
            let known = departments.entry(name.to_lowercase()).or_default();
            known.people += 1;
            if known.people == 1 || *name < known.name {
                known.name.clone_from(name);
            }
        }
        let mut departments: Vec<_> = departments.into_values().collect();
        departments.sort_by(|a, b| b.people.cmp(&a.people).then_with(|| a.name.cmp(&b.name)));
        let as_of = self.leads.values().map(|added| added.as_of).chain(since).max();
        v1::AccountEngaged {
            playbook_version,
            as_of_ms: as_of.map_or(0, Timestamp::as_millis),
            engagement_mp: sum.min(policy.cap).get(),
            sum_mp: sum.get(),
            people: u32::try_from(people.count()).expect("at most a thousand"),
            departments,
        }
    }

    pub(crate) fn encode(&self, revision: u32, into: &mut Vec<u8>) {
        into.reserve(16 + 48 * self.leads.len());
        into.push(FORMAT);
        into.extend_from_slice(&revision.to_le_bytes());
        into.extend_from_slice(&self.said.to_le_bytes());
        unsigned(into, self.version);
        unsigned(into, self.leads.len());
        for (lead, Added { version, as_of, engaged }) in &self.leads {
            into.extend_from_slice(lead.as_bytes());
            unsigned(into, *version);
            signed(into, as_of.as_millis());
            match engaged {
                None => into.push(0),
                Some(Engaged { engagement, department }) => {
                    into.push(1);
                    signed(into, engagement.get());
                    unsigned(into, department.len());
                    into.extend_from_slice(department.as_bytes());
                }
            }
        }
    }

    /// Reads what comes behind the format: the account, and the revision under which it was made.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, u32), StateError> {
        let short = || StateError("an account ends too early".to_owned());
        let (revision, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let (said, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (revision, said) = (u32::from_le_bytes(*revision), u64::from_le_bytes(*said));
        let mut from = Bytes { rest };
        let version = from.unsigned()?;
        let mut leads = BTreeMap::new();
        for _ in 0..from.count()? {
            let lead = LeadId::from_slice(from.take(16)?).expect("16 bytes are an id");
            let (version, as_of) = (from.unsigned()?, Timestamp::from_millis(from.signed()?));
            let engaged = match from.byte()? {
                0 => None,
                _ => {
                    let engagement = Millipoints::new(from.signed()?);
                    let length = from.count()?;
                    let department = std::str::from_utf8(from.take(length)?);
                    let department = department.map_err(|_| StateError("a department is not UTF-8".to_owned()))?;
                    Some(Engaged { engagement, department: department.to_owned() })
                }
            };
            leads.insert(lead, Added { version, as_of, engaged });
        }
        if from.rest.is_empty() {
            Ok((Self { version, said, leads }, revision))
        } else {
            Err(StateError("there is more behind an account".to_owned()))
        }
    }
}
