//! One SQL transaction of the writer: all that was waiting, with its offsets.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection};
use tasuki_domain::Timestamp;
use tasuki_stream::{Change, Emitted};
use tasuki_wire::{Partition, Topic};

use crate::schema::TopicIds;
use crate::tail::{Stored, Tails};

/// What a processor has done with some inputs.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) service: &'static str,
    pub(crate) state: Topic,
    pub(crate) outputs: Vec<Emitted>,
    pub(crate) changes: Vec<(Partition, Change)>,
    /// The offsets to go on at.
    pub(crate) positions: Vec<(Topic, Partition, i64)>,
}

/// All that one SQL transaction writes. Writing it again writes the same.
#[derive(Debug)]
pub(crate) struct Batch {
    records: Vec<(Topic, Partition, Stored)>,
    written_at: Timestamp,
    transactions: Vec<Transaction>,
}

impl Batch {
    pub(crate) fn new(written_at: Timestamp) -> Self {
        Self { records: Vec::new(), written_at, transactions: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.transactions.is_empty()
    }

    pub(crate) fn add_records(&mut self, tails: &Tails, ends: &mut Ends, records: Vec<Emitted>) {
        for Emitted { topic, key, payload } in records {
            let partition = tails.partitions().of_key(key.as_bytes());
            let end = ends.0.entry((topic, partition)).or_insert_with(|| tails.end(topic, partition));
            self.records.push((topic, partition, Stored { offset: *end, key: key.into_bytes(), payload }));
            *end += 1;
        }
    }

    pub(crate) fn add_transaction(&mut self, tails: &Tails, ends: &mut Ends, mut transaction: Transaction) {
        self.add_records(tails, ends, std::mem::take(&mut transaction.outputs));
        self.transactions.push(transaction);
    }

    /// Writes everything in one transaction and counts it. Whether it happened when this fails, only the count says.
    pub(crate) async fn write(
        &self,
        connection: &mut PgConnection,
        topics: &TopicIds,
        commits_before: i64,
    ) -> Result<(), sqlx::Error> {
        let mut sql = connection.begin().await?;
        self.write_records(&mut sql, topics).await?;
        for transaction in &self.transactions {
            write_changes(&mut sql, topics.id(transaction.state), &transaction.changes).await?;
            write_positions(&mut sql, topics, transaction).await?;
        }
        let counted = sqlx::query("UPDATE tasuki_log.writer SET commits = $1 + 1 WHERE commits = $1")
            .bind(commits_before)
            .execute(&mut *sql)
            .await?;
        if counted.rows_affected() != 1 {
            return Err(sqlx::Error::RowNotFound);
        }
        sql.commit().await
    }

    /// What readers get, once it is committed.
    pub(crate) fn into_records(self) -> Vec<(Topic, Partition, Stored)> {
        self.records
    }

    async fn write_records(&self, sql: &mut PgConnection, ids: &TopicIds) -> Result<(), sqlx::Error> {
        if self.records.is_empty() {
            return Ok(());
        }
        let topics: Vec<i16> = self.records.iter().map(|(topic, ..)| ids.id(*topic)).collect();
        let partitions: Vec<i32> = self.records.iter().map(|(_, partition, _)| i32::from(partition.get())).collect();
        let offsets: Vec<i64> = self.records.iter().map(|(.., stored)| stored.offset).collect();
        let keys: Vec<&[u8]> = self.records.iter().map(|(.., stored)| stored.key.as_slice()).collect();
        let payloads: Vec<&[u8]> = self.records.iter().map(|(.., stored)| stored.payload.as_slice()).collect();
        sqlx::query(
            r#"INSERT INTO tasuki_log.records (topic, partition, "offset", key, payload, written_at)
               SELECT r.*, $6 FROM unnest($1::smallint[], $2::int[], $3::bigint[], $4::bytea[], $5::bytea[]) AS r"#,
        )
        .bind(topics)
        .bind(partitions)
        .bind(offsets)
        .bind(keys)
        .bind(payloads)
        .bind(self.written_at.as_millis())
        .execute(sql)
        .await
        .map(|_| ())
    }
}

/// The offsets after the records of a batch under way.
#[derive(Debug, Default)]
pub(crate) struct Ends(HashMap<(Topic, Partition), i64>);

async fn write_changes(sql: &mut PgConnection, topic: i16, changes: &[(Partition, Change)]) -> Result<(), sqlx::Error> {
    let (mut partitions, mut keys, mut values) = (Vec::<i32>::new(), Vec::<&[u8]>::new(), Vec::<&[u8]>::new());
    let (mut gone_partitions, mut gone) = (Vec::<i32>::new(), Vec::<&[u8]>::new());
    for (partition, Change { key, value }) in changes {
        if let Some(value) = value {
            partitions.push(partition.get().into());
            keys.push(key.as_bytes());
            values.push(value);
        } else {
            gone_partitions.push(partition.get().into());
            gone.push(key.as_bytes());
        }
    }
    if !keys.is_empty() {
        sqlx::query(
            "INSERT INTO tasuki_log.states (topic, partition, key, value)
             SELECT $1, s.* FROM unnest($2::int[], $3::bytea[], $4::bytea[]) AS s
             ON CONFLICT (topic, partition, sha256(key)) DO UPDATE SET value = EXCLUDED.value",
        )
        .bind(topic)
        .bind(partitions)
        .bind(keys)
        .bind(values)
        .execute(&mut *sql)
        .await?;
    }
    if !gone.is_empty() {
        sqlx::query(
            "DELETE FROM tasuki_log.states s USING unnest($2::int[], $3::bytea[]) AS gone (partition, key)
             WHERE s.topic = $1 AND s.partition = gone.partition AND sha256(s.key) = sha256(gone.key)",
        )
        .bind(topic)
        .bind(gone_partitions)
        .bind(gone)
        .execute(sql)
        .await?;
    }
    Ok(())
}

async fn write_positions(sql: &mut PgConnection, ids: &TopicIds, transaction: &Transaction) -> Result<(), sqlx::Error> {
    if transaction.positions.is_empty() {
        return Ok(());
    }
    let topics: Vec<i16> = transaction.positions.iter().map(|(topic, ..)| ids.id(*topic)).collect();
    let partitions: Vec<i32> = transaction.positions.iter().map(|(_, partition, _)| partition.get().into()).collect();
    let offsets: Vec<i64> = transaction.positions.iter().map(|(.., offset)| *offset).collect();
    sqlx::query(
        "INSERT INTO tasuki_log.positions (service, topic, partition, next_offset)
         SELECT $1, p.* FROM unnest($2::smallint[], $3::int[], $4::bigint[]) AS p
         ON CONFLICT (service, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset",
    )
    .bind(transaction.service)
    .bind(topics)
    .bind(partitions)
    .bind(offsets)
    .execute(sql)
    .await
    .map(|_| ())
}
