//! Everything about one lead.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use tasuki_domain::{LeadId, Millipoints, Timestamp};
use tasuki_wire::evidence::{Evidence, Named};
use tasuki_wire::v1;
use uuid::Uuid;

use super::leads::lead_columns;
use super::{HandoffRow, LeadRow, StoreError, handoffs, millis, timestamp_always};

/// Entries of the timeline and decisions shown at most; the newest.
const MOST_ENTRIES: i64 = 200;

/// Everything about one lead.
#[derive(Debug)]
pub(crate) struct LeadDetail {
    pub(crate) lead: LeadRow,
    /// The leads whose events it has, by id.
    pub(crate) merged: Vec<LeadId>,
    /// By name.
    pub(crate) attributes: BTreeMap<String, Attribute>,
    /// As it stands in the table, for the API.
    pub(crate) profile: Value,
    /// In the order of the score.
    pub(crate) contributions: Vec<ContributionRow>,
    /// In the order of the playbook.
    pub(crate) tracks: Vec<TrackRow>,
    /// What the playbook's routes ask for, by name.
    pub(crate) facts: Value,
    /// Newest first.
    pub(crate) timeline: Vec<TimelineRow>,
    /// Newest first.
    pub(crate) decisions: Vec<DecisionRow>,
    /// Latest cycle first.
    pub(crate) handoffs: Vec<HandoffRow>,
}

/// One attribute of the person or the company.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Attribute {
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) source: String,
}

/// To which score a contribution adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AxisOf {
    Fit,
    Engagement,
}

impl AxisOf {
    /// As in the tables and in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Engagement => "engagement",
        }
    }
}

/// What one rule adds to one axis.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ContributionRow {
    pub(crate) axis: AxisOf,
    pub(crate) rule: String,
    points_mp: i64,
    raw_mp: i64,
    #[serde(default)]
    limit_mp: i64,
    #[serde(default)]
    cap_mp: i64,
    pub(crate) matches: i64,
    pub(crate) evidence: Vec<EvidenceRow>,
    /// The track that the rule is of; empty where it counts for every one.
    #[serde(default)]
    pub(crate) track: String,
}

/// The score in one track.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TrackRow {
    pub(crate) track: String,
    engagement_mp: i64,
    fit_mp: i64,
    pub(crate) grade: String,
    /// What the bounds of its axes change.
    bounds: Vec<ContributionRow>,
}

impl TrackRow {
    /// The tracks of a score that stands in no table, in their order.
    pub(crate) fn of(scored: &v1::LeadScored) -> Vec<Self> {
        let evidence = Evidence::of(scored);
        let row = |track: &v1::TrackScore| Self {
            track: track.track.clone(),
            engagement_mp: track.engagement_mp,
            fit_mp: track.fit_mp,
            grade: track.grade.clone(),
            bounds: track.bounds.iter().map(|one| ContributionRow::read(one, &evidence)).collect(),
        };
        scored.tracks.iter().map(row).collect()
    }

    pub(crate) const fn engagement(&self) -> Millipoints {
        Millipoints::new(self.engagement_mp)
    }

    pub(crate) const fn fit(&self) -> Millipoints {
        Millipoints::new(self.fit_mp)
    }

    /// Out of the contributions of the whole score, what this one is made of: per axis it adds up.
    pub(crate) fn ledger<'r>(&'r self, all: &'r [ContributionRow]) -> Vec<&'r ContributionRow> {
        let counts = |row: &&ContributionRow| row.track == self.track || (row.track.is_empty() && row.rule != "cap");
        all.iter().filter(counts).chain(&self.bounds).collect()
    }
}

impl ContributionRow {
    /// The contributions of a score that stands in no table, in their order.
    pub(crate) fn of(scored: &v1::LeadScored) -> Vec<Self> {
        let evidence = Evidence::of(scored);
        scored.contributions.iter().map(|one| Self::read(one, &evidence)).collect()
    }

    fn read(contribution: &v1::Contribution, evidence: &Evidence<'_>) -> Self {
        Self {
            axis: crate::explain::axis(contribution.axis()),
            rule: contribution.rule.clone(),
            points_mp: contribution.points_mp,
            raw_mp: contribution.raw_mp,
            limit_mp: contribution.limit_mp,
            cap_mp: contribution.cap_mp,
            matches: i64::from(contribution.matches),
            evidence: evidence.named_by(contribution).map(EvidenceRow::of).collect(),
            track: contribution.track.clone(),
        }
    }

