//! Scoring as a processor: activity in, scores out.

use std::sync::Arc;

use prost::Message;
use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_playbook::{Playbook, Shelf, SignalFields};
use tasuki_stream::{Admission, Context, Due, Input, Poison, Processor, Topology, admit};
use tasuki_wire::{Head, InvalidHead, PartitionCount, Topic, v1};

use crate::account::KEY_PREFIX;
use crate::accounts::{self, Left, Telling, Told};
use crate::fit::Fit;
use crate::input::{Behavior, Event, Record};
use crate::metrics;
use crate::playbook::{self, Compiled, Published};
use crate::profile::CompactProfile;
use crate::record::{Scored, record};
use crate::score::Assessed;
use crate::signals::{NewSignal, Pruned};
use crate::state::ScoringState;

pub(crate) const SERVICE: &str = "scoring";

/// Scores leads by a playbook: the latest that was published, or, before any was, the one it was made with.
///
/// A publication stands once on `playbooks`. Scoring passes it on to each partition (`playbook-markers`), whose state takes
/// it as what all its leads have in common: from there on they are scored by it, each lead at its next event or when its
/// turn comes ([`Processor::revise`]), whichever is first. Ahead of the first such score the partition of `scores` has the
/// playbook itself, so that whoever reads scores knows the playbook of each.
#[derive(Debug)]
pub struct Scoring {
    start: Arc<Compiled>,
    published: Shelf<Compiled>,
    partitions: PartitionCount,
}

/// What a partition is scored by.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    pub(crate) compiled: Arc<Compiled>,
    /// Of a published one: which publication, and since when.
    published: Option<(EventId, Timestamp)>,
}

impl InForce {
    pub(crate) fn since(&self) -> Option<Timestamp> {
        self.published.map(|(_, at)| at)
    }
}

impl Scoring {
    /// Scoring by this playbook until one is published, on topics of the usual number of partitions.
    pub fn new(playbook: Arc<Playbook>) -> Self {
        let start = Arc::new(Compiled::of(playbook));
        Self { start, published: Shelf::default(), partitions: PartitionCount::DEFAULT }
    }

    /// The same on topics of so many partitions.
    #[must_use]
    pub fn with_partitions(self, partitions: PartitionCount) -> Self {
        Self { partitions, ..self }
    }

    fn in_force(&self, context: &mut Context<'_, ScoringState>) -> Result<InForce, Poison> {
        let state = context.peek(playbook::KEY).and_then(|state| state.published.as_deref());
        let Some(published) = state else { return Ok(InForce { compiled: Arc::clone(&self.start), published: None }) };
        let compiled = published.compiled(&self.published)?;
        Ok(InForce { compiled, published: Some(published.order()).map(|(at, id)| (id, at)) })
    }

    /// Passes a publication on to every partition.
    fn pass_on(&self, context: &mut Context<'_, ScoringState>, input: &Input<'_>) -> Result<(), Poison> {
        // Refused here, it is refused once and not in every partition.
        Published::read(&input.decode()?)?.compiled(&self.published)?;
        for key in self.partitions.all().filter_map(|partition| self.partitions.key_of(partition)) {
            context.emit_bytes(Topic::PlaybookMarkers, key, input.payload.to_vec());
        }
        Ok(())
    }

    /// Takes a publication as what this partition has in common, unless it has a later one.
    fn adopt(&self, context: &mut Context<'_, ScoringState>, input: &Input<'_>) -> Result<(), Poison> {
        let record: v1::PlaybookRecord = input.decode()?;
        let published = Published::read(&record)?;
        published.compiled(&self.published)?;
        let key = input.key_str()?;
        let before = context.peek(playbook::KEY).and_then(|state| state.published.as_deref()).map(Published::order);
        if before == Some(published.order()) {
            metrics::repeated_record(context);
            return Ok(());
        }
        let event = Some(v1::score_record::Event::Playbook(published.playbook.clone()));
        let ahead = v1::ScoreRecord { meta: record.meta, event };
        context.emit_bytes(Topic::Scores, key, ahead.encode_to_vec());
        if before > Some(published.order()) {
            metrics::playbook(context, "older");
            return Ok(());
        }
        context.state(playbook::KEY).published = Some(Box::new(published));
        metrics::playbook(context, "adopted");
        Ok(())
    }

    /// Changes the state, and scores it if that changed anything.
    fn change(state: &mut ScoringState, in_force: &InForce, change: Change<'_>, head: &Head, why: Why) -> Outcome {
        // Only another profile takes a lead to another account.
        let before = matches!(change, Change::Profile(_)).then(|| state.account_id().to_owned());
        let because = match change.apply(state, head) {
            Ok(because) => because,
            Err(reason) => return Outcome::WithoutEffect(reason),
        };
        let left = before.filter(|before| before != state.account_id()).and_then(|account| {
            let (had, heard) = (std::mem::take(&mut state.adds), std::mem::take(&mut state.hears));
            state.told = None;
            (had || heard).then_some(Left { account, had })
        });
        let pruned = state.prune();
        let why = Why { because, ..why };
        Outcome::Scored { written: Self::record(state, in_force, &why, left), pruned }
    }

