//! What the state of a lead does with claims, releases, merges and splits. Which lead has an event in the end is decided
//! in two steps: homes give it to a lead, and a lead that is merged gives it on to the lead at the top of its group.

use prost::Message as _;
use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_stream::{Context, Input, Poison};
use tasuki_wire::v1::{self, activity_record, identity_link_record, identity_record};
use tasuki_wire::{Head, Topic};

use crate::bundle::key_of_bundle;
use crate::guard::{Kind, crm_id, phone, refusals, refused, told_as};
use crate::history::Order;
use crate::lead::{Claim, Gone, Lead, Place, Release, Told};
use crate::merges::{Command, Groups, neighbours};
use crate::metrics::Metric;
use crate::processor::{bundle, count, key_of_lead, lead_id};
use crate::{Identity, IdentityState};

pub(crate) type Deciding<'c, 't> = &'c mut Context<'t, IdentityState>;

/// An event of a lead that changes hands.
pub(crate) struct Moving {
    pub(crate) behavior: v1::BehaviorRecord,
    pub(crate) head: Head,
    /// One of the lead's own homes claims it.
    own: bool,
}

impl Identity {
    /// A home, or a lead that is merged into this one, says that an event is this lead's.
    pub(crate) fn claimed(
        &self,
        context: Deciding<'_, '_>,
        key: &str,
        head: &Head,
        claimed: v1::BehaviorClaimed,
    ) -> Result<(), Poison> {
        let lead_id = lead_id(key)?;
        let behavior = claimed.behavior.ok_or_else(|| Poison::new("no-behavior", "the claim has no event"))?;
        let behavior_head = Head::read(behavior.meta.as_ref())?;
        let order = (behavior_head.occurred_at.as_millis(), behavior_head.event_id.as_bytes().as_slice());
        let record = behavior.encode_to_vec();
        let mut refusals = refusals(&behavior);
        let consent = self.consent_of(context, key);
        let before = self.profile_as_told(context, key);
        let lead = lead(context, key);
        let mut gone = Gone::new();
        let names = (claimed.identifier.as_str(), claimed.known_as.as_str());
        let claim = lead.claim(order, names, (&behavior, record), &self.settings, &mut gone);
        let (top, bundled, known_as) = (lead.merged_into(), lead.bundle(&self.settings), lead.known_as.clone());
        // What was not heard was not heard late either.
        let heard = matches!(&claim, Claim::Taken(holders) if holders.none_beside);
        let heard_late = heard && lead.heard_late(order.1);
        unbundle(context, key, gone);
        if let Some((number, events)) = bundled {
            bundle(context, key, number).add_all(events);
        }
        if heard_late {
            self.hear_anew(context, key);
        }
        match (claim, top) {
            (Claim::Taken(holders), None) if holders.none_beside => {
                self.give(context, lead_id, head, behavior);
            }
            (Claim::Taken(holders), Some(top)) if holders.none_of_its_own_beside => {
                let claimed = v1::BehaviorClaimed { behavior: Some(behavior), identifier: key.to_owned(), known_as };
                tell(context, top, head, identity_link_record::Link::Claimed(claimed));
            }
            (Claim::Taken(_) | Claim::Repeated, _) => count(context, Metric::ClaimRepeated),
            (Claim::TooOld, _) => count(context, Metric::ClaimTooOld),
            (Claim::TooMany, _) => {
                count(context, Metric::IdentifiersPerLead);
                let kind = Kind::of_key(&claimed.identifier).unwrap_or(Kind::Visitor);
                let because = v1::RefusedBecause::IdentifiersPerLead;
                refusals = vec![refused(kind, because, String::new(), behavior_head.event_id.as_bytes())];
            }
        }
        let of_event = Head { event_id: head.event_id, ..behavior_head };
        self.refused(context, lead_id, &of_event, refusals);
        self.settle_consent(context, lead_id, &of_event, &consent);
        self.tell_profile(context, lead_id, head, before.as_ref());
        Ok(())
    }

    /// Lets people see which identifiers were refused: each once.
    pub(crate) fn refused(
        &self,
        context: Deciding<'_, '_>,
        lead_id: LeadId,
        link: &Head,
        refusals: Vec<v1::IdentifierRefused>,
    ) {
        for refused in refusals {
            if lead(context, &key_of_lead(lead_id)).note_refusal(told_as(&refused)) {
                identities(context, lead_id, link, identity_record::Event::IdentifierRefused(refused));
            }
        }
    }

