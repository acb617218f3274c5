//! Writes one batch of records in one transaction, with the watermark that says so.
//!
//! The watermarks of all topics of a partition are locked and compared first. Whoever else writes the same partition
//! waits there, then finds them moved on and gives its batch up: of two projections at once, one at a time does
//! the work, and none does it twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, PgTransaction};
use tasuki_stream::log::{LogRecord, Position};
use tasuki_wire::{Partition, PartitionCount};

use crate::fold::{Changes, Fold};
use crate::metrics;
use crate::record::{Batch, LeadTopic, Source};
use crate::rows::{
    Account, Decision, DuplicateKey, Handoff, LeadCurrent, Ledger, Letter, Profile, Publication, Timeline,
};
use crate::schema::Schema;
use crate::table::{At, Row};

/// Whoever does not answer in this time counts as gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Where each partition is to be read on.
pub(crate) type Watermarks = BTreeMap<(Source, Partition), i64>;

/// A connection with its own session.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: PgConnection,
    statements: Statements,
}

/// A batch was not written; nothing of it was, unless the connection was lost at the very end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Another projection has written a partition of it.
    #[error("another projection has moved the watermark on")]
    Superseded,
    /// Postgres is away or refuses.
    #[error("cannot write to postgres")]
    Database(#[from] sqlx::Error),
    /// It does not answer.
    #[error("postgres did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
}

/// Text of the statements, made once.
#[derive(Debug)]
struct Statements {
    load_leads: Arc<str>,
    load_handoffs: Arc<str>,
    leads: Arc<str>,
    profiles: Arc<str>,
    duplicate_keys: Arc<str>,
    ledgers: Arc<str>,
    timeline: Arc<str>,
    timeline_again: Arc<str>,
    decisions: Arc<str>,
    handoffs: Arc<str>,
    letters: Arc<str>,
    publications: Arc<str>,
    accounts: Arc<str>,
}

impl Statements {
    fn new() -> Self {
        let upsert =
            |insert: String, key: &str, set: String| format!("{insert} on conflict ({key}) do update set {set}");
        let once = |insert: String| format!("{insert} on conflict do nothing").into();
        // Guarded once more by version: a row is never taken back, whatever else goes wrong.
        let newer =
            ["identities_version", "activity_version", "scores_version", "qualification_version", "handoff_version"]
                .map(|version| format!("t.{version} <= excluded.{version}"))
                .join(" and ");
        let leads = upsert(LeadCurrent::insert(), "lead_id", LeadCurrent::overwrite(&["lead_id"]));
        let timeline = Timeline::overwrite(&["lead_id", "event_id"]);
        let timeline = upsert(Timeline::insert(), "lead_id, event_id", timeline);
        let accounts = upsert(Account::insert(), "account_id", Account::overwrite(&["account_id"]));
        Self {
            load_leads: format!("select {} from lead_current where lead_id = any($1)", LeadCurrent::names()).into(),
            load_handoffs: format!("select {} from handoffs where lead_id = any($1)", Handoff::names()).into(),
            leads: format!("{leads} where {newer}").into(),
            profiles: upsert(Profile::insert(), "lead_id", Profile::overwrite(&["lead_id"])).into(),
            duplicate_keys: once(DuplicateKey::insert()),
            ledgers: upsert(Ledger::insert(), "lead_id", Ledger::overwrite(&["lead_id"])).into(),
            timeline: once(Timeline::insert()),
            timeline_again: format!("{timeline} where t.version < excluded.version").into(),
            decisions: once(Decision::insert()),
            handoffs: upsert(Handoff::insert(), "handoff_id", Handoff::overwrite(&["handoff_id"])).into(),
            letters: once(Letter::insert()),
            publications: once(Publication::insert()),
            accounts: format!("{accounts} where t.version < excluded.version").into(),
        }
    }
}

