//! A proxy in front of ingest for one tracker: what goes wrong between the two, on the address that the tracker knows.
//!
//! Its refusals are answers of ingest to a path that does not exist, with another status: so they carry the CORS headers of
//! ingest, and of nobody else.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;

/// What becomes of one POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered so, and not passed on; with so many seconds in `Retry-After`.
    Refused(u16, Option<u32>),
    /// Passed on, and the answer is lost: the connection ends instead.
    AnswerLost,
}

/// The proxy. Ends with the process.
#[derive(Clone, Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ingest: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    faults: VecDeque<Fault>,
    cors: bool,
    holds: bool,
    held: u32,
    posts: u32,
}

impl FaultProxy {
    /// Starts it; the first POSTs meet these faults, one each.
    ///
    /// # Errors
    ///
    /// If there is no port for it.
    pub fn start(ingest: SocketAddr, faults: &[Fault]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the proxy")?;
        let address = listener.local_addr()?;
        let faults = faults.iter().copied().collect();
        let state = Mutex::new(State { faults, cors: true, holds: false, held: 0, posts: 0 });
        let shared = Arc::new(Shared { ingest, state, changed: Condvar::new() });
        let proxy = Self { address, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that goes away, or an ingest that is not there, ends the connection and nothing else.
                thread::spawn(move || drop(shared.connection(client)));
            }
        });
        Ok(proxy)
    }

    /// Takes the CORS headers out of every answer from now on.
    pub fn without_cors(&self) {
        self.shared.lock().cors = false;
    }

    /// Holds every answer to a POST from now on.
    pub fn hold_answers(&self) {
        self.shared.lock().holds = true;
    }

    /// Ends the connections whose answers are held, and holds no more.
    pub fn lose_held_answers(&self) {
        self.shared.lock().holds = false;
        self.shared.changed.notify_all();
    }

    /// How many answers have been held.
    pub fn held(&self) -> u32 {
        self.shared.lock().held
    }

    /// How many POSTs have come.
    pub fn posts(&self) -> u32 {
        self.shared.lock().posts
    }

    /// Whether every fault has met its POST.
    pub fn all_faults_landed(&self) -> bool {
        self.shared.lock().faults.is_empty()
    }

    /// Where the tracker sends to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A request, read whole.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self, mut client: TcpStream) -> io::Result<()> {
        let mut from_client = BufReader::new(client.try_clone()?);
        while let Some(request) = Request::read(&mut from_client)? {
            let posted = request.head.starts_with("POST ");
            let (fault, cors) = {
                let mut state = self.lock();
                state.posts += u32::from(posted);
                (if posted { state.faults.pop_front() } else { None }, state.cors)
            };
            let mut answer = match fault {
                Some(Fault::Refused(..)) => self.ask(&request.elsewhere())?,
                Some(Fault::AnswerLost) | None => self.ask(&request)?,
            };
            match fault {
                Some(Fault::AnswerLost) => return Ok(()),
                Some(Fault::Refused(status, retry_after)) => answer = refused(&answer, status, retry_after),
                None => {}
            }
            if posted && self.hold() {
                return Ok(());
            }
            client.write_all(&if cors { answer } else { without_cors(&answer) })?;
        }
        Ok(())
    }

    /// Waits while answers are held; whether this one was.
    fn hold(&self) -> bool {
        let mut state = self.lock();
        if !state.holds {
            return false;
        }
        state.held += 1;
        while state.holds {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// What ingest answers, as a connection that stays open may pass it on.
    fn ask(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut ingest = TcpStream::connect(self.ingest)?;
        ingest.set_read_timeout(Some(Duration::from_secs(30)))?;
        ingest.write_all(request.head.as_bytes())?;
        ingest.write_all(b"Connection: close\r\n\r\n")?;
        ingest.write_all(&request.body)?;
        let mut answer = Vec::new();
        ingest.read_to_end(&mut answer)?;
        if answer.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let (head, body) = split(&answer);
        let kept = head.lines().filter(|line| !is(line, "connection:"));
        let head: String = kept.map(|line| format!("{line}\r\n")).collect();
        Ok([head.as_bytes(), b"\r\n", body].concat())
    }
}

impl Request {
    /// The next one; its head without the empty line at the end and without `Connection`.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let (mut head, mut length, mut chunked) = (String::new(), 0, false);
        loop {
            let mut line = Vec::new();
            if from.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            // Latin-1 passes, as the same bytes are wanted on the other side only for ASCII.
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            if is(&line, "content-length:") {
                length = line.split(':').nth(1).and_then(|value| value.trim().parse().ok()).unwrap_or(0);
            }
            chunked |= is(&line, "transfer-encoding:");
            if !is(&line, "connection:") {
                head += &line;
                head += "\r\n";
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        if chunked {
            body = chunks(from)?;
        }
        Ok(Some(Self { head, body }))
    }

    /// The same page asks for what is not there.
    fn elsewhere(&self) -> Self {
        let unwanted = ["POST ", "content-", "transfer-encoding:"];
        let lines = self.head.lines().filter(|line| !unwanted.iter().any(|name| is(line, name)));
        let head = lines.map(|line| format!("{line}\r\n")).collect::<String>();
        Self { head: format!("GET /nothing/is/here HTTP/1.1\r\n{head}"), body: Vec::new() }
    }
}

/// A chunked body, as it is framed.
fn chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let begin = body.len();
        from.read_until(b'\n', &mut body)?;
        let size = String::from_utf8_lossy(&body[begin..]).trim().to_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let end = body.len() + size + 2;
        let begin = body.len();
        body.resize(end, 0);
        from.read_exact(&mut body[begin..])?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn is(line: &str, name: &str) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

fn split(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(answer.len());
    let body = answer.get(end + 4..).unwrap_or_default();
    (String::from_utf8_lossy(&answer[..end]).into_owned(), body)
}

fn refused(answer: &[u8], status: u16, retry_after: Option<u32>) -> Vec<u8> {
    let (head, body) = split(answer);
    let mut lines: Vec<_> = head.lines().skip(1).map(str::to_owned).collect();
    lines.insert(0, format!("HTTP/1.1 {status} Refused by the test"));
    lines.extend(retry_after.map(|seconds| format!("Retry-After: {seconds}")));
    [lines.join("\r\n").as_bytes(), b"\r\n\r\n", body].concat()
}

fn without_cors(answer: &[u8]) -> Vec<u8> {
    let (head, body) = split(answer);
    let kept: Vec<_> = head.lines().filter(|line| !is(line, "access-control-")).collect();
    [kept.join("\r\n").as_bytes(), b"\r\n\r\n", body].concat()
}
