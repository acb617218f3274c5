//! The tables are a function of the set of records.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, PgPool};
use tasuki_stream::Emitted;
use tasuki_wire::Topic;
use tasuki_wire::v1::{self, handoff_record, qualification_record};

use super::log::{Log, Reading};
use super::records::{Lead, START_MS, account, added, assigned, page_view, profile, qualified, score};
use super::{catch_up, database, fresh};
use crate::Schema;

/// One thing that happens to one of some leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    lead: usize,
    what: u8,
    number: u8,
}

pub(super) fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..4_usize, 0..17_u8, 0..4_u8).prop_map(|(lead, what, number)| Step { lead, what, number });
    prop::collection::vec(step, count)
}

/// The records of a history, some of them repeated, lost or broken. Not a history that the services would write: the
/// tables must be a function of whatever stands on the log.
pub(super) fn records(steps: &[Step]) -> Vec<Emitted> {
    let mut leads: Vec<_> = (0..4).map(|number| Lead::number(100 + number)).collect();
    let mut records: Vec<Emitted> = Vec::new();
    let mut accounts = [0; 4];
    for (step, at) in steps.iter().zip((START_MS..).step_by(1_000)) {
        let lead = &mut leads[step.lead];
        let (number, cycle) = (u128::from(step.number), 1 + u32::from(step.number / 2));
        let record = match step.what {
            0..=2 => lead.did(number, START_MS + 60_000 * i64::from(step.number), page_view()),
            3 => lead.did_not(number, at),
            4 if step.number == 3 => lead.merges(at, (step.lead == 2).then_some(lead.id), &[]),
            4 => lead.is(at, profile(&format!("p{number}@example.org"), &[("name", "Pat"), ("company", "Ex\0")])),
            5 | 6 => lead.scored(at, score(at % 90_000, 1_000 * i64::from(step.number))),
            7 => lead.judged(at, qualified(cycle, score(1, 2))),
            8 => lead.judged(at, recycled(cycle)),
            9 => lead.judged(at, entered(if step.number == 0 { v1::Stage::Subscriber } else { v1::Stage::Lead })),
            10 if step.number == 1 => lead.handed(at, cycle, unassigned()),
            10 => lead.handed(at, cycle, assigned(at + 60_000)),
            11 => lead.handed(at, cycle, overdue(at)),
            12 => lead.handed(at, cycle, verdict(step.number)),
            13 => Emitted { topic: Topic::Activity, key: lead.id.to_string(), payload: vec![0xff, step.number] },
            14 => {
                lead.lose(
                    [Topic::Activity, Topic::Scores, Topic::Qualification, Topic::Handoff][usize::from(step.number)],
                );
                continue;
            }
            15 if step.number == 3 => added("acme.example"),
            15 => {
                accounts[step.lead] += 1;
                let departments = [("IT\0", 2), ("Sales", 1)];
                let id = format!("a{}.example", step.lead);
                account(&id, accounts[step.lead], at, at % 90_000, &departments[..usize::from(step.number)])
            }
            _ => match records.len().checked_sub(1 + usize::from(step.number)) {
                Some(earlier) => records[earlier].clone(),
                None => continue,
            },
        };
        records.push(record);
    }
    records
}

fn recycled(cycle: u32) -> qualification_record::Event {
    qualification_record::Event::Recycled(v1::LeadRecycled { cycle, reason: "timing".into(), not_before_ms: 0 })
}

fn entered(to: v1::Stage) -> qualification_record::Event {
    qualification_record::Event::StageChanged(v1::StageChanged { from: 0, to: to.into() })
}

fn unassigned() -> handoff_record::Event {
    handoff_record::Event::Assigned(v1::LeadAssigned { pool: "field".into(), ..Default::default() })
}

fn overdue(at: i64) -> handoff_record::Event {
    handoff_record::Event::Overdue(v1::HandoffOverdue { due_at_ms: at, fired_at_ms: at + 5 })
}

fn verdict(number: u8) -> handoff_record::Event {
    match number {
        0 => handoff_record::Event::Rejected(v1::SalesRejected {
            by: "mori".into(),
            reason: v1::RejectReason::NoBudget.into(),
            note: String::new(),
        }),
        1 => handoff_record::Event::Refused(v1::FeedbackRefused {
            command_id: vec![1; 16],
            by: "mori".into(),
            reason: "decided before".into(),
        }),
        _ => handoff_record::Event::Accepted(v1::SalesAccepted { by: "mori".into() }),
    }
}

/// Moves every watermark back, as if a backup of that table alone had been restored.
async fn rewind(pool: &PgPool, schema: &Schema) {
    let sql = format!("update {schema}.projection_watermark set next_offset = next_offset / 2");
    sqlx::query(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

/// As a service may write again what it wrote before a crash.
#[tokio::test]
async fn versions_that_come_again_change_nothing() {
    let histories = steps(400..401).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    // A record that cannot be read has no version: each copy is a dead letter.
    let mut records = records(&histories);
    records.retain(|record| record.payload[0] != 0xff);
    let log = Log::of(records.clone());
    let pool = database();
    let (projection, _) = fresh(&pool).await;
    catch_up(&projection, &log, Reading { seed: 1, at_most: 30 }).await;
    let expected = projection.dump().await.unwrap();
    records.reverse();
    log.append(records);
    catch_up(&projection, &log, Reading { seed: 2, at_most: 30 }).await;
    assert_eq!(projection.dump().await.unwrap(), expected);
}

#[test]
fn neither_interleaving_nor_batches_nor_reading_again_change_the_tables() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pool = runtime.block_on(async { database() });
    let cases =
        ProptestConfig { cases: 24, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(steps in steps(1..120), seed in any::<u64>())| {
        let log = Log::of(records(&steps));
        runtime.block_on(async {
            let (one_by_one, _) = fresh(&pool).await;
            catch_up(&one_by_one, &log, Reading { seed, at_most: 1 }).await;
            let (all_at_once, _) = fresh(&pool).await;
            catch_up(&all_at_once, &log, Reading { seed: !seed, at_most: 10_000 }).await;
            let (in_part_again, schema) = fresh(&pool).await;
            catch_up(&in_part_again, &log, Reading { seed: seed.rotate_left(7), at_most: 9 }).await;
            rewind(&pool, &schema).await;
            catch_up(&in_part_again, &log, Reading { seed: seed.rotate_left(9), at_most: 5 }).await;

            let expected = one_by_one.dump().await.unwrap();
            prop_assert_eq!(&all_at_once.dump().await.unwrap(), &expected);
            prop_assert_eq!(&in_part_again.dump().await.unwrap(), &expected);
            let fingerprint = one_by_one.fingerprint().await.unwrap();
            prop_assert_eq!(&in_part_again.fingerprint().await.unwrap(), &fingerprint);
            Ok(())
        })?;
    });
}