impl Writer {
    /// Connects, and makes sure that every partition has a watermark.
    pub(crate) async fn connect(
        pool: &PgPool,
        schema: &Schema,
        partitions: PartitionCount,
    ) -> Result<Self, WriteError> {
        answered(async {
            let mut connection = schema.connect(pool).await?;
            // Rows and watermark share a transaction and the log is the truth: what a crash takes back is read again.
            sqlx::query("set synchronous_commit = off").execute(&mut connection).await?;
            // Should this process vanish, its locks must not outlive it for long.
            sqlx::query("set idle_in_transaction_session_timeout = '30s'").execute(&mut connection).await?;
            let every: Vec<_> = Source::ALL
                .iter()
                .flat_map(|source| partitions.all().map(|partition| (source.name(), i32::from(partition.get()))))
                .collect();
            let (topics, numbers): (Vec<_>, Vec<_>) = every.into_iter().unzip();
            sqlx::query(
                "insert into projection_watermark (topic, partition, next_offset) \
                 select topic, partition, 0 from unnest($1::text[], $2::int4[]) as p (topic, partition) \
                 on conflict do nothing",
            )
            .bind(topics)
            .bind(numbers)
            .execute(&mut connection)
            .await?;
            Ok(Self { connection, statements: Statements::new() })
        })
        .await
    }

    /// How far each partition has been read.
    pub(crate) async fn watermarks(&mut self, partitions: PartitionCount) -> Result<Watermarks, WriteError> {
        let numbers: Vec<_> = partitions.all().collect();
        answered(read_watermarks(&mut self.connection, &numbers, "")).await
    }

    /// Whether Postgres answers.
    pub(crate) async fn ping(&mut self) -> Result<(), WriteError> {
        answered(async { Ok(self.connection.ping().await?) }).await
    }

