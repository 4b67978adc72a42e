//! Messages to our numbers.

use std::sync::Arc;

use smpp::{ShortMessage, Status};

use super::Shared;
use super::deliveries::REPEAT;
use crate::driver::Driver;

/// Has a message stored.
///
/// There is nowhere to store it yet, and what was not stored must not be taken: the SMSC is to
/// keep it.
pub(super) async fn store(
    shared: &Shared,
    _driver: &Arc<Driver>,
    _message: &ShortMessage,
) -> Status {
    tracing::warn!(link = shared.name, "a message to one of our numbers cannot be taken yet");
    REPEAT
}
