//! F9: the projection sends COMMIT, Postgres does it, and the answer never arrives.

use std::time::Duration;

use anyhow::{Context, Result};
use tasuki_testkit::proxy::postgres::{Fate, Moment};

use super::fault::{Fault, Struck};
use super::scene::{Plan, Scene};

/// So many answers are dropped.
const DROPS: usize = 10;
/// How long the projection may take for so many commits, each of which it has to find out about.
const LANDS_WITHIN: Duration = Duration::from_secs(90);
/// Behavior events a second while it happens.
const TRICKLE: usize = 300;

/// The fault.
pub(crate) struct UnknownOutcome;

impl Fault for UnknownOutcome {
    fn name(&self) -> &'static str {
        "F9"
    }

    fn about(&self) -> &'static str {
        "the answers to ten of the projection's COMMITs are dropped after Postgres has done them"
    }

    fn prepare(&self, plan: &mut Plan) {
        plan.through_postgres_proxy = true;
    }

    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        scene.feed_share(10)?;
        let between = 1 + scene.random.below(4);
        let proxy = scene.postgres.as_ref().context("the plan has a proxy")?;
        let (mut written, mut dropped) = (0, 0);
        proxy.decide(move |commit| {
            // What the projection commits has rows: at least the watermark.
            written += usize::from(commit.rows > 0);
            if commit.rows == 0 || dropped == DROPS || written % between != 0 {
                return Fate::Pass;
            }
            dropped += 1;
            Fate::Cut(Moment::After)
        });
        let trickle = scene.feeder.trickle(TRICKLE)?;
        let landed = scene.wait(LANDS_WITHIN, |scene| Ok(landed(scene) >= DROPS))?;
        drop(trickle);
        let rows: Vec<_> = scene.postgres.iter().flat_map(|proxy| proxy.landed()).map(|one| one.commit.rows).collect();
        scene.note(format!("answers dropped after commits of {rows:?} rows, every {between}. commit"));
        Ok(Struck::landed(landed))
    }
}

/// How many commits Postgres has done without the projection hearing of it.
fn landed(scene: &Scene<'_>) -> usize {
    scene.postgres.as_ref().map_or(0, |proxy| proxy.landed().len())
}
