//! What identity counts, each as an operator reads it: `tasuki_identity_<what>_total{reason}`.

use tasuki_wire::v1;

tasuki_stream::counters! {
    /// What became of behavior events, by reason: parked (not known yet whose), claimed (given to a lead), released
    /// (taken from a lead), repeated (dropped), expired and displaced (never attributed, and no longer kept).
    BEHAVIOR_EVENTS = "behavior_events";
    /// Events offered to a lead or taken from it without effect, by reason: repeated, too-old, unknown.
    CLAIMS = "claims";
    /// Links between identifiers beyond what is remembered, by reason: visitors-per-user, identifications-per-visitor.
    LINKS_REFUSED = "links_refused";
    /// Identifiers of behavior events that are not believed, by reason: placeholder, role-address, blocked,
    /// shared-line, identifiers-per-lead. The lead concerned has an IdentifierRefused, once for each reason and value.
    IDENTIFIERS_REFUSED = "identifiers_refused";
    /// Behavior events of leads that are kept out for want of consent, by reason: tracking (the lead does not get it),
    /// scoring (it gives no points).
    EVENTS_WITHHELD = "events_withheld";
    /// Merges and splits of leads, by reason: merged (a lead went into another), changed (a lead has more or fewer
    /// others in it, or is on its own again), repeated, refused (somebody should see it).
    MERGES = "merges";
    /// How often what is said about a person was read from the events again, since a value was taken back or came late,
    /// by reason: heard-anew, forgotten (some events are not remembered any more: if they said other values, those are lost).
    VALUES = "values";
}

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
    /// `identifiers_refused{reason="placeholder"}`: stands for nobody. Ingest refuses most of them before.
    Placeholder,
    /// `identifiers_refused{reason="role-address"}`: several people read the mailbox, and the settings refuse those.
    RoleAddress,
    /// `identifiers_refused{reason="shared-line"}`: a phone number that many call: toll-free and the like.
    SharedLine,
    /// `identifiers_refused{reason="blocked"}`: the settings name it.
    Blocked,
    /// `identifiers_refused{reason="identifiers-per-lead"}`: the lead has as many as the settings allow; the event is
    /// nobody's. Many of them mean that many people share one identifier.
    IdentifiersPerLead,
    /// `events_withheld{reason="tracking"}`: the person did not allow to be observed when it happened.
    WithheldFromTracking,
    /// `events_withheld{reason="scoring"}`: the person does not allow to be rated, now or when it happened.
    WithheldFromScoring,
    /// `merges{reason="merged"}`: a lead went into another.
    Merged,
    /// `merges{reason="changed"}`: a lead has more or fewer others in it, or is on its own again.
    MergesChanged,
    /// `merges{reason="repeated"}`: a command that is known already.
    CommandRepeated,
    /// `merges{reason="refused"}`: a command without effect: `LeadCommandRefused`.
    CommandRefused,
    /// `values{reason="heard-anew"}`: a value was taken back or came late, and the events were read again.
    HeardAnew,
    /// `values{reason="forgotten"}`: the same, of a lead with events that are not remembered any more. Values that only
    /// those said, and that had to be dropped, are lost.
    ValuesForgotten,
}

impl Metric {
    /// The middle of the metric's name, and its label.
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Parked => (BEHAVIOR_EVENTS, "parked"),
            Self::Claimed => (BEHAVIOR_EVENTS, "claimed"),
            Self::Released => (BEHAVIOR_EVENTS, "released"),
            Self::Repeated => (BEHAVIOR_EVENTS, "repeated"),
            Self::Expired => (BEHAVIOR_EVENTS, "expired"),
            Self::Displaced => (BEHAVIOR_EVENTS, "displaced"),
            Self::ClaimRepeated => (CLAIMS, "repeated"),
            Self::ClaimTooOld => (CLAIMS, "too-old"),
            Self::ReleaseUnknown => (CLAIMS, "unknown"),
            Self::VisitorsPerUser => (LINKS_REFUSED, "visitors-per-user"),
            Self::IdentificationsPerVisitor => (LINKS_REFUSED, "identifications-per-visitor"),
            Self::Placeholder => (IDENTIFIERS_REFUSED, "placeholder"),
            Self::RoleAddress => (IDENTIFIERS_REFUSED, "role-address"),
            Self::SharedLine => (IDENTIFIERS_REFUSED, "shared-line"),
            Self::Blocked => (IDENTIFIERS_REFUSED, "blocked"),
            Self::IdentifiersPerLead => (IDENTIFIERS_REFUSED, "identifiers-per-lead"),
            Self::WithheldFromTracking => (EVENTS_WITHHELD, "tracking"),
            Self::WithheldFromScoring => (EVENTS_WITHHELD, "scoring"),
            Self::Merged => (MERGES, "merged"),
            Self::MergesChanged => (MERGES, "changed"),
            Self::CommandRepeated => (MERGES, "repeated"),
            Self::CommandRefused => (MERGES, "refused"),
            Self::HeardAnew => (VALUES, "heard-anew"),
            Self::ValuesForgotten => (VALUES, "forgotten"),
        }
    }
}

/// As which a refusal is counted where it is made; those of bounds are counted where the bound is.
pub(crate) fn metric_of(because: v1::RefusedBecause) -> Option<Metric> {
    match because {
        v1::RefusedBecause::Placeholder => Some(Metric::Placeholder),
        v1::RefusedBecause::RoleAddress => Some(Metric::RoleAddress),
        v1::RefusedBecause::SharedLine => Some(Metric::SharedLine),
        v1::RefusedBecause::Blocked => Some(Metric::Blocked),
        v1::RefusedBecause::IdentifiersPerLead => Some(Metric::IdentifiersPerLead),
        v1::RefusedBecause::VisitorsPerUser => Some(Metric::VisitorsPerUser),
        v1::RefusedBecause::PeoplePerVisitor => Some(Metric::IdentificationsPerVisitor),
        // Ingest has refused it, and counted it.
        v1::RefusedBecause::Invalid | v1::RefusedBecause::Unspecified => None,
    }
}
