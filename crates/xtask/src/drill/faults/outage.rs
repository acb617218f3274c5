//! F5: brokers go and come back, at once or after some time, while everything works. Of three, each in turn is killed, so
//! that leaders and coordinators are among them; where there is only one, it is stopped in good order.

use std::time::{Duration, Instant};

use anyhow::Result;
use tasuki_testkit::kafka::KafkaBroker;

use crate::drill::Brokers;
use crate::drill::fault::{Fault, Struck};
use crate::drill::run::lag_is_gone;
use crate::drill::scene::{Plan, Scene};
use crate::drill::service::Service;

/// How long the whole load would suffice at the rate of this fault. Some of it is left when the last broker goes, then.
const SUFFICES_FOR_SECONDS: usize = 90;
const WORKING_WITHIN: Duration = Duration::from_secs(60);

/// F5. Of what a lone broker forgets when it is killed, docs/adr/0008 tells.
pub(super) struct Outage;

impl Fault for Outage {
    fn name(&self) -> &'static str {
        "F5"
    }

    fn about(&self) -> &'static str {
        "kill -9 each of three brokers while everything works; back at once, or after some seconds. With --brokers 1 the \
         only one is stopped in good order"
    }

    fn brokers(&self) -> Brokers {
        Brokers::Three
    }

    fn prepare(&self, plan: &mut Plan) {
        plan.with_ingest = true;
        plan.leaves_a_transaction_open = true;
    }

    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        let away = Duration::from_secs(5) + Duration::from_millis(scene.random.next() % 5_000);
        let outages = match scene.plan.brokers {
            Brokers::One => vec![(0, Duration::ZERO), (0, away)],
            Brokers::Three => {
                let mut brokers = [0, 1, 2];
                scene.random.shuffle(&mut brokers);
                brokers.into_iter().zip([Duration::ZERO, away, Duration::ZERO]).collect()
            }
        };
        let a_second = scene.feeder.len() / SUFFICES_FOR_SECONDS + 1;
        let mut landed = true;
        for (broker, away) in outages {
            let trickle = scene.feeder.trickle(a_second)?;
            // Something has been done, and something is left to do: the broker goes in the middle.
            let before = scene.watch.records();
            let working = scene.wait(WORKING_WITHIN, |scene| {
                let inputs = Service::Scoring.inputs();
                Ok(scene.watch.records() > before + 20 && !lag_is_gone(scene, Service::Scoring.name(), inputs)?)
            })?;
            landed &= working && scene.feeder.sent() < scene.feeder.len();
            let how = ends(scene, broker)?;
            scene.note(format!("broker {broker} {how}, in the middle of work: {working}"));
            let begun = Instant::now();
            scene.wait(away, |_| Ok(begun.elapsed() > away))?;
            drop(trickle);
            broker_of(scene, broker)?.restart()?;
            scene.note(format!("broker {broker} back after {:.1} s", begun.elapsed().as_secs_f64()));
        }
        Ok(Struck::landed(landed))
    }
}

/// It goes; says how.
fn ends(scene: &mut Scene<'_>, broker: usize) -> Result<&'static str> {
    let brokers = scene.plan.brokers;
    let gone = broker_of(scene, broker)?;
    match brokers {
        Brokers::One => gone.stop().map(|()| "stopped"),
        Brokers::Three => gone.kill9().map(|()| "killed"),
    }
}

fn broker_of<'s>(scene: &'s mut Scene<'_>, broker: usize) -> Result<&'s mut KafkaBroker> {
    match scene.plan.brokers {
        Brokers::One => Ok(&mut scene.world.kafka()?.broker),
        Brokers::Three => Ok(scene.world.cluster()?.broker(broker)),
    }
}
