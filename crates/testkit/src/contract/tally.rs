//! The processor under which the contract is tested: it counts, and shows each step.

use prost::Message;
use tasuki_domain::Timestamp;
use tasuki_stream::{Context, Due, Emitted, Input, Poison, Processor, State, StateError, Topology};
use tasuki_wire::Topic;

use super::PARTITIONS;

/// The first input topic.
pub const ORDERS: Topic = Topic::Behavior;
/// The second input topic; same keys, same states.
pub const MORE_ORDERS: Topic = Topic::SalesFeedback;
/// Written and read by the processor itself, to reach other keys.
pub const FORWARDED: Topic = Topic::IdentityLinks;
/// One [`Step`] for each order applied and each deadline fired.
pub const STEPS: Topic = Topic::Scores;
/// The state topic.
pub const STATE: Topic = Topic::IdentityState;
/// The service's name.
pub const SERVICE: &str = "tally";

/// Counts orders per key, and does not drop repetitions: what a runner applies twice shows as two steps.
#[derive(Clone, Copy, Debug)]
pub struct Tally;

/// One input.
#[derive(Clone, PartialEq, Message)]
pub struct Order {
    /// Which one: tests number their orders.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// What to do.
    #[prost(oneof = "What", tags = "10, 11, 12, 13, 14, 15")]
    pub what: Option<What>,
}

/// What an order says is to be done.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    /// Count it.
    #[prost(bool, tag = "10")]
    Add(bool),
    /// Count it, and send an `Add` of the same number to this key.
    #[prost(string, tag = "11")]
    Forward(String),
    /// Count it, and come back at this instant, in milliseconds.
    #[prost(sint64, tag = "12")]
    WakeAt(i64),
    /// Count it, emit, and then refuse it.
    #[prost(bool, tag = "13")]
    Refuse(bool),
    /// Count it, emit, and then panic.
    #[prost(bool, tag = "14")]
    Panic(bool),
    /// From now on the partition has this revision in common. For the key that stands for the partition.
    #[prost(uint32, tag = "15")]
    Common(u32),
}

/// One output: what has become of the key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Step {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// 1, 2, 3 ... per key.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// The order applied; 0 for a deadline.
    #[prost(uint64, tag = "3")]
    pub number: u64,
    /// The numbers of all orders so far, added up.
    #[prost(uint64, tag = "4")]
    pub total: u64,
    /// For a deadline: when it was due.
    #[prost(sint64, optional, tag = "5")]
    pub due_at: Option<i64>,
    /// For a deadline: when it fired.
    #[prost(sint64, optional, tag = "6")]
    pub fired_at: Option<i64>,
    /// The revision that the partition had in common; 0: none.
    #[prost(uint32, tag = "7")]
    pub of: u32,
}

/// State of a key.
#[derive(Clone, PartialEq, Message)]
pub struct Count {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(uint64, tag = "2")]
    total: u64,
    #[prost(sint64, optional, tag = "3")]
    wake_at: Option<i64>,
    /// What the partition has in common, if this is the state that says it.
    #[prost(uint32, optional, tag = "4")]
    in_common: Option<u32>,
    /// What it had when the state was last changed.
    #[prost(uint32, tag = "5")]
    of: u32,
}

impl State for Count {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(<Self as Message>::decode(bytes)?)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        self.encode_raw(into);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.wake_at.map(Timestamp::from_millis)
    }

    fn common(&self) -> Option<u32> {
        self.in_common
    }

    fn revision(&self) -> u32 {
        self.of
    }
}

impl Count {
    fn step(&mut self, key: &str, number: u64) -> Step {
        self.version += 1;
        self.total += number;
        let (key, of) = (key.to_owned(), self.of);
        Step { key, version: self.version, number, total: self.total, due_at: None, fired_at: None, of }
    }
}

impl Processor for Tally {
    type State = Count;

    fn topology(&self) -> Topology {
        Topology {
            service: SERVICE,
            inputs: &[ORDERS, MORE_ORDERS, FORWARDED],
            outputs: &[STEPS, FORWARDED],
            state: STATE,
        }
    }

    #[allow(clippy::panic, reason = "what a runner does about a panic is part of the contract")]
    fn apply(&self, context: &mut Context<'_, Count>, input: &Input<'_>) -> Result<(), Poison> {
        let key = input.key_str()?;
        let order: Order = input.decode()?;
        let what = order.what.ok_or_else(|| Poison::new("empty", "an order without anything to do"))?;
        if let What::Common(revision) = what {
            context.state(key).in_common = Some(revision);
            return Ok(());
        }
        let of = in_common(context, key);
        let state = context.state(key);
        state.of = of;
        let step = state.step(key, order.number);
        context.emit(STEPS, key, &step);
        match what {
            What::Add(_) => {}
            What::Forward(to) => {
                let forwarded = Order { number: order.number, what: Some(What::Add(true)) };
                context.emit(FORWARDED, to, &forwarded);
            }
            What::WakeAt(millis) => context.state(key).wake_at = Some(millis),
            What::Refuse(_) => return Err(Poison::new("refused", "an order to refuse")),
            What::Common(_) => {}
            // Ordered, so nobody needs to read of it: unwinds as a panic does, past the hook that prints it.
            What::Panic(_) => std::panic::resume_unwind(Box::new("an order to panic")),
        }
        context.count("orders", "applied");
        Ok(())
    }

    fn deadline(&self, context: &mut Context<'_, Count>, due: &Due<'_>) {
        let of = in_common(context, due.key);
        let state = context.state(due.key);
        state.wake_at = None;
        state.of = of;
        let step = state.step(due.key, 0);
        let fired = Step { due_at: Some(due.due_at.as_millis()), fired_at: Some(due.fired_at.as_millis()), ..step };
        context.emit(STEPS, due.key, &fired);
    }

    fn revise(&self, context: &mut Context<'_, Count>, key: &str) {
        let of = in_common(context, key);
        let state = context.state(key);
        state.of = of;
        let step = state.step(key, 0);
        context.emit(STEPS, key, &step);
    }
}

/// What the partition of this key has in common.
fn in_common(context: &mut Context<'_, Count>, key: &str) -> u32 {
    let common = PARTITIONS.key_of(PARTITIONS.of_key(key.as_bytes())).unwrap_or_default();
    context.peek(&common).and_then(State::common).unwrap_or_default()
}

impl Order {
    /// An order on the first input topic.
    pub fn record(number: u64, key: &str, what: What) -> Emitted {
        Self::on(ORDERS, number, key, what)
    }

    /// An order on this topic.
    pub fn on(topic: Topic, number: u64, key: &str, what: What) -> Emitted {
        let payload = Self { number, what: Some(what) }.encode_to_vec();
        Emitted { topic, key: key.to_owned(), payload }
    }

    /// A plain order to count.
    pub fn add(number: u64, key: &str) -> Emitted {
        Self::record(number, key, What::Add(true))
    }
}
