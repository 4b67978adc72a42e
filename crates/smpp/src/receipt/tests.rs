//! What is read of receipts as SMSCs write them.

use proptest::prelude::*;

use super::*;

fn message(text: &str) -> ShortMessage {
    ShortMessage {
        esm_class: ESM_CLASS_RECEIPT,
        short_message: text.as_bytes().into(),
        ..ShortMessage::default()
    }
}

fn receipt(text: &str) -> DeliveryReceipt {
    DeliveryReceipt::of(&message(text)).unwrap()
}

#[test]
fn the_text_of_the_specification_is_read() {
    let receipt = receipt(
        "id:0123456789 sub:001 dlvrd:001 submit date:2611211910 done date:2611211911 \
         stat:DELIVRD err:000 text:Your code is",
    );
    assert_eq!(receipt.id(), Some("0123456789"));
    assert_eq!(receipt.state, MessageState::Delivered);
    assert_eq!(receipt.error.as_deref(), Some("000"));
    assert_eq!(receipt.submitted_at, SmscTime::parse("2611211910"));
    assert_eq!(receipt.done_at, SmscTime::parse("2611211911"));
}

#[test]
fn any_field_may_be_missing_and_any_letter_small() {
    let full =
        ["ID:7f", "Submit Date:2611211910", "done date:261121191102", "Stat:undeliv", "ERR:5"];
    for missing in 0..full.len() {
        let fields: Vec<_> =
            (0..full.len()).filter(|at| *at != missing).map(|at| full[at]).collect();
        let receipt = receipt(&fields.join(" "));
        assert_eq!(receipt.id_text.is_none(), missing == 0);
        assert_eq!(receipt.submitted_at.is_none(), missing == 1);
        assert_eq!(receipt.done_at.is_none(), missing == 2);
        assert_eq!(receipt.state == MessageState::Unknown, missing == 3);
        assert_eq!(receipt.error.is_none(), missing == 4);
    }
    assert_eq!(receipt("").state, MessageState::Unknown);
    assert_eq!(receipt("id: stat:DELIVRD").id_text, None);
}

#[test]
fn the_text_of_the_message_is_not_taken_for_fields() {
    let receipt = receipt("stat:UNDELIV text:id:99 stat:DELIVRD err:007");
    assert_eq!(
        (receipt.state, receipt.id(), receipt.error.as_deref()),
        (MessageState::Undeliverable, None, None)
    );
}

#[test]
fn a_key_inside_another_word_is_not_the_key() {
    assert_eq!(receipt("msgid:1 id:2 stat:EXPIRED").id(), Some("2"));
}

#[test]
fn parameters_go_before_the_text() {
    let mut message = message("id:0000030004 stat:ENROUTE err:000");
    message.tlvs.push(tag::RECEIPTED_MESSAGE_ID, b"7534\0".as_slice());
    message.tlvs.push(tag::MESSAGE_STATE, [5].as_slice());
    message.tlvs.push(tag::NETWORK_ERROR_CODE, [3, 0x01, 0x02].as_slice());
    let receipt = DeliveryReceipt::of(&message).unwrap();
    assert_eq!((receipt.id(), receipt.state), (Some("7534"), MessageState::Undeliverable));
    assert_eq!(receipt.network_error, Some(NetworkError { network: 3, code: 0x0102 }));
}

#[test]
fn a_state_alone_makes_a_receipt_and_a_plain_message_is_none() {
    let mut plain = ShortMessage { short_message: b"STOP".as_slice().into(), ..Default::default() };
    assert_eq!(DeliveryReceipt::of(&plain), None);
    plain.tlvs.push(tag::MESSAGE_STATE, [2].as_slice());
    assert_eq!(DeliveryReceipt::of(&plain).unwrap().state, MessageState::Delivered);
}

#[test]
fn a_receipt_is_read_from_the_payload_parameter_and_from_ucs2() {
    let mut message = message("");
    message.data_coding = DATA_CODING_UCS2;
    let text: Vec<u8> = "id:A1 stat:REJECTD".encode_utf16().flat_map(u16::to_be_bytes).collect();
    message.tlvs.push(tag::MESSAGE_PAYLOAD, text);
    let receipt = DeliveryReceipt::of(&message).unwrap();
    assert_eq!((receipt.id(), receipt.state), (Some("A1"), MessageState::Rejected));
}

#[test]
fn a_state_has_one_number_and_one_stat() {
    for state in MessageState::ALL {
        assert_eq!(MessageState::from_number(state.number()), state);
        assert_eq!(MessageState::from_stat(state.stat()), state);
        assert_eq!(state.stat().len(), 7);
    }
    assert_eq!(MessageState::from_stat("DELIVERED"), MessageState::Delivered);
    assert_eq!(MessageState::from_stat("???"), MessageState::Unknown);
}

#[test]
fn ids_of_responses_and_receipts_meet_in_one_key() {
    use MessageIdForm::{RespDecReceiptHex, RespHexReceiptDec, Same};
    for (form, response, text) in [
        (Same, "00aB1", "AB1"),
        (Same, "0000", "0"),
        (Same, "0f8fad5b-d9cb-469f", "F8FAD5B-D9CB-469F"),
        (RespHexReceiptDec, "7534", "0000030004"),
        (RespHexReceiptDec, "0X-1", "x-1"),
        (RespDecReceiptHex, "30004", "00007534"),
    ] {
        let key = form.response_key(response);
        assert!(key.is_some() && key == form.receipt_key(text), "{response} {text}");
        let of_text = receipt(&format!("id:{text} stat:DELIVRD"));
        assert_eq!(correlation_candidates(form, &of_text), [key.unwrap()]);
    }
    assert_eq!(Same.response_key("  "), None);
}

#[test]
fn an_id_parameter_is_read_in_the_base_of_the_response_unless_it_repeats_the_text() {
    let form = MessageIdForm::RespHexReceiptDec;
    let candidates = |parameter: &str, text: &str| {
        let mut message = message(text);
        message.tlvs.push(tag::RECEIPTED_MESSAGE_ID, parameter.as_bytes());
        correlation_candidates(form, &DeliveryReceipt::of(&message).unwrap())
    };
    assert_eq!(candidates("7534", "id:0000030004"), ["30004"]);
    assert_eq!(candidates("30004", "id:0000030004"), ["30004"]);
    assert_eq!(candidates("7534", ""), ["30004"]);
    assert_eq!(candidates("10", "id:11"), ["16", "11"]);
}

#[test]
fn a_receipt_prints_neither_address_nor_text() {
    let mut message = message("id:1 stat:DELIVRD text:4815");
    message.source = crate::Address::international("4915112345678");
    let printed = format!("{message:?} {:?}", DeliveryReceipt::of(&message).unwrap());
    assert!(!printed.contains("4815") && !printed.contains("49151"), "{printed}");
}

proptest! {
    #[test]
    fn reading_a_receipt_never_panics(octets in prop::collection::vec(any::<u8>(), 0..200), coding: u8) {
        let mut message = message("");
        message.short_message = octets.into();
        message.data_coding = coding;
        prop_assert!(DeliveryReceipt::of(&message).is_some());
    }
}
