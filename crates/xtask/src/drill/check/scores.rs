//! The score of each lead, at every moment, is that of a fold of the raw input.

use std::collections::{BTreeMap, BTreeSet};

use tasuki_domain::LeadId;
use tasuki_playbook::Playbook;
use tasuki_wire::v1;

use super::{activity, scored, scores, version, written};
use crate::drill::evidence::Evidence;
use crate::drill::model::{self, Attributed, Expected};

pub(super) fn as_the_raw_input_says(evidence: &Evidence) -> Option<Vec<String>> {
    let playbook = Playbook::built_in();
    let expected = model::leads(&evidence.log);
    let (activity, scores) = (activity(&evidence.log), scores(&evidence.log));
    let leads: BTreeSet<_> = expected.keys().chain(activity.keys()).chain(scores.keys()).copied().collect();
    let nobody = Expected::default();
    let mut wrong = Vec::new();
    for lead in leads {
        let expected = expected.get(&lead).unwrap_or(&nobody);
        let activity = activity.get(&lead).map_or(&[][..], Vec::as_slice);
        let scores = scores.get(&lead).map_or(&[][..], Vec::as_slice);
        let mut walk =
            Walk { lead, playbook: &playbook, activity, applied: 0, now: Attributed::default(), wrong: vec![] };
        walk.scores(scores);
        walk.end(expected);
        wrong.append(&mut walk.wrong);
    }
    Some(wrong)
}

/// Goes through one lead's activity and scores side by side.
struct Walk<'e> {
    lead: LeadId,
    playbook: &'e Playbook,
    activity: &'e [v1::ActivityRecord],
    applied: usize,
    now: Attributed,
    wrong: Vec<String>,
}

impl Walk<'_> {
    fn scores(&mut self, scores: &[v1::ScoreRecord]) {
        let places: BTreeMap<&[u8], usize> = self
            .activity
            .iter()
            .enumerate()
            .filter_map(|(place, record)| Some((record.meta.as_ref()?.event_id.as_slice(), place)))
            .collect();
        let mut due = 0;
        for record in scores {
            let (Some(meta), Some(scored)) = (&record.meta, scored(record)) else {
                self.says(record, "is empty");
                continue;
            };
            match places.get(meta.cause_id.as_slice()) {
                Some(&place) if place >= self.applied => self.apply_until(place),
                Some(_) => self.says(record, "follows from activity that was scored before"),
                // What time alone brings about comes at the instant that the score before named.
                None if scored.because() == v1::ScoredBecause::Time && scored.as_of_ms == due => {}
                None => self.says(record, "follows from nothing that is on the log"),
            }
            self.compare(record, scored);
            due = scored.next_change_at_ms;
        }
    }

    /// Applies activity up to the one that is scored; what is passed over must not have changed anything.
    fn apply_until(&mut self, place: usize) {
        while self.applied <= place {
            let record = &self.activity[self.applied];
            let changes = self.now.changes(record);
            self.now.apply(record);
            if self.applied < place && changes {
                let number = version(record.meta.as_ref());
                self.wrong.push(format!("{}: no score follows from activity version {number}", self.lead));
            }
            if self.applied == place && !changes {
                let number = version(record.meta.as_ref());
                self.wrong.push(format!("{}: a score follows from activity version {number}, a repetition", self.lead));
            }
            self.applied += 1;
        }
    }

    fn compare(&mut self, record: &v1::ScoreRecord, scored: &v1::LeadScored) {
        let nobody = v1::Profile::default();
        let profile = self.now.profile.as_ref().unwrap_or(&nobody);
        let expected = model::score(self.now.events.values(), profile, self.playbook, scored.as_of_ms);
        let facts: Vec<i64> = scored.facts.iter().map(|fact| fact.value).collect();
        let same = expected.engagement.get() == scored.engagement_mp
            && expected.fit.get() == scored.fit_mp
            && expected.grade.to_string() == scored.grade
            && expected.contributions == scored.contributions
            && scored.evidence.as_ref() == Some(&expected.evidence)
            && expected.facts == facts;
        if !same {
            let (engagement, fit) = (expected.engagement.get(), expected.fit.get());
            let text = format!(
                "is engagement {} fit {} {}, and has to be {engagement} {fit} {}",
                scored.engagement_mp, scored.fit_mp, scored.grade, expected.grade
            );
            self.says(record, &text);
        }
        let because_of_time = scored.because() == v1::ScoredBecause::Time;
        if !because_of_time && self.now.received_at_ms().is_some_and(|latest| latest != scored.as_of_ms) {
            self.says(record, "does not hold for the latest receipt");
        }
        if scored.profile != self.now.profile {
            self.says(record, "has another profile than activity");
        }
    }

    /// After the last score, nothing is left, and attribution and profile are those of the raw input.
    fn end(&mut self, expected: &Expected) {
        while self.applied < self.activity.len() {
            let record = &self.activity[self.applied];
            if self.now.changes(record) {
                let number = version(record.meta.as_ref());
                self.wrong.push(format!("{}: no score follows from activity version {number}", self.lead));
            }
            self.now.apply(record);
            self.applied += 1;
        }
        let has_to_be: BTreeSet<&[u8]> = expected.events.keys().map(Vec::as_slice).collect();
        let is = self.now.ids();
        let lead = self.lead;
        let mut wrong: Vec<_> = has_to_be
            .difference(&is)
            .map(|id| format!("{lead}: behavior {} is this lead's, and is not attributed to it", written(id)))
            .collect();
        wrong.extend(
            is.difference(&has_to_be)
                .map(|id| format!("{lead}: behavior {} is attributed to this lead, and is not its own", written(id))),
        );
        let differs =
            has_to_be.iter().any(|id| is.contains(id) && self.now.events.get(*id) != expected.events.get(*id));
        if differs {
            wrong.push(format!("{lead}: an attributed event is another than was sent"));
        }
        if self.now.profile.clone().unwrap_or_default() != expected.profile {
            wrong.push(format!("{lead}: the profile is not what its events say"));
        }
        self.wrong.append(&mut wrong);
    }

    fn says(&mut self, record: &v1::ScoreRecord, what: &str) {
        let number = version(record.meta.as_ref());
        self.wrong.push(format!("{}: score version {number} {what}", self.lead));
    }
}