    /// The same, that it is not after all.
    pub(crate) fn released(
        &self,
        context: Deciding<'_, '_>,
        key: &str,
        head: &Head,
        released: &v1::BehaviorReleased,
    ) -> Result<(), Poison> {
        let lead_id = lead_id(key)?;
        let behavior_id =
            EventId::from_slice(&released.behavior_id).map_err(|error| Poison::new("invalid-id", error.to_string()))?;
        let order: Order<'_> = (head.occurred_at.as_millis(), behavior_id.as_bytes());
        let consent = self.consent_of(context, key);
        let before = self.profile_as_told(context, key);
        let lead = lead(context, key);
        let told = lead.told(behavior_id.as_bytes());
        let top = lead.merged_into().filter(|_| lead.can_move(behavior_id.as_bytes()));
        let merged = lead.merged_into();
        let mut gone = Gone::new();
        let release = lead.release(order, &released.identifier, &mut gone);
        let hear_anew = lead.statements_dropped;
        unbundle(context, key, gone);
        let passed_on = v1::BehaviorReleased { behavior_id: released.behavior_id.clone(), identifier: key.to_owned() };
        match (release, top, merged) {
            (Release::Taken(holders), None, _) if holders.none_beside => {
                retract(context, lead_id, head, behavior_id.as_bytes(), told);
            }
            (Release::Forgotten, _, None) => {
                retract(context, lead_id, head, behavior_id.as_bytes(), Told::Counted);
            }
            (Release::Taken(holders), Some(top), _) if holders.none_of_its_own_beside => {
                tell(context, top, head, identity_link_record::Link::Released(passed_on));
            }
            (Release::Forgotten, _, Some(top)) => {
                tell(context, top, head, identity_link_record::Link::Released(passed_on));
            }
            (Release::Taken(_), _, _) => count(context, Metric::ClaimRepeated),
            (Release::Unknown, _, _) => count(context, Metric::ReleaseUnknown),
        }
        if hear_anew {
            self.hear_anew(context, key);
        }
        self.settle_consent(context, lead_id, head, &consent);
        self.tell_profile(context, lead_id, head, before.as_ref());
        Ok(())
    }

    /// A person says who is who.
    pub(crate) fn command(&self, context: Deciding<'_, '_>, input: &Input<'_>) -> Result<(), Poison> {
        let record: v1::LeadCommand = input.decode()?;
        let command = Command::read(&record)?;
        let key = input.key_str()?;
        if key != key_of_lead(command.into) {
            return Err(Poison::new("wrong-key", "the key is not that of the lead that stays"));
        }
        context.caused_by(command.head.event_id);
        let known = lead(context, key).commands();
        if known.iter().any(|it| it.head.event_id == command.head.event_id) {
            count(context, Metric::CommandRepeated);
        } else if command.into == command.from {
            refuse(context, key, &command, "a lead is one with itself, and cannot be split from itself");
        } else if known.len() >= self.settings.merges_per_group {
            let most = self.settings.merges_per_group;
            let reason = format!("the leads it is connected with were merged and split {most} times; no more is kept");
            refuse(context, key, &command, &reason);
        } else {
            let cause = command.head.event_id;
            self.learn(context, command.into, &known, vec![command], cause)?;
        }
        Ok(())
    }

    /// Another lead knows of commands that concern this one.
    pub(crate) fn linked(
        &self,
        context: Deciding<'_, '_>,
        key: &str,
        head: &Head,
        linked: &v1::LeadsLinked,
    ) -> Result<(), Poison> {
        let lead_id = lead_id(key)?;
        let known = lead(context, key).commands();
        let told = linked.commands.iter().map(Command::read).collect::<Result<Vec<_>, _>>()?;
        let is_new = |command: &Command| known.iter().all(|it| it.head.event_id != command.head.event_id);
        let new: Vec<Command> = told.into_iter().filter(is_new).collect();
        if new.is_empty() { Ok(()) } else { self.learn(context, lead_id, &known, new, head.event_id) }
    }

