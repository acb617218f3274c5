//! Stands between the log and Postgres, and cuts connections at the worst moment: around a COMMIT.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to a connection that sends a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It is passed on, and so is the answer.
    Not,
    /// The connection ends before the server has heard it.
    Before,
    /// The server hears it and commits; the answer never arrives.
    After,
}

pub(crate) struct Proxy {
    /// The address of the same database by way of the proxy.
    pub(crate) url: String,
    plan: Arc<Plan>,
}

struct Plan {
    upstream: Mutex<Option<String>>,
    choose: Box<dyn Fn(u32) -> Cut + Send + Sync>,
    commits: AtomicU32,
    cuts: AtomicU32,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Decides by the number of the COMMIT, counting from 1.
    pub(crate) fn start(url: &str, choose: impl Fn(u32) -> Cut + Send + Sync + 'static) -> Self {
        let (head, rest) = url.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Plan {
            upstream: Mutex::new(Some(server.to_owned())),
            choose: Box::new(choose),
            commits: AtomicU32::new(0),
            cuts: AtomicU32::new(0),
            open: Mutex::new(Vec::new()),
        });
        let accepting = Arc::clone(&plan);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let upstream = accepting.upstream.lock().unwrap().clone();
                let Some(server) = upstream.and_then(|address| TcpStream::connect(address).ok()) else { continue };
                accepting.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || copy(from_server, to_client));
                let plan = Arc::clone(&accepting);
                thread::spawn(move || watch(client, server, &plan));
            }
        });
        Self { url: format!("{head}@127.0.0.1:{port}/{database}"), plan }
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> u32 {
        self.plan.cuts.load(Ordering::SeqCst)
    }

    /// The database is gone: every connection ends, none is made. Returns what brings it back.
    pub(crate) fn take_away(&self) -> impl FnOnce() + use<> {
        let plan = Arc::clone(&self.plan);
        let server = plan.upstream.lock().unwrap().take();
        for stream in plan.open.lock().unwrap().drain(..) {
            end(&stream);
        }
        move || *plan.upstream.lock().unwrap() = server
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    end(&to);
    end(&from);
}

fn watch(mut client: TcpStream, mut server: TcpStream, plan: &Plan) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let said = &buffer[..length];
        let commits = said.windows(7).any(|window| window == b"COMMIT\0");
        let cut = if commits { (plan.choose)(plan.commits.fetch_add(1, Ordering::SeqCst) + 1) } else { Cut::Not };
        match cut {
            Cut::Not => {
                if server.write_all(said).is_err() {
                    break;
                }
            }
            Cut::Before => {
                plan.cuts.fetch_add(1, Ordering::SeqCst);
                break;
            }
            Cut::After => {
                plan.cuts.fetch_add(1, Ordering::SeqCst);
                // First nobody listens to the answer any more, then the question is put.
                end(&client);
                let sent = server.write_all(said);
                assert!(sent.is_ok(), "invalid: the server never heard the COMMIT");
                server.shutdown(Shutdown::Write).ok();
                return;
            }
        }
    }
    end(&server);
    end(&client);
}

fn end(stream: &TcpStream) {
    // It may have ended by itself.
    stream.shutdown(Shutdown::Both).ok();
}
