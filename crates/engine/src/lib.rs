//! The verification engine.

pub mod wording;
