//! Magic numbers: numbers reserved for fiction whose last digit says what happens to them.

use std::time::Duration;

use engine::{Channel, ErrorCode, ReceiptStatus};
use serde::{Deserialize, Serialize};

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
    /// Messages arrive; calls are declined.
    Declined,
    /// Messages arrive; calls are answered and hung up before the code has been said.
    HangsUp,
    /// Messages arrive; whoever answers calls presses 1 to hear the code again.
    PressesOne,
    /// Messages arrive; calls are answered by a machine.
    Voicemail,
}

/// Who answers a call, if anybody does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pickup {
    /// A person, who presses a key if there is no other way to the code.
    #[default]
    Person,
    /// One who hangs up after the first words.
    HangsUp,
    /// One who asks for the code once more.
    PressesOne,
    /// An answering machine.
    Machine,
}

impl Scenario {
    /// Reads the scenario off a number: 01632 960990 to 960999 and 07700 900990 to 900999 in the
    /// UK, 555-0190 to 555-0199 in any US or Canadian area code. All other numbers deliver.
    pub(super) fn of(number: u64) -> Self {
        let british = matches!(number / 10, 44_163_296_099 | 44_770_090_099);
        let american = (10_000_000_000..20_000_000_000).contains(&number)
            && number % 10_000_000 / 10 == 555_019;
        if !british && !american {
            return Self::of_call(number);
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

    /// Reads off the ten numbers before those which of them are about calls alone.
    fn of_call(number: u64) -> Self {
        let british = matches!(number / 10, 44_163_296_098 | 44_770_090_098);
        let american = (10_000_000_000..20_000_000_000).contains(&number)
            && number % 10_000_000 / 10 == 555_018;
        match number % 10 {
            _ if !british && !american => Self::Delivered,
            0 => Self::Declined,
            1 => Self::HangsUp,
            2 => Self::PressesOne,
            3 => Self::Voicemail,
            _ => Self::Delivered,
        }
    }

    /// Who answers a call.
    pub(super) fn pickup(self) -> Pickup {
        match self {
            Self::HangsUp => Pickup::HangsUp,
            Self::PressesOne => Pickup::PressesOne,
            Self::Voicemail => Pickup::Machine,
            Self::Delivered
            | Self::Late
            | Self::NoReceipt
            | Self::Undelivered
            | Self::Rejected
            | Self::Busy
            | Self::NoAnswer
            | Self::ReceiptFirst
            | Self::ReceiptTwice
            | Self::CarrierDown
            | Self::Buffered
            | Self::Declined => Pickup::Person,
        }
    }

    /// Whether the handset gets the message or the call is answered.
    pub(super) fn reaches(self, channel: Channel) -> bool {
        match self {
            Self::Undelivered | Self::Rejected | Self::CarrierDown => false,
            Self::Busy | Self::NoAnswer | Self::Declined => channel == Channel::Sms,
            Self::Delivered
            | Self::Late
            | Self::NoReceipt
            | Self::ReceiptFirst
            | Self::ReceiptTwice
            | Self::Buffered
            | Self::HangsUp
            | Self::PressesOne
            | Self::Voicemail => true,
        }
    }

    /// What the network reports; with `gate`, a call says the code only to whoever presses a key.
    pub(super) fn reports(self, channel: Channel, gate: bool) -> Vec<Report> {
        let soon = Duration::ZERO;
        let delivered = Report::new(soon, ReceiptStatus::Delivered, ErrorCode::NONE);
        let failed = |after, error| Report::new(after, ReceiptStatus::Failed, error);
        match (self, channel) {
            (Self::Late, _) => vec![Report { after: LATE, ..delivered }],
            (Self::NoReceipt | Self::Rejected | Self::CarrierDown, _) => Vec::new(),
            (Self::Undelivered, _) => vec![failed(soon, ErrorCode::ABSENT_PERMANENT)],
            (Self::Busy, Channel::Voice) => vec![failed(soon, ErrorCode::BUSY)],
            (Self::Declined, Channel::Voice) => vec![failed(soon, ErrorCode::BARRED_BY_USER)],
            (Self::HangsUp, Channel::Voice) if gate => {
                vec![failed(HANGS_UP_AFTER, ErrorCode::ABSENT_TEMPORARY)]
            }
            (Self::Voicemail, Channel::Voice) if gate => {
                vec![failed(ASKED_IN_VAIN, ErrorCode::ABSENT_TEMPORARY)]
            }
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
            (
                Self::Delivered
                | Self::Busy
                | Self::NoAnswer
                | Self::ReceiptFirst
                | Self::Declined
                | Self::HangsUp
                | Self::PressesOne
                | Self::Voicemail,
                _,
            ) => vec![delivered],
        }
    }
}

const LATE: Duration = Duration::from_secs(30);
const BUFFERED: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);
const RINGS_UNANSWERED: Duration = Duration::from_secs(30);

/// Long enough to hear who calls, and too short for the code.
pub(super) const HANGS_UP_AFTER: Duration = Duration::from_secs(2);

/// As long as it takes to ask for a key twice.
pub(super) const ASKED_IN_VAIN: Duration = Duration::from_secs(16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_reserved_for_fiction_are_magic() {
        assert_eq!(Scenario::of(447_700_900_992), Scenario::Undelivered);
        assert_eq!(Scenario::of(441_632_960_993), Scenario::Rejected);
        assert_eq!(Scenario::of(12_015_550_198), Scenario::CarrierDown);
        assert_eq!(Scenario::of(14_165_550_194), Scenario::Busy);
        assert_eq!(Scenario::of(447_700_900_980), Scenario::Declined);
        assert_eq!(Scenario::of(441_632_960_983), Scenario::Voicemail);
        assert_eq!(Scenario::of(12_015_550_182), Scenario::PressesOne);
        assert_eq!(Scenario::of(447_700_900_989), Scenario::Delivered);
        for ordinary in [447_700_900_123, 441_632_960_960, 12_015_550_123, 447_860_021_192] {
            assert_eq!(Scenario::of(ordinary), Scenario::Delivered, "{ordinary}");
        }
    }
}
