//! The processor: reads behavior and links, asks the state concerned, sends what follows. What leads do is in `leads`.

use std::sync::Arc;

use prost::Message as _;
use tasuki_domain::{
    CrmId, DeploymentSecret, EmailAddress, EventId, Identifier, LeadId, PhoneNumber, Timestamp, Version,
};
use tasuki_stream::{Context, Due, Input, Poison, Processor, Topology};
use tasuki_wire::v1::{self, identity_link_record};
use tasuki_wire::{Head, Topic};

use crate::account::Accounts;
use crate::bundle::{Bundle, key_of_bundle};
use crate::effect::{Effects, Message, Times};
use crate::guard::{Guard, Kind, crm_id, phone, refused, shown};
use crate::history::{KeptEvent, Payload, Person};
use crate::metrics::{Metric, metric_of};
use crate::state::{Others, Parts};
use crate::{IdentitySettings, IdentityState, PhoneNumbers};

/// Its name.
const SERVICE: &str = "identity";

/// The identity service.
#[derive(Debug)]
pub struct Identity {
    secret: DeploymentSecret,
    pub(crate) settings: IdentitySettings,
    pub(crate) accounts: Accounts,
    /// Tells the rules by which profiles are made from others.
    pub(crate) rules: u32,
    guard: Guard,
}

impl Identity {
    /// The service of one deployment. Another secret gives other lead ids.
    pub fn new(secret: DeploymentSecret, settings: IdentitySettings) -> Self {
        let accounts = Accounts::built_in();
        let rules = settings.profile_rules.fingerprint() ^ accounts.fingerprint;
        let guard = Guard::new(&settings.blocked, settings.refuse_role_addresses);
        Self { secret, settings, accounts, rules, guard }
    }

    fn behavior(&self, context: &mut Context<'_, IdentityState>, input: &Input<'_>) -> Result<(), Poison> {
        let mut record: v1::BehaviorRecord = input.decode()?;
        let head = Head::read(record.meta.as_ref())?;
        let key = input.key_str()?;
        let at_home = self.home(record.identifiers.as_ref(), key)?;
        context.caused_by(head.event_id);
        if self.guard.screen(&mut record) == 0 {
            return self.arrived(context, key, at_home, &head, record.identifiers, input.payload.to_vec());
        }
        record.refused.iter().filter_map(|refused| metric_of(refused.because())).for_each(|it| count(context, it));
        let to = self.strongest(record.identifiers.as_ref())?;
        if to.key() == key {
            let (payload, identifiers) = (record.encode_to_vec(), record.identifiers.take());
            return self.arrived(context, key, to, &head, identifiers, payload);
        }
        let link = Head { event_id: context.next_event_id(), cause: Some(head.event_id), ..head };
        let forwarded = identity_link_record::Link::Forwarded(v1::BehaviorForwarded { behavior: Some(record) });
        let record = v1::IdentityLinkRecord { meta: Some(link.to_meta()), link: Some(forwarded) };
        context.emit(Topic::IdentityLinks, to.key(), &record);
        Ok(())
    }

    /// An identifier that counts for more was refused at its own home.
    fn forwarded(
        &self,
        context: &mut Context<'_, IdentityState>,
        key: &str,
        forwarded: v1::BehaviorForwarded,
    ) -> Result<(), Poison> {
        let mut record = forwarded.behavior.ok_or_else(|| Poison::new("no-behavior", "nothing is forwarded"))?;
        let head = Head::read(record.meta.as_ref())?;
        let home = self.home(record.identifiers.as_ref(), key)?;
        let (payload, identifiers) = (record.encode_to_vec(), record.identifiers.take());
        self.arrived(context, key, home, &head, identifiers, payload)
    }

