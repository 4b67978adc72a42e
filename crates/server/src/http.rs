//! The HTTP side of the server: one module for each door.

pub mod vonage;
