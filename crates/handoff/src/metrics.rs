//! What the two services count, as an operator reads it. `Context::count` makes `tasuki_<service>_<what>_total{reason}`
//! of each, once its transaction is committed.

tasuki_stream::counters! {
    /// Handoffs, by reason: owner (a rep has it), nobody (no rep could take it: someone must act).
    ASSIGNMENTS = "assignments";
    /// Verdicts of sales, by reason: accepted, rejected.
    VERDICTS = "verdicts";
    /// Handoffs whose deadline passed without a verdict.
    OVERDUES = "overdue";
    /// Feedback of sales without effect for now, by reason: waiting (its handoff is not assigned yet), repeated,
    /// refused (somebody should see it).
    FEEDBACK = "feedback";
    /// Records of the public contract that were written again, by reason: merged (the lead is merged into another, or
    /// no longer).
    CORRECTIONS = "corrections";
    /// Oddities of qualifications and decisions, by reason: repeated (dropped), gap (something was lost upstream),
    /// unknown-urgency (it got the time limit of normal).
    INPUTS = "inputs";
}

/// What the desk counts.
pub mod desk {
    tasuki_stream::counters! {
        /// Requests for a rep, by reason: rep (there is one), nobody-free (all absent, at capacity or excluded),
        /// unknown-pool (playbook and reps file disagree), repeated (answered again the same).
        DECISIONS = "decisions";
    }
}

/// A metric's middle and its label.
type Counted = (&'static str, &'static str);

/// `tasuki_handoff_assignments_total{reason="owner"}`: handoffs that a rep has.
pub const ASSIGNED: Counted = (ASSIGNMENTS, "owner");
/// `tasuki_handoff_assignments_total{reason="nobody"}`: handoffs that nobody could take. Someone must act.
pub const ASSIGNED_TO_NOBODY: Counted = (ASSIGNMENTS, "nobody");
/// `tasuki_handoff_verdicts_total{reason="accepted"}`: leads that sales took.
pub const ACCEPTED: Counted = (VERDICTS, "accepted");
/// `tasuki_handoff_verdicts_total{reason="rejected"}`: leads that sales refused.
pub const REJECTED: Counted = (VERDICTS, "rejected");
/// `tasuki_handoff_overdue_total{reason="accept"}`: handoffs whose deadline passed without a verdict.
pub const OVERDUE: Counted = (OVERDUES, "accept");
/// `tasuki_handoff_feedback_total{reason="waiting"}`: feedback that came before its handoff was assigned, and waits.
pub const FEEDBACK_WAITING: Counted = (FEEDBACK, "waiting");
/// `tasuki_handoff_feedback_total{reason="repeated"}`: feedback that says again what is known; no effect.
pub const FEEDBACK_REPEATED: Counted = (FEEDBACK, "repeated");
/// `tasuki_handoff_feedback_total{reason="refused"}`: feedback without effect that somebody should see: `FeedbackRefused`.
pub const FEEDBACK_REFUSED: Counted = (FEEDBACK, "refused");
/// `tasuki_handoff_inputs_total{reason="repeated"}`: qualifications and decisions seen before, dropped.
pub const INPUT_REPEATED: Counted = (INPUTS, "repeated");
/// `tasuki_handoff_inputs_total{reason="gap"}`: a version of a lead's qualifications is missing: something was lost upstream.
pub const INPUT_GAP: Counted = (INPUTS, "gap");
/// `tasuki_handoff_inputs_total{reason="unknown-urgency"}`: a qualification with an urgency that has no time limit; it got
/// that of "normal".
pub const UNKNOWN_URGENCY: Counted = (INPUTS, "unknown-urgency");

/// `tasuki_handoff_corrections_total{reason="merged"}`: records of the public contract that were written again, since
/// their lead is merged into another or no longer.
pub const CORRECTED: Counted = (CORRECTIONS, "merged");

/// `tasuki_desk_decisions_total{reason="rep"}`: requests that got a rep.
pub const DECIDED: Counted = (desk::DECISIONS, "rep");
/// `tasuki_desk_decisions_total{reason="nobody-free"}`: every rep of the pool is absent, at capacity or excluded.
pub const NOBODY_FREE: Counted = (desk::DECISIONS, "nobody-free");
/// `tasuki_desk_decisions_total{reason="unknown-pool"}`: the reps file has no such pool: playbook and reps file disagree.
pub const UNKNOWN_POOL: Counted = (desk::DECISIONS, "unknown-pool");
/// `tasuki_desk_decisions_total{reason="repeated"}`: requests answered before, answered again the same.
pub const DECISION_REPEATED: Counted = (desk::DECISIONS, "repeated");