    /// Takes in new commands, lets those know whom they concern, and does what follows.
    fn learn(
        &self,
        context: Deciding<'_, '_>,
        lead_id: LeadId,
        known: &[Command],
        new: Vec<Command>,
        cause: EventId,
    ) -> Result<(), Poison> {
        let key = key_of_lead(lead_id);
        let mut all: Vec<Command> = known.iter().chain(&new).cloned().collect();
        all.sort_by(|a, b| a.order().cmp(&b.order()));
        lead(context, &key).keep_commands(&all);
        let latest =
            new.iter().max_by(|a, b| a.order().cmp(&b.order())).ok_or_else(|| Poison::new("no-command", ""))?;
        let head =
            Head { event_id: cause, cause: None, lead: Some(lead_id), version: Version::default(), ..latest.head };
        let told_before = neighbours(known, lead_id);
        for neighbour in neighbours(&all, lead_id) {
            let commands = if told_before.contains(&neighbour) { &new } else { &all };
            let linked = v1::LeadsLinked { commands: commands.iter().map(Command::to_record).collect() };
            tell(context, neighbour, &head, identity_link_record::Link::LeadsLinked(linked));
        }
        let (before, after) = (Groups::of(known), Groups::of(&all));
        let (top, below) = (after.top(lead_id), after.below(lead_id));
        if (before.top(lead_id), before.below(lead_id)) == (top, below.clone()) {
            return Ok(());
        }
        let bytes = |lead: LeadId| lead.as_bytes().to_vec();
        let merged_into = (top != lead_id).then_some(top);
        let changed = v1::MergesChanged {
            merged_into: merged_into.map_or_else(Vec::new, bytes),
            merged: below.into_iter().map(bytes).collect(),
            command_id: latest.head.event_id.as_bytes().to_vec(),
            by: latest.by.clone(),
        };
        identities(context, lead_id, &head, identity_record::Event::MergesChanged(changed));
        count(context, if merged_into.is_some() { Metric::Merged } else { Metric::MergesChanged });
        if before.top(lead_id) != top {
            self.hand_over(context, lead_id, &head, merged_into);
        }
        Ok(())
    }

    /// Gives what the lead has to the lead that has it from now on: another, or itself.
    fn hand_over(&self, context: Deciding<'_, '_>, lead_id: LeadId, link: &Head, to: Option<LeadId>) {
        let key = key_of_lead(lead_id);
        let events = events(context, &key);
        let lead = lead(context, &key);
        let (from, known_as) = (lead.merged_into(), lead.known_as.clone());
        lead.merge_into(to);
        let times = |head: &Head| Head { occurred_at: head.occurred_at, received_at: head.received_at, ..*link };
        for Moving { head, own, .. } in &events {
            let behavior_id = head.event_id.as_bytes().to_vec();
            match from {
                None => {
                    let told = crate::leads::lead(context, &key).told(&behavior_id);
                    retract(context, lead_id, &times(head), &behavior_id, told);
                }
                Some(from) if *own => {
                    let released = v1::BehaviorReleased { behavior_id, identifier: key.clone() };
                    tell(context, from, &times(head), identity_link_record::Link::Released(released));
                }
                // What others gave to it they will take back themselves.
                Some(_) => {}
            }
        }
        crate::leads::lead(context, &key).note_nothing_told();
        for Moving { behavior, head, own } in events {
            match to {
                None => self.give(context, lead_id, &times(&head), behavior),
                Some(to) if own => {
                    let (identifier, known_as) = (key.clone(), known_as.clone());
                    let claimed = v1::BehaviorClaimed { behavior: Some(behavior), identifier, known_as };
                    tell(context, to, &times(&head), identity_link_record::Link::Claimed(claimed));
                }
                Some(_) => {}
            }
        }
    }

    /// Builds what is said about the person from the events themselves, after some of it had been dropped at a bound.
    fn hear_anew(&self, context: Deciding<'_, '_>, key: &str) {
        let all = lead(context, key).remembered();
        if all.iter().any(|it| it.place == Place::Nowhere) {
            count(context, Metric::ValuesForgotten);
            return;
        }
        let events: Vec<_> = events(context, key).into_iter().map(|moving| moving.behavior).collect();
        let lead = lead(context, key);
        lead.hear_anew(&events, &self.settings);
        let metric = if lead.has_forgotten() { Metric::ValuesForgotten } else { Metric::HeardAnew };
        count(context, metric);
    }

    /// Who the lead is as it was told last; `None` if that was by other rules than those in force, and is to be told
    /// anew.
    fn profile_as_told(&self, context: Deciding<'_, '_>, key: &str) -> Option<v1::Profile> {
        let lead = lead(context, key);
        if !lead.was_told_by_others(self.rules) {
            return Some(lead.profile(&self.accounts, &self.settings));
        }
        if lead.statements_dropped {
            self.hear_anew(context, key);
        }
        None
    }

    /// Writes who the lead is, if that is another than before.
    fn tell_profile(&self, context: Deciding<'_, '_>, lead_id: LeadId, link: &Head, before: Option<&v1::Profile>) {
        let lead = lead(context, &key_of_lead(lead_id));
        let profile = lead.profile(&self.accounts, &self.settings);
        lead.tell_by(self.rules);
        if before != Some(&profile) {
            let received_at_ms = lead.profile_received_at_ms(&self.settings);
            let received_at = received_at_ms.map_or(link.received_at, Timestamp::from_millis);
            let changed = v1::ProfileChanged { profile: Some(profile) };
            write(context, lead_id, &Head { received_at, ..*link }, activity_record::Event::ProfileChanged(changed));
        }
    }
}

