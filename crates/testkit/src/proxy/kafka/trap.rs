//! A request that arrives late: held while its sender repeats it, let go in the middle of what the sender does next.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::frame::{Request, errors};
use super::{Api, Exchange, Shared};

/// Which request to hold, and when to let it go.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// The next one of these is held.
    pub hold: Api,
    /// It goes on to the broker right after the answer to the first of these that the client sends once it has
    /// successfully repeated what is held.
    pub release_after: Api,
}

/// When what is held goes on to the broker: once the client has successfully repeated it, and then
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// right after the answer to the first of these,
    After(Api),
    /// right before the first of these.
    Before(Api),
}

/// A [`Trap`] with all its parts.
#[derive(Clone, Debug)]
pub struct LateRequest {
    /// The next one of these is held.
    pub hold: Api,
    /// Only of the client with this `client.id`; of any, if empty.
    pub of: String,
    /// When it is let go.
    pub release: Release,
    /// What the client sends after that waits in the proxy until [`super::KafkaProxy::let_go`]: time to kill it.
    pub then_wait: bool,
}

impl From<Trap> for LateRequest {
    fn from(trap: Trap) -> Self {
        Self { hold: trap.hold, of: String::new(), release: Release::After(trap.release_after), then_wait: false }
    }
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

#[derive(Debug)]
pub(super) struct Held {
    late: LateRequest,
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
    waits: bool,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Pass,
    PassAndRelease,
    ReleaseAndPass,
    Hold,
}

impl Held {
    fn new(late: LateRequest, request: Request, exchange: Exchange) -> Self {
        let waits = late.then_wait;
        Self {
            late,
            request,
            exchange,
            at: Instant::now(),
            repetition: None,
            repeated_within: None,
            initialised_before: 0,
            initialised: 0,
            trigger: None,
            triggered: false,
            answer: None,
            waits,
        }
    }

    fn is_on_its_way(&self) -> bool {
        self.trigger.is_some() && self.answer.is_none()
    }

    fn stops(&self, request: &Request) -> bool {
        self.is_of_same_client(request) && (self.is_on_its_way() || self.trigger.is_some() && self.waits)
    }

    fn is_of_same_client(&self, request: &Request) -> bool {
        self.request.client == request.client
    }

    pub(super) fn let_go(&mut self) {
        self.waits = false;
    }

    pub(super) fn caught(&self) -> Result<(), &'static str> {
        if self.repeated_within.is_some() { Err("repeated already") } else { Ok(()) }
    }

    pub(super) fn landed(&self) -> Result<Landed, String> {
        match (&self.answer, self.repeated_within) {
            (Some(answer), Some(repeated_within)) => {
                Ok(Landed { answer: answer.clone(), repeated_within, initialised: self.initialised })
            }
            (_, None) => Err("held, and not repeated yet".to_owned()),
            (None, Some(_)) => Err(format!("repeated, and not answered yet; released: {}", self.triggered)),
        }
    }
}

impl Shared {
    /// Decides about a request before it goes on to the broker.
    pub(super) fn asked(&self, exchange: Exchange, request: &Request) -> Decision {
        let stops = |held: &Held| held.stops(request);
        let mut state = self.wait_while(|state| !state.over && state.held.as_ref().is_some_and(stops));
        let catches = |late: &mut LateRequest| {
            request.is(late.hold) && (late.of.is_empty() || late.of.as_bytes() == request.client)
        };
        if let Some(late) = state.trap.take_if(catches) {
            state.held = Some(Held::new(late, request.clone(), exchange));
            return Decision::Hold;
        }
        let initialised = state.initialised;
        let Some(held) = state.held.as_mut().filter(|held| held.is_of_same_client(request)) else {
            return Decision::Pass;
        };
        if held.repetition.is_none() && request.repeats(&held.request) {
            held.repetition = Some(exchange);
        }
        if held.repeated_within.is_none() || held.trigger.is_some() {
            return Decision::Pass;
        }
        let decision = match held.late.release {
            Release::After(api) if request.is(api) => Decision::PassAndRelease,
            Release::Before(api) if request.is(api) => Decision::ReleaseAndPass,
            Release::After(_) | Release::Before(_) => return Decision::Pass,
        };
        held.trigger = Some(exchange);
        held.triggered = decision == Decision::ReleaseAndPass;
        held.initialised = initialised - held.initialised_before;
        decision
    }

    /// Notes an answer before it goes on to the client.
    pub(super) fn answered(&self, exchange: Exchange, (api, version): (i16, i16), frame: &[u8]) {
        let mut state = self.lock();
        if api == Api::InitProducerId.number() {
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
    pub(super) fn release(&self, to_held: &Mutex<Option<TcpStream>>) -> io::Result<()> {
        let state = self.wait_while(|state| !state.over && state.held.as_ref().is_some_and(|held| !held.triggered));
        let frame = state.held.as_ref().map(|held| held.request.frame.clone()).unwrap_or_default();
        drop(state);
        let held = to_held.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.ok_or(io::ErrorKind::NotConnected)?.write_all(&frame)?;
        let waits = |held: &Held| held.is_on_its_way() || held.waits;
        drop(self.wait_while(|state| !state.over && state.held.as_ref().is_some_and(waits)));
        Ok(())
    }
}
