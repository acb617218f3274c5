//! What scoring remembers about an account: what each of its leads adds.

use std::collections::BTreeMap;

use prost::Message;
use tasuki_domain::{LeadId, Millipoints, Timestamp, fingerprint_64};
use tasuki_playbook::{AccountAsked, AccountFacts, AccountPolicy, MOST_PEOPLE};
use tasuki_stream::StateError;
use tasuki_wire::v1;

use crate::bytes::{Bytes, signed, unsigned};

/// What the bytes of its state begin with: no format of the state of a lead has this number.
const FORMAT: u8 = b'B';
/// Knew of no leads that hear what the account has.
const FORMAT_BEFORE: u8 = b'A';
/// The bits of a lead that is engaged, and of one that hears what the account has.
const ENGAGED: u8 = 1;
const HEARS: u8 = 1 << 1;

/// Whether bytes that begin so are the state of an account.
pub(crate) const fn is_format(first: u8) -> bool {
    first == FORMAT || first == FORMAT_BEFORE
}

/// As of when a lead adds nothing that only is to hear.
const NEVER: Timestamp = Timestamp::from_millis(0);

/// Behind this stands the account's id in the key of its state. No lead's id begins so.
pub(crate) const KEY_PREFIX: &str = "a:";

/// Most leads of an account that are remembered. Those that neither add nor hear anything go first, then, for one that adds
/// something, those that only hear; once all add something, more are not counted.
pub const MOST_LEADS: usize = MOST_PEOPLE as usize;

/// What an account has of its leads, by the latest score of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Account {
    /// The latest version of `AccountEngaged`.
    pub(crate) version: u64,
    /// What that said, as a fingerprint: the same is not said again.
    said: u64,
    /// What its leads were told last.
    told: Told,
    /// Also those that add nothing any more, so that what they added by an earlier score does not come back.
    leads: BTreeMap<LeadId, Added>,
}

/// What leads are told of their account: the greatest numbers reached that the routes ask about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Counted per account; 0: nothing was told yet.
    pub(crate) version: u64,
    pub(crate) facts: AccountFacts,
}

/// What a lead adds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Added {
    /// Of the score.
    pub(crate) version: u64,
    /// 1970 if it has not been engaged and is to hear only.
    pub(crate) as_of: Timestamp,
    /// It hears what the account has.
    pub(crate) hears: bool,
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
    /// Whether the lead begins to hear what the account has.
    Taken { joins: bool },
    /// It is of no later score than what is known.
    Older,
    /// The account has as many leads as are remembered.
    Full,
}

impl Account {
    /// Takes what a lead adds in place of what it added by an earlier score.
    pub(crate) fn hear(&mut self, lead: LeadId, added: Added) -> Heard {
        let joins = added.hears;
        if let Some(known) = self.leads.get_mut(&lead) {
            if known.version >= added.version {
                return Heard::Older;
            }
            let joins = joins && !known.hears;
            *known = added;
            return Heard::Taken { joins };
        }
        if self.leads.len() >= MOST_LEADS {
            let engaged = added.engaged.is_some();
            let gone = (self.leads.iter()).filter(|(_, known)| known.engaged.is_none() && (engaged || !known.hears));
            let oldest = gone.min_by_key(|(lead, known)| (known.hears, known.as_of, **lead));
            let Some(oldest) = oldest.map(|(lead, _)| *lead) else { return Heard::Full };
            self.leads.remove(&oldest);
        }
        self.leads.insert(lead, added);
        Heard::Taken { joins }
    }

    /// What leads were told last.
    pub(crate) fn told(&self) -> Told {
        self.told
    }

