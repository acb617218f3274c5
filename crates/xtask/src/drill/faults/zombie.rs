//! F4: a worker sleeps (SIGSTOP) in the middle of a transaction until others have done its work, and wakes up.

use std::time::Duration;

use anyhow::Result;
use tasuki_testkit::proxy::Moment;
use tasuki_testkit::proxy::kafka::{Api, Call, Deed};

use crate::drill::fault::{Fault, Struck};
use crate::drill::run::lag_is_gone;
use crate::drill::scene::{Plan, Scene};
use crate::drill::service::Service;

/// The shortest that brokers take.
const SESSION_MS: u64 = 6_000;
/// The shortest that the settings take: until the broker ends the sleeper's transaction, nobody takes over.
const TRANSACTION_MS: u64 = 10_000;
const CAUGHT_WITHIN: Duration = Duration::from_secs(60);
/// Session and transaction both run out before anybody can take over.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(90);

/// F4.
pub(super) struct Zombie;

impl Fault for Zombie {
    fn name(&self) -> &'static str {
        "F4"
    }

    fn about(&self) -> &'static str {
        "SIGSTOP a worker in the middle of a transaction until another has taken over, then SIGCONT"
    }

    fn prepare(&self, plan: &mut Plan) {
        plan.through_kafka_proxy = true;
        plan.arguments.push(format!("--kafka-session-timeout-ms={SESSION_MS}"));
        plan.arguments.push(format!("--kafka-transaction-timeout-ms={TRANSACTION_MS}"));
    }

    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        let victims = [Service::Identity, Service::Scoring, Service::Qualification, Service::Handoff];
        let victim = *scene.random.one_of(&victims);
        scene.add(victim, 1)?;
        scene.wait_until_ready()?;
        scene.feed_share(10)?;
        let client = scene.client_of(victim, 0);
        let takes = move |call: &Call| call.api == Api::Produce && call.client == client;
        scene.world.kafka()?.proxy.next(Deed::Hold(Moment::After), takes);
        let mut caught = false;
        for _ in 0..60 {
            caught = scene.wait(CAUGHT_WITHIN / 60, |scene| Ok(scene.world.kafka()?.proxy.waiting() > 0))?;
            if caught {
                break;
            }
            scene.feed((scene.feeder.len() / 200).max(1))?;
        }
        scene.member(victim, 0).freeze()?;
        scene.note(format!("{} sleeps, in the middle of a transaction: {caught}", victim.name()));
        scene.release_all()?;
        scene.feed_share(15)?;
        let taken_over = scene.wait(TAKEN_OVER_WITHIN, |scene| lag_is_gone(scene, victim.name(), victim.inputs()))?;
        scene.note(format!("the other has done its work: {taken_over}"));
        scene.member(victim, 0).thaw()?;
        scene.note("awake");
        // Work for whoever believes that it is its own.
        scene.feed_share(15)?;
        let mut struck = Struck::landed(caught && taken_over);
        let done = scene.wait(TAKEN_OVER_WITHIN, |scene| lag_is_gone(scene, victim.name(), victim.inputs()))?;
        if !done {
            struck.violations.push(format!("lag of {} stays after the sleeper is awake", victim.name()));
        }
        let ended = scene.member(victim, 0).process.ended()?;
        scene.note(format!("the sleeper {}", ended.map_or("goes on".to_owned(), |status| format!("ended: {status}"))));
        Ok(struck)
    }
}
