//! Countersign: a self-hosted phone-verification server.

pub mod channels;
pub mod clock;
pub mod config;
mod demo;
pub mod directory;
pub mod driver;
pub mod http;
pub mod quality;
pub mod seal;
pub mod server;
pub mod speech;
pub mod store;
pub mod telemetry;
pub mod webhooks;
