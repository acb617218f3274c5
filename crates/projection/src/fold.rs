//! Folds a batch of records into the rows that it changes: pure, in memory, last write wins per lead.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use sqlx::types::{Json, Uuid};
use tasuki_domain::{Cycle, EventId, LeadId, Version};
use tasuki_stream::{Admission, admit};
use tasuki_wire::v1::{self, handoff_record, identity_record};

use crate::duplicates;
use crate::json;
use crate::record::{Attributed, Content, Entry, Judged, LeadTopic};
use crate::rows::{Decision, DuplicateKey, Handoff, LeadCurrent, Ledger, Profile, Timeline};
use crate::table::At;
use crate::text::{clean, count, indexed, version};

/// The rows that a batch of records concerns, as they stand and as they become.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    leads: HashMap<Uuid, LeadCurrent>,
    changed: BTreeSet<Uuid>,
    handoffs: BTreeMap<(Uuid, i64), Handoff>,
    /// Leads whose stage, cycle and copy of the handoff are to be derived anew.
    unsettled: BTreeSet<Uuid>,
    changes: Changes,
    scores: BTreeMap<Uuid, Box<v1::LeadScored>>,
    profiles: BTreeMap<Uuid, Box<v1::Profile>>,
}

/// What is to be written, but for the leads themselves; sorted by key, so that two writers never wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) timeline: BTreeMap<(Uuid, Uuid), Timeline>,
    /// Behavior events taken back that stand in the database: version of the retraction by lead and event.
    pub(crate) retracted: BTreeMap<(Uuid, Uuid), i64>,
    /// Leads whose activities cannot be counted on: something was retracted, or attributed a second time.
    pub(crate) recount: BTreeSet<Uuid>,
    pub(crate) profiles: Vec<Profile>,
    /// Of the leads whose profile changed, all there are from now on.
    pub(crate) duplicate_keys: Vec<DuplicateKey>,
    pub(crate) ledgers: Vec<Ledger>,
    pub(crate) decisions: BTreeMap<Uuid, Decision>,
    pub(crate) handoffs: Vec<Handoff>,
    pub(crate) repeated: BTreeMap<LeadTopic, u64>,
    pub(crate) gaps: Vec<Gap>,
}

/// Versions of a lead that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) source: LeadTopic,
    pub(crate) lead: LeadId,
    pub(crate) expected: Version,
    pub(crate) found: Version,
}

impl Fold {
    /// Starts from the rows that the database has of the leads concerned: the leads, and the handoffs of those with
    /// records of marketing or sales.
    pub(crate) fn new(leads: Vec<LeadCurrent>, handoffs: Vec<Handoff>) -> Self {
        Self {
            leads: leads.into_iter().map(|lead| (lead.lead_id, lead)).collect(),
            handoffs: handoffs.into_iter().map(|handoff| ((handoff.lead_id, handoff.cycle), handoff)).collect(),
            ..Self::default()
        }
    }

    /// Applies one record, unless its version has been seen.
    pub(crate) fn apply(&mut self, entry: Entry) {
        let id = entry.lead.uuid();
        let lead = self.leads.entry(id).or_insert_with(|| LeadCurrent::unknown(entry.lead));
        let last_seen = *last_version(lead, entry.source);
        let mut seen = u64::try_from(last_seen).unwrap_or_default();
        match admit(&mut seen, entry.head.version) {
            Admission::Repeated => {
                *self.changes.repeated.entry(entry.source).or_default() += 1;
                return;
            }
            Admission::New => {}
            Admission::Gap { expected } => {
                let gap = Gap { source: entry.source, lead: entry.lead, expected, found: entry.head.version };
                lead.missing_versions = lead.missing_versions.saturating_add(count(gap.missing()));
                self.changes.gaps.push(gap);
            }
        }
        *last_version(lead, entry.source) = count(seen);
        self.changed.insert(id);
        self.content(entry);
    }

