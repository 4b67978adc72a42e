//! SMPP links: the whole server in this process, and SMSCs that do what each story needs.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "functions beside the tests fail as the tests do"
)]

// The condition is always true, and tells the lints that these are tests.
#[cfg(test)]
#[path = "webhooks/receiver.rs"]
#[expect(dead_code, reason = "these stories need a part of it")]
mod receiver;
#[cfg(test)]
#[path = "smpp/smsc.rs"]
mod smsc;
#[cfg(test)]
#[path = "smpp/stage.rs"]
mod stage;

use std::sync::Arc;
use std::time::Duration;

use countersign::channels::Standing;
use countersign::clock::Stopwatch;
use engine::{ErrorCode, MessageStatus, Receipt, ReceiptStatus};
use receiver::Receiver;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use smpp::{BindKind, MessageState, Part, Status};
use smsc::{Answer, Ids, PASSWORD, Smsc, Submit, inbound};
use stage::{LinkTo, Stage};
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn a_pin_goes_out_and_its_receipt_reaches_the_account_under_the_messages_id() {
    let (mut smsc, mut receiver) = (Smsc::start().await, Receiver::start().await);
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    stage.report_to(receiver.url("/dlr")).await;
    let id = stage.send_pin(NUMBER, "4815").await;

    let submit = smsc.next().await;
    assert_eq!(submit.text(), "Your Countersign PIN is 4815");
    let message = &submit.message;
    assert_eq!((message.destination.ton, message.destination.npi, submit.to()), (1, 1, NUMBER));
    assert_eq!((message.source.ton, message.source.npi), (3, 0));
    assert_eq!((message.source.text.as_str(), message.registered_delivery), ("12345", 1));
    assert_eq!((message.esm_class, message.data_coding), (0, 0));
    // Its receipt is waited for 72 hours, of which at most a moment has passed.
    let validity = message.validity_period.as_str();
    assert!(("000002235950000R"..="000003000000000R").contains(&validity), "{validity}");
    stage.wait_for_message(&id, MessageStatus::Submitted).await;

    assert_eq!(smsc.receipt(&submit, MessageState::Delivered).await, Status::ROK);
    let told = receiver.next().await;
    assert_eq!(told.param("messageId"), id);
    assert_eq!((told.param("status"), told.param("err-code")), ("delivered".into(), "0".into()));
    assert!(stage.counts("countersign_time_to_submit_seconds_count{link=\"north\"} 1"));
    assert!(stage.counts("countersign_link_answer_seconds_count{link=\"north\"} 1"));
}

#[tokio::test]
async fn a_code_is_not_tried_for_longer_than_it_can_be_checked() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    stage.verify(447_700_900_123, 6).await;
    let submit = smsc.next().await;
    // A code can be checked for 300 s unless the request says otherwise.
    let validity = &submit.message.validity_period;
    assert!(validity.as_str() <= "000000000500000R" && validity.ends_with('R'), "{validity}");
    assert_eq!((submit.message.source.ton, submit.message.source.npi), (5, 0), "a name");
}

#[tokio::test]
async fn long_and_unicode_texts_arrive_joined_and_right() {
    let latin = format!("{}[{{€}}] ${{pin}}", "A long text. ".repeat(24));
    let greek = format!("{} ${{pin}} 😀", "Ο κωδικός σας. ".repeat(8));
    for (keys, parts_of_latin, parts_of_greek) in [
        ("segmentation = \"udh\"", 3, 2),
        ("segmentation = \"sar\"", 3, 2),
        ("segmentation = \"payload\"", 1, 1),
    ] {
        let mut smsc = Smsc::start().await;
        let stage = Stage::start(&[LinkTo::new(&smsc, keys)]).await;
        for (template, parts) in [(&latin, parts_of_latin), (&greek, parts_of_greek)] {
            stage.change_template(template).await;
            let id = stage.send_pin(NUMBER, "4815").await;
            let mut submits = Vec::new();
            for _ in 0..parts {
                submits.push(smsc.next().await);
            }
            assert_eq!(joined(&submits), template.replace("${pin}", "4815"), "{keys}");
            stage.wait_for_message(&id, MessageStatus::Submitted).await;
            for submit in &submits {
                assert_ne!(stage.message(&id).await.record.status, DELIVERED);
                assert_eq!(smsc.receipt(submit, MessageState::Delivered).await, Status::ROK);
            }
            stage.wait_for_message(&id, DELIVERED).await;
        }
        assert!(!smsc.has_more());
    }
}

