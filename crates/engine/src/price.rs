//! Money: integers in 10^-8 of the account's currency.

use core::fmt;
use core::ops::{Add, Neg, Sub};

use serde::{Deserialize, Serialize};

/// An amount of money in 10^-8 of the account's currency.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whether it is nothing.
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// Wraps a number of 10^-8 units.
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// Returns the number of 10^-8 units.
    pub const fn units(self) -> i64 {
        self.0
    }

    /// Parses a decimal number with at most eight decimals, such as `0.0333` or `-5`.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 8 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let fraction: i64 = format!("{fraction:0<8}").parse().ok()?;
        let units = whole.checked_mul(UNITS)?.checked_add(fraction)?;
        Some(Self(if negative { -units } else { units }))
    }

    /// Returns what each of `count` equal shares is worth, rounded towards zero; all of it if `count`
    /// is zero.
    #[must_use]
    pub fn shared(self, count: u8) -> Self {
        Self(self.0 / i64::from(count.max(1)))
    }

    /// Multiplies, saturating at the largest amount.
    #[must_use]
    pub fn times(self, count: u8) -> Self {
        Self(self.0.saturating_mul(i64::from(count)))
    }
}

/// Renders all eight decimals, as the 2FA API does.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let one = UNITS.unsigned_abs();
        write!(f, "{sign}{}.{:08}", units / one, units % one)
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// What is priced.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriceItem {
    /// A verification that succeeded, whatever was sent for it.
    Verification,
    /// One part of a message.
    Sms,
    /// One call, or a minute of it: what a carrier takes.
    Voice,
}

/// One line of a price list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// What is priced.
    pub item: PriceItem,
    /// The leading digits of the numbers that it is for, without `+`; empty for all.
    pub prefix: String,
    /// How much.
    pub amount: Amount,
}

/// The prices of one account.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PriceList(Vec<Price>);

impl PriceList {
    /// Builds a list from its lines, in any order.
    pub fn new(mut prices: Vec<Price>) -> Self {
        prices.sort_by_key(|price| core::cmp::Reverse(price.prefix.len()));
        Self(prices)
    }

    /// Returns the price of the longest prefix that matches a number's digits; zero if none does.
    pub fn lookup(&self, item: PriceItem, digits: u64) -> Amount {
        self.find(item, digits).unwrap_or(Amount::ZERO)
    }

    /// Returns the price of the longest prefix that matches a number's digits, if one does.
    pub fn find(&self, item: PriceItem, digits: u64) -> Option<Amount> {
        let digits = digits.to_string();
        let line = self.0.iter().find(|p| p.item == item && digits.starts_with(&p.prefix));
        line.map(|price| price.amount)
    }
}

const UNITS: i64 = 100_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_prefix_sets_the_price() {
        let price = |prefix: &str, units| Price {
            item: PriceItem::Sms,
            prefix: prefix.to_owned(),
            amount: Amount::from_units(units),
        };
        let list = PriceList::new(vec![price("", 1), price("4477", 3), price("44", 2)]);
        assert_eq!(list.lookup(PriceItem::Sms, 447_700_900_123).units(), 3);
        assert_eq!(list.lookup(PriceItem::Sms, 441_632_960_960).units(), 2);
        assert_eq!(list.lookup(PriceItem::Sms, 12_015_550_123).units(), 1);
        assert_eq!(list.lookup(PriceItem::Voice, 12_015_550_123), Amount::ZERO);
        assert_eq!(list.find(PriceItem::Voice, 12_015_550_123), None);
    }

    #[test]
    fn amounts_have_eight_decimals_over_the_whole_range() {
        for (units, expected) in [
            (0, "0.00000000"),
            (845_000, "0.00845000"),
            (10_000_000_000, "100.00000000"),
            (-1, "-0.00000001"),
            (i64::MIN, "-92233720368.54775808"),
        ] {
            assert_eq!(Amount::from_units(units).to_string(), expected);
        }
    }

    #[test]
    fn a_share_is_rounded_towards_zero() {
        let ten = Amount::from_units(10);
        assert_eq!([0, 1, 3].map(|count| ten.shared(count).units()), [10, 10, 3]);
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", ".5", "1.123456789", "1e3", "+1", "--1", "9999999999999"] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
        assert_eq!(Amount::parse("0.0333").unwrap().to_string(), "0.03330000");
    }

    proptest! {
        #[test]
        fn an_amount_survives_its_text_form(units in -1_000_000_000_000_000_i64..1_000_000_000_000_000) {
            let amount = Amount::from_units(units);
            prop_assert_eq!(Amount::parse(&amount.to_string()), Some(amount));
        }
    }
}
