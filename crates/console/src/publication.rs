//! What is published and taken back: whether a playbook may come into force, and its record on the log. Scoring follows it.

use prost::Message;
use tasuki_domain::{EventId, Millis, PlaybookVersion, Timestamp, Version};
use tasuki_playbook::lint::{Lint, Severity};
use tasuki_playbook::{Faults, Playbook};
use tasuki_stream::Emitted;
use tasuki_wire::v1::{self, PublishedBecause, playbook_record};
use tasuki_wire::{Head, Topic};
use uuid::Uuid;

use crate::store::PublicationRow;

/// Namespace of the ids of publications.
const PUBLICATIONS: Uuid = Uuid::from_u128(0x2d0b_74c9_6a1e_5f37_b82d_93e5_0c46_7af1);

/// What is in force, and what was.
#[derive(Debug)]
pub(crate) struct Published<'a> {
    /// The one in force first; empty as long as nothing was published.
    rows: &'a [PublicationRow],
    /// What is in force until something is published.
    start: &'a Playbook,
}

/// What comes into force.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Publication {
    pub(crate) id: EventId,
    pub(crate) at: Timestamp,
    pub(crate) version: PlaybookVersion,
    pub(crate) name: String,
    pub(crate) by: String,
    text: String,
    because: PublishedBecause,
}

/// What a request for a publication leads to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The very same is in force already.
    InForce,
    /// These records, in this order; the last is what was asked for.
    Publish(Vec<Publication>),
}

/// Why nothing is published.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is no playbook.
    Faulty(Faults),
    /// Something in it is hardly meant so.
    Doubtful(Vec<Lint>),
    /// Its version is not above all others.
    Version { found: PlaybookVersion, highest: PlaybookVersion },
    /// No playbook of that version was published, or none is below the one in force.
    NothingThere { wanted: Option<PlaybookVersion>, in_force: PlaybookVersion },
    /// What was published then cannot be used by this release.
    Unusable(Faults),
}

impl<'a> Published<'a> {
    pub(crate) const fn new(rows: &'a [PublicationRow], start: &'a Playbook) -> Self {
        Self { rows, start }
    }

    /// The text in force.
    pub(crate) fn text(&self) -> &str {
        self.rows.first().map_or(self.start.text(), |row| &row.text)
    }

    /// The versions of all that was ever in force; some of them twice.
    pub(crate) fn versions(&self) -> Vec<PlaybookVersion> {
        match self.rows {
            [] => vec![self.start.version()],
            rows => rows.iter().map(|row| row.version).collect(),
        }
    }

    /// The latest text of a version that was ever in force.
    pub(crate) fn text_of(&self, version: PlaybookVersion) -> Option<&str> {
        let row = self.rows.iter().find(|row| row.version == version);
        let at_start = self.rows.is_empty() && version == self.start.version();
        row.map(|row| row.text.as_str()).or(at_start.then(|| self.start.text()))
    }

    /// The version in force.
    pub(crate) fn version(&self) -> PlaybookVersion {
        self.rows.first().map_or(self.start.version(), |row| row.version)
    }

    /// A new playbook is to come into force.
    pub(crate) fn publish(
        &self,
        text: &str,
        by: &str,
        despite_warnings: bool,
        now: Timestamp,
    ) -> Result<Outcome, Refusal> {
        let playbook = Playbook::parse(text).map_err(Refusal::Faulty)?;
        if text == self.text() {
            return Ok(Outcome::InForce);
        }
        let highest = self.rows.iter().map(|row| row.version).max().unwrap_or(self.start.version());
        if playbook.version() <= highest {
            return Err(Refusal::Version { found: playbook.version(), highest });
        }
        let mut warnings = playbook.lints();
        warnings.retain(|lint| lint.kind.severity() == Severity::Warning);
        if !warnings.is_empty() && !despite_warnings {
            return Err(Refusal::Doubtful(warnings));
        }
        Ok(Outcome::Publish(self.records(&playbook, by, PublishedBecause::Published, now)))
    }

