//! The server.

pub mod webhooks;
