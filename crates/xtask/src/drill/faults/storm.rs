//! F11: members come and go faster than a group finds together.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::drill::fault::{Fault, Struck};
use crate::drill::scene::{Plan, Scene};
use crate::drill::service::Service;

const EVERY: Duration = Duration::from_secs(3);
const SESSION_MS: u64 = 6_000;
/// Members of each service beside the one that stays.
const MORE: u16 = 2;

/// F11.
pub(super) struct Storm;

impl Fault for Storm {
    fn name(&self) -> &'static str {
        "F11"
    }

    fn about(&self) -> &'static str {
        "rebalance storm: every 3 s a member of some service comes, ends or is killed, for --storm-seconds"
    }

    fn prepare(&self, plan: &mut Plan) {
        plan.arguments.push(format!("--kafka-session-timeout-ms={SESSION_MS}"));
        plan.arguments.push("--kafka-transaction-timeout-ms=10000".to_owned());
        plan.leaves_a_transaction_open = true;
    }

    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        let storm = scene.plan.storm;
        let seconds = usize::try_from(storm.as_secs()).unwrap_or(usize::MAX).max(1);
        let _trickle = scene.feeder.trickle(scene.feeder.len() * 4 / 5 / seconds + 1)?;
        let before = scene.watch.records();
        let begun = Instant::now();
        let (mut changes, mut while_working) = (0, 0);
        while begun.elapsed() < storm {
            let seen = scene.watch.records();
            change(scene)?;
            changes += 1;
            let next = Instant::now();
            scene.wait(EVERY, |_| Ok(next.elapsed() >= EVERY))?;
            while_working += usize::from(scene.watch.records() > seen);
        }
        let done = scene.watch.records() - before;
        scene.note(format!("{changes} changes, {while_working} of them with records coming, {done} records"));
        let mut struck = Struck::landed(changes >= 3 && while_working * 2 >= changes);
        let ended: Vec<_> = unexpected_ends(scene)?;
        struck.violations.extend(ended);
        Ok(struck)
    }
}

/// One member comes, ends in good order, or is killed.
fn change(scene: &mut Scene<'_>) -> Result<()> {
    let services = [Service::Identity, Service::Scoring, Service::Qualification, Service::Handoff];
    let service = *scene.random.one_of(&services);
    let slot = 1 + u16::try_from(scene.random.below(usize::from(MORE))).unwrap_or(0);
    let known = scene.members.iter().any(|member| member.service == service && member.slot == slot);
    let what = if !known {
        scene.add(service, slot)?;
        "comes"
    } else if scene.member(service, slot).process.pid().is_none() {
        scene.member(service, slot).revive()?;
        "comes again"
    } else if scene.random.percent(50) {
        scene.member(service, slot).kill()?;
        "is killed"
    } else {
        let member = scene.member(service, slot);
        // One that has just come may not be ready to end in good order yet.
        if member.end().is_err() {
            member.kill()?;
        }
        "ends"
    };
    scene.note(format!("{}-{slot} {what}", service.name()));
    Ok(())
}

/// The members that stay must not have ended.
fn unexpected_ends(scene: &mut Scene<'_>) -> Result<Vec<String>> {
    let mut ended = Vec::new();
    for member in scene.members.iter_mut().filter(|member| member.slot == 0) {
        if let Some(status) = member.process.ended()? {
            ended.push(format!("{} ended by itself: {status}", member.process.name()));
        }
    }
    Ok(ended)
}
