//! Qualification as a processor: scores and the verdicts of sales in, marketing's decisions out.

use std::sync::Arc;

use prost::Message;
use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_playbook::{Consequence, Playbook, Shelf, TrackRef};
use tasuki_stream::{Admission, Context, Due, Input, Poison, Processor, Publication, State, Topology, admit};
use tasuki_wire::v1::handoff_record::Event as Handoff;
use tasuki_wire::v1::identity_record::Event as Identity;
use tasuki_wire::v1::qualification_link_record;
use tasuki_wire::v1::qualification_record::Event as Decision;
use tasuki_wire::v1::score_record::Event as Score;
use tasuki_wire::{Head, Topic, v1};

use crate::decide::{Open, Verdict, after_rejection, decide, open, shows_interest};
use crate::metrics;
use crate::state::{LatestScore, Phase, QualificationState};

const SERVICE: &str = "qualification";

/// Decides, by a playbook, which leads are handed to sales: each score by the playbook that it was made by. Published
/// playbooks come on `scores`, ahead of the first score by them; before any did, it is the one that it was made with.
#[derive(Debug)]
pub struct Qualification {
    start: Arc<Playbook>,
    published: Shelf<Playbook>,
}

type Deciding<'c, 't> = &'c mut Context<'t, QualificationState>;

/// What a decision follows from.
#[derive(Clone, Copy)]
struct Cause<'k> {
    key: &'k str,
    lead: LeadId,
    event: EventId,
    /// When the decision holds from.
    at: Timestamp,
    received_at: Timestamp,
}

impl Qualification {
    /// Qualification by this playbook, and by those that are published.
    pub fn new(playbook: Arc<Playbook>) -> Self {
        Self { start: playbook, published: Shelf::default() }
    }

    /// The playbook of a version: as it was published, else the one from the start.
    fn playbook(&self, context: Deciding<'_, '_>, version: u32) -> Arc<Playbook> {
        let state = context.peek(&Publication::key(version)).and_then(|state| state.playbook.as_ref());
        let read = state.and_then(|record| self.read(record).ok());
        read.unwrap_or_else(|| Arc::clone(&self.start))
    }

    fn read(&self, record: &v1::PlaybookRecord) -> Result<Arc<Playbook>, Poison> {
        let published = Publication::of(record)?;
        self.published.get(*published.id.as_bytes(), || {
            Playbook::parse(&published.playbook.text).map_err(Publication::unreadable)
        })
    }

    /// Keeps a playbook for the scores by it, and passes it on ahead of the decisions by it.
    fn published(&self, context: Deciding<'_, '_>, key: &str, record: v1::PlaybookRecord) -> Result<(), Poison> {
        self.read(&record)?;
        let published = Publication::of(&record)?;
        let (meta, event) = (record.meta.clone(), Some(Decision::Playbook(published.playbook.clone())));
        let (order, kept_as) = (published.order(), Publication::key(published.playbook.version));
        let known = context.peek(&kept_as).and_then(|state| state.playbook.as_ref());
        if known.and_then(|known| Publication::of(known).ok()).is_none_or(|known| known.order() < order) {
            context.state(&kept_as).playbook = Some(record);
        }
        context.emit_bytes(Topic::Qualification, key, v1::QualificationRecord { meta, event }.encode_to_vec());
        Ok(())
    }

