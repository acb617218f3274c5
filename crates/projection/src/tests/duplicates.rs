//! What leads have in common follows from their profiles, whenever those change and whoever wrote them.

use sqlx::{AssertSqlSafe, PgPool};

use super::log::{Log, Reading};
use super::records::{Lead, START_MS, page_view, profile};
use super::{catch_up, database, fresh};
use crate::Schema;

const READING: Reading = Reading { seed: 3, at_most: 2 };

/// Number of the lead, kind and key.
async fn keys(pool: &PgPool, schema: &Schema) -> Vec<String> {
    let sql = format!(
        "select right(lead_id::text, 1) || ' ' || kind || ' ' || key from {schema}.lead_duplicate_keys \
         order by lead_id, kind, key"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn keys_change_with_the_profile_and_are_made_up_for_by_a_database_that_has_none() {
    let (mut ana, mut anna) = (Lead::number(1), Lead::number(2));
    let log = Log::of([
        ana.did(1, START_MS, page_view()),
        ana.is(START_MS, profile("ana+web@acme.example", &[("name", "Ana Lima"), ("company", "ACME Inc.")])),
        anna.did(2, START_MS, page_view()),
        anna.is(START_MS, profile("anna@acme.example", &[("phone", "03-1234-5678")])),
        ana.is(START_MS + 1, profile("ana+web@acme.example", &[("phone", "+81 3 1234 5678"), ("crm_id", "hubspot:7")])),
        // Merged into another, say: nothing is left of it.
        anna.is(START_MS + 2, profile("", &[])),
    ]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    catch_up(&projection, &log, READING).await;
    let expected = ["1 crm hubspot:7", "1 email ana@acme.example", "1 phone 312345678"];
    assert_eq!(keys(&pool, &schema).await, expected);

    // As an earlier release left them: some keys are missing, others follow from nothing any more.
    let earlier = [
        format!("delete from {schema}.lead_duplicate_keys where kind <> 'email'"),
        format!("insert into {schema}.lead_duplicate_keys select lead_id, 'old', 'old' from {schema}.lead_profile"),
        format!("update {schema}.projection_backfills set version = version - 1"),
    ];
    execute(&pool, &earlier).await;
    projection.migrate().await.unwrap();
    assert_eq!(keys(&pool, &schema).await, expected);
}

async fn execute(pool: &PgPool, statements: &[String]) {
    for sql in statements {
        sqlx::query(AssertSqlSafe(sql.clone())).execute(pool).await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_made_up_for_once_and_never_those_of_a_later_release() {
    let mut ana = Lead::number(1);
    // Nothing follows from this profile: that there is no key does not say that they are missing.
    let log = Log::of([ana.did(1, START_MS, page_view()), ana.is(START_MS, profile("", &[]))]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    catch_up(&projection, &log, READING).await;
    let marker =
        format!("insert into {schema}.lead_duplicate_keys select lead_id, 'a', 'b' from {schema}.lead_profile");
    for later in [0, 1] {
        let raise = format!("update {schema}.projection_backfills set version = version + {later}");
        execute(&pool, &[format!("delete from {schema}.lead_duplicate_keys"), marker.clone(), raise]).await;
        projection.migrate().await.unwrap();
        assert_eq!(keys(&pool, &schema).await, ["1 a b"], "later release: {later}");
    }
}
