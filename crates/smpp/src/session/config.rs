//! What a session is told before it begins.

use core::num::NonZeroU32;
use core::time::Duration;

use super::pace::Pace;
use crate::address::Address;
use crate::pdu::{Bind, BindKind, INTERFACE_VERSION, Password};

/// How to bind and how much to send.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The request the session begins with.
    pub bind: Bind,
    /// Submits that may be unanswered at once.
    pub window_pdus_max: usize,
    /// Deliveries that may be unanswered at once; above it the SMSC is told to repeat.
    pub deliveries_max: usize,
    /// The pace to begin at.
    pub pace: Pace,
    /// How long the SMSC may take to answer any request.
    pub response_timeout: Duration,
    /// How long the SMSC may say nothing before it is asked whether it is there.
    pub enquire_interval: Duration,
}

impl SessionConfig {
    /// Binds as `system_id` at `pdus_per_second_max`, with everything else at its usual value.
    pub fn new(
        kind: BindKind,
        system_id: &str,
        password: Password,
        pdus_per_second_max: NonZeroU32,
    ) -> Self {
        Self {
            bind: Bind {
                kind,
                system_id: system_id.to_owned(),
                password,
                system_type: String::new(),
                interface_version: INTERFACE_VERSION,
                address_range: Address::default(),
            },
            window_pdus_max: WINDOW_PDUS_USUAL,
            deliveries_max: DELIVERIES_USUAL,
            pace: Pace::new(pdus_per_second_max),
            response_timeout: RESPONSE_TIMEOUT_USUAL,
            enquire_interval: ENQUIRE_INTERVAL_USUAL,
        }
    }

    /// Returns the longest time for which a peer that answers nothing goes unnoticed.
    pub fn silence_max(&self) -> Duration {
        self.enquire_interval.saturating_add(self.response_timeout)
    }
}

/// SMSCs allow 10 to 100 as a rule; above 100 nothing was faster in measurements.
const WINDOW_PDUS_USUAL: usize = 100;

/// A choice: a few batches of the store that keeps receipts, and at most some hundred KB.
const DELIVERIES_USUAL: usize = 1000;

/// What SMSCs' guides ask for most often.
const RESPONSE_TIMEOUT_USUAL: Duration = Duration::from_secs(10);

/// Between the 15 and 30 s that SMSCs' guides ask for; many hang up after 60 s without a word.
const ENQUIRE_INTERVAL_USUAL: Duration = Duration::from_secs(20);
