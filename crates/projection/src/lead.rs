//! What each event does to the row of its lead and to the row of its handoff.
//!
//! Each topic has its own columns. What two topics say together (stage, cycle, the copy of the handoff) is derived
//! from both afterwards, so the order in which topics are read does not matter.

use std::cmp::Ordering;

use tasuki_domain::{Cycle, HandoffId, LeadId, Stage, Timestamp};
use tasuki_wire::Head;
use tasuki_wire::v1::{self, handoff_record};

use crate::json::reject_reason;
use crate::record::Judged;
use crate::rows::{Handoff, LeadCurrent};
use crate::table::At;
use crate::text::{clean, indexed, optional};

/// Millipoints of one band.
const BAND_MP: i64 = 10_000;
/// The highest band: two axes of 100 points.
const TOP_BAND: i64 = 20;

impl LeadCurrent {
    /// A lead of whom nothing is known.
    pub(crate) fn unknown(lead: LeadId) -> Self {
        Self {
            lead_id: lead.uuid(),
            active: false,
            email: String::new(),
            name: String::new(),
            company: String::new(),
            title: String::new(),
            account_id: String::new(),
            user_id: String::new(),
            search_text: String::new(),
            activities: 0,
            first_activity_at: None,
            last_activity_at: None,
            engagement_mp: 0,
            fit_mp: 0,
            score_mp: 0,
            score_band: 0,
            grade: String::new(),
            scored_as_of: None,
            next_change_at: None,
            playbook_version: 0,
            stage: Stage::Subscriber.name().to_owned(),
            cycle: 0,
            handoff_id: None,
            handoff_state: String::new(),
            route: String::new(),
            urgency: String::new(),
            pool: String::new(),
            qualified_at: None,
            owner_id: String::new(),
            owner_name: String::new(),
            owner_email: String::new(),
            accept_by: None,
            activity_version: 0,
            scores_version: 0,
            qualification_version: 0,
            handoff_version: 0,
            missing_versions: 0,
            qualification_stage: String::new(),
            qualification_cycle: 0,
            handoff_stage: String::new(),
            handoff_cycle: 0,
            merged_into: None,
            identities_version: 0,
        }
    }

    /// Takes over who the lead is.
    pub(crate) fn introduce(&mut self, profile: &v1::Profile) {
        let attribute = |name| profile.attributes.get(name).map_or("", |attribute| attribute.value.as_str());
        let in_parts = format!("{} {}", attribute("first_name"), attribute("last_name"));
        let name = if attribute("name").is_empty() { in_parts.trim() } else { attribute("name") };
        self.email = indexed(&profile.email);
        self.name = indexed(name);
        self.company = indexed(attribute("company"));
        self.title = indexed(attribute("title"));
        self.account_id = indexed(&profile.account_id);
        self.user_id = indexed(attribute("user_id"));
        // The address it is known by, the one it gave last, and those of leads that are merged into it.
        let (known_by, given) = (&self.email, indexed(attribute("email")));
        let other = if given == *known_by { String::new() } else { given };
        let mut lines = [known_by, &self.name, &self.company, &self.account_id, &self.user_id, &other]
            .map(|text| text.to_lowercase())
            .to_vec();
        lines.extend(profile.other_emails.iter().map(|address| indexed(address).to_lowercase()));
        self.search_text = lines.join("\n");
    }

    /// Takes over who has its events.
    pub(crate) fn merged(&mut self, into: Option<LeadId>) {
        self.merged_into = into.map(LeadId::uuid);
    }

    /// Counts one more behavior event.
    pub(crate) fn acted(&mut self, occurred_at: At) {
        self.recounted(
            self.activities + 1,
            Some(self.first_activity_at.map_or(occurred_at, |first| first.min(occurred_at))),
            Some(self.last_activity_at.map_or(occurred_at, |last| last.max(occurred_at))),
        );
    }

    /// Takes over a count of the behavior events that are attributed at present.
    pub(crate) fn recounted(&mut self, activities: i64, first: Option<At>, last: Option<At>) {
        self.activities = activities;
        self.first_activity_at = first;
        self.last_activity_at = last;
        self.active = activities > 0;
    }