#[tokio::test]
async fn typographic_characters_are_written_plainly_rather_than_as_twice_the_parts() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "alphabet = \"ascii\"")]).await;
    stage.change_template("“Acme’s” PIN – ${pin}").await;
    stage.send_pin(NUMBER, "4815").await;
    let submit = smsc.next().await;
    assert_eq!(submit.message.octets(), b"\"Acme's\" PIN - 4815");
}

#[tokio::test]
async fn where_the_first_text_is_undeliverable_the_workflow_moves_on_at_once() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    stage.verify(447_700_900_123, 4).await;
    let first = smsc.next().await;
    assert_eq!(smsc.receipt(&first, MessageState::Undeliverable).await, Status::ROK);
    // Its second step would begin after a minute otherwise.
    let second = smsc.next().await;
    assert_eq!(second.to(), first.to());
    assert_ne!(second.id, first.id);
}

#[tokio::test]
async fn a_receipt_tells_why_a_message_failed() {
    let (mut smsc, mut receiver) = (Smsc::start().await, Receiver::start().await);
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    stage.report_to(receiver.url("/dlr")).await;
    stage.send_pin(NUMBER, "4815").await;
    let submit = smsc.next().await;
    smsc.receipt(&submit, MessageState::Undeliverable).await;
    let told = receiver.next().await;
    // Unknown subscriber is an absence for good.
    assert_eq!((told.param("status"), told.param("err-code")), ("failed".into(), "3".into()));
}

#[tokio::test]
async fn a_receipt_that_overtakes_its_response_counts_once() {
    let (mut smsc, mut receiver) = (Smsc::start().await, Receiver::start().await);
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    stage.report_to(receiver.url("/dlr")).await;
    smsc.will_answer(&[Answer::ReceiptFirst(MessageState::Delivered)]);
    let id = stage.send_pin(NUMBER, "4815").await;
    let submit = smsc.next().await;
    stage.wait_for_message(&id, DELIVERED).await;
    assert_eq!(smsc.receipt(&submit, MessageState::Delivered).await, Status::ROK, "again");
    assert_eq!(receiver.next().await.param("messageId"), id);
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn ids_in_another_base_are_the_same_ids() {
    let mut smsc = Smsc::start_with(Ids::HexThenDec, None).await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "ids = \"resp_hex_receipt_dec\"")]).await;
    let (first, second) = (stage.send_pin(NUMBER, "1").await, stage.send_pin(NUMBER, "2").await);
    let submits = by_text(vec![smsc.next().await, smsc.next().await]);
    stage.wait_for_message(&second, MessageStatus::Submitted).await;
    smsc.receipt(&submits[1], MessageState::Delivered).await;
    stage.wait_for_message(&second, DELIVERED).await;
    assert_eq!(stage.message(&first).await.record.status, MessageStatus::Submitted);
}

#[tokio::test]
async fn where_ids_are_worth_nothing_receipts_are_matched_by_number() {
    let mut smsc = Smsc::start_with(Ids::Constant, None).await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "ids = \"none\"")]).await;
    let id = stage.send_pin(NUMBER, "4815").await;
    let other = stage.send_pin(OTHER_NUMBER, "4815").await;
    let mut submits = [smsc.next().await, smsc.next().await];
    submits.sort_by_key(|submit| submit.to() != NUMBER);
    stage.wait_for_message(&id, MessageStatus::Submitted).await;
    smsc.receipt(&submits[0], MessageState::Delivered).await;
    stage.wait_for_message(&id, DELIVERED).await;
    stage.wait_for_message(&other, MessageStatus::Submitted).await;
}

#[tokio::test]
async fn a_throttled_submit_goes_out_again_and_the_bind_slows_down() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    smsc.will_answer(&[Answer::Refuse(Status::RTHROTTLED)]);
    let id = stage.send_pin(NUMBER, "4815").await;
    let (first, second) = (smsc.next().await, smsc.next().await);
    assert_eq!((first.to(), second.to()), (NUMBER, NUMBER));
    stage.wait_for_message(&id, MessageStatus::Submitted).await;
    assert!(stage.counts("countersign_link_throttles_total{link=\"north\"} 1"));
    assert!(!smsc.has_more());
}

