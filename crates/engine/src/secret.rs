//! Text that holds a code.

use core::fmt;

use zeroize::ZeroizeOnDrop;

/// A rendered text with the code in it: hidden from `Debug`, wiped on drop.
#[derive(Clone, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the link and the seal, and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(••••)")
    }
}
