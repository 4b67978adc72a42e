//! The verification engine.

mod timer;

pub use timer::Timestamp;
