//! Everything that the tables hold as text, to compare two readings of the same log.

use std::fmt::Write as _;

use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgPool, Row};

use crate::schema::Schema;

/// Every table of content and its key. The watermarks are none: they differ between two logs of the same records.
const TABLES: [(&str, &str); 9] = [
    ("lead_current", "lead_id"),
    ("lead_profile", "lead_id"),
    ("lead_duplicate_keys", "lead_id, kind, key"),
    ("lead_timeline", "lead_id, event_id"),
    ("lead_decisions", "event_id"),
    ("handoffs", "handoff_id"),
    ("accounts", "account_id"),
    ("playbooks", "event_id"),
    ("dead_letters", "id"),
];

/// Gives each line of the content to `line`: per table its name, then its rows in the order of the key.
async fn each_line(pool: &PgPool, schema: &Schema, mut line: impl FnMut(&str) + Send) -> Result<(), sqlx::Error> {
    let mut connection = schema.connect(pool).await?;
    for (name, value) in [("timezone", "UTC"), ("datestyle", "ISO"), ("bytea_output", "hex")] {
        sqlx::query("select set_config($1, $2, false)").bind(name).bind(value).execute(&mut connection).await?;
    }
    let mut transaction = connection.begin_with("begin isolation level repeatable read read only").await?;
    for (table, key) in TABLES {
        line(table);
        let sql = format!("select t::text from {table} t order by {key}");
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            line(row.try_get(0)?);
        }
    }
    transaction.rollback().await?;
    connection.close().await
}

/// All lines.
pub(crate) async fn dump(pool: &PgPool, schema: &Schema) -> Result<String, sqlx::Error> {
    let mut text = String::new();
    each_line(pool, schema, |line| {
        text.push_str(line);
        text.push('\n');
    })
    .await?;
    Ok(text)
}

/// SHA-256 of all lines, in hexadecimal.
pub(crate) async fn fingerprint(pool: &PgPool, schema: &Schema) -> Result<String, sqlx::Error> {
    let mut hash = Sha256::new();
    each_line(pool, schema, |line| {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    })
    .await?;
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        write!(hex, "{byte:02x}").expect("a string takes any text");
    }
    Ok(hex)
}
