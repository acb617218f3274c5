//! What a new table needs from rows that an earlier release wrote.

use serde_json::Value;
use sqlx::types::{Json, Uuid};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tasuki_wire::v1;

use crate::duplicates;
use crate::rows::DuplicateKey;
use crate::table::Row;

/// Leads at a time.
const PORTION: i64 = 2_000;

/// Of the rules by which keys follow from a profile. Raise it when they change.
const KEYS_VERSION: i64 = 2;

/// Gives every lead the keys that follow from its profile by the rules of this release, if those it has are by others.
/// Once: afterwards each change of a profile brings its own. Whoever else makes or writes the tables waits.
pub(crate) async fn duplicate_keys(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if is_done(connection).await? {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("lock table lead_duplicate_keys in exclusive mode").execute(&mut *transaction).await?;
    if !is_done(&mut transaction).await? {
        sqlx::query("delete from lead_duplicate_keys").execute(&mut *transaction).await?;
        let insert = format!("{} on conflict do nothing", DuplicateKey::insert());
        let mut after = Uuid::nil();
        loop {
            let sql = "select lead_id, profile from lead_profile where lead_id > $1 order by lead_id limit $2";
            let query = sqlx::query_as(sql).bind(after).bind(PORTION);
            let rows: Vec<(Uuid, Json<Value>)> = query.fetch_all(&mut *transaction).await?;
            let Some((last, _)) = rows.last() else { break };
            after = *last;
            let keys: Vec<DuplicateKey> =
                rows.iter().flat_map(|(lead, profile)| duplicates::keys(*lead, &read(&profile.0))).collect();
            let arguments = DuplicateKey::bind(keys).map_err(sqlx::Error::Encode)?;
            sqlx::query_with(AssertSqlSafe(insert.clone()), arguments).execute(&mut *transaction).await?;
        }
        let done = "insert into projection_backfills (name, version) values ('duplicate-keys', $1) \
                    on conflict (name) do update set version = excluded.version";
        sqlx::query(done).bind(KEYS_VERSION).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// A later release's keys stay: with two releases at once, the older one does not undo the newer one's.
async fn is_done(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let sql = "select exists (select from projection_backfills where name = 'duplicate-keys' and version >= $1)";
    sqlx::query_scalar(sql).bind(KEYS_VERSION).fetch_one(connection).await
}

/// A profile as `json::profile` wrote it, as far as keys need it.
fn read(profile: &Value) -> v1::Profile {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let attribute = |value: &Value| v1::AttributeValue { value: text(value, "value"), ..v1::AttributeValue::default() };
    let attributes = profile.get("attributes").and_then(Value::as_object).into_iter().flatten();
    let others = profile.get("other_emails").and_then(Value::as_array).into_iter().flatten();
    v1::Profile {
        email: text(profile, "email"),
        account_id: text(profile, "account_id"),
        attributes: attributes.map(|(name, value)| (name.clone(), attribute(value))).collect(),
        other_emails: others.filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}
