//! The list of leads: who is next. Those that wait for sales come first, by deadline; the others by score.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use tasuki_domain::{HandoffId, LeadId, Millipoints, Stage, Timestamp};
use uuid::Uuid;

use super::{HandoffState, Page, StoreError, millis, one_more, points, stage, timestamp};

/// Which leads are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeadFilter {
    /// Words that must all stand in e-mail address, name, company or account; whatever their case.
    pub(crate) search: String,
    /// Only leads in this stage.
    pub(crate) stage: Option<Stage>,
    /// Only leads of this rep, by id.
    pub(crate) owner: Option<String>,
}

/// One lead as lists show it.
#[derive(Clone, Debug)]
pub(crate) struct LeadRow {
    pub(crate) id: LeadId,
    /// Its behavior events are its own; else all of them turned out to be somebody else's.
    pub(crate) active: bool,
    /// The lead that has its events, since both are one person.
    pub(crate) merged_into: Option<LeadId>,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) company: String,
    pub(crate) title: String,
    pub(crate) account_id: String,
    pub(crate) user_id: String,
    pub(crate) activities: i64,
    pub(crate) first_activity_at: Option<Timestamp>,
    pub(crate) last_activity_at: Option<Timestamp>,
    pub(crate) engagement: Millipoints,
    pub(crate) fit: Millipoints,
    pub(crate) score: Millipoints,
    score_band: i16,
    /// Empty until the first score.
    pub(crate) grade: String,
    pub(crate) scored_as_of: Option<Timestamp>,
    pub(crate) next_change_at: Option<Timestamp>,
    pub(crate) playbook_version: i64,
    pub(crate) stage: Stage,
    /// 0 before the first qualification.
    pub(crate) cycle: i64,
    /// The handoff of that cycle.
    pub(crate) handoff: Option<(HandoffId, HandoffState)>,
    pub(crate) route: String,
    pub(crate) urgency: String,
    pub(crate) qualified_at: Option<Timestamp>,
    pub(crate) owner: Option<Owner>,
    pub(crate) accept_by: Option<Timestamp>,
    /// By what it stands among those that wait for sales.
    waits_since: Option<Timestamp>,
}

/// The rep who has a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: String,
}

impl Owner {
    /// `None` while nobody has it.
    pub(super) fn read(row: &PgRow) -> Result<Option<Self>, sqlx::Error> {
        let owner =
            Self { id: row.try_get("owner_id")?, name: row.try_get("owner_name")?, email: row.try_get("owner_email")? };
        Ok((!owner.id.is_empty()).then_some(owner))
    }

    /// The name, or the id of a rep without one.
    pub(crate) fn shown(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }
}

impl LeadRow {
    /// What to call the lead: name, else e-mail address, else user id; empty when none is known.
    pub(crate) fn shown(&self) -> &str {
        [&self.name, &self.email, &self.user_id].into_iter().find(|text| !text.is_empty()).map_or("", String::as_str)
    }

    /// Waits for sales.
    pub(crate) fn waits(&self) -> bool {
        self.handoff.is_some_and(|(_, state)| state.is_open())
    }

    pub(super) fn read(row: &PgRow) -> Result<Self, StoreError> {
        let handoff = match row.try_get::<Option<Uuid>, _>("handoff_id")? {
            Some(id) => Some((HandoffId::new(id), HandoffState::read(row, "handoff_state")?)),
            None => None,
        };
        Ok(Self {
            id: LeadId::new(row.try_get("lead_id")?),
            active: row.try_get("active")?,
            merged_into: row.try_get::<Option<Uuid>, _>("merged_into")?.map(LeadId::new),
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            company: row.try_get("company")?,
            title: row.try_get("title")?,
            account_id: row.try_get("account_id")?,
            user_id: row.try_get("user_id")?,
            activities: row.try_get("activities")?,
            first_activity_at: timestamp(row, "first_activity_at")?,
            last_activity_at: timestamp(row, "last_activity_at")?,
            engagement: points(row, "engagement_mp")?,
            fit: points(row, "fit_mp")?,
            score: points(row, "score_mp")?,
            score_band: row.try_get("score_band")?,
            grade: row.try_get("grade")?,
            scored_as_of: timestamp(row, "scored_as_of")?,
            next_change_at: timestamp(row, "next_change_at")?,
            playbook_version: row.try_get("playbook_version")?,
            stage: stage(row, "stage")?,
            cycle: row.try_get("cycle")?,
            handoff,
            route: row.try_get("route")?,
            urgency: row.try_get("urgency")?,
            qualified_at: timestamp(row, "qualified_at")?,
            owner: Owner::read(row)?,
            accept_by: timestamp(row, "accept_by")?,
            waits_since: timestamp(row, "waits_since")?,
        })
    }
}

