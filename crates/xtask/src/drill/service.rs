//! The services as processes: started as operators start them, killed as nobody should.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tasuki_testkit::supervisor::Supervised;
use tasuki_wire::Topic;

/// How long a service may take to be ready: it may have to restore state while the machine is busy.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(90);
/// How long it may take to end when asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// What a service logs once it is.
const READY: &str = "everything is ready";

/// A command of the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Identity,
    Scoring,
    Qualification,
    Handoff,
    Projection,
    /// Only where clients send by HTTP.
    Ingest,
}

impl Service {
    /// Those that every run has, in the order of the flow.
    pub(crate) const ALL: [Self; 5] =
        [Self::Identity, Self::Scoring, Self::Qualification, Self::Handoff, Self::Projection];

    /// The command, and the name of the consumer group and of the members in it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Scoring => "scoring",
            Self::Qualification => "qualification",
            Self::Handoff => "handoff",
            Self::Projection => "projection",
            Self::Ingest => "ingest",
        }
    }

    /// What its consumer group reads; the projection has none, it keeps its positions with its rows, and ingest reads nothing.
    pub(crate) const fn inputs(self) -> &'static [Topic] {
        match self {
            Self::Identity => &[Topic::Behavior, Topic::IdentityLinks],
            Self::Scoring => &[Topic::Activity, Topic::Accounts],
            Self::Qualification => &[Topic::Scores, Topic::Handoff],
            Self::Handoff => &[Topic::Qualification, Topic::DeskDecisions, Topic::SalesFeedback],
            Self::Projection | Self::Ingest => &[],
        }
    }
}

/// The consumer groups and what they read; the desk runs in the process of handoff.
pub(crate) fn groups() -> impl Iterator<Item = (&'static str, &'static [Topic])> {
    let own = Service::ALL.into_iter().map(|service| (service.name(), service.inputs()));
    own.filter(|(_, inputs)| !inputs.is_empty()).chain([("desk", [Topic::DeskRequests].as_slice())])
}

/// What the projection reads.
pub(crate) const PROJECTED: [Topic; 7] = [
    Topic::Activity,
    Topic::Identities,
    Topic::Scores,
    Topic::Accounts,
    Topic::Qualification,
    Topic::Handoff,
    Topic::DeadLetters,
];

/// One process.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) service: Service,
    /// Its name among those of the same service.
    pub(crate) slot: u16,
    pub(crate) process: Supervised,
    /// Stopped by a signal at present.
    pub(crate) frozen: bool,
}

impl Member {
    /// Starts it; does not wait until it is ready.
    pub(crate) fn start(service: Service, slot: u16, command: Command, folder: &Path) -> Result<Self> {
        let name = format!("{}-{slot}", service.name());
        let process = Supervised::start(&name, command, &folder.join(format!("{name}.log")))?;
        Ok(Self { service, slot, process, frozen: false })
    }

    /// The name under which its worker is known to Kafka: transactional id, member of the group, client id.
    pub(crate) fn client(&self, prefix: &str) -> String {
        format!("{prefix}{}-{}-0", self.service.name(), self.slot)
    }

    /// Waits until it does its work.
    ///
    /// # Errors
    ///
    /// If it ends before, or takes too long.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if self.process.said()?.contains(READY) {
                return Ok(());
            }
            if let Some(status) = self.process.ended()? {
                bail!("{} ended with {status}: {}", self.process.name(), self.last_words());
            }
            if begun.elapsed() > READY_WITHIN {
                bail!("{} is not ready after {READY_WITHIN:?}: {}", self.process.name(), self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it tells on `/metrics`.
    ///
    /// # Errors
    ///
    /// If it has not said where that is, or does not answer.
    pub(crate) fn metrics(&self) -> Result<String> {
        let log = self.process.log()?;
        let address = log.lines().rev().find_map(|line| line.trim().strip_prefix("metrics"));
        let address = address.context("it has not said where its metrics are")?.trim();
        Ok(ureq::get(address).call()?.body_mut().read_to_string()?)
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.frozen = false;
        self.process.kill9()
    }

    pub(crate) fn freeze(&mut self) -> Result<()> {
        self.process.freeze()?;
        self.frozen = true;
        Ok(())
    }

    pub(crate) fn thaw(&mut self) -> Result<()> {
        self.process.thaw()?;
        self.frozen = false;
        Ok(())
    }

    /// Ends it in good order.
    ///
    /// # Errors
    ///
    /// If it does not end so.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.process.end(ENDS_WITHIN)
    }

    /// Starts it again if it does not run, lets it go on if it is stopped.
    ///
    /// # Errors
    ///
    /// If there is no such program any more.
    pub(crate) fn revive(&mut self) -> Result<()> {
        if self.frozen {
            self.thaw()?;
        }
        if self.process.pid().is_none() || self.process.ended()?.is_some() {
            self.process.restart().with_context(|| format!("start {} again", self.process.name()))?;
        }
        Ok(())
    }

    pub(crate) fn last_words(&self) -> String {
        let said = self.process.log().unwrap_or_default();
        let mut last: Vec<_> = said.lines().rev().take(5).collect();
        last.reverse();
        last.join(" | ")
    }
}
