//! A text that holds a code, and therefore never prints itself.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A composed message or transcript: hidden from `Debug`, without `Display`, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Joins `parts` in one allocation, so that no half-built copy stays behind in memory.
    pub fn concat(parts: &[&str]) -> Self {
        Self(parts.concat())
    }

    /// Gives the text to the channel that carries it; it must not reach a log or an error.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_text_shows_nothing_in_a_debug_print() {
        let text = SecretText::concat(&["Your Acme PIN is ", "4815"]);
        assert_eq!(format!("{text:?} {:?}", Some(&text)), "SecretText(..) Some(SecretText(..))");
        assert_eq!(text.reveal(), "Your Acme PIN is 4815");
    }
}
