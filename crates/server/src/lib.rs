//! The server.

pub mod clock;
