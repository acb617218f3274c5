//! What ingest has acknowledged is there once, whatever is killed: the process between the broker's answer and its own,
//! the broker, or the process while events wait on its disk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tasuki_testkit::kafka::KafkaBroker;
use tasuki_testkit::proxy::kafka::{Api, Deed, KafkaProxy, Moment};
use tasuki_tests::topics::Topics;
use tasuki_tests::{PATIENCE, Tasuki, eventually, up};

/// How many times the process is killed while it is sent to; `TASUKI_KILLS` says more.
const KILLS: u32 = 4;
/// Requests on the way at each kill, and connections they are on.
const REQUESTS: u32 = 40;
const CONNECTIONS: u32 = 4;

fn start(folder: &Path, bootstrap_servers: &str) -> anyhow::Result<Tasuki> {
    let mut command: Command = up(folder, &[]);
    command.env("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers);
    Tasuki::start_command(command)
}

#[test]
fn killed_between_the_brokers_answer_and_its_own_it_counts_what_is_sent_again_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let proxy = KafkaProxy::start()?;
    let properties = proxy.server_properties();
    let broker = KafkaBroker::start_with(&properties.each_ref().map(String::as_str))?;
    let kills = std::env::var("TASUKI_KILLS").ok().map_or(Ok(KILLS), |count| count.parse())?;
    let (mut sent, mut unheard) = (0, 0..0);
    for round in 0..kills {
        let mut tasuki = start(folder.path(), &proxy.bootstrap_servers())?;
        send_again(&tasuki, unheard)?;
        // Some answers of the broker pass, in each round another number; the next ones do not reach ingest.
        let mut pass = round % 8;
        proxy.decide(move |call| {
            let own = call.api == Api::Produce && call.client.starts_with("publisher");
            let held = own && pass == 0;
            pass -= u32::from(own && pass > 0);
            if held { Deed::Hold(Moment::After) } else { Deed::Pass }
        });
        unheard = sent..sent + REQUESTS;
        sent += REQUESTS;
        let mut sockets = Vec::new();
        for connection in 0..CONNECTIONS {
            let mut socket = TcpStream::connect(host(&tasuki)?)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            for number in unheard.clone().filter(|number| number % CONNECTIONS == connection) {
                socket.write_all(&request("/v1/page", tasuki.told("write_key"), &page(number)))?;
            }
            sockets.push(socket);
        }
        eventually(PATIENCE, || Ok((proxy.waiting() > 0).then_some(())))
            .context("invalid: the broker has answered nothing that ingest has not heard")?;
        tasuki.signal("KILL")?;
        tasuki.ended()?;
        proxy.decide(|_| Deed::Pass);
        proxy.release();
        let mut heard = Vec::new();
        for mut socket in sockets {
            drop(socket.read_to_end(&mut heard));
        }
        let answered = String::from_utf8_lossy(&heard).matches("HTTP/1.1 200").count();
        eprintln!("round {round}: {answered} of {REQUESTS} answered when it was killed");
        ensure!(answered < usize::try_from(REQUESTS)?, "invalid: every request was answered before the kill");
    }
    let tasuki = start(folder.path(), &broker.bootstrap_servers())?;
    send_again(&tasuki, unheard)?;
    exactly_once(&broker, sent)?;
    tasuki.stop()
}

/// As a tracker does that heard nothing, under the same ids.
fn send_again(tasuki: &Tasuki, numbers: Range<u32>) -> anyhow::Result<()> {
    for number in numbers {
        let taken = || Ok((send(tasuki, "/v1/page", &page(number))? == 200).then_some(()));
        eventually(PATIENCE, taken)?;
    }
    Ok(())
}

#[test]
fn what_waits_on_disk_survives_a_kill_and_is_there_once_when_the_broker_is_back() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut broker = KafkaBroker::start()?;
    let mut tasuki = start(folder.path(), &broker.bootstrap_servers())?;
    ensure!(send(&tasuki, "/api/s/page", &page(0))? == 200);
    broker.stop()?;
    for number in 1..40 {
        let status = send(&tasuki, "/api/s/page", &page(number))?;
        ensure!(status == 200, "a tracker that never sends again is answered {status} while Kafka is away");
    }
    ensure!(send(&tasuki, "/v1/page", &page(999))? == 503, "one that comes back is told so");
    let metric = |tasuki: &Tasuki, name: &str| -> anyhow::Result<u64> {
        let text = ureq::get(format!("{}/metrics", tasuki.told("metrics"))).call()?.body_mut().read_to_string()?;
        let of = text.lines().filter(|line| line.starts_with(name) && line.contains("protocol=\"jitsu\""));
        Ok(of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    };
    let count = |name: &str| metric(&tasuki, &format!("tasuki_ingest_{name}_events_total"));
    let became = ["accepted", "bad", "deduplicated", "refused", "spooled", "dropped"];
    let sum = became.iter().map(|name| count(name)).sum::<anyhow::Result<u64>>()?;
    ensure!((count("received")?, sum, count("spooled")?) == (40, 40, 39), "the books balance");
    tasuki.signal("KILL")?;
    tasuki.ended()?;

    broker.restart()?;
    let tasuki = start(folder.path(), &broker.bootstrap_servers())?;
    eventually(PATIENCE, || Ok((metric(&tasuki, "tasuki_ingest_replayed_events_total")? == 39).then_some(())))
        .context("39 events are replayed")?;
    ensure!(send(&tasuki, "/api/s/page", &page(40))? == 200);
    exactly_once(&broker, 41)?;
    tasuki.stop()
}

/// Pages 0 to `count` are in `activity`, each once.
fn exactly_once(broker: &KafkaBroker, count: u32) -> anyhow::Result<()> {
    let topics = Topics::Kafka(broker.bootstrap_servers());
    eventually(PATIENCE, || Ok(topics.identity_is_through()?.then_some(())))?;
    let expected: Vec<_> = (0..count).map(path).collect();
    let wrong = topics.count("activity", &expected)?.into_iter().filter(|(_, times)| *times != 1);
    let wrong: Vec<_> = wrong.collect();
    ensure!(wrong.is_empty(), "of {count} pages not once: {wrong:?}");
    Ok(())
}

fn path(number: u32) -> String {
    format!("/conform/page/{number:04}")
}

fn page(number: u32) -> Value {
    json!({
        "type": "page", "messageId": format!("m-{number}"), "anonymousId": "v", "userId": "hanako@acme.example",
        "properties": {"path": path(number)},
    })
}

fn host(tasuki: &Tasuki) -> anyhow::Result<String> {
    Ok(tasuki.told("ingest").strip_prefix("http://").context("an address")?.to_owned())
}

fn request(path: &str, key: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let head = format!("POST {path}?writeKey={key} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

fn send(tasuki: &Tasuki, path: &str, body: &Value) -> anyhow::Result<u16> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let address = format!("{}{path}?writeKey={}", tasuki.told("ingest"), tasuki.told("write_key"));
    Ok(agent.post(address).send_json(body)?.status().as_u16())
}
