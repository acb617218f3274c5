//! A proxy between Postgres and its clients that knows a COMMIT when it sees one, for the fault that leaves a client in
//! doubt: the server has committed, and the answer never arrives.
//!
//! ```text
//! client ──COMMIT──▶ proxy ──COMMIT──▶ server
//!                    proxy ◀──COMMIT── server     it is durable: the proof that the fault has landed
//! client ◀──(end)─── proxy                        the connection ends, and the client cannot know
//! ```
//!
//! Simple and extended queries are read. A client that asks for encryption is told no, so one that insists on it cannot
//! be proxied.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::io::{self, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

pub use super::Moment;
use frame::{Frame, Opening, commits, opening};

mod frame;

/// A request to commit that passes the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Which one since the proxy was started, counting from 1.
    pub number: u32,
    /// The `application_name` of the connection when it began.
    pub application: String,
    /// How many rows its transaction has written; of a client that does not wait for answers, so far as is known.
    pub rows: u64,
}

/// What is to happen to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It passes, and so does the answer.
    Pass,
    /// The connection ends: the client cannot know on which side of the commit.
    Cut(Moment),
    /// It goes no further until [`PostgresProxy::release`] or [`PostgresProxy::cut_held`].
    Hold(Moment),
    /// It goes on after this time.
    Delay(Moment, Duration),
}

/// A fault that happened to a commit as it was meant to. After the commit that means: the server has said that it
/// committed, and the client had not heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// What it happened to.
    pub commit: Commit,
    /// What happened.
    pub fate: Fate,
}

/// A proxy before one server. Ends when dropped.
#[derive(Debug)]
pub struct PostgresProxy {
    port: u16,
    url: String,
    shared: Arc<Shared>,
}

