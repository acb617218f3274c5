//! What a fault is, and which there are.

use super::Brokers;
use super::faults;
use super::scene::{Plan, Scene};

/// One way to break the pipeline on Kafka.
pub(crate) trait Fault {
    /// `F1`, `F2` ...
    fn name(&self) -> &'static str;

    /// In a line, for `--list`.
    fn about(&self) -> &'static str;

    /// How many brokers it wants where nobody has said otherwise.
    fn brokers(&self) -> Brokers {
        Brokers::One
    }

    /// What its runs need that others do not: settings of services, proxies, another load. Before anything is started.
    fn prepare(&self, _plan: &mut Plan) {}

    /// Does harm in the middle of work, and says whether it landed there. All services of the plan run; the load comes
    /// only as far as it is released here ([`Scene::feed`], [`Feeder::trickle`](super::load::Feeder::trickle)). May
    /// leave processes dead, stopped or cut off: the run heals all of it afterwards, and releases the rest of the load.
    ///
    /// # Errors
    ///
    /// If the harm cannot be done: the run is invalid then.
    fn strike(&self, scene: &mut Scene<'_>) -> anyhow::Result<Struck>;
}

/// What became of a fault.
#[derive(Clone, Debug)]
pub(crate) struct Struck {
    /// Whether it happened in the middle of work, each time it was to.
    pub(crate) landed: bool,
    /// What is wrong already, without looking at any data: a zombie that was not shut out, say.
    pub(crate) violations: Vec<String>,
}

impl Struck {
    /// In the middle of work, or not.
    pub(crate) fn landed(landed: bool) -> Self {
        Self { landed, violations: Vec::new() }
    }
}

/// Every fault, in the order of their names.
pub(crate) fn all() -> Vec<Box<dyn Fault>> {
    faults::all()
}

/// Their names.
pub(crate) fn names() -> Vec<&'static str> {
    all().iter().map(|fault| fault.name()).collect()
}