    /// After decay and caps: these add up to the axis.
    pub(crate) const fn points(&self) -> Millipoints {
        Millipoints::new(self.points_mp)
    }

    /// Before limit, decay and caps.
    pub(crate) const fn raw(&self) -> Millipoints {
        Millipoints::new(self.raw_mp)
    }

    /// What the frequency limit of the rule changes in that.
    pub(crate) const fn by_limit(&self) -> Millipoints {
        Millipoints::new(self.limit_mp)
    }

    /// What decay changes in what is left within the limit.
    pub(crate) const fn by_decay(&self) -> Millipoints {
        let of_a_rule = self.matches > 0;
        Millipoints::new(if of_a_rule { self.points_mp - self.cap_mp - self.limit_mp - self.raw_mp } else { 0 })
    }

    /// What the cap of the rule changes in what is left after decay.
    pub(crate) const fn by_cap(&self) -> Millipoints {
        Millipoints::new(self.cap_mp)
    }
}

/// One thing that matched a rule.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EvidenceRow {
    /// Empty for what follows from the profile.
    #[serde(default)]
    pub(crate) behavior_id: Option<String>,
    /// Empty for what follows from the profile.
    #[serde(default)]
    occurred_at: Option<String>,
    pub(crate) what: String,
    points_mp: i64,
}

