//! Clients that mean harm, against the real program: it stays small, others are served, and the slow are cut off.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tasuki_tests::{Log, PATIENCE, Tasuki};

/// Growth of resident memory that is allowed under attack.
const GROWTH: u64 = 64 << 20;

/// So many ordinary requests are served meanwhile: who is told to come back does so, like a tracker.
const ORDINARY: u64 = 100;

/// How long an ordinary client waits that is told to come back.
const COMES_BACK_AFTER: Duration = Duration::from_millis(20);

/// 40 MiB of spaces, by `brotli`.
const BROTLI_BOMB: [u8; 67] = [
    0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x25, 0x40, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x8f, 0xff, 0xff, 0x7f, 0xf0, 0x4b,
    0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f, 0xff, 0xff, 0xff, 0xe0, 0x97, 0x00, 0x88, 0xc3, 0x02, 0x00, 0xdd,
    0xfb, 0x3f, 0xfe, 0xff, 0xff, 0xc1, 0x2f, 0x01, 0x10, 0x87, 0x05, 0x00, 0xba, 0xf7, 0x7f, 0xf9, 0xff, 0xff, 0x87,
    0x5f, 0x02, 0x20, 0x0e, 0x0b, 0x00, 0x74, 0xef, 0xff, 0x00,
];