    fn scored(&self, context: Deciding<'_, '_>, cause: Cause<'_>, scored: v1::LeadScored) {
        let state = context.state(cause.key);
        // The score says how things stand later, though the timer has not fired yet.
        if let Some(ripe_at) = state.next_deadline().filter(|due| state.phase() != Phase::Cooling && *due < cause.at) {
            self.ripe(context, Cause { at: ripe_at, ..cause });
        }
        let state = context.state(cause.key);
        if state.phase() == Phase::Subscriber && shows_interest(&scored) {
            state.set_phase(Phase::Lead);
            let (from, to) = (v1::Stage::Subscriber.into(), v1::Stage::Lead.into());
            emit(context, cause, Decision::StageChanged(v1::StageChanged { from, to }));
        }
        let state = context.state(cause.key);
        match state.phase() {
            Phase::Subscriber | Phase::Lead => self.qualify(context, cause, &scored),
            Phase::WithSales => state.latest = Some(latest(scored, cause)),
            Phase::Cooling => {
                // The score says how things stand after the wait, though the timer has not fired yet.
                let waited = scored.as_of_ms >= state.not_before_ms;
                state.latest = Some(latest(scored, cause));
                if waited {
                    state.set_phase(Phase::Recycled);
                    self.reconsider(context, cause);
                }
            }
            Phase::Recycled => {
                state.latest = Some(latest(scored, cause));
                self.reconsider(context, cause);
            }
            Phase::Disqualified => {}
        }
    }

    /// Decides on the latest score of a lead that came back from sales and has waited.
    fn reconsider(&self, context: Deciding<'_, '_>, cause: Cause<'_>) {
        let Some(latest) = context.state(cause.key).latest.take() else { return };
        // What made it wait may lie before the score: the decision does not.
        let at = cause.at.max(Timestamp::from_millis(latest.scored.as_of_ms));
        let received_at = cause.received_at.max(Timestamp::from_millis(latest.received_at_ms));
        self.qualify(context, Cause { at, received_at, ..cause }, &latest.scored);
        let state = context.state(cause.key);
        // Kept for a lead that came back from sales, or whose score waited for others of the same person or for consent.
        let sales_has_it = state.phase() == Phase::WithSales;
        let waits = state.must_wait() || state.ripe_at().is_some() || (state.held_back && !sales_has_it);
        if state.phase() == Phase::Recycled || waits {
            state.latest = Some(latest);
        }
    }

    /// A route has been open for long enough: decides on the latest score, if it still holds.
    fn ripe(&self, context: Deciding<'_, '_>, cause: Cause<'_>) {
        let state = context.state(cause.key);
        state.ripe_at_ms = None;
        if !state.awaits_score_of(cause.at) {
            self.reconsider_waiting(context, cause);
        }
    }

    /// Who the lead is one with, from now on.
    fn merges_changed(&self, context: Deciding<'_, '_>, cause: Cause<'_>, merged_into: Vec<u8>) {
        let state = context.state(cause.key);
        if state.merged_into == merged_into {
            return;
        }
        let told = state.told.take();
        let before = LeadId::from_slice(&std::mem::replace(&mut state.merged_into, merged_into)).ok();
        if let (Some(before), Some(told)) = (before, told) {
            tell(context, cause, before, v1::StandingTold { split: true, ..told });
        }
        self.reconsider_waiting(context, cause);
    }

    /// What the person allows, from now on.
    fn consents_changed(&self, context: Deciding<'_, '_>, cause: Cause<'_>, consents: &[v1::Consent]) {
        let denied = |purpose: &str| consents.iter().any(|it| it.purpose == purpose && !it.granted);
        let missing = ["scoring", "contact"].into_iter().find(|purpose| denied(purpose)).unwrap_or_default();
        let state = context.state(cause.key);
        if state.no_consent != missing {
            missing.clone_into(&mut state.no_consent);
            state.held_back = false;
            self.reconsider_waiting(context, cause);
        }
    }

    /// A lead that is merged into this one says how it stands with sales.
    fn standing_told(&self, context: Deciding<'_, '_>, cause: Cause<'_>, told: v1::StandingTold) {
        context.state(cause.key).hear(told);
        self.reconsider_waiting(context, cause);
    }

