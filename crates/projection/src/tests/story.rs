//! What the tables say of a few leads.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, PgPool};
use tasuki_domain::LeadId;
use tasuki_stream::Emitted;
use tasuki_wire::Topic;
use tasuki_wire::v1::{self, behavior_record, dead_letter, handoff_record, identity_record, qualification_record};

use super::log::{Log, Reading};
use super::records::{Lead, START_MS, account, added, assigned, page_view, profile, qualified, score};
use super::{catch_up, database, fresh};
use crate::Schema;

const MINUTE: i64 = 60_000;
const READING: Reading = Reading { seed: 7, at_most: 3 };

/// Every row of every table, a column a line where it is not empty.
async fn tables(pool: &PgPool, schema: &Schema) -> String {
    let mut text = String::new();
    for (table, order) in [
        ("lead_current", "lead_id"),
        ("lead_profile", "lead_id"),
        ("lead_timeline", "lead_id, occurred_at, event_id"),
        ("lead_decisions", "lead_id, topic, version"),
        ("handoffs", "lead_id, cycle"),
        ("accounts", "account_id"),
        ("playbooks", "published_at, event_id"),
        ("dead_letters", "id"),
    ] {
        let sql =
            format!("select jsonb_pretty(jsonb_strip_nulls(to_jsonb(t))) from {schema}.{table} t order by {order}");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
        for row in rows {
            let filled: Vec<_> = row.lines().filter(|line| !line.trim_end_matches(',').ends_with(": \"\"")).collect();
            writeln!(text, "{table} {}", filled.join("\n")).unwrap();
        }
    }
    text
}

