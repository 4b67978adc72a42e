//! HTTP links from a message to the aggregator's socket and back, for every profile.

// The condition is always true, and tells the lints that these are tests.
#[cfg(test)]
#[path = "http_links/carrier.rs"]
mod carrier;
#[cfg(test)]
#[path = "webhooks/receiver.rs"]
#[expect(dead_code, reason = "webhooks' own tests use more of it")]
mod receiver;
#[cfg(test)]
#[path = "http_links/tls.rs"]
mod tls;

use std::time::Duration;

use carrier::{NUMBER, Stage, answer};
use countersign::channels::ErrorKind;
use engine::{ErrorCode, ReceiptStatus};
use receiver::Receiver;
use reqwest::StatusCode;
use tls::TlsCarrier;

/// A text that breaks whatever is pasted together: separators, quotes, escapes, other scripts.
const NASTY: &str = "Your \"PIN\" is 4815 & <b>100%</b> + 1\\2 {to} ☎ Привет";

#[tokio::test]
async fn kannel_brings_our_own_name_of_the_message_back() {
    let mut kannel = Receiver::start().await;
    kannel.will_answer_with(&answer(202, "0: Accepted for delivery"));
    let url = kannel.url("/cgi-bin/sendsms");
    let stage = Stage::start(&format!("profile = 'kannel'\nurl = '{url}'\nuser = 'us'")).await;
    let mut dlr = Receiver::start().await;
    let message = stage.send(NASTY, &dlr.url("/dlr")).await;

    let seen = kannel.next().await;
    assert!(seen.line.starts_with("GET /cgi-bin/sendsms?"), "{}", seen.line);
    assert_eq!(seen.param("text"), NASTY);
    assert_eq!(seen.param("to"), format!("+{NUMBER}"));
    assert_eq!(seen.param("from"), "12345");
    assert_eq!((seen.param("coding").as_str(), seen.param("charset").as_str()), ("2", "UTF-8"));
    assert_eq!(
        (seen.param("username").as_str(), seen.param("password").as_str()),
        ("us", "pass&word")
    );
    assert_eq!(seen.param("dlr-mask"), "31");
    // It is of use for 72 hours, of which a moment has passed, if not less than a millisecond.
    let validity = seen.param("validity");
    assert!(["4319", "4320"].contains(&validity.as_str()), "{validity}");
    stage.wait_for_status(message, "Submitted").await;

    // Kannel fills its escapes and fetches what that makes.
    let report =
        |state: &str, said: &str| seen.param("dlr-url").replace("%d", state).replace("%A", said);
    let taken = stage.get(&report("8", "ACK%2F")).await;
    assert_eq!((taken.0, taken.1.as_str()), (StatusCode::OK, ""));
    assert_eq!(dlr.next().await.param("status"), "accepted");
    stage.get(&report("1", "id%3A1+stat%3ADELIVRD+err%3A000")).await;
    assert_eq!(dlr.next().await.param("status"), "delivered");
}

#[tokio::test]
async fn jasmin_names_the_message_and_wants_its_reports_acknowledged() {
    let mut jasmin = Receiver::start().await;
    jasmin.will_answer_with(&answer(200, "Success \"07033084-5cfd-4812-90a4-e4d24ffb6e3d\""));
    jasmin.will_answer_with(&answer(200, "Success \"16fd2706-8baf-433b-82eb-8c7fada847da\""));
    let url = jasmin.url("/send");
    let stage = Stage::start(&format!("profile = 'jasmin'\nurl = '{url}'\nuser = 'us'")).await;
    let mut dlr = Receiver::start().await;
    let message = stage.send("Your PIN is 4815 & so on", &dlr.url("/dlr")).await;

    let seen = jasmin.next().await;
    assert_eq!(seen.line, "POST /send HTTP/1.1");
    assert_eq!(seen.param("content"), "Your PIN is 4815 & so on");
    assert_eq!(seen.param("coding"), "0");
    assert!(!seen.body.contains("hex-content"), "{}", seen.body);
    assert!(!seen.body.contains("validity"), "it loses messages that have one: {}", seen.body);
    stage.wait_for_status(message, "Submitted").await;
    let url = seen.param("dlr-url");
    let report = "id=07033084-5cfd-4812-90a4-e4d24ffb6e3d&level=2&connector=one\
        &id_smsc=2567&message_status=UNDELIV&err=001&sub=001&dlvrd=000";
    let taken = stage.post(&url, FORM, report).await;
    assert_eq!((taken.0, taken.1.as_str()), (StatusCode::OK, "ACK/Jasmin"));
    assert_eq!(dlr.next().await.param("status"), "failed");

    // A text beyond GSM 03.38 goes as octets.
    stage.send("Код ☎", &dlr.url("/dlr")).await;
    let seen = jasmin.next().await;
    assert_eq!(seen.param("hex-content"), "041a043e04340020260e");
    assert_eq!(seen.param("coding"), "8");
    assert!(!seen.body.starts_with("content=") && !seen.body.contains("&content="));
}

