//! The server.

pub mod telemetry;
