//! PDUs: framed by their length alone, read as far as they go, written as the specification says.
//!
//! Both sides are here, so that a test can be the SMSC.

mod bind;
mod message;
pub(crate) mod octets;
mod status;
mod tlv;

pub use bind::{
    Bind, BindKind, BindResp, INTERFACE_VERSION, Outbind, PASSWORD_CHARACTERS_MAX, Password,
    SYSTEM_ID_CHARACTERS_MAX,
};
pub use message::{
    AlertNotification, DATA_CODING_LATIN1, DATA_CODING_UCS2, ESM_CLASS_RECEIPT, ESM_CLASS_TYPE,
    ESM_CLASS_UDHI, MESSAGE_PAYLOAD_OCTETS_MAX, MessageResp, REGISTERED_DELIVERY_FINAL,
    SHORT_MESSAGE_OCTETS_MAX, ShortMessage,
};
pub use octets::Octets;
pub use status::Status;
pub use tlv::{Tlv, Tlvs, tag};

use octets::{Reader, write_c_string};

use crate::address::Address;

/// Octets in the header that begins every PDU (SMPP 3.4, section 3.2).
pub const HEADER_OCTETS: usize = 16;

/// Octets in a PDU; a longer `command_length` means that the octets are not SMPP any more.
///
/// A choice: a full `message_payload` of 65 535 octets with every other field at its limit fits.
pub const PDU_OCTETS_MAX: usize = 70_000;

/// `command_id` (section 5.1.2.1); a response has [`command::RESPONSE`] set.
pub mod command {
    /// The bit that makes a request's number its response's.
    pub const RESPONSE: u32 = 0x8000_0000;
    /// `generic_nack`, which is a response without a request of its own.
    pub const GENERIC_NACK: u32 = 0x8000_0000;
    /// `bind_receiver`.
    pub const BIND_RECEIVER: u32 = 0x01;
    /// `bind_transmitter`.
    pub const BIND_TRANSMITTER: u32 = 0x02;
    /// `query_sm`, which has no body of its own here.
    pub const QUERY_SM: u32 = 0x03;
    /// `submit_sm`.
    pub const SUBMIT_SM: u32 = 0x04;
    /// `deliver_sm`.
    pub const DELIVER_SM: u32 = 0x05;
    /// `unbind`.
    pub const UNBIND: u32 = 0x06;
    /// `replace_sm`, which has no body of its own here.
    pub const REPLACE_SM: u32 = 0x07;
    /// `cancel_sm`, which has no body of its own here.
    pub const CANCEL_SM: u32 = 0x08;
    /// `bind_transceiver`.
    pub const BIND_TRANSCEIVER: u32 = 0x09;
    /// `outbind`.
    pub const OUTBIND: u32 = 0x0B;
    /// `enquire_link`.
    pub const ENQUIRE_LINK: u32 = 0x15;
    /// `submit_multi`, which has no body of its own here.
    pub const SUBMIT_MULTI: u32 = 0x21;
    /// `alert_notification`.
    pub const ALERT_NOTIFICATION: u32 = 0x102;
    /// `data_sm`.
    pub const DATA_SM: u32 = 0x103;

    /// Tells whether the specification knows the number.
    pub fn is_known(command_id: u32) -> bool {
        let both = [
            BIND_RECEIVER,
            BIND_TRANSMITTER,
            QUERY_SM,
            SUBMIT_SM,
            DELIVER_SM,
            UNBIND,
            REPLACE_SM,
            CANCEL_SM,
            BIND_TRANSCEIVER,
            ENQUIRE_LINK,
            SUBMIT_MULTI,
            DATA_SM,
        ];
        both.contains(&(command_id & !RESPONSE))
            || [OUTBIND, ALERT_NOTIFICATION, GENERIC_NACK].contains(&command_id)
    }
}

/// One PDU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// How the request ended; zero in requests.
    pub status: Status,
    /// What a response has in common with its request.
    pub sequence: u32,
    /// What it asks or answers.
    pub body: Body,
}

