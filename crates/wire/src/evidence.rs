//! The evidence of a score: written and read column by column, see `Evidence` in `proto/tasuki/v1/scores.proto`.

use crate::v1;

/// A behavior event that contributions may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'s> {
    /// 16 bytes.
    pub behavior_id: &'s [u8],
    /// When it occurred, in milliseconds since 1970.
    pub occurred_at_ms: i64,
    /// What it was, in words of the playbook: `FormSubmitted demo-request`.
    pub what: &'s str,
}

/// The events that the contributions of a score name, newest first.
#[derive(Clone, Debug)]
pub struct Evidence<'s> {
    events: Vec<Named<'s>>,
}

impl<'s> Evidence<'s> {
    /// Reads the columns. Where one is shorter than the ids, what is missing is empty, or of the same instant.
    pub fn of(scored: &'s v1::LeadScored) -> Self {
        let Some(columns) = &scored.evidence else { return Self { events: Vec::new() } };
        let word = |place: u32| columns.words.get(usize::try_from(place).ok()?).map(String::as_str);
        let mut occurred_at_ms = scored.as_of_ms;
        let mut earlier = columns.earlier_by_ms.iter();
        let mut what = columns.what.iter();
        let events = columns.behavior_ids.chunks_exact(16).map(|behavior_id| {
            occurred_at_ms = occurred_at_ms.wrapping_sub(earlier.next().copied().unwrap_or(0));
            let what = what.next().and_then(|&place| word(place)).unwrap_or_default();
            Named { behavior_id, occurred_at_ms, what }
        });
        Self { events: events.collect() }
    }

    /// What a contribution of this score names, newest first, each with its millipoints after decay and before caps.
    pub fn named_by<'e>(&'e self, contribution: &'e v1::Contribution) -> impl Iterator<Item = (Named<'s>, i64)> {
        let mut points = contribution.evidence_mp.iter();
        contribution.evidence.iter().filter_map(move |&place| {
            let points = points.next().copied().unwrap_or(0);
            Some((*self.events.get(usize::try_from(place).ok()?)?, points))
        })
    }
}

/// Puts events into columns, which come newest first; [`Evidence::of`] a score as of this instant reads them again.
pub fn columns<'s>(as_of_ms: i64, events: impl IntoIterator<Item = Named<'s>>) -> v1::Evidence {
    let mut columns = v1::Evidence::default();
    let mut before = as_of_ms;
    for Named { behavior_id, occurred_at_ms, what } in events {
        columns.behavior_ids.extend_from_slice(behavior_id);
        columns.earlier_by_ms.push(before.wrapping_sub(occurred_at_ms));
        before = occurred_at_ms;
        let place = columns.words.iter().position(|word| word == what).unwrap_or_else(|| {
            columns.words.push(what.to_owned());
            columns.words.len() - 1
        });
        columns.what.push(u32::try_from(place).unwrap_or(u32::MAX));
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [[u8; 16]; 3] = [[1; 16], [2; 16], [3; 16]];

    fn named(event: usize, occurred_at_ms: i64, what: &str) -> Named<'_> {
        Named { behavior_id: &IDS[event], occurred_at_ms, what }
    }

    #[test]
    fn columns_read_back_and_contributions_name_what_is_theirs() {
        let events =
            [named(0, 1_200, "PageViewed /"), named(1, 900, "PageViewed /pricing"), named(2, 0, "PageViewed /")];
        let evidence = columns(1_000, events);
        assert_eq!(evidence.earlier_by_ms, [-200, 300, 900]);
        assert_eq!((evidence.what.as_slice(), evidence.words.len()), (&[0, 1, 0][..], 2));
        let scored = v1::LeadScored { as_of_ms: 1_000, evidence: Some(evidence), ..v1::LeadScored::default() };
        let contribution =
            v1::Contribution { evidence: vec![0, 2], evidence_mp: vec![30, -20], ..v1::Contribution::default() };
        let read = Evidence::of(&scored);
        assert_eq!(read.named_by(&contribution).collect::<Vec<_>>(), [(events[0], 30), (events[2], -20)]);
    }

    #[test]
    fn what_is_missing_in_a_column_is_empty_and_a_place_without_event_names_nothing() {
        let evidence = v1::Evidence { behavior_ids: vec![1; 20], what: vec![7], ..v1::Evidence::default() };
        let scored = v1::LeadScored { as_of_ms: 5, evidence: Some(evidence), ..v1::LeadScored::default() };
        let contribution = v1::Contribution { evidence: vec![0, 1], ..v1::Contribution::default() };
        let read = Evidence::of(&scored);
        assert_eq!(read.named_by(&contribution).collect::<Vec<_>>(), [(named(0, 5, ""), 0)]);
        assert_eq!(Evidence::of(&v1::LeadScored::default()).named_by(&contribution).count(), 0);
    }
}
