//! What a message says: locales, built-in texts, templates, and what they cost on the wire.
//!
//! Everything a person can read or hear is composed here, so that the channels only carry it.
//! Whatever holds the code comes out as [`SecretText`].

pub mod gsm;
mod locale;
mod secret_text;
mod segments;

pub use locale::Locale;
pub use secret_text::SecretText;
pub use segments::{Encoding, SEGMENTS_MAX, Segments};