    fn content(&mut self, entry: Entry) {
        let id = entry.lead.uuid();
        let lead = self.leads.get_mut(&id).expect("the lead was entered before");
        match &entry.content {
            Content::Unreadable => {}
            Content::Identity(into, event) => {
                let kind = match event.as_ref() {
                    identity_record::Event::MergesChanged(_) => {
                        lead.merged(*into);
                        "MergesChanged"
                    }
                    identity_record::Event::CommandRefused(_) => "LeadCommandRefused",
                    identity_record::Event::IdentifierRefused(_) => "IdentifierRefused",
                    identity_record::Event::ConsentsChanged(_) => "ConsentsChanged",
                    identity_record::Event::BehaviorWithheld(_) => "BehaviorWithheld",
                };
                let row = decision(&entry, kind, 0, json::identity(event));
                self.changes.decisions.insert(entry.head.event_id.uuid(), row);
            }
            Content::Attributed(event) => self.attributed(id, version(entry.head.version), event),
            Content::Retracted(event) => self.retracted(id, version(entry.head.version), *event),
            Content::Profile(profile) => {
                lead.introduce(profile);
                self.profiles.insert(id, profile.clone());
            }
            Content::Scored(scored) => {
                lead.scored(scored);
                self.scores.insert(id, scored.clone());
            }
            Content::Qualification(event) => {
                lead.judged(event);
                self.unsettled.insert(id);
                if let Judged::Qualified(qualified) = event {
                    self.handoff(entry.lead, Cycle::new(qualified.cycle)).qualified(&entry.head, qualified);
                }
                self.changes.decisions.insert(entry.head.event_id.uuid(), decision_of_marketing(&entry, event));
            }
            Content::Handoff(cycle, event) => {
                lead.handed(*cycle, event);
                if !matches!(event.as_ref(), handoff_record::Event::Refused(_)) {
                    self.unsettled.insert(id);
                    self.handoff(entry.lead, *cycle).apply(&entry.head, event);
                }
                self.changes.decisions.insert(entry.head.event_id.uuid(), decision_of_sales(&entry, *cycle, event));
            }
        }
    }

    fn handoff(&mut self, lead: LeadId, cycle: Cycle) -> &mut Handoff {
        self.handoffs.entry((lead.uuid(), i64::from(cycle.get()))).or_insert_with(|| Handoff::unknown(lead, cycle))
    }

    fn attributed(&mut self, lead_id: Uuid, version: i64, event: &Attributed) {
        let row = timeline_row(lead_id, version, event);
        if let Some(lead) = self.leads.get_mut(&lead_id) {
            lead.acted(row.occurred_at);
        }
        let key = (lead_id, row.event_id);
        let again = self.changes.retracted.remove(&key).is_some() | self.changes.timeline.insert(key, row).is_some();
        if again {
            self.changes.recount.insert(lead_id);
        }
    }

    fn retracted(&mut self, lead_id: Uuid, version: i64, event: EventId) {
        let key = (lead_id, event.uuid());
        self.changes.recount.insert(lead_id);
        match self.changes.timeline.get_mut(&key) {
            Some(row) => {
                row.retracted = true;
                row.version = version;
            }
            None => {
                self.changes.retracted.insert(key, version);
            }
        }
    }

    /// Derives what follows from several topics, and gives the changed leads and everything else that is to be written.
    pub(crate) fn finish(mut self) -> (BTreeMap<Uuid, LeadCurrent>, Changes) {
        for id in &self.unsettled {
            if let Some(lead) = self.leads.get_mut(id) {
                let latest = self.handoffs.range((*id, i64::MIN)..=(*id, i64::MAX)).next_back();
                lead.settle(latest.map(|(_, handoff)| handoff));
            }
        }
        self.changes.handoffs =
            self.handoffs.into_values().filter(|handoff| self.unsettled.contains(&handoff.lead_id)).collect();
        self.changes.profiles = (self.profiles.iter())
            .map(|(lead_id, profile)| Profile { lead_id: *lead_id, profile: Json(json::profile(profile)) })
            .collect();
        self.changes.duplicate_keys =
            self.profiles.iter().flat_map(|(lead_id, profile)| duplicates::keys(*lead_id, profile)).collect();
        self.changes.ledgers = self.scores.iter().map(|(lead_id, scored)| ledger_row(*lead_id, scored)).collect();
        let changed = self.changed;
        let leads = self.leads.into_iter().filter(|(id, _)| changed.contains(id)).collect();
        (leads, self.changes)
    }
}

