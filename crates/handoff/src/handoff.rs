//! One lead's handoffs: assignment, deadline, verdict.

use std::sync::Arc;

use tasuki_domain::{Cycle, EventId, HandoffId, LeadId, Timestamp, Version};
use tasuki_playbook::{Playbook, Shelf};
use tasuki_stream::{Admission, Context, Due, Input, Poison, Processor, Publication, Topology, admit};
use tasuki_wire::v1::handoff_record::Event;
use tasuki_wire::v1::identity_record::Event as Identity;
use tasuki_wire::v1::qualification_record::Event as Qualification;
use tasuki_wire::{Head, Topic, v1};

use crate::command::{Command, Says};
use crate::emit::{Assignment, Times, Work};
use crate::metrics;
use crate::policy::HandoffPolicy;
use crate::state::{HandoffState, Verdict, Whose};

const SERVICE: &str = "handoff";

/// How much feedback waits for one assignment. The first verdict decides; what stands behind it is repetition or contradiction.
const MOST_WAITING: usize = 8;

/// The processor `handoff`: asks the desk, assigns, watches the deadline, takes the verdict of sales. What the playbook says
/// about a handoff is taken from the version by which the lead qualified: published ones come on `qualification`, ahead of
/// the first decision by them.
#[derive(Debug)]
pub struct Handoff {
    start: Arc<HandoffPolicy>,
    published: Shelf<HandoffPolicy>,
}

impl Handoff {
    /// The processor under a policy, and under those of playbooks that are published.
    pub fn new(policy: HandoffPolicy) -> Self {
        Self { start: Arc::new(policy), published: Shelf::default() }
    }

    /// What the playbook of a version says: as it was published, else that from the start.
    fn policy(&self, work: &mut Work<'_, '_>, version: u32) -> Arc<HandoffPolicy> {
        let published = work.published(version).and_then(|record| self.read(&record).ok());
        published.unwrap_or_else(|| Arc::clone(&self.start))
    }

    fn read(&self, record: &v1::PlaybookRecord) -> Result<Arc<HandoffPolicy>, Poison> {
        let published = Publication::of(record)?;
        self.published.get(*published.id.as_bytes(), || {
            let playbook = Playbook::parse(&published.playbook.text).map_err(Publication::unreadable)?;
            Ok(HandoffPolicy::from(&playbook))
        })
    }

    /// Keeps a playbook for the decisions by it.
    fn published(
        &self,
        context: &mut Context<'_, HandoffState>,
        meta: Option<v1::Meta>,
        playbook: v1::PlaybookPublished,
    ) -> Result<(), Poison> {
        let key = Publication::key(playbook.version);
        let record = v1::PlaybookRecord { meta, event: Some(v1::playbook_record::Event::Published(playbook)) };
        self.read(&record)?;
        let order = Publication::of(&record)?.order();
        let known = context.peek(&key).and_then(|state| state.playbook.as_ref());
        if known.and_then(|known| Publication::of(known).ok()).is_none_or(|known| known.order() < order) {
            context.state(&key).playbook = Some(record);
        }
        Ok(())
    }
}

impl Processor for Handoff {
    type State = HandoffState;

    fn topology(&self) -> Topology {
        Topology {
            service: SERVICE,
            inputs: &[Topic::Qualification, Topic::DeskDecisions, Topic::SalesFeedback, Topic::Identities],
            outputs: &[Topic::DeskRequests, Topic::Handoff, Topic::LeadsQualified],
            state: Topic::HandoffState,
        }
    }

    fn apply(&self, context: &mut Context<'_, HandoffState>, input: &Input<'_>) -> Result<(), Poison> {
        if input.topic == Topic::Qualification {
            self.qualification(context, input)
        } else if input.topic == Topic::DeskDecisions {
            self.decision(context, input)
        } else if input.topic == Topic::SalesFeedback {
            feedback(context, input)
        } else if input.topic == Topic::Identities {
            identity(context, input)
        } else {
            Err(Poison::new("foreign-topic", format!("handoff does not read {}", input.topic)))
        }
    }

    fn deadline(&self, context: &mut Context<'_, HandoffState>, due: &Due<'_>) {
        let lead = due.key.parse().expect("states are kept by lead ids only, see `lead_of`");
        let mut work = Work::begin(context, lead);
        let passed = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| deadline <= due.due_at);
        let cycles: Vec<u32> = work
            .state
            .handoffs
            .iter()
            .filter(|handoff| passed(handoff.deadline()))
            .map(|handoff| handoff.cycle)
            .collect();
        for cycle in cycles {
            write_overdue(&mut work, cycle, due);
        }
        work.end();
    }
}

