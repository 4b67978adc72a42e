//! The Vonage door over the real binary: every documented example and every status in reach.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "functions beside the tests fail as the tests do"
)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::clock::Clock;
use countersign::http::vonage::signature::{SignatureMethod, sign};
use countersign::store::{AccountSettings, BarredNumber, ConfigChange, OptOut, TemplateRecord};
use engine::Timestamp;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use support::offline::{change_settings, set_up, spend_everything};
use support::{TestServer, shown};

const TO: &str = "16365553226";
const JSON: &str = "/sc/us/2fa/json";
const XML: &str = "/sc/us/2fa/xml";

type Pairs<'a> = [(&'a str, &'a str)];

#[tokio::test]
async fn a_pin_is_delivered_and_the_answer_is_all_strings() {
    let server = TestServer::start().await;
    let pairs = [("to", TO), ("pin", "4815"), ("client-ref", "ref-1")];
    let answer = send(&server, JSON, &pairs).await;
    insta::assert_snapshot!(masked(&answer), @r#"200 {"message-count":"1","messages":[{"to":"16365553226","message-id":"IDENTIFIER","status":"0","remaining-balance":"9999999.96670000","message-price":"0.03330000","network":"00101","client-ref":"ref-1"}]}"#);
    assert_eq!(server.nth_text(TO, 1).await, "Your Countersign PIN is 4815");
    assert_eq!(server.inbox(TO).await["messages"][0]["from"], "12345");
    let answer = send(&server, XML, &pairs).await;
    insta::assert_snapshot!(masked(&answer), @"200 <?xml version='1.0' encoding='UTF-8' ?><mt-submission-response><messages count='1'><message><messageId>IDENTIFIER</messageId><to>16365553226</to><clientRef>ref-1</clientRef><status>0</status><remainingBalance>9999999.93340000</remainingBalance><messagePrice>0.03330000</messagePrice><network>00101</network></message></messages></mt-submission-response>");
}

#[tokio::test]
async fn the_guide_s_requests_are_accepted_as_they_stand() {
    let server = TestServer::start().await;
    let (key, secret) = (server.demo("api_key"), server.demo("api_secret"));
    let to = "441632960960";
    let query = form(&[("api_key", &key), ("api_secret", &secret), ("to", to), ("pin", "1001")]);
    let body = json!({ "api_key": key, "api_secret": secret, "to": to, "pin": "1002" }).to_string();
    let answers = [
        shown(server.get(&format!("{JSON}?{query}")).send().await.unwrap()).await,
        post(&server, JSON, "application/json", &body).await,
        post(&server, JSON, FORM, &query.replace("1001", "1003")).await,
    ];
    for answer in answers {
        assert_eq!(status(&answer), "0", "{answer}");
    }
    server.nth_text(to, 3).await;
    let inbox = server.inbox(to).await;
    let messages = inbox["messages"].as_array().unwrap();
    for pin in ["1001", "1002", "1003"] {
        let text = json!(format!("Your Countersign PIN is {pin}"));
        assert!(messages.iter().any(|message| message["text"] == text), "{inbox}");
    }
    // A short code is a national number, so abroad the message is from the account's name.
    assert!(messages.iter().all(|message| message["from"] == "Countersign"), "{inbox}");
}

#[tokio::test]
async fn every_shape_that_clients_send_is_understood() {
    let server = TestServer::start().await;
    let (key, secret) = (server.demo("api_key"), server.demo("api_secret"));
    let to = [("to", TO), ("pin", "1234")];
    let own = form(&to);
    let full = form(&[&to[..], &[("api_key", &key), ("api_secret", &secret)]].concat());
    let old_names = form(&[&to[..], &[("username", &key), ("password", &secret)]].concat());

    let in_query = post(&server, &format!("{JSON}?{full}"), FORM, "").await;
    let mislabelled = post(&server, JSON, "application/json", &full).await;
    let trailing = post(&server, JSON, FORM, &format!("{full}&")).await;
    let aliases = post(&server, JSON, FORM, &old_names).await;
    let typed = json!({
        "api_key": key, "api_secret": secret, "to": 16_365_553_226_u64, "pin": 1234,
        "status-report-req": true,
    });
    let typed = post(&server, JSON, "text/x-json", &typed.to_string()).await;
    let basic = server.post(JSON).header("Authorization", basic(&key, &secret)).body(own);
    let basic = shown(basic.send().await.unwrap()).await;
    for answer in [in_query, mislabelled, trailing, aliases, typed, basic] {
        assert_eq!(status(&answer), "0", "{answer}");
    }
    let json_to_xml = post(&server, XML, "application/json", "{}").await;
    insta::assert_snapshot!(json_to_xml, @"200 <?xml version='1.0' encoding='UTF-8' ?><mt-submission-response><messages count='1'><message><status>3</status><errorText>A JSON body is read under the path suffix json only</errorText></message></messages></mt-submission-response>");
}

#[tokio::test]
async fn wrong_credentials_are_answered_inside_http_200() {
    let server = TestServer::start().await;
    let (key, secret) = (server.demo("api_key"), server.demo("api_secret"));
    let of = async |path: &str, pairs: &Pairs<'_>| {
        shown(server.get(&format!("{path}?{}", form(pairs))).send().await.unwrap()).await
    };
    let wrong = [("api_key", key.as_str()), ("api_secret", "wrong")];
    assert_eq!(
        of(JSON, &wrong).await,
        r#"200 {"message-count":"1","messages":[{"status":"4","error-text":"Bad Credentials"}]}"#
    );
    assert_eq!(
        of(XML, &wrong).await,
        "200 <?xml version='1.0' encoding='UTF-8' ?><mt-submission-response><messages count='1'>\
         <message><status>4</status><errorText>Bad Credentials</errorText></message></messages>\
         </mt-submission-response>"
    );
    let unknown = [("api_key", "nobody"), ("api_secret", secret.as_str())];
    insta::assert_snapshot!(of(JSON, &unknown).await, @r#"200 {"message-count":"1","messages":[{"status":"4","error-text":"Bad Credentials"}]}"#);
    insta::assert_snapshot!(of(JSON, &[]).await, @r#"200 {"message-count":"1","messages":[{"status":"2","error-text":"Missing api_key"}]}"#);
    insta::assert_snapshot!(of(JSON, &[("password", "s")]).await, @r#"200 {"message-count":"1","messages":[{"status":"2","error-text":"Missing username"}]}"#);
    insta::assert_snapshot!(of(JSON, &[("api_key", &key)]).await, @r#"200 {"message-count":"1","messages":[{"status":"2","error-text":"Your request is incomplete and missing some mandatory parameters"}]}"#);
}

#[tokio::test]
async fn a_signature_stands_for_the_secret_and_is_judged_before_it() {
    let server = TestServer::start().await;
    let secret = server.demo("api_secret");
    let pairs = [("to", TO), ("pin", "1234"), ("client-ref", "a&b=c")];
    let answer = async |query: String| send_as_is(&server, &query).await;
    assert_eq!(status(&answer(signed(&server, &pairs, 0)).await), "0");
    assert_eq!(status(&answer(signed(&server, &pairs, -240)).await), "0");

    insta::assert_snapshot!(answer(signed(&server, &pairs, -360)).await, @r#"200 {"message-count":"1","messages":[{"status":"14","error-text":"Invalid Signature"}]}"#);
    let changed = signed(&server, &pairs, 0).replace("pin=1234", "pin=1235");
    assert_eq!(status(&answer(changed.clone()).await), "14");
    assert_eq!(status(&answer(format!("{changed}&api_secret={secret}")).await), "14");
    let both = format!("{}&api_secret={secret}", signed(&server, &pairs, 0));
    insta::assert_snapshot!(answer(both).await, @r#"200 {"message-count":"1","messages":[{"status":"32","error-text":"Signature and API secret disallowed"}]}"#);
    let without_time = signed(&server, &pairs, 0).replace("timestamp=", "other=");
    assert_eq!(status(&answer(without_time).await), "2");

    server.advance(3600).await;
    let answer = answer(signed(&server, &pairs, 0)).await;
    assert_eq!(status(&answer), "0", "a caller does not know that the sandbox's clock was moved");
}

#[tokio::test]
async fn whoever_guesses_secrets_must_wait_and_others_at_the_same_address_need_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("countersign.toml");
    std::fs::write(&config, "[limits]\nfailed_auth_per_minute = 2\n").unwrap();
    let server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let guess = format!("api_key={}&api_secret=guess", server.demo("api_key"));
    for _ in 0..2 {
        assert_eq!(status(&send_as_is(&server, &guess).await), "4");
    }
    let answer = server.post(JSON).body(guess).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(status(&shown(answer).await), "1");
    let right = send(&server, JSON, &[("to", TO), ("pin", "1")]).await;
    assert_eq!(status(&right), "0", "the right secret does not wait for the wrong ones");
    let other = send_as_is(&server, "api_key=other&api_secret=guess").await;
    assert_eq!(status(&other), "4", "another key has failures of its own");
}

#[tokio::test]
async fn every_wrong_parameter_has_its_status() {
    let server = TestServer::start().await;
    let long = "x".repeat(101);
    let cases: [(&Pairs<'_>, &str, &str); 16] = [
        (&[("pin", "1234")], "2", "Missing to param"),
        (&[("to", TO)], "2", "Missing pin param"),
        (&[("to", "nobody"), ("pin", "1234")], "3", "to address is not numeric"),
        (&[("to", TO), ("pin", "12a4")], "3", "pin is not numeric"),
        (&[("to", TO), ("pin", "12345678901")], "3", "pin is too long"),
        (&[("to", TO), ("pin", "1"), ("client-ref", &long)], "3", "client-ref is too long"),
        (&[("to", TO), ("pin", "1"), ("template", "x")], "3", "template is not numeric"),
        (&[("to", TO), ("pin", "1"), ("type", "binary")], "3", "type is neither text nor unicode"),
        (&[("to", TO), ("pin", "1"), ("ttl", "19999")], "16", "value for ttl field out of range"),
        (
            &[("to", TO), ("pin", "1"), ("callback", "example.com")],
            "23",
            "Bad callback :: Missing Protocol",
        ),
        (
            &[("to", TO), ("pin", "1"), ("callback", "ftp://example.com")],
            "23",
            "Invalid callback URL",
        ),
        (&[("to", TO), ("pin", "1"), ("template", "1")], "101", "Invalid Account for Campaign"),
        // Nobody's prefix, a number too short, and a premium number.
        (&[("to", "21012345678"), ("pin", "1")], "6", "Unroutable message - rejected"),
        (&[("to", "1636555"), ("pin", "1")], "6", "Unroutable message - rejected"),
        (&[("to", "19005551234"), ("pin", "1")], "6", "Unroutable message - rejected"),
        // The first wrong parameter is told, and a campaign before a route.
        (
            &[("to", "1636555"), ("pin", "1"), ("template", "1")],
            "101",
            "Invalid Account for Campaign",
        ),
    ];
    for (pairs, number, text) in cases {
        let answer = send(&server, JSON, pairs).await;
        let message = format!(r#"{{"status":"{number}","error-text":"{text}""#);
        assert!(answer.contains(&message), "{pairs:?}: {answer}");
    }
    let credentials =
        format!("api_key={}&api_secret={}", server.demo("api_key"), server.demo("api_secret"));
    let broken = send_as_is(&server, &format!("{credentials}&to=%zz")).await;
    insta::assert_snapshot!(broken, @r#"200 {"message-count":"1","messages":[{"status":"3","error-text":"The request was not understood: cannot decode a percent sequence"}]}"#);
    let nested = post(&server, JSON, "application/json", r#"{"to":["1"]}"#).await;
    insta::assert_snapshot!(nested, @r#"200 {"message-count":"1","messages":[{"status":"3","error-text":"The request was not understood: cannot flatten a nested JSON value"}]}"#);
    // One byte more than the default of server.body_bytes_max.
    let huge = post(&server, JSON, FORM, &"x".repeat((64 << 10) + 1)).await;
    insta::assert_snapshot!(huge, @r#"413 {"message-count":"1","messages":[{"status":"3","error-text":"The request body is too large"}]}"#);
    let balance = server.textmagic(Method::GET, "/api/v2/user").send().await.unwrap();
    let balance: Value = balance.json().await.unwrap();
    assert_eq!(balance["balance"], json!(10_000_000.0), "what is refused costs nothing");
}

#[tokio::test]
async fn a_long_text_is_sent_in_parts_that_each_have_an_id_and_a_price() {
    let mut server = TestServer::start().await;
    set_up(&mut server, |rows, _| {
        let text = |id, index, text: &str| {
            ConfigChange::PutTemplate(TemplateRecord {
                id,
                account: rows.accounts[0].id,
                index: Some(index),
                locale: None,
                text: text.to_owned(),
            })
        };
        let many = "${more}".repeat(7) + "${pin}";
        vec![text(100, 1, "${greeting} ${name}: ${pin}"), text(101, 2, &many)]
    })
    .await;
    let greeting = "Bonjour ".repeat(25);
    let pairs = [
        ("to", TO),
        ("pin", "4815"),
        ("template", "1"),
        ("greeting", greeting.trim_end()),
        ("name", "Zoé"),
    ];
    let answer = send(&server, JSON, &pairs).await;
    insta::assert_snapshot!(masked(&answer), @r#"200 {"message-count":"2","messages":[{"to":"16365553226","message-id":"IDENTIFIER","status":"0","remaining-balance":"9999999.93340000","message-price":"0.03330000","network":"00101"},{"to":"16365553226","message-id":"IDENTIFIER","status":"0","remaining-balance":"9999999.93340000","message-price":"0.03330000","network":"00101"}]}"#);
    let ids = message_ids(&answer);
    assert_eq!(ids[0][..15], ids[1][..15], "the parts of one message differ in the last digit");
    assert_ne!(ids[0], ids[1]);
    let text = server.nth_text(TO, 1).await;
    assert_eq!(text, format!("{} Zoé: 4815", greeting.trim_end()));

    let missing = send(&server, JSON, &pairs[..4]).await;
    assert!(missing.contains(r#""status":"2","error-text":"Missing name param""#), "{missing}");
    let more = "y".repeat(256);
    let pairs = [("to", TO), ("pin", "1"), ("template", "2"), ("more", &more)];
    let too_long = send(&server, JSON, &pairs).await;
    assert!(too_long.contains(r#""status":"12","error-text":"Message too long""#), "{too_long}");
}

#[tokio::test]
async fn a_repeat_under_an_idempotency_key_is_charged_and_sent_once() {
    let server = TestServer::start().await;
    let pairs = [("to", TO), ("pin", "4815")];
    let repeat = async |query: String, key: &str| {
        let request = server.post(JSON).header("Idempotency-Key", key).body(query);
        shown(request.send().await.unwrap()).await
    };
    let first = repeat(signed(&server, &pairs, 0), "login-7").await;
    assert_eq!(status(&first), "0", "{first}");
    let signed_anew = repeat(signed(&server, &pairs, -1), "login-7").await;
    assert_eq!(signed_anew, first);
    let with_secret = repeat(with_credentials(&server, &pairs), "login-7").await;
    assert_eq!(with_secret, first);
    server.nth_text(TO, 1).await;

    let other = repeat(with_credentials(&server, &[("to", TO), ("pin", "4816")]), "login-7").await;
    insta::assert_snapshot!(other, @r#"200 {"message-count":"1","messages":[{"status":"3","error-text":"The Idempotency-Key was used for another request"}]}"#);
    let empty = repeat(with_credentials(&server, &pairs), " ").await;
    insta::assert_snapshot!(empty, @r#"200 {"message-count":"1","messages":[{"status":"3","error-text":"The Idempotency-Key is empty or too long"}]}"#);
    assert_eq!(status(&repeat(with_credentials(&server, &pairs), "login-8").await), "0");
    server.nth_text(TO, 2).await;
    let inbox = server.inbox(TO).await;
    assert_eq!(inbox["messages"].as_array().unwrap().len(), 2, "{inbox}");
}

#[tokio::test]
async fn a_repeat_gets_its_first_answer_though_the_account_is_suspended_since() {
    let mut server = TestServer::start().await;
    let repeat = async |server: &TestServer, key: &str| {
        let body = with_credentials(server, &[("to", TO), ("pin", "4815")]);
        let request = server.post(JSON).header("Idempotency-Key", key).body(body);
        shown(request.send().await.unwrap()).await
    };
    let first = repeat(&server, "login-7").await;
    assert_eq!(status(&first), "0", "{first}");
    change_settings(&mut server, |settings| settings.suspended = true).await;
    assert_eq!(repeat(&server, "login-7").await, first);
    assert_eq!(status(&repeat(&server, "login-8").await), "8");
}

#[tokio::test]
async fn what_the_account_may_not_do_has_its_status() {
    let mut server = TestServer::start().await;
    let pairs = [("to", TO), ("pin", "4815"), ("client-ref", "ref-1")];

    change_settings(&mut server, |settings| settings.account_per_s = Some(1)).await;
    assert_eq!(status(&send(&server, JSON, &pairs).await), "0");
    let throttled = send(&server, JSON, &pairs).await;
    let (before, after) = throttled.split_once("please wait [ ").unwrap();
    let (wait, after) = after.split_once(' ').unwrap();
    assert!((1..=1000).contains(&wait.parse::<u64>().unwrap()), "{throttled}");
    insta::assert_snapshot!(format!("{before}please wait [ N {after}"), @r#"200 {"message-count":"1","messages":[{"to":"16365553226","status":"1","error-text":"Throughput Rate Exceeded - please wait [ N ] and retry","network":"00101","client-ref":"ref-1"}]}"#);

    change_settings(&mut server, |settings| settings.number_starts_max = Some(1)).await;
    insta::assert_snapshot!(send(&server, JSON, &pairs).await, @r#"200 {"message-count":"1","messages":[{"to":"16365553226","status":"1","error-text":"Throughput Rate Exceeded - please wait and retry","network":"00101","client-ref":"ref-1"}]}"#);

    change_settings(&mut server, |settings| settings.suspended = true).await;
    insta::assert_snapshot!(send(&server, JSON, &pairs).await, @r#"200 {"message-count":"1","messages":[{"status":"8","error-text":"Partner account barred","client-ref":"ref-1"}]}"#);
    assert_eq!(status(&send(&server, JSON, &[]).await), "8", "before any parameter is looked at");

    let deny = |settings: &mut AccountSettings| settings.countries_deny = vec!["US".to_owned()];
    change_settings(&mut server, deny).await;
    insta::assert_snapshot!(send(&server, JSON, &pairs).await, @r#"200 {"message-count":"1","messages":[{"to":"16365553226","status":"29","error-text":"Non White-listed Destination - rejected","client-ref":"ref-1"}]}"#);

    change_settings(&mut server, |_| ()).await;
    spend_everything(&mut server).await;
    insta::assert_snapshot!(send(&server, JSON, &pairs).await, @r#"200 {"message-count":"1","messages":[{"to":"16365553226","status":"9","error-text":"Quota Exceeded - rejected","remaining-balance":"0.01000000","message-price":"0.03330000","network":"00101","client-ref":"ref-1"}]}"#);
    insta::assert_snapshot!(send(&server, XML, &pairs).await, @"200 <?xml version='1.0' encoding='UTF-8' ?><mt-submission-response><messages count='1'><message><to>16365553226</to><clientRef>ref-1</clientRef><status>9</status><errorText>Quota Exceeded - rejected</errorText><remainingBalance>0.01000000</remainingBalance><messagePrice>0.03330000</messagePrice><network>00101</network></message></messages></mt-submission-response>");

    set_up(&mut server, |_, number_key| {
        let reason = "complaint".to_owned();
        let at = Timestamp::from_millis(1);
        vec![ConfigChange::Bar(BarredNumber {
            number_key: number_key(TO),
            number: None,
            reason,
            at,
        })]
    })
    .await;
    insta::assert_snapshot!(send(&server, JSON, &pairs).await, @r#"200 {"message-count":"1","messages":[{"status":"7","error-text":"Number barred.","client-ref":"ref-1"}]}"#);

    let mut all = Vec::new();
    set_up(&mut server, |rows, _| {
        all.extend(rows.numbers.iter().cloned());
        let others = all.iter().filter(|number| number.campaign.is_none());
        others.map(|number| ConfigChange::DropNumber(number.id)).collect()
    })
    .await;
    let abroad = [("to", "441632960960"), ("pin", "4815")];
    insta::assert_snapshot!(send(&server, JSON, &abroad).await, @r#"200 {"message-count":"1","messages":[{"status":"15","error-text":"Illegal Sender Address - rejected"}]}"#);
    set_up(&mut server, |rows, _| {
        rows.numbers.iter().map(|number| ConfigChange::DropNumber(number.id)).collect()
    })
    .await;
    insta::assert_snapshot!(send(&server, JSON, &pairs).await, @r#"200 {"message-count":"1","messages":[{"status":"101","error-text":"Invalid Account for Campaign","client-ref":"ref-1"}]}"#);
}

#[tokio::test]
async fn a_number_that_opted_out_is_refused_until_it_is_let_in_again() {
    let mut server = TestServer::start().await;
    set_up(&mut server, |rows, number_key| {
        let campaign = rows.numbers.iter().find(|number| number.campaign.is_some()).unwrap().id;
        let opt_out = |digits: &str| {
            ConfigChange::PutOptOut(OptOut {
                campaign,
                number_key: number_key(digits),
                number: digits.parse().ok(),
                opted_in_at: None,
                opted_out_at: Some(Timestamp::from_millis(1_403_893_893_000)),
            })
        };
        vec![opt_out(TO), opt_out("15558937009")]
    })
    .await;
    let query = "/sc/us/alert/opt-in/query";
    let manage = "/sc/us/alert/opt-in/manage";
    insta::assert_snapshot!(send(&server, &format!("{query}/json"), &[]).await, @r#"200 {"opt-in-count":"2","opt-in-list":[{"msisdn":"15558937009","opt-in":"false","opt-out":"true","opt-out-date":"2014-06-27 18:31:33"},{"msisdn":"16365553226","opt-in":"false","opt-out":"true","opt-out-date":"2014-06-27 18:31:33"}]}"#);
    let second = [("page-size", "1"), ("page", "1")];
    insta::assert_snapshot!(send(&server, &format!("{query}/xml"), &second).await, @r#"200 <?xml version='1.0' encoding='UTF-8' ?><opt-in-list opt-in-count="2"><opt-in msisdn="16365553226" opt-in="false" opt-out="true" opt-out-date="2014-06-27 18:31:33"/></opt-in-list>"#);

    let pairs = [("to", TO), ("pin", "4815"), ("client-ref", "ref-1")];
    insta::assert_snapshot!(send(&server, JSON, &pairs).await, @r#"200 {"message-count":"1","messages":[{"status":"102","error-text":"Destination opted out for campaign","client-ref":"ref-1"}]}"#);
    let let_in = send(&server, &format!("{manage}/json"), &[("msisdn", TO)]).await;
    insta::assert_snapshot!(dateless(&let_in), @r#"200 {"msisdn":"16365553226","opt-in":"true","opt-in-date":"DATE","opt-out":"false"}"#);
    assert_eq!(status(&send(&server, JSON, &pairs).await), "0");
    let again = send(&server, &format!("{manage}/json"), &[("msisdn", TO)]).await;
    assert_eq!(again, let_in, "who takes part already has taken part since then");
    let let_in = send(&server, &format!("{manage}/xml"), &[("msisdn", "15558937009")]).await;
    insta::assert_snapshot!(dateless(&let_in), @r#"200 <?xml version='1.0' encoding='UTF-8' ?><opt-in msisdn="15558937009" opt-in="true" opt-in-date="DATE" opt-out="false"/>"#);

    let manage = format!("{manage}/json");
    insta::assert_snapshot!(send(&server, &manage, &[("msisdn", "12015550123")]).await, @r#"200 {"message-count":"1","messages":[{"status":"103","error-text":"Invalid msisdn for campaign"}]}"#);
    insta::assert_snapshot!(send(&server, &manage, &[]).await, @r#"200 {"message-count":"1","messages":[{"status":"34","error-text":"Invalid or Missing Msisdn Param"}]}"#);
    let wrong = send_to(&server, &manage, "api_key=nobody&api_secret=x").await;
    assert_eq!(status(&wrong), "4");
}

#[tokio::test]
async fn a_conversion_is_kept_for_messages_and_verifications() {
    let mut server = TestServer::start().await;
    let sent = send(&server, JSON, &[("to", TO), ("pin", "4815")]).await;
    let id = message_ids(&sent).remove(0);
    let body = json!({ "phone": "447700900123", "brand": "Acme", "codeLength": 4 });
    let started = server.textmagic(Method::POST, "/api/v2/verify").json(&body);
    let started: Value = started.send().await.unwrap().json().await.unwrap();
    let verification = started["verifyId"].as_str().unwrap();

    let sms = "/conversions/sms";
    let python = [("delivered", "True"), ("timestamp", "2026-11-21 19:29:39")];
    let python = [&python[..], &[("message-id", id.as_str())]].concat();
    let answer = server.post(sms).body(with_credentials(&server, &python)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(shown(answer).await, "200 OK");
    let voice = [("message-id", verification), ("delivered", "0")];
    assert_eq!(send(&server, "/conversions/voice", &voice).await, "200 OK");
    let query = with_credentials(&server, &voice);
    let old_php = server.get(&format!("{sms}?{query}")).send().await.unwrap();
    assert_eq!(shown(old_php).await, "200 OK");
    let signed = signed(&server, &[("message-id", &id), ("delivered", "1")], 0);
    assert_eq!(send_to(&server, sms, &signed).await, "200 OK");

    let delivered = ("delivered", "true");
    let wrong = format!("message-id={id}&delivered=1&api_key=x&api_secret=y");
    insta::assert_snapshot!(send_to(&server, sms, &wrong).await, @r#"401 {"error-code":"401","error-code-label":"authentication failed","error_title":"authentication failed"}"#);
    let unknown = [("message-id", "0A0000001234567B"), delivered];
    insta::assert_snapshot!(send(&server, sms, &unknown).await, @r#"423 {"error-code":"423","error-code-label":"message-id is unknown","error_title":"message-id is unknown"}"#);
    let maimed = [("message-id", "0A00"), delivered];
    insta::assert_snapshot!(send(&server, sms, &maimed).await, @r#"420 {"error-code":"420","error-code-label":"message-id is not one of ours","error_title":"message-id is not one of ours"}"#);
    let undecided = [("message-id", id.as_str()), ("delivered", "perhaps")];
    insta::assert_snapshot!(send(&server, sms, &undecided).await, @r#"420 {"error-code":"420","error-code-label":"delivered is neither true nor false","error_title":"delivered is neither true nor false"}"#);
    change_settings(&mut server, |settings| settings.conversion = None).await;
    insta::assert_snapshot!(send(&server, sms, &python).await, @r#"402 {"error-code":"402","error-code-label":"conversions are not enabled for this account","error_title":"conversions are not enabled for this account"}"#);
}

#[tokio::test]
async fn a_conversion_can_be_answered_with_an_object_for_clients_that_parse_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("countersign.toml");
    std::fs::write(&config, "[vonage]\nconversion_body = 'json'\n").unwrap();
    let server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let sent = send(&server, JSON, &[("to", TO), ("pin", "4815")]).await;
    let pairs = [("message-id", message_ids(&sent).remove(0)), ("delivered", "1".to_owned())];
    let pairs = pairs.each_ref().map(|(name, value)| (*name, value.as_str()));
    let request = server.post("/conversions/sms").body(with_credentials(&server, &pairs));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(shown(answer).await, "200 {}");
}

#[tokio::test]
async fn a_closed_door_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("countersign.toml");
    std::fs::write(&config, "[vonage]\nenabled = false\n").unwrap();
    let server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let answer = send(&server, JSON, &[("to", TO), ("pin", "4815")]).await;
    assert_eq!(answer, "404 there is nothing here\n");
}

#[tokio::test]
async fn only_get_and_post_do_anything_and_every_answer_is_hardened() {
    let server = TestServer::start().await;
    let query = with_credentials(&server, &[("to", TO), ("pin", "4815")]);
    let path = |path: &str| format!("{path}?{query}");
    let expected = [
        (Method::GET, path("/sc/us/2fa/yaml"), 404),
        (Method::GET, path("/sc/us/2fa"), 404),
        (Method::PUT, path(JSON), 404),
        (Method::DELETE, path(JSON), 404),
        (Method::PATCH, path("/conversions/sms"), 404),
        (Method::HEAD, path(JSON), 200),
        (Method::HEAD, path("/conversions/sms"), 200),
        (Method::GET, path(JSON), 200),
    ];
    for (method, path, status) in expected {
        let answer = server.request(method.clone(), &path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_hardened(&answer);
    }
    server.nth_text(TO, 1).await;
    let inbox = server.inbox(TO).await;
    assert_eq!(inbox["messages"].as_array().unwrap().len(), 1, "a HEAD sends nothing: {inbox}");
    for (path, content_type) in [(JSON, "application/json"), (XML, "text/xml")] {
        let answer = server.get(path).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], content_type);
    }
}

#[track_caller]
fn assert_hardened(answer: &Response) {
    for (name, value) in [
        ("x-xss-protection", "1; mode=block"),
        ("strict-transport-security", "max-age=31536000; includeSubdomains"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.headers()[name], value);
    }
}

/// Posts a form with the demo account's key and secret.
async fn send(server: &TestServer, path: &str, pairs: &Pairs<'_>) -> String {
    send_to(server, path, &with_credentials(server, pairs)).await
}

async fn send_as_is(server: &TestServer, body: &str) -> String {
    send_to(server, JSON, body).await
}

async fn send_to(server: &TestServer, path: &str, body: &str) -> String {
    post(server, path, FORM, body).await
}

async fn post(server: &TestServer, path: &str, content_type: &str, body: &str) -> String {
    let request = server.post(path).header("Content-Type", content_type).body(body.to_owned());
    shown(request.send().await.unwrap()).await
}

fn with_credentials(server: &TestServer, pairs: &Pairs<'_>) -> String {
    let (key, secret) = (server.demo("api_key"), server.demo("api_secret"));
    form(&[pairs, &[("api_key", &key), ("api_secret", &secret)]].concat())
}

/// A request that was signed so many seconds from now.
fn signed(server: &TestServer, pairs: &Pairs<'_>, seconds: i64) -> String {
    let (key, secret) = (server.demo("api_key"), server.demo("signature_secret"));
    let method = SignatureMethod::parse(&server.demo("signature_method")).unwrap();
    let now = i64::try_from(Clock::system().now().as_millis() / 1000).unwrap();
    let timestamp = (now + seconds).to_string();
    let pairs = [pairs, &[("api_key", key.as_str()), ("timestamp", &timestamp)]].concat();
    let sig = sign(pairs.iter().copied(), &secret, method);
    form(&[&pairs[..], &[("sig", &sig)]].concat())
}

fn form(pairs: &Pairs<'_>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

/// The status of the only message of a JSON answer.
#[track_caller]
fn status(answer: &str) -> String {
    let (_, body) = answer.split_once(' ').unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["message-count"], "1");
    body["messages"][0]["status"].as_str().unwrap().to_owned()
}

fn message_ids(answer: &str) -> Vec<String> {
    let (_, body) = answer.split_once(' ').unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    messages.iter().map(|message| message["message-id"].as_str().unwrap().to_owned()).collect()
}

/// Replaces the ids, which differ from run to run, but not by their form.
fn masked(answer: &str) -> String {
    let mut text = answer.to_owned();
    for marker in ["\"message-id\":\"", "<messageId>"] {
        for (at, _) in answer.match_indices(marker) {
            let id = &answer[at + marker.len()..][..16];
            let in_form = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
            assert!(id.bytes().all(in_form), "{id}");
            text = text.replace(id, "IDENTIFIER");
        }
    }
    text
}

/// Replaces the date since when a number takes part, but not by its form.
fn dateless(answer: &str) -> String {
    let markers = ["\"opt-in-date\":\"", "opt-in-date=\""];
    let at = markers.iter().find_map(|m| answer.find(m).map(|at| at + m.len())).unwrap();
    let (before, rest) = answer.split_at(at);
    let (date, after) = rest.split_at("2026-11-21 19:29:39".len());
    assert!(date.starts_with("20") && date.as_bytes()[10] == b' ', "{date}");
    format!("{before}DATE{after}")
}

const FORM: &str = "application/x-www-form-urlencoded";