#[tokio::test]
async fn an_smsc_that_stays_busy_leaves_the_attempt_to_the_next_link() {
    let (mut busy, mut other) = (Smsc::start().await, Smsc::start().await);
    let links = [LinkTo::new(&busy, ""), LinkTo { name: "south", ..LinkTo::new(&other, "") }];
    let stage = Stage::start(&links).await;
    stage.wait_for_standing("south", Standing::Up).await;
    busy.will_answer(&[Answer::Refuse(Status::RMSGQFUL); 2]);
    let id = stage.send_pin(NUMBER, "4815").await;
    assert_eq!(other.next().await.to(), NUMBER);
    let view = stage.wait_for_message(&id, MessageStatus::Submitted).await;
    let passed_over = &view.record.passage.decision.passed_over;
    assert_eq!(passed_over[0].reason, "it answered ESME_RMSGQFUL");
    drop((busy.next().await, busy.next().await));
    assert!(!busy.has_more());
}

#[tokio::test]
async fn what_is_wrong_with_the_number_is_final_and_what_is_the_carriers_own_is_not() {
    let (mut first, mut second) = (Smsc::start().await, Smsc::start().await);
    let links = [LinkTo::new(&first, ""), LinkTo { name: "south", ..LinkTo::new(&second, "") }];
    let stage = Stage::start(&links).await;
    stage.wait_for_standing("south", Standing::Up).await;

    first.will_answer(&[Answer::Refuse(Status::RINVDSTADR)]);
    let id = stage.send_pin(NUMBER, "4815").await;
    let refused = Receipt { status: ReceiptStatus::Rejected, error: ErrorCode::UNREACHABLE };
    stage.wait_for_message(&id, MessageStatus::Reported(refused)).await;
    assert!(!second.has_more());

    first.will_answer(&[Answer::Refuse(Status::RINVSRCADR)]);
    let id = stage.send_pin(NUMBER, "4815").await;
    assert_eq!(second.next().await.to(), NUMBER);
    let view = stage.wait_for_message(&id, MessageStatus::Submitted).await;
    let passed_over = &view.record.passage.decision.passed_over;
    assert_eq!(passed_over[0].reason, "it answered ESME_RINVSRCADR");
    assert_eq!(view.record.passage.link.as_deref(), Some("south"));
    drop((first.next().await, first.next().await));
}

#[tokio::test]
async fn what_was_in_flight_when_the_connection_died_is_cleared_up_by_a_late_receipt() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    smsc.will_answer(&[Answer::Silence, Answer::Die]);
    let id = stage.send_pin(NUMBER, "4815").await;
    let submit = smsc.next().await;
    let last = stage.send_pin(OTHER_NUMBER, "4815").await;
    stage.wait_for_message(&id, MessageStatus::Unconfirmed).await;
    stage.wait_for_message(&last, MessageStatus::Unconfirmed).await;
    drop(smsc.next().await);

    stage.wait_for_standing("north", Standing::Up).await;
    smsc.receipt(&submit, MessageState::Delivered).await;
    stage.wait_for_message(&id, DELIVERED).await;
    stage.wait_for_message(&last, MessageStatus::Unconfirmed).await;
    assert!(!smsc.has_more(), "what may have been sent is not sent again");
}

#[tokio::test]
async fn a_response_that_is_late_makes_the_receipt_known_by_its_id() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "response_timeout_s = 1")]).await;
    smsc.will_answer(&[Answer::Late(1500)]);
    let id = stage.send_pin(NUMBER, "4815").await;
    let mut submit = smsc.next().await;
    stage.wait_for_message(&id, MessageStatus::Unconfirmed).await;
    stage.wait_for_message(&id, MessageStatus::Submitted).await;
    // By its number it could not be found.
    submit.message.destination.text.clear();
    smsc.receipt(&submit, MessageState::Delivered).await;
    stage.wait_for_message(&id, DELIVERED).await;
}