    /// An event is at its home.
    fn arrived(
        &self,
        context: &mut Context<'_, IdentityState>,
        key: &str,
        home: Identifier,
        head: &Head,
        identifiers: Option<v1::Identifiers>,
        payload: Vec<u8>,
    ) -> Result<(), Poison> {
        let identifiers = identifiers.unwrap_or_default();
        let phone = if self.settings.phone_numbers == PhoneNumbers::Nobody { "" } else { phone(&identifiers) };
        let event = KeptEvent {
            event_id: *head.event_id.as_bytes(),
            occurred_at_ms: head.occurred_at.as_millis(),
            received_at_ms: head.received_at.as_millis(),
            crm_id: crm_id(&identifiers).into(),
            phone: phone.into(),
            user_id: identifiers.user_id.into(),
            email: identifiers.email.into(),
            claimed_for: Arc::default(),
            payload: Payload::Here(payload),
        };
        let mut effects = Effects::default();
        let Parts { history, others: Others { visitor, user, .. } } = &mut context.state(key).0;
        match home {
            Identifier::Anonymous(id) => {
                visitor.get_or_insert_default().arrived(history, &id, event, &self.settings, &mut effects);
            }
            Identifier::User(_) | Identifier::Crm(_) | Identifier::Phone(_) => {
                user.get_or_insert_default().arrived(history, key, event, &self.settings, &mut effects);
            }
            Identifier::Email(_) => {
                for (alias, named) in event.links().filter(|link| history.is_news(&event, *link)) {
                    let message = Message::Seen { to: alias.key(), asker: String::new(), named: named.key() };
                    effects.send(event.times(), message);
                }
                if history.insert(event) {
                    history.assign(&vec![Some(Arc::from(key)); history.events.len()], &mut effects);
                    // An address is its lead's for good: only that the event was seen needs keeping.
                    history.events.iter_mut().for_each(|kept| kept.payload = Payload::default());
                    history.trim(&self.settings, &mut effects);
                } else {
                    effects.count(Metric::Repeated);
                }
            }
        }
        history.bundle(&self.settings, &mut effects);
        self.send(context, key, head.event_id, effects);
        Ok(())
    }

    fn link(&self, context: &mut Context<'_, IdentityState>, input: &Input<'_>) -> Result<(), Poison> {
        let record: v1::IdentityLinkRecord = input.decode()?;
        let head = Head::read(record.meta.as_ref())?;
        let key = input.key_str()?;
        let link = record.link.ok_or_else(|| Poison::new("no-link", "the record has no link"))?;
        context.caused_by(head.event_id);
        match link {
            identity_link_record::Link::UserSeen(seen) => self.user_seen(context, key, &head, &seen),
            identity_link_record::Link::UserResolved(resolved) => self.resolved(context, key, &head, &resolved),
            identity_link_record::Link::Claimed(claimed) => self.claimed(context, key, &head, claimed),
            identity_link_record::Link::Released(released) => self.released(context, key, &head, &released),
            identity_link_record::Link::LeadsLinked(linked) => self.linked(context, key, &head, &linked),
            identity_link_record::Link::Forwarded(forwarded) => self.forwarded(context, key, forwarded),
            identity_link_record::Link::IdentifierRefused(refused) => {
                let lead_id = lead_id(key)?;
                self.refused(context, lead_id, &head, vec![refused]);
                Ok(())
            }
        }
    }

    fn user_seen(
        &self,
        context: &mut Context<'_, IdentityState>,
        key: &str,
        head: &Head,
        seen: &v1::UserSeen,
    ) -> Result<(), Poison> {
        match identifier(key)? {
            Identifier::User(_) | Identifier::Crm(_) | Identifier::Phone(_) => {}
            Identifier::Anonymous(_) | Identifier::Email(_) => {
                return Err(misdirected("a user id, a CRM id or a phone number"));
            }
        }
        let prefixed = |prefix: &str, id: &str, else_key: &str| {
            if id.is_empty() { else_key.to_owned() } else { [prefix, id].concat() }
        };
        let asker = prefixed("v:", &seen.anonymous_id, &seen.asker);
        let named = prefixed("e:", &seen.email, &seen.named);
        // The link stands where the event stands that made it.
        let event_id = head.cause.ok_or_else(|| Poison::new("no-cause", "meta.cause_id is empty"))?;
        let mut effects = Effects::default();
        let Parts { history, others: Others { user, .. } } = &mut context.state(key).0;
        user.get_or_insert_default().seen(
            history,
            key,
            (&asker, &named),
            (event_id.as_bytes(), times(head)),
            &self.settings,
            &mut effects,
        );
        self.send(context, key, head.event_id, effects);
        Ok(())
    }

    /// An alias says by which key its lead is known.
    fn resolved(
        &self,
        context: &mut Context<'_, IdentityState>,
        key: &str,
        head: &Head,
        resolved: &v1::UserResolved,
    ) -> Result<(), Poison> {
        let v1::UserResolved { user_id, email, revision, identifier: alias, known_as } = resolved;
        let alias = if user_id.is_empty() { alias.clone() } else { Person::User(user_id).key() };
        let known_as = match (email.as_str(), known_as.as_str()) {
            ("", "") => alias.clone(),
            ("", known_as) => known_as.to_owned(),
            (email, _) => Person::Email(email).key(),
        };
        let answer = (alias.as_str(), known_as.as_str(), *revision);
        let asker = identifier(key)?;
        let mut effects = Effects::default();
        let Parts { history, others: Others { visitor, user, .. } } = &mut context.state(key).0;
        match asker {
            Identifier::Anonymous(_) => visitor.get_or_insert_default().resolved(history, answer, &mut effects),
            Identifier::User(_) | Identifier::Crm(_) | Identifier::Phone(_) => {
                user.get_or_insert_default().resolved(history, key, answer, times(head), &mut effects);
            }
            Identifier::Email(_) => return Err(misdirected("a visitor id, a user id, a CRM id or a phone number")),
        }
        self.send(context, key, head.event_id, effects);
        Ok(())
    }

