//! Webhooks: where they may go, what they say, how they are signed and sent, and when they are
//! tried again.

pub mod destination;
mod inlet;
mod outcome;
mod render;
pub mod schedule;
pub mod sender;
pub mod standard;
mod traffic;
mod worker;

pub use inlet::{Arrivals, Inlet, Seat};
pub use worker::Worker;
