//! Trackers: connections that stay open, each with one request under way at a time.
//!
//! They share the machine with what they load, so they do as little as can be: bodies are made beforehand, only ids are
//! written into them, and of answers nothing is read but status and length.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use tasuki_testkit::tracker::{Request, Run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Different requests of one event that a connection sends.
const SINGLES: u64 = 16;
/// A request that was due this long ago counts from when it was due; timers are not more exact.
const LATE: Duration = Duration::from_millis(2);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic<'a> {
    pub(super) connections: u32,
    /// Events in a request; a single one is sent by itself, not as a batch of one.
    pub(super) together: usize,
    /// Requests a second over all connections; `None`: as many as are answered.
    pub(super) rate: Option<u32>,
    pub(super) run: Run<'a>,
}

/// Connections at work.
pub(super) struct Trackers {
    runtime: Runtime,
    shared: Arc<Shared>,
    connections: Vec<JoinHandle<anyhow::Result<Vec<u32>>>>,
}

#[derive(Debug, Default)]
struct Shared {
    acknowledged: AtomicU64,
    measuring: AtomicBool,
    over: AtomicBool,
}

impl Trackers {
    /// Connects and begins.
    pub(super) fn start(address: SocketAddr, traffic: Traffic<'_>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = Arc::new(Shared::default());
        let begun = Instant::now() + Duration::from_millis(200);
        let connections = (0..traffic.connections).map(|number| {
            let pace = traffic.rate.map(|rate| Pace {
                begun: begun + Duration::from_secs(1) / rate * number,
                every: Duration::from_secs(1) / rate * traffic.connections,
            });
            let connection = Connection {
                address,
                requests: requests(traffic, number),
                pace,
                shared: Arc::clone(&shared),
                next_id: u64::from(number) << 32,
            };
            runtime.spawn(connection.run())
        });
        let connections = connections.collect();
        Ok(Self { runtime, shared, connections })
    }

    /// Events that were answered 200.
    pub(super) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    /// Keeps from now on how long answers take.
    pub(super) fn measure(&self) {
        self.shared.measuring.store(true, Ordering::Release);
    }

    /// Fails if a connection has ended.
    pub(super) fn must_run(&self) -> anyhow::Result<()> {
        let ended = self.connections.iter().filter(|connection| connection.is_finished()).count();
        if ended > 0 { bail!("{ended} connections have ended") } else { Ok(()) }
    }

    /// Ends once what is under way is answered; all events that were acknowledged, and how long answers took, in
    /// microseconds.
    pub(super) fn end(self) -> anyhow::Result<(u64, Vec<u32>)> {
        self.shared.over.store(true, Ordering::Release);
        let mut micros = Vec::new();
        for connection in self.connections {
            micros.append(&mut self.runtime.block_on(connection)??);
        }
        Ok((self.shared.acknowledged.load(Ordering::Acquire), micros))
    }
}

fn requests(traffic: Traffic<'_>, connection: u32) -> Vec<Request> {
    let number = u64::from(connection);
    match traffic.together {
        1 => (number * SINGLES..).take(16).map(|number| Request::single(traffic.run, number * 7_919)).collect(),
        together => vec![Request::batch(traffic.run, number, together)],
    }
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    begun: Instant,
    every: Duration,
}

struct Connection {
    address: SocketAddr,
    requests: Vec<Request>,
    pace: Option<Pace>,
    shared: Arc<Shared>,
    next_id: u64,
}

impl Connection {
    async fn run(mut self) -> anyhow::Result<Vec<u32>> {
        let mut socket = TcpStream::connect(self.address).await.context("cannot connect")?;
        socket.set_nodelay(true)?;
        let heads: Vec<_> = self.requests.iter().map(head).collect();
        let (mut sent, mut answer) = (Vec::new(), Vec::with_capacity(4 * 1024));
        let mut micros = Vec::new();
        let mut due = self.pace.map(|pace| pace.begun);
        for index in (0..self.requests.len()).cycle() {
            if self.shared.over.load(Ordering::Acquire) {
                break;
            }
            let request = self.requests.get_mut(index).context("a request")?;
            request.stamp(self.next_id);
            self.next_id += request.events();
            sent.clear();
            sent.extend_from_slice(&heads[index]);
            sent.extend_from_slice(&request.body);
            let from = match due {
                Some(due) if Instant::now() < due + LATE => {
                    tokio::time::sleep_until(due.into()).await;
                    Instant::now()
                }
                Some(due) => due,
                None => Instant::now(),
            };
            due = due.zip(self.pace).map(|(due, pace)| due + pace.every);
            socket.write_all(&sent).await?;
            receive(&mut socket, &mut answer).await?;
            self.shared.acknowledged.fetch_add(request.events(), Ordering::AcqRel);
            if self.shared.measuring.load(Ordering::Acquire) {
                micros.push(u32::try_from(from.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        }
        Ok(micros)
    }
}

fn head(request: &Request) -> Vec<u8> {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nUser-Agent: analytics-node-next/latest\r\n\
         Authorization: Basic S0VZOg==\r\nAccept: */*\r\nContent-Length: {}\r\n\r\n",
        request.path,
        request.body.len()
    );
    head.into_bytes()
}

/// Reads one answer; fails if it is not 200.
async fn receive(socket: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    answer.clear();
    loop {
        if socket.read_buf(answer).await? == 0 {
            bail!("the connection was closed instead of an answer");
        }
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        if answer.len() >= head + 4 + length(&answer[..head]).context("an answer without a length")? {
            break;
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(anyhow!("the answer is {}", String::from_utf8_lossy(answer).replace("\r\n", " / ")))
}

fn length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    value?.parse().ok()
}
