//! Records of the log, read and checked.

use std::collections::BTreeMap;

use prost::Message;
use sqlx::types::Json;
use tasuki_domain::{Cycle, EventId, HandoffId, LeadId, Timestamp};
use tasuki_stream::log::LogRecord;
use tasuki_stream::{Input, Poison};
use tasuki_wire::v1::{
    self, account_record, activity_record, dead_letter, handoff_record, identity_record, playbook_record,
    qualification_record, score_record,
};
use tasuki_wire::{Head, Topic};

use crate::json;
use crate::rows::{Account, Letter, Publication};
use crate::table::At;
use crate::text::{clean, indexed, optional, version};

/// The topics that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// Records of a lead, with versions.
    Leads(LeadTopic),
    Accounts,
    Playbooks,
    DeadLetters,
}

/// Topics whose records are about one lead each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LeadTopic {
    Identities,
    Activity,
    Scores,
    Qualification,
    Handoff,
}

impl Source {
    pub(crate) const ALL: [Self; 8] = [
        Self::Leads(LeadTopic::Identities),
        Self::Leads(LeadTopic::Activity),
        Self::Leads(LeadTopic::Scores),
        Self::Accounts,
        Self::Leads(LeadTopic::Qualification),
        Self::Leads(LeadTopic::Handoff),
        Self::Playbooks,
        Self::DeadLetters,
    ];

    pub(crate) const fn topic(self) -> Topic {
        match self {
            Self::Leads(topic) => topic.topic(),
            Self::Accounts => Topic::Accounts,
            Self::Playbooks => Topic::Playbooks,
            Self::DeadLetters => Topic::DeadLetters,
        }
    }

    pub(crate) fn of(topic: Topic) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.topic() == topic)
    }

    pub(crate) const fn name(self) -> &'static str {
        self.topic().name()
    }
}

impl LeadTopic {
    const fn topic(self) -> Topic {
        match self {
            Self::Identities => Topic::Identities,
            Self::Activity => Topic::Activity,
            Self::Scores => Topic::Scores,
            Self::Qualification => Topic::Qualification,
            Self::Handoff => Topic::Handoff,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.topic().name()
    }
}

/// Something about one lead.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) source: LeadTopic,
    pub(crate) lead: LeadId,
    pub(crate) head: Head,
    pub(crate) content: Content,
}

/// What it says.
#[derive(Debug)]
pub(crate) enum Content {
    /// With the lead it is merged into.
    Identity(Option<LeadId>, Box<identity_record::Event>),
    Attributed(Box<Attributed>),
    Retracted(EventId),
    Profile(Box<v1::Profile>),
    Scored(Box<v1::LeadScored>),
    Qualification(Judged),
    Handoff(Cycle, Box<handoff_record::Event>),
    /// Head and version are good, the rest cannot be read: only the version counts.
    Unreadable,
}

/// What marketing decided about a lead.
#[derive(Debug)]
pub(crate) enum Judged {
    Qualified(Box<v1::LeadQualified>),
    Recycled(v1::LeadRecycled),
    Disqualified(v1::LeadDisqualified),
    StageChanged(v1::StageChanged),
    HeldBack(v1::LeadHeldBack),
}

/// A behavior event with its head read.
#[derive(Debug)]
pub(crate) struct Attributed {
    pub(crate) behavior: v1::BehaviorRecord,
    pub(crate) head: Head,
    pub(crate) via: String,
    pub(crate) unscored: bool,
}

/// What a batch of records comes to, in the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) letters: Vec<Letter>,
    pub(crate) publications: Vec<Publication>,
    /// By id, the latest that is said of each.
    pub(crate) accounts: BTreeMap<String, Account>,
    /// Topics of the records that could not be read.
    pub(crate) unreadable: Vec<Topic>,
}

impl Batch {
    /// Reads one record. One that cannot be read becomes a dead letter of the projection's own.
    pub(crate) fn push(&mut self, record: &LogRecord) {
        let read = match Source::of(record.topic) {
            None => Err(Poison::new("unexpected-topic", "the projection does not read this topic")),
            Some(Source::DeadLetters) => dead_letter(&record.payload).map(|letter| self.letters.push(letter)),
            Some(Source::Playbooks) => {
                publication(&record.payload).map(|publication| self.publications.push(publication))
            }
            Some(Source::Accounts) => account(record).map(|account| self.push_account(account)),
            Some(Source::Leads(source)) => self.push_entry(source, &record.payload),
        };
        if let Err(poison) = read {
            self.unreadable.push(record.topic);
            self.letters.push(letter_of_ours(record, &poison));
        }
    }

    fn push_account(&mut self, account: Option<Account>) {
        let Some(account) = account else { return };
        let known = self.accounts.entry(account.account_id.clone()).or_insert_with(|| account.clone());
        if known.version < account.version {
            *known = account;
        }
    }

