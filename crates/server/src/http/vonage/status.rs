//! The status numbers of the SMS and short-code APIs, and the text that goes with each.

use std::borrow::Cow;

macro_rules! wire_statuses {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal;)*) => {
        /// The `status` of one part of an answer, as documented for the SMS and short-code APIs.
        ///
        /// The numbers 21, 24 to 28, 30 and 31 are not documented and missing here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum WireStatus {
            /// 1: more requests than the account may make, or than may go to a number.
            Throttled {
                /// How long to wait, in milliseconds, if that is short: the vendor's PHP client
                /// sleeps that long in the middle of a request and tries again.
                wait_ms: Option<u64>,
            },
            $($(#[$doc])* $variant,)*
        }

        impl WireStatus {
            /// Returns the number on the wire.
            pub const fn number(self) -> u8 {
                match self {
                    Self::Throttled { .. } => 1,
                    $(Self::$variant => $number,)*
                }
            }

            /// Returns the `error-text` sent unless a part brings its own; empty for success.
            pub fn error_text(self) -> Cow<'static, str> {
                match self {
                    // The client parses this text: every space counts.
                    Self::Throttled { wait_ms: Some(wait_ms) } => Cow::Owned(format!(
                        "Throughput Rate Exceeded - please wait [ {wait_ms} ] and retry"
                    )),
                    Self::Throttled { wait_ms: None } => {
                        Cow::Borrowed("Throughput Rate Exceeded - please wait and retry")
                    }
                    $(Self::$variant => Cow::Borrowed($text),)*
                }
            }
        }
    };
}

// Texts were seen on the wire where one is known; the others are the documented names.
wire_statuses! {
    /// 0: accepted; an accepted part has it by itself.
    Success = 0, "";
    /// 2: a mandatory parameter is missing; the envelope can say which.
    MissingParams = 2, "Your request is incomplete and missing some mandatory parameters";
    /// 3: a parameter has an impossible value; the envelope can say which.
    InvalidParams = 3, "Invalid value for one or more parameters";
    /// 4: unknown key or wrong secret.
    InvalidCredentials = 4, "Bad Credentials";
    /// 5: a failure of the server.
    InternalError = 5, "Server Error";
    /// 6: no route to the number.
    InvalidMessage = 6, "Unroutable message - rejected";
    /// 7: the number may not be sent to.
    NumberBarred = 7, "Number barred.";
    /// 8: the account is barred.
    AccountBarred = 8, "Partner account barred";
    /// 9: the account has no credit left.
    QuotaExceeded = 9, "Quota Exceeded - rejected";
    /// 10: too many connections of the account.
    TooManyBinds = 10, "Too many existing binds";
    /// 11: the account may not use this API.
    AccountNotEnabled = 11, "Account not enabled for HTTP";
    /// 12: the message is too long.
    MessageTooLong = 12, "Message too long";
    /// 13: the message could not be handed on.
    CommunicationFailed = 13, "Communication failed";
    /// 14: the signature is wrong or stale.
    InvalidSignature = 14, "Invalid Signature";
    /// 15: the account may not use this originator.
    IllegalOriginator = 15, "Illegal Sender Address - rejected";
    /// 16: the time to live is out of range.
    InvalidTtl = 16, "value for ttl field out of range";
    /// 17: the number cannot be reached (withdrawn by the vendor).
    NumberUnreachable = 17, "Number unreachable";
    /// 18: too many recipients (withdrawn by the vendor).
    TooManyDestinations = 18, "Too many destinations";
    /// 19: the account may not use a feature of the request.
    FacilityNotAllowed = 19, "Facility not allowed";
    /// 20: the message class is none.
    InvalidMessageClass = 20, "Invalid message class";
    /// 22: the network code is none.
    InvalidNetworkCode = 22, "Invalid network code";
    /// 23: the callback cannot be used.
    InvalidCallback = 23, "Invalid callback URL";
    /// 29: a demo account may not send to this number.
    NotAllowListed = 29, "Non White-listed Destination - rejected";
    /// 32: a signature and a secret were sent together.
    SignatureAndSecret = 32, "Signature and API secret disallowed";
    /// 33: the number is out of service.
    NumberDeactivated = 33, "Number De-activated";
    /// 34: the parameter `msisdn` of the opt-in API is missing or wrong.
    InvalidMsisdnParam = 34, "Invalid or Missing Msisdn Param";
    /// 101: the account has no approved short code or template.
    InvalidAccountForCampaign = 101, "Invalid Account for Campaign";
    /// 102: the recipient has opted out by STOP; the vendor's own text is not known.
    OptedOut = 102, "Destination opted out for campaign";
    /// 103: the recipient is none of the campaign; the vendor's own text is not known.
    InvalidMsisdn = 103, "Invalid msisdn for campaign";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttled_client_finds_its_milliseconds() {
        let status = WireStatus::Throttled { wait_ms: Some(702) };
        assert_eq!(status.number(), 1);
        assert_eq!(status.error_text(), "Throughput Rate Exceeded - please wait [ 702 ] and retry");
    }

    #[test]
    fn a_client_that_would_have_to_wait_for_long_finds_no_number() {
        let status = WireStatus::Throttled { wait_ms: None };
        assert_eq!(status.number(), 1);
        assert_eq!(status.error_text(), "Throughput Rate Exceeded - please wait and retry");
    }

    #[test]
    fn statuses_say_what_was_seen_on_the_wire() {
        for (status, number, text) in [
            (WireStatus::InvalidCredentials, 4, "Bad Credentials"),
            (WireStatus::InternalError, 5, "Server Error"),
            (WireStatus::InvalidMessage, 6, "Unroutable message - rejected"),
            (WireStatus::NumberBarred, 7, "Number barred."),
            (WireStatus::QuotaExceeded, 9, "Quota Exceeded - rejected"),
            (WireStatus::InvalidSignature, 14, "Invalid Signature"),
            (WireStatus::IllegalOriginator, 15, "Illegal Sender Address - rejected"),
            (WireStatus::InvalidTtl, 16, "value for ttl field out of range"),
            (WireStatus::NotAllowListed, 29, "Non White-listed Destination - rejected"),
            (WireStatus::InvalidAccountForCampaign, 101, "Invalid Account for Campaign"),
        ] {
            assert_eq!((status.number(), status.error_text().as_ref()), (number, text));
        }
    }
}
