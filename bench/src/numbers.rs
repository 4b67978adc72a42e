//! Phone numbers that are valid and never repeat: to them, nothing is ever sent but in a sandbox.

/// Hands out the numbers of a run.
#[derive(Default)]
pub(crate) struct Numbers {
    next: u64,
}

impl Iterator for Numbers {
    type Item = u64;

    /// Answers the next number's international digits, without a plus sign.
    fn next(&mut self) -> Option<u64> {
        loop {
            let index = self.next;
            self.next += 1;
            let area = AREAS.get(usize::try_from(index % AREAS_COUNT).ok()?)?;
            // Stepping by a number that shares no factor with the range visits all of it, and
            // neighbours in time are no neighbours in any index.
            let step = (index / AREAS_COUNT).wrapping_mul(STRIDE) % LOCAL_COUNT;
            let local = LOCAL_FIRST + step;
            // Exchange 555 holds the numbers reserved for fiction, some of which are magic.
            if local / 10_000 != 555 {
                return Some((1_000 + area) * 10_000_000 + local);
            }
        }
    }
}

/// Geographic areas of the US: each has eight million numbers (NANPA's numbering plan: NXX-XXXX
/// with N from 2 to 9).
const AREAS: [u64; 4] = [212, 312, 415, 617];
const AREAS_COUNT: u64 = 4;
const LOCAL_FIRST: u64 = 2_000_000;
const LOCAL_COUNT: u64 = 8_000_000;
const STRIDE: u64 = 4_999_999;

#[cfg(test)]
mod tests {
    use countersign::config::Config;
    use countersign::directory::numbering;
    use engine::PhoneNumber;

    use super::*;

    #[test]
    fn every_number_is_new_and_one_that_the_server_takes() {
        let numbering = numbering(&Config::default());
        let mut seen = std::collections::HashSet::new();
        for digits in Numbers::default().take(20_000) {
            assert!(seen.insert(digits), "{digits} came twice");
            let number = PhoneNumber::parse(&digits.to_string(), None, numbering);
            let number = number.unwrap_or_else(|error| panic!("{digits}: {error:?}"));
            assert_eq!(number.digits(), digits);
        }
    }
}