impl Gap {
    /// How many versions are missing.
    pub(crate) fn missing(&self) -> u64 {
        self.found.get().saturating_sub(self.expected.get())
    }
}

fn last_version(lead: &mut LeadCurrent, source: LeadTopic) -> &mut i64 {
    match source {
        LeadTopic::Identities => &mut lead.identities_version,
        LeadTopic::Activity => &mut lead.activity_version,
        LeadTopic::Scores => &mut lead.scores_version,
        LeadTopic::Qualification => &mut lead.qualification_version,
        LeadTopic::Handoff => &mut lead.handoff_version,
    }
}

fn timeline_row(lead_id: Uuid, version: i64, event: &Attributed) -> Timeline {
    let behavior = &event.behavior;
    let circumstances = behavior.circumstances.as_ref();
    let origin = behavior.origin.as_ref();
    Timeline {
        lead_id,
        event_id: event.head.event_id.uuid(),
        occurred_at: At::new(event.head.occurred_at),
        received_at: At::new(event.head.received_at),
        kind: behavior.event.as_ref().map_or("Unknown", |event| event.kind()).to_owned(),
        about: behavior.event.as_ref().map_or_else(String::new, |event| clean(event.about())),
        title: circumstances.map_or_else(String::new, |circumstances| clean(&circumstances.title)),
        path: circumstances.map_or_else(String::new, |circumstances| clean(&circumstances.path)),
        campaign: circumstances.map_or_else(String::new, |circumstances| clean(&circumstances.campaign_name)),
        source: origin.map_or_else(String::new, |origin| clean(&origin.source)),
        protocol: origin.map_or_else(String::new, |origin| clean(&origin.protocol)),
        via: clean(&event.via),
        unscored: event.unscored,
        retracted: false,
        version,
    }
}

fn ledger_row(lead_id: Uuid, scored: &v1::LeadScored) -> Ledger {
    let (contributions, facts) = (Json(json::contributions(scored)), Json(json::facts(scored)));
    Ledger { lead_id, contributions, facts, tracks: Json(json::tracks(scored)) }
}

fn decision_of_marketing(entry: &Entry, event: &Judged) -> Decision {
    let (kind, cycle) = match event {
        Judged::Qualified(event) => ("LeadQualified", event.cycle),
        Judged::Recycled(event) => ("LeadRecycled", event.cycle),
        Judged::Disqualified(event) => ("LeadDisqualified", event.cycle),
        Judged::StageChanged(_) => ("StageChanged", 0),
        Judged::HeldBack(_) => ("LeadHeldBack", 0),
    };
    let mut row = decision(entry, kind, cycle, json::qualification(event));
    if let Judged::Qualified(event) = event {
        row.playbook_version = i64::from(event.playbook_version);
        row.route = indexed(&event.route);
    }
    if let Judged::HeldBack(event) = event {
        row.route = indexed(&event.route);
    }
    row
}

fn decision_of_sales(entry: &Entry, cycle: Cycle, event: &handoff_record::Event) -> Decision {
    use handoff_record::Event;
    let kind = match event {
        Event::Assigned(_) => "LeadAssigned",
        Event::Overdue(_) => "HandoffOverdue",
        Event::Accepted(_) => "SalesAccepted",
        Event::Rejected(_) => "SalesRejected",
        Event::Refused(_) => "FeedbackRefused",
    };
    decision(entry, kind, cycle.get(), json::handoff(event))
}

fn decision(entry: &Entry, kind: &str, cycle: u32, detail: Value) -> Decision {
    Decision {
        event_id: entry.head.event_id.uuid(),
        lead_id: entry.lead.uuid(),
        topic: entry.source.name().to_owned(),
        version: version(entry.head.version),
        occurred_at: At::new(entry.head.occurred_at),
        received_at: At::new(entry.head.received_at),
        kind: kind.to_owned(),
        cycle: i64::from(cycle),
        playbook_version: 0,
        route: String::new(),
        detail: Json(detail),
    }
}