/// Behind which lead a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// Among those that wait for sales.
    Waiting { since: Timestamp, lead: LeadId },
    /// Among the others.
    Scored { band: i16, score: Millipoints, lead: LeadId },
}

/// The text is not where a page ended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place in the list; allowed is what an earlier answer gave as \"next\"")]
pub(crate) struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { since, lead } => write!(f, "w.{}.{lead}", since.as_millis()),
            Self::Scored { band, score, lead } => write!(f, "s.{band}.{}.{lead}", score.get()),
        }
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parts: Vec<&str> = text.split('.').collect();
        let number = |text: &str| text.parse::<i64>().map_err(|_| InvalidCursor);
        let lead = |text: &str| text.parse::<LeadId>().map_err(|_| InvalidCursor);
        match parts.as_slice() {
            ["w", since, id] => Ok(Self::Waiting { since: Timestamp::from_millis(number(since)?), lead: lead(id)? }),
            ["s", band, score, id] => Ok(Self::Scored {
                band: band.parse().map_err(|_| InvalidCursor)?,
                score: Millipoints::new(number(score)?),
                lead: lead(id)?,
            }),
            _ => Err(InvalidCursor),
        }
    }
}

impl Cursor {
    fn behind(lead: &LeadRow) -> Self {
        match lead.waits_since {
            Some(since) if lead.waits() => Self::Waiting { since, lead: lead.id },
            _ => Self::Scored { band: lead.score_band, score: lead.score, lead: lead.id },
        }
    }
}

/// The columns of [`LeadRow`]. `waits_since` orders those that wait: by deadline, and without one by when they qualified.
macro_rules! lead_columns {
    () => {
        concat!(
            "l.lead_id, l.active, l.merged_into, l.email, l.name, l.company, l.title, l.account_id, l.user_id, l.activities, ",
            "l.engagement_mp, l.fit_mp, l.score_mp, l.score_band, l.grade, l.playbook_version, l.stage, l.cycle, ",
            "l.handoff_id, l.handoff_state, l.route, l.urgency, l.owner_id, l.owner_name, l.owner_email, ",
            "(extract(epoch from coalesce(l.accept_by, l.qualified_at, 'epoch')) * 1000)::bigint as waits_since, ",
            millis!("first_activity_at"),
            ", ",
            millis!("last_activity_at"),
            ", ",
            millis!("scored_as_of"),
            ", ",
            millis!("next_change_at"),
            ", (extract(epoch from l.qualified_at) * 1000)::bigint as qualified_at",
            ", (extract(epoch from l.accept_by) * 1000)::bigint as accept_by"
        )
    };
}
pub(super) use lead_columns;

/// Those that wait for sales, found by the two partial indexes on `handoffs`. $5 and $6: behind which.
const WAITING: &str = concat!(
    "select ",
    lead_columns!(),
    " from tasuki.handoffs h join tasuki.lead_current l on l.lead_id = h.lead_id and l.handoff_id = h.handoff_id \
     where (h.state in ('assigned', 'overdue') or h.state in ('qualified', 'unassigned')) \
     and (l.active or l.merged_into is not null) and l.search_text like all($1) and ($2::text is null or l.stage = $2) and ($3::text is null or l.owner_id = $3) \
     and ($5::bigint is null or ((extract(epoch from coalesce(l.accept_by, l.qualified_at, 'epoch')) * 1000)::bigint, \
     l.lead_id) > ($5, $6)) order by coalesce(l.accept_by, l.qualified_at, 'epoch'), l.lead_id limit $4"
);

