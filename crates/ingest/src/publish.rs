//! Writing what became of a request: behavior records and dead letters in one call, durable before the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use rustc_hash::FxHashSet;
use sha2::{Digest, Sha256};
use tasuki_domain::{EventId, Timestamp};
use tasuki_stream::Emitted;
use tasuki_stream::log::{PublishError, Publisher};
use tasuki_wire::Topic;
use tasuki_wire::v1::dead_letter::FoundAt;
use tasuki_wire::v1::{DeadLetter, DeadLetterKind, HttpPlace};

use crate::adapter::Outcome;
use crate::answer::Refusal;
use crate::fingerprint::hex;
use crate::metrics::{self, Books, Tally};
use crate::observed::{BadRecord, Record, key_of};
use crate::privacy::PrivacyPolicy;
use crate::spool::{Entry, Spool, Unspooled};

/// How long a local disk may take.
const SPOOL_WITHIN: Duration = Duration::from_secs(4);

/// What the message of a dead letter says when its original is not whole.
pub(crate) const CUT: &str = "(the original is cut to";

/// Where the events of a request came from, for dead letters.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) source: String,
    pub(crate) protocol: &'static str,
    pub(crate) method: String,
    /// Path and query, write keys taken out.
    pub(crate) target: String,
    pub(crate) content_type: String,
    pub(crate) received_at: Timestamp,
    /// The body as sent; empty if it is no longer there.
    pub(crate) wire: Bytes,
    /// Larger originals are cut.
    pub(crate) max_bytes: usize,
    /// What the visitor asks for, as far as the policy follows it.
    pub(crate) privacy: PrivacyPolicy,
}

impl Place {
    /// Where the events of an entry of the spool came from, as far as that is still known.
    pub(crate) fn spooled(source: &str, protocol: &'static str, received_at: Timestamp) -> Self {
        Self {
            source: source.to_owned(),
            protocol,
            method: String::new(),
            target: String::new(),
            content_type: String::new(),
            received_at,
            wire: Bytes::new(),
            max_bytes: usize::MAX,
            privacy: PrivacyPolicy::Ignore,
        }
    }

    /// Tells dead letters of one request from those of another. Worked out only where there is one: it would cost as
    /// much as half of all else that is done with a body.
    fn request_id(&self) -> Vec<u8> {
        if self.wire.is_empty() && self.target.is_empty() {
            return vec![0; 16];
        }
        let mut digest = Sha256::new();
        digest.update(self.received_at.as_millis().to_be_bytes());
        digest.update(self.target.as_bytes());
        digest.update(&self.wire);
        digest.finalize()[..16].to_vec()
    }
}

/// What one request writes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Emitted>,
    pub(crate) tally: Tally,
}

impl Batch {
    /// Everything a request became. Exact copies within it (same id, same content) are dropped.
    pub(crate) fn of(outcomes: Vec<Outcome>, place: &Place) -> Self {
        let mut batch = Self::default();
        let mut seen = FxHashSet::with_capacity_and_hasher(outcomes.len(), Default::default());
        batch.records.reserve_exact(outcomes.len());
        for outcome in outcomes {
            match outcome {
                Err(bad) => batch.add_bad(&bad, place),
                Ok(record) if !seen.insert((record.event_id, record.payload_hash)) => batch.tally.deduplicated += 1,
                Ok(record) => batch.add(record, place.privacy),
            }
        }
        batch
    }

    /// Adds a behavior record, as it may be kept.
    fn add(&mut self, record: Record, privacy: PrivacyPolicy) {
        let Record { key, payload, .. } = match privacy {
            PrivacyPolicy::Ignore => record,
            PrivacyPolicy::Anonymise | PrivacyPolicy::Drop => {
                let read = record.read();
                let before = read.flags.len();
                let Some(kept) = privacy.apply(read) else {
                    self.tally.dropped += 1;
                    return;
                };
                self.tally.anonymised += u64::from(kept.flags.len() > before);
                let key = kept.identifiers.as_ref().and_then(key_of).expect("what is kept names somebody");
                Record { key, payload: kept.encode_to_vec(), ..record }
            }
        };
        self.tally.accepted += 1;
        self.records.push(Emitted { topic: Topic::Behavior, key, payload });
    }

    /// Keeps a bad record as a dead letter. What cannot be read cannot be made anonymous: of a visitor who asks not to
    /// be tracked only the fault is kept, or nothing.
    pub(crate) fn add_bad(&mut self, bad: &BadRecord, place: &Place) {
        let letter = match place.privacy {
            PrivacyPolicy::Ignore => dead_letter(bad, place),
            PrivacyPolicy::Anonymise => {
                let target = place.target.split('?').next().unwrap_or_default().to_owned();
                dead_letter(&BadRecord { original: Vec::new(), ..bad.clone() }, &Place { target, ..place.clone() })
            }
            PrivacyPolicy::Drop => {
                self.tally.dropped += 1;
                return;
            }
        };
        self.tally.bad.push(bad.code);
        self.records.push(letter);
    }
}

