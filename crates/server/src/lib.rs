//! The server.

pub mod http;
pub mod webhooks;
