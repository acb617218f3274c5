//! What identity counts, each as an operator reads it: `tasuki_identity_<what>_total{reason}`.

/// A thing worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `behavior_events{reason="parked"}`: came, and it is not known yet whose they are.
    Parked,
    /// `behavior_events{reason="claimed"}`: given to a lead, at once or later.
    Claimed,
    /// `behavior_events{reason="released"}`: taken from a lead, since a link seen later showed somebody else.
    Released,
    /// `behavior_events{reason="repeated"}`: came once more; dropped.
    Repeated,
    /// `behavior_events{reason="expired"}`: never attributed, and too old to be kept. Visitors who stay unknown end
    /// here; that is most of them.
    Expired,
    /// `behavior_events{reason="displaced"}`: never attributed, and displaced by more recent ones of the same
    /// identifier. Many of them mean that a tracker gives one visitor id to many people.
    Displaced,
    /// `claims{reason="repeated"}`: an event that the lead has already; dropped.
    ClaimRepeated,
    /// `claims{reason="too-old"}`: an event older than all that is remembered of a very active lead; dropped.
    ClaimTooOld,
    /// `claims{reason="unknown"}`: an event was to be taken from a lead that never had it; dropped.
    ReleaseUnknown,
    /// `links_refused{reason="visitors-per-user"}`: a user id has more visitors than are told of changes.
    VisitorsPerUser,
    /// `links_refused{reason="identifications-per-visitor"}`: a device has seen more people than are remembered.
    IdentificationsPerVisitor,
}

impl Metric {
    /// The middle of the metric's name, and its label.
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Parked => ("behavior_events", "parked"),
            Self::Claimed => ("behavior_events", "claimed"),
            Self::Released => ("behavior_events", "released"),
            Self::Repeated => ("behavior_events", "repeated"),
            Self::Expired => ("behavior_events", "expired"),
            Self::Displaced => ("behavior_events", "displaced"),
            Self::ClaimRepeated => ("claims", "repeated"),
            Self::ClaimTooOld => ("claims", "too-old"),
            Self::ReleaseUnknown => ("claims", "unknown"),
            Self::VisitorsPerUser => ("links_refused", "visitors-per-user"),
            Self::IdentificationsPerVisitor => ("links_refused", "identifications-per-visitor"),
        }
    }
}