/// The dead letter of a bad record. Its id derives from what it is, so that a re-send gives the same letter.
fn dead_letter(bad: &BadRecord, place: &Place) -> Emitted {
    let digest = hex(&Sha256::digest(&bad.original));
    let name = format!("dead letter {} {} {} {digest}", place.source, place.protocol, bad.code);
    let mut message = bad.message.clone();
    let mut original = bad.original.as_slice();
    if original.len() > place.max_bytes {
        message = format!("{message} {CUT} {} of {} bytes)", place.max_bytes, original.len());
        original = &original[..place.max_bytes];
    }
    let letter = DeadLetter {
        id: EventId::reported("ingest", &name).as_bytes().to_vec(),
        service: "ingest".to_owned(),
        kind: bad.kind.into(),
        code: bad.code.to_owned(),
        message,
        received_at_ms: place.received_at.as_millis(),
        original: original.to_vec().into(),
        found_at: Some(FoundAt::Http(HttpPlace {
            source: place.source.clone(),
            protocol: place.protocol.to_owned(),
            method: place.method.clone(),
            target: place.target.clone(),
            content_type: place.content_type.clone(),
            pointer: bad.pointer.clone(),
            item: bad.item,
            request_id: place.request_id(),
            repairs: bad.repairs.iter().map(|repair| (*repair).to_owned()).collect(),
        })),
    };
    Emitted { topic: Topic::DeadLetters, key: place.source.clone(), payload: letter.encode_to_vec() }
}

/// Writes a batch by the deadline and books it: as what it became, or as refused.
///
/// What its client would not send again goes to the spool where the log does not take it, and at once where something
/// waits there already: those who do not come back are not made to wait for a log that is away, and stay in order.
pub(crate) async fn publish(
    publisher: &dyn Publisher,
    spool: Option<&Spool>,
    batch: Batch,
    place: &Place,
    deadline: Instant,
    books: &Books,
) -> Result<(), Refusal> {
    let Batch { records, mut tally } = batch;
    let records = Arc::new(records);
    let as_read = tally.clone();
    if let Some(spool) = spool
        && let Some(_turn) = spool.behind().await
    {
        return keep(spool, &records, as_read, place, None).await;
    }
    let written = tokio::time::timeout_at(deadline.into(), write(publisher, &records, &mut tally, place)).await;
    let refusal = match written {
        Ok(Ok(())) => {
            books.book(&tally, &place.source, place.protocol);
            return Ok(());
        }
        Ok(Err(PublishError::Overloaded)) => Refusal::Overloaded,
        Ok(Err(error @ (PublishError::Unavailable(_) | PublishError::Refused(_)))) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "not written");
            Refusal::Unavailable
        }
        Err(_elapsed) => {
            metrics::ack_unknown(place.protocol);
            Refusal::Deadline
        }
    };
    if let Some(spool) = spool {
        let _turn = spool.turn().await;
        return keep(spool, &records, as_read, place, Some(refusal)).await;
    }
    tally.all_refused(refusal.code()).book(&place.source, place.protocol);
    Err(refusal)
}

/// Keeps a batch in the spool and books it: as spooled, or as refused, for the reason the log had if there is one.
async fn keep(
    spool: &Spool,
    records: &[Emitted],
    tally: Tally,
    place: &Place,
    before: Option<Refusal>,
) -> Result<(), Refusal> {
    let entry = Entry::new(&place.source, place.protocol, place.received_at, records);
    let refusal = match spool.put(&entry, SPOOL_WITHIN).await {
        Ok(()) => {
            tally.all_spooled().book(&place.source, place.protocol);
            return Ok(());
        }
        Err(Unspooled::Full) => Refusal::SpoolFull,
        Err(error @ (Unspooled::Slow | Unspooled::Broken(_))) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "not spooled");
            before.unwrap_or(Refusal::Unavailable)
        }
    };
    tally.all_refused(refusal.code()).book(&place.source, place.protocol);
    Err(refusal)
}

/// Writes all at once. Where the log will never take one of them, one by one, so that only that one is kept as a dead
/// letter; what is written twice by this is dropped downstream.
pub(crate) async fn write(
    publisher: &dyn Publisher,
    records: &Arc<Vec<Emitted>>,
    tally: &mut Tally,
    place: &Place,
) -> Result<(), PublishError> {
    if records.is_empty() {
        return Ok(());
    }
    match publisher.publish_kept(Arc::clone(records)).await {
        Err(PublishError::Refused(_)) => {}
        result => return result,
    }
    for record in records.iter() {
        let refused = match publisher.publish(vec![record.clone()]).await {
            Err(PublishError::Refused(error)) => error,
            Ok(()) => continue,
            Err(error) => return Err(error),
        };
        if record.topic != Topic::Behavior {
            return Err(PublishError::Refused(refused));
        }
        let message = format!("the log refuses the record: {refused}");
        let bad = BadRecord::new(DeadLetterKind::Size, "log-refused", message).found("", 0, &record.payload, &[]);
        publisher.publish(vec![dead_letter(&bad, place)]).await?;
        tally.accepted = tally.accepted.saturating_sub(1);
        tally.bad.push(bad.code);
    }
    Ok(())
}
