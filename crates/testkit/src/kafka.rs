//! A real Apache Kafka broker for tests: started by `deploy/kafka/start`, on free ports of loopback, with its data in a
//! folder of its own, and gone when the test process is, however that ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::ports::free_port;

mod cluster;

pub use cluster::KafkaCluster;

/// How long a broker may take to answer: a cold start takes 2 to 6 s, fetching Kafka before it half a minute at worst.
const PATIENCE: Duration = Duration::from_secs(180);

/// One broker. Stopped and removed when dropped, or when the process ends.
#[derive(Debug)]
pub struct KafkaBroker {
    data: TempDir,
    port: u16,
    settings: Vec<String>,
    /// Further arguments for `start`: its place in a cluster.
    place: Vec<String>,
    child: Option<Child>,
}

impl KafkaBroker {
    /// Starts a broker and waits until it answers.
    ///
    /// # Errors
    ///
    /// If Java or Maven is missing, Kafka cannot be fetched, or the broker does not come up; the message has its last
    /// words.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same, with more lines for `server.properties`; `{port}` and `{controller-port}` stand for its own ports.
    ///
    /// # Errors
    ///
    /// As [`KafkaBroker::start`].
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("tasuki-kafka-").tempdir().context("a folder for the broker")?;
        let settings = settings.iter().map(|&line| line.to_owned()).collect();
        let mut broker = Self { data, port: free_ports()?, settings, place: Vec::new(), child: None };
        broker.restart()?;
        Ok(broker)
    }

    /// The broker that all tests of this process share: started at the first call, gone with the process. Tests keep
    /// apart by topic prefixes of their own ([`unique_prefix`]).
    ///
    /// # Panics
    ///
    /// If it cannot be started: a test that needs Kafka never passes without it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<KafkaBroker> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("a Kafka broker is needed, see deploy/kafka/start"))
    }

    /// For `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it as a power cut would.
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    pub fn kill9(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            // Kept open until the broker is gone: its end while the broker runs means that this process has ended.
            let _lifeline = child.stdin.take();
            child.kill().context("kill the broker")?;
            child.wait().context("wait for the broker's end")?;
        }
        Ok(())
    }

    /// Stops it in good order (SIGTERM).
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            let _lifeline = child.stdin.take();
            let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().context("run kill")?;
            if !sent.success() {
                bail!("kill -TERM {} ended with {sent}", child.id());
            }
            child.wait().context("wait for the broker's end")?;
        }
        Ok(())
    }

    /// Starts it again on the same port and data, and waits until it answers. Kills it first if it runs.
    ///
    /// # Errors
    ///
    /// As [`KafkaBroker::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_until_it_answers()
    }

    fn spawn(&mut self) -> Result<()> {
        self.kill9()?;
        let mut command = Command::new(repository().join("deploy/kafka/start"));
        command.arg("--data").arg(self.data.path()).args(["--port", &self.port.to_string()]);
        // When this process ends without unwinding, the script kills the broker and removes the folder.
        command.args(["--with-stdin", "--temporary"]).args(&self.place);
        let (port, controller) = (self.port.to_string(), (self.port + 1).to_string());
        for line in &self.settings {
            command.args(["--set", &line.replace("{port}", &port).replace("{controller-port}", &controller)]);
        }
        let words = fs::File::create(self.data.path().join("start.log")).context("a file for what `start` says")?;
        // Standard input is a pipe that nothing is written to: it closes when this process ends.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(words);
        self.child = Some(command.spawn().with_context(|| format!("run {command:?}"))?);
        Ok(())
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !answers(self.port) {
            let ended = match &mut self.child {
                Some(child) => child.try_wait().context("look after the broker")?,
                None => None,
            };
            if let Some(status) = ended {
                bail!("the broker ended with {status}: {}", self.last_words());
            }
            if begun.elapsed() > PATIENCE {
                bail!("the broker does not answer after {PATIENCE:?}: {}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let of = |name: &str| fs::read_to_string(self.data.path().join(name)).unwrap_or_default();
        let log = of("kafka.log");
        let tail: Vec<_> = log.lines().rev().take(10).collect();
        format!("{}\n{}", of("start.log"), tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        if let Err(error) = self.kill9() {
            eprintln!("the broker was left running: {error:#}");
        }
    }
}

/// A prefix for topics that no other test of this process uses.
pub fn unique_prefix(name: &str) -> String {
    static NEXT: Mutex<u32> = Mutex::new(0);
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    *next += 1;
    format!("{name}-{next}.")
}

/// Whether a broker on this port answers an ApiVersions request (version 0, no client id).
fn answers(port: u16) -> bool {
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let patience = Duration::from_secs(2);
    let exchange = || -> std::io::Result<[u8; 8]> {
        let mut socket = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), patience)?;
        socket.set_read_timeout(Some(patience))?;
        socket.write_all(&REQUEST)?;
        let mut head = [0; 8];
        socket.read_exact(&mut head)?;
        Ok(head)
    };
    // The length of the answer, then the number of our request.
    exchange().is_ok_and(|head| head[4..] == [0, 0, 0, 1])
}

/// A port that is free together with the next one, which the controller takes.
fn free_ports() -> Result<u16> {
    free_port(1)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_starts_dies_and_comes_back_on_the_same_port() {
        let mut broker = KafkaBroker::start().unwrap();
        let (port, folder) = (broker.port, broker.data.path().to_owned());
        assert!(answers(port));
        broker.kill9().unwrap();
        assert!(!answers(port));
        broker.restart().unwrap();
        assert_eq!((answers(port), broker.bootstrap_servers()), (true, format!("127.0.0.1:{port}")));
        broker.stop().unwrap();
        assert!(!answers(port));
        drop(broker);
        assert!(!folder.exists());
    }

    #[test]
    fn prefixes_differ() {
        assert_ne!(unique_prefix("a"), unique_prefix("a"));
    }
}
