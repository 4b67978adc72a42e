//! Times as SMPP and receipts write them.

use core::time::Duration;

/// The longest validity that is asked for; longer ones are cut down to it.
///
/// A choice: a relative time counts months and years of no fixed length, and no code lives a month.
pub const VALIDITY_MAX: Duration = Duration::from_secs(30 * DAY);

/// Writes how long from now an SMSC may try, rounded down to seconds (SMPP 3.4, section 7.1.1.2).
///
/// Less than a second is written as one, because zeros would mean no limit.
pub fn relative_validity(validity: Duration) -> String {
    let seconds = validity.min(VALIDITY_MAX).as_secs().max(1);
    let (days, hours) = (seconds / DAY, seconds % DAY / HOUR);
    let (minutes, rest) = (seconds % HOUR / MINUTE, seconds % MINUTE);
    format!("0000{days:02}{hours:02}{minutes:02}{rest:02}000R")
}

/// A date and time of a receipt, `YYMMDDhhmm` or `YYMMDDhhmmss`, in the zone of the SMSC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SmscTime {
    /// With the century, which is taken to be the 21st.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the length of the month.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59; zero if it was not told.
    pub second: u8,
}

impl SmscTime {
    /// Reads the digits; what follows the seconds is skipped, and no date that cannot be is read.
    pub fn parse(text: &str) -> Option<Self> {
        let pair = |at: usize| {
            let digits = text.get(2 * at..2 * at + 2)?;
            let numeric = digits.bytes().all(|byte| byte.is_ascii_digit());
            numeric.then(|| digits.parse::<u8>().ok())?
        };
        let (year, month, day) = (2000 + u16::from(pair(0)?), pair(1)?, pair(2)?);
        let (hour, minute, second) = (pair(3)?, pair(4)?, pair(5).unwrap_or(0));
        let legal = (1..=days_of_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        legal.then_some(Self { year, month, day, hour, minute, second })
    }

    /// Returns the time since the Unix epoch as if the SMSC's clock showed UTC.
    pub fn as_if_utc(self) -> Duration {
        let leap_days = (1970..self.year).filter(|year| is_leap(*year)).count();
        let days_before_year = 365 * u64::from(self.year - 1970) + leap_days as u64;
        let days_before_month: u64 =
            (1..self.month).map(|month| u64::from(days_of_month(self.year, month))).sum();
        let days = days_before_year + days_before_month + u64::from(self.day - 1);
        let seconds =
            u64::from(self.hour) * HOUR + u64::from(self.minute) * MINUTE + u64::from(self.second);
        Duration::from_secs(days * DAY + seconds)
    }
}

/// Returns 0 for a month that there is not.
fn days_of_month(year: u16, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(is_leap(year)),
        _ => 0,
    }
}

const fn is_leap(year: u16) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validity_is_written_from_years_to_tenths_and_marked_relative() {
        for (seconds, written) in [
            (600, "000000001000000R"),
            (3600, "000000010000000R"),
            (90, "000000000130000R"),
            (0, "000000000001000R"),
            (2 * 86_400 + 3661, "000002010101000R"),
            (u64::MAX, "000030000000000R"),
        ] {
            let text = relative_validity(Duration::from_secs(seconds));
            assert_eq!(text, written, "{seconds}");
            assert_eq!(text.len(), 16);
        }
    }

    #[test]
    fn a_date_of_a_receipt_is_read_with_and_without_seconds() {
        let time = SmscTime::parse("2611211911").unwrap();
        assert_eq!((time.year, time.month, time.day), (2026, 11, 21));
        assert_eq!((time.hour, time.minute, time.second), (19, 11, 0));
        assert_eq!(time.as_if_utc().as_secs(), 1_795_288_260);
        assert_eq!(SmscTime::parse("261121191159").unwrap().second, 59);
        assert_eq!(SmscTime::parse("0001010000").unwrap().as_if_utc().as_secs(), 946_684_800);
    }

    #[test]
    fn what_is_no_date_is_not_read() {
        for text in ["", "26112119", "2613211911", "2602301911", "2611212411", "26é1211911", "x"] {
            assert_eq!(SmscTime::parse(text), None, "{text:?}");
        }
    }
}