/// What a PDU asks or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `bind_receiver`, `bind_transmitter` or `bind_transceiver`.
    Bind(Bind),
    /// The response to a bind.
    BindResp(BindKind, BindResp),
    /// `outbind`.
    Outbind(Outbind),
    /// `submit_sm`.
    SubmitSm(ShortMessage),
    /// `submit_sm_resp`.
    SubmitSmResp(MessageResp),
    /// `deliver_sm`.
    DeliverSm(ShortMessage),
    /// `deliver_sm_resp`.
    DeliverSmResp(MessageResp),
    /// `data_sm`.
    DataSm(ShortMessage),
    /// `data_sm_resp`.
    DataSmResp(MessageResp),
    /// `enquire_link`.
    EnquireLink,
    /// `enquire_link_resp`.
    EnquireLinkResp,
    /// `unbind`.
    Unbind,
    /// `unbind_resp`.
    UnbindResp,
    /// `generic_nack`.
    GenericNack,
    /// `alert_notification`, which nobody answers.
    AlertNotification(AlertNotification),
    /// Any other command, whether the specification knows it or not.
    Other {
        /// Its `command_id`; see [`command::is_known`].
        command_id: u32,
        /// What follows the header.
        octets: Octets,
    },
}

/// Why octets cannot be cut into PDUs any further: nothing tells where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImpossibleLength(
    /// The `command_length` that was read.
    pub u32,
);

/// Cuts the first whole PDU off `octets`; `None` asks for more octets.
pub fn frame(octets: &[u8]) -> Result<Option<&[u8]>, ImpossibleLength> {
    let Some(prefix) = octets.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*prefix);
    let octets_needed = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEADER_OCTETS..=PDU_OCTETS_MAX).contains(&octets_needed) {
        return Err(ImpossibleLength(length));
    }
    Ok(octets.get(..octets_needed))
}

impl Pdu {
    /// Makes a request.
    pub const fn request(sequence: u32, body: Body) -> Self {
        Self { status: Status::ROK, sequence, body }
    }

    /// Makes a response.
    pub const fn response(status: Status, sequence: u32, body: Body) -> Self {
        Self { status, sequence, body }
    }

    /// Reads what [`frame`] has cut off.
    ///
    /// This never fails: a field that is missing is empty or zero, one without its end goes to the
    /// end of the body, lengths and characters the specification forbids are taken as they are,
    /// and what is left over is skipped.
    pub fn parse(octets: &[u8]) -> Self {
        let mut reader = Reader::new(octets);
        let _length = reader.u32();
        let command_id = reader.u32();
        let status = Status(reader.u32());
        let sequence = reader.u32();
        Self { status, sequence, body: Body::parse(command_id, &mut reader) }
    }

    /// Appends the PDU to `out`.
    pub fn render(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 4]);
        out.extend(self.body.command_id().to_be_bytes());
        out.extend(self.status.0.to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        self.body.render(self.status, out);
        let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(start..).and_then(|pdu| pdu.first_chunk_mut::<4>()) {
            *place = length.to_be_bytes();
        }
    }
}

impl Body {
    /// Returns the number that says what the PDU is.
    pub const fn command_id(&self) -> u32 {
        match self {
            Self::Bind(bind) => bind.kind.command_id(),
            Self::BindResp(kind, _) => kind.command_id() | command::RESPONSE,
            Self::Outbind(_) => command::OUTBIND,
            Self::SubmitSm(_) => command::SUBMIT_SM,
            Self::SubmitSmResp(_) => command::SUBMIT_SM | command::RESPONSE,
            Self::DeliverSm(_) => command::DELIVER_SM,
            Self::DeliverSmResp(_) => command::DELIVER_SM | command::RESPONSE,
            Self::DataSm(_) => command::DATA_SM,
            Self::DataSmResp(_) => command::DATA_SM | command::RESPONSE,
            Self::EnquireLink => command::ENQUIRE_LINK,
            Self::EnquireLinkResp => command::ENQUIRE_LINK | command::RESPONSE,
            Self::Unbind => command::UNBIND,
            Self::UnbindResp => command::UNBIND | command::RESPONSE,
            Self::GenericNack => command::GENERIC_NACK,
            Self::AlertNotification(_) => command::ALERT_NOTIFICATION,
            Self::Other { command_id, .. } => *command_id,
        }
    }