    fn push_entry(&mut self, source: LeadTopic, payload: &[u8]) -> Result<(), Poison> {
        let parts = match source {
            LeadTopic::Identities => Some(identities(payload)?),
            LeadTopic::Activity => Some(activity(payload)?),
            LeadTopic::Scores => scores(payload)?,
            LeadTopic::Qualification => qualification(payload)?,
            LeadTopic::Handoff => Some(handoff(payload)?),
        };
        let Some((meta, content)) = parts else { return Ok(()) };
        let (head, lead) = Head::read_with_lead(meta.as_ref())?;
        if head.version.get() == 0 {
            return Err(Poison::new("no-version", "meta.version is 0; expected 1, 2, 3 ..."));
        }
        let (content, poison) = match content {
            Ok(content) => (content, None),
            Err(poison) => (Content::Unreadable, Some(poison)),
        };
        self.entries.push(Entry { source, lead, head, content });
        poison.map_or(Ok(()), Err)
    }
}

/// A record's head, and its content if that can be read too.
type Parts = (Option<v1::Meta>, Result<Content, Poison>);

fn identities(payload: &[u8]) -> Result<Parts, Poison> {
    let record: v1::IdentityRecord = decode(payload)?;
    let content = match record.event {
        None => Err(unknown_event()),
        Some(event) => merged_into(&event).map(|into| Content::Identity(into, Box::new(event))),
    };
    Ok((record.meta, content))
}

fn merged_into(event: &identity_record::Event) -> Result<Option<LeadId>, Poison> {
    match event {
        identity_record::Event::MergesChanged(changed) if !changed.merged_into.is_empty() => {
            let into = LeadId::from_slice(&changed.merged_into);
            into.map(Some).map_err(|error| Poison::new("invalid-id", format!("merged_into: {error}")))
        }
        identity_record::Event::MergesChanged(_)
        | identity_record::Event::CommandRefused(_)
        | identity_record::Event::IdentifierRefused(_)
        | identity_record::Event::ConsentsChanged(_)
        | identity_record::Event::BehaviorWithheld(_) => Ok(None),
    }
}

fn activity(payload: &[u8]) -> Result<Parts, Poison> {
    let record: v1::ActivityRecord = decode(payload)?;
    let content = match record.event {
        None => Err(unknown_event()),
        Some(activity_record::Event::Attributed(event)) => attributed(event),
        Some(activity_record::Event::Retracted(event)) => EventId::from_slice(&event.behavior_id)
            .map(Content::Retracted)
            .map_err(|error| Poison::new("invalid-id", format!("behavior_id: {error}"))),
        Some(activity_record::Event::ProfileChanged(event)) => {
            Ok(Content::Profile(Box::new(event.profile.unwrap_or_default())))
        }
    };
    Ok((record.meta, content))
}

fn attributed(event: v1::BehaviorAttributed) -> Result<Content, Poison> {
    let behavior = event.behavior.ok_or_else(|| Poison::new("no-behavior", "behavior is missing"))?;
    let head = Head::read(behavior.meta.as_ref())?;
    Ok(Content::Attributed(Box::new(Attributed { behavior, head, via: event.via, unscored: event.unscored })))
}

/// `None` for what is of no lead: a playbook on its way to those that decide. The tables have it from `playbooks`.
fn scores(payload: &[u8]) -> Result<Option<Parts>, Poison> {
    let record: v1::ScoreRecord = decode(payload)?;
    let content = match record.event {
        Some(score_record::Event::Playbook(_)) => return Ok(None),
        Some(score_record::Event::Scored(scored)) => Ok(Content::Scored(Box::new(scored))),
        None => Err(unknown_event()),
    };
    Ok(Some((record.meta, content)))
}

/// `None` as for [`scores`].
fn qualification(payload: &[u8]) -> Result<Option<Parts>, Poison> {
    use qualification_record::Event;
    let record: v1::QualificationRecord = decode(payload)?;
    let judged = match record.event {
        Some(Event::Playbook(_)) => return Ok(None),
        Some(Event::Qualified(event)) => Ok(Judged::Qualified(Box::new(event))),
        Some(Event::Recycled(event)) => Ok(Judged::Recycled(event)),
        Some(Event::Disqualified(event)) => Ok(Judged::Disqualified(event)),
        Some(Event::StageChanged(event)) => Ok(Judged::StageChanged(event)),
        Some(Event::HeldBack(event)) => Ok(Judged::HeldBack(event)),
        None => Err(unknown_event()),
    };
    Ok(Some((record.meta, judged.map(Content::Qualification))))
}

