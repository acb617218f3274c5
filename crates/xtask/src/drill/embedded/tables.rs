//! The log as its tables hold it, read past everything that is drilled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tasuki_wire::Topic;

use crate::drill::history::{Entry, History};
use crate::drill::service::{PROJECTED, groups};

const PAUSE: Duration = Duration::from_millis(50);

/// The next offset of places.
pub(super) type Offsets = BTreeMap<(Topic, u16), i64>;

/// A connection past the proxy.
pub(super) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    options.application_name("drill").disable_statement_logging().connect().await
}

/// A record, as Postgres gives it.
type Columns = (String, i32, i64, Vec<u8>, Vec<u8>);

/// Records from these offsets on, partition by partition in their order.
async fn records(connection: &mut PgConnection, from: &Offsets) -> Result<Vec<(Topic, u16, Entry)>, sqlx::Error> {
    let (places, offsets): (Vec<_>, Vec<_>) = from.iter().map(|(place, next)| (*place, *next)).unzip();
    let (topics, partitions): (Vec<_>, Vec<_>) =
        places.into_iter().map(|(topic, partition)| (topic.name(), i32::from(partition))).unzip();
    let rows: Vec<Columns> = sqlx::query_as(
        r#"SELECT t.name, r.partition, r."offset", r.key, r.payload
           FROM tasuki_log.records r JOIN tasuki_log.topics t ON t.id = r.topic
           LEFT JOIN unnest($1::text[], $2::int[], $3::bigint[]) AS seen (topic, partition, next)
             ON seen.topic = t.name AND seen.partition = r.partition
           WHERE r."offset" >= coalesce(seen.next, 0) ORDER BY 1, 2, 3"#,
    )
    .bind(topics)
    .bind(partitions)
    .bind(offsets)
    .fetch_all(connection)
    .await?;
    let read = |(topic, partition, offset, key, payload): Columns| {
        Some((topic.parse().ok()?, u16::try_from(partition).ok()?, Entry { offset, key, payload }))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Everything.
pub(super) async fn read_all(url: &str) -> Result<History, sqlx::Error> {
    let mut history = History::default();
    for (topic, partition, entry) in records(&mut connect(url).await?, &Offsets::new()).await? {
        history.push(topic, partition, entry);
    }
    Ok(history)
}

/// Partitions whose offsets do not count 0, 1, 2 ...: nothing is removed in so short a time.
pub(super) fn gaps(log: &History) -> Vec<String> {
    let broken = |(topic, partition, entries): (Topic, u16, &[Entry])| {
        let found = (0..).zip(entries).find(|(expected, entry)| entry.offset != *expected);
        found.map(|(expected, entry)| {
            format!("{topic} partition {partition}: offset {} where {expected} was to come", entry.offset)
        })
    };
    log.partitions().filter_map(broken).collect()
}

/// How many records services and projection have still to process.
pub(super) async fn behind(url: &str) -> Result<i64, sqlx::Error> {
    let mut connection = connect(url).await?;
    let ends = offsets(
        &mut connection,
        r#"SELECT '', t.name, r.partition, max(r."offset") + 1 FROM tasuki_log.records r
           JOIN tasuki_log.topics t ON t.id = r.topic GROUP BY 2, 3"#,
    );
    let ends = ends.await?.remove("").unwrap_or_default();
    let positions = offsets(
        &mut connection,
        "SELECT p.service, t.name, p.partition, p.next_offset FROM tasuki_log.positions p
         JOIN tasuki_log.topics t ON t.id = p.topic",
    );
    let mut positions = positions.await?;
    let watermarks =
        offsets(&mut connection, "SELECT '', topic, partition, next_offset FROM tasuki.projection_watermark");
    let watermarks = watermarks.await?.remove("").unwrap_or_default();
    let mut behind = missing(&ends, &watermarks, &PROJECTED);
    for (group, inputs) in groups().filter(|(_, inputs)| !inputs.is_empty()) {
        behind += missing(&ends, &positions.remove(group).unwrap_or_default(), inputs);
    }
    Ok(behind)
}

fn missing(ends: &Offsets, next: &Offsets, topics: &[Topic]) -> i64 {
    let of_topics = ends.iter().filter(|((topic, _), _)| topics.contains(topic));
    of_topics.map(|(place, end)| end - next.get(place).copied().unwrap_or(0)).sum()
}

async fn offsets(connection: &mut PgConnection, query: &'static str) -> Result<BTreeMap<String, Offsets>, sqlx::Error> {
    let rows: Vec<(String, String, i32, i64)> = sqlx::query_as(query).fetch_all(connection).await?;
    let mut found = BTreeMap::<String, Offsets>::new();
    for (of, topic, partition, next) in rows {
        if let (Ok(topic), Ok(partition)) = (topic.parse(), u16::try_from(partition)) {
            found.entry(of).or_default().insert((topic, partition), next);
        }
    }
    Ok(found)
}

/// Reads along until it is stopped: what it has once seen of a partition must stay, and nothing come before it.
#[derive(Debug)]
pub(super) struct Follower {
    seen: Arc<Mutex<History>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub(super) fn start(url: String) -> Result<Self> {
        let (seen, over) = (Arc::new(Mutex::new(History::default())), Arc::new(AtomicBool::new(false)));
        let (to, until) = (Arc::clone(&seen), Arc::clone(&over));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let follow = move || {
            let mut next = Offsets::new();
            let mut connection = None;
            while !until.load(Ordering::Acquire) {
                let read = runtime.block_on(async {
                    let mut open = match connection.take() {
                        Some(open) => open,
                        None => connect(&url).await?,
                    };
                    let read = records(&mut open, &next).await?;
                    connection = Some(open);
                    Ok::<_, sqlx::Error>(read)
                });
                // The server is being killed: another connection, later.
                let mut history = to.lock().unwrap_or_else(PoisonError::into_inner);
                for (topic, partition, entry) in read.unwrap_or_default() {
                    next.insert((topic, partition), entry.offset + 1);
                    history.push(topic, partition, entry);
                }
                drop(history);
                thread::sleep(PAUSE);
            }
        };
        let thread = thread::Builder::new().name("follower".to_owned()).spawn(follow).context("a thread")?;
        Ok(Self { seen, over, thread: Some(thread) })
    }

    /// Stops, and gives back what was seen.
    pub(super) fn stop(&mut self) -> History {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the follower panicked");
        }
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}
