//! A proxy between Kafka clients and a broker that knows requests apart, for faults that no broker would produce on
//! demand: a request that reaches the broker long after its sender has given it up.
//!
//! ```text
//! client ──EndTxn──▶ proxy            broker      held; the client's side is closed, the broker's stays open
//! client ──EndTxn──▶ proxy ──EndTxn──▶ broker     the client repeats it on another connection, and succeeds
//! client ──Produce─▶ proxy ──Produce─▶ broker     the next transaction is under way
//!                    proxy ──EndTxn──▶ broker     what was held arrives
//! ```
//!
//! While the held request is on its way, further requests of that client wait in the proxy: so it arrives in the middle
//! of what the client is doing, every time.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::ports::free_port;
use deed::{Decider, Next};
use frame::{Fields, Request, frame};
use trap::{Decision, Held};

mod deed;
mod frame;
mod trap;

pub use super::Moment;
pub use deed::{Call, Deed, Done};
pub use frame::Api;
pub use trap::{Landed, LateRequest, Release, Trap};

/// How long the broker may take to answer what the proxy waits for.
const PATIENCE: Duration = Duration::from_secs(20);
/// A proxy before one broker. Ends when dropped.
#[derive(Debug)]
pub struct KafkaProxy {
    port: u16,
    broker_port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    decide: Decider,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    /// Both ends of every connection, to close them in the end.
    sockets: Vec<TcpStream>,
    initialised: u32,
    trap: Option<LateRequest>,
    held: Option<Held>,
    done: Vec<Done>,
    waiting: u32,
    releases: u64,
}

/// One request on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exchange {
    connection: u64,
    correlation: i32,
}

/// What has to be known of a request when its answer comes.
type Asked = Arc<Mutex<HashMap<i32, Sent>>>;

#[derive(Debug)]
struct Sent {
    api: i16,
    version: i16,
    /// What is to happen to the answer.
    fault: Option<Done>,
}

impl KafkaProxy {
    /// Starts a proxy for a broker that is started next, with [`KafkaProxy::server_properties`].
    ///
    /// # Errors
    ///
    /// If the operating system gives no port or thread.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the proxy")?;
        let port = listener.local_addr().context("its number")?.port();
        let broker_port = free_port(0).context("a port for the broker")?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("kafka proxy".to_owned())
            .spawn(move || accept(&listener, broker_port, &theirs))
            .context("a thread for the proxy")?;
        Ok(Self { port, broker_port, shared })
    }

    /// Lines for `server.properties`: a second listener, of which clients are told the proxy's address. Clients that
    /// begin at the broker's own address stay there.
    pub fn server_properties(&self) -> [String; 4] {
        let Self { port, broker_port, .. } = self;
        [
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{{port}},PROXIED://127.0.0.1:{broker_port},\
                 CONTROLLER://127.0.0.1:{{controller-port}}"
            ),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},PROXIED://127.0.0.1:{port}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            "inter.broker.listener.name=PLAINTEXT".to_owned(),
        ]
    }

    /// For `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many answers to `InitProducerId` have passed.
    pub fn initialised(&self) -> u32 {
        self.shared.lock().initialised
    }

    /// Sets a trap.
    pub fn hold(&self, trap: impl Into<LateRequest>) {
        let mut state = self.shared.lock();
        state.held = None;
        state.trap = Some(trap.into());
    }

    /// Lets the client go on that waits since what was held has landed; see [`LateRequest::then_wait`].
    pub fn let_go(&self) {
        if let Some(held) = &mut self.shared.lock().held {
            held.let_go();
        }
        self.shared.changed.notify_all();
    }

    /// Whether the trap has caught a request, whatever became of it since.
    pub fn has_caught(&self) -> bool {
        self.shared.lock().held.is_some()
    }

    /// Whether the trap has caught a request that the client has not repeated successfully yet: what it waits for.
    ///
    /// # Errors
    ///
    /// How far it has come.
    pub fn holds(&self) -> Result<(), &'static str> {
        self.shared.lock().held.as_ref().map_or(Err("nothing held yet"), Held::caught)
    }

    /// What became of the request that the trap has caught, once the broker has answered it.
    ///
    /// # Errors
    ///
    /// How far it has come.
    pub fn landed(&self) -> Result<Landed, String> {
        self.shared.lock().held.as_ref().map_or_else(|| Err("nothing held yet".to_owned()), Held::landed)
    }

    /// From now on decides what happens to each request that can be told apart. (One that is held as a
    /// [`LateRequest`] is not asked about.)
    pub fn decide(&self, decide: impl FnMut(&Call) -> Deed + Send + 'static) {
        self.shared.decide.set(Box::new(decide));
    }

    /// The next request that `takes` says yes to meets this, and no other after it.
    pub fn next(&self, deed: Deed, takes: impl Fn(&Call) -> bool + Send + 'static) {
        let mut waits = true;
        self.decide(move |call| {
            let now = waits && takes(call);
            waits &= !now;
            if now { deed } else { Deed::Pass }
        });
    }

    /// What was done so far, in order.
    pub fn done(&self) -> Vec<Done> {
        self.shared.lock().done.clone()
    }

    /// How many requests and answers are held by a [`Deed::Hold`] at this moment.
    pub fn waiting(&self) -> u32 {
        self.shared.lock().waiting
    }

    /// Lets them go on.
    pub fn release(&self) {
        self.shared.lock().releases += 1;
        self.shared.changed.notify_all();
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        for socket in &state.sockets {
            close(socket);
        }
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), PATIENCE, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn accept(listener: &TcpListener, broker_port: u16, shared: &Arc<Shared>) {
    // The broker's side of the connection of which a request is held.
    let to_held = Arc::new(Mutex::new(None));
    for (connection, client) in (0..).zip(listener.incoming()) {
        if shared.lock().over {
            return;
        }
        let Ok(client) = client else { continue };
        let link =
            Link { connection, asked: Asked::default(), shared: Arc::clone(shared), to_held: Arc::clone(&to_held) };
        // A broker that is not there: the client's socket closes, as the broker's would.
        if let Err(error) = link.start(client, broker_port) {
            eprintln!("proxy: connection {connection}: {error}");
        }
    }
}

