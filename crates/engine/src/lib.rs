//! The verification engine.
