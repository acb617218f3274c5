//! A lead: which events are attributed to it, and what they say about the person.

mod allowed;
mod kept;
mod limits;

use std::collections::BTreeMap;

use tasuki_domain::{AccountId, EmailAddress, Identifier, LeadId};
use tasuki_wire::v1;

pub(crate) use self::allowed::Told;
use self::allowed::Withheld;
use crate::IdentitySettings;
use crate::account::Accounts;
use crate::bundle::Bundle;
use crate::consent::Consents;
use crate::history::Order;
use crate::merges::Command;
use crate::profile::{Statement, attributes, hear, is_late, received_at_ms};

/// The state of a lead.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Lead {
    /// Of the last record on `activity`.
    #[prost(uint64, tag = "1")]
    pub(crate) version: u64,
    /// Key of the identifier the lead is known by.
    #[prost(string, tag = "2")]
    pub(crate) known_as: String,
    /// In the order they happened. An event stands here once for each home that claims it.
    #[prost(message, repeated, tag = "3")]
    attributed: Vec<Attributed>,
    /// The most recent of those that are no longer remembered.
    #[prost(message, optional, tag = "4")]
    forgotten: Option<Moment>,
    /// Sorted by attribute, then in the order they were said.
    #[prost(message, repeated, tag = "5")]
    statements: Vec<Statement>,
    /// Statements were dropped at a bound: a retraction may bring them back, from the events themselves.
    #[prost(bool, tag = "6")]
    pub(crate) statements_dropped: bool,
    /// The events themselves, those that are in no bundle yet.
    #[prost(message, optional, tag = "7")]
    here: Option<Bundle>,
    /// Of the last record on `identities`.
    #[prost(uint64, tag = "8")]
    pub(crate) identities_version: u64,
    /// Every merge and split of the leads it is connected with, in their order.
    #[prost(message, repeated, tag = "9")]
    commands: Vec<v1::LeadCommand>,
    /// The lead that has its events: the top of its group. Empty: it has them itself.
    #[prost(bytes = "vec", tag = "10")]
    merged_into: Vec<u8>,
    /// By whom the leads that are merged into it are known, by the key of their state.
    #[prost(btree_map = "string, string", tag = "11")]
    others: BTreeMap<String, String>,
    /// Of the rules by which its profile was told last.
    #[prost(fixed32, tag = "20")]
    told_by: u32,
    /// Refusals that were told, as [`crate::guard::told_as`] has them.
    #[prost(string, repeated, tag = "33")]
    refusals: Vec<String>,
    /// What was said about consent.
    #[prost(message, optional, tag = "30")]
    consents: Option<Consents>,
    /// The events that are withheld for want of consent, by id.
    #[prost(message, repeated, tag = "31")]
    withheld: Vec<Withheld>,
    /// Events that were told to be withheld.
    #[prost(uint32, tag = "32")]
    withheld_told: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Attributed {
    #[prost(bytes = "vec", tag = "1")]
    event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    occurred_at_ms: i64,
    /// Key of the home that claims it; of a lead that is merged into this one, the key of its state.
    #[prost(string, tag = "3")]
    home: String,
    /// The bundle that the event itself is in; 0: it is here, or was not kept by the release that attributed it.
    #[prost(uint32, tag = "4")]
    bundle: u32,
    /// Since it occurred.
    #[prost(sint64, tag = "5")]
    received_after_ms: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Moment {
    #[prost(bytes = "vec", tag = "1")]
    event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    occurred_at_ms: i64,
}

/// What follows from a claim.
#[derive(Debug, PartialEq)]
pub(crate) enum Claim {
    /// One more home claims the event.
    Taken(Holders),
    /// This home claims it already.
    Repeated,
    /// It is older than all that is remembered: it cannot be told whether it was.
    TooOld,
    /// It comes from one home more than a lead may have.
    TooMany,
}

/// What follows from a release.
#[derive(Debug, PartialEq)]
pub(crate) enum Release {
    /// One home less claims the event.
    Taken(Holders),
    /// It is not remembered any more that the home claimed it.
    Forgotten,
    /// It never did.
    Unknown,
}

/// Whether a claim or release changes whose the event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holders {
    /// None claims it beside.
    pub(crate) none_beside: bool,
    /// The event comes from a home of the lead's own, and none of those claims it beside.
    pub(crate) none_of_its_own_beside: bool,
}

