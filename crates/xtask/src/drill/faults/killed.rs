//! F1: each service in turn is killed (SIGKILL) in the middle of a transaction.

use std::time::Duration;

use anyhow::Result;
use tasuki_testkit::proxy::kafka::{Api, Deed};
use tasuki_testkit::proxy::{Moment, postgres};

use crate::drill::fault::{Fault, Struck};
use crate::drill::scene::{Plan, Scene};
use crate::drill::service::Service;

/// How long a service may take to be in the middle of a transaction again, with load coming all the time.
const CAUGHT_WITHIN: Duration = Duration::from_secs(60);

/// Where in a transaction a worker is killed. Each time the proxy holds a request or its answer until the process is gone,
/// so the transaction is open: the worker ends none before all of these are answered.
const MOMENTS: [(Api, Moment); 6] = [
    (Api::Produce, Moment::After),
    (Api::Produce, Moment::After),
    (Api::Produce, Moment::Before),
    (Api::TxnOffsetCommit, Moment::After),
    (Api::EndTxn, Moment::Before),
    (Api::EndTxn, Moment::After),
];

/// F1.
pub(super) struct Killed;

impl Fault for Killed {
    fn name(&self) -> &'static str {
        "F1"
    }

    fn about(&self) -> &'static str {
        "kill -9 each service in turn, in the middle of a transaction, and start it again"
    }

    fn prepare(&self, plan: &mut Plan) {
        plan.through_kafka_proxy = true;
        plan.through_postgres_proxy = true;
    }

    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        let mut victims = Service::ALL;
        scene.random.shuffle(&mut victims);
        let mut landed = true;
        scene.feed_share(10)?;
        for victim in victims {
            let caught = if victim == Service::Projection { projection(scene)? } else { worker(scene, victim)? };
            if !caught {
                scene.note(format!("{} was not in a transaction within {CAUGHT_WITHIN:?}", victim.name()));
            }
            landed &= caught;
            scene.release_all()?;
            scene.member(victim, 0).revive()?;
            scene.feed_share(3)?;
        }
        Ok(Struck::landed(landed))
    }
}

fn worker(scene: &mut Scene<'_>, victim: Service) -> Result<bool> {
    let (api, moment) = *scene.random.one_of(&MOMENTS);
    let client = scene.client_of(victim, 0);
    let takes = move |call: &tasuki_testkit::proxy::kafka::Call| call.api == api && call.client == client;
    scene.world.kafka()?.proxy.next(Deed::Hold(moment), takes);
    let caught = caught(scene, |scene| Ok(scene.world.kafka()?.proxy.waiting() > 0))?;
    scene.member(victim, 0).kill()?;
    if caught {
        scene.note(format!("{} killed {moment:?} {api:?}", victim.name()));
    }
    Ok(caught)
}

fn projection(scene: &mut Scene<'_>) -> Result<bool> {
    let moment = *scene.random.one_of(&[Moment::Before, Moment::After]);
    if let Some(proxy) = &scene.postgres {
        proxy.next(postgres::Fate::Hold(moment), |commit| commit.rows > 0);
    }
    let caught = caught(scene, |scene| Ok(scene.postgres.as_ref().is_some_and(|proxy| proxy.held() > 0)))?;
    scene.member(Service::Projection, 0).kill()?;
    if caught {
        scene.note(format!("projection killed {moment:?} COMMIT"));
    }
    Ok(caught)
}

/// Lets some load come until the proxy holds what it was told to hold.
fn caught(scene: &mut Scene<'_>, holds: impl Fn(&mut Scene<'_>) -> Result<bool>) -> Result<bool> {
    let rounds = 60;
    for _ in 0..rounds {
        if scene.wait(CAUGHT_WITHIN / rounds, &holds)? {
            return Ok(true);
        }
        // About half a hundredth of the load at a time, so that it suffices for all victims.
        scene.feed((scene.feeder.len() / 200).max(1))?;
    }
    Ok(false)
}
