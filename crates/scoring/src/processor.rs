//! Scoring as a processor: activity in, scores out.

use std::sync::Arc;

use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_playbook::{Playbook, SignalFields};
use tasuki_stream::{Admission, Context, Due, Input, Poison, Processor, Topology, admit};
use tasuki_wire::{Head, InvalidHead, Topic, v1};

use crate::fit::{self, Fit};
use crate::input::{Behavior, Event, Record};
use crate::matching;
use crate::metrics;
use crate::profile::CompactProfile;
use crate::record::{Scored, Wording, record};
use crate::score::Assessed;
use crate::signals::{NewSignal, Pruned};
use crate::state::ScoringState;

const SERVICE: &str = "scoring";

/// Scores leads by a playbook.
#[derive(Debug)]
pub struct Scoring {
    playbook: Arc<Playbook>,
    /// Fingerprints of its rules for engagement and for fit.
    rules: u32,
    fit_rules: u32,
    wording: Wording,
}

impl Scoring {
    /// Scoring by this playbook.
    pub fn new(playbook: Arc<Playbook>) -> Self {
        Self {
            rules: matching::fingerprint(&playbook),
            fit_rules: fit::fingerprint(&playbook),
            wording: Wording::of(&playbook),
            playbook,
        }
    }

    /// Changes the state, and scores it if that changed anything.
    fn change(
        &self,
        state: &mut ScoringState,
        change: Change<'_>,
        head: &Head,
        lead: LeadId,
        event_id: EventId,
    ) -> Outcome {
        let because = match change.apply(state, head) {
            Ok(because) => because,
            Err(reason) => return Outcome::WithoutEffect(reason),
        };
        let pruned = state.prune();
        let why = Why { because, event_id, cause: head.event_id, lead, received_at: head.received_at };
        Outcome::Scored { payload: self.record(state, &why), pruned }
    }

    /// The record of a score, which becomes part of the state.
    fn record(&self, state: &mut ScoringState, why: &Why) -> Vec<u8> {
        let as_of = match why.because {
            v1::ScoredBecause::Time => why.received_at,
            v1::ScoredBecause::Unspecified
            | v1::ScoredBecause::Activity
            | v1::ScoredBecause::Profile
            | v1::ScoredBecause::Retraction
            | v1::ScoredBecause::Playbook => state.as_of().unwrap_or(why.received_at),
        };
        state.version += 1;
        if state.fit_rules != self.fit_rules {
            let profile = state.profile.as_ref().map(CompactProfile::to_profile).unwrap_or_default();
            (state.fit_rules, state.fit) = (self.fit_rules, Fit::of(&profile, &self.playbook));
        }
        state.matching.update(&state.signals, &self.playbook, self.rules);
        let assessed = Assessed::of(&state.signals, &state.matching, &state.fit, &self.playbook, as_of);
        let next_change_at = assessed.next_change_at;
        let head = Head {
            event_id: why.event_id,
            occurred_at: as_of,
            received_at: as_of.max(why.received_at),
            cause: Some(why.cause),
            lead: Some(why.lead),
            version: Version::new(state.version),
        };
        let (fit, profile, because) = (&state.fit, state.profile.as_ref(), why.because);
        let payload = record(&Scored { head, as_of, assessed, fit, profile, because, wording: &self.wording });
        state.next_change_at = next_change_at;
        payload
    }
}

/// Why a score is written, and under which ids.
struct Why {
    because: v1::ScoredBecause,
    event_id: EventId,
    cause: EventId,
    lead: LeadId,
    /// For time: the instant that counts.
    received_at: Timestamp,
}

impl Processor for Scoring {
    type State = ScoringState;

    fn topology(&self) -> Topology {
        Topology { service: SERVICE, inputs: &[Topic::Activity], outputs: &[Topic::Scores], state: Topic::ScoringState }
    }

