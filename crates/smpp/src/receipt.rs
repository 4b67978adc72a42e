//! Delivery receipts: parameters first, then the text, whatever of either there is.

use crate::pdu::{DATA_CODING_UCS2, ESM_CLASS_RECEIPT, ESM_CLASS_TYPE, ShortMessage, tag};
use crate::time::SmscTime;

/// Characters of a receipt's `err` that are kept; the specification has three.
const ERROR_CHARACTERS_MAX: usize = 16;

/// What an SMSC says became of a message; it holds neither address nor text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReceipt {
    /// The id in `receipted_message_id`, which should be that of the response.
    pub id_parameter: Option<String>,
    /// The id in the text, which may be written in another base.
    pub id_text: Option<String>,
    /// What became of it.
    pub state: MessageState,
    /// `err` of the text, as it is.
    pub error: Option<String>,
    /// The network's own error.
    pub network_error: Option<NetworkError>,
    /// When the SMSC took it, by its own clock.
    pub submitted_at: Option<SmscTime>,
    /// When it reached its state, by the SMSC's own clock.
    pub done_at: Option<SmscTime>,
}

/// `network_error_code` (SMPP 3.4, section 5.3.2.31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError {
    /// The kind of network: 1 ANSI-136, 2 IS-95, 3 GSM; zero if it was not told.
    pub network: u8,
    /// What the network says.
    pub code: u16,
}

/// The state of a message (section 5.2.28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// On its way.
    Enroute,
    /// It reached the phone.
    Delivered,
    /// Its validity is over.
    Expired,
    /// Somebody took it back.
    Deleted,
    /// It cannot be delivered.
    Undeliverable,
    /// A person has read it on the subscriber's behalf.
    Accepted,
    /// The SMSC does not know, or says what nobody understands.
    Unknown,
    /// The network refused it.
    Rejected,
}

impl MessageState {
    /// Reads the number of the parameter; a number that the table lacks is [`Self::Unknown`].
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Enroute,
            2 => Self::Delivered,
            3 => Self::Expired,
            4 => Self::Deleted,
            5 => Self::Undeliverable,
            6 => Self::Accepted,
            8 => Self::Rejected,
            _ => Self::Unknown,
        }
    }

    /// Returns the number of the parameter.
    pub const fn number(self) -> u8 {
        match self {
            Self::Enroute => 1,
            Self::Delivered => 2,
            Self::Expired => 3,
            Self::Deleted => 4,
            Self::Undeliverable => 5,
            Self::Accepted => 6,
            Self::Unknown => 7,
            Self::Rejected => 8,
        }
    }

    /// Reads the `stat` of a text, in any case; five letters decide, as some SMSCs write more.
    pub fn from_stat(stat: &str) -> Self {
        let upper = stat.to_ascii_uppercase();
        let matches = |state: &&Self| {
            let start = state.stat().get(..STAT_LETTERS_TOLD);
            start.is_some_and(|start| upper.starts_with(start))
        };
        Self::ALL.iter().find(matches).copied().unwrap_or(Self::Unknown)
    }

    /// Returns the seven letters of a text (Appendix B).
    pub const fn stat(self) -> &'static str {
        match self {
            Self::Enroute => "ENROUTE",
            Self::Delivered => "DELIVRD",
            Self::Expired => "EXPIRED",
            Self::Deleted => "DELETED",
            Self::Undeliverable => "UNDELIV",
            Self::Accepted => "ACCEPTD",
            Self::Unknown => "UNKNOWN",
            Self::Rejected => "REJECTD",
        }
    }

    const ALL: [Self; 8] = [
        Self::Enroute,
        Self::Delivered,
        Self::Expired,
        Self::Deleted,
        Self::Undeliverable,
        Self::Accepted,
        Self::Unknown,
        Self::Rejected,
    ];
}

impl DeliveryReceipt {
    /// Reads a receipt from a `deliver_sm` or `data_sm`; `None` if it is a message.
    ///
    /// It is a receipt if `esm_class` says so, or if it has a `message_state`.
    pub fn of(message: &ShortMessage) -> Option<Self> {
        let state = message.tlvs.octet(tag::MESSAGE_STATE).map(MessageState::from_number);
        if message.esm_class & ESM_CLASS_TYPE != ESM_CLASS_RECEIPT && state.is_none() {
            return None;
        }
        let text = plain(message);
        let fields = Fields::of(&text);
        let stat = || fields.find("stat:").map(MessageState::from_stat);
        let date = |key: &str| fields.find(key).and_then(SmscTime::parse);
        Some(Self {
            id_parameter: message.tlvs.c_string(tag::RECEIPTED_MESSAGE_ID).and_then(said),
            id_text: fields.find("id:").map(str::to_owned),
            state: state.or_else(stat).unwrap_or(MessageState::Unknown),
            error: fields
                .find("err:")
                .map(|error| error.chars().take(ERROR_CHARACTERS_MAX).collect()),
            network_error: NetworkError::of(message),
            submitted_at: date("submit date:"),
            done_at: date("done date:"),
        })
    }

    /// Returns what the SMSC calls the message: the parameter, or else what the text says.
    pub fn id(&self) -> Option<&str> {
        self.id_parameter.as_deref().or(self.id_text.as_deref())
    }
}