    /// What there is to tell its leads, unless they know, or nothing is asked; and whom. `engaged` is what it has.
    pub(crate) fn tidings(
        &mut self,
        engaged: &v1::AccountEngaged,
        asked: &AccountAsked,
    ) -> Option<(Told, Vec<LeadId>)> {
        if asked.is_empty() {
            return None;
        }
        let facts = asked.reached(&AccountFacts {
            departments: u32::try_from(engaged.departments.len()).expect("not more than people"),
            people: engaged.people,
            engagement: Millipoints::new(engaged.engagement_mp),
        });
        if facts == self.told.facts {
            return None;
        }
        self.told = Told { version: self.told.version + 1, facts };
        let hear = self.leads.iter().filter(|(_, known)| known.hears);
        Some((self.told, hear.map(|(lead, _)| *lead).collect()))
    }

    /// What it has, if there is that to say of it: not if it was the last thing said, or nobody was ever engaged.
    pub(crate) fn news(&mut self, engaged: v1::AccountEngaged) -> Option<v1::AccountEngaged> {
        let nobody_ever = || self.leads.values().all(|added| added.engaged.is_none() && added.as_of == NEVER);
        if self.version == 0 && nobody_ever() {
            return None;
        }
        let said = fingerprint_64(engaged.encode_to_vec());
        if said == self.said {
            return None;
        }
        self.said = said;
        self.version += 1;
        Some(engaged)
    }

    /// What it has of its leads, by a playbook that has been in force since then.
    pub(crate) fn engaged(
        &self,
        policy: AccountPolicy,
        playbook_version: u32,
        since: Option<Timestamp>,
    ) -> v1::AccountEngaged {
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
        self.told.encode(into);
        unsigned(into, self.leads.len());
        for (lead, Added { version, as_of, hears, engaged }) in &self.leads {
            into.extend_from_slice(lead.as_bytes());
            unsigned(into, *version);
            signed(into, as_of.as_millis());
            let hears = if *hears { HEARS } else { 0 };
            match engaged {
                None => into.push(hears),
                Some(Engaged { engagement, department }) => {
                    into.push(hears | ENGAGED);
                    signed(into, engagement.get());
                    unsigned(into, department.len());
                    into.extend_from_slice(department.as_bytes());
                }
            }
        }
    }

    /// The account, and the revision under which it was made.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, u32), StateError> {
        let short = || StateError("an account ends too early".to_owned());
        let (format, rest) = bytes.split_first().ok_or_else(short)?;
        let (revision, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (said, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (revision, said) = (u32::from_le_bytes(*revision), u64::from_le_bytes(*said));
        let mut from = Bytes { rest };
        let version = from.unsigned()?;
        let told = if *format == FORMAT { Told::decode(&mut from)? } else { Told::default() };
        let mut leads = BTreeMap::new();
        for _ in 0..from.count()? {
            let lead = LeadId::from_slice(from.take(16)?).expect("16 bytes are an id");
            let (version, as_of) = (from.unsigned()?, Timestamp::from_millis(from.signed()?));
            let is = from.byte()?;
            let engaged = match is & ENGAGED {
                0 => None,
                _ => {
                    let engagement = Millipoints::new(from.signed()?);
                    let length = from.count()?;
                    let department = std::str::from_utf8(from.take(length)?);
                    let department = department.map_err(|_| StateError("a department is not UTF-8".to_owned()))?;
                    Some(Engaged { engagement, department: department.to_owned() })
                }
            };
            leads.insert(lead, Added { version, as_of, hears: is & HEARS != 0, engaged });
        }
        if from.rest.is_empty() {
            Ok((Self { version, said, told, leads }, revision))
        } else {
            Err(StateError("there is more behind an account".to_owned()))
        }
    }
}

impl Told {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let AccountFacts { departments, people, engagement } = self.facts;
        unsigned(into, self.version);
        unsigned(into, departments);
        unsigned(into, people);
        signed(into, engagement.get());
    }

    pub(crate) fn decode(from: &mut Bytes<'_>) -> Result<Self, StateError> {
        let version = from.unsigned()?;
        let (departments, people) = (from.number(usize::MAX)?, from.number(usize::MAX)?);
        let engagement = Millipoints::new(from.signed()?);
        Ok(Self { version, facts: AccountFacts { departments, people, engagement } })
    }
}
