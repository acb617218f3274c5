//! What qualification counts, for operators. Each becomes `tasuki_qualification_<name>_total` with the label `reason`.

use tasuki_stream::Context;
use tasuki_wire::Topic;

use crate::state::QualificationState;

tasuki_stream::counters! {
    /// Records seen before, by their version; reason is the topic. Harmless.
    REPEATED_RECORDS = "repeated_records";
    /// Versions of a lead that did not come; reason is the topic. Must stay at zero; otherwise records were lost.
    VERSION_GAPS = "version_gaps";
    /// Rejections that are not about the cycle under way, reason other-cycle. Harmless.
    REJECTIONS_WITHOUT_EFFECT = "rejections_without_effect";
    /// Scores that came before what `identities` says ahead of what they follow from, reason identities: they wait for it.
    /// Harmless; many that never end mean that records of `identities` are lost.
    OVERTAKING_SCORES = "overtaking_scores";
    /// Leads that a route would have handed over, by reason: excluded (by the playbook, for good), no-consent (until the person
    /// allows it).
    LEADS_HELD_BACK = "leads_held_back";
}

pub(crate) fn repeated_record(context: &mut Context<'_, QualificationState>, topic: Topic) {
    context.count(REPEATED_RECORDS, topic.name());
}

pub(crate) fn missing_version(context: &mut Context<'_, QualificationState>, topic: Topic) {
    context.count(VERSION_GAPS, topic.name());
}

pub(crate) fn rejection_without_effect(context: &mut Context<'_, QualificationState>) {
    context.count(REJECTIONS_WITHOUT_EFFECT, "other-cycle");
}

pub(crate) fn excluded(context: &mut Context<'_, QualificationState>) {
    context.count(LEADS_HELD_BACK, "excluded");
}

pub(crate) fn no_consent(context: &mut Context<'_, QualificationState>) {
    context.count(LEADS_HELD_BACK, "no-consent");
}

pub(crate) fn overtaken(context: &mut Context<'_, QualificationState>) {
    context.count(OVERTAKING_SCORES, "identities");
}
