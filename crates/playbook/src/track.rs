//! Tracks: product lines with an engagement, a fit and a grade of their own.

use tasuki_domain::Millipoints;

/// A product line. Its engagement and its fit are the sums of the rules that name it and of those that name no track,
/// within the bounds of the axes; its grade follows from both.
#[derive(Debug, PartialEq)]
pub struct Track {
    /// Rules, routes and the ledger name it.
    pub name: String,
    /// See [`crate::Playbook::boundaries_of`].
    pub(crate) boundaries: Vec<Millipoints>,
}

/// The track that a rule or a route names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRef {
    /// As an index into [`crate::Playbook::tracks`].
    pub place: usize,
    /// Its name.
    pub name: String,
}

impl TrackRef {
    /// What stands for it in events: its name, or nothing where there is no track.
    pub fn name_of(track: Option<&Self>) -> &str {
        track.map_or("", |track| &track.name)
    }

    /// Whether a rule of this track, if it is of any, counts for a track, as an index into [`crate::Playbook::tracks`]; for the lead
    /// itself (`None`) all of them do.
    #[inline]
    pub(crate) fn counts(track: Option<&Self>, of: Option<usize>) -> bool {
        match (of, track) {
            (None, _) | (_, None) => true,
            (Some(of), Some(track)) => track.place == of,
        }
    }
}
