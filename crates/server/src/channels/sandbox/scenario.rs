//! Magic numbers: numbers reserved for fiction whose last digit says what happens to them.

use std::time::Duration;

use engine::{Channel, ErrorCode, ReceiptStatus};

use super::Report;

/// What happens to what is sent to a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scenario {
    /// It arrives, and the receipt says so.
    Delivered,
    /// It arrives, and the receipt comes half a minute late.
    Late,
    /// It arrives, and nobody ever says so.
    NoReceipt,
    /// The carrier takes it and cannot deliver it.
    Undelivered,
    /// The carrier refuses it.
    Rejected,
    /// Messages arrive; calls find the line busy.
    Busy,
    /// Messages arrive; calls are not answered.
    NoAnswer,
    /// The receipt comes before the carrier has confirmed the submit.
    ReceiptFirst,
    /// Every receipt comes twice.
    ReceiptTwice,
    /// The carrier cannot be reached.
    CarrierDown,
    /// It is buffered first, then delivered.
    Buffered,
}

impl Scenario {
    /// Reads the scenario off a number: 01632 960990 to 960999 and 07700 900990 to 900999 in the
    /// UK, 555-0190 to 555-0199 in any US or Canadian area code. All other numbers deliver.
    pub(super) fn of(number: u64) -> Self {
        let british = matches!(number / 10, 44_163_296_099 | 44_770_090_099);
        let american = (10_000_000_000..20_000_000_000).contains(&number)
            && number % 10_000_000 / 10 == 555_019;
        if !british && !american {
            return Self::Delivered;
        }
        match number % 10 {
            0 => Self::Late,
            1 => Self::NoReceipt,
            2 => Self::Undelivered,
            3 => Self::Rejected,
            4 => Self::Busy,
            5 => Self::NoAnswer,
            6 => Self::ReceiptFirst,
            7 => Self::ReceiptTwice,
            8 => Self::CarrierDown,
            _ => Self::Buffered,
        }
    }

    /// Whether the handset gets the message or the call is answered.
    pub(super) fn reaches(self, channel: Channel) -> bool {
        match self {
            Self::Undelivered | Self::Rejected | Self::CarrierDown => false,
            Self::Busy | Self::NoAnswer => channel == Channel::Sms,
            Self::Delivered
            | Self::Late
            | Self::NoReceipt
            | Self::ReceiptFirst
            | Self::ReceiptTwice
            | Self::Buffered => true,
        }
    }

    /// What the network reports.
    pub(super) fn reports(self, channel: Channel) -> Vec<Report> {
        let soon = Duration::ZERO;
        let delivered = Report::new(soon, ReceiptStatus::Delivered, ErrorCode::NONE);
        let failed = |after, error| Report::new(after, ReceiptStatus::Failed, error);
        match (self, channel) {
            (Self::Late, _) => vec![Report { after: LATE, ..delivered }],
            (Self::NoReceipt | Self::Rejected | Self::CarrierDown, _) => Vec::new(),
            (Self::Undelivered, _) => vec![failed(soon, ErrorCode::ABSENT_PERMANENT)],
            (Self::Busy, Channel::Voice) => vec![failed(soon, ErrorCode::BUSY)],
            (Self::NoAnswer, Channel::Voice) => {
                vec![failed(RINGS_UNANSWERED, ErrorCode::ABSENT_TEMPORARY)]
            }
            (Self::ReceiptTwice, _) => {
                vec![delivered, Report { after: AGAIN, ..delivered }]
            }
            (Self::Buffered, _) => vec![
                Report::new(soon, ReceiptStatus::Buffered, ErrorCode::NONE),
                Report { after: BUFFERED, ..delivered },
            ],
            (Self::Delivered | Self::Busy | Self::NoAnswer | Self::ReceiptFirst, _) => {
                vec![delivered]
            }
        }
    }
}

const LATE: Duration = Duration::from_secs(30);
const BUFFERED: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);
const RINGS_UNANSWERED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_reserved_for_fiction_are_magic() {
        assert_eq!(Scenario::of(447_700_900_992), Scenario::Undelivered);
        assert_eq!(Scenario::of(441_632_960_993), Scenario::Rejected);
        assert_eq!(Scenario::of(12_015_550_198), Scenario::CarrierDown);
        assert_eq!(Scenario::of(14_165_550_194), Scenario::Busy);
        for ordinary in [447_700_900_123, 441_632_960_960, 12_015_550_123, 447_860_021_192] {
            assert_eq!(Scenario::of(ordinary), Scenario::Delivered, "{ordinary}");
        }
    }
}
