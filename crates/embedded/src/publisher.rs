//! Writing to the log from outside of processors.

use std::sync::Arc;
use std::time::Duration;

use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, PublishError, Publisher};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::log::{Shared, WAITING_KIB};
use crate::metrics;
use crate::writer::Job;

/// How long a publisher waits for its records to be durable.
const PUBLISH_WITHIN: Duration = Duration::from_secs(10);
/// No record is larger: readers hold some of them at once.
const LARGEST_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// Writes to the embedded log. Clones write to the same.
#[derive(Clone, Debug)]
pub struct EmbeddedPublisher {
    shared: Arc<Shared>,
}

/// Why the log did not take something.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the database has not been answering for a while")]
    Away,
    #[error("the database did not commit within {PUBLISH_WITHIN:?}")]
    Late,
    #[error("the log is closed")]
    Closed,
    #[error("a record has {0} bytes; at most {LARGEST_RECORD_BYTES} are allowed")]
    TooLarge(usize),
}

impl EmbeddedPublisher {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn write(&self, records: Vec<Emitted>) -> Result<(), PublishError> {
        if records.is_empty() {
            return Ok(());
        }
        let count = records.len();
        let size = |record: &Emitted| record.key.len() + record.payload.len();
        if let Some(size) = records.iter().map(size).find(|size| *size > LARGEST_RECORD_BYTES) {
            metrics::refused("size", count);
            return Err(PublishError::Refused(Refusal::TooLarge(size).into()));
        }
        if !self.shared.tails.is_available() {
            metrics::refused("unavailable", count);
            return Err(PublishError::Unavailable(Refusal::Away.into()));
        }
        let bytes = records.iter().map(size).sum::<usize>();
        // Even what is larger than all that may wait is taken when nothing else does.
        let kib = u32::try_from((bytes / 1024 + 1).min(WAITING_KIB)).unwrap_or(u32::MAX);
        let overloaded = || {
            metrics::refused("overloaded", count);
            PublishError::Overloaded
        };
        let waiting = Arc::clone(&self.shared.waiting).try_acquire_many_owned(kib).map_err(|_| overloaded())?;
        let (reply, written) = oneshot::channel();
        match self.shared.jobs.try_send(Job::Publish { records, bytes, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(overloaded()),
            Err(TrySendError::Closed(_)) => return Err(PublishError::Unavailable(Refusal::Closed.into())),
        }
        let answer = timeout(PUBLISH_WITHIN, written).await;
        drop(waiting);
        match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(PublishError::Unavailable(Refusal::Closed.into())),
            Err(_) => Err(PublishError::Unavailable(Refusal::Late.into())),
        }
    }
}

impl Publisher for EmbeddedPublisher {
    fn publish(&self, records: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(self.write(records))
    }
}
