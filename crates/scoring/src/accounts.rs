//! Accounts: each lead writes what it adds to `accounts`, and in the partition of the account it is put together.
//!
//! The account keeps the contribution of each lead's latest score, so neither order nor repetition leaves a trace. A lead
//! that is merged away or may not be scored any more loses its signals, so it falls below what counts as engaged like any
//! other, and takes its contribution back by that score.
//!
//! Where routes ask for the account, every lead that belongs to one says so, also one that adds nothing, and the account
//! tells them (`account-links`) when some number that the routes compare with is reached or not reached any more.

use tasuki_domain::{EventId, LeadId, Millipoints, Timestamp, Version};
use tasuki_playbook::AccountFacts;
use tasuki_stream::{Context, Input, Poison};
use tasuki_wire::v1::account_link_record;
use tasuki_wire::v1::account_record::Event;
use tasuki_wire::{Head, InvalidHead, Topic, v1};
use unicode_normalization::UnicodeNormalization;

use crate::account::{self, Added, Engaged, Heard, KEY_PREFIX};
use crate::metrics;
use crate::processor::{InForce, SERVICE, missing};
use crate::state::ScoringState;

/// Most characters of a department.
const LONGEST_DEPARTMENT: usize = 100;

/// What a lead has to tell an account.
#[derive(Debug)]
pub(crate) struct Telling {
    account: String,
    contributed: v1::LeadContributed,
}

/// The score that it has to tell because of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) event_id: EventId,
    pub(crate) lead: LeadId,
    pub(crate) as_of: Timestamp,
    pub(crate) received_at: Timestamp,
}

/// The account that a lead has left, and that knew of it.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) account: String,
    /// It had something of the lead.
    pub(crate) had: bool,
}

impl Telling {
    /// What is to be told of a score, of which the state has the version and the profile, and which account hears it.
    pub(crate) fn of(
        state: &mut ScoringState,
        left: Option<Left>,
        in_force: &InForce,
        engagement: Millipoints,
        as_of: Timestamp,
    ) -> Vec<Self> {
        let playbook = &in_force.compiled.playbook;
        // Whoever adds nothing before and behind the score has no instant for its account.
        let contributed = |counts: bool| v1::LeadContributed {
            score_version: state.version,
            playbook_version: playbook.version().get(),
            as_of_ms: if counts { as_of.as_millis() } else { 0 },
            ..v1::LeadContributed::default()
        };
        let mut tellings = Vec::new();
        if let Some(Left { account, had }) = left {
            tellings.push(Self { account, contributed: contributed(had) });
        }
        let profile = state.profile.as_ref().filter(|profile| !profile.account().is_empty());
        let engaged = profile.is_some() && engagement >= playbook.account().engaged_from;
        let hears = profile.is_some() && !playbook.account_asked().is_empty();
        if let Some(profile) = profile
            && (engaged || state.adds || hears != state.hears)
        {
            let mut contributed = v1::LeadContributed { hears, ..contributed(engaged || state.adds) };
            if engaged {
                contributed.engaged = true;
                contributed.engagement_mp = engagement.get();
                contributed.department = department(profile.department());
            }
            tellings.push(Self { account: profile.account().to_owned(), contributed });
        }
        (state.adds, state.hears) = (engaged, hears);
        tellings
    }

    /// Writes it to its account.
    pub(crate) fn emit(self, context: &mut Context<'_, ScoringState>, told: Told) {
        let head = Head {
            event_id: context.next_event_id(),
            occurred_at: told.as_of,
            received_at: told.received_at,
            cause: Some(told.event_id),
            lead: Some(told.lead),
            version: Version::new(0),
        };
        let record =
            v1::AccountRecord { meta: Some(head.to_meta()), event: Some(Event::Contributed(self.contributed)) };
        context.emit(Topic::Accounts, self.account, &record);
    }
}

/// A department as it is counted: of one width, and without more spaces than it needs.
fn department(written: &str) -> String {
    let text: String = written.nfkc().collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST_DEPARTMENT) {
        Some((end, _)) => text[..end].trim_end().to_owned(),
        None => text,
    }
}

/// Takes a record of `accounts` into the state of the account.
pub(crate) fn hear(
    context: &mut Context<'_, ScoringState>,
    input: &Input<'_>,
    in_force: &InForce,
) -> Result<(), Poison> {
    let record: v1::AccountRecord = input.decode()?;
    let head = Head::read(record.meta.as_ref())?;
    let contributed = match record.event {
        Some(Event::Contributed(contributed)) => contributed,
        // Its own word, read back.
        Some(Event::Engaged(_)) => return Ok(()),
        None => return Err(missing("event")),
    };
    let lead = head.lead.ok_or(InvalidHead::NoLead)?;
    let account = input.key_str()?;
    let v1::LeadContributed { score_version, engaged, engagement_mp, department, as_of_ms, hears, playbook_version: _ } =
        contributed;
    let engaged = engaged.then(|| Engaged { engagement: Millipoints::new(engagement_mp), department });
    let added = Added { version: score_version, as_of: Timestamp::from_millis(as_of_ms), hears, engaged };
    context.caused_by(head.event_id);
    let state = context.state(&state_key(account));
    match state.account.get_or_insert_default().hear(lead, added) {
        Heard::Taken { joins } => say(context, account, in_force, &head, joins.then_some(lead)),
        Heard::Older => metrics::without_effect(context, "older-contribution"),
        Heard::Full => metrics::account_full(context),
    }
    Ok(())
}

