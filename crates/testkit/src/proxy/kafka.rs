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
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use frame::{Fields, Request, errors, frame};

mod frame;

pub use frame::Api;

/// How long the broker may take to answer what the proxy waits for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Which request to hold, and when to let it go.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// The next one of these is held.
    pub hold: Api,
    /// It goes on to the broker right after the answer to the first of these that the client sends once it has
    /// successfully repeated what is held.
    pub release_after: Api,
}

/// What became of a held request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// The error code of the broker's answer to it; for offsets, that of each partition.
    pub answer: Vec<i16>,
    /// How long after the client's side was closed the answer to the repetition came.
    pub repeated_within: Duration,
    /// How often the client initialised transactions between that answer and the release.
    pub initialised: u32,
}

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
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    /// Both ends of every connection, to close them in the end.
    sockets: Vec<TcpStream>,
    initialised: u32,
    trap: Option<Trap>,
    held: Option<Held>,
}

/// One request on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exchange {
    connection: u64,
    correlation: i32,
}

#[derive(Debug)]
struct Held {
    trap: Trap,
    request: Request,
    exchange: Exchange,
    at: Instant,
    repetition: Option<Exchange>,
    repeated_within: Option<Duration>,
    initialised_before: u32,
    initialised: u32,
    trigger: Option<Exchange>,
    triggered: bool,
    answer: Option<Vec<i16>>,
}

/// What has to be known of a request when its answer comes.
type Asked = Arc<Mutex<HashMap<i32, (i16, i16)>>>;

impl KafkaProxy {
    /// Starts a proxy for a broker that is started next, with [`KafkaProxy::server_properties`].
    ///
    /// # Errors
    ///
    /// If the operating system gives no port or thread.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the proxy")?;
        let port = listener.local_addr().context("its number")?.port();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the broker")?;
        let broker_port = free.local_addr().context("its number")?.port();
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

    /// Sets a trap. Of `EndTxn` it takes only those that commit.
    pub fn hold(&self, trap: Trap) {
        let mut state = self.shared.lock();
        state.held = None;
        state.trap = Some(trap);
    }

    /// Whether the trap has caught a request that the client has not repeated successfully yet: what it waits for.
    ///
    /// # Errors
    ///
    /// How far it has come.
    pub fn holds(&self) -> Result<(), &'static str> {
        match &self.shared.lock().held {
            None => Err("nothing held yet"),
            Some(Held { repeated_within: Some(_), .. }) => Err("repeated already"),
            Some(_) => Ok(()),
        }
    }

    /// What became of the request that the trap has caught, once the broker has answered it.
    ///
    /// # Errors
    ///
    /// How far it has come.
    pub fn landed(&self) -> Result<Landed, String> {
        let state = self.shared.lock();
        let Some(held) = &state.held else { return Err("nothing held yet".to_owned()) };
        match (&held.answer, held.repeated_within) {
            (Some(answer), Some(repeated_within)) => {
                Ok(Landed { answer: answer.clone(), repeated_within, initialised: held.initialised })
            }
            (_, None) => Err("held, and not repeated yet".to_owned()),
            (None, Some(_)) => Err(format!("repeated, and not answered yet; released: {}", held.triggered)),
        }
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

    /// Decides about a request before it goes on to the broker.
    fn asked(&self, exchange: Exchange, request: &Request) -> Decision {
        let mut state = self.wait_while(|state| {
            !state.over
                && state.held.as_ref().is_some_and(|held| held.is_on_its_way() && held.is_of_same_client(request))
        });
        if let Some(trap) = state.trap.take_if(|trap| request.is(trap.hold)) {
            state.held = Some(Held {
                trap,
                request: request.clone(),
                exchange,
                at: Instant::now(),
                repetition: None,
                repeated_within: None,
                initialised_before: 0,
                initialised: 0,
                trigger: None,
                triggered: false,
                answer: None,
            });
            return Decision::Hold;
        }
        let initialised = state.initialised;
        let Some(held) = state.held.as_mut().filter(|held| held.is_of_same_client(request)) else {
            return Decision::Pass;
        };
        if held.repetition.is_none() && request.repeats(&held.request) {
            held.repetition = Some(exchange);
        }
        if held.repeated_within.is_some() && held.trigger.is_none() && request.is(held.trap.release_after) {
            held.trigger = Some(exchange);
            held.initialised = initialised - held.initialised_before;
            return Decision::PassAndRelease;
        }
        Decision::Pass
    }

    /// Notes an answer before it goes on to the client.
    fn answered(&self, exchange: Exchange, (api, version): (i16, i16), frame: &[u8]) {
        let mut state = self.lock();
        if api == Api::InitProducerId as i16 {
            state.initialised += 1;
        }
        let initialised = state.initialised;
        let Some(held) = &mut state.held else { return };
        let errors = || errors(api, version, frame).unwrap_or_default();
        if held.exchange == exchange {
            held.answer = Some(errors());
        } else if held.repetition == Some(exchange) {
            let errors = errors();
            if !errors.is_empty() && errors.iter().all(|&error| error == 0) {
                held.repeated_within = Some(held.at.elapsed());
                held.initialised_before = initialised;
            } else {
                // Refused in passing, as while the coordinator is busy: it will be repeated again.
                held.repetition = None;
            }
        } else if held.trigger == Some(exchange) {
            held.triggered = true;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the answer to what the release was to come after, and lets the held request go.
    fn release(&self, to_held: &Mutex<Option<TcpStream>>) -> io::Result<()> {
        let state = self.wait_while(|state| !state.over && state.held.as_ref().is_some_and(|held| !held.triggered));
        let frame = state.held.as_ref().map(|held| held.request.frame.clone()).unwrap_or_default();
        drop(state);
        let held = to_held.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.ok_or(io::ErrorKind::NotConnected)?.write_all(&frame)?;
        drop(self.wait_while(|state| !state.over && state.held.as_ref().is_some_and(Held::is_on_its_way)));
        Ok(())
    }
}

/// What to do with a request.
enum Decision {
    Pass,
    PassAndRelease,
    Hold,
}

impl Held {
    fn is_on_its_way(&self) -> bool {
        self.trigger.is_some() && self.answer.is_none()
    }

    fn is_of_same_client(&self, request: &Request) -> bool {
        self.request.client == request.client
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
            let request = Request::parse(frame(&mut client)?).ok_or(io::ErrorKind::InvalidData)?;
            let exchange = Exchange { connection: self.connection, correlation: request.correlation };
            let decision = self.shared.asked(exchange, &request);
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.insert(request.correlation, (request.api, request.version));
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
            }
        }
    }

    /// From the broker to the client, until the broker closes. A client that has closed misses the rest.
    fn answers(&self, mut broker: &TcpStream, mut client: &TcpStream) {
        let mut listens = true;
        while let Ok(answer) = frame(&mut broker) {
            let correlation = answer.get(4..).and_then(|rest| Fields(rest).i32()).unwrap_or_default();
            let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation);
            if let Some(asked) = asked {
                self.shared.answered(Exchange { connection: self.connection, correlation }, asked, &answer);
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