    fn apply(&self, context: &mut Context<'_, ScoringState>, input: &Input<'_>) -> Result<(), Poison> {
        let record = Record::read(input.payload)?;
        let head = Head::read_raw(record.meta)?;
        let lead = head.lead.ok_or(InvalidHead::NoLead)?;
        let key = input.key_str()?;
        if key.parse() != Ok(lead) {
            return Err(Poison::new("wrong-key", "the key of an activity record is the id of its lead"));
        }
        let change = if record.unscored { Change::Unscored } else { Change::read(record.event)? };
        context.caused_by(head.event_id);
        let event_id = context.next_event_id();
        let state = context.state(key);
        let admission = admit(&mut state.seen, head.version);
        let outcome = match admission {
            Admission::New | Admission::Gap { expected: _ } => self.change(state, change, &head, lead, event_id),
            Admission::Repeated => Outcome::Repeated,
        };
        if let Admission::Gap { expected: _ } = admission {
            metrics::missing_version(context);
        }
        match outcome {
            Outcome::Repeated => metrics::repeated_record(context),
            Outcome::WithoutEffect(reason) => metrics::without_effect(context, reason),
            Outcome::Scored { payload, pruned } => {
                metrics::dropped(context, pruned);
                context.emit_bytes(Topic::Scores, key, payload);
            }
        }
        Ok(())
    }

    fn deadline(&self, context: &mut Context<'_, ScoringState>, due: &Due<'_>) {
        let lead = due.key.parse().expect("states are kept by lead id: apply refuses other keys");
        let cause = due.event_id(SERVICE);
        // A late event may put the same deadline up again: the version makes that another event.
        let version = context.state(due.key).version;
        context.caused_by(EventId::derived(SERVICE, cause, u32::try_from(version).unwrap_or(u32::MAX)));
        let event_id = context.next_event_id();
        let because = v1::ScoredBecause::Time;
        let why = Why { because, event_id, cause, lead, received_at: due.due_at };
        let payload = self.record(context.state(due.key), &why);
        context.emit_bytes(Topic::Scores, due.key, payload);
    }
}

/// What came of an activity record.
enum Outcome {
    Repeated,
    /// With the reason.
    WithoutEffect(&'static str),
    Scored {
        payload: Vec<u8>,
        pruned: Pruned,
    },
}

/// What an activity record changes.
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack; a box would be an allocation per event")]
enum Change<'b> {
    Attributed(NewSignal<'b>),
    /// What the person does not allow to be scored.
    Unscored,
    Retracted(EventId),
    Profile(v1::Profile),
}

impl<'b> Change<'b> {
    fn read(event: Option<Event<'b>>) -> Result<Self, Poison> {
        match event {
            Some(Event::Attributed(behavior)) => {
                let behavior = behavior.ok_or_else(|| missing("behavior"))?;
                let head = Head::read_raw(behavior.meta)?;
                let (kind, about) = behavior.event.ok_or_else(|| missing("behavior.event"))?;
                let Behavior { path, source, campaign, .. } = behavior;
                let fields = SignalFields { kind, about, path, source, campaign };
                let Head { event_id: id, occurred_at, received_at, .. } = head;
                Ok(Self::Attributed(NewSignal { id, occurred_at, received_at, fields }))
            }
            Some(Event::Retracted(behavior_id)) => EventId::from_slice(behavior_id)
                .map(Self::Retracted)
                .map_err(|error| Poison::new("invalid-id", format!("behavior_id: {error}"))),
            Some(Event::ProfileChanged(profile)) => profile.map(Self::Profile).ok_or_else(|| missing("profile")),
            None => Err(missing("event")),
        }
    }

    /// Changes the state, or says why there is nothing to change.
    fn apply(self, state: &mut ScoringState, head: &Head) -> Result<v1::ScoredBecause, &'static str> {
        match self {
            Self::Attributed(signal) => {
                if state.signals.insert(&signal) {
                    Ok(v1::ScoredBecause::Activity)
                } else {
                    Err("known-signal")
                }
            }
            Self::Unscored => Err("no-consent"),
            Self::Retracted(id) => {
                if state.signals.remove(id) {
                    Ok(v1::ScoredBecause::Retraction)
                } else {
                    Err("unknown-signal")
                }
            }
            Self::Profile(profile) => {
                let profile = CompactProfile::of(&profile);
                if state.profile.as_ref() == Some(&profile) {
                    return Err("same-profile");
                }
                state.profile = Some(profile);
                state.fit_rules = 0;
                state.profile_received_at = Some(head.received_at);
                Ok(v1::ScoredBecause::Profile)
            }
        }
    }
}

fn missing(field: &str) -> Poison {
    Poison::new("missing-field", format!("{field} is not set, or by a release that this one does not know"))
}
