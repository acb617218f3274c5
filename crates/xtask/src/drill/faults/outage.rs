//! F5: the broker is restarted, and then away for some time, while everything works.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::drill::fault::{Fault, Struck};
use crate::drill::run::lag_is_gone;
use crate::drill::scene::{Plan, Scene};
use crate::drill::service::Service;

/// Until clients send everything, at the rate of this fault.
const SENT_WITHIN_SECONDS: usize = 30;
const WORKING_WITHIN: Duration = Duration::from_secs(60);

/// F5, in good order: of what a lone broker forgets when it is killed, docs/adr/0008 tells.
pub(super) struct Outage;

impl Fault for Outage {
    fn name(&self) -> &'static str {
        "F5"
    }

    fn about(&self) -> &'static str {
        "stop the only broker in good order while everything works: once at once back, once away for some seconds"
    }

    fn prepare(&self, plan: &mut Plan) {
        plan.with_ingest = true;
        plan.leaves_a_transaction_open = true;
    }

    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        let a_second = scene.feeder.len() / SENT_WITHIN_SECONDS;
        let _trickle = scene.feeder.trickle(a_second)?;
        let away = Duration::from_secs(5) + Duration::from_millis(scene.random.next() % 5_000);
        let mut landed = true;
        for away in [Duration::ZERO, away] {
            // Something has been done, and something is left to do: the broker goes in the middle.
            let before = scene.watch.records();
            let working = scene.wait(WORKING_WITHIN, |scene| {
                let inputs = Service::Scoring.inputs();
                Ok(scene.watch.records() > before + 20 && !lag_is_gone(scene, Service::Scoring.name(), inputs)?)
            })?;
            landed &= working && scene.feeder.sent() < scene.feeder.len();
            scene.world.kafka()?.broker.stop()?;
            scene.note(format!("broker stopped, in the middle of work: {working}"));
            let stopped = Instant::now();
            scene.wait(away, |_| Ok(stopped.elapsed() > away))?;
            scene.world.kafka()?.broker.restart()?;
            scene.note(format!("broker back after {:.1} s", stopped.elapsed().as_secs_f64()));
        }
        Ok(Struck::landed(landed))
    }
}
