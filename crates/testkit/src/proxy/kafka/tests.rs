//! What the proxy does to single requests, before a broker that answers everything.

use std::io::Read;
use std::sync::mpsc::{self, Receiver};

use super::*;
use crate::eventually::eventually;

const HEARTBEAT: i16 = 12;
const FETCH: i16 = 1;
/// How long an answer is waited for that must not come.
const SILENCE: Duration = Duration::from_millis(200);

/// A proxy, and what the broker behind it has heard.
struct Stage {
    proxy: KafkaProxy,
    heard: Receiver<Vec<u8>>,
}

impl Stage {
    fn set() -> Self {
        let proxy = KafkaProxy::start().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, proxy.broker_port)).unwrap();
        let (tell, heard) = mpsc::channel();
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let tell = tell.clone();
                thread::spawn(move || {
                    while let Ok(request) = frame(&mut client) {
                        let answer = [&[0, 0, 0, 4], &request[8..12]].concat();
                        if tell.send(request).is_err() || client.write_all(&answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { proxy, heard }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.proxy.port)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }

    /// The APIs that the broker has heard of.
    fn heard(&self) -> Vec<i16> {
        self.heard.try_iter().map(|request| i16::from_be_bytes([request[4], request[5]])).collect()
    }
}

fn ask(mut client: &TcpStream, api: i16, correlation: i32) {
    // Version 3, the client "me", the group "g", generation 7.
    let body = [0, 3, 0, 0, 0, 0, 0, 2, b'm', b'e', 0, 1, b'g', 0, 0, 0, 7];
    let mut request = [&[0, 0, 0, 19][..], &api.to_be_bytes(), &body].concat();
    request[8..12].copy_from_slice(&correlation.to_be_bytes());
    client.write_all(&request).unwrap();
}

/// The number of the next answer; `None` once the connection has ended.
fn answer(mut client: &TcpStream) -> Option<i32> {
    let mut answer = [0; 8];
    client.read_exact(&mut answer).ok()?;
    Some(i32::from_be_bytes(answer[4..].try_into().unwrap()))
}

fn heartbeat(deed: Deed) -> Done {
    Done { call: Call { api: Api::Heartbeat, client: "me".to_owned() }, deed }
}

#[test]
fn requests_and_answers_of_one_kind_vanish_and_the_others_pass() {
    for (moment, heard) in
        [(Moment::Before, vec![FETCH, HEARTBEAT]), (Moment::After, vec![HEARTBEAT, FETCH, HEARTBEAT])]
    {
        let stage = Stage::set();
        let client = stage.client();
        stage.proxy.next(Deed::Drop(moment), |call| call.api == Api::Heartbeat);
        for (correlation, api) in [(1, HEARTBEAT), (2, FETCH), (3, HEARTBEAT)] {
            ask(&client, api, correlation);
        }
        assert_eq!((answer(&client), answer(&client)), (Some(2), Some(3)));
        assert_eq!(stage.heard(), heard, "{moment:?}");
        assert_eq!(stage.proxy.done(), [heartbeat(Deed::Drop(moment))]);
    }
}

#[test]
fn a_connection_ends_before_the_broker_hears_or_before_the_client_does() {
    for (moment, heard) in [(Moment::Before, vec![]), (Moment::After, vec![HEARTBEAT])] {
        let stage = Stage::set();
        let client = stage.client();
        stage.proxy.next(Deed::Cut(moment), |call| call.client == "me");
        ask(&client, HEARTBEAT, 1);
        assert_eq!(answer(&client), None);
        assert_eq!(stage.heard(), heard, "{moment:?}");
        let client = stage.client();
        ask(&client, HEARTBEAT, 2);
        assert_eq!(answer(&client), Some(2));
    }
}

#[test]
fn what_is_held_waits_for_its_release_and_what_is_late_arrives() {
    for (moment, heard) in [(Moment::Before, vec![]), (Moment::After, vec![HEARTBEAT])] {
        let stage = Stage::set();
        let client = stage.client();
        stage.proxy.next(Deed::Hold(moment), |_| true);
        ask(&client, HEARTBEAT, 1);
        eventually("it to be held", || if stage.proxy.waiting() == 1 { Ok(()) } else { Err("not held") });
        assert_eq!(stage.heard(), heard, "{moment:?}");
        client.set_read_timeout(Some(SILENCE)).unwrap();
        assert_eq!(answer(&client), None);
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stage.proxy.release();
        assert_eq!((answer(&client), stage.proxy.waiting()), (Some(1), 0));
        stage.proxy.next(Deed::Delay(moment, SILENCE), |_| true);
        let begun = std::time::Instant::now();
        ask(&client, HEARTBEAT, 2);
        assert_eq!(answer(&client), Some(2));
        assert!(begun.elapsed() >= SILENCE);
        assert_eq!(stage.proxy.done(), [heartbeat(Deed::Hold(moment)), heartbeat(Deed::Delay(moment, SILENCE))]);
    }
}

#[test]
fn a_member_is_made_to_look_outdated_where_its_request_says_so() {
    let stage = Stage::set();
    let client = stage.client();
    stage.proxy.decide(|_| Deed::Outdate);
    ask(&client, FETCH, 1);
    ask(&client, HEARTBEAT, 2);
    assert_eq!((answer(&client), answer(&client)), (Some(1), Some(2)));
    let generations: Vec<_> = stage.heard.try_iter().map(|request| request[22]).collect();
    assert_eq!(generations, [7, 6]);
    assert_eq!(stage.proxy.done(), [heartbeat(Deed::Outdate)]);
}