    /// Takes what an account tells a lead, and scores the lead if some route sees a difference.
    fn told(&self, context: &mut Context<'_, ScoringState>, input: &Input<'_>) -> Result<(), Poison> {
        let (head, lead, account, told) = accounts::read_told(input)?;
        let key = input.key_str()?;
        let in_force = self.in_force(context)?;
        context.caused_by(head.event_id);
        let event_id = context.next_event_id();
        let state = context.state(key);
        if !state.hears || state.account_id() != account {
            metrics::without_effect(context, "another-account");
            return Ok(());
        }
        if state.told.is_some_and(|known| known.version >= told.version) {
            metrics::without_effect(context, "older-account");
            return Ok(());
        }
        let asked = in_force.compiled.playbook.account_asked();
        let before = asked.reached(&state.account_facts());
        state.told = Some(told);
        if asked.reached(&told.facts) == before {
            metrics::without_effect(context, "same-account");
            return Ok(());
        }
        let (cause, received_at, because) = (head.event_id, head.received_at, v1::ScoredBecause::Account);
        let why = Why { because, event_id, cause, lead, received_at, identities_version: 0 };
        Self::record(state, &in_force, &why, None).emit(context, key);
        Ok(())
    }

    /// The record of a score, which becomes part of the state. `left` is the account that it says goodbye to.
    fn record(state: &mut ScoringState, in_force: &InForce, why: &Why, left: Option<Left>) -> Written {
        let Compiled { playbook, rules, revision, wording } = &*in_force.compiled;
        let as_of = match why.because {
            v1::ScoredBecause::Time => why.received_at,
            // What the account has changes no point, and nothing that time has taken comes back by it.
            v1::ScoredBecause::Account => state.as_of().max(state.timed_at).unwrap_or(why.received_at),
            v1::ScoredBecause::Unspecified
            | v1::ScoredBecause::Activity
            | v1::ScoredBecause::Profile
            | v1::ScoredBecause::Retraction
            | v1::ScoredBecause::Playbook => state.as_of().unwrap_or(why.received_at),
        };
        // Nobody was ever scored by a playbook as of before it was published, in whatever order it and events came.
        let as_of = in_force.since().map_or(as_of, |since| as_of.max(since));
        state.version += 1;
        if state.revision != *revision {
            let profile = state.profile.as_ref().map(CompactProfile::to_profile).unwrap_or_default();
            (state.revision, state.fit) = (*revision, Fit::of(&profile, playbook));
        }
        state.matching.update(&state.signals, playbook, *rules);
        if playbook.account_asked().is_empty() {
            state.told = None;
        }
        let assessed = Assessed::of(&state.signals, &state.matching, &state.fit, playbook, as_of);
        let (next_change_at, engagement) = (assessed.next_change_at, assessed.engagement.shown);
        let received_at = as_of.max(why.received_at);
        // When it came about: what was decided on it does not hold from before the account told it.
        let occurred_at = if why.because == v1::ScoredBecause::Account { received_at } else { as_of };
        let head = Head {
            event_id: why.event_id,
            occurred_at,
            received_at,
            cause: Some(why.cause),
            lead: Some(why.lead),
            version: Version::new(state.version),
        };
        let (fit, profile, account) = (&state.fit, state.profile.as_ref(), state.account_facts());
        let &Why { because, identities_version, .. } = why;
        let payload =
            record(&Scored { head, as_of, assessed, fit, profile, account, because, identities_version, wording });
        state.next_change_at = next_change_at;
        let tellings = Telling::of(state, left, in_force, engagement, as_of);
        state.timed_at = match because {
            v1::ScoredBecause::Time => Some(as_of),
            v1::ScoredBecause::Account => state.timed_at,
            v1::ScoredBecause::Unspecified
            | v1::ScoredBecause::Activity
            | v1::ScoredBecause::Profile
            | v1::ScoredBecause::Retraction
            | v1::ScoredBecause::Playbook => None,
        };
        state.timed_at = state.timed_at.filter(|_| state.hears);
        Written { payload, tellings, told: Told { event_id: why.event_id, lead: why.lead, as_of, received_at } }
    }
}

/// Why a score is written, and under which ids.
struct Why {
    because: v1::ScoredBecause,
    event_id: EventId,
    cause: EventId,
    lead: LeadId,
    /// For time and for what an account tells: the instant that counts.
    received_at: Timestamp,
    /// What of `identities` comes before it.
    identities_version: u64,
}

/// A score, and what accounts are to hear of it.
struct Written {
    payload: Vec<u8>,
    tellings: Vec<Telling>,
    told: Told,
}

impl Written {
    fn emit(self, context: &mut Context<'_, ScoringState>, key: &str) {
        context.emit_bytes(Topic::Scores, key, self.payload);
        for telling in self.tellings {
            telling.emit(context, self.told);
        }
    }
}

impl Processor for Scoring {
    type State = ScoringState;