    /// Sends what a home decided, and keeps the payloads of its events where they now belong.
    fn send(&self, context: &mut Context<'_, IdentityState>, home: &str, cause: EventId, effects: Effects) {
        for metric in effects.counts {
            count(context, metric);
        }
        for (times, message) in effects.messages {
            let (to, lead, link) = self.address(context, home, message);
            let head = Head {
                event_id: context.next_event_id(),
                occurred_at: Timestamp::from_millis(times.occurred_at_ms),
                received_at: Timestamp::from_millis(times.received_at_ms),
                cause: Some(cause),
                lead,
                version: Version::default(),
            };
            let record = v1::IdentityLinkRecord { meta: Some(head.to_meta()), link: Some(link) };
            context.emit(Topic::IdentityLinks, to, &record);
        }
        for (number, id) in effects.unbundled {
            bundle(context, home, number).remove(&id);
        }
        for (number, id, record) in effects.bundled {
            bundle(context, home, number).add(&id, record);
        }
    }

    /// To whom a message goes, and how it stands on the log.
    fn address(
        &self,
        context: &mut Context<'_, IdentityState>,
        home: &str,
        message: Message,
    ) -> (String, Option<LeadId>, identity_link_record::Link) {
        use identity_link_record::Link;
        match message {
            Message::Seen { to, asker, named } => {
                let (anonymous_id, asker) = parted(&asker, "v:");
                let (email, named) = parted(&named, "e:");
                (to, None, Link::UserSeen(v1::UserSeen { anonymous_id, email, asker, named }))
            }
            Message::Resolved { to, alias, known_as, revision } => {
                let (email, known_as) = parted(if known_as == alias { "" } else { &known_as }, "e:");
                let (user_id, identifier) = parted(&alias, "u:");
                (to, None, Link::UserResolved(v1::UserResolved { user_id, email, revision, identifier, known_as }))
            }
            Message::Claimed { known_as, behavior_id, payload } => {
                let lead = self.lead_known_as(&known_as);
                let record = match &payload {
                    Payload::Here(record) => record,
                    Payload::Bundled { bundle: number, .. } => bundle(context, home, *number)
                        .record(&behavior_id)
                        .expect("a payload leaves the home's state for the bundle, and the bundle with its event"),
                };
                let behavior = v1::BehaviorRecord::decode(record).expect("decoded before it was kept");
                let (identifier, known_as) = (home.to_owned(), known_as.to_string());
                let claimed = v1::BehaviorClaimed { behavior: Some(behavior), identifier, known_as };
                (key_of_lead(lead), Some(lead), Link::Claimed(claimed))
            }
            Message::Refused { known_as, because, behavior_id } => {
                let lead = self.lead_known_as(&known_as);
                let kind = Kind::of_key(home).unwrap_or(Kind::Visitor);
                let id = home.split_once(':').map_or("", |(_, id)| id);
                let refused = refused(kind, because, shown(kind, id), &behavior_id);
                (key_of_lead(lead), Some(lead), Link::IdentifierRefused(refused))
            }
            Message::Released { known_as, behavior_id } => {
                let lead = self.lead_known_as(&known_as);
                let released = v1::BehaviorReleased { behavior_id: behavior_id.to_vec(), identifier: home.to_owned() };
                (key_of_lead(lead), Some(lead), Link::Released(released))
            }
        }
    }

    /// The identifier that is home to an event: the strongest one; the record's key says the same.
    fn home(&self, identifiers: Option<&v1::Identifiers>, key: &str) -> Result<Identifier, Poison> {
        let home = self.strongest(identifiers)?;
        if home.key() != key {
            return Err(Poison::new(
                "wrong-key",
                "the key is not that of the event's visitor id, else user id, else CRM id, else e-mail, else phone number",
            ));
        }
        Ok(home)
    }