type Decide = Box<dyn FnMut(&Commit) -> Fate + Send>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    decide: Mutex<Option<Decide>>,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    /// Where the server is; `None` while it is taken away.
    upstream: Option<String>,
    /// Both ends of every connection.
    sockets: HashMap<u64, [TcpStream; 2]>,
    commits: u32,
    landed: Vec<Landed>,
    held: u32,
    /// How often holds have ended, and whether their connections lived on the last time.
    ends: u64,
    lives_on: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl PostgresProxy {
    /// Starts a proxy for the server of this address. Everything passes until [`PostgresProxy::decide`].
    ///
    /// # Errors
    ///
    /// If the address has no host and port, or the operating system gives no port or thread.
    pub fn start(url: &str) -> Result<Self> {
        let (head, rest) = url.split_once('@').context("an address with user and host")?;
        let (server, database) = rest.split_once('/').context("an address with a database")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the proxy")?;
        let port = listener.local_addr().context("its number")?.port();
        let state = State { upstream: Some(server.to_owned()), ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), ..Shared::default() });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("postgres proxy".to_owned())
            .spawn(move || accept(&listener, &theirs))
            .context("a thread for the proxy")?;
        Ok(Self { port, url: format!("{head}@127.0.0.1:{port}/{database}"), shared })
    }

    /// The address of the same database by way of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on decides what happens to each commit.
    pub fn decide(&self, decide: impl FnMut(&Commit) -> Fate + Send + 'static) {
        *self.shared.decide.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(decide));
    }

    /// The next commit that `takes` says yes to meets this fate, and no other after it.
    pub fn next(&self, fate: Fate, takes: impl Fn(&Commit) -> bool + Send + 'static) {
        let mut waits = true;
        self.decide(move |commit| {
            if waits && takes(commit) {
                waits = false;
                fate
            } else {
                Fate::Pass
            }
        });
    }

    /// How many requests to commit have come so far.
    pub fn commits(&self) -> u32 {
        self.shared.lock().commits
    }

    /// The faults that have landed so far, in order.
    pub fn landed(&self) -> Vec<Landed> {
        self.shared.lock().landed.clone()
    }

    /// How many commits are held at this moment.
    pub fn held(&self) -> u32 {
        self.shared.lock().held
    }

    /// Lets go on what is held.
    pub fn release(&self) {
        self.shared.end_hold(true);
    }

    /// Ends the connections of which something is held. What was held after the commit is an answer that never arrives.
    pub fn cut_held(&self) {
        self.shared.end_hold(false);
    }

    /// The server is gone: every connection ends, none is made. Returns what brings it back.
    pub fn take_away(&self) -> impl FnOnce() + use<> {
        let mut state = self.shared.lock();
        let upstream = state.upstream.take();
        state.end_all();
        drop(state);
        let shared = Arc::clone(&self.shared);
        move || shared.lock().upstream = upstream
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        state.end_all();
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl State {
    fn end_all(&self) {
        for socket in self.sockets.values().flatten() {
            end(socket);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_hold(&self, lives_on: bool) {
        let mut state = self.lock();
        state.ends += 1;
        state.lives_on = lives_on;
        drop(state);
        self.changed.notify_all();
    }

    /// What becomes of this request to commit.
    fn decided(&self, application: &str, rows: u64) -> (Commit, Fate) {
        let mut state = self.lock();
        state.commits += 1;
        let commit = Commit { number: state.commits, application: application.to_owned(), rows };
        drop(state);
        let mut decide = self.decide.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = decide.as_mut().map_or(Fate::Pass, |decide| decide(&commit));
        (commit, fate)
    }

    /// Notes that it happens, and returns when it has: whether the connection lives on.
    fn happens(&self, commit: &Commit, fate: Fate) -> bool {
        let mut state = self.lock();
        state.landed.push(Landed { commit: commit.clone(), fate });
        match fate {
            Fate::Pass => true,
            Fate::Cut(_) => false,
            Fate::Hold(_) => {
                state.held += 1;
                let ends = state.ends;
                let waited = self.changed.wait_while(state, |state| !state.over && state.ends == ends);
                let mut state = waited.unwrap_or_else(PoisonError::into_inner);
                state.held -= 1;
                state.lives_on
            }
            Fate::Delay(_, by) => {
                drop(self.changed.wait_timeout_while(state, by, |state| !state.over));
                true
            }
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (connection, client) in (0..).zip(listener.incoming()) {
        let state = shared.lock();
        let (over, upstream) = (state.over, state.upstream.clone());
        drop(state);
        if over {
            return;
        }
        // A server that is not there: the client's socket closes, as the server's would.
        let (Ok(client), Some(server)) = (client, upstream) else { continue };
        let shared = Arc::clone(shared);
        let serve = move || {
            serve(connection, &client, &server, &shared).unwrap_or_default();
            end(&client);
            shared.lock().sockets.remove(&connection);
        };
        if let Err(error) = thread::Builder::new().name("postgres requests".to_owned()).spawn(serve) {
            eprintln!("proxy: connection {connection}: {error}");
        }
    }
}

/// One connection, until one side closes it or it is cut.
fn serve(connection: u64, client: &TcpStream, server: &str, shared: &Arc<Shared>) -> io::Result<()> {
    let mut from_client = BufReader::new(client);
    let first = loop {
        match opening(&mut from_client)? {
            Opening::Encryption => (&mut &*client).write_all(b"N")?,
            Opening::Startup { frame, application } => break (frame, application),
            Opening::Cancel { frame } => return TcpStream::connect(server)?.write_all(&frame),
        }
    };
    let server = TcpStream::connect(server)?;
    for socket in [client, &server] {
        socket.set_nodelay(true)?;
    }
    let mut state = shared.lock();
    if state.over || state.upstream.is_none() {
        return Ok(());
    }
    state.sockets.insert(connection, [client.try_clone()?, server.try_clone()?]);
    drop(state);
    let (frame, application) = first;
    (&mut &server).write_all(&frame)?;
    let link = Arc::new(Link { application, progress: Mutex::default(), shared: Arc::clone(shared) });
    let (answering, from_server, to_client) = (Arc::clone(&link), server.try_clone()?, client.try_clone()?);
    let answers = thread::Builder::new().name("postgres answers".to_owned()).spawn(move || {
        answering.answers(&from_server, &to_client).unwrap_or_default();
        end(&from_server);
        end(&to_client);
    })?;
    link.requests(&mut from_client, &server).unwrap_or_default();
    // Not the client: an answer that is held goes on to it later.
    end(&server);
    answers.join().map_err(|_| io::Error::other("the thread of the answers panicked"))
}

/// One session of a client.
#[derive(Debug)]
struct Link {
    application: String,
    progress: Mutex<Progress>,
    shared: Arc<Shared>,
}

/// What both directions have to know of each other.
#[derive(Debug, Default)]
struct Progress {
    /// Rows that the transaction under way has written.
    rows: u64,
    /// What happens to the answers of commits that the server has been sent.
    awaited: VecDeque<Awaited>,
}

#[derive(Debug)]
struct Awaited {
    /// Whose answer it is among the [`Groups`].
    group: u64,
    commit: Commit,
    fate: Fate,
}

impl Link {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self, from_client: &mut BufReader<&TcpStream>, server: &TcpStream) -> io::Result<()> {
        let mut to_server = BufWriter::new(server);
        let mut groups = Groups::default();
        loop {
            let frame = Frame::read(from_client)?;
            if let Some(group) = groups.commit(&frame) {
                to_server.flush()?;
                let rows = self.progress().rows;
                let (commit, fate) = self.shared.decided(&self.application, rows);
                match fate {
                    Fate::Pass => {}
                    Fate::Cut(Moment::Before) | Fate::Hold(Moment::Before) | Fate::Delay(Moment::Before, _) => {
                        if !self.shared.happens(&commit, fate) {
                            return Ok(());
                        }
                    }
                    Fate::Cut(Moment::After) | Fate::Hold(Moment::After) | Fate::Delay(Moment::After, _) => {
                        self.progress().awaited.push_back(Awaited { group, commit, fate });
                    }
                }
            }
            to_server.write_all(&frame.bytes)?;
            if from_client.buffer().is_empty() {
                to_server.flush()?;
            }
        }
    }

    fn answers(&self, server: &TcpStream, client: &TcpStream) -> io::Result<()> {
        let mut from_server = BufReader::new(server);
        let mut to_client = BufWriter::new(client);
        // Answers end with "ready for query"; the first such is the one that ends the begin of the session.
        let mut group = 0;
        loop {
            let frame = Frame::read(&mut from_server)?;
            let answer = Answer::of(&frame);
            if let Some(Awaited { mut commit, fate, .. }) = self.noted(group, answer)
                && answer == Answer::Committed
            {
                to_client.flush()?;
                commit.rows = std::mem::take(&mut self.progress().rows);
                if !self.shared.happens(&commit, fate) {
                    return Ok(());
                }
            }
            if answer == Answer::Ready {
                group += 1;
            }
            to_client.write_all(&frame.bytes)?;
            if from_server.buffer().is_empty() {
                to_client.flush()?;
            }
        }
    }

    /// Counts rows, and finds whether this is the answer to a commit that something is to happen to.
    fn noted(&self, group: u64, answer: Answer) -> Option<Awaited> {
        let mut progress = self.progress();
        match answer {
            Answer::Begun => progress.rows = 0,
            Answer::Wrote(rows) => progress.rows += rows,
            Answer::Committed | Answer::NotCommitted | Answer::Ready | Answer::Other => {}
        }
        let ends = matches!(answer, Answer::Committed | Answer::NotCommitted | Answer::Ready);
        let awaited = progress.awaited.pop_front_if(|awaited| ends && awaited.group <= group);
        if awaited.is_none() && answer == Answer::Committed {
            progress.rows = 0;
        }
        awaited
    }
}

/// A message of the server, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Begun,
    Wrote(u64),
    Committed,
    NotCommitted,
    Ready,
    Other,
}

impl Answer {
    fn of(frame: &Frame) -> Self {
        match (frame.kind(), frame.texts()) {
            (b'C', ["BEGIN" | "START TRANSACTION"]) => Self::Begun,
            (b'C', ["COMMIT"]) => Self::Committed,
            (b'C', ["ROLLBACK"]) | (b'E', _) => Self::NotCommitted,
            (b'C', _) => Self::Wrote(frame.rows_written()),
            (b'Z', _) => Self::Ready,
            _ => Self::Other,
        }
    }
}

/// Follows what a client asks. A group of requests is what the server answers with one "ready for query": a simple
/// query, or the messages up to a sync.
#[derive(Debug)]
struct Groups {
    /// The one under way. The begin of the session is answered like one, with number 0.
    group: u64,
    /// Prepared statements, and portals of theirs, that commit.
    statements: HashSet<String>,
    portals: HashSet<String>,
}

impl Default for Groups {
    fn default() -> Self {
        Self { group: 1, statements: HashSet::new(), portals: HashSet::new() }
    }
}

impl Groups {
    /// The group of a message that makes the server commit; `None` of all others.
    fn commit(&mut self, frame: &Frame) -> Option<u64> {
        let group = self.group;
        match (frame.kind(), frame.texts()) {
            (b'Q', [text, _]) => {
                self.group += 1;
                return commits(text).then_some(group);
            }
            (b'S' | b'F', _) => self.group += 1,
            (b'P', [name, text]) => mark(&mut self.statements, name, commits(text)),
            (b'B', [portal, statement]) => mark(&mut self.portals, portal, self.statements.contains(statement)),
            (b'E', [portal, _]) => return self.portals.contains(portal).then_some(group),
            (b'C', _) => match frame.named() {
                Some((b'S', name)) => mark(&mut self.statements, name, false),
                Some((_, name)) => mark(&mut self.portals, name, false),
                None => {}
            },
            _ => {}
        }
        None
    }
}

fn mark(names: &mut HashSet<String>, name: &str, commits: bool) {
    if commits {
        names.insert(name.to_owned());
    } else {
        names.remove(name);
    }
}

/// Ends both directions; a socket that has ended already stays so.
fn end(socket: &TcpStream) {
    socket.shutdown(Shutdown::Both).unwrap_or_default();
}

#[cfg(test)]
#[cfg(feature = "postgres")]
mod tests;