    fn topology(&self) -> Topology {
        Topology {
            service: SERVICE,
            inputs: &[Topic::Activity, Topic::Playbooks, Topic::PlaybookMarkers, Topic::Accounts, Topic::AccountLinks],
            outputs: &[Topic::Scores, Topic::PlaybookMarkers, Topic::Accounts, Topic::AccountLinks],
            state: Topic::ScoringState,
        }
    }

    fn apply(&self, context: &mut Context<'_, ScoringState>, input: &Input<'_>) -> Result<(), Poison> {
        if input.topic == Topic::Playbooks {
            return self.pass_on(context, input);
        }
        if input.topic == Topic::PlaybookMarkers {
            return self.adopt(context, input);
        }
        if input.topic == Topic::Accounts {
            let in_force = self.in_force(context)?;
            return accounts::hear(context, input, &in_force);
        }
        if input.topic == Topic::AccountLinks {
            return self.told(context, input);
        }
        let record = Record::read(input.payload)?;
        let head = Head::read_raw(record.meta)?;
        let lead = head.lead.ok_or(InvalidHead::NoLead)?;
        let key = input.key_str()?;
        if key.parse() != Ok(lead) {
            return Err(Poison::new("wrong-key", "the key of an activity record is the id of its lead"));
        }
        let identities_version = record.identities_version;
        let change = if record.unscored { Change::Unscored } else { Change::read(record.event)? };
        let in_force = self.in_force(context)?;
        context.caused_by(head.event_id);
        let event_id = context.next_event_id();
        let state = context.state(key);
        let admission = admit(&mut state.seen, head.version);
        let outcome = match admission {
            Admission::New | Admission::Gap { expected: _ } => {
                let (cause, received_at, because) = (head.event_id, head.received_at, v1::ScoredBecause::Unspecified);
                let why = Why { because, event_id, cause, lead, received_at, identities_version };
                Self::change(state, &in_force, change, &head, why)
            }
            Admission::Repeated => Outcome::Repeated,
        };
        if let Admission::Gap { expected: _ } = admission {
            metrics::missing_version(context);
        }
        match outcome {
            Outcome::Repeated => metrics::repeated_record(context),
            Outcome::WithoutEffect(reason) => metrics::without_effect(context, reason),
            Outcome::Scored { written, pruned } => {
                metrics::dropped(context, pruned);
                written.emit(context, key);
            }
        }
        Ok(())
    }

    fn deadline(&self, context: &mut Context<'_, ScoringState>, due: &Due<'_>) {
        let lead = due.key.parse().expect("only the states of leads have deadlines, and they are kept by lead id");
        let cause = due.event_id(SERVICE);
        // A late event may put the same deadline up again: the version makes that another event.
        let version = context.state(due.key).version;
        context.caused_by(EventId::derived(SERVICE, cause, u32::try_from(version).unwrap_or(u32::MAX)));
        let event_id = context.next_event_id();
        let because = v1::ScoredBecause::Time;
        let why = Why { because, event_id, cause, lead, received_at: due.due_at, identities_version: 0 };
        let in_force = self.in_force(context).expect(CHECKED);
        let state = context.state(due.key);
        Self::record(state, &in_force, &why, None).emit(context, due.key);
    }

    /// Another playbook is in force: scores a lead by it, from its signals, or caps an account by it.
    fn revise(&self, context: &mut Context<'_, ScoringState>, key: &str) {
        let in_force = self.in_force(context).expect(CHECKED);
        let Some((publication, since)) = in_force.published else { return };
        if let Some(account) = key.strip_prefix(KEY_PREFIX) {
            return accounts::revise(context, account, &in_force, publication, since);
        }
        let lead = key.parse().expect("other states are kept by lead id but for the one that says what is in force");
        let state = context.state(key);
        if state.version == 0 {
            // Nothing was scored yet, so there is nothing to correct.
            state.revision = in_force.compiled.revision;
            return;
        }
        let cause = EventId::reported(SERVICE, &format!("{publication} {key}"));
        let version = u32::try_from(state.version).unwrap_or(u32::MAX);
        context.caused_by(EventId::derived(SERVICE, cause, version));
        let event_id = context.next_event_id();
        let because = v1::ScoredBecause::Playbook;
        let why = Why { because, event_id, cause: publication, lead, received_at: since, identities_version: 0 };
        let state = context.state(key);
        let written = Self::record(state, &in_force, &why, None);
        metrics::rescored(context);
        written.emit(context, key);
    }
}

/// Why a playbook in force can be read.
const CHECKED: &str = "a playbook is read before its partition takes it as its own";

/// What came of an activity record.
enum Outcome {
    Repeated,
    /// With the reason.
    WithoutEffect(&'static str),
    Scored {
        written: Written,
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
                state.revision = 0;
                state.profile_received_at = Some(head.received_at);
                Ok(v1::ScoredBecause::Profile)
            }
        }
    }
}

pub(crate) fn missing(field: &str) -> Poison {
    Poison::new("missing-field", format!("{field} is not set, or by a release that this one does not know"))
}
