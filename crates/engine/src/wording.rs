//! What a message says: locales, built-in texts, templates, and what they cost on the wire.
//!
//! Everything a person can read or hear is composed here, so that the channels only carry it.
//! Whatever holds the code comes out as [`SecretText`].

mod autofill;
pub mod gsm;
mod locale;
mod parts;
mod phrases;
mod secret_text;
mod segments;
mod template;
mod transliteration;

pub use autofill::{
    ANDROID_BYTES_MAX, AppHash, AppendedLine, HOST_BYTES_MAX, Host, LintError, lint,
};
pub use locale::Locale;
pub use parts::{Alphabet, Cutting, Joined, Parts, SecretOctets, split};
pub use phrases::{BRAND_CHARS_MAX, CODE_DIGITS_MAX, Phrases, spoken};
pub use secret_text::SecretText;
pub use segments::{Encoding, SEGMENTS_MAX, Segments};
pub use template::{
    BRAND, NAME_CHARS_MAX, PIN, PIN_EXPIRY, PLACEHOLDERS_MAX, RenderError, TEXT_CHARS_MAX,
    Template, TemplateError, VALUE_CHARS_MAX,
};
pub use transliteration::transliterate;
