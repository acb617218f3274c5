//! Runs the services of the pipeline on Kafka, exactly once: one Kafka transaction holds the outputs of a service, the
//! changes of its state, its dead letters and the offsets of what it read.
//!
//! [`KafkaLog::open`] checks the broker and makes the topics. [`KafkaLog::run_worker`] runs a [`Processor`] on a thread:
//! `worker` is its loop, `group` what the consumer group says, `partitions` what is kept for each partition, `restore`
//! how state comes back, `producer` the transactions, `poison` what becomes of records that cannot be processed.
//! [`KafkaPublisher`] and [`KafkaReader`] are for those that are no processors.
//!
//! `examples/count_page_views.rs` is a whole processor, and how it is run.
//!
//! # Rules
//!
//! What librdkafka and brokers do to transactions, and what is done about it (`docs/adr/0008` says why), and the tests that
//! look after it: each was seen to fail when what stands before it was taken away. A build with the feature `drill` can
//! switch R1 and R3 off (`--kafka-without`).
//!
//! | | rule | where | taken away | test that fails then |
//! |---|---|---|---|---|
//! | R1 | after any failure a new producer of the same name; never abort and go on | `worker::failure::undo`, `producer::rebuild` | the replacement | `after_a_transaction_that_was_given_up_the_producer_is_another`; `a_worker_tells_what_it_does_and_what_it_keeps` |
//! | R2 | offsets last, with the group's metadata: that is what stops a worker that lost its partitions | `producer::commit` | that call | `a_worker_that_slept_while_another_did_its_work_takes_nothing_for_granted` |
//! | R3 | a new producer also after a commit that may have been repeated unseen | `producer::commit`; `settings` keeps `retry.backoff.ms` at 100 or more | the time of the end; that of the offsets; the check | `a_late_end_of_a_transaction_does_not_end_the_next_one`; `offsets_that_come_late_do_not_replace_those_of_the_next_transaction`; `a_short_retry_backoff_is_refused` |
//! | R4 | offsets move with transactions only; the transaction of a revoked partition is over before the group hears of it | `client::consumer`, `worker::follow`, `partitions::offsets_of_transaction` | `enable.auto.commit`; the commit at a revocation | `nothing_moves_offsets_but_transactions`; `partitions_move_between_workers_and_back_without_loss_or_repetition` |
//! | R5 | blocking calls are watched; what librdkafka only logs ends the session | `watchdog`, `client::Alarm` | the verdict; a word of the log | `a_call_that_does_not_come_back_though_brokers_answer_is_stuck`; `what_librdkafka_only_logs_but_does_not_recover_from_raises_the_alarm` |
//! | R6 | transactions are bounded in time, records and bytes | `commit::Pace`, `client::transactional` | the bound in bytes; `transaction.timeout.ms` | `commits_when_full`; `a_transaction_lasts_no_longer_than_is_set_and_holds_no_more` |
//! | R7 | ids are derived and versions gapless, so that a repetition is dropped and a gap reported | `tasuki_stream::admit` | the comparison | `versions_are_new_repeated_or_missing` |
//!
//! # Memory
//!
//! Of one worker, at most, each part by its setting:
//!
//! ```text
//!   --kafka-read-ahead-kib     records read ahead, and the fetch under way
//! + --kafka-write-queue-kib    records given to librdkafka and not acknowledged; full: the worker waits
//! + --kafka-transaction-records x a decoded state     the overlay: states touched by the transaction under way
//! + state                      tasuki_kafka_state_bytes, and what map and allocations take per key
//! + parked state               as much again, while partitions given back are taken up anew
//! ```
//!
//! A broker that answers slowly makes the worker wait: `tests/back_pressure.rs` delays each of its answers by 100 ms, has 60 MB
//! written through a queue of 1 MiB, and saw 52 records of 20 kB in flight at most and the process grow by 7 MB.
//!
//! A worker with nothing to do waits in polls of 100 ms. `tests/idle.rs` saw it take 0.25 % of a core, in a debug build.
//!
//! [`Processor`]: tasuki_stream::Processor

mod client;
mod commit;
mod group;
mod metrics;
mod open;
mod partitions;
mod poison;
mod polled;
mod producer;
mod publisher;
mod reader;
mod restore;
mod settings;
mod topics;
mod watchdog;
mod worker;

pub use metrics::describe as describe_metrics;
pub use open::{KafkaLog, OpenError};
pub use publisher::KafkaPublisher;
pub use reader::KafkaReader;
#[cfg(feature = "drill")]
pub use settings::Rule;
pub use settings::{Fault, InvalidSettings, Property, Settings};
pub use topics::Difference;
pub use worker::WorkerError;
