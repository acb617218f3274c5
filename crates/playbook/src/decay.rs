//! How the points of a rule fade with the age of the signal, and how often a rule counts.

use tasuki_domain::Millis;

/// What is left of a signal's points at an age; what is said to happen later has age 0. A signal that is forgotten (after
/// [`crate::KEPT_FOR`]) is worth nothing, however it fades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decay {
    /// All of them.
    Stays,
    /// Half of them after this time, a quarter after twice that.
    HalfLife(Millis),
    /// Less with every instant, evenly; nothing from this age on.
    Linear(Millis),
    /// All of them, and of signals older than the `after` of a step what that step leaves. Ages ascend, at least one.
    Steps(Vec<Step>),
    /// All of them up to and at this age, nothing after it.
    Window(Millis),
}

/// One step down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Signals that are older than this ...
    pub after: Millis,
    /// ... have so much left, in percent of their points: 0 to 99, less than the step before.
    pub left: u8,
}

/// How often a rule counts: of all of its signals in one stretch of time, the latest few.
///
/// Time is cut into stretches of this length from 1970-01-01T00:00Z on: with 24 hours, the days of UTC. A signal belongs to
/// the stretch in which it occurred, whenever it was received. The latest count (of those at the same instant, the ones
/// with the higher event ids), so that neither the order of arrival nor what is forgotten meanwhile makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many count; at least 1.
    pub times: u32,
    /// The length of the stretches; above zero.
    pub per: Millis,
}
