//! Three brokers as one cluster: three copies of every topic, two of them in sync for every acknowledged record.

use anyhow::{Context, Result};

use super::{KafkaBroker, free_ports};

/// Of each broker, in megabytes.
const HEAP: &str = "256";

/// The brokers, each of which can be killed, stopped and started again. Gone when dropped, or when the process ends.
#[derive(Debug)]
pub struct KafkaCluster {
    brokers: Vec<KafkaBroker>,
}

impl KafkaCluster {
    /// Starts three brokers and waits until all of them answer.
    ///
    /// # Errors
    ///
    /// As [`KafkaBroker::start`].
    pub fn start() -> Result<Self> {
        let ports = [free_ports()?, free_ports()?, free_ports()?];
        let voters: Vec<_> = (1..).zip(ports).map(|(node, port)| format!("{node}@127.0.0.1:{}", port + 1)).collect();
        let voters = voters.join(",");
        let mut brokers = Vec::new();
        for (node, port) in (1..).zip(ports) {
            let data = tempfile::Builder::new().prefix("tasuki-kafka-").tempdir().context("a folder for the broker")?;
            let node: i32 = node;
            let place = ["--node", &node.to_string(), "--voters", &voters, "--cluster-id", "tasuki-test-cluster-AA"];
            let mut place: Vec<_> = place.into_iter().map(str::to_owned).collect();
            place.extend(["--heap".to_owned(), HEAP.to_owned()]);
            brokers.push(KafkaBroker { data, port, settings: Vec::new(), place, child: None });
        }
        // One alone does not answer: a majority has to agree first.
        for broker in &mut brokers {
            broker.spawn()?;
        }
        for broker in &mut brokers {
            broker.wait_until_it_answers()?;
        }
        Ok(Self { brokers })
    }

    /// For `bootstrap.servers`: all of them.
    pub fn bootstrap_servers(&self) -> String {
        let servers: Vec<_> = self.brokers.iter().map(KafkaBroker::bootstrap_servers).collect();
        servers.join(",")
    }

    /// How many brokers there are.
    pub fn brokers(&self) -> usize {
        self.brokers.len()
    }

    /// One of them, to be killed, stopped and started again: 0, 1 or 2. On the cluster its id is one more.
    ///
    /// # Panics
    ///
    /// If there is no such broker.
    pub fn broker(&mut self, number: usize) -> &mut KafkaBroker {
        self.brokers.get_mut(number).expect("a cluster has three brokers")
    }
}
