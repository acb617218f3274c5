//! What scoring counts, for operators. Each becomes `tasuki_scoring_<name>_total` with the label `reason`.

use tasuki_stream::Context;

use crate::signals::Pruned;
use crate::state::ScoringState;

tasuki_stream::counters! {
    /// Activity records seen before, by their version. Harmless; many at once mean that identity writes its output
    /// again.
    REPEATED_RECORDS = "repeated_records";
    /// Versions of a lead's activity that did not come. Must stay at zero; otherwise records were lost between identity
    /// and scoring.
    VERSION_GAPS = "version_gaps";
    /// Records that change nothing, by reason: known-signal, unknown-signal (a retraction), same-profile, no-consent (the
    /// person does not allow scoring), older-contribution (the account has heard of a later score of the lead), another-account
    /// (the lead has left the one that tells it something, or nothing is asked of accounts any more), older-account (the lead has
    /// heard a later word of it), same-account (what it says makes no difference to any route).
    RECORDS_WITHOUT_EFFECT = "records_without_effect";
    /// Publications of playbooks that reached a partition, by reason: adopted, older (a later one is in force already).
    PLAYBOOKS = "playbooks";
    /// Leads scored anew because another playbook is in force, by reason: published.
    RESCORED_LEADS = "rescored_leads";
    /// Leads that were not counted for their account since it has as many as are remembered, by reason: most-1000.
    UNCOUNTED_LEADS = "uncounted_leads";
    /// Signals dropped to keep a lead within its bounds, by reason: most-500, older-than-400-days.
    DROPPED_SIGNALS = "dropped_signals";
}

pub(crate) fn repeated_record(context: &mut Context<'_, ScoringState>) {
    context.count(REPEATED_RECORDS, "version");
}

pub(crate) fn missing_version(context: &mut Context<'_, ScoringState>) {
    context.count(VERSION_GAPS, "activity");
}

pub(crate) fn without_effect(context: &mut Context<'_, ScoringState>, reason: &'static str) {
    context.count(RECORDS_WITHOUT_EFFECT, reason);
}

pub(crate) fn playbook(context: &mut Context<'_, ScoringState>, reason: &'static str) {
    context.count(PLAYBOOKS, reason);
}

pub(crate) fn rescored(context: &mut Context<'_, ScoringState>) {
    context.count(RESCORED_LEADS, "published");
}

pub(crate) fn account_full(context: &mut Context<'_, ScoringState>) {
    context.count(UNCOUNTED_LEADS, "most-1000");
}

pub(crate) fn dropped(context: &mut Context<'_, ScoringState>, pruned: Pruned) {
    for _ in 0..pruned.too_many {
        context.count(DROPPED_SIGNALS, "most-500");
    }
    for _ in 0..pruned.too_old {
        context.count(DROPPED_SIGNALS, "older-than-400-days");
    }
}