#[tokio::test]
async fn when_the_first_link_is_down_the_next_one_is_taken() {
    let (down, mut up) = (Smsc::start().await, Smsc::start().await);
    down.stop();
    let links = [LinkTo { name: "south", ..LinkTo::new(&up, "") }, LinkTo::new(&down, "")];
    let [south, north] = links;
    let stage = Stage::start_unbound(&[north, south], PASSWORD).await;
    stage.wait_for_standing("south", Standing::Up).await;
    stage.wait_for_standing("north", Standing::Down).await;
    let id = stage.send_pin(NUMBER, "4815").await;
    assert_eq!(up.next().await.to(), NUMBER);
    let view = stage.wait_for_message(&id, MessageStatus::Submitted).await;
    let passed_over = &view.record.passage.decision.passed_over;
    assert_eq!(
        (passed_over[0].link.as_str(), passed_over[0].reason.as_str()),
        ("north", "it is down")
    );
    let error = stage.link("north").last_error.unwrap().text;
    assert!(error.starts_with("connect to 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_second_host_is_tried_when_the_first_does_not_answer() {
    let (down, up) = (Smsc::start().await, Smsc::start().await);
    down.stop();
    let host = format!("{}\", \"{}", down.address, up.address);
    let stage = Stage::start(&[LinkTo { name: "north", host, keys: "" }]).await;
    assert_eq!((stage.link("north").connections, up.binds().len()), ((1, 1), 1));
}

#[tokio::test]
async fn wrong_credentials_are_for_the_operator_and_are_not_tried_again_and_again() {
    let smsc = Smsc::start().await;
    let stage = Stage::start_unbound(&[LinkTo::new(&smsc, "")], "wrong").await;
    stage.wait_for_standing("north", Standing::Refused).await;
    let state = stage.link("north");
    let told = state.last_error.unwrap().text;
    assert_eq!(told, "the bind was answered with ESME_RINVPASWD");
    // Another refusal would come within a second if this were any other failure.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(smsc.binds_refused(), 1);
}

#[tokio::test]
async fn a_bind_that_is_declined_for_a_moment_is_asked_for_again_soon() {
    let smsc = Smsc::start().await;
    smsc.will_decline(&[Status::RBINDFAIL, Status::RALYBND]);
    let begun = Stopwatch::start();
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    assert_eq!((smsc.binds_refused(), smsc.binds().len()), (2, 1));
    // One second and two, each shortened by half at most.
    assert!(begun.elapsed() >= Duration::from_millis(1500), "it is not asked at once");
    let told = stage.link("north").last_error.unwrap().text;
    assert_eq!(told, "the bind was answered with ESME_RALYBND");
}

#[tokio::test]
async fn a_reload_loses_nothing_where_the_smsc_takes_one_bind_at_a_time() {
    let mut smsc = Smsc::start().await;
    smsc.will_take_one_bind();
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    smsc.will_answer(&[Answer::Held]);
    let before = stage.send_pin(NUMBER, "4815").await;
    drop(smsc.next().await);
    // The old bind waits for its answer, and the new one is declined meanwhile.
    stage.reload(&[LinkTo::new(&smsc, "per_s = 50")]).await;
    let meanwhile = stage.send_pin(OTHER_NUMBER, "4816").await;
    while smsc.binds_refused() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    smsc.let_go();
    stage.wait_for_message(&before, MessageStatus::Submitted).await;
    stage.wait_for_message(&meanwhile, MessageStatus::Submitted).await;
    assert_eq!((smsc.next().await.to(), smsc.has_more()), (OTHER_NUMBER, false));
    assert_eq!(smsc.binds().len(), 1);
}

#[tokio::test]
async fn a_receipt_for_a_row_that_cannot_be_read_is_not_brought_again() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    let id = stage.send_pin(NUMBER, "4815").await;
    let submit = smsc.next().await;
    stage.wait_for_message(&id, MessageStatus::Submitted).await;
    let database = rusqlite::Connection::open(stage.database()).unwrap();
    assert_eq!(database.execute("UPDATE message SET record = '{}'", []).unwrap(), 1);
    assert_eq!(smsc.receipt(&submit, MessageState::Delivered).await, Status::ROK);
    assert!(stage.counts("countersign_deliveries_dropped_total{link=\"north\"} 1"));
}

#[tokio::test]
async fn a_password_file_that_others_can_read_stops_the_start() {
    let smsc = Smsc::start().await;
    let told = Stage::refused_with_readable_password(LinkTo::new(&smsc, "")).await;
    assert!(told.contains("password") && told.contains("chmod 600"), "{told}");
}

#[tokio::test]
async fn a_connection_that_was_lost_comes_back_and_what_waited_goes_out() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    smsc.drop_connections();
    stage.wait_for_standing("north", Standing::Down).await;
    let id = stage.send_pin(NUMBER, "4815").await;
    assert_eq!(smsc.next().await.to(), NUMBER);
    stage.wait_for_message(&id, MessageStatus::Submitted).await;
}

#[tokio::test]
async fn with_a_bind_for_each_way_submits_go_one_way_and_receipts_the_other() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "bind = \"transmitter+receiver\"")]).await;
    stage.wait_until(|| stage.link("north").connections == (2, 2), "both are bound").await;
    let mut kinds = smsc.binds();
    kinds.sort_by_key(|kind| *kind == BindKind::Receiver);
    assert_eq!(kinds, [BindKind::Transmitter, BindKind::Receiver]);
    let id = stage.send_pin(NUMBER, "4815").await;
    let submit = smsc.next().await;
    smsc.receipt(&submit, MessageState::Delivered).await;
    stage.wait_for_message(&id, DELIVERED).await;
}

