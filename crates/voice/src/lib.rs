//! Calls over SIP trunks: signalling, media, and what a call plays.

pub mod g711;
pub mod speech;
