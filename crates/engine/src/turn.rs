//! One call, one drain, one commit.

use core::fmt;

use crate::{Amount, AttemptId, Channel, Outcome, Receipt, Timestamp};

/// What should happen in the world.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send the code over a channel.
    Send {
        /// The attempt that this makes.
        attempt: AttemptId,
        /// The channel to use.
        channel: Channel,
    },
    /// Stop an attempt, if it still can be stopped.
    Withdraw {
        /// The attempt to stop.
        attempt: AttemptId,
    },
    /// Take money from the account.
    Charge {
        /// How much.
        amount: Amount,
    },
    /// Tell the account's webhook.
    Notify(Notice),
}

/// What a webhook is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A verification ended.
    Outcome(Outcome),
    /// A message changed its state.
    Receipt(Receipt),
}

/// A state machine that is drained after each call.
pub trait Machine {
    /// Takes the next thing to do. Drain until `None`.
    fn poll_output(&mut self) -> Option<Output>;

    /// Returns when the machine next wants to be woken, `None` once it has ended.
    fn poll_timeout(&self) -> Option<Timestamp>;
}

/// Everything that one call on a machine changed, ready to be stored in one transaction.
#[derive(Debug)]
#[must_use = "a turn that is not committed never happened"]
pub struct Turn<M> {
    /// The machine as it is now.
    pub machine: M,
    /// What should happen in the world, in order.
    pub outputs: Vec<Output>,
    /// When the machine next wants to be woken.
    pub wake_at: Option<Timestamp>,
}

impl<M: Machine> Turn<M> {
    /// Makes one call on a machine and drains it.
    pub fn take<R>(mut machine: M, call: impl FnOnce(&mut M) -> R) -> (Self, R) {
        let reply = call(&mut machine);
        let outputs = core::iter::from_fn(|| machine.poll_output()).collect();
        let wake_at = machine.poll_timeout();
        (Self { machine, outputs, wake_at }, reply)
    }
}

/// A stored machine that is in no legal state, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Corrupt(pub &'static str);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Corrupt {}
