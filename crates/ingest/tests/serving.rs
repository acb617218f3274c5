//! Connections as they are on a real socket: byte for byte, slow ones, idle ones, and the end of the service.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::to_bytes;
use support::{Collector, Mood, captured};
use tasuki_ingest::{IpMode, Limits, serve};
use tasuki_service::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How long something takes that a test waits for to its end; longer than a busy machine keeps anybody waiting who is to be
/// in time.
const SOON: Duration = Duration::from_secs(2);

struct Served {
    collector: Collector,
    address: SocketAddr,
    shutdown: Shutdown,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn served(limits: Limits) -> Served {
    let collector = Collector::limited(limits);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let ended = tokio::spawn(serve(listener, collector.router.clone(), limits, shutdown.clone()));
    Served { collector, address, shutdown, ended }
}

/// Reads one answer with a short body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        let length = stream.read(&mut bytes).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|rest| rest.lines().next().unwrap().parse::<usize>());
            length.is_some_and(|length| body.len() >= length.unwrap())
        });
        if length == 0 || whole {
            return text;
        }
    }
}

const TRACK: &str = r#"{"event":"X","userId":"u"}"#;

fn request(body: &str) -> String {
    format!("POST /v1/track?writeKey=WK HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn captures_sent_as_bytes_on_one_connection_are_answered_200_and_their_peer_is_kept() {
    let limits = Limits { ip_mode: IpMode::Full, ..Limits::default() };
    let served = served(limits).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    for file in ["segment-analytics-python-gzip", "rudder-sdk-node-gzip", "snowplow-node-get", "snowplow-python-post"] {
        for request in captured(file) {
            let (parts, body) = request.into_parts();
            let mut bytes = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri).into_bytes();
            for (name, value) in &parts.headers {
                bytes.extend_from_slice(format!("{name}: {}\r\n", value.to_str().unwrap()).as_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&to_bytes(body, usize::MAX).await.unwrap());
            stream.write_all(&bytes).await.unwrap();
            let text = answer(&mut stream).await;
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{file}: {text}");
        }
    }
    let behaviors = served.collector.behaviors();
    assert_eq!(behaviors.len(), 7 + 7 + 6 + 5);
    assert!(behaviors.iter().all(|record| record.circumstances.as_ref().unwrap().ip == "127.0.0.1"));
}

#[tokio::test]
async fn a_chunked_body_without_length_is_read() {
    let served = served(Limits::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = "POST /v1/track?writeKey=WK HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}1a\r\n{TRACK}\r\n0\r\n\r\n").as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off_but_an_idle_connection_is_not() {
    let limits = Limits { header_timeout: SOON, ..Limits::default() };
    let served = served(limits).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let mut trickling = TcpStream::connect(served.address).await.unwrap();
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(request(TRACK).as_bytes()).await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200 OK"));
    trickling.write_all(b"POST /v1/track HTTP/1.1\r\nHost:").await.unwrap();
    // Both ends are seen, the idle connection has waited as long by then.
    assert_eq!(answer(&mut silent).await, "");
    let cut = answer(&mut trickling).await;
    assert!(!cut.contains("200"), "{cut}");
    idle.write_all(request(TRACK).as_bytes()).await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn an_idle_connection_ends_after_its_time() {
    let limits = Limits { idle_timeout: SOON, ..Limits::default() };
    let served = served(limits).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(request(TRACK).as_bytes()).await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(answer(&mut idle).await, "");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let limits = Limits { body_timeout: Duration::from_millis(60), ..Limits::default() };
    let served = served(limits).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let requests = "GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    // Once its answers are stuck the service reads no more, then neither do we get rid of requests; then it ends.
    let cut = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), cut).await.expect("it is cut off");
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_408_and_its_connection_ended() {
    let limits = Limits { body_timeout: Duration::from_millis(60), ..Limits::default() };
    let served = served(limits).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&request(TRACK).as_bytes()[..80]).await.unwrap();
    let first = answer(&mut stream).await;
    assert!(first.starts_with("HTTP/1.1 408"), "{first}");
    assert_eq!(answer(&mut stream).await, "");
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_their_turn() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let served = served(limits).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(request(TRACK).as_bytes()).await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 OK"));
    let mut second = TcpStream::connect(served.address).await.unwrap();
    second.write_all(request(TRACK).as_bytes()).await.unwrap();
    first.write_all(request(TRACK).as_bytes()).await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(*served.collector.log.calls.lock().unwrap(), 2, "the second waits");
    drop(first);
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn shutdown_finishes_the_requests_there_are_and_takes_no_more() {
    let limits = Limits { deadline: SOON, ..Limits::default() };
    let served = served(limits).await;
    served.collector.mood(Mood::Hangs);
    let mut working = TcpStream::connect(served.address).await.unwrap();
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200 OK"));
    working.write_all(request(TRACK).as_bytes()).await.unwrap();
    while *served.collector.log.calls.lock().unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    served.shutdown.cancel();
    assert_eq!(answer(&mut idle).await, "", "an idle connection ends at once");
    assert!(!served.ended.is_finished(), "a request is still worked on");
    let last = answer(&mut working).await;
    assert!(last.starts_with("HTTP/1.1 503"), "{last}");
    assert!(last.to_lowercase().contains("connection: close"), "{last}");
    served.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