impl EvidenceRow {
    fn of((event, points_mp): (Named<'_>, i64)) -> Self {
        Self {
            behavior_id: Uuid::from_slice(event.behavior_id).ok().map(|id| id.to_string()),
            occurred_at: Some(Timestamp::from_millis(event.occurred_at_ms).to_string()),
            what: event.what.to_owned(),
            points_mp,
        }
    }

    /// When it happened, if that was told.
    pub(crate) fn occurred_at(&self) -> Option<Timestamp> {
        self.occurred_at.as_deref().and_then(|text| text.parse().ok()).filter(|at| *at != Timestamp::default())
    }

    /// After decay, before caps.
    pub(crate) const fn points(&self) -> Millipoints {
        Millipoints::new(self.points_mp)
    }
}

/// One thing the lead did.
#[derive(Clone, Debug)]
pub(crate) struct TimelineRow {
    pub(crate) id: Uuid,
    pub(crate) occurred_at: Timestamp,
    pub(crate) received_at: Timestamp,
    pub(crate) kind: String,
    pub(crate) about: String,
    pub(crate) title: String,
    pub(crate) path: String,
    pub(crate) source: String,
    pub(crate) protocol: String,
    pub(crate) via: String,
    /// It gives no points: the person does not allow scoring.
    pub(crate) unscored: bool,
}

/// One thing that was decided about the lead.
#[derive(Clone, Debug)]
pub(crate) struct DecisionRow {
    pub(crate) id: Uuid,
    pub(crate) topic: String,
    pub(crate) version: i64,
    pub(crate) occurred_at: Timestamp,
    pub(crate) received_at: Timestamp,
    pub(crate) kind: String,
    pub(crate) cycle: i64,
    pub(crate) playbook_version: i64,
    pub(crate) route: String,
    pub(crate) detail: Value,
}

/// Everything about a lead; `None` if it is not known. All of it as of one instant, so that the score shown is always
/// the sum of the contributions shown.
pub(crate) async fn lead(pool: &PgPool, id: LeadId) -> Result<Option<LeadDetail>, StoreError> {
    let mut snapshot = pool.begin_with("begin isolation level repeatable read read only").await?;
    let detail = read_lead(&mut snapshot, id).await?;
    snapshot.commit().await?;
    Ok(detail)
}

async fn read_lead(connection: &mut PgConnection, id: LeadId) -> Result<Option<LeadDetail>, StoreError> {
    let row = sqlx::query(concat!("select ", lead_columns!(), " from tasuki.lead_current l where l.lead_id = $1"))
        .bind(id.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let lead = LeadRow::read(&row)?;
    let profile =
        sqlx::query("select profile, contributions, tracks, facts from tasuki.lead_profile where lead_id = $1")
            .bind(id.uuid())
            .fetch_optional(&mut *connection)
            .await?;
    let nothing = || Value::Object(serde_json::Map::new());
    let (profile, contributions, tracks, facts) = match &profile {
        Some(row) => {
            (row.try_get("profile")?, json(row, "contributions")?, json(row, "tracks")?, row.try_get("facts")?)
        }
        None => (nothing(), Vec::new(), Vec::new(), nothing()),
    };
    let attributes = match profile.get("attributes") {
        Some(attributes) => read(attributes.clone(), "profile")?,
        None => BTreeMap::new(),
    };
    Ok(Some(LeadDetail {
        lead,
        merged: merged(&mut *connection, id).await?,
        attributes,
        profile,
        contributions,
        tracks,
        facts,
        timeline: timeline(&mut *connection, id).await?,
        decisions: decisions(&mut *connection, id).await?,
        handoffs: handoffs::of_lead(connection, id).await?,
    }))
}

/// Whether there is such a lead.
pub(crate) async fn is_known(pool: &PgPool, id: LeadId) -> Result<bool, StoreError> {
    let known = sqlx::query_scalar("select exists (select from tasuki.lead_current where lead_id = $1)");
    Ok(known.bind(id.uuid()).fetch_one(pool).await?)
}

async fn merged(connection: &mut PgConnection, id: LeadId) -> Result<Vec<LeadId>, StoreError> {
    let ids: Vec<Uuid> =
        sqlx::query_scalar("select lead_id from tasuki.lead_current where merged_into = $1 order by lead_id limit $2")
            .bind(id.uuid())
            .bind(MOST_ENTRIES)
            .fetch_all(connection)
            .await?;
    Ok(ids.into_iter().map(LeadId::new).collect())
}

async fn timeline(connection: &mut PgConnection, id: LeadId) -> Result<Vec<TimelineRow>, StoreError> {
    let rows = sqlx::query(concat!(
        "select event_id, kind, about, title, path, source, protocol, via, unscored, ",
        millis!("occurred_at"),
        ", ",
        millis!("received_at"),
        " from tasuki.lead_timeline where lead_id = $1 and not retracted \
         order by lead_timeline.occurred_at desc, version desc, event_id desc limit $2"
    ))
    .bind(id.uuid())
    .bind(MOST_ENTRIES)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(TimelineRow {
                id: row.try_get("event_id")?,
                occurred_at: timestamp_always(row, "occurred_at")?,
                received_at: timestamp_always(row, "received_at")?,
                kind: row.try_get("kind")?,
                about: row.try_get("about")?,
                title: row.try_get("title")?,
                path: row.try_get("path")?,
                source: row.try_get("source")?,
                protocol: row.try_get("protocol")?,
                via: row.try_get("via")?,
                unscored: row.try_get("unscored")?,
            })
        })
        .collect()
}

async fn decisions(connection: &mut PgConnection, id: LeadId) -> Result<Vec<DecisionRow>, StoreError> {
    let rows = sqlx::query(concat!(
        "select event_id, topic, version, kind, cycle, playbook_version, route, detail, ",
        millis!("occurred_at"),
        ", ",
        millis!("received_at"),
        " from tasuki.lead_decisions where lead_id = $1 \
         order by lead_decisions.occurred_at desc, topic, version desc limit $2"
    ))
    .bind(id.uuid())
    .bind(MOST_ENTRIES)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(DecisionRow {
                id: row.try_get("event_id")?,
                topic: row.try_get("topic")?,
                version: row.try_get("version")?,
                occurred_at: timestamp_always(row, "occurred_at")?,
                received_at: timestamp_always(row, "received_at")?,
                kind: row.try_get("kind")?,
                cycle: row.try_get("cycle")?,
                playbook_version: row.try_get("playbook_version")?,
                route: row.try_get("route")?,
                detail: row.try_get("detail")?,
            })
        })
        .collect()
}

fn json<T: DeserializeOwned>(row: &PgRow, column: &'static str) -> Result<T, StoreError> {
    read(row.try_get(column)?, column)
}

fn read<T: DeserializeOwned>(value: Value, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|error| StoreError::Unreadable { column, source: Some(error.into()) })
}