/// One event that the lead remembers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remembered {
    pub(crate) event_id: Vec<u8>,
    /// One of the lead's own homes claims it.
    pub(crate) own: bool,
    pub(crate) place: Place,
}

/// Where an event itself is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    Here(Vec<u8>),
    Bundle(u32),
    /// The release that attributed it did not keep it.
    Nowhere,
}

/// Events that left: to leave these bundles.
pub(crate) type Gone = Vec<(u32, Vec<u8>)>;

impl Attributed {
    fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }
}

impl Moment {
    fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }
}

/// Whether the key of a home is that of another lead, which is merged into this one.
fn is_lead(home: &str) -> bool {
    home.starts_with("l:")
}

impl Lead {
    /// Nothing needs keeping.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The lead that has its events; `None` if it has them itself.
    pub(crate) fn merged_into(&self) -> Option<LeadId> {
        LeadId::from_slice(&self.merged_into).ok()
    }

    pub(crate) fn merge_into(&mut self, top: Option<LeadId>) {
        self.merged_into = top.map_or_else(Vec::new, |top| top.as_bytes().to_vec());
    }

    /// Every merge and split of the leads it is connected with, in their order.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let read = |record| Command::read(record).expect("read before it was kept");
        self.commands.iter().map(read).collect()
    }

    pub(crate) fn keep_commands(&mut self, commands: &[Command]) {
        self.commands = commands.iter().map(Command::to_record).collect();
    }

    /// A home says that the event is this lead's.
    pub(crate) fn claim(
        &mut self,
        order: Order<'_>,
        (home, known_as): (&str, &str),
        (behavior, record): (&v1::BehaviorRecord, Vec<u8>),
        settings: &IdentitySettings,
        gone: &mut Gone,
    ) -> Claim {
        if self.attributed.iter().any(|it| it.event_id == order.1 && it.home == home) {
            return Claim::Repeated;
        }
        let full = self.attributed.len() >= settings.events_per_lead;
        if full && self.attributed.first().is_none_or(|oldest| order < oldest.order()) {
            return Claim::TooOld;
        }
        if self.has_homes_but_not(home, settings.identifiers_per_lead) {
            return Claim::TooMany;
        }
        if is_lead(home) {
            self.others.insert(home.to_owned(), known_as.to_owned());
        } else {
            known_as.clone_into(&mut self.known_as);
        }
        let (holders, bundle) = self.holders(order.1, home);
        let received_at_ms = behavior.meta.as_ref().map_or(order.0, |meta| meta.received_at_ms);
        let entry = Attributed {
            event_id: order.1.to_vec(),
            occurred_at_ms: order.0,
            home: home.to_owned(),
            bundle,
            received_after_ms: received_at_ms.saturating_sub(order.0),
        };
        let place = self.attributed.partition_point(|it| (it.order(), it.home.as_str()) < (order, home));
        self.attributed.insert(place, entry);
        if holders.none_beside {
            self.hear_consent(order, behavior);
            self.here.get_or_insert_default().add(order.1, record);
            self.statements_dropped |= hear(&mut self.statements, order, behavior, settings);
        }
        if full {
            let oldest = self.attributed.remove(0);
            self.let_go(&oldest, gone);
            self.forgotten = Some(Moment { event_id: oldest.event_id, occurred_at_ms: oldest.occurred_at_ms });
        }
        Claim::Taken(holders)
    }

    /// A home says that the event is not this lead's after all.
    pub(crate) fn release(&mut self, order: Order<'_>, home: &str, gone: &mut Gone) -> Release {
        let Some(place) = self.attributed.iter().position(|it| it.event_id == order.1 && it.home == home) else {
            let was_forgotten = self.forgotten.as_ref().is_some_and(|newest| order <= newest.order());
            if !was_forgotten {
                return Release::Unknown;
            }
            self.statements.retain(|statement| statement.event_id != order.1);
            self.forget_consent(order.1);
            return Release::Forgotten;
        };
        let entry = self.attributed.remove(place);
        let (holders, _) = self.holders(order.1, home);
        if holders.none_beside {
            self.statements.retain(|statement| statement.event_id != order.1);
            self.forget_consent(order.1);
        }
        self.let_go(&entry, gone);
        Release::Taken(holders)
    }

    /// Who claims an event beside this home, and the bundle it is in.
    fn holders(&self, event_id: &[u8], home: &str) -> (Holders, u32) {
        let mut beside = self.attributed.iter().filter(|it| it.event_id == event_id && it.home != home).peekable();
        let bundle = beside.peek().map_or(0, |it| it.bundle);
        let none_beside = beside.peek().is_none();
        (Holders { none_beside, none_of_its_own_beside: !is_lead(home) && beside.all(|it| is_lead(&it.home)) }, bundle)
    }

    /// Lets go of what was kept for an entry that is gone, unless another needs it.
    fn let_go(&mut self, entry: &Attributed, gone: &mut Gone) {
        if is_lead(&entry.home) && self.attributed.iter().all(|it| it.home != entry.home) {
            self.others.remove(&entry.home);
        }
        if self.attributed.iter().any(|it| it.event_id == entry.event_id) {
            return;
        }
        self.withheld.retain(|it| it.event_id != entry.event_id);
        match entry.bundle {
            0 => {
                if let Some(here) = &mut self.here {
                    here.remove(&entry.event_id);
                    if here.is_empty() {
                        self.here = None;
                    }
                }
            }
            bundle => gone.push((bundle, entry.event_id.clone())),
        }
    }

    /// Hears all events anew, which stand in the order they happened. What is left of events that are not remembered any
    /// more was said before them.
    pub(crate) fn hear_anew(&mut self, events: &[v1::BehaviorRecord], settings: &IdentitySettings) {
        let attributed = &self.attributed;
        self.statements.retain(|said| attributed.iter().all(|it| it.event_id != said.event_id));
        self.statements_dropped = false;
        for behavior in events {
            let Some(meta) = &behavior.meta else { continue };
            let order = (meta.occurred_at_ms, meta.event_id.as_slice());
            self.statements_dropped |= hear(&mut self.statements, order, behavior, settings);
        }
    }

    /// Whether an event that was just claimed says something that was followed by what other events say, some of which
    /// was dropped.
    pub(crate) fn heard_late(&self, event_id: &[u8]) -> bool {
        self.statements_dropped && is_late(&self.statements, event_id)
    }

    /// Whether there are events of it that are not remembered any more, and may have said something.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgotten.is_some()
    }

    /// Whether its profile was told by other rules than these. A lead without events has none to tell.
    pub(crate) fn was_told_by_others(&self, rules: u32) -> bool {
        self.told_by != rules && !self.attributed.is_empty()
    }

    /// Its profile is told by these rules from now on.
    pub(crate) fn tell_by(&mut self, rules: u32) {
        if !self.attributed.is_empty() {
            self.told_by = rules;
        }
    }

    /// The receipt of what the profile follows from: the latest among what its attributes are taken from; without any,
    /// the first of an event that it has. So it follows from the events it has, not from those it had.
    pub(crate) fn profile_received_at_ms(&self, settings: &IdentitySettings) -> Option<i64> {
        let received = |entry: &Attributed| entry.occurred_at_ms.saturating_add(entry.received_after_ms);
        let of_attributes = received_at_ms(&self.statements, &settings.profile_rules);
        of_attributes.or_else(|| self.attributed.iter().map(received).min())
    }

    /// Who the lead is, from the events it has: nobody when it has none. One without an address of its own takes the
    /// first of those that are merged into it.
    pub(crate) fn profile(&self, accounts: &Accounts, settings: &IdentitySettings) -> v1::Profile {
        if self.attributed.is_empty() {
            return v1::Profile::default();
        }
        let own = self.attributed.iter().any(|entry| !is_lead(&entry.home)).then_some(&self.known_as);
        let mut others: Vec<EmailAddress> = self.others.values().filter_map(|key| address(key)).collect();
        others.sort_unstable();
        others.dedup();
        let address = own.and_then(|key| address(key)).or_else(|| others.first().cloned());
        let mut attributes = attributes(&self.statements, &settings.profile_rules);
        let account = accounts.of(&attributes, address.as_ref());
        accounts.mark_role(&mut attributes, address.as_ref());
        others.retain(|other| Some(other) != address.as_ref());
        v1::Profile {
            email: address.map_or_else(String::new, |address| address.as_str().to_owned()),
            account_id: account.as_ref().map_or("", AccountId::as_str).to_owned(),
            attributes,
            other_emails: others.into_iter().map(|other| other.as_str().to_owned()).collect(),
        }
    }
}

/// The address of a key, if it is one.
fn address(key: &str) -> Option<EmailAddress> {
    match Identifier::from_key(key) {
        Ok(Identifier::Email(address)) => Some(address),
        Ok(Identifier::User(_) | Identifier::Crm(_) | Identifier::Phone(_) | Identifier::Anonymous(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