#[tokio::test]
async fn a_vonage_style_api_names_every_part() {
    let mut vonage = Receiver::start().await;
    vonage.will_answer_with(&answer(
        200,
        r#"{"message-count":"2","messages":[{"to":"447700900991","message-id":"0A01","status":"0"},
        {"to":"447700900991","message-id":"0A02","status":"0"}]}"#,
    ));
    let url = vonage.url("/sms/json");
    let stage = Stage::start(&format!("profile = 'vonage'\nurl = '{url}'\nuser = 'us'")).await;
    let mut dlr = Receiver::start().await;
    let text = format!("{NASTY} {}", "and so on ".repeat(5));
    let message = stage.send(&text, &dlr.url("/dlr")).await;

    let seen = vonage.next().await;
    assert_eq!(seen.param("text"), text);
    assert_eq!((seen.param("type").as_str(), seen.param("to")), ("unicode", NUMBER.to_string()));
    let ttl: u64 = seen.param("ttl").parse().unwrap();
    assert!((259_100_000..=259_200_000).contains(&ttl), "72 hours: {ttl}");
    assert_eq!(
        (seen.param("api_key").as_str(), seen.param("api_secret").as_str()),
        ("us", "pass&word")
    );
    stage.wait_for_status(message, "Submitted").await;
    let url = seen.param("callback");
    let report = |id: &str| {
        format!(
            r#"{{"msisdn":"447700900991","messageId":"{id}","status":"delivered","err-code":"0"}}"#
        )
    };
    // By POST of JSON and by GET, as the aggregator's settings have it.
    assert_eq!(stage.post(&url, JSON, &report("0A02")).await.0, StatusCode::OK);
    stage.get(&format!("{url}?messageId=0A01&status=delivered&err-code=0")).await;
    stage.wait_for_receipt(message, ReceiptStatus::Delivered, ErrorCode::NONE).await;
    assert_eq!(dlr.next().await.param("status"), "delivered");
}