    /// Decides on a score that had to wait, if it need not any more.
    fn reconsider_waiting(&self, context: Deciding<'_, '_>, cause: Cause<'_>) {
        let state = context.state(cause.key);
        match state.phase() {
            // What has been open must not be handed over by a score that time has changed since.
            Phase::Subscriber | Phase::Lead | Phase::Recycled
                if !state.open.is_empty() && state.awaits_score_of(cause.at) => {}
            Phase::Subscriber | Phase::Lead | Phase::Recycled if !state.must_wait() => self.reconsider(context, cause),
            Phase::Subscriber
            | Phase::Lead
            | Phase::Recycled
            | Phase::WithSales
            | Phase::Cooling
            | Phase::Disqualified => {}
        }
    }

    /// Decides on a score of a lead that sales does not have.
    fn qualify(&self, context: Deciding<'_, '_>, cause: Cause<'_>, scored: &v1::LeadScored) {
        let playbook = self.playbook(context, scored.playbook_version);
        let state = context.state(cause.key);
        let open = open(&playbook, scored, |route| state.open_since(route), cause.at);
        state.note_open(&open, cause.at);
        if state.must_wait() {
            state.latest = Some(latest(scored.clone(), cause));
            return;
        }
        let rejected_at = state.refused_at_ms().map(Timestamp::from_millis);
        let no_consent = state.no_consent.clone();
        match decide(&playbook, scored, rejected_at, &open, cause.at) {
            // Nor does a score count any more that waited for consent.
            Verdict::None => state.latest = state.ripe_at().map(|_| latest(scored.clone(), cause)),
            Verdict::Qualified(Open { route, .. }) if !no_consent.is_empty() => {
                state.latest = Some(latest(scored.clone(), cause));
                if !std::mem::replace(&mut state.held_back, true) {
                    let reason = format!("no consent: {no_consent}");
                    emit(context, cause, Decision::HeldBack(v1::LeadHeldBack { route: route.name.clone(), reason }));
                    metrics::no_consent(context);
                }
            }
            Verdict::Qualified(Open { route, since }) => {
                state.close_routes();
                state.cycle = state.cycle.saturating_add(1);
                state.qualified_by = playbook.version().get();
                state.set_phase(Phase::WithSales);
                state.latest = None;
                let qualified = v1::LeadQualified {
                    cycle: state.cycle,
                    route: route.name.clone(),
                    condition: route.condition.text().trim().to_owned(),
                    playbook_version: playbook.version().get(),
                    urgency: route.urgency.name().to_owned(),
                    pool: route.pool.clone(),
                    seen: Some(scored.clone()),
                    track: TrackRef::name_of(route.track.as_ref()).to_owned(),
                    open_since_ms: route.dwell.map_or(0, |_| since.as_millis()),
                    stays_while: route.stays_while.as_ref().map_or("", |stays| stays.text().trim()).to_owned(),
                };
                emit(context, cause, Decision::Qualified(qualified));
            }
            Verdict::Excluded(exclusion) => {
                let (cycle, reason) = (state.cycle, format!("excluded: {exclusion}"));
                state.close_routes();
                state.set_phase(Phase::Disqualified);
                state.latest = None;
                emit(context, cause, Decision::Disqualified(v1::LeadDisqualified { cycle, reason }));
                metrics::excluded(context);
            }
        }
    }

    fn rejected(&self, context: Deciding<'_, '_>, cause: Cause<'_>, cycle: u32, rejected: &v1::SalesRejected) {
        let state = context.state(cause.key);
        if state.phase() != Phase::WithSales || state.cycle != cycle {
            return metrics::rejection_without_effect(context);
        }
        let qualified_by = state.qualified_by;
        let playbook = self.playbook(context, qualified_by);
        let (consequence, reason) = after_rejection(&playbook, rejected.reason());
        let state = context.state(cause.key);
        let reason = reason.to_owned();
        match consequence {
            Consequence::Disqualify => {
                state.set_phase(Phase::Disqualified);
                state.latest = None;
                emit(context, cause, Decision::Disqualified(v1::LeadDisqualified { cycle, reason }));
            }
            Consequence::RecycleAfter(wait) => {
                let not_before = cause.at + wait;
                state.set_phase(Phase::Cooling);
                state.rejected_at_ms = cause.at.as_millis();
                state.not_before_ms = not_before.as_millis();
                let not_before_ms = not_before.as_millis();
                emit(context, cause, Decision::Recycled(v1::LeadRecycled { cycle, reason, not_before_ms }));
                // A score of after the wait may have come before the rejection.
                let state = context.state(cause.key);
                if state.latest.as_ref().is_some_and(|latest| latest.scored.as_of_ms >= not_before_ms) {
                    state.set_phase(Phase::Recycled);
                    self.reconsider(context, cause);
                }
            }
        }
    }
}

