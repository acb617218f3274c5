//! Accounts: what they have of their leads, and which leads these are.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgPool, Row};
use tasuki_domain::{LeadId, Millipoints, Timestamp};

use super::leads::{InvalidCursor, lead_columns, patterns};
use super::{LeadRow, MOST, Page, StoreError, millis, one_more, points, timestamp};

/// An account as lists show it.
#[derive(Clone, Debug)]
pub(crate) struct AccountRow {
    pub(crate) id: String,
    /// The company as most of its leads write it; empty if none does.
    pub(crate) company: String,
    pub(crate) engagement: Millipoints,
    /// What the engagement would be without the cap of the playbook.
    pub(crate) sum: Millipoints,
    /// Engaged people.
    pub(crate) people: i64,
    /// Where they come from, those with most people first.
    pub(crate) departments: Vec<Department>,
    /// Leads that are known, whether they are engaged or not.
    pub(crate) leads: i64,
    /// `None` while nobody has been engaged yet.
    pub(crate) as_of: Option<Timestamp>,
    pub(crate) playbook_version: i64,
}

/// A department that engaged people come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Department {
    pub(crate) name: String,
    pub(crate) people: i64,
}

/// One account with its leads.
#[derive(Debug)]
pub(crate) struct AccountDetail {
    pub(crate) account: AccountRow,
    /// Those with the highest score first, at most 500.
    pub(crate) leads: Vec<LeadRow>,
}

impl AccountRow {
    fn read(row: &PgRow) -> Result<Self, StoreError> {
        let Json(departments) = row.try_get("departments")?;
        Ok(Self {
            id: row.try_get("account_id")?,
            company: row.try_get("company")?,
            engagement: points(row, "engagement_mp")?,
            sum: points(row, "sum_mp")?,
            people: row.try_get("people")?,
            departments,
            leads: row.try_get("leads")?,
            as_of: timestamp(row, "as_of")?,
            playbook_version: row.try_get("playbook_version")?,
        })
    }

    /// What to call it: the company, else the id.
    pub(crate) fn shown(&self) -> &str {
        if self.company.is_empty() { &self.id } else { &self.company }
    }
}

/// Behind which account a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountCursor {
    engagement: Millipoints,
    people: i64,
    id: String,
}

impl fmt::Display for AccountCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.engagement.get(), self.people, self.id)
    }
}

impl FromStr for AccountCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut parts = text.splitn(3, '.');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok()).ok_or(InvalidCursor);
        let (engagement, people) = (Millipoints::new(number()?), number()?);
        let id = parts.next().filter(|id| !id.contains('\0')).ok_or(InvalidCursor)?;
        Ok(Self { engagement, people, id: id.to_owned() })
    }
}

/// Which leads an account has: `$id` is the column or parameter with its id. One that is merged is not shown beside the lead
/// that has its events.
macro_rules! leads_of {
    ($id:literal) => {
        concat!(
            " from tasuki.lead_current l where l.account_id = ",
            $id,
            " and l.account_id <> '' and l.active and l.merged_into is null"
        )
    };
}

macro_rules! company_and_leads {
    ($id:literal) => {
        concat!(
            "coalesce((select l.company",
            leads_of!($id),
            " and l.company <> '' group by l.company order by count(*) desc, l.company limit 1), '') as company, ",
            "(select count(*)",
            leads_of!($id),
            ") as leads"
        )
    };
}

const LIST: &str = concat!(
    "select a.account_id, a.engagement_mp, a.sum_mp, a.people, a.departments, a.playbook_version, ",
    company_and_leads!("a.account_id"),
    ", ",
    millis!("as_of"),
    " from tasuki.accounts a where a.people > 0 \
     and ((select coalesce(string_agg(lower(l.company), ' '), '')",
    leads_of!("a.account_id"),
    ") || ' ' || lower(a.account_id)) like all($1) \
     and ($3::bigint is null or (a.engagement_mp <= $3 and ((a.engagement_mp, a.people) < ($3, $4) \
     or (a.engagement_mp = $3 and a.people = $4 and a.account_id > $5)))) \
     order by a.engagement_mp desc, a.people desc, a.account_id limit $2"
);

/// Accounts with engaged people, those with most engagement first, behind `after`. `search`: words that must all stand in the
/// id or in the companies of its leads.
pub(crate) async fn accounts(
    pool: &PgPool,
    search: &str,
    after: Option<AccountCursor>,
    limit: usize,
) -> Result<Page<AccountRow, AccountCursor>, StoreError> {
    let rows = sqlx::query(LIST)
        .bind(patterns(search))
        .bind(one_more(limit))
        .bind(after.as_ref().map(|after| after.engagement.get()))
        .bind(after.as_ref().map(|after| after.people))
        .bind(after.map(|after| after.id))
        .fetch_all(pool)
        .await?;
    let items = rows.iter().map(AccountRow::read).collect::<Result<Vec<_>, _>>()?;
    let behind =
        |row: &AccountRow| AccountCursor { engagement: row.engagement, people: row.people, id: row.id.clone() };
    Ok(Page::cut(items, limit, behind))
}

const ONE: &str = concat!(
    "select k.account_id, coalesce(a.engagement_mp, 0) as engagement_mp, coalesce(a.sum_mp, 0) as sum_mp, \
     coalesce(a.people, 0) as people, coalesce(a.departments, '[]') as departments, \
     coalesce(a.playbook_version, 0) as playbook_version, ",
    company_and_leads!("k.account_id"),
    ", ",
    millis!("as_of"),
    " from (select $1::text as account_id) k left join tasuki.accounts a using (account_id) \
     where a.account_id is not null or exists (select ",
    leads_of!("$1"),
    ")"
);

/// An account; `None` if no lead is or was of it.
pub(crate) async fn account(pool: &PgPool, id: &str) -> Result<Option<AccountDetail>, StoreError> {
    // Postgres holds no NUL in text, and refuses to look for one.
    if id.contains('\0') {
        return Ok(None);
    }
    let mut snapshot = pool.begin_with("begin isolation level repeatable read read only").await?;
    let Some(row) = sqlx::query(ONE).bind(id).fetch_optional(&mut *snapshot).await? else { return Ok(None) };
    let leads = sqlx::query(concat!(
        "select ",
        lead_columns!(),
        leads_of!("$1"),
        " order by l.score_band desc, l.score_mp desc, l.lead_id limit $2"
    ))
    .bind(id)
    .bind(i64::try_from(MOST).unwrap_or(i64::MAX))
    .fetch_all(&mut *snapshot)
    .await?;
    snapshot.commit().await?;
    let leads = leads.iter().map(LeadRow::read).collect::<Result<_, _>>()?;
    Ok(Some(AccountDetail { account: AccountRow::read(&row)?, leads }))
}

/// The account of a lead, if it has one.
pub(crate) async fn account_of(pool: &PgPool, lead: LeadId) -> Result<Option<AccountRow>, StoreError> {
    let id: Option<String> = sqlx::query_scalar("select account_id from tasuki.lead_current where lead_id = $1")
        .bind(lead.uuid())
        .fetch_optional(pool)
        .await?;
    let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(None) };
    let row = sqlx::query(ONE).bind(id).fetch_optional(pool).await?;
    row.as_ref().map(AccountRow::read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_among_accounts_reads_back() {
        let cursor = AccountCursor { engagement: Millipoints::new(60_000), people: 2, id: "mail.acme.example".into() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1", "1.2", "a.2.acme.example", "1.b.acme.example", "1.2.\0"] {
            assert_eq!(text.parse::<AccountCursor>(), Err(InvalidCursor), "{text:?}");
        }
    }
}