    fn parse(command_id: u32, reader: &mut Reader<'_>) -> Self {
        let is_response = command_id & command::RESPONSE != 0;
        if let Some(kind) = BindKind::of(command_id & !command::RESPONSE) {
            return if is_response {
                Self::BindResp(kind, BindResp::parse(reader))
            } else {
                Self::Bind(Bind::parse(kind, reader))
            };
        }
        match (command_id & !command::RESPONSE, is_response) {
            (command::SUBMIT_SM, false) => Self::SubmitSm(ShortMessage::parse(reader)),
            (command::SUBMIT_SM, true) => Self::SubmitSmResp(MessageResp::parse(reader)),
            (command::DELIVER_SM, false) => Self::DeliverSm(ShortMessage::parse(reader)),
            (command::DELIVER_SM, true) => Self::DeliverSmResp(MessageResp::parse(reader)),
            (command::DATA_SM, false) => Self::DataSm(ShortMessage::parse_data(reader)),
            (command::DATA_SM, true) => Self::DataSmResp(MessageResp::parse(reader)),
            (command::ENQUIRE_LINK, false) => Self::EnquireLink,
            (command::ENQUIRE_LINK, true) => Self::EnquireLinkResp,
            (command::UNBIND, false) => Self::Unbind,
            (command::UNBIND, true) => Self::UnbindResp,
            (0, true) => Self::GenericNack,
            (command::OUTBIND, false) => Self::Outbind(Outbind {
                system_id: reader.c_string(),
                password: Password::new(reader.c_string()),
            }),
            (command::ALERT_NOTIFICATION, false) => Self::AlertNotification(AlertNotification {
                source: Address::parse(reader),
                esme: Address::parse(reader),
                tlvs: Tlvs::parse(reader.rest()),
            }),
            (_, _) => Self::Other { command_id, octets: reader.rest().into() },
        }
    }

    fn render(&self, status: Status, out: &mut Vec<u8>) {
        match self {
            Self::Bind(bind) => bind.render(out),
            // A response that says no has no body, unless there is something to say in it.
            Self::BindResp(_, resp) => {
                if status.is_ok() || *resp != BindResp::default() {
                    resp.render(out);
                }
            }
            Self::SubmitSmResp(resp) | Self::DeliverSmResp(resp) | Self::DataSmResp(resp) => {
                if status.is_ok() || *resp != MessageResp::default() {
                    resp.render(out);
                }
            }
            Self::Outbind(outbind) => {
                write_c_string(out, &outbind.system_id);
                write_c_string(out, outbind.password.reveal());
            }
            Self::SubmitSm(message) | Self::DeliverSm(message) => message.render(out),
            Self::DataSm(message) => message.render_data(out),
            Self::EnquireLink
            | Self::EnquireLinkResp
            | Self::Unbind
            | Self::UnbindResp
            | Self::GenericNack => {}
            Self::AlertNotification(alert) => {
                alert.source.render(out);
                alert.esme.render(out);
                alert.tlvs.render(out);
            }
            Self::Other { octets, .. } => out.extend_from_slice(octets.reveal()),
        }
    }
}

impl BindKind {
    const fn command_id(self) -> u32 {
        match self {
            Self::Receiver => command::BIND_RECEIVER,
            Self::Transmitter => command::BIND_TRANSMITTER,
            Self::Transceiver => command::BIND_TRANSCEIVER,
        }
    }

    const fn of(command_id: u32) -> Option<Self> {
        match command_id {
            command::BIND_RECEIVER => Some(Self::Receiver),
            command::BIND_TRANSMITTER => Some(Self::Transmitter),
            command::BIND_TRANSCEIVER => Some(Self::Transceiver),
            _ => None,
        }
    }
}
