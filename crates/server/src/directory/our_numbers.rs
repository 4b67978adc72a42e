//! The numbers that handsets can write to, and whose they are.

use std::collections::HashMap;

use engine::{AccountId, E164_DIGITS_MAX, Originator};

use crate::store::{Campaign, NumberRecord};

/// A short code or long number of an account.
#[derive(Clone, Debug)]
pub struct OurNumber {
    /// Its name in the store: the campaign that opt-outs are for.
    pub id: u32,
    /// Whose it is.
    pub account: AccountId,
    /// Its digits, as they are sent from.
    pub value: String,
    /// The campaign that runs on it.
    pub campaign: Option<Campaign>,
}

/// All of them, by their digits.
#[derive(Debug, Default)]
pub(super) struct OurNumbers(HashMap<u64, Vec<OurNumber>>);

impl OurNumbers {
    pub(super) fn of(rows: &[NumberRecord]) -> Self {
        let mut numbers = Self::default();
        for (digits, number) in rows.iter().filter_map(our_number) {
            numbers.0.entry(digits).or_default().push(number);
        }
        numbers
    }

    pub(super) fn find(&self, text: &str) -> &[OurNumber] {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let bare = digits.len() <= E164_DIGITS_MAX && digits.bytes().all(|b| b.is_ascii_digit());
        let number: Option<u64> = digits.parse().ok().filter(|_| bare);
        number.and_then(|number| self.0.get(&number)).map_or(&[], Vec::as_slice)
    }
}

fn our_number(record: &NumberRecord) -> Option<(u64, OurNumber)> {
    let digits = match Originator::parse(&record.value).ok()? {
        Originator::ShortCode(code) => u64::from(code),
        Originator::LongNumber(digits) => digits,
        Originator::Alphanumeric(_) => return None,
    };
    let value = digits.to_string();
    let campaign = record.campaign.clone();
    Some((digits, OurNumber { id: record.id, account: record.account, value, campaign }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, value: &str) -> NumberRecord {
        let (account, value) = (AccountId(id), value.to_owned());
        NumberRecord { id, account, value, countries: Vec::new(), fallback: false, campaign: None }
    }

    #[test]
    fn a_number_is_found_by_its_digits_however_the_carrier_writes_them() {
        let rows = [row(1, "54321"), row(2, "447700900000"), row(3, "MyShop"), row(4, "54321")];
        let numbers = OurNumbers::of(&rows);
        let found = |text| numbers.find(text).iter().map(|number| number.id).collect::<Vec<_>>();
        assert_eq!(found("54321"), [1, 4], "two accounts share a short code");
        assert_eq!(found("+447700900000"), [2]);
        assert_eq!(found("447700900000"), [2]);
        for text in ["MyShop", "", "+", "++54321", "5432", "54321x", "99999999999999999999"] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
