//! What scoring counts, for operators. Each becomes `tasuki_scoring_<name>_total` with the label `reason`.

use tasuki_stream::Context;

use crate::signals::Pruned;
use crate::state::ScoringState;

/// Counts an activity record that was seen before, by its version: `reason="version"`. Harmless; many at once mean that
/// identity writes its output again.
pub(crate) fn repeated_record(context: &mut Context<'_, ScoringState>) {
    context.count("repeated_records", "version");
}

/// Counts a version of `activity` that did not come: `reason="activity"`. Must stay at zero; otherwise records were lost
/// between identity and scoring.
pub(crate) fn missing_version(context: &mut Context<'_, ScoringState>) {
    context.count("version_gaps", "activity");
}

/// Counts an activity record that changes nothing: a signal that is known (`reason="known-signal"`), a retraction of one
/// that is not (`reason="unknown-signal"`), a profile as it was (`reason="same-profile"`).
pub(crate) fn without_effect(context: &mut Context<'_, ScoringState>, reason: &'static str) {
    context.count("records_without_effect", reason);
}

/// Counts signals dropped to keep a lead within its bounds: `reason="most-500"`, `reason="older-than-400-days"`.
pub(crate) fn dropped(context: &mut Context<'_, ScoringState>, pruned: Pruned) {
    for _ in 0..pruned.too_many {
        context.count("dropped_signals", "most-500");
    }
    for _ in 0..pruned.too_old {
        context.count("dropped_signals", "older-than-400-days");
    }
}