#[tokio::test]
async fn a_twilio_style_api_takes_basic_authentication_and_tells_errors_by_number() {
    let mut twilio = Receiver::start().await;
    twilio.will_answer_with(&answer(201, r#"{"sid":"SM1","status":"queued","error_code":null}"#));
    let url = twilio.url("/2010-04-01/Accounts/{user}/Messages.json");
    let stage = Stage::start(&format!("profile = 'twilio'\nurl = '{url}'\nuser = 'A/C'")).await;
    let mut dlr = Receiver::start().await;
    let message = stage.send(NASTY, &dlr.url("/dlr")).await;

    let seen = twilio.next().await;
    assert_eq!(seen.line, "POST /2010-04-01/Accounts/A%2FC/Messages.json HTTP/1.1");
    assert_eq!(seen.header("authorization"), "Basic QS9DOnBhc3Mmd29yZA==");
    assert_eq!(seen.param("Body"), NASTY);
    assert_eq!((seen.param("To"), seen.param("From").as_str()), (format!("+{NUMBER}"), "12345"));
    // No longer than the API allows.
    assert_eq!(seen.param("ValidityPeriod"), "14400");
    stage.wait_for_status(message, "Submitted").await;
    let url = seen.param("StatusCallback");
    let report =
        |status: &str| format!("MessageSid=SM1&SmsSid=SM1&MessageStatus={status}&ErrorCode=30005");
    assert_eq!(stage.post(&url, FORM, &report("sent")).await.0, StatusCode::OK);
    assert_eq!(dlr.next().await.param("status"), "buffered");
    stage.post(&url, FORM, &report("undelivered")).await;
    let seen = dlr.next().await;
    assert_eq!((seen.param("status").as_str(), seen.param("err-code").as_str()), ("failed", "3"));

    // An opt-out is nobody's to overcome: no other link is tried.
    twilio.will_answer_with(&answer(400, r#"{"code":21610,"message":"no","status":400}"#));
    let message = stage.send("Your PIN is 4815", &dlr.url("/dlr")).await;
    stage.wait_for_receipt(message, ReceiptStatus::Rejected, ErrorCode(9)).await;
}

#[tokio::test]
async fn json_of_any_shape_is_written_from_the_configuration() {
    let mut carrier = Receiver::start().await;
    carrier.will_answer_with(&answer(200, r#"{"results":[{"ref":17}]}"#));
    let url = carrier.url("/v1");
    let stage = Stage::start(&format!(
        "url = '{url}'\nbody = 'json'\nanswer_id = '/results/*/ref'\n\
         headers = {{ x-key = 'k {{password}}' }}\n\
         [link.one.fields]\nmessages = [{{ to = ['{{to}}'], body = {{ text = '{{text}}' }}, n = 5 }}]\n\
         tag = '{{{{x}}}}'\n\
         [link.one.reports]\nid = 'ref'\nstate = '/status/name'\nstates = {{ DONE = 'delivered' }}"
    ))
    .await;
    let dlr = Receiver::start().await;
    let message = stage.send(NASTY, &dlr.url("/dlr")).await;
    let seen = carrier.next().await;
    let sent: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    let expected = serde_json::json!({
        "messages": [{ "to": [NUMBER.to_string()], "body": { "text": NASTY }, "n": 5 }],
        "tag": "{x}",
    });
    assert_eq!(sent, expected);
    assert_eq!(seen.header("x-key"), "k pass&word");
    stage.wait_for_status(message, "Submitted").await;
    let report = r#"{"ref":17,"status":{"name":"DONE"}}"#;
    assert_eq!(stage.post(&stage.dlr_url("one"), JSON, report).await.0, StatusCode::OK);
    stage.wait_for_receipt(message, ReceiptStatus::Delivered, ErrorCode::NONE).await;
}

#[tokio::test]
async fn a_temporary_answer_fails_over_to_the_next_link() {
    let mut first = Receiver::start().await;
    first.will_answer_with(&answer(200, r#"{"messages":[{"status":"1"}]}"#));
    let mut second = Receiver::start().await;
    second.will_answer_with(&answer(202, "0: Accepted for delivery"));
    let (one, two) = (first.url("/sms/json"), second.url("/sendsms"));
    let stage = Stage::start(&format!(
        "profile = 'vonage'\nurl = '{one}'\n[link.two]\nkind = 'http'\nprofile = 'kannel'\nurl = '{two}'"
    ))
    .await;
    let message = stage.send("Your PIN is 4815", "http://127.0.0.1:9/").await;
    first.next().await;
    second.next().await;
    stage.wait_for_status(message, "Submitted").await;
    let passage = stage.message(message).await.passage;
    assert_eq!(passage.link.as_deref(), Some("two"));
    assert_eq!(passage.decision.passed_over[0].reason, "it answered 200, `1`");
}

#[tokio::test]
async fn a_dead_port_fails_over_to_the_next_link() {
    let mut second = Receiver::start().await;
    second.will_answer_with(&answer(202, "0: Accepted for delivery"));
    let two = second.url("/sendsms");
    let stage = Stage::start(&format!(
        "profile = 'kannel'\nurl = 'http://127.0.0.1:9/'\n[link.two]\nkind = 'http'\nprofile = 'kannel'\nurl = '{two}'"
    ))
    .await;
    let message = stage.send("Your PIN is 4815", "http://127.0.0.1:9/").await;
    second.next().await;
    stage.wait_for_status(message, "Submitted").await;
}

#[tokio::test]
async fn nobody_knows_of_a_message_without_an_answer_until_its_report_comes() {
    let mut silent = Receiver::silent().await;
    let mut second = Receiver::start().await;
    let (one, two) = (silent.url("/send"), second.url("/sendsms"));
    let stage = Stage::start(&format!(
        "profile = 'jasmin'\nurl = '{one}'\ntimeout_ms = 300\n\
         [link.two]\nkind = 'http'\nprofile = 'kannel'\nurl = '{two}'"
    ))
    .await;
    let message = stage.send("Your PIN is 4815", "http://127.0.0.1:9/").await;
    let url = silent.next().await.param("dlr-url");
    stage.wait_for_status(message, "Unconfirmed").await;
    second.assert_quiet().await;
    // Jasmin's own name of it never got here; ours is in the URL.
    stage.post(&url, FORM, "id=never-seen&message_status=DELIVRD&level=2").await;
    stage.wait_for_receipt(message, ReceiptStatus::Delivered, ErrorCode::NONE).await;
}

#[tokio::test]
async fn a_report_may_come_before_the_answer_and_before_nobody_knows() {
    // An answer after half a second, and none within the link's patience.
    for (patience, delay) in [(10_000, Duration::from_millis(500)), (300, Duration::MAX)] {
        let mut jasmin = Receiver::answering_after(delay).await;
        jasmin.will_answer_with(&answer(200, "Success \"0703\""));
        let url = jasmin.url("/send");
        let link = format!("profile = 'jasmin'\nurl = '{url}'\ntimeout_ms = {patience}");
        let stage = Stage::start(&link).await;
        let message = stage.send("Your PIN is 4815", "http://127.0.0.1:9/").await;
        let url = jasmin.next().await.param("dlr-url");
        let early = stage.post(&url, FORM, "id=0703&level=2&message_status=DELIVRD").await;
        assert_eq!(early.0, StatusCode::OK);
        stage.wait_for_receipt(message, ReceiptStatus::Delivered, ErrorCode::NONE).await;
        assert_eq!(stage.message(message).await.passage.link.as_deref(), Some("one"));
    }
}

#[tokio::test]
async fn nobody_knows_of_a_message_whose_connection_breaks_after_it_was_written() {
    let mut carrier = Receiver::start().await;
    let url = carrier.url("/send");
    let stage = Stage::start(&format!("profile = 'jasmin'\nurl = '{url}'")).await;
    for odd in ["SSH-2.0-OpenSSH\r\n\r\n", &answer(200, "<html>Welcome</html>"), &answer(500, "")] {
        carrier.will_answer_with(odd);
        let message = stage.send("Your PIN is 4815", "http://127.0.0.1:9/").await;
        carrier.next().await;
        stage.wait_for_status(message, "Unconfirmed").await;
    }
    carrier.assert_quiet().await;
    stage.wait_for_metric("countersign_time_to_submit_seconds_count{link=\"one\"} 3").await;
}

#[tokio::test]
async fn the_breaker_opens_after_failures_in_a_row_and_closes_after_one_success() {
    let mut carrier = Receiver::start().await;
    carrier.will_keep_answering(503);
    let url = carrier.url("/sendsms");
    let stage = Stage::start(&format!(
        "profile = 'kannel'\nurl = '{url}'\nbreaker_failures = 2\nbreaker_open_s = 60"
    ))
    .await;
    let link = stage.link("one");
    let message = stage.send("Your PIN is 4815", "http://127.0.0.1:9/").await;
    carrier.next().await;
    assert_eq!(link.ready(), Ok(()));
    carrier.next().await;
    stage.wait_until(|| link.ready().is_err()).await;
    assert_eq!(link.ready(), Err("its breaker is open".to_owned()));
    assert_eq!(link.state().standing.as_str(), "down");
    let error = link.state().last_error.unwrap();
    assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Declined, "it answered 503"));
    carrier.assert_quiet().await;

    carrier.will_keep_answering(202);
    for _ in 0..3 {
        carrier.will_answer_with(&answer(202, "0: Accepted for delivery"));
    }
    // After so long an outage the message looks twice a minute.
    stage.advance(Duration::from_secs(91)).await;
    carrier.next().await;
    stage.wait_for_status(message, "Submitted").await;
    assert_eq!(link.ready(), Ok(()));
    assert_eq!(link.state().standing.as_str(), "up");
}

#[tokio::test]
async fn a_message_beyond_the_connections_goes_elsewhere() {
    let mut silent = Receiver::silent().await;
    let mut second = Receiver::start().await;
    for _ in 0..2 {
        second.will_answer_with(&answer(202, "0: Accepted for delivery"));
    }
    let (one, two) = (silent.url("/send"), second.url("/sendsms"));
    let stage = Stage::start(&format!(
        "profile = 'jasmin'\nurl = '{one}'\nconnections = 1\n\
         [link.two]\nkind = 'http'\nprofile = 'kannel'\nurl = '{two}'"
    ))
    .await;
    stage.send("Your PIN is 4815", "http://127.0.0.1:9/").await;
    silent.next().await;
    assert_eq!(stage.link("one").state().in_flight, 1);
    let other = stage.send("Your PIN is 4816", "http://127.0.0.1:9/").await;
    second.next().await;
    stage.wait_for_status(other, "Submitted").await;
    assert_eq!(stage.message(other).await.passage.link.as_deref(), Some("two"));
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let TlsCarrier { url, certificate } =
        TlsCarrier::start(dir.path(), answer(202, "0: Accepted for delivery")).await;
    let certificate = certificate.display();
    let stage = Stage::start(&format!(
        "profile = 'kannel'\nurl = '{url}'\n[link.two]\nkind = 'http'\nprofile = 'kannel'\n\
         url = '{url}'\nca_file = '{certificate}'"
    ))
    .await;
    let message = stage.send("Your PIN is 4815", "http://127.0.0.1:9/").await;
    stage.wait_for_status(message, "Submitted").await;
    let passage = stage.message(message).await.passage;
    assert_eq!(passage.link.as_deref(), Some("two"));
    assert_eq!(passage.decision.passed_over[0].reason, "there is no connection");
}

#[tokio::test]
async fn what_a_handset_sends_is_told_to_whoever_has_the_number() {
    let carrier = Receiver::start().await;
    let url = carrier.url("/2010-04-01/Accounts/{user}/Messages.json");
    let stage = Stage::start(&format!("profile = 'twilio'\nurl = '{url}'\nuser = 'AC'")).await;
    let mut account = Receiver::start().await;
    stage.set_inbound_url(account.url("/inbound")).await;
    let url = stage.inbound_url("one");
    let body = "MessageSid=SM9&From=%2B447700900991&To=12345&Body=Hello+%26+%E2%98%8E";
    for _ in 0..2 {
        let taken = stage.post(&url, FORM, body).await;
        assert_eq!((taken.0, taken.1.as_str()), (StatusCode::OK, ""));
    }
    let seen = account.next().await;
    assert_eq!(seen.param("text"), "Hello & ☎");
    assert_eq!(seen.param("msisdn"), NUMBER.to_string());
    account.assert_quiet().await;

    for rubbish in ["", "From=me&To=12345&Body=x", "From=447700900991&Body=x", "{"] {
        assert_eq!(stage.post(&url, FORM, rubbish).await.0, StatusCode::BAD_REQUEST, "{rubbish}");
    }
    let wrong = url.replace("/one/", "/two/");
    assert_eq!(stage.post(&wrong, FORM, body).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_who_knows_the_path_may_report_and_rubbish_breaks_nothing() {
    let carrier = Receiver::start().await;
    let url = carrier.url("/sendsms");
    let stage = Stage::start(&format!("profile = 'kannel'\nurl = '{url}'")).await;
    let right = stage.dlr_url("one");
    let (before, token) = right.split_once("/one/").unwrap();
    let nobody = format!("{before}/nobody/{token}");
    let wrong = format!("{before}/one/{}/receipts", "0".repeat(32));
    let other = right.replace("/receipts", "/other");
    for path in [nobody, wrong, other] {
        assert_eq!(stage.get(&format!("{path}?id=1&state=1")).await.0, StatusCode::NOT_FOUND);
    }
    let long = "x".repeat(100_000);
    for (content_type, body, status) in [
        (FORM, "", StatusCode::BAD_REQUEST),
        (JSON, "{", StatusCode::BAD_REQUEST),
        (JSON, "[[[[", StatusCode::BAD_REQUEST),
        (FORM, "id=%ff%00&state", StatusCode::BAD_REQUEST),
        (FORM, "id=5&state=no-such-state", StatusCode::OK),
        (FORM, long.as_str(), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(stage.post(&right, content_type, body).await.0, status, "{body:.20}");
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