    /// Takes over a score.
    pub(crate) fn scored(&mut self, scored: &v1::LeadScored) {
        self.engagement_mp = scored.engagement_mp;
        self.fit_mp = scored.fit_mp;
        self.score_mp = scored.engagement_mp.saturating_add(scored.fit_mp);
        let band = self.score_mp.div_euclid(BAND_MP).clamp(0, TOP_BAND);
        self.score_band = i16::try_from(band).expect("between 0 and 20");
        self.grade = indexed(&scored.grade);
        self.scored_as_of = Some(At::new(Timestamp::from_millis(scored.as_of_ms)));
        self.next_change_at = optional(scored.next_change_at_ms).map(At::new);
        self.playbook_version = i64::from(scored.playbook_version);
    }

    /// Takes over what marketing decided, as far as it moves the stage.
    pub(crate) fn judged(&mut self, event: &Judged) {
        let (stage, cycle) = match event {
            Judged::Qualified(event) => (Some(Stage::Mql), i64::from(event.cycle)),
            Judged::Recycled(event) => (Some(Stage::Recycled), i64::from(event.cycle)),
            Judged::Disqualified(event) => (Some(Stage::Disqualified), i64::from(event.cycle)),
            Judged::StageChanged(event) => (event.to().known(), self.qualification_cycle),
            Judged::HeldBack(_) => return,
        };
        stage.map_or("", Stage::name).clone_into(&mut self.qualification_stage);
        self.qualification_cycle = cycle;
    }

    /// Takes over what happened to the handoff, as far as it moves the stage.
    pub(crate) fn handed(&mut self, cycle: Cycle, event: &handoff_record::Event) {
        use handoff_record::Event;
        let cycle = i64::from(cycle.get());
        if matches!(event, Event::Refused(_)) || cycle < self.handoff_cycle {
            return;
        }
        if cycle > self.handoff_cycle {
            self.handoff_cycle = cycle;
            self.handoff_stage.clear();
        }
        match event {
            Event::Accepted(_) => Stage::Sal.name().clone_into(&mut self.handoff_stage),
            Event::Rejected(_) => self.handoff_stage.clear(),
            // A lead that sales has taken stays so, whoever works on it and however late.
            Event::Assigned(_) | Event::Overdue(_) | Event::Refused(_) => {}
        }
    }

    /// Derives what both topics say together; `handoff` is the lead's latest.
    pub(crate) fn settle(&mut self, handoff: Option<&Handoff>) {
        self.stage = stage_of(self).to_owned();
        self.cycle = self.qualification_cycle.max(self.handoff_cycle);
        let Some(handoff) = handoff else { return };
        self.handoff_id = Some(handoff.handoff_id);
        self.handoff_state.clone_from(&handoff.state);
        self.route.clone_from(&handoff.route);
        self.urgency.clone_from(&handoff.urgency);
        self.pool.clone_from(&handoff.pool);
        self.qualified_at = handoff.qualified_at;
        self.owner_id.clone_from(&handoff.owner_id);
        self.owner_name.clone_from(&handoff.owner_name);
        self.owner_email.clone_from(&handoff.owner_email);
        self.accept_by = handoff.accept_by;
    }
}

/// The stage that follows from both sides. A verdict of sales counts until marketing has decided on it: from then on
/// (recycled, disqualified) marketing's word is the later one, as is its word on a later cycle.
fn stage_of(lead: &LeadCurrent) -> &str {
    let marketing = match lead.qualification_stage.as_str() {
        "" => Stage::Subscriber.name(),
        stage => stage,
    };
    let sales = lead.handoff_stage.as_str();
    let sales_is_later = match lead.handoff_cycle.cmp(&lead.qualification_cycle) {
        Ordering::Greater => true,
        Ordering::Equal => marketing == Stage::Mql.name(),
        Ordering::Less => false,
    };
    match (sales_is_later, sales) {
        (false, _) => marketing,
        // The handoff of a cycle that qualification has not been read of yet: it must have been an MQL.
        (true, "") => Stage::Mql.name(),
        (true, sales) => sales,
    }
}

impl Handoff {
    /// The handoff of a lead in a cycle, of which nothing else is known.
    pub(crate) fn unknown(lead: LeadId, cycle: Cycle) -> Self {
        Self {
            handoff_id: HandoffId::of(lead, cycle).uuid(),
            lead_id: lead.uuid(),
            cycle: i64::from(cycle.get()),
            state: "qualified".to_owned(),
            route: String::new(),
            urgency: String::new(),
            playbook_version: 0,
            qualified_at: None,
            pool: String::new(),
            owner_id: String::new(),
            owner_name: String::new(),
            owner_email: String::new(),
            reason: String::new(),
            assigned_at: None,
            accept_by: None,
            overdue_at: None,
            accepted_at: None,
            accepted_by: String::new(),
            rejected_at: None,
            rejected_by: String::new(),
            reject_reason: String::new(),
            reject_note: String::new(),
            track: String::new(),
        }
    }