fn latest(scored: v1::LeadScored, cause: Cause<'_>) -> LatestScore {
    LatestScore { scored, received_at_ms: cause.received_at.as_millis() }
}

fn emit(context: Deciding<'_, '_>, cause: Cause<'_>, event: Decision) {
    let event_id = context.next_event_id();
    let state = context.state(cause.key);
    state.version += 1;
    let head = Head {
        event_id,
        occurred_at: cause.at,
        received_at: cause.received_at,
        cause: Some(cause.event),
        lead: Some(cause.lead),
        version: Version::new(state.version),
    };
    let record = v1::QualificationRecord { meta: Some(head.to_meta()), event: Some(event) };
    context.emit(Topic::Qualification, cause.key, &record);
}

/// Tells the lead that this one is merged into how it stands with sales, if that is news.
fn tell_standing(context: Deciding<'_, '_>, cause: Cause<'_>) {
    let state = context.state(cause.key);
    let Ok(to) = LeadId::from_slice(&state.merged_into) else { return };
    let standing = state.standing(cause.lead);
    if standing != state.told
        && let Some(told) = standing.clone()
    {
        state.told = standing;
        tell(context, cause, to, told);
    }
}

fn tell(context: Deciding<'_, '_>, cause: Cause<'_>, to: LeadId, told: v1::StandingTold) {
    let head = Head {
        event_id: context.next_event_id(),
        occurred_at: cause.at,
        received_at: cause.received_at,
        cause: Some(cause.event),
        lead: Some(to),
        version: Version::default(),
    };
    let link = Some(qualification_link_record::Link::StandingTold(told));
    let record = v1::QualificationLinkRecord { meta: Some(head.to_meta()), link };
    context.emit(Topic::QualificationLinks, to.to_string(), &record);
}

/// Whether a record is to be applied, by its version.
fn admitted(context: Deciding<'_, '_>, topic: Topic, admission: Admission) -> bool {
    match admission {
        Admission::New => true,
        Admission::Repeated => {
            metrics::repeated_record(context, topic);
            false
        }
        Admission::Gap { expected: _ } => {
            metrics::missing_version(context, topic);
            true
        }
    }
}

impl Processor for Qualification {
    type State = QualificationState;

    fn topology(&self) -> Topology {
        Topology {
            service: SERVICE,
            inputs: &[Topic::Scores, Topic::Handoff, Topic::Identities, Topic::QualificationLinks],
            outputs: &[Topic::Qualification, Topic::QualificationLinks],
            state: Topic::QualificationState,
        }
    }

