//! Bodies that carry a short message, and their responses (SMPP 3.4, sections 4.4, 4.6, 4.7).

use super::octets::{Octets, Reader, write_c_string};
use super::tlv::{Tlvs, render_one, tag};
use crate::address::Address;

/// Octets in `short_message` (section 5.2.22); more of them travel as `message_payload`.
pub const SHORT_MESSAGE_OCTETS_MAX: usize = 254;

/// Octets in `message_payload` that our own submits may use (section 5.3.2.32: up to 64 K).
pub const MESSAGE_PAYLOAD_OCTETS_MAX: usize = 0xFFFF;

/// `esm_class`: the payload begins with a user data header (section 5.2.12).
pub const ESM_CLASS_UDHI: u8 = 0x40;

/// `esm_class` of a delivery receipt, under [`ESM_CLASS_TYPE`].
pub const ESM_CLASS_RECEIPT: u8 = 0x04;

/// The bits of `esm_class` that tell the type of message (section 5.2.12).
pub const ESM_CLASS_TYPE: u8 = 0x3C;

/// `registered_delivery`: a receipt is wanted, whatever becomes of it (section 5.2.17).
pub const REGISTERED_DELIVERY_FINAL: u8 = 0x01;

/// `data_coding` of UCS-2 (section 5.2.19).
pub const DATA_CODING_UCS2: u8 = 0x08;

/// `data_coding` of Latin-1 (section 5.2.19).
pub const DATA_CODING_LATIN1: u8 = 0x03;

/// The body of `submit_sm` and `deliver_sm`, and what of it `data_sm` has.
///
/// `Debug` shows neither address nor text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortMessage {
    /// The service, mostly empty.
    pub service_type: String,
    /// Who it is from.
    pub source: Address,
    /// Who it is for.
    pub destination: Address,
    /// Mode, type, and whether there is a user data header.
    pub esm_class: u8,
    /// Protocol identifier of the network; `data_sm` has none.
    pub protocol_id: u8,
    /// 0 is the lowest; `data_sm` has none.
    pub priority: u8,
    /// When to deliver; empty is at once; `data_sm` has none.
    pub schedule_delivery_time: String,
    /// When to give up; empty is what the SMSC thinks right; `data_sm` has none.
    pub validity_period: String,
    /// Which receipts are wanted.
    pub registered_delivery: u8,
    /// Whether it takes the place of one before; `data_sm` has none.
    pub replace_if_present: u8,
    /// The alphabet of the text.
    pub data_coding: u8,
    /// A text the SMSC has ready; `data_sm` has none.
    pub sm_default_msg_id: u8,
    /// The text; over [`SHORT_MESSAGE_OCTETS_MAX`] octets it is sent as `message_payload`.
    pub short_message: Octets,
    /// Optional parameters.
    pub tlvs: Tlvs,
}

impl ShortMessage {
    /// Returns the text with its user data header, from wherever the peer has put it.
    pub fn octets(&self) -> &[u8] {
        if self.short_message.is_empty() {
            return self.tlvs.find(tag::MESSAGE_PAYLOAD).unwrap_or_default();
        }
        self.short_message.reveal()
    }

    /// Tells whether the payload begins with a user data header.
    pub const fn has_header(&self) -> bool {
        self.esm_class & ESM_CLASS_UDHI != 0
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Self {
        let mut message = Self {
            service_type: reader.c_string(),
            source: Address::parse(reader),
            destination: Address::parse(reader),
            esm_class: reader.octet(),
            protocol_id: reader.octet(),
            priority: reader.octet(),
            schedule_delivery_time: reader.c_string(),
            validity_period: reader.c_string(),
            registered_delivery: reader.octet(),
            replace_if_present: reader.octet(),
            data_coding: reader.octet(),
            sm_default_msg_id: reader.octet(),
            short_message: Octets::default(),
            tlvs: Tlvs::default(),
        };
        let length = usize::from(reader.octet());
        message.short_message = reader.take(length).into();
        message.tlvs = Tlvs::parse(reader.rest());
        message
    }

    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        write_c_string(out, &self.service_type);
        self.source.render(out);
        self.destination.render(out);
        out.extend([self.esm_class, self.protocol_id, self.priority]);
        write_c_string(out, &self.schedule_delivery_time);
        write_c_string(out, &self.validity_period);
        out.extend([self.registered_delivery, self.replace_if_present]);
        out.extend([self.data_coding, self.sm_default_msg_id]);
        let text = self.short_message.reveal();
        match u8::try_from(text.len()) {
            Ok(length) if text.len() <= SHORT_MESSAGE_OCTETS_MAX => {
                out.push(length);
                out.extend_from_slice(text);
            }
            Ok(_) | Err(_) => {
                out.push(0);
                render_one(tag::MESSAGE_PAYLOAD, text, out);
            }
        }
        self.tlvs.render(out);
    }

    pub(crate) fn parse_data(reader: &mut Reader<'_>) -> Self {
        Self {
            service_type: reader.c_string(),
            source: Address::parse(reader),
            destination: Address::parse(reader),
            esm_class: reader.octet(),
            registered_delivery: reader.octet(),
            data_coding: reader.octet(),
            tlvs: Tlvs::parse(reader.rest()),
            ..Self::default()
        }
    }

    pub(crate) fn render_data(&self, out: &mut Vec<u8>) {
        write_c_string(out, &self.service_type);
        self.source.render(out);
        self.destination.render(out);
        out.extend([self.esm_class, self.registered_delivery, self.data_coding]);
        if !self.short_message.is_empty() {
            render_one(tag::MESSAGE_PAYLOAD, self.short_message.reveal(), out);
        }
        self.tlvs.render(out);
    }
}

/// The body of the responses to `submit_sm`, `deliver_sm` and `data_sm`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageResp {
    /// The id the SMSC gave; empty in `deliver_sm_resp`, and from SMSCs that give none.
    pub message_id: String,
    /// Optional parameters.
    pub tlvs: Tlvs,
}

impl MessageResp {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Self {
        Self { message_id: reader.c_string(), tlvs: Tlvs::parse(reader.rest()) }
    }

    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        write_c_string(out, &self.message_id);
        self.tlvs.render(out);
    }
}

/// The body with which an SMSC says that a handset can be reached again (section 4.12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertNotification {
    /// The handset.
    pub source: Address,
    /// The ESME that had asked.
    pub esme: Address,
    /// Optional parameters.
    pub tlvs: Tlvs,
}