#[tokio::test]
async fn an_account_is_shown_as_the_latest_record_of_it_says() {
    let long = "x".repeat(5_000);
    let log = Log::of([
        added("acme.example"),
        account("acme.example", 1, START_MS, 20_000, &[("IT", 1)]),
        account("acme.example", 3, START_MS + 2 * MINUTE, 60_000, &[("Sales", 2), ("IT", 1)]),
        account("acme.example", 2, START_MS + MINUTE, 40_000, &[]),
        account(&long, 1, START_MS, 1, &[]),
        Emitted { topic: Topic::Accounts, key: "broken.example".into(), payload: vec![0xff] },
        account("unversioned.example", 0, START_MS, 1, &[]),
    ]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    catch_up(&projection, &log, READING).await;
    let sql = format!(
        "select concat_ws(' ', left(account_id, 12), version, engagement_mp, sum_mp, people, departments, \
         department_count, as_of, playbook_version) from {schema}.accounts order by account_id"
    );
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
    let departments = r#"[{"name": "Sales", "people": 2}, {"name": "IT", "people": 1}]"#;
    assert_eq!(
        rows,
        [
            format!("acme.example 3 60000 65000 2 {departments} 2 2026-11-23 00:02:00+00 1"),
            "xxxxxxxxxxxx 1 1 5001 2 [] 0 2026-11-23 00:00:00+00 1".to_owned(),
        ]
    );
    let sql = format!("select code from {schema}.dead_letters order by code");
    let codes: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
    assert_eq!(codes, ["no-version", "undecodable"]);
}

async fn text(pool: &PgPool, schema: &Schema, lead: LeadId, columns: &str) -> String {
    let sql = format!("select concat_ws(' ', {columns}) from {schema}.lead_current where lead_id = $1");
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(lead.uuid()).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_lead_is_shown_from_its_first_page_view_to_the_verdict_of_sales() {
    let mut ana = Lead::number(1);
    let form = behavior_record::Event::FormSubmitted(v1::FormSubmitted { form: "demo-request".into() });
    let identified = behavior_record::Event::LeadIdentified(v1::LeadIdentified::default());
    let who = profile("ana@acme.example", &[("name", "Ana Lima"), ("company", "ACME"), ("title", "CTO")]);
    let seen = v1::LeadScored { profile: Some(who.clone()), as_of_ms: START_MS + 3 * MINUTE, ..score(45_500, 60_000) };
    let accepted = handoff_record::Event::Accepted(v1::SalesAccepted { by: "mori".into() });
    let log = Log::of([
        ana.did(1, START_MS, page_view()),
        ana.did(2, START_MS + MINUTE, page_view()),
        ana.did(3, START_MS + 2 * MINUTE, identified),
        ana.is(START_MS + 2 * MINUTE, who),
        ana.did(4, START_MS + 3 * MINUTE, form),
        ana.scored(START_MS, score(500, 0)),
        ana.scored(START_MS + 3 * MINUTE, score(45_500, 60_000)),
        ana.judged(START_MS + 3 * MINUTE, qualified(1, seen)),
        ana.handed(START_MS + 3 * MINUTE, 1, assigned(START_MS + 63 * MINUTE)),
        ana.handed(START_MS + 20 * MINUTE, 1, accepted),
    ]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    catch_up(&projection, &log, READING).await;
    insta::assert_snapshot!(tables(&pool, &schema).await);
}

#[tokio::test]
async fn tracks_stand_beside_the_ledger_and_the_track_of_the_route_beside_the_handoff() {
    let mut lead = Lead::number(3);
    let cap = v1::Contribution { rule: "cap".into(), points_mp: -500, track: "machines".into(), ..Default::default() };
    let own = |track: &str, engagement_mp, bounds| v1::TrackScore {
        track: track.into(),
        engagement_mp,
        fit_mp: 60_000,
        grade: "B2".into(),
        bounds,
    };
    let mut seen = v1::LeadScored {
        tracks: vec![own("machines", 45_000, vec![cap]), own("parts", 0, vec![])],
        ..score(45_500, 60_000)
    };
    seen.contributions[0].track = "machines".into();
    let qualification_record::Event::Qualified(decided) = qualified(1, seen.clone()) else { unreachable!() };
    let decided = v1::LeadQualified { track: "machines".into(), ..decided };
    let log = Log::of([
        lead.is(START_MS, profile("ana@acme.example", &[])),
        lead.scored(START_MS, seen),
        lead.judged(START_MS, qualification_record::Event::Qualified(decided)),
    ]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    catch_up(&projection, &log, READING).await;
    let sql = format!(
        "select concat_ws(' | ', h.track, d.detail ->> 'track', d.detail -> 'seen' -> 'tracks' = p.tracks, \
         p.contributions -> 0 ->> 'track', p.tracks) from {schema}.handoffs h join {schema}.lead_profile p using (lead_id) \
         join {schema}.lead_decisions d using (lead_id)"
    );
    let found: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
    assert_eq!(
        found,
        r#"machines | machines | t | machines | [{"grade": "B2", "track": "machines", "bounds": [{"axis": "", "rule": "cap", "track": "machines", "raw_mp": 0, "matches": 0, "evidence": [], "points_mp": -500}], "fit_mp": 60000, "engagement_mp": 45000}, {"grade": "B2", "track": "parts", "bounds": [], "fit_mp": 60000, "engagement_mp": 0}]"#
    );
}

#[tokio::test]
async fn rejection_then_recycling_then_the_next_cycle() {
    let mut lead = Lead::number(2);
    let rejected = handoff_record::Event::Rejected(v1::SalesRejected {
        by: "mori".into(),
        reason: v1::RejectReason::Timing.into(),
        note: "after the fair".into(),
    });
    let overdue = handoff_record::Event::Overdue(v1::HandoffOverdue {
        due_at_ms: START_MS + MINUTE,
        fired_at_ms: START_MS + MINUTE + 3,
    });
    let recycled = v1::LeadRecycled { cycle: 1, reason: "timing".into(), not_before_ms: START_MS + 90 * MINUTE };
    let nobody = v1::LeadAssigned { pool: "field".into(), reason: "nobody is at work".into(), ..Default::default() };
    let log = Log::default();
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    let steps = [
        (lead.did(1, START_MS, page_view()), "Subscriber 0"),
        (lead.judged(START_MS, qualified(1, score(1, 1))), "MQL 1 qualified inside-sales 00:00:00"),
        (lead.handed(START_MS, 1, assigned(START_MS + MINUTE)), "MQL 1 assigned inside-sales 00:00:00 mori 00:01:00"),
        (lead.handed(START_MS + MINUTE, 1, overdue), "MQL 1 overdue inside-sales 00:00:00 mori 00:01:00"),
        (lead.handed(START_MS + 2 * MINUTE, 1, rejected), "MQL 1 rejected inside-sales 00:00:00 mori 00:01:00"),
        (
            lead.judged(START_MS + 2 * MINUTE, qualification_record::Event::Recycled(recycled)),
            "Recycled 1 rejected inside-sales 00:00:00 mori 00:01:00",
        ),
        (lead.judged(START_MS + 91 * MINUTE, qualified(2, score(1, 1))), "MQL 2 qualified inside-sales 01:31:00"),
        (
            lead.handed(START_MS + 91 * MINUTE, 2, handoff_record::Event::Assigned(nobody)),
            "MQL 2 unassigned field 01:31:00",
        ),
    ];
    for (record, expected) in steps {
        log.append([record]);
        catch_up(&projection, &log, READING).await;
        let shown = "stage, cycle, nullif(handoff_state, ''), nullif(pool, ''), qualified_at::time, \
             nullif(owner_id, ''), accept_by::time";
        assert_eq!(text(&pool, &schema, lead.id, shown).await, expected);
    }
    insta::assert_snapshot!(tables(&pool, &schema).await);
}

#[tokio::test]
async fn a_lead_whose_events_were_all_retracted_is_not_active() {
    let mut lead = Lead::number(3);
    let log = Log::default();
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    for (record, expected) in [
        (lead.did(1, START_MS + MINUTE, page_view()), "t 1 00:01:00 00:01:00"),
        (lead.did(2, START_MS, page_view()), "t 2 00:00:00 00:01:00"),
        (lead.did_not(1, START_MS + 2 * MINUTE), "t 1 00:00:00 00:00:00"),
        (lead.did_not(2, START_MS + 2 * MINUTE), "f 0"),
        // Retracted once more, and one that never was.
        (lead.did_not(2, START_MS + 3 * MINUTE), "f 0"),
        (lead.did_not(9, START_MS + 3 * MINUTE), "f 0"),
        // And it was this lead's after all; said twice.
        (lead.did(2, START_MS, page_view()), "t 1 00:00:00 00:00:00"),
        (lead.did(2, START_MS, page_view()), "t 1 00:00:00 00:00:00"),
    ] {
        log.append([record]);
        catch_up(&projection, &log, READING).await;
        let shown = "active, activities, first_activity_at::time, last_activity_at::time";
        assert_eq!(text(&pool, &schema, lead.id, shown).await, expected);
    }
}

#[tokio::test]
async fn a_merged_lead_says_into_whom_and_the_other_is_found_by_its_address() {
    let (mut ana, mut ben) = (Lead::number(5), Lead::number(6));
    let who = profile("ana@acme.example", &[]);
    let both = v1::Profile { other_emails: vec!["ben@home.example".into()], ..who.clone() };
    let log = Log::of([
        ana.did(1, START_MS, page_view()),
        ana.is(START_MS, who),
        ben.did(2, START_MS, page_view()),
        ben.is(START_MS, profile("ben@home.example", &[])),
        ben.merges(START_MS + MINUTE, Some(ana.id), &[]),
        ben.did_not(2, START_MS),
        ana.merges(START_MS + MINUTE, None, &[ben.id]),
        ana.did(2, START_MS, page_view()),
        ana.is(START_MS + MINUTE, both),
    ]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    let shown = "active, activities, merged_into, identities_version, email, \
         search_text like '%ben@home.example%'";
    catch_up(&projection, &log, READING).await;
    assert_eq!(text(&pool, &schema, ana.id, shown).await, "t 2 1 ana@acme.example t");
    assert_eq!(text(&pool, &schema, ben.id, shown).await, format!("f 0 {} 1 ben@home.example t", ana.id));
    let detail =
        format!("select detail::text from {schema}.lead_decisions where lead_id = $1 and kind = 'MergesChanged'");
    let detail: String = sqlx::query_scalar(AssertSqlSafe(detail)).bind(ben.id.uuid()).fetch_one(&pool).await.unwrap();
    assert!(detail.contains(&ana.id.to_string()) && detail.contains("mori"), "{detail}");
    log.append([ben.merges(START_MS + 2 * MINUTE, None, &[]), ben.did(2, START_MS, page_view())]);
    catch_up(&projection, &log, READING).await;
    assert_eq!(text(&pool, &schema, ben.id, shown).await, "t 1 2 ben@home.example t");
}

#[tokio::test]
async fn what_was_refused_withheld_and_allowed_is_shown_with_the_lead() {
    let mut lead = Lead::number(7);
    let refused = v1::IdentifierRefused {
        kind: "email".into(),
        because: v1::RefusedBecause::RoleAddress.into(),
        value: "i…@acme.example".into(),
        behavior_id: vec![1; 16],
    };
    let consent = |purpose: &str, granted| v1::Consent {
        purpose: purpose.into(),
        granted,
        since_ms: START_MS,
        source: "website".into(),
        basis: "banner".into(),
    };
    let consents = v1::ConsentsChanged { consents: vec![consent("contact", true), consent("tracking", false)] };
    let page = v1::BehaviorRecord {
        meta: Some(v1::Meta { event_id: vec![2; 16], ..v1::Meta::default() }),
        event: Some(page_view()),
        ..v1::BehaviorRecord::default()
    };
    let withheld = v1::BehaviorWithheld { behavior: Some(page), purpose: "tracking".into() };
    let held_back = v1::LeadHeldBack { route: "hand-raise".into(), reason: "no consent: contact".into() };
    let log = Log::of([
        lead.did(1, START_MS, page_view()),
        lead.identity(START_MS, identity_record::Event::IdentifierRefused(refused)),
        lead.identity(START_MS + 1, identity_record::Event::ConsentsChanged(consents)),
        lead.identity(START_MS + 2, identity_record::Event::BehaviorWithheld(withheld)),
        lead.judged(START_MS + 3, qualification_record::Event::StageChanged(v1::StageChanged { from: 0, to: 2 })),
        lead.judged(START_MS + 4, qualification_record::Event::HeldBack(held_back)),
    ]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    catch_up(&projection, &log, READING).await;
    assert_eq!(text(&pool, &schema, lead.id, "active, stage, merged_into is null").await, "t Lead t");
    let sql = format!(
        "select kind || ' ' || route || ' ' || detail from {schema}.lead_decisions where lead_id = $1 \
         order by occurred_at, topic"
    );
    let rows = sqlx::query_scalar(AssertSqlSafe(sql)).bind(lead.id.uuid()).fetch_all(&pool);
    let rows: Vec<String> = rows.await.unwrap();
    insta::assert_snapshot!(rows.join("\n"));
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_and_the_partition_goes_on() {
    let mut lead = Lead::number(4);
    let mut strange = lead.handed(START_MS, 1, assigned(0));
    strange.payload.extend([0x12, 0x01, 0xff]); // another handoff_id
    let letter = v1::DeadLetter {
        id: vec![5; 16],
        service: "ingest".into(),
        kind: v1::DeadLetterKind::Schema.into(),
        code: "no-identifier".into(),
        message: "neither anonymousId nor userId".into(),
        received_at_ms: START_MS,
        original: b"{\"a\0\"}".to_vec().into(),
        found_at: Some(dead_letter::FoundAt::Http(v1::HttpPlace { source: "website".into(), ..Default::default() })),
    };
    let letter = prost::Message::encode_to_vec(&letter);
    let letters = |payload| Emitted { topic: Topic::DeadLetters, key: "k".into(), payload };
    let log = Log::of([
        Emitted { topic: Topic::Activity, key: lead.id.to_string(), payload: b"\xff\xff not a message".to_vec() },
        Emitted { topic: Topic::Scores, key: lead.id.to_string(), payload: Vec::new() },
        strange,
        letters(letter.clone()),
        letters(letter),
        letters(vec![0xff]),
        lead.is(START_MS, profile("nul\0@\0.example", &[("na\0me", "\0"), ("company", &"株".repeat(9_000))])),
        lead.did(1, i64::MAX, page_view()),
        lead.did(2, i64::MIN, page_view()),
        lead.scored(i64::MAX, score(i64::MAX, i64::MAX)),
    ]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    catch_up(&projection, &log, READING).await;
    let letters: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
        "select concat_ws(' ', service, kind, code, log_topic, log_offset, length(original)) \
         from {schema}.dead_letters order by service, log_topic, log_offset"
    )))
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(
        letters,
        [
            "ingest schema no-identifier 6",
            "projection poison undecodable activity 0 16",
            "projection poison undecodable dead-letters 2 1",
            "projection poison handoff-id handoff 0 172",
            "projection poison invalid-head scores 0 0",
        ]
    );
    let shown = "activities, score_band, length(company), handoff_version, first_activity_at, last_activity_at";
    assert_eq!(
        text(&pool, &schema, lead.id, shown).await,
        "2 20 200 1 0001-01-01 00:00:00+00 9999-12-31 23:59:59.999+00"
    );
}

#[tokio::test]
async fn missing_versions_are_counted_on_the_lead() {
    let mut lead = Lead::number(5);
    let mut log = vec![lead.did(1, START_MS, page_view())];
    lead.lose(Topic::Activity);
    lead.lose(Topic::Activity);
    log.push(lead.did(2, START_MS, page_view()));
    lead.lose(Topic::Scores);
    log.push(lead.scored(START_MS, score(1, 1)));
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    catch_up(&projection, &Log::of(log), READING).await;
    let shown = "missing_versions, activities, activity_version, scores_version";
    assert_eq!(text(&pool, &schema, lead.id, shown).await, "3 2 4 2");
}