impl Handoff {
    fn qualification(&self, context: &mut Context<'_, HandoffState>, input: &Input<'_>) -> Result<(), Poison> {
        let mut record: v1::QualificationRecord = input.decode()?;
        if let Some(Qualification::Playbook(playbook)) =
            record.event.take_if(|event| matches!(event, Qualification::Playbook(_)))
        {
            return self.published(context, record.meta, playbook);
        }
        let (head, lead) = lead_of(record.meta.as_ref(), input)?;
        if head.version == Version::default() {
            return Err(Poison::new("no-version", "found version 0; qualification is versioned from 1"));
        }
        let cycle = match &record.event {
            Some(Qualification::Qualified(qualified)) => {
                if qualified.cycle == 0 || qualified.seen.is_none() {
                    return Err(Poison::new("incomplete", "a LeadQualified has a cycle from 1 and the score it saw"));
                }
                Some((qualified.cycle, qualified.pool.clone()))
            }
            Some(
                Qualification::Recycled(_)
                | Qualification::Disqualified(_)
                | Qualification::StageChanged(_)
                | Qualification::HeldBack(_)
                | Qualification::Playbook(_),
            ) => None,
            None => return Err(Poison::new("unknown-event", "found no event that this release knows")),
        };

        let mut work = Work::begin(context, lead);
        match admit(&mut work.state.qualification_seen, head.version) {
            Admission::New => {}
            Admission::Gap { .. } => work.count(metrics::INPUT_GAP),
            Admission::Repeated => {
                work.count(metrics::INPUT_REPEATED);
                work.end();
                return Ok(());
            }
        }
        if let Some((cycle, pool)) = cycle {
            self.qualified(&mut work, &head, cycle, &pool, record);
        }
        work.end();
        Ok(())
    }

    fn qualified(&self, work: &mut Work<'_, '_>, head: &Head, cycle: u32, pool: &str, record: v1::QualificationRecord) {
        if cycle <= work.state.forgotten_up_to {
            return work.count(metrics::INPUT_REPEATED);
        }
        let handoff = work.state.of_cycle(cycle);
        if handoff.qualification.is_some() || handoff.assigned.is_some() {
            return work.count(metrics::INPUT_REPEATED);
        }
        handoff.qualification = Some(record);
        if handoff.decision.is_none() {
            work.caused_by(head.event_id);
            let times = Times { occurred_at: head.occurred_at, received_at: head.received_at };
            work.tell_desk(head.event_id, cycle, pool, times, false);
        }
        self.assign_once_complete(work, cycle);
    }

    fn decision(&self, context: &mut Context<'_, HandoffState>, input: &Input<'_>) -> Result<(), Poison> {
        let decision: v1::DeskDecision = input.decode()?;
        let (_, lead) = lead_of(decision.meta.as_ref(), input)?;
        let cycle = decision.cycle;
        if cycle == 0 || decision.handoff_id != HandoffId::of(lead, Cycle::new(cycle)).as_bytes() {
            return Err(Poison::new("wrong-handoff-id", "handoff_id is not that of lead and cycle"));
        }
        let mut work = Work::begin(context, lead);
        if cycle <= work.state.forgotten_up_to {
            work.count(metrics::INPUT_REPEATED);
        } else {
            let handoff = work.state.of_cycle(cycle);
            if handoff.decision.is_some() || handoff.assigned.is_some() {
                work.count(metrics::INPUT_REPEATED);
            } else {
                handoff.decision = Some(decision);
                self.assign_once_complete(&mut work, cycle);
            }
        }
        work.end();
        Ok(())
    }

    /// Assigns when qualification and decision are both there, then hears the feedback that waited for it.
    fn assign_once_complete(&self, work: &mut Work<'_, '_>, cycle: u32) {
        let handoff_id = work.handoff_id(cycle);
        let Some((record, decision)) = work.state.of_cycle(cycle).take_complete() else { return };
        let Some(Qualification::Qualified(qualified)) = &record.event else { return };
        let seen = qualified.seen.as_ref().expect("checked before the qualification was kept");
        let qualification = Head::read(record.meta.as_ref()).expect("read before it was kept");
        let decided = Head::read(decision.meta.as_ref()).expect("read before it was kept");
        let policy = self.policy(work, qualified.playbook_version);
        let accept_within = policy.limit(&qualified.route, &qualified.urgency).unwrap_or_else(|| {
            work.count(metrics::UNKNOWN_URGENCY);
            policy.accept_within.normal
        });
        let assignment = Assignment {
            lead: work.lead,
            handoff: handoff_id,
            qualified,
            seen,
            decision: &decision,
            qualified_at: qualification.occurred_at,
            at: qualification.received_at.max(decided.received_at),
            accept_by: qualification.received_at + accept_within,
            merged_into: work.state.merged_into(),
        };
        work.caused_by(decided.event_id);
        let assigned = work.write_assignment(decided.event_id, &assignment);
        work.count(if decision.owner.is_some() { metrics::ASSIGNED } else { metrics::ASSIGNED_TO_NOBODY });
        let handoff = work.state.of_cycle(cycle);
        handoff.assigned = Some(assigned);
        for waiting in std::mem::take(&mut handoff.waiting) {
            let command = read_command(&waiting).expect("it was read before it was kept");
            answer(work, cycle, &command);
        }
    }
}

