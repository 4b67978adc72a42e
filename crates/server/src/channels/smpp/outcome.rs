//! What an SMSC's numbers mean here: the status of a response, the state and error of a receipt.

use engine::{ErrorCode, Receipt, ReceiptStatus};
use smpp::{DeliveryReceipt, MessageState, Status};

/// What a refused submit leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// The same SMSC may take it a little later.
    ForNow,
    /// No carrier would take it.
    ForGood(ErrorCode),
    /// This carrier does not take it, for a reason of its own.
    ByThisLink,
}

impl Refused {
    /// Reads the status of a response (SMPP 3.4, table 5-2).
    ///
    /// A choice where the specification is silent: what is wrong with the recipient or the text is
    /// so everywhere; what is wrong with the sender, with a parameter that a setting of the link
    /// decides, or with what nobody has named, may be right with another carrier. Nothing that was
    /// refused was sent, so to try another one cannot send twice.
    pub(super) fn of(status: Status) -> Self {
        if status.is_temporary() {
            return Self::ForNow;
        }
        match status.0 {
            INVALID_MESSAGE_LENGTH => Self::ForGood(INVALID_MESSAGE),
            INVALID_DESTINATION => Self::ForGood(ErrorCode::UNREACHABLE),
            PERMANENT_APPLICATION_ERROR | REJECTED_BY_APPLICATION | DELIVERY_FAILURE => {
                Self::ForGood(ErrorCode::GENERAL)
            }
            _ => Self::ByThisLink,
        }
    }
}

/// Reads a receipt in our words.
pub(super) fn receipt(told: &DeliveryReceipt) -> Receipt {
    let status = match told.state {
        MessageState::Enroute => ReceiptStatus::Buffered,
        MessageState::Delivered => ReceiptStatus::Delivered,
        MessageState::Expired => ReceiptStatus::Expired,
        MessageState::Deleted | MessageState::Undeliverable => ReceiptStatus::Failed,
        MessageState::Accepted => ReceiptStatus::Accepted,
        MessageState::Unknown => ReceiptStatus::Unknown,
        MessageState::Rejected => ReceiptStatus::Rejected,
    };
    let error = if status.is_definite_failure() { error(told) } else { ErrorCode::NONE };
    Receipt { status, error }
}

/// The network's error by the parameter, or by the text's `err`, which most SMSCs take from the
/// same list.
fn error(told: &DeliveryReceipt) -> ErrorCode {
    let in_text = told.error.as_deref().and_then(|error| error.parse::<u16>().ok());
    match told.network_error.map(|error| error.code).or(in_text) {
        None | Some(0) => ErrorCode::UNKNOWN,
        Some(code) => {
            let known = MAP_ERRORS.iter().find(|(map, _)| *map == code);
            known.map_or(ErrorCode::GENERAL, |(_, error)| *error)
        }
    }
}

// Statuses by their number (table 5-2): no other file asks for them.
const INVALID_MESSAGE_LENGTH: u32 = 0x01;
const INVALID_DESTINATION: u32 = 0x0B;
const PERMANENT_APPLICATION_ERROR: u32 = 0x65;
const REJECTED_BY_APPLICATION: u32 = 0x66;
const DELIVERY_FAILURE: u32 = 0xFE;

// Codes of the 2FA API's `err-code` that only carriers give.
const CALL_BARRED: ErrorCode = ErrorCode(4);
const NETWORK_ERROR: ErrorCode = ErrorCode(8);
const INVALID_MESSAGE: ErrorCode = ErrorCode(10);

/// Errors of GSM networks (3GPP TS 29.002, section 17.6.6, local values) and what they are in the
/// 2FA API's list.
const MAP_ERRORS: [(u16, ErrorCode); 16] = [
    (1, ErrorCode::ABSENT_PERMANENT),  // unknown subscriber
    (5, ErrorCode::ABSENT_PERMANENT),  // unidentified subscriber
    (6, ErrorCode::ABSENT_TEMPORARY),  // absent subscriber for short messages
    (8, ErrorCode::UNREACHABLE),       // roaming not allowed
    (9, ErrorCode::UNREACHABLE),       // illegal subscriber
    (10, ErrorCode::UNREACHABLE),      // bearer service not provisioned
    (11, ErrorCode::UNREACHABLE),      // teleservice not provisioned
    (12, ErrorCode::UNREACHABLE),      // illegal equipment
    (13, CALL_BARRED),                 // call barred
    (21, ErrorCode::UNREACHABLE),      // facility not supported
    (27, ErrorCode::ABSENT_TEMPORARY), // absent subscriber
    (31, ErrorCode::BUSY),             // subscriber busy for a short message
    (32, ErrorCode::ABSENT_TEMPORARY), // delivery failure, as of a full memory
    (34, NETWORK_ERROR),               // system failure
    (35, NETWORK_ERROR),               // data missing
    (36, NETWORK_ERROR),               // unexpected data value
];

#[cfg(test)]
mod tests {
    use smpp::NetworkError;

    use super::*;

    #[test]
    fn what_is_wrong_with_the_recipient_is_so_everywhere_and_the_rest_is_the_carriers_own() {
        assert_eq!(Refused::of(Status::RINVDSTADR), Refused::ForGood(ErrorCode::UNREACHABLE));
        assert_eq!(Refused::of(Status(0x01)), Refused::ForGood(ErrorCode(10)));
        for status in [Status::RINVSRCADR, Status::RSUBMITFAIL, Status::RUNKNOWNERR, Status(0x400)]
        {
            assert_eq!(Refused::of(status), Refused::ByThisLink, "{status}");
        }
        for status in [Status::RTHROTTLED, Status::RMSGQFUL, Status::RSYSERR] {
            assert_eq!(Refused::of(status), Refused::ForNow, "{status}");
        }
    }

    #[test]
    fn a_failure_has_the_networks_reason_and_a_delivery_has_none() {
        let told = |state, error: Option<&str>, code: Option<u16>| {
            receipt(&DeliveryReceipt {
                id_parameter: None,
                id_text: None,
                state,
                error: error.map(str::to_owned),
                network_error: code.map(|code| NetworkError { network: 3, code }),
                submitted_at: None,
                done_at: None,
            })
        };
        let failed = MessageState::Undeliverable;
        for (receipt, status, error) in [
            (told(MessageState::Delivered, Some("001"), None), ReceiptStatus::Delivered, 0),
            (told(MessageState::Enroute, None, None), ReceiptStatus::Buffered, 0),
            (told(failed, Some("001"), None), ReceiptStatus::Failed, 3),
            (told(failed, Some("001"), Some(31)), ReceiptStatus::Failed, 7),
            (told(failed, Some("000"), None), ReceiptStatus::Failed, 1),
            (told(failed, Some("abc"), None), ReceiptStatus::Failed, 1),
            (told(failed, Some("999"), None), ReceiptStatus::Failed, 99),
            (told(MessageState::Deleted, None, None), ReceiptStatus::Failed, 1),
            (told(MessageState::Expired, None, Some(27)), ReceiptStatus::Expired, 2),
            (told(MessageState::Rejected, None, Some(13)), ReceiptStatus::Rejected, 4),
        ] {
            assert_eq!(receipt, Receipt { status, error: ErrorCode(error) });
        }
    }
}
