//! Countersign: a self-hosted phone-verification server.

pub mod clock;
pub mod config;
pub mod http;
pub mod seal;
pub mod store;
pub mod telemetry;
pub mod webhooks;