    /// An earlier playbook is to come into force again: that of a version, or the highest below the one in force.
    pub(crate) fn roll_back(
        &self,
        wanted: Option<PlaybookVersion>,
        by: &str,
        now: Timestamp,
    ) -> Result<Outcome, Refusal> {
        let in_force = self.version();
        let among =
            self.rows.iter().filter(|row| wanted.map_or(row.version < in_force, |wanted| row.version == wanted));
        // Of one version the latest text: they come in that order.
        let Some(row) = among.reduce(|best, row| if row.version > best.version { row } else { best }) else {
            let at_start = self.rows.is_empty() && wanted == Some(in_force);
            return if at_start { Ok(Outcome::InForce) } else { Err(Refusal::NothingThere { wanted, in_force }) };
        };
        if row.text == self.text() {
            return Ok(Outcome::InForce);
        }
        let playbook = Playbook::parse(&row.text).map_err(Refusal::Unusable)?;
        Ok(Outcome::Publish(self.records(&playbook, by, PublishedBecause::RolledBack, now)))
    }

    fn records(&self, playbook: &Playbook, by: &str, because: PublishedBecause, now: Timestamp) -> Vec<Publication> {
        let publication = |playbook: &Playbook, after: Option<EventId>, at: Timestamp, because, by: &str| Publication {
            id: id(after, because, playbook.text()),
            at,
            version: playbook.version(),
            name: playbook.name().to_owned(),
            by: by.to_owned(),
            text: playbook.text().to_owned(),
            because,
        };
        let Some(last) = self.rows.first() else {
            // What was in force from the start is written down before it is replaced, so that it can be taken up again.
            let before = Timestamp::from_millis(now.as_millis() - 1);
            let start = publication(self.start, None, before, PublishedBecause::Started, "");
            let new = publication(playbook, Some(start.id), now, because, by);
            return vec![start, new];
        };
        // Never before the last, whatever a clock says: the latest is in force.
        let at = now.max(last.published_at + Millis::new(1));
        vec![publication(playbook, Some(last.id), at, because, by)]
    }
}

/// Follows from what it replaces: the same request twice is one publication.
fn id(after: Option<EventId>, because: PublishedBecause, text: &str) -> EventId {
    let mut name = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    name.extend_from_slice(because.as_str_name().as_bytes());
    name.push(0);
    name.extend_from_slice(text.as_bytes());
    EventId::new(Uuid::new_v5(&PUBLICATIONS, &name))
}