    /// Writes the records and moves the watermarks on, or does neither.
    ///
    /// After any error the caller connects anew and reads the watermarks, which say what was written.
    pub(crate) async fn write(&mut self, records: &[LogRecord], watermarks: &mut Watermarks) -> Result<(), WriteError> {
        let started = Instant::now();
        let mut batch = Batch::default();
        let mut moved = Watermarks::new();
        let mut counts = BTreeMap::<Source, u64>::new();
        for record in records {
            let Some(source) = Source::of(record.topic) else {
                batch.push(record);
                continue;
            };
            let place = (source, record.partition);
            let next = moved.get(&place).or_else(|| watermarks.get(&place)).copied().unwrap_or_default();
            if record.offset >= next {
                batch.push(record);
                moved.insert(place, record.offset.saturating_add(1));
                *counts.entry(source).or_default() += 1;
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let unreadable = std::mem::take(&mut batch.unreadable);
        let changes = answered(self.transaction(batch, watermarks, &moved)).await?;
        watermarks.extend(moved);
        metrics::batch(started.elapsed());
        counts.iter().for_each(|(source, count)| metrics::records(source.name(), *count));
        unreadable.iter().for_each(|topic| metrics::unreadable(topic.name()));
        if !unreadable.is_empty() {
            tracing::error!(records = unreadable.len(), "records cannot be read; kept in dead_letters");
        }
        report(&changes);
        Ok(())
    }

    async fn transaction(
        &mut self,
        batch: Batch,
        watermarks: &Watermarks,
        moved: &Watermarks,
    ) -> Result<Report, WriteError> {
        let statements = &self.statements;
        let mut transaction = self.connection.begin().await?;
        lock_watermarks(&mut transaction, watermarks, moved).await?;
        let mut fold = load(&mut transaction, statements, &batch).await?;
        let Batch { entries, letters, publications, accounts, unreadable: _ } = batch;
        entries.into_iter().for_each(|entry| fold.apply(entry));
        let (leads, changes) = fold.finish();
        let report = Report { gaps: changes.gaps.clone(), repeated: changes.repeated.clone() };
        write_rows(&mut transaction, statements, leads, changes, letters).await?;
        write(&mut transaction, &statements.publications, publications).await?;
        write(&mut transaction, &statements.accounts, accounts.into_values().collect()).await?;
        move_watermarks(&mut transaction, moved).await?;
        transaction.commit().await?;
        Ok(report)
    }
}

/// What is told to operators once a batch is written.
#[derive(Debug)]
struct Report {
    gaps: Vec<crate::fold::Gap>,
    repeated: BTreeMap<LeadTopic, u64>,
}

fn report(report: &Report) {
    for (source, count) in &report.repeated {
        metrics::repeated(source.name(), *count);
    }
    for gap in &report.gaps {
        metrics::gap(gap.source.name(), gap.missing());
        tracing::error!(
            lead.id = %gap.lead,
            kafka.topic = gap.source.name(),
            expected = gap.expected.get(),
            found = gap.found.get(),
            "versions of a lead are missing: records were lost before they reached this topic"
        );
    }
}

async fn answered<T>(work: impl Future<Output = Result<T, WriteError>>) -> Result<T, WriteError> {
    tokio::time::timeout(ANSWER_WITHIN, work).await.unwrap_or(Err(WriteError::Silent))
}

async fn read_watermarks(
    connection: &mut PgConnection,
    partitions: &[Partition],
    lock: &str,
) -> Result<Watermarks, WriteError> {
    let numbers: Vec<_> = partitions.iter().map(|partition| i32::from(partition.get())).collect();
    let sql = format!(
        "select topic, partition, next_offset from projection_watermark \
         where partition = any($1) order by partition, topic {lock}"
    );
    let rows: Vec<(String, i32, i64)> = sqlx::query_as(AssertSqlSafe(sql)).bind(numbers).fetch_all(connection).await?;
    let known = rows.into_iter().filter_map(|(topic, partition, next)| {
        let source = Source::of(topic.parse().ok()?)?;
        Some(((source, Partition::new(u16::try_from(partition).ok()?)), next))
    });
    Ok(known.collect())
}

/// Locks the watermarks of every topic of these partitions, and compares all of them: one topic alone would not do,
/// since all topics of a partition write the same leads.
async fn lock_watermarks(
    transaction: &mut PgTransaction<'_>,
    expected: &Watermarks,
    moved: &Watermarks,
) -> Result<(), WriteError> {
    let partitions: BTreeSet<_> = moved.keys().map(|(_, partition)| *partition).collect();
    let partitions: Vec<_> = partitions.into_iter().collect();
    let found = read_watermarks(transaction, &partitions, "for update").await?;
    let expected = expected.iter().filter(|((_, partition), _)| partitions.binary_search(partition).is_ok());
    if expected.eq(found.iter()) { Ok(()) } else { Err(WriteError::Superseded) }
}

async fn move_watermarks(transaction: &mut PgTransaction<'_>, moved: &Watermarks) -> Result<(), WriteError> {
    let topics: Vec<_> = moved.keys().map(|(source, _)| source.name()).collect();
    let partitions: Vec<_> = moved.keys().map(|(_, partition)| i32::from(partition.get())).collect();
    let offsets: Vec<_> = moved.values().copied().collect();
    sqlx::query(
        "update projection_watermark t set next_offset = m.next_offset \
         from unnest($1::text[], $2::int4[], $3::int8[]) as m (topic, partition, next_offset) \
         where t.topic = m.topic and t.partition = m.partition",
    )
    .bind(topics)
    .bind(partitions)
    .bind(offsets)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The rows that the batch builds on.
async fn load(transaction: &mut PgTransaction<'_>, statements: &Statements, batch: &Batch) -> Result<Fold, WriteError> {
    let leads: BTreeSet<_> = batch.entries.iter().map(|entry| entry.lead.uuid()).collect();
    let decided =
        batch.entries.iter().filter(|entry| matches!(entry.source, LeadTopic::Qualification | LeadTopic::Handoff));
    let decided: BTreeSet<_> = decided.map(|entry| entry.lead.uuid()).collect();
    let leads = read_rows(transaction, &statements.load_leads, leads).await?;
    let handoffs = read_rows(transaction, &statements.load_handoffs, decided).await?;
    Ok(Fold::new(leads, handoffs))
}

async fn read_rows<R: Row>(
    transaction: &mut PgTransaction<'_>,
    sql: &Arc<str>,
    leads: BTreeSet<Uuid>,
) -> Result<Vec<R>, WriteError> {
    if leads.is_empty() {
        return Ok(Vec::new());
    }
    let leads: Vec<_> = leads.into_iter().collect();
    let rows = sqlx::query(AssertSqlSafe(Arc::clone(sql))).bind(leads).fetch_all(&mut **transaction).await?;
    Ok(rows.iter().map(R::read).collect::<Result<_, _>>()?)
}

async fn write_rows(
    transaction: &mut PgTransaction<'_>,
    statements: &Statements,
    mut leads: BTreeMap<Uuid, LeadCurrent>,
    changes: Changes,
    letters: Vec<Letter>,
) -> Result<(), WriteError> {
    let mut recount = changes.recount;
    let timeline: Vec<_> = changes.timeline.into_values().collect();
    let inserted = write(transaction, &statements.timeline, timeline.clone()).await?;
    if usize::try_from(inserted).ok() != Some(timeline.len()) {
        // Some events had been attributed before (and retracted, as a rule).
        recount.extend(timeline.iter().map(|row| row.lead_id));
        write(transaction, &statements.timeline_again, timeline).await?;
    }
    retract(transaction, &changes.retracted).await?;
    count_activities(transaction, recount, &mut leads).await?;

    let expected = leads.len();
    let written = write(transaction, &statements.leads, leads.into_values().collect()).await?;
    if usize::try_from(written).ok() != Some(expected) {
        return Err(WriteError::Superseded);
    }
    forget_duplicate_keys(transaction, &changes.profiles, &changes.duplicate_keys).await?;
    write(transaction, &statements.duplicate_keys, changes.duplicate_keys).await?;
    write(transaction, &statements.profiles, changes.profiles).await?;
    write(transaction, &statements.ledgers, changes.ledgers).await?;
    write(transaction, &statements.handoffs, changes.handoffs).await?;
    write(transaction, &statements.decisions, changes.decisions.into_values().collect()).await?;
    write(transaction, &statements.letters, letters).await?;
    Ok(())
}

/// Writes rows by one of the statements; gives how many were inserted or changed.
async fn write<R: Row>(transaction: &mut PgTransaction<'_>, sql: &Arc<str>, rows: Vec<R>) -> Result<u64, WriteError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let arguments = R::bind(rows).map_err(sqlx::Error::Encode)?;
    let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments);
    let written = query.execute(&mut **transaction).await?.rows_affected();
    metrics::rows(R::TABLE, written);
    Ok(written)
}

/// Takes away what these leads had in common with others before their profiles changed.
async fn forget_duplicate_keys(
    transaction: &mut PgTransaction<'_>,
    profiles: &[Profile],
    keys: &[DuplicateKey],
) -> Result<(), WriteError> {
    if profiles.is_empty() {
        return Ok(());
    }
    let leads: Vec<_> = profiles.iter().map(|profile| profile.lead_id).collect();
    sqlx::query(
        "delete from lead_duplicate_keys t where t.lead_id = any($1) and not exists \
         (select from unnest($2::uuid[], $3::text[], $4::text[]) as k (lead_id, kind, key) \
         where (k.lead_id, k.kind, k.key) = (t.lead_id, t.kind, t.key))",
    )
    .bind(leads)
    .bind(keys.iter().map(|key| key.lead_id).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.kind.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn retract(
    transaction: &mut PgTransaction<'_>,
    retracted: &BTreeMap<(Uuid, Uuid), i64>,
) -> Result<(), WriteError> {
    if retracted.is_empty() {
        return Ok(());
    }
    let (leads, events): (Vec<_>, Vec<_>) = retracted.keys().copied().unzip();
    let versions: Vec<_> = retracted.values().copied().collect();
    sqlx::query(
        "update lead_timeline t set retracted = true, version = r.version \
         from unnest($1::uuid[], $2::uuid[], $3::int8[]) as r (lead_id, event_id, version) \
         where t.lead_id = r.lead_id and t.event_id = r.event_id and t.version < r.version",
    )
    .bind(leads)
    .bind(events)
    .bind(versions)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Counts anew what these leads did, where adding up would not give it.
async fn count_activities(
    transaction: &mut PgTransaction<'_>,
    recount: BTreeSet<Uuid>,
    leads: &mut BTreeMap<Uuid, LeadCurrent>,
) -> Result<(), WriteError> {
    if recount.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = recount.iter().copied().collect();
    let counted: Vec<(Uuid, i64, Option<At>, Option<At>)> = sqlx::query_as(
        "select lead_id, count(*), min(occurred_at), max(occurred_at) from lead_timeline \
         where lead_id = any($1) and not retracted group by lead_id",
    )
    .bind(ids)
    .fetch_all(&mut **transaction)
    .await?;
    let counted: BTreeMap<_, _> =
        counted.into_iter().map(|(id, count, first, last)| (id, (count, first, last))).collect();
    for id in recount {
        if let Some(lead) = leads.get_mut(&id) {
            let (count, first, last) = counted.get(&id).copied().unwrap_or_default();
            lead.recounted(count, first, last);
        }
    }
    Ok(())
}

/// As positions for a reader.
pub(crate) fn positions(watermarks: &Watermarks) -> Vec<Position> {
    let position = |(&(source, partition), &offset): (&(Source, Partition), &i64)| Position {
        topic: source.topic(),
        partition,
        offset,
    };
    watermarks.iter().map(position).collect()
}