/// The others, along the index by score. $5, $6 and $7: behind which.
const SCORED: &str = concat!(
    "select ",
    lead_columns!(),
    " from tasuki.lead_current l \
     where l.active and l.handoff_state not in ('assigned', 'overdue', 'qualified', 'unassigned') \
     and l.search_text like all($1) and ($2::text is null or l.stage = $2) and ($3::text is null or l.owner_id = $3) \
     and ($5::smallint is null or (l.score_band <= $5 and (l.score_band < $5 or l.score_mp < $6 \
     or (l.score_mp = $6 and l.lead_id > $7)))) \
     order by l.score_band desc, l.score_mp desc, l.lead_id limit $4"
);

/// At most `limit` leads behind `after`.
pub(crate) async fn leads(
    pool: &PgPool,
    filter: &LeadFilter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<LeadRow, Cursor>, StoreError> {
    let mut items = match after {
        None => waiting(pool, filter, None, limit).await?,
        Some(Cursor::Waiting { since, lead }) => waiting(pool, filter, Some((since, lead)), limit).await?,
        Some(Cursor::Scored { .. }) => Vec::new(),
    };
    if items.len() <= limit {
        let place = match after {
            Some(Cursor::Scored { band, score, lead }) => Some((band, score, lead)),
            None | Some(Cursor::Waiting { .. }) => None,
        };
        items.extend(scored(pool, filter, place, limit - items.len()).await?);
    }
    Ok(Page::cut(items, limit, Cursor::behind))
}

async fn waiting(
    pool: &PgPool,
    filter: &LeadFilter,
    after: Option<(Timestamp, LeadId)>,
    limit: usize,
) -> Result<Vec<LeadRow>, StoreError> {
    let rows = sqlx::query(WAITING)
        .bind(patterns(&filter.search))
        .bind(filter.stage.map(Stage::name))
        .bind(filter.owner.as_deref().map(|owner| owner.replace('\0', "")))
        .bind(one_more(limit))
        .bind(after.map(|(since, _)| since.as_millis()))
        .bind(after.map(|(_, lead)| lead.uuid()))
        .fetch_all(pool)
        .await?;
    rows.iter().map(LeadRow::read).collect()
}

async fn scored(
    pool: &PgPool,
    filter: &LeadFilter,
    after: Option<(i16, Millipoints, LeadId)>,
    limit: usize,
) -> Result<Vec<LeadRow>, StoreError> {
    let rows = sqlx::query(SCORED)
        .bind(patterns(&filter.search))
        .bind(filter.stage.map(Stage::name))
        .bind(filter.owner.as_deref().map(|owner| owner.replace('\0', "")))
        .bind(one_more(limit))
        .bind(after.map(|(band, _, _)| band))
        .bind(after.map(|(_, score, _)| score.get()))
        .bind(after.map(|(_, _, lead)| lead.uuid()))
        .fetch_all(pool)
        .await?;
    rows.iter().map(LeadRow::read).collect()
}

/// One pattern per word, for `like all`: what means something to `like` is taken literally.
pub(super) fn patterns(search: &str) -> Vec<String> {
    // Postgres holds no NUL in text, and refuses to look for one.
    let literal = |word: &str| {
        word.to_lowercase().replace('\0', "").replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
    };
    search.split_whitespace().map(|word| format!("%{}%", literal(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let lead = LeadId::new(Uuid::from_u128(7));
        for cursor in [
            Cursor::Waiting { since: Timestamp::from_millis(-5), lead },
            Cursor::Scored { band: 12, score: Millipoints::new(-1_500), lead },
        ] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", "w.1", "s.1.2.nobody", "x.1.00000000-0000-0000-0000-000000000007"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text:?}");
        }
    }

    #[test]
    fn words_of_a_search_are_taken_literally() {
        assert_eq!(patterns("  Yamada\u{3000}50%_a\\ "), ["%yamada%", "%50\\%\\_a\\\\%"]);
        assert!(patterns(" ").is_empty());
    }
}