/// Who the lead is one with. Its handoffs stay as they are; whoever has heard of the last one hears that.
fn identity(context: &mut Context<'_, HandoffState>, input: &Input<'_>) -> Result<(), Poison> {
    let record: v1::IdentityRecord = input.decode()?;
    let (head, lead) = lead_of(record.meta.as_ref(), input)?;
    let event = record.event.ok_or_else(|| Poison::new("unknown-event", "found no event that this release knows"))?;
    let mut work = Work::begin(context, lead);
    match admit(&mut work.state.identities_seen, head.version) {
        Admission::New => {}
        Admission::Gap { .. } => work.count(metrics::INPUT_GAP),
        Admission::Repeated => {
            work.count(metrics::INPUT_REPEATED);
            work.end();
            return Ok(());
        }
    }
    match event {
        Identity::MergesChanged(changed) if changed.merged_into != work.state.merged_into => {
            work.state.merged_into = changed.merged_into;
            work.caused_by(head.event_id);
            if work.write_correction() {
                work.count(metrics::CORRECTED);
            }
        }
        Identity::MergesChanged(_)
        | Identity::CommandRefused(_)
        | Identity::IdentifierRefused(_)
        | Identity::ConsentsChanged(_)
        | Identity::BehaviorWithheld(_) => {}
    }
    work.end();
    Ok(())
}

fn feedback(context: &mut Context<'_, HandoffState>, input: &Input<'_>) -> Result<(), Poison> {
    let feedback: v1::SalesFeedback = input.decode()?;
    let (_, lead) = lead_of(feedback.meta.as_ref(), input)?;
    let command = read_command(&feedback)?;
    let mut work = Work::begin(context, lead);
    if work.state.refused.iter().any(|id| id == command.id.as_bytes()) {
        work.count(metrics::FEEDBACK_REPEATED);
    } else {
        match work.state.whose(lead, command.handoff) {
            Whose::Nobody => refuse(&mut work, 0, &command, "no handoff of this lead has this id"),
            Whose::Forgotten => refuse(&mut work, 0, &command, "this handoff was settled many cycles ago"),
            Whose::Cycle(cycle) if command.says == Says::RejectWithoutReason => {
                refuse(&mut work, cycle, &command, "a rejection names one of the reasons of the list");
            }
            Whose::Cycle(cycle) if work.state.of_cycle(cycle).assigned.is_some() => answer(&mut work, cycle, &command),
            Whose::Cycle(cycle) => wait(&mut work, cycle, &command, feedback),
        }
    }
    work.end();
    Ok(())
}

/// Keeps feedback until its handoff is assigned.
fn wait(work: &mut Work<'_, '_>, cycle: u32, command: &Command, feedback: v1::SalesFeedback) {
    let waiting = &mut work.state.of_cycle(cycle).waiting;
    let id_of = |feedback: &v1::SalesFeedback| feedback.meta.as_ref().map(|meta| meta.event_id.clone());
    if waiting.iter().any(|kept| id_of(kept) == id_of(&feedback)) {
        return work.count(metrics::FEEDBACK_REPEATED);
    }
    if waiting.len() >= MOST_WAITING {
        return refuse(work, cycle, command, "too much feedback waits for this handoff already");
    }
    waiting.push(feedback);
    work.count(metrics::FEEDBACK_WAITING);
}