pub(crate) fn lead<'c>(context: &'c mut Context<'_, IdentityState>, key: &str) -> &'c mut Lead {
    context.state(key).0.others.lead.get_or_insert_default()
}

/// The events that a lead remembers and has kept, in the order they happened.
pub(crate) fn events(context: Deciding<'_, '_>, key: &str) -> Vec<Moving> {
    let remembered = lead(context, key).remembered();
    let read = |record: &[u8]| v1::BehaviorRecord::decode(record).expect("decoded before it was kept");
    let mut events = Vec::with_capacity(remembered.len());
    for event in remembered {
        let behavior = match &event.place {
            Place::Here(record) => read(record),
            Place::Bundle(number) => {
                let bundle = bundle(context, key, *number);
                read(
                    bundle
                        .record(&event.event_id)
                        .expect("it leaves the lead's state for the bundle, and that with its event"),
                )
            }
            Place::Nowhere => continue,
        };
        let head = Head::read(behavior.meta.as_ref()).expect("read before it was kept");
        events.push(Moving { behavior, head, own: event.own });
    }
    events
}

fn unbundle(context: Deciding<'_, '_>, key: &str, gone: Gone) {
    for (number, event_id) in gone {
        context.state(&key_of_bundle(key, number)).0.others.bundle.get_or_insert_default().remove(&event_id);
    }
}

/// Writes to `activity` of the lead, with its next version.
pub(crate) fn write(context: Deciding<'_, '_>, lead_id: LeadId, link: &Head, event: activity_record::Event) {
    let lead = lead(context, &key_of_lead(lead_id));
    lead.version += 1;
    let (version, identities_version) = (Version::new(lead.version), lead.identities_version);
    let event_id = context.next_event_id();
    let head = Head { event_id, cause: Some(link.event_id), lead: Some(lead_id), version, ..*link };
    let record = v1::ActivityRecord { meta: Some(head.to_meta()), identities_version, event: Some(event) };
    context.emit(Topic::Activity, lead_id.to_string(), &record);
}

/// Takes back an event that was told so; one that was withheld never was on `activity`.
pub(crate) fn retract(context: Deciding<'_, '_>, lead_id: LeadId, link: &Head, behavior_id: &[u8], told: Told) {
    if told != Told::Withheld {
        let retracted = v1::BehaviorRetracted { behavior_id: behavior_id.to_vec() };
        write(context, lead_id, link, activity_record::Event::Retracted(retracted));
    }
}

/// Writes to `identities` of the lead, with its next version.
pub(crate) fn identities(context: Deciding<'_, '_>, lead_id: LeadId, link: &Head, event: identity_record::Event) {
    let lead = lead(context, &key_of_lead(lead_id));
    lead.identities_version += 1;
    let version = Version::new(lead.identities_version);
    let event_id = context.next_event_id();
    let head = Head { event_id, cause: Some(link.event_id), lead: Some(lead_id), version, ..*link };
    let record = v1::IdentityRecord { meta: Some(head.to_meta()), event: Some(event) };
    context.emit(Topic::Identities, lead_id.to_string(), &record);
}

/// Sends something to another lead.
fn tell(context: Deciding<'_, '_>, to: LeadId, link: &Head, what: identity_link_record::Link) {
    let event_id = context.next_event_id();
    let (cause, lead, version) = (Some(link.event_id), Some(to), Version::default());
    let head = Head { event_id, cause, lead, version, ..*link };
    let record = v1::IdentityLinkRecord { meta: Some(head.to_meta()), link: Some(what) };
    context.emit(Topic::IdentityLinks, key_of_lead(to), &record);
}

fn refuse(context: Deciding<'_, '_>, key: &str, command: &Command, reason: &str) {
    let refused = v1::LeadCommandRefused {
        command_id: command.head.event_id.as_bytes().to_vec(),
        from: command.from.as_bytes().to_vec(),
        by: command.by.clone(),
        reason: reason.to_owned(),
    };
    debug_assert_eq!(key, key_of_lead(command.into));
    identities(context, command.into, &command.head, identity_record::Event::CommandRefused(refused));
    count(context, Metric::CommandRefused);
}

/// By which kind of identifier an event was attributed: the strongest it carries itself.
pub(crate) fn via(identifiers: Option<&v1::Identifiers>) -> &'static str {
    match identifiers {
        Some(identifiers) if !identifiers.user_id.is_empty() => "user",
        Some(identifiers) if !crm_id(identifiers).is_empty() => "crm",
        Some(identifiers) if !identifiers.email.is_empty() => "email",
        Some(identifiers) if identifiers.anonymous_id.is_empty() && !phone(identifiers).is_empty() => "phone",
        Some(_) | None => "anonymous",
    }
}
