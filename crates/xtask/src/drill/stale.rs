//! F3: a request of a transaction that is over reaches the broker while the next one is under way.
//!
//! librdkafka repeats a request whose connection broke, on another connection, and tells nobody. What was sent first may
//! still be on its way. Here the proxy makes sure of it: it holds the request, ends the connection, lets the repetition
//! win, and lets what it holds go in the middle of the next transaction.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tasuki_testkit::proxy::kafka::{Api, Deed, LateRequest, Release};
use tasuki_wire::Topic;

use super::fault::{Fault, Struck};
use super::scene::{Plan, Scene};
use super::service::Service;

/// How long the worker may take to send what is waited for, repeat it, and come to its next transaction.
const LANDS_WITHIN: Duration = Duration::from_secs(60);
/// Behavior events a second while it happens: enough that every transaction has something in it.
const TRICKLE: usize = 200;
/// Behavior events at once: enough for one long transaction.
const BURST: usize = 1_500;
/// How long they may take to reach the worker's input.
const BURST_WITHIN: Duration = Duration::from_secs(6);
/// How long a heartbeat that the coordinator refuses may take to end a transaction, before the next one is tried.
const ABORTS_WITHIN: Duration = Duration::from_secs(4);

/// The fault.
pub(crate) struct Stale;

/// Which request is late, and when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// The end of a committed transaction, after the first records of the next one; then the process is killed. Taken for
    /// the next one's end, it would show records whose inputs are read again.
    CommitThenKill,
    /// The same, and the process goes on.
    Commit,
    /// The end of a committed transaction, between the offsets of the next one and its end.
    CommitAfterOffsets,
    /// The end of an aborted transaction, after the last record of the next one and before its offsets. Taken for the
    /// next one's end, it would lose its records and keep its offsets: silently.
    Abort,
    /// Offsets of a committed transaction, after those of the next one. Taken for the next one's, they would go back.
    Offsets,
}

impl Variant {
    const ALL: [Self; 5] = [Self::CommitThenKill, Self::Commit, Self::CommitAfterOffsets, Self::Abort, Self::Offsets];

    const fn held(self) -> Api {
        match self {
            Self::CommitThenKill | Self::Commit | Self::CommitAfterOffsets => Api::EndTxn,
            Self::Abort => Api::AbortTxn,
            Self::Offsets => Api::TxnOffsetCommit,
        }
    }

    const fn release(self) -> Release {
        match self {
            Self::CommitThenKill | Self::Commit => Release::After(Api::Produce),
            Self::CommitAfterOffsets | Self::Offsets => Release::After(Api::TxnOffsetCommit),
            Self::Abort => Release::Before(Api::AddOffsetsToTxn),
        }
    }
}

impl Fault for Stale {
    fn name(&self) -> &'static str {
        "F3"
    }

    fn about(&self) -> &'static str {
        "late ends of transactions (committed and aborted) and late offsets reach the broker during the next transaction"
    }

    fn prepare(&self, plan: &mut Plan) {
        plan.through_kafka_proxy = true;
        let arguments = [
            // How soon a refused heartbeat is noticed.
            "--kafka-property=heartbeat.interval.ms=300",
            // A transaction is open most of the time: something happens in its middle, not between two.
            "--kafka-commit-interval-ms=150",
            "--kafka-commit-latest-ms=300",
        ];
        plan.arguments_of.extend(arguments.map(|argument| (Service::Scoring, argument.to_owned())));
    }

    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        scene.feed_share(10)?;
        let mut variants = Variant::ALL;
        scene.random.shuffle(&mut variants);
        let mut landed = true;
        for variant in variants {
            let trickle = scene.feeder.trickle(TRICKLE)?;
            let answer = spring(scene, variant)?;
            landed &= answer.is_some();
            drop(trickle);
            let answer =
                answer.map_or_else(|| "did not land".to_owned(), |answer| format!("the broker answered {answer:?}"));
            scene.note(format!("{variant:?}: {answer}"));
            scene.heal()?;
        }
        Ok(Struck::landed(landed))
    }
}

/// Lets one late request happen, and says how the broker answered it; `None` if it did not come about.
fn spring(scene: &mut Scene<'_>, variant: Variant) -> Result<Option<Vec<i16>>> {
    let prefix = scene.prefix.clone();
    let client = scene.member(Service::Scoring, 0).client(&prefix);
    let kills = variant == Variant::CommitThenKill;
    let late = LateRequest { hold: variant.held(), of: client.clone(), release: variant.release(), then_wait: kills };
    scene.world.kafka()?.proxy.hold(late);
    if variant == Variant::Abort {
        make_it_abort(scene, &client)?;
    }
    let mut answer = None;
    scene.wait(LANDS_WITHIN, |scene| {
        answer = scene.world.kafka()?.proxy.landed().ok().map(|landed| landed.answer);
        Ok(answer.is_some())
    })?;
    if kills {
        scene.member(Service::Scoring, 0).kill()?;
        scene.world.kafka()?.proxy.let_go();
    }
    Ok(answer)
}

/// Makes the worker abort a transaction while nothing is wrong with its producer: the coordinator refuses a heartbeat as
/// that of a member that slept through a rebalance, so its partitions may be another's. Only of a long transaction is
/// something on the broker before its end; so the process is stopped while its input comes. If none was under way when
/// the heartbeat was refused, another is.
fn make_it_abort(scene: &mut Scene<'_>, client: &str) -> Result<()> {
    let begun = Instant::now();
    for heartbeats in (1..=3).cycle() {
        if begun.elapsed() > LANDS_WITHIN {
            break;
        }
        scene.member(Service::Scoring, 0).freeze()?;
        let before = scene.watch.count(Topic::Activity);
        scene.feed(BURST)?;
        scene.wait(BURST_WITHIN, |scene| Ok(scene.watch.count(Topic::Activity) >= before + BURST / 2))?;
        let (its_own, mut passed) = (client.to_owned(), 0);
        scene.world.kafka()?.proxy.decide(move |call| {
            if call.api != Api::Heartbeat || call.client != its_own {
                return Deed::Pass;
            }
            passed += 1;
            if passed == heartbeats + 1 { Deed::Outdate } else { Deed::Pass }
        });
        scene.member(Service::Scoring, 0).thaw()?;
        let aborts = |scene: &mut Scene<'_>| Ok(scene.world.kafka().context("the broker")?.proxy.holds().is_ok());
        if scene.wait(ABORTS_WITHIN, aborts)? {
            return Ok(());
        }
    }
    bail!("no refused heartbeat met a transaction under way")
}