#[tokio::test]
async fn all_binds_of_a_link_work_and_one_that_is_full_does_not_stop_the_others() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "binds = 2\nwindow = 1")]).await;
    stage.wait_until(|| stage.link("north").connections == (2, 2), "both are bound").await;
    smsc.will_answer(&[Answer::Silence, Answer::Accept]);
    stage.send_pin(NUMBER, "1").await;
    let first = smsc.next().await;
    let second = stage.send_pin(NUMBER, "2").await;
    assert_ne!(smsc.next().await.connection, first.connection);
    stage.wait_for_message(&second, MessageStatus::Submitted).await;
    assert_eq!(stage.link("north").in_flight, 1);
}

#[tokio::test]
async fn an_smsc_behind_tls_is_trusted_by_the_certificates_of_the_file() {
    let certified =
        rcgen::generate_simple_self_signed(vec!["smsc.example.com".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, certified.cert.pem()).unwrap();
    let mut smsc = Smsc::start_with(Ids::Same, Some(acceptor(&certified))).await;
    let keys = format!(
        "tls = true\nca_file = \"{}\"\nserver_name = \"smsc.example.com\"",
        ca_file.display()
    );
    let stage = Stage::start(&[LinkTo::new(&smsc, &keys)]).await;
    let id = stage.send_pin(NUMBER, "4815").await;
    let submit = smsc.next().await;
    smsc.receipt(&submit, MessageState::Delivered).await;
    stage.wait_for_message(&id, DELIVERED).await;

    let stranger = rcgen::generate_simple_self_signed(vec!["smsc.example.com".to_owned()]).unwrap();
    let stranger = Smsc::start_with(Ids::Same, Some(acceptor(&stranger))).await;
    let stage = Stage::start_unbound(&[LinkTo::new(&stranger, &keys)], PASSWORD).await;
    stage.wait_for_standing("north", Standing::Down).await;
    let error = stage.link("north").last_error.unwrap().text;
    assert!(error.contains("certificate"), "{error}");
    assert!(stranger.binds().is_empty());
}

#[tokio::test]
async fn a_stop_loses_nothing_that_was_under_way() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "window = 2")]).await;
    smsc.will_answer(&[Answer::Late(300); 6]);
    let mut ids = Vec::new();
    for pin in ["1", "2", "3", "4", "5", "6"] {
        ids.push(stage.send_pin(NUMBER, pin).await);
    }
    drop(smsc.next().await);
    let app = Arc::clone(stage.app());
    stage.ask_to_stop();
    stage.stop().await;
    for _ in 1..ids.len() {
        drop(smsc.next().await);
    }
    assert_eq!((smsc.unbinds(), app.driver.channels.in_flight()), (1, 0));
    for id in ids {
        let id = engine::MessageId::parse(&id).unwrap();
        let view = app.driver.store.message(id).await.unwrap().unwrap();
        assert_eq!(view.record.status, MessageStatus::Submitted);
    }
}

#[tokio::test]
async fn a_stop_that_comes_over_the_link_is_heeded() {
    let mut smsc = Smsc::start().await;
    let stage = Stage::start(&[LinkTo::new(&smsc, "")]).await;
    assert_eq!(stage.ask_for_pin(NUMBER, "4815").await["status"], "0");
    drop(smsc.next().await);
    assert_eq!(smsc.deliver(inbound(NUMBER, "12345", "Stop")).await, Status::ROK);
    assert_eq!(stage.ask_for_pin(NUMBER, "4815").await["status"], "102");
}

/// Joins the texts of all parts, which must be parts of the same message in their order.
fn joined(submits: &[Submit]) -> String {
    let total = u8::try_from(submits.len()).unwrap();
    let part = |submit: &Submit| Part::of(&submit.message);
    for (index, submit) in (1..).zip(submits).filter(|_| total > 1) {
        let reference = part(&submits[0]).unwrap().reference;
        assert_eq!(part(submit), Some(Part { reference, total, index }));
        assert_eq!(submit.connection, submits[0].connection);
    }
    submits.iter().map(Submit::text).collect()
}

fn by_text(mut submits: Vec<Submit>) -> Vec<Submit> {
    submits.sort_by_key(Submit::text);
    submits
}

fn acceptor(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let chain = vec![certified.cert.der().clone()];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from(key))
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

const DELIVERED: MessageStatus =
    MessageStatus::Reported(Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE });

const NUMBER: &str = "12015550123";
const OTHER_NUMBER: &str = "12015550124";
