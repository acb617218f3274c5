//! What the proxy does to single requests and answers.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::frame::Request;
use super::{Api, Moment, PATIENCE, Shared};

/// A request that passes the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it asks for.
    pub api: Api,
    /// The `client.id` of who asks.
    pub client: String,
}

/// What is to happen to a request or to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Both pass.
    Pass,
    /// The request or the answer vanishes; the connection stays.
    Drop(Moment),
    /// The connection ends, before the broker hears the request or before the client hears the answer.
    Cut(Moment),
    /// It goes no further until [`super::KafkaProxy::release`], or for 20 s; what comes behind it on its connection waits
    /// as well.
    Hold(Moment),
    /// It goes on after this time, and so does what comes behind it.
    Delay(Moment, Duration),
    /// The request passes with the group's generation before the present one, so that the broker refuses it as it
    /// refuses a member that has slept through a rebalance. Of [`Api::Heartbeat`] and [`Api::TxnOffsetCommit`] only;
    /// others pass.
    Outdate,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// To what.
    pub call: Call,
    /// What.
    pub deed: Deed,
}

impl Done {
    /// As what happens before the broker hears of it, and what after.
    pub(super) fn split(self) -> (Option<Self>, Option<Self>) {
        match self.deed {
            Deed::Drop(Moment::After)
            | Deed::Cut(Moment::After)
            | Deed::Hold(Moment::After)
            | Deed::Delay(Moment::After, _) => (None, Some(self)),
            Deed::Pass
            | Deed::Outdate
            | Deed::Drop(Moment::Before)
            | Deed::Cut(Moment::Before)
            | Deed::Hold(Moment::Before)
            | Deed::Delay(Moment::Before, _) => (Some(self), None),
        }
    }
}

/// What becomes of a frame.
pub(super) enum Next {
    Pass,
    Drop,
    Cut,
}

type Decide = Box<dyn FnMut(&Call) -> Deed + Send>;

/// Decides about requests, once someone has said how.
#[derive(Default)]
pub(super) struct Decider(Mutex<Option<Decide>>);

impl Decider {
    pub(super) fn set(&self, decide: Decide) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(decide);
    }
}

impl fmt::Debug for Decider {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Decider")
    }
}

impl Shared {
    /// What is to happen to this request, if anything.
    pub(super) fn fault(&self, request: &mut Request) -> Option<Done> {
        let api = request.known()?;
        let call = Call { api, client: String::from_utf8_lossy(&request.client).into_owned() };
        let mut decide = self.decide.0.lock().unwrap_or_else(PoisonError::into_inner);
        let deed = decide.as_mut()?(&call);
        let possible = deed != Deed::Pass && (deed != Deed::Outdate || request.outdate());
        possible.then_some(Done { call, deed })
    }

    /// Lets it happen, and says what becomes of the frame.
    pub(super) fn happens(&self, done: Done) -> Next {
        let deed = done.deed;
        let mut state = self.lock();
        state.done.push(done);
        match deed {
            Deed::Pass | Deed::Outdate => Next::Pass,
            Deed::Drop(_) => Next::Drop,
            Deed::Cut(_) => Next::Cut,
            Deed::Hold(_) => {
                state.waiting += 1;
                let releases = state.releases;
                let held = |state: &mut super::State| !state.over && state.releases == releases;
                let waited = self.changed.wait_timeout_while(state, PATIENCE, held);
                waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
                Next::Pass
            }
            Deed::Delay(_, by) => {
                drop(self.changed.wait_timeout_while(state, by, |state| !state.over));
                Next::Pass
            }
        }
    }
}
