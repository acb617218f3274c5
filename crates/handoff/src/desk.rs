//! Whose turn is it? One writer per pool decides, so that turns are fair by construction.

use tasuki_domain::{HandoffId, LeadId, Version};
use tasuki_playbook::reps::{Pool, Rep, Reps};
use tasuki_stream::{Context, Due, Input, Poison, Processor, Topology};
use tasuki_wire::{Head, Topic, v1};

use crate::metrics;
use crate::state::{DeskState, Open};
use crate::turns;

/// How many answers a desk remembers, so that the same handoff gets the same answer. A repetition comes within one
/// restart of the asking service; this is far more than that can be.
const KEPT_ANSWERS: usize = 128;

/// The processor `desk`: gives each handoff to the rep whose turn it is.
///
/// Decisions follow from the requests in their order and from the reps file the process was started with.
#[derive(Clone, Debug)]
pub struct Desk {
    reps: Reps,
}

/// A decision, before it is written.
struct Decision {
    owner: Option<v1::Rep>,
    reason: String,
}

impl Desk {
    /// The desks of these reps.
    pub fn new(reps: Reps) -> Self {
        Self { reps }
    }
}

impl Processor for Desk {
    type State = DeskState;

    fn topology(&self) -> Topology {
        Topology {
            service: "desk",
            inputs: &[Topic::DeskRequests],
            outputs: &[Topic::DeskDecisions],
            state: Topic::DeskState,
        }
    }

    fn apply(&self, context: &mut Context<'_, DeskState>, input: &Input<'_>) -> Result<(), Poison> {
        let request: v1::DeskRequest = input.decode()?;
        let (head, lead) = Head::read_with_lead(request.meta.as_ref())?;
        HandoffId::from_slice(&request.handoff_id)
            .map_err(|error| Poison::new("invalid-handoff-id", format!("handoff_id: {error}")))?;
        if input.key_str()? != request.pool {
            return Err(Poison::new("wrong-key", "the key is not the pool"));
        }
        context.caused_by(head.event_id);
        let Some(pool) = self.reps.pool(&request.pool) else {
            // Nothing is remembered of a pool that is not there: asked again, it is not there again.
            if !request.answered {
                let decision = Decision { owner: None, reason: self.unknown(&request.pool) };
                context.count(metrics::UNKNOWN_POOL.0, metrics::UNKNOWN_POOL.1);
                write(context, &answer(&request, decision), head, lead);
            }
            return Ok(());
        };
        let state = context.state(&request.pool);
        if request.answered {
            state.open.retain(|open| open.handoff_id != request.handoff_id);
            return Ok(());
        }
        if let Some(same) = state.answer_to(&request) {
            let same = same.clone();
            context.count(metrics::DECISION_REPEATED.0, metrics::DECISION_REPEATED.1);
            write(context, &same, head, lead);
            return Ok(());
        }
        let decided = answer(&request, state.decide(pool, &request));
        state.remember(&decided);
        let (what, reason) = if decided.owner.is_some() { metrics::DECIDED } else { metrics::NOBODY_FREE };
        context.count(what, reason);
        write(context, &decided, head, lead);
        Ok(())
    }

    fn deadline(&self, _: &mut Context<'_, DeskState>, _: &Due<'_>) {}
}

impl Desk {
    fn unknown(&self, pool: &str) -> String {
        let known: Vec<_> = self.reps.pools().map(|pool| pool.name.as_str()).collect();
        format!("the reps file has no pool {pool:?}; it has {}", known.join(", "))
    }
}

impl DeskState {
    /// The answer given before, unless it names somebody who must not get the lead any more.
    fn answer_to(&self, request: &v1::DeskRequest) -> Option<&v1::DeskDecision> {
        let answer = self.answers.iter().rfind(|answer| answer.handoff_id == request.handoff_id)?;
        let excluded = answer.owner.as_ref().is_some_and(|owner| request.not_to.contains(&owner.id));
        (!excluded).then_some(answer)
    }

    fn decide(&mut self, pool: &Pool, request: &v1::DeskRequest) -> Decision {
        // Whoever gets the handoff anew, it is no longer open with somebody else.
        self.open.retain(|open| {
            open.handoff_id != request.handoff_id
                && pool.reps.iter().any(|rep| rep.id == open.rep_id && rep.capacity.is_some())
        });
        let open = std::mem::take(&mut self.open);
        let waiting = |rep: &Rep| open.iter().filter(|open| open.rep_id == rep.id).count();
        let hindrance = |rep: &Rep| {
            if rep.absent {
                Some("absent")
            } else if rep.capacity.is_some_and(|most| waiting(rep) >= usize::try_from(most).unwrap_or(usize::MAX)) {
                Some("at capacity")
            } else if request.not_to.contains(&rep.id) {
                Some("refused it before")
            } else {
                None
            }
        };
        let chosen = turns::next(&mut self.turns, pool, |rep| hindrance(rep).is_none());
        let passed_over: Vec<_> =
            pool.reps.iter().filter_map(|rep| hindrance(rep).map(|why| format!("{} ({why})", rep.id))).collect();
        self.open = open;
        let passed_over = passed_over.join(", ");
        let Some(rep) = chosen else {
            return Decision { owner: None, reason: format!("nobody is free in pool {}: {passed_over}", pool.name) };
        };
        if rep.capacity.is_some() {
            self.open.push(Open { handoff_id: request.handoff_id.clone(), rep_id: rep.id.clone() });
        }
        let mut reason = format!("next in turn of pool {}", pool.name);
        if !passed_over.is_empty() {
            reason = format!("{reason}; passed over: {passed_over}");
        }
        let owner = v1::Rep { id: rep.id.clone(), name: rep.name.clone(), email: rep.email.as_str().to_owned() };
        Decision { owner: Some(owner), reason }
    }

    fn remember(&mut self, answer: &v1::DeskDecision) {
        self.answers.retain(|earlier| earlier.handoff_id != answer.handoff_id);
        if self.answers.len() >= KEPT_ANSWERS {
            self.answers.remove(0);
        }
        self.answers.push(answer.clone());
    }
}

fn answer(request: &v1::DeskRequest, decision: Decision) -> v1::DeskDecision {
    v1::DeskDecision {
        meta: None,
        handoff_id: request.handoff_id.clone(),
        cycle: request.cycle,
        owner: decision.owner,
        pool: request.pool.clone(),
        reason: decision.reason,
    }
}

fn write(context: &mut Context<'_, DeskState>, decision: &v1::DeskDecision, request: Head, lead: LeadId) {
    let head = Head {
        event_id: context.next_event_id(),
        cause: Some(request.event_id),
        version: Version::default(),
        ..request
    };
    let decision = v1::DeskDecision { meta: Some(head.to_meta()), ..decision.clone() };
    context.emit(Topic::DeskDecisions, lead.to_string(), &decision);
}
