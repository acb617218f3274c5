//! The dead letters of a log, each once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::bail;
use prost::Message;
use tasuki_stream::log::{Position, Reader};
use tasuki_wire::Topic;
use tasuki_wire::v1::DeadLetter;

use crate::log::Log;

const POLL: Duration = Duration::from_secs(1);

/// The end of the log is where so many polls in a row bring nothing, and the log knows of nothing more.
const QUIET_POLLS: u32 = 3;

/// How long a log that knows of more may bring nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the dead letters there are, partition by partition.
#[derive(Debug)]
pub(super) struct Letters {
    reader: Box<dyn Reader>,
    /// The same failure is the same letter, however often it came.
    seen: HashSet<Vec<u8>>,
}

impl Letters {
    pub(super) async fn of(log: &Log) -> anyhow::Result<Self> {
        let mut reader = log.reader()?;
        let at = |partition| Position { topic: Topic::DeadLetters, partition, offset: 0 };
        let positions: Vec<_> = log.partitions().all().map(at).collect();
        reader.seek(&positions).await?;
        Ok(Self { reader, seen: HashSet::new() })
    }

    /// The next letters; none at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<DeadLetter>> {
        let (mut quiet, mut since) = (0, Instant::now());
        loop {
            let records = self.reader.poll(POLL).await?;
            if records.is_empty() {
                quiet += 1;
                let more = self.reader.lag();
                if quiet >= QUIET_POLLS && more == 0 {
                    return Ok(Vec::new());
                }
                if since.elapsed() > PATIENCE {
                    bail!("the log has {more} more dead letters and does not give them");
                }
                continue;
            }
            (quiet, since) = (0, Instant::now());
            let mut letters = Vec::new();
            for record in records {
                match DeadLetter::decode(record.payload.as_slice()) {
                    Ok(letter) => {
                        if self.seen.insert(letter.id.clone()) {
                            letters.push(letter);
                        }
                    }
                    Err(error) => tracing::warn!(
                        kafka.partition = record.partition.get(), kafka.offset = record.offset, %error,
                        "a record of dead-letters is no dead letter"
                    ),
                }
            }
            if !letters.is_empty() {
                return Ok(letters);
            }
        }
    }
}