impl NetworkError {
    fn of(message: &ShortMessage) -> Option<Self> {
        match message.tlvs.find(tag::NETWORK_ERROR_CODE)? {
            [] => None,
            [code] => Some(Self { network: 0, code: u16::from(*code) }),
            [high, low] => Some(Self { network: 0, code: u16::from_be_bytes([*high, *low]) }),
            [network, high, low, ..] => {
                Some(Self { network: *network, code: u16::from_be_bytes([*high, *low]) })
            }
        }
    }
}

/// How the ids of responses and of receipts are written by one SMSC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MessageIdForm {
    /// Alike.
    #[default]
    Same,
    /// Hexadecimal in the response, decimal in the receipt's text.
    RespHexReceiptDec,
    /// Decimal in the response, hexadecimal in the receipt's text.
    RespDecReceiptHex,
}

impl MessageIdForm {
    /// Returns the key of an id from a response; `None` if the SMSC gave none.
    ///
    /// Keys ignore case and leading zeros, and are equal across the two bases.
    pub fn response_key(self, id: &str) -> Option<String> {
        match self {
            Self::Same => text_key(id),
            Self::RespHexReceiptDec => number_key(id, 16),
            Self::RespDecReceiptHex => number_key(id, 10),
        }
    }

    /// Returns the key of an id from the text of a receipt.
    pub fn receipt_key(self, id: &str) -> Option<String> {
        match self {
            Self::Same => text_key(id),
            Self::RespHexReceiptDec => number_key(id, 10),
            Self::RespDecReceiptHex => number_key(id, 16),
        }
    }
}

/// Returns the keys under which the response of `receipt` may be found, the likeliest first.
///
/// The parameter repeats the response by the specification, and the text has its own base; but
/// where both say the same, the parameter has the base of the text too.
pub fn correlation_candidates(form: MessageIdForm, receipt: &DeliveryReceipt) -> Vec<String> {
    let text = receipt.id_text.as_deref();
    let parameter = receipt.id_parameter.as_deref();
    let alike = parameter.and_then(text_key) == text.and_then(text_key);
    let of_parameter = parameter.filter(|_| !alike).and_then(|id| form.response_key(id));
    let of_text = text.and_then(|id| form.receipt_key(id));
    let mut keys: Vec<String> = of_parameter.into_iter().chain(of_text).collect();
    keys.dedup();
    keys
}

fn number_key(id: &str, base: u32) -> Option<String> {
    match u128::from_str_radix(id.trim(), base) {
        Ok(number) => Some(number.to_string()),
        Err(_) => text_key(id),
    }
}

fn text_key(id: &str) -> Option<String> {
    let id = id.trim().to_ascii_lowercase();
    let shortened = id.trim_start_matches('0');
    match (id.is_empty(), shortened.is_empty()) {
        (true, _) => None,
        (false, true) => Some("0".to_owned()),
        (false, false) => Some(shortened.to_owned()),
    }
}

fn said(text: String) -> Option<String> {
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// Reads the text as characters; letters and digits are the same in every alphabet of one octet.
fn plain(message: &ShortMessage) -> String {
    let octets = message.text();
    if message.data_coding & UCS2_BITS == DATA_CODING_UCS2 {
        let (pairs, _) = octets.as_chunks::<2>();
        let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
        return char::decode_utf16(units).map(|unit| unit.unwrap_or(' ')).collect();
    }
    octets.iter().copied().map(char::from).collect()
}

/// The fields of a receipt's text: `key:value`, parted by spaces, the text of the message last.
struct Fields<'t> {
    text: &'t str,
    folded: String,
}

impl<'t> Fields<'t> {
    fn of(text: &'t str) -> Self {
        let folded = text.to_ascii_lowercase();
        // What follows is another person's words, which may look like any field.
        let end = find_key(&folded, "text:").unwrap_or(folded.len());
        Self { text: text.get(..end).unwrap_or_default(), folded }
    }

    fn find(&self, key: &str) -> Option<&'t str> {
        let folded = self.folded.get(..self.text.len())?;
        let value = self.text.get(find_key(folded, key)? + key.len()..)?;
        let ends = |character: char| character.is_whitespace() || character == '\0';
        let value = value.trim_start_matches(' ').split(ends).next()?;
        // An empty field is followed by the next one.
        let next_field = value.find(':').is_some();
        (!value.is_empty() && !next_field).then_some(value)
    }
}

/// Finds `key` where a field may begin.
fn find_key(folded: &str, key: &str) -> Option<usize> {
    let begins = |at: &usize| {
        let before = folded.get(..*at).and_then(|before| before.chars().next_back());
        before.is_none_or(|character| !character.is_ascii_alphanumeric())
    };
    folded.match_indices(key).map(|(at, _)| at).find(begins)
}

/// Enough of a `stat` to tell it from all others: DELIV and DELET part at the fifth letter.
const STAT_LETTERS_TOLD: usize = 5;

/// The bits of `data_coding` that tell the alphabet in the general group (3GPP TS 23.038, 4).
const UCS2_BITS: u8 = 0xCC;

#[cfg(test)]
mod tests;
