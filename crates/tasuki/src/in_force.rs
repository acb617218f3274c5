//! Whether the playbook that the process was started with is the one in force.

use std::time::{Duration, Instant};

use anyhow::Context;
use prost::Message;
use tasuki_playbook::Playbook;
use tasuki_stream::log::{Position, ReadError};
use tasuki_wire::v1::playbook_record::Event;
use tasuki_wire::{Topic, v1};

use crate::log::Log;

/// How long the log may take to tell it. The services start meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(200);

/// Says so if a playbook was given and another one is in force, since one was published: the file has no effect then.
pub(crate) async fn compare(log: &Log, file: &Playbook) {
    match published(log).await {
        Ok(Some(published)) if published.text != file.text() => tracing::warn!(
            version_of_the_file = file.version().get(),
            version_in_force = published.version,
            "the playbook file has no effect: another playbook was published and is in force; publish the file with \
             `tasuki playbook publish`"
        ),
        Ok(Some(_) | None) => {}
        Err(error) => tracing::warn!(error = format!("{error:#}"), "it is not known which playbook is in force"),
    }
}

/// The playbook that was published last, if any was.
async fn published(log: &Log) -> anyhow::Result<Option<v1::PlaybookPublished>> {
    let mut reader = log.reader()?;
    let begin = |partition| Position { topic: Topic::Playbooks, partition, offset: 0 };
    let positions: Vec<_> = log.partitions().all().map(begin).collect();
    reader.seek(&positions).await.context("cannot read the published playbooks")?;
    let (mut latest, until) = (None, Instant::now() + PATIENCE);
    loop {
        let records = match reader.poll(POLL).await {
            Err(ReadError::Unavailable(_)) if Instant::now() < until => continue,
            polled => polled.context("cannot read the published playbooks")?,
        };
        if records.is_empty() && (reader.lag() == 0 || Instant::now() > until) {
            return Ok(latest.map(|(_, _, published)| published));
        }
        for record in records {
            // What cannot be read is a dead letter of scoring.
            let Ok(v1::PlaybookRecord { meta: Some(meta), event: Some(Event::Published(published)) }) =
                v1::PlaybookRecord::decode(record.payload.as_slice())
            else {
                continue;
            };
            let order = (meta.occurred_at_ms, meta.event_id);
            if latest.as_ref().is_none_or(|(at, id, _)| (*at, id) < (order.0, &order.1)) {
                latest = Some((order.0, order.1, published));
            }
        }
    }
}
