//! F3: a request of a transaction that is over reaches the broker while the next one is under way.
//!
//! librdkafka repeats a request whose connection broke, on another connection, and tells nobody. What was sent first may
//! still be on its way. Here the proxy makes sure of it: it holds the request, ends the connection, lets the repetition
//! win, and lets what it holds go in the middle of the next transaction.

use std::time::Duration;

use anyhow::Result;
use tasuki_testkit::proxy::kafka::{Api, Call, Deed, Landed, LateRequest, Release};

use super::fault::{Fault, Struck};
use super::scene::{Plan, Scene};
use super::service::Service;

/// How long the worker may take to send what is waited for, repeat it, and come to its next transaction.
const LANDS_WITHIN: Duration = Duration::from_secs(60);
/// Behavior events a second while it happens: enough that every transaction has something in it.
const TRICKLE: usize = 200;

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
        // A transaction holds several records, so that it has a middle.
        for argument in ["--kafka-commit-interval-ms=100", "--kafka-commit-latest-ms=200"] {
            plan.arguments_of.push((Service::Scoring, argument.to_owned()));
        }
    }

    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        scene.feed_share(10)?;
        let mut variants = Variant::ALL;
        scene.random.shuffle(&mut variants);
        let mut landed = true;
        for variant in variants {
            let trickle = scene.feeder.trickle(TRICKLE)?;
            let outcome = spring(scene, variant)?;
            landed &= outcome.is_some();
            drop(trickle);
            let outcome = outcome.unwrap_or_else(|| "did not land".to_owned());
            scene.note(format!("{variant:?}: {outcome}"));
            scene.heal()?;
        }
        Ok(Struck::landed(landed))
    }
}

/// Lets one late request happen, and says what became of it; `None` if it did not come about.
fn spring(scene: &mut Scene<'_>, variant: Variant) -> Result<Option<String>> {
    let prefix = scene.prefix.clone();
    let client = scene.member(Service::Scoring, 0).client(&prefix);
    let kills = variant == Variant::CommitThenKill;
    let late = LateRequest { hold: variant.held(), of: client.clone(), release: variant.release(), then_wait: kills };
    scene.world.kafka()?.proxy.hold(late);
    if variant == Variant::Abort {
        make_it_abort(scene, &client)?;
    }
    let mut outcome = None;
    scene.wait(LANDS_WITHIN, |scene| {
        let landed = scene.world.kafka()?.proxy.landed().ok();
        outcome = landed.map(|landed| {
            let Landed { answer, repeated_within, initialised } = landed;
            format!(
                "{:?} was late, repeated within {} ms; {initialised} new producers, then the broker answered {answer:?}",
                variant.held(),
                repeated_within.as_millis()
            )
        });
        Ok(outcome.is_some())
    })?;
    if kills {
        scene.member(Service::Scoring, 0).kill()?;
        scene.world.kafka()?.proxy.let_go();
    }
    Ok(outcome)
}

/// Has the coordinator refuse heartbeats, as those of a member that slept through a rebalance, until the worker gives up
/// the transaction it has open: its partitions may belong to others already. That is where a worker aborts a transaction
/// itself, and goes on; the end that it sends is what the proxy holds.
fn make_it_abort(scene: &mut Scene<'_>, client: &str) -> Result<()> {
    let its_own = client.to_owned();
    let refuse = move |call: &Call| {
        let refused = call.api == Api::Heartbeat && call.client == its_own;
        if refused { Deed::Outdate } else { Deed::Pass }
    };
    scene.world.kafka()?.proxy.decide(refuse);
    // A heartbeat may come between two transactions; the next one may not.
    scene.wait(LANDS_WITHIN, |scene| Ok(scene.world.kafka()?.proxy.has_caught()))?;
    scene.world.kafka()?.proxy.decide(|_| Deed::Pass);
    Ok(())
}
