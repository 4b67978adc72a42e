//! The secret that the user types back.

use core::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// A verification code of 4 to 10 digits.
///
/// Comparison takes the same time for every wrong code of the same length, `Debug` never shows the
/// digits, and the memory is wiped on drop.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Code(String);

impl Code {
    /// The shortest code.
    pub const DIGITS_MIN: usize = 4;
    /// The longest code.
    pub const DIGITS_MAX: usize = 10;

    /// Parses digits that were drawn or that a client supplied.
    pub fn parse(digits: &str) -> Option<Self> {
        let valid = (Self::DIGITS_MIN..=Self::DIGITS_MAX).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit());
        valid.then(|| Self(digits.to_owned()))
    }

    /// The digits, for the text of an attempt and for the seal, and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares with what was typed, in constant time for codes of the same length.
    pub fn matches(&self, typed: &TypedCode) -> bool {
        match typed {
            TypedCode::Text(text) => self.0.as_bytes().ct_eq(text.as_bytes()).into(),
            TypedCode::Number(number) => {
                let mut padded = format!("{number:0width$}", width = self.0.len());
                let equal = self.0.as_bytes().ct_eq(padded.as_bytes()).into();
                padded.zeroize();
                equal
            }
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(••••)")
    }
}

/// A code as it came in with a check.
#[derive(Clone)]
pub enum TypedCode {
    /// Text, compared as it is.
    Text(Zeroizing<String>),
    /// A number, as typed clients send it: the leading zeros that it lost are put back before it
    /// is compared.
    Number(u64),
}

impl TypedCode {
    /// Wraps what a user typed, without the white space around it.
    pub fn text(typed: &str) -> Self {
        Self::Text(Zeroizing::new(typed.trim().to_owned()))
    }
}

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedCode(••••)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_4_to_10_digits() {
        for good in ["0000", "1234567890"] {
            assert!(Code::parse(good).is_some(), "{good}");
        }
        for bad in ["", "123", "12345678901", "12a4", " 1234", "١٢٣٤"] {
            assert!(Code::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_number_gets_its_leading_zeros_back() {
        let code = Code::parse("0042").unwrap();
        assert!(code.matches(&TypedCode::Number(42)));
        assert!(!code.matches(&TypedCode::Number(4200)));
        assert!(!code.matches(&TypedCode::text("42")));
        assert!(code.matches(&TypedCode::text(" 0042\n")));
    }

    #[test]
    fn debug_shows_no_digit() {
        let shown = format!(
            "{:?} {:?} {:?}",
            Code::parse("4815").unwrap(),
            TypedCode::text("4815"),
            TypedCode::Number(4815)
        );
        assert!(!shown.contains(|c: char| c.is_ascii_digit()), "{shown}");
    }
}