/// Another playbook is in force: says what the account has by it.
pub(crate) fn revise(
    context: &mut Context<'_, ScoringState>,
    account: &str,
    in_force: &InForce,
    publication: EventId,
    since: Timestamp,
) {
    let head = Head {
        event_id: publication,
        occurred_at: since,
        received_at: since,
        cause: None,
        lead: None,
        version: Version::new(0),
    };
    // An account may be revised by the same publication more than once, when another was in force in between.
    let version = context.peek(&state_key(account)).and_then(|state| state.account.as_ref()).map_or(0, |it| it.version);
    let cause = EventId::reported(SERVICE, &format!("{publication} {}", state_key(account)));
    context.caused_by(EventId::derived(SERVICE, cause, u32::try_from(version).unwrap_or(u32::MAX)));
    say(context, account, in_force, &head, None);
}

/// Writes what the account has, if that is new, and tells its leads what is new to them. `joins`: who begins to hear of it.
fn say(
    context: &mut Context<'_, ScoringState>,
    account: &str,
    in_force: &InForce,
    cause: &Head,
    joins: Option<LeadId>,
) {
    let playbook = &in_force.compiled.playbook;
    let state = context.state(&state_key(account));
    state.revision = in_force.compiled.revision;
    let known = state.account.get_or_insert_default();
    let engaged = known.engaged(playbook.account(), playbook.version().get(), in_force.since());
    let tidings = known.tidings(&engaged, playbook.account_asked());
    let news = known.news(engaged);
    let (version, told) = (Version::new(known.version), known.told());
    if let Some(engaged) = news {
        write(context, account, engaged, version, cause);
    }
    match (tidings, joins) {
        (Some((told, leads)), _) => leads.into_iter().for_each(|lead| tell(context, account, lead, told, cause)),
        // Who has come back may still get an older word from when it was here before: this one is newer.
        (None, Some(lead)) if told.version > 0 => tell(context, account, lead, told, cause),
        (None, _) => {}
    }
}

fn write(
    context: &mut Context<'_, ScoringState>,
    account: &str,
    engaged: v1::AccountEngaged,
    version: Version,
    cause: &Head,
) {
    let as_of = Timestamp::from_millis(engaged.as_of_ms);
    let head = Head {
        event_id: context.next_event_id(),
        occurred_at: as_of,
        received_at: as_of.max(cause.received_at),
        cause: Some(cause.event_id),
        lead: None,
        version,
    };
    let record = v1::AccountRecord { meta: Some(head.to_meta()), event: Some(Event::Engaged(engaged)) };
    context.emit(Topic::Accounts, account, &record);
}

/// Tells a lead what its account has, as far as routes can see it.
fn tell(context: &mut Context<'_, ScoringState>, account: &str, lead: LeadId, told: account::Told, cause: &Head) {
    let head = Head {
        event_id: context.next_event_id(),
        occurred_at: cause.received_at,
        received_at: cause.received_at,
        cause: Some(cause.event_id),
        lead: Some(lead),
        version: Version::new(0),
    };
    let AccountFacts { departments, people, engagement } = told.facts;
    let told = v1::AccountTold {
        account_id: account.to_owned(),
        version: told.version,
        departments,
        people,
        engagement_mp: engagement.get(),
    };
    let link = Some(account_link_record::Link::AccountTold(told));
    context.emit(Topic::AccountLinks, lead.to_string(), &v1::AccountLinkRecord { meta: Some(head.to_meta()), link });
}

/// Reads what an account tells a lead.
pub(crate) fn read_told(input: &Input<'_>) -> Result<(Head, LeadId, String, account::Told), Poison> {
    let record: v1::AccountLinkRecord = input.decode()?;
    let (head, lead) = Head::read_with_lead(record.meta.as_ref())?;
    if input.key_str()?.parse() != Ok(lead) {
        return Err(Poison::new("wrong-key", "the key of what a lead is told is its id"));
    }
    let Some(account_link_record::Link::AccountTold(told)) = record.link else { return Err(missing("link")) };
    let v1::AccountTold { account_id, version, departments, people, engagement_mp } = told;
    let facts = AccountFacts { departments, people, engagement: Millipoints::new(engagement_mp) };
    Ok((head, lead, account_id, account::Told { version, facts }))
}

fn state_key(account: &str) -> String {
    [KEY_PREFIX, account].concat()
}