    fn apply(&self, context: &mut Context<'_, QualificationState>, input: &Input<'_>) -> Result<(), Poison> {
        let key = input.key_str()?;
        if input.topic == Topic::Scores {
            let record: v1::ScoreRecord = input.decode()?;
            let scored = match record.event {
                Some(Score::Scored(scored)) => scored,
                Some(Score::Playbook(playbook)) => {
                    let event = Some(v1::playbook_record::Event::Published(playbook));
                    return self.published(context, key, v1::PlaybookRecord { meta: record.meta, event });
                }
                None => return Err(missing_event()),
            };
            let cause = cause(key, record.meta.as_ref())?;
            context.caused_by(cause.event);
            let admission = admit(&mut context.state(key).scores_seen, version(record.meta.as_ref()));
            if admitted(context, input.topic, admission) {
                let state = context.state(key);
                state.identities_awaited = state.identities_awaited.max(scored.identities_version);
                if state.is_behind() {
                    metrics::overtaken(context);
                }
                self.scored(context, cause, scored);
                tell_standing(context, cause);
            }
            return Ok(());
        }
        if input.topic == Topic::Identities {
            let record: v1::IdentityRecord = input.decode()?;
            let cause = cause(key, record.meta.as_ref())?;
            let event = record.event.ok_or_else(missing_event)?;
            context.caused_by(cause.event);
            let state = context.state(key);
            let waited = state.is_behind();
            let admission = admit(&mut state.identities_seen, version(record.meta.as_ref()));
            if admitted(context, input.topic, admission) {
                match event {
                    Identity::MergesChanged(changed) => self.merges_changed(context, cause, changed.merged_into),
                    Identity::ConsentsChanged(changed) => self.consents_changed(context, cause, &changed.consents),
                    Identity::CommandRefused(_) | Identity::IdentifierRefused(_) | Identity::BehaviorWithheld(_) => {}
                }
                if waited {
                    self.reconsider_waiting(context, cause);
                }
                tell_standing(context, cause);
            }
            return Ok(());
        }
        if input.topic == Topic::QualificationLinks {
            let record: v1::QualificationLinkRecord = input.decode()?;
            let cause = cause(key, record.meta.as_ref())?;
            let Some(qualification_link_record::Link::StandingTold(told)) = record.link else {
                return Err(missing_event());
            };
            context.caused_by(cause.event);
            self.standing_told(context, cause, told);
            tell_standing(context, cause);
            return Ok(());
        }
        let record: v1::HandoffRecord = input.decode()?;
        let cause = cause(key, record.meta.as_ref())?;
        let event = record.event.ok_or_else(missing_event)?;
        context.caused_by(cause.event);
        let admission = admit(&mut context.state(key).handoff_seen, version(record.meta.as_ref()));
        if admitted(context, input.topic, admission) {
            match event {
                Handoff::Rejected(rejected) => self.rejected(context, cause, record.cycle, &rejected),
                // Sales goes on with it: nothing for marketing to decide.
                Handoff::Assigned(_) | Handoff::Overdue(_) | Handoff::Accepted(_) | Handoff::Refused(_) => {}
            }
            tell_standing(context, cause);
        }
        Ok(())
    }

    /// The wait after a rejection is over, or a route has been open for long enough: decides on the latest score, if it still
    /// holds.
    fn deadline(&self, context: &mut Context<'_, QualificationState>, due: &Due<'_>) {
        let lead = due.key.parse().expect("states are kept by lead id: apply refuses other keys");
        let cause = Cause { key: due.key, lead, event: due.event_id(SERVICE), at: due.due_at, received_at: due.due_at };
        let state = context.state(due.key);
        if state.phase() == Phase::Cooling {
            state.set_phase(Phase::Recycled);
            if !state.awaits_score_of(due.due_at) {
                self.reconsider(context, cause);
            }
        } else {
            // A late score may put the same deadline up again: the version makes that another event.
            let version = u32::try_from(state.version).unwrap_or(u32::MAX);
            context.caused_by(EventId::derived(SERVICE, cause.event, version));
            self.ripe(context, cause);
        }
        tell_standing(context, cause);
    }
}

fn cause<'k>(key: &'k str, meta: Option<&v1::Meta>) -> Result<Cause<'k>, Poison> {
    let (head, lead) = Head::read_with_lead(meta)?;
    if key.parse() != Ok(lead) {
        return Err(Poison::new("wrong-key", "the key of a record is the id of its lead"));
    }
    Ok(Cause { key, lead, event: head.event_id, at: head.occurred_at, received_at: head.received_at })
}

fn version(meta: Option<&v1::Meta>) -> Version {
    Version::new(meta.map_or(0, |meta| meta.version))
}

fn missing_event() -> Poison {
    Poison::new("missing-field", "event is not set, or by a release that this one does not know")
}