#[test]
fn huge_requests_are_refused_soon_and_memory_stays_bounded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &[])?;
    let target = Target::of(&tasuki)?;
    let ordinary = target.request("", br#"{"event":"X","userId":"u"}"#);
    for _ in 0..200 {
        ensure!(target.send(&ordinary)?.0 == 200, "ordinary requests are taken");
    }
    let gzip = gzip_bomb()?;
    let large = vec![b' '; (8 << 20) + 1];
    let items = format!("{{\"batch\":[{}1]}}", "1,".repeat(1_000_000));
    let deep = format!(r#"{{"event":"X","userId":"u","properties":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let many_values = format!(r#"{{"event":"X","userId":"u","properties":[{}1]}}"#, "[],".repeat(2_000_000));
    let attacks = [
        ("a gzip bomb", target.request("content-encoding: gzip\r\n", &gzip), [413]),
        ("a brotli bomb", target.request("content-encoding: br\r\n", &BROTLI_BOMB), [413]),
        ("a zstd bomb", target.request("content-encoding: zstd\r\n", &zstd_bomb()), [413]),
        ("a byte over the limit", target.request("", &large), [413]),
        ("a million items", target.request("", items.as_bytes()), [413]),
        ("values without end", target.request("", many_values.as_bytes()), [413]),
        ("depth", target.request("", deep.as_bytes()), [200]),
        ("ten thousand headers", target.request(&"x: y\r\n".repeat(10_000), b"{}"), [431]),
        ("a hundred megabytes", target.request("", &vec![b' '; 100 << 20]), [413]),
    ];
    let before = target.memory()?;
    let over = AtomicBool::new(false);
    let (peak, slowest, asked, served) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(target.memory().unwrap_or(u64::MAX), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        let ordinary = scope.spawn(|| -> anyhow::Result<()> {
            let mut since = Instant::now();
            while !over.load(Ordering::Relaxed) {
                let (status, _) = target.send(&ordinary)?;
                ensure!(status == 200 || status == 503, "an ordinary request is answered {status}");
                asked.fetch_add(1, Ordering::Relaxed);
                slowest.fetch_max(u64::try_from(since.elapsed().as_millis())?, Ordering::Relaxed);
                if status == 200 {
                    served.fetch_add(1, Ordering::Relaxed);
                    since = Instant::now();
                } else {
                    thread::sleep(COMES_BACK_AFTER);
                }
            }
            Ok(())
        });
        let attackers: Vec<_> = (0..6)
            .map(|offset| {
                let (attacks, target, served) = (&attacks, &target, &served);
                scope.spawn(move || -> anyhow::Result<()> {
                    // Twice everything, and for as long as it takes to see how ordinary requests fare.
                    let waits = || served.load(Ordering::Relaxed) < ORDINARY && begun.elapsed() < PATIENCE;
                    let goes_on = |index: &usize| *index < 2 * attacks.len() || waits();
                    for index in (0..).take_while(goes_on) {
                        let (what, request, expected) = &attacks[(index + offset) % attacks.len()];
                        let (status, took) = target.send(request)?;
                        let allowed = expected.contains(&status) || status == 503;
                        ensure!(allowed, "{what} is answered {status} after {took:?}");
                    }
                    Ok(())
                })
            })
            .collect();
        let attacked: Vec<_> = attackers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        ordinary.join().map_err(|_| anyhow::anyhow!("the ordinary client panicked"))??;
        for attack in attacked {
            attack.map_err(|_| anyhow::anyhow!("an attacker panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    });
    outcome?;
    for (what, request, expected) in &attacks {
        let (status, took) = target.send(request)?;
        ensure!(expected.contains(&status), "{what} alone is answered {status}");
        eprintln!("{what}: {status} after {took:?}");
    }
    let grown = peak.load(Ordering::Relaxed).saturating_sub(before);
    eprintln!("memory: {} MiB before, {} MiB more at the peak", before >> 20, grown >> 20);
    let (asked, served) = (asked.load(Ordering::Relaxed), served.load(Ordering::Relaxed));
    let slowest = slowest.load(Ordering::Relaxed);
    eprintln!("ordinary requests: {served} of {asked} served, the slowest after {slowest} ms");
    ensure!(grown <= GROWTH, "memory grew by {} MiB", grown >> 20);
    ensure!(served >= ORDINARY, "of {asked} ordinary requests only {served} were served beside the attacks");
    tasuki.stop()
}

/// `TASUKI_SLOW_SOCKETS=1000 TASUKI_SLOW_SECONDS=600` makes it long.
#[test]
fn slow_clients_are_cut_off_and_the_others_are_served() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let limits = ["--ingest-header-timeout-ms", "3000", "--ingest-body-timeout-ms", "3000"];
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &limits)?;
    let target = Target::of(&tasuki)?;
    let ordinary = target.request("", br#"{"event":"X","userId":"u"}"#);
    let beginnings: [&[u8]; 4] = [
        b"",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-a: ",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n{",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ];
    let number = |name: &str, default: u64| std::env::var(name).ok().map_or(Ok(default), |text| text.parse());
    let (sockets, seconds) = (number("TASUKI_SLOW_SOCKETS", 400)?, number("TASUKI_SLOW_SECONDS", 0)?);
    let open = |index: u64| -> anyhow::Result<(Instant, TcpStream)> {
        let mut socket = TcpStream::connect(target.address)?;
        socket.write_all(beginnings[usize::try_from(index)? % beginnings.len()])?;
        socket.set_nonblocking(true)?;
        Ok((Instant::now(), socket))
    };
    let mut slow = (0..sockets).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let (begun, mut opened, mut served, mut longest) = (Instant::now(), sockets, 0, Duration::ZERO);
    while !slow.is_empty() {
        for (index, (_, socket)) in slow.iter_mut().enumerate() {
            // A byte now and then, as slowloris does it; what the socket says to it does not matter here.
            if index % 4 != 0 {
                drop(socket.write(b"a"));
            }
        }
        for _ in 0..20 {
            let (status, took) = target.send(&ordinary)?;
            ensure!(status == 200, "{status} after {took:?} beside slow clients");
            served += 1;
        }
        slow.retain_mut(|(_, socket)| !has_ended(socket));
        let oldest = slow.iter().map(|(since, _)| since.elapsed()).max().unwrap_or_default();
        longest = longest.max(oldest);
        ensure!(oldest < PATIENCE, "{} slow sockets are still open after {oldest:?}", slow.len());
        // Who is cut off comes again.
        while begun.elapsed() < Duration::from_secs(seconds) && u64::try_from(slow.len())? < sockets {
            slow.push(open(opened)?);
            opened += 1;
        }
    }
    eprintln!("{served} ordinary requests served beside {opened} slow sockets, none open for longer than {longest:?}");
    tasuki.stop()
}

/// Whether the other end has closed.
fn has_ended(socket: &mut TcpStream) -> bool {
    let mut bytes = [0; 1024];
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Where to send, and whose memory is looked at.
struct Target {
    address: SocketAddr,
    key: String,
    process: u32,
}

impl Target {
    fn of(tasuki: &Tasuki) -> anyhow::Result<Self> {
        let address = tasuki.told("ingest").trim_start_matches("http://").parse().context("the address of ingest")?;
        Ok(Self { address, key: tasuki.told("write_key").to_owned(), process: tasuki.process_id() })
    }

    fn request(&self, headers: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST /v1/batch?writeKey={} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            self.key,
            body.len()
        );
        let batch_or_track =
            if body.starts_with(b"{\"event\"") { head.replace("/v1/batch", "/v1/track") } else { head };
        [batch_or_track.as_bytes(), body].concat()
    }

    /// Status of the answer, and how long it took from the last byte that was sent.
    fn send(&self, request: &[u8]) -> anyhow::Result<(u16, Duration)> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // The service may answer and close before it has read all.
        let sent = socket.write_all(request);
        let begun = Instant::now();
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let status = status.with_context(|| format!("no answer: sent {sent:?}, read {read:?}"))?;
        Ok((status, begun.elapsed()))
    }

    /// Resident memory, in bytes.
    fn memory(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024)
    }
}

/// 40 MiB of zeros.
fn gzip_bomb() -> anyhow::Result<Vec<u8>> {
    let mut gzip = Command::new("gzip").arg("-9").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = gzip.stdin.take().context("standard input was asked for")?;
    let writing = thread::spawn(move || input.write_all(&vec![b' '; 40 << 20]));
    let bomb = gzip.wait_with_output()?.stdout;
    writing.join().map_err(|_| anyhow::anyhow!("writing to gzip panicked"))??;
    ensure!(bomb.len() < (40 << 20) / 900, "invalid: no bomb with {} bytes", bomb.len());
    Ok(bomb)
}

/// 1,000 frames to be skipped, then one with 640 blocks of 64 KiB of one byte each: 40 MiB.
fn zstd_bomb() -> Vec<u8> {
    let mut bomb = b"\x50\x2a\x4d\x18\x04\0\0\0skip".repeat(1000);
    // A frame without a size, with a window of 8 MiB.
    bomb.extend_from_slice(b"\x28\xb5\x2f\xfd\x00\x68");
    for index in 0..640_u32 {
        let head = u32::from(index == 639) | 1 << 1 | (64 << 10) << 3;
        bomb.extend_from_slice(&head.to_le_bytes()[..3]);
        bomb.push(b' ');
    }
    bomb
}
