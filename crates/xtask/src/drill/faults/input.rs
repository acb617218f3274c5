//! F12, F13, F14: the faults are in what clients send.

use std::time::Duration;

use anyhow::Result;
use tasuki_wire::Topic;

use crate::drill::fault::{Fault, Struck};
use crate::drill::load::Shape;
use crate::drill::scene::{Plan, Scene};

const WORKING_WITHIN: Duration = Duration::from_secs(60);

/// A fault that is in the load.
pub(super) struct Input {
    name: &'static str,
    about: &'static str,
    shape: Shape,
}

const PLAIN: Shape = Shape { duplicates: false, disorder: false, poison: false };

/// F12.
pub(super) const POISON: Input = Input {
    name: "F12",
    about: "poison at 1 % on behavior and sales-feedback: cut short, foreign, empty, wrong keys, unknown kinds",
    shape: Shape { poison: true, ..PLAIN },
};

/// F13.
pub(super) const DUPLICATES: Input = Input {
    name: "F13",
    about: "duplicates: whole batches again, every fifth event again, the first ones once more at the end",
    shape: Shape { duplicates: true, ..PLAIN },
};

/// F14.
pub(super) const DISORDER: Input = Input {
    name: "F14",
    about: "out of order within an hour, 1 % late by 30 days, 2 % ten minutes in the future",
    shape: Shape { disorder: true, ..PLAIN },
};

impl Fault for Input {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn prepare(&self, plan: &mut Plan) {
        plan.shape = self.shape;
    }

    /// Lets the load come in ten parts, each while the services work on the one before. Landed: they did, and where there
    /// was poison, scores followed after it.
    fn strike(&self, scene: &mut Scene<'_>) -> Result<Struck> {
        let mut landed = true;
        for _ in 0..10 {
            let before = scene.watch.count(Topic::Scores);
            scene.feed_share(10)?;
            landed &= scene.wait(WORKING_WITHIN, |scene| Ok(scene.watch.count(Topic::Scores) > before))?;
        }
        if self.shape.poison {
            let put_aside = scene.wait(WORKING_WITHIN, |scene| Ok(scene.watch.count(Topic::DeadLetters) > 0))?;
            landed &= put_aside && scene.feeder.load().records.iter().any(|sent| sent.poison.is_some());
        }
        let sent = scene.feeder.sent();
        scene.note(format!("{sent} records sent"));
        Ok(Struck::landed(landed))
    }
}