impl Publication {
    pub(crate) fn record(&self) -> Emitted {
        let head = Head {
            event_id: self.id,
            occurred_at: self.at,
            received_at: self.at,
            cause: None,
            lead: None,
            version: Version::default(),
        };
        let published = v1::PlaybookPublished {
            version: self.version.get(),
            name: self.name.clone(),
            text: self.text.clone(),
            by: self.by.clone(),
            because: self.because.into(),
        };
        let event = Some(playbook_record::Event::Published(published));
        let record = v1::PlaybookRecord { meta: Some(head.to_meta()), event };
        Emitted { topic: Topic::Playbooks, key: self.version.to_string(), payload: record.encode_to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_426_200_000);

    fn text(version: u32) -> String {
        Playbook::DEFAULT.replacen("version = 1", &format!("version = {version}"), 1)
    }

    fn published(outcome: Result<Outcome, Refusal>) -> Vec<Publication> {
        match outcome {
            Ok(Outcome::Publish(publications)) => publications,
            other => unreachable!("{other:?}"),
        }
    }

    /// As the tables show it, the latest first.
    fn rows(publications: &[Publication]) -> Vec<PublicationRow> {
        let row = |publication: &Publication| PublicationRow {
            id: publication.id,
            version: publication.version,
            name: publication.name.clone(),
            text: publication.text.clone(),
            published_at: publication.at,
            published_by: publication.by.clone(),
            because: String::new(),
        };
        publications.iter().rev().map(row).collect()
    }

    #[test]
    fn the_first_publication_writes_down_what_was_in_force_before() {
        let start = Playbook::built_in();
        let all = published(Published::new(&[], &start).publish(&text(2), "mori", false, NOW));
        let said: Vec<_> = all.iter().map(|one| (one.version.get(), one.by.as_str(), one.because)).collect();
        assert_eq!(said, [(1, "", PublishedBecause::Started), (2, "mori", PublishedBecause::Published)]);
        assert!(all[0].at < all[1].at);
        // Asked again before the tables show it: the same.
        let again = published(Published::new(&[], &start).publish(&text(2), "mori", false, NOW));
        assert_eq!(again[1].id, all[1].id);
    }

    #[test]
    fn the_same_text_again_changes_nothing_and_a_version_is_never_given_twice() {
        let start = Playbook::built_in();
        let nothing = Published::new(&[], &start);
        assert!(matches!(nothing.publish(Playbook::DEFAULT, "mori", false, NOW), Ok(Outcome::InForce)));
        let rows = rows(&published(nothing.publish(&text(3), "mori", false, NOW)));
        let published = Published::new(&rows, &start);
        assert!(matches!(published.publish(&text(3), "ken", false, NOW), Ok(Outcome::InForce)));
        for version in [1, 2, 3] {
            let text = text(version).replacen("cap = 24", "cap = 25", 1);
            let refused = published.publish(&text, "mori", false, NOW);
            assert!(matches!(refused, Err(Refusal::Version { highest, .. }) if highest.get() == 3), "{refused:?}");
        }
    }

    #[test]
    fn faults_are_refused_always_and_warnings_unless_they_are_meant() {
        let start = Playbook::built_in();
        let nothing = Published::new(&[], &start);
        let faulty = text(2).replacen("PageViewed", "PageSeen", 1);
        assert!(matches!(nothing.publish(&faulty, "mori", true, NOW), Err(Refusal::Faulty(_))));
        let doubtful = text(2).replacen("cap = 24", "cap = 4", 1);
        assert!(
            matches!(nothing.publish(&doubtful, "mori", false, NOW), Err(Refusal::Doubtful(lints)) if lints.len() == 1)
        );
        assert_eq!(published(nothing.publish(&doubtful, "mori", true, NOW)).len(), 2);
    }

    #[test]
    fn a_rollback_goes_to_the_next_lower_version_or_to_the_one_named_and_is_later_than_what_it_replaces() {
        let start = Playbook::built_in();
        let mut all = published(Published::new(&[], &start).publish(&text(2), "mori", false, NOW));
        // A clock that stands, and one that goes back.
        all.extend(published(Published::new(&rows(&all), &start).publish(&text(3), "mori", false, NOW)));
        let before = Timestamp::from_millis(0);
        for (wanted, expected) in [(None, 2), (None, 1), (Some(3), 3), (Some(1), 1)] {
            let known = rows(&all);
            let rolled_back = Published::new(&known, &start).roll_back(wanted.map(PlaybookVersion::new), "ken", before);
            let new = published(rolled_back);
            assert_eq!((new.len(), new[0].version.get()), (1, expected));
            assert!(new[0].at > all.last().unwrap().at);
            all.extend(new);
        }
        let known = rows(&all);
        let published = Published::new(&known, &start);
        assert!(matches!(published.roll_back(None, "ken", NOW), Err(Refusal::NothingThere { wanted: None, .. })));
        let missing = published.roll_back(Some(PlaybookVersion::new(9)), "ken", NOW);
        assert!(matches!(missing, Err(Refusal::NothingThere { .. })));
        let same = published.roll_back(Some(PlaybookVersion::new(1)), "ken", NOW);
        assert!(matches!(same, Ok(Outcome::InForce)));
    }
}
