//! What qualification counts, for operators. Each becomes `tasuki_qualification_<name>_total` with the label `reason`.

use tasuki_stream::Context;
use tasuki_wire::Topic;

use crate::state::QualificationState;

/// Counts a record that was seen before, by its version: `reason` is the topic. Harmless.
pub(crate) fn repeated_record(context: &mut Context<'_, QualificationState>, topic: Topic) {
    context.count("repeated_records", topic.name());
}

/// Counts a version that did not come: `reason` is the topic. Must stay at zero; otherwise records were lost.
pub(crate) fn missing_version(context: &mut Context<'_, QualificationState>, topic: Topic) {
    context.count("version_gaps", topic.name());
}

/// Counts a rejection that is not about the cycle under way: `reason="other-cycle"`. Harmless.
pub(crate) fn rejection_without_effect(context: &mut Context<'_, QualificationState>) {
    context.count("rejections_without_effect", "other-cycle");
}

/// Counts leads that a route would have handed over, had the playbook not excluded them: `reason="excluded"`.
pub(crate) fn excluded(context: &mut Context<'_, QualificationState>) {
    context.count("leads_held_back", "excluded");
}