/// One connection of a client.
#[derive(Clone, Debug)]
struct Link {
    connection: u64,
    asked: Asked,
    shared: Arc<Shared>,
    to_held: Arc<Mutex<Option<TcpStream>>>,
}

impl Link {
    fn start(self, client: TcpStream, broker_port: u16) -> io::Result<()> {
        let broker = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, broker_port)))?;
        for socket in [&client, &broker] {
            socket.set_nodelay(true)?;
        }
        self.shared.lock().sockets.extend([client.try_clone()?, broker.try_clone()?]);
        let (from_broker, to_client, answers) = (broker.try_clone()?, client.try_clone()?, self.clone());
        thread::Builder::new().name("proxy requests".to_owned()).spawn(move || {
            // Of one that is held, the broker's side stays open.
            if let Ok(Decision::Hold) = self.requests(&client, &broker) {
                close(&client);
            } else {
                close(&client);
                close(&broker);
            }
        })?;
        thread::Builder::new()
            .name("proxy answers".to_owned())
            .spawn(move || answers.answers(&from_broker, &to_client))?;
        Ok(())
    }

    /// From the client to the broker, until one of them closes or a request is held.
    fn requests(&self, mut client: &TcpStream, mut broker: &TcpStream) -> io::Result<Decision> {
        loop {
            let mut request = Request::parse(frame(&mut client)?).ok_or(io::ErrorKind::InvalidData)?;
            let exchange = Exchange { connection: self.connection, correlation: request.correlation };
            let decision = self.shared.asked(exchange, &request);
            let fault = if decision == Decision::Pass { self.shared.fault(&mut request) } else { None };
            let (before, after) = fault.map_or((None, None), Done::split);
            match before.map_or(Next::Pass, |done| self.shared.happens(done)) {
                Next::Pass => {}
                Next::Drop => continue,
                Next::Cut => return Ok(Decision::Pass),
            }
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.insert(request.correlation, Sent { api: request.api, version: request.version, fault: after });
            drop(asked);
            match decision {
                Decision::Hold => {
                    *self.to_held.lock().unwrap_or_else(PoisonError::into_inner) = Some(broker.try_clone()?);
                    return Ok(decision);
                }
                Decision::Pass => broker.write_all(&request.frame)?,
                Decision::PassAndRelease => {
                    broker.write_all(&request.frame)?;
                    self.shared.release(&self.to_held)?;
                }
                Decision::ReleaseAndPass => {
                    self.shared.release(&self.to_held)?;
                    broker.write_all(&request.frame)?;
                }
            }
        }
    }

    /// From the broker to the client, until the broker closes. A client that has closed misses the rest.
    fn answers(&self, mut broker: &TcpStream, mut client: &TcpStream) {
        let mut listens = true;
        while let Ok(answer) = frame(&mut broker) {
            let correlation = answer.get(4..).and_then(|rest| Fields(rest).i32()).unwrap_or_default();
            let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation);
            if let Some(Sent { api, version, fault }) = asked {
                let exchange = Exchange { connection: self.connection, correlation };
                self.shared.answered(exchange, (api, version), &answer);
                match fault.map_or(Next::Pass, |done| self.shared.happens(done)) {
                    Next::Pass => {}
                    Next::Drop => continue,
                    Next::Cut => {
                        close(broker);
                        break;
                    }
                }
            }
            listens = listens && client.write_all(&answer).is_ok();
        }
        close(client);
    }
}

/// Closes both directions; a socket that is closed already stays so.
fn close(socket: &TcpStream) {
    socket.shutdown(Shutdown::Both).unwrap_or_default();
}

#[cfg(test)]
mod tests;