    /// The identifier that is home to an event.
    fn strongest(&self, identifiers: Option<&v1::Identifiers>) -> Result<Identifier, Poison> {
        let none = v1::Identifiers::default();
        let identifiers = identifiers.unwrap_or(&none);
        let address = match identifiers.email.as_str() {
            "" => None,
            text => {
                Some(text.parse::<EmailAddress>().map_err(|error| Poison::new("invalid-email", error.to_string()))?)
            }
        };
        if address.as_ref().is_some_and(|address| address.as_str() != identifiers.email) {
            return Err(Poison::new("invalid-email", "the e-mail address is not in its normal form"));
        }
        let phone = if self.settings.phone_numbers == PhoneNumbers::Nobody { "" } else { phone(identifiers) };
        if !identifiers.anonymous_id.is_empty() {
            Ok(Identifier::Anonymous(identifiers.anonymous_id.clone()))
        } else if !identifiers.user_id.is_empty() {
            Ok(Identifier::User(identifiers.user_id.clone()))
        } else if let Ok(id) = crm_id(identifiers).parse::<CrmId>() {
            Ok(Identifier::Crm(id))
        } else if let Some(address) = address {
            Ok(Identifier::Email(address))
        } else if let Ok(number) = phone.parse::<PhoneNumber>() {
            Ok(Identifier::Phone(number))
        } else {
            Err(Poison::new(
                "no-identifier",
                "expected a visitor id, a user id, a CRM id, an e-mail address or a phone number that is not refused",
            ))
        }
    }

    fn lead_known_as(&self, key: &str) -> LeadId {
        let identifier = Identifier::from_key(key).expect("made from identifiers that were checked on arrival");
        self.secret.lead_id(&identifier)
    }
}

impl Processor for Identity {
    type State = IdentityState;

    fn topology(&self) -> Topology {
        Topology {
            service: SERVICE,
            inputs: &[Topic::Behavior, Topic::IdentityLinks, Topic::LeadCommands],
            outputs: &[Topic::IdentityLinks, Topic::Activity, Topic::Identities],
            state: Topic::IdentityState,
        }
    }

    fn apply(&self, context: &mut Context<'_, IdentityState>, input: &Input<'_>) -> Result<(), Poison> {
        if input.topic == Topic::IdentityLinks {
            self.link(context, input)
        } else if input.topic == Topic::LeadCommands {
            self.command(context, input)
        } else {
            self.behavior(context, input)
        }
    }

    fn deadline(&self, context: &mut Context<'_, IdentityState>, due: &Due<'_>) {
        let mut effects = Effects::default();
        let Parts { history, others: Others { visitor, user, .. } } = &mut context.state(due.key).0;
        if history.expire_at_ms.is_some_and(|at| at <= due.due_at.as_millis()) {
            let now_ms = due.due_at.as_millis();
            match visitor {
                Some(visitor) => visitor.expire(history, now_ms, &self.settings, &mut effects),
                None => drop(history.expire(now_ms, &self.settings, &mut effects)),
            }
        }
        if let Some(user) = user
            && user.settles_at_ms().is_some_and(|at| at <= due.due_at.as_millis())
        {
            user.settle(history, due.key, (due.due_at, due.fired_at), &self.settings, &mut effects);
        }
        self.send(context, due.key, due.event_id(SERVICE), effects);
    }
}

/// A key as what stands behind its kind, where it is of this kind, and as it is, where it is of another.
fn parted(key: &str, kind: &str) -> (String, String) {
    key.strip_prefix(kind).map_or_else(|| (String::new(), key.to_owned()), |id| (id.to_owned(), String::new()))
}

fn identifier(key: &str) -> Result<Identifier, Poison> {
    Identifier::from_key(key).map_err(|error| Poison::new("wrong-key", error.to_string()))
}

pub(crate) fn lead_id(key: &str) -> Result<LeadId, Poison> {
    let id = key.strip_prefix("l:").ok_or_else(|| misdirected("a lead"))?;
    id.parse().map_err(|error: tasuki_domain::InvalidId| Poison::new("wrong-key", error.to_string()))
}

pub(crate) fn key_of_lead(lead: LeadId) -> String {
    format!("l:{lead}")
}

pub(crate) fn bundle<'c>(context: &'c mut Context<'_, IdentityState>, home: &str, number: u32) -> &'c mut Bundle {
    context.state(&key_of_bundle(home, number)).0.others.bundle.get_or_insert_default()
}

fn misdirected(expected: &str) -> Poison {
    Poison::new("wrong-key", format!("expected the key of {expected}"))
}

fn times(head: &Head) -> Times {
    Times { occurred_at_ms: head.occurred_at.as_millis(), received_at_ms: head.received_at.as_millis() }
}

pub(crate) fn count(context: &mut Context<'_, IdentityState>, metric: Metric) {
    let (what, reason) = metric.name();
    context.count(what, reason);
}
