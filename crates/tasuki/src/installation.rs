//! That the data in the database belongs to the secret: with another one, every lead would become a second one.

use anyhow::Context;
use sqlx::PgPool;
use tasuki_service::{Exit, Failure};

/// Writes the fingerprint at the first start; compares it at every later one. The schema `tasuki` must be there.
pub(crate) async fn check(pool: &PgPool, fingerprint: &str) -> anyhow::Result<()> {
    sqlx::query(
        "create table if not exists tasuki.installation \
         (only_one boolean primary key default true check (only_one), secret_fingerprint text not null)",
    )
    .execute(pool)
    .await
    .context("cannot make the table tasuki.installation")?;
    sqlx::query("insert into tasuki.installation (secret_fingerprint) values ($1) on conflict do nothing")
        .bind(fingerprint)
        .execute(pool)
        .await
        .context("cannot write the table tasuki.installation")?;
    let (known,): (String,) = sqlx::query_as("select secret_fingerprint from tasuki.installation")
        .fetch_one(pool)
        .await
        .context("cannot read the table tasuki.installation")?;
    if known == fingerprint {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Config,
        "the data in this database was made with another secret: every known lead would become a second one",
        "give the secret (TASUKI_SECRET, or the file `secret` of the data folder) that it was made with, or an empty database",
    )
    .into())
}