fn handoff(payload: &[u8]) -> Result<Parts, Poison> {
    let record: v1::HandoffRecord = decode(payload)?;
    let cycle = Cycle::new(record.cycle);
    let content = match record.event {
        None => Err(unknown_event()),
        // Feedback may name a handoff that never was.
        Some(event @ handoff_record::Event::Refused(_)) => Ok(Content::Handoff(cycle, Box::new(event))),
        Some(event) => {
            let lead = record.meta.as_ref().and_then(|meta| LeadId::from_slice(&meta.lead_id).ok());
            let expected = lead.map(|lead| HandoffId::of(lead, cycle));
            if expected.is_none_or(|id| id.as_bytes().as_slice() == record.handoff_id) {
                Ok(Content::Handoff(cycle, Box::new(event)))
            } else {
                Err(Poison::new("handoff-id", "handoff_id is not the one of this lead and cycle"))
            }
        }
    };
    Ok((record.meta, content))
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, Poison> {
    M::decode(payload).map_err(|error| Poison::new("undecodable", error.to_string()))
}

fn unknown_event() -> Poison {
    Poison::new("unknown-event", "the record holds no event that this release knows")
}

/// What is said of an account; `None` for what a single lead adds to it, which scoring tells itself.
fn account(record: &LogRecord) -> Result<Option<Account>, Poison> {
    let v1::AccountRecord { meta, event } = decode(&record.payload)?;
    let head = Head::read(meta.as_ref())?;
    let engaged = match event {
        Some(account_record::Event::Contributed(_)) => return Ok(None),
        Some(account_record::Event::Engaged(engaged)) => engaged,
        None => return Err(unknown_event()),
    };
    if head.version.get() == 0 {
        return Err(Poison::new("no-version", "meta.version is 0; expected 1, 2, 3 ..."));
    }
    let id = std::str::from_utf8(&record.key).map_err(|error| Poison::new("key-not-utf8", error.to_string()))?;
    Ok(Some(Account {
        account_id: indexed(id),
        version: version(head.version),
        engagement_mp: engaged.engagement_mp,
        sum_mp: engaged.sum_mp,
        people: i64::from(engaged.people),
        department_count: i64::try_from(engaged.departments.len()).unwrap_or(i64::MAX),
        departments: Json(json::departments(&engaged.departments)),
        as_of: At::new(Timestamp::from_millis(engaged.as_of_ms)),
        playbook_version: i64::from(engaged.playbook_version),
    }))
}

fn publication(payload: &[u8]) -> Result<Publication, Poison> {
    let record: v1::PlaybookRecord = decode(payload)?;
    let head = Head::read(record.meta.as_ref())?;
    let Some(playbook_record::Event::Published(playbook)) = record.event else { return Err(unknown_event()) };
    let because = match playbook.because() {
        v1::PublishedBecause::Unspecified => "",
        v1::PublishedBecause::Started => "started",
        v1::PublishedBecause::Published => "published",
        v1::PublishedBecause::RolledBack => "rolled-back",
    };
    Ok(Publication {
        event_id: head.event_id.uuid(),
        version: i64::from(playbook.version),
        name: clean(&playbook.name),
        body: clean(&playbook.text),
        published_at: At::new(head.occurred_at),
        published_by: clean(&playbook.by),
        because: because.to_owned(),
    })
}

fn dead_letter(payload: &[u8]) -> Result<Letter, Poison> {
    let letter: v1::DeadLetter = decode(payload)?;
    let id = EventId::from_slice(&letter.id).map_err(|error| Poison::new("invalid-id", format!("id: {error}")))?;
    let kind = match letter.kind() {
        v1::DeadLetterKind::Unspecified => "",
        v1::DeadLetterKind::Size => "size",
        v1::DeadLetterKind::Format => "format",
        v1::DeadLetterKind::Protocol => "protocol",
        v1::DeadLetterKind::Schema => "schema",
        v1::DeadLetterKind::Auth => "auth",
        v1::DeadLetterKind::Policy => "policy",
        v1::DeadLetterKind::Poison => "poison",
    };
    let mut row = Letter {
        id: id.uuid(),
        service: indexed(&letter.service),
        kind: kind.to_owned(),
        code: indexed(&letter.code),
        message: clean(&letter.message),
        received_at: optional(letter.received_at_ms).map(At::new),
        original: letter.original.to_vec(),
        log_topic: None,
        log_partition: None,
        log_offset: None,
        log_key: None,
        http: None,
    };
    match letter.found_at {
        None => {}
        Some(dead_letter::FoundAt::Log(place)) => {
            row.log_topic = Some(clean(&place.topic));
            row.log_partition = Some(i32::try_from(place.partition).unwrap_or(i32::MAX));
            row.log_offset = Some(place.offset);
            row.log_key = Some(place.key);
        }
        Some(dead_letter::FoundAt::Http(place)) => row.http = Some(Json(json::http_place(&place))),
    }
    Ok(row)
}

/// The letter for a record that the projection cannot read: as every service writes them, but for the instant, since
/// nothing of such a record says when it was received.
fn letter_of_ours(record: &LogRecord, poison: &Poison) -> Letter {
    let LogRecord { topic, partition, offset, key, payload } = record;
    let input = Input { topic: *topic, partition: *partition, offset: *offset, key, payload };
    let letter = tasuki_stream::dead_letter("projection", &input, poison, Timestamp::from_millis(0));
    dead_letter(&letter.payload).expect("a letter just written can be read")
}