    /// Takes over the qualification that led to it.
    pub(crate) fn qualified(&mut self, head: &Head, event: &v1::LeadQualified) {
        self.route = indexed(&event.route);
        self.track = indexed(&event.track);
        self.urgency = indexed(&event.urgency);
        self.playbook_version = i64::from(event.playbook_version);
        self.qualified_at = Some(At::new(head.occurred_at));
        if self.assigned_at.is_none() {
            self.pool = indexed(&event.pool);
        }
    }

    /// Takes over what happened to it.
    pub(crate) fn apply(&mut self, head: &Head, event: &handoff_record::Event) {
        use handoff_record::Event;
        let occurred_at = Some(At::new(head.occurred_at));
        match event {
            Event::Assigned(event) => self.assigned(occurred_at, event),
            Event::Overdue(event) => {
                self.overdue_at = Some(At::new(Timestamp::from_millis(event.due_at_ms)));
                if self.accepted_at.is_none() && self.rejected_at.is_none() {
                    "overdue".clone_into(&mut self.state);
                }
            }
            Event::Accepted(event) => {
                self.accepted_at = occurred_at;
                self.accepted_by = clean(&event.by);
                "accepted".clone_into(&mut self.state);
            }
            Event::Rejected(event) => {
                self.rejected_at = occurred_at;
                self.rejected_by = clean(&event.by);
                reject_reason(event.reason()).clone_into(&mut self.reject_reason);
                self.reject_note = clean(&event.note);
                "rejected".clone_into(&mut self.state);
            }
            Event::Refused(_) => {}
        }
    }

    fn assigned(&mut self, occurred_at: Option<At>, event: &v1::LeadAssigned) {
        let owner = event.owner.clone().filter(|owner| !owner.id.is_empty());
        let state = if owner.is_some() { "assigned" } else { "unassigned" };
        let owner = owner.unwrap_or_default();
        state.clone_into(&mut self.state);
        self.owner_id = indexed(&owner.id);
        self.owner_name = clean(&owner.name);
        self.owner_email = clean(&owner.email);
        self.pool = indexed(&event.pool);
        self.reason = clean(&event.reason);
        self.assigned_at = occurred_at;
        self.accept_by = optional(event.accept_by_ms).map(At::new);
        // A new owner, a new deadline.
        self.overdue_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_follows_from_both_sides() {
        for (marketing, sales, expected) in [
            (("", 0), ("", 0), "Subscriber"),
            (("Lead", 0), ("", 0), "Lead"),
            (("MQL", 1), ("", 0), "MQL"),
            (("MQL", 1), ("", 1), "MQL"),
            (("MQL", 1), ("SAL", 1), "SAL"),
            // Sales has been read ahead of marketing.
            (("Lead", 0), ("", 1), "MQL"),
            (("Lead", 0), ("SAL", 1), "SAL"),
            // Marketing decided on what sales said, or on the next cycle.
            (("Recycled", 1), ("", 1), "Recycled"),
            (("Disqualified", 1), ("SAL", 1), "Disqualified"),
            (("MQL", 2), ("SAL", 1), "MQL"),
            (("Lead", 1), ("", 1), "Lead"),
        ] {
            let mut lead = LeadCurrent::unknown(LeadId::new(sqlx::types::Uuid::from_u128(1)));
            (lead.qualification_stage, lead.qualification_cycle) = (marketing.0.to_owned(), marketing.1);
            (lead.handoff_stage, lead.handoff_cycle) = (sales.0.to_owned(), sales.1);
            lead.settle(None);
            assert_eq!(lead.stage, expected, "{marketing:?} {sales:?}");
        }
    }

    #[test]
    fn a_score_falls_into_its_band() {
        for (engagement_mp, fit_mp, band) in
            [(0, 0, 0), (9_999, 0, 0), (10_000, 0, 1), (99_000, 99_000, 19), (100_000, 100_000, 20), (-5_000, 0, 0)]
        {
            let mut lead = LeadCurrent::unknown(LeadId::new(sqlx::types::Uuid::from_u128(1)));
            lead.scored(&v1::LeadScored { engagement_mp, fit_mp, ..Default::default() });
            assert_eq!((lead.score_mp, lead.score_band), (engagement_mp + fit_mp, band));
        }
    }
}
