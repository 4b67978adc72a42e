//! The numbers that were read last.

use std::sync::{Mutex, PoisonError};

use engine::PhoneNumber;

/// Spares reading a number's digits anew at each step of its attempt: the metadata's patterns make
/// that as dear as a row of the store.
///
/// Each number has one place, which it loses to the next that has the same.
pub(super) struct RecentNumbers(Vec<Mutex<Option<PhoneNumber>>>);

impl RecentNumbers {
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| Mutex::new(None)).collect())
    }

    /// Keeps a number.
    pub(super) fn put(&self, number: PhoneNumber) {
        if let Some(place) = self.place(number.digits()) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
        }
    }

    /// Returns the number of these digits, if it is still there.
    pub(super) fn get(&self, digits: u64) -> Option<PhoneNumber> {
        let kept = *self.place(digits)?.lock().unwrap_or_else(PoisonError::into_inner);
        kept.filter(|number| number.digits() == digits)
    }

    /// Drops a number.
    pub(super) fn forget(&self, digits: u64) {
        if let Some(place) = self.place(digits) {
            let mut kept = place.lock().unwrap_or_else(PoisonError::into_inner);
            kept.take_if(|number| number.digits() == digits);
        }
    }

    fn place(&self, digits: u64) -> Option<&Mutex<Option<PhoneNumber>>> {
        self.0.get(usize::try_from(digits % PLACES).ok()?)
    }
}

/// Chosen: as many as are under way in a busy second, and a prime, since numbers come in blocks.
const PLACES: u64 = 8191;

#[cfg(test)]
mod tests {
    use engine::Numbering;

    use super::*;

    #[test]
    fn a_number_is_kept_until_another_takes_its_place() {
        let numbers = RecentNumbers::new();
        let number = PhoneNumber::parse("+4915112345678", None, Numbering::Real).unwrap();
        assert_eq!(numbers.get(number.digits()), None);
        numbers.put(number);
        assert_eq!(numbers.get(number.digits()), Some(number));
        assert_eq!(numbers.get(number.digits() + PLACES), None, "that is another number");
        let other = PhoneNumber::from_digits(number.digits() + PLACES).unwrap();
        numbers.put(other);
        assert_eq!(numbers.get(number.digits()), None);
        numbers.forget(number.digits());
        assert_eq!(numbers.get(other.digits()), Some(other), "that is another number");
        numbers.forget(other.digits());
        assert_eq!(numbers.get(other.digits()), None);
    }
}