/// Hears feedback on an assigned handoff: the first verdict settles it.
fn answer(work: &mut Work<'_, '_>, cycle: u32, command: &Command) {
    let handoff = work.state.of_cycle(cycle);
    if let Some(verdict) = &handoff.verdict {
        return match contradiction(verdict, command) {
            Some(reason) => refuse(work, cycle, command, &reason),
            None => work.count(metrics::FEEDBACK_REPEATED),
        };
    }
    let Some(assigned) = handoff.assigned.clone() else { return };
    let (event, rejected, counted) = match &command.says {
        Says::Accept => {
            let event = Event::Accepted(v1::SalesAccepted { by: command.by.clone() });
            (event, v1::RejectReason::Unspecified, metrics::ACCEPTED)
        }
        Says::Reject { reason, note } => {
            let rejected = v1::SalesRejected { by: command.by.clone(), reason: i32::from(*reason), note: note.clone() };
            (Event::Rejected(rejected), *reason, metrics::REJECTED)
        }
        Says::RejectWithoutReason => return,
    };
    // A deadline that passed before the verdict came is booked before it, whether or not the timer has fired yet: after
    // a stop, feedback may be read first.
    if !assigned.overdue && command.received_at.as_millis() >= assigned.accept_by_ms {
        let due_at = Timestamp::from_millis(assigned.accept_by_ms);
        let key = work.lead.to_string();
        write_overdue(work, cycle, &Due { key: &key, due_at, fired_at: command.received_at });
    }
    let received_at = command.received_at.max(Timestamp::from_millis(assigned.received_at_ms));
    let times = Times { occurred_at: command.occurred_at, received_at };
    work.caused_by(command.id);
    work.write(command.id, command.handoff, cycle, times, event);
    work.count(counted);
    if !assigned.owner_id.is_empty() {
        work.tell_desk(command.id, cycle, &assigned.pool, times, true);
    }
    work.state.of_cycle(cycle).verdict = Some(Verdict {
        command_id: command.id.as_bytes().to_vec(),
        by: command.by.clone(),
        rejected: i32::from(rejected),
    });
    work.state.forget_settled();
}

/// What speaks against a command once there is a verdict; `None` if it says the same again.
fn contradiction(verdict: &Verdict, command: &Command) -> Option<String> {
    let was = verdict.rejected();
    let accepted = was == v1::RejectReason::Unspecified;
    let same = match &command.says {
        Says::Accept => accepted,
        Says::Reject { reason, .. } => was == *reason,
        Says::RejectWithoutReason => false,
    };
    if same || verdict.command_id == command.id.as_bytes() {
        return None;
    }
    let done = if accepted { "accepted".to_owned() } else { format!("rejected ({})", in_words(was)) };
    Some(format!("the lead was already {done} by {}", verdict.by))
}

/// As the playbook writes it: `not-a-fit`.
fn in_words(reason: v1::RejectReason) -> String {
    reason.as_str_name().trim_start_matches("REJECT_REASON_").to_ascii_lowercase().replace('_', "-")
}

fn refuse(work: &mut Work<'_, '_>, cycle: u32, command: &Command, reason: &str) {
    let times = Times { occurred_at: command.occurred_at, received_at: command.received_at };
    let event = Event::Refused(v1::FeedbackRefused {
        command_id: command.id.as_bytes().to_vec(),
        by: command.by.clone(),
        reason: reason.to_owned(),
    });
    work.caused_by(command.id);
    work.write(command.id, command.handoff, cycle, times, event);
    work.state.remember_refused(command.id.as_bytes().to_vec());
    work.count(metrics::FEEDBACK_REFUSED);
}

fn write_overdue(work: &mut Work<'_, '_>, cycle: u32, due: &Due<'_>) {
    let Some(assigned) = &mut work.state.of_cycle(cycle).assigned else { return };
    assigned.overdue = true;
    let received_at = due.due_at.max(Timestamp::from_millis(assigned.received_at_ms));
    let handoff_id = work.handoff_id(cycle);
    let event =
        Event::Overdue(v1::HandoffOverdue { due_at_ms: due.due_at.as_millis(), fired_at_ms: due.fired_at.as_millis() });
    // The id of the missed deadline, not of the firing of one timer: two cycles that were due at the same instant differ.
    let cause = EventId::derived(SERVICE, due.event_id(SERVICE), cycle);
    work.caused_by(cause);
    work.write(cause, handoff_id, cycle, Times { occurred_at: due.due_at, received_at }, event);
    work.count(metrics::OVERDUE);
}

/// Head and lead of a record whose key must be that lead.
fn lead_of(meta: Option<&v1::Meta>, input: &Input<'_>) -> Result<(Head, LeadId), Poison> {
    let (head, lead) = Head::read_with_lead(meta)?;
    if input.key_str()? != lead.to_string() {
        return Err(Poison::new("wrong-key", "the key is not meta.lead_id as hyphenated text"));
    }
    Ok((head, lead))
}

fn read_command(feedback: &v1::SalesFeedback) -> Result<Command, Poison> {
    Command::read(&Head::read(feedback.meta.as_ref())?, feedback)
}
