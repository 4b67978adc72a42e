//! What trunks answer, played by sipp from the scenarios in `interop/peers/sipp`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use voice::call::{CallEvent, CallRequest};
use voice::g711::Codec;
use voice::outcome::{CallOutcome, CallRecord, Heard};
use voice::script::{Item, Script};
use voice::trunk::{Credentials, Transport, Trunk, TrunkConfig, TrunkFault, TrunkState};

use crate::stage::{
    call, config, fill, free_port, now, request, sipp, sipp_echo, sipp_with, speech,
};

/// Calls a scenario, checks that it saw what it expects, and that nothing of the call is left.
async fn place(
    scenario: &str,
    places: &[(&str, &str)],
    script: Script,
) -> (CallRecord, Vec<CallEvent>) {
    place_with(scenario, places, script, |_| ()).await
}

async fn place_with(
    scenario: &str,
    places: &[(&str, &str)],
    script: Script,
    change: impl FnOnce(&mut TrunkConfig),
) -> (CallRecord, Vec<CallEvent>) {
    let (peer, port) = sipp(scenario, places);
    let mut config = config(port);
    change(&mut config);
    let trunk = Trunk::open(config).await.unwrap();
    let (record, events) = call(&trunk, request("447700900123", script)).await;
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
    assert_eq!(trunk.dialogs_open(), 0, "a dialog is left behind");
    assert_eq!(trunk.figures().lines, 0, "a line is left behind");
    (record, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_outcome_at_once() {
    let retry_after = Some(Duration::from_secs(7));
    let table = [
        ("486 Busy Here", 486, CallOutcome::Busy),
        ("603 Decline", 603, CallOutcome::Declined),
        ("404 Not Found", 404, CallOutcome::InvalidNumber),
        ("488 Not Acceptable Here", 488, CallOutcome::NoCodec),
        ("503 Service Unavailable", 503, CallOutcome::TrunkFailed { retry_after }),
        ("480 Temporarily Unavailable", 480, CallOutcome::NoAnswer),
        ("408 Request Timeout", 408, CallOutcome::TrunkFailed { retry_after: None }),
        ("403 Forbidden", 403, CallOutcome::TrunkRefused),
    ];
    for (answer, status, outcome) in table {
        let (record, events) = place("refuse", &[("STATUS", answer)], speech(1)).await;
        assert_eq!((record.outcome, record.sip_status), (outcome, Some(status)));
        assert_eq!(events, [CallEvent::Ended]);
        assert_eq!((record.packets_sent, record.answered_at), (0, None));
        assert!(record.ended_at < Duration::from_secs(1), "{:?}", record.ended_at);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_only_rings_is_given_up_with_a_cancel() {
    let (peer, port) = sipp("ring", RINGING);
    let trunk = Trunk::open(config(port)).await.unwrap();
    let ring_timeout = Duration::from_secs(1);
    let request = CallRequest { ring_timeout, ..request("447700900123", speech(1)) };
    let (record, events) = call(&trunk, request).await;
    assert_eq!(record.outcome, CallOutcome::NoAnswer);
    assert!(record.rang_at.unwrap() < ring_timeout && record.answered_at.is_none());
    assert_eq!(events, [CallEvent::Ringing, CallEvent::Ended]);
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
    assert_eq!(trunk.dialogs_open(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_takes_a_call_and_never_lets_it_ring_is_given_up_with_a_cancel() {
    for status in ["100 Trying", "181 Call Is Being Forwarded", "183 Session Progress"] {
        let (record, events) = place_with("ring", &[("STATUS", status)], speech(1), |config| {
            config.post_dial_wait = Duration::from_secs(1);
        })
        .await;
        assert_eq!((record.outcome, record.rang_at), (CallOutcome::TrunkStalled, None), "{status}");
        assert!(record.ended_at < Duration::from_secs(2), "{:?}", record.ended_at);
        assert_eq!(events, [CallEvent::Ended]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_heard_before_an_answer_may_be_a_ring_tone_and_proves_no_phone() {
    let (peer, port) = sipp("tone", &[]);
    let post_dial_wait = Duration::from_secs(1);
    let trunk = Trunk::open(TrunkConfig { post_dial_wait, ..config(port) }).await.unwrap();
    let ring_timeout = Duration::from_secs(2);
    let request = CallRequest { ring_timeout, ..request("447700900123", speech(1)) };
    let (record, events) = call(&trunk, request).await;
    assert_eq!((record.outcome, record.rang_at), (CallOutcome::NoAnswer, None));
    assert!(record.ended_at > ring_timeout, "{:?}", record.ended_at);
    assert_eq!(events, [CallEvent::Ended]);
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();

    for (status, outcome) in [
        ("503 No Circuit", CallOutcome::TrunkFailed { retry_after: None }),
        ("408 Request Timeout", CallOutcome::NoAnswer),
    ] {
        let (record, events) = place("progress", &[("STATUS", status)], speech(1)).await;
        assert_eq!((record.outcome, record.rang_at), (outcome, None));
        assert_eq!(events, [CallEvent::Ended]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_withdrawn_while_it_rings_and_an_answer_that_crosses_is_hung_up() {
    for (scenario, places) in [("ring", RINGING), ("late_answer", &[])] {
        let (peer, port) = sipp(scenario, places);
        let trunk = Trunk::open(config(port)).await.unwrap();
        let (events, mut happened) = mpsc::unbounded_channel();
        let hang_up = CancellationToken::new();
        let placed = trunk.call(request("447700900123", speech(1)), events, hang_up.clone());
        let withdrawn = async {
            assert_eq!(happened.recv().await, Some(CallEvent::Ringing));
            hang_up.cancel();
        };
        let (record, ()) = tokio::join!(placed, withdrawn);
        assert_eq!(record.outcome, CallOutcome::Withdrawn);
        tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
        assert_eq!(trunk.dialogs_open(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_future_is_dropped_is_hung_up() {
    let (peer, port) = sipp("ring", RINGING);
    let trunk = Trunk::open(config(port)).await.unwrap();
    let (events, mut happened) = mpsc::unbounded_channel();
    let placed = trunk.call(request("447700900123", speech(1)), events, CancellationToken::new());
    tokio::select! {
        record = placed => panic!("it ended: {record:?}"),
        event = happened.recv() => assert_eq!(event, Some(CallEvent::Ringing)),
    }
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_is_closed_in_the_middle_of_a_call_says_bye_first() {
    let (peer, port) = sipp_echo(&["-m", "1"]);
    let trunk = Trunk::open(config(port)).await.unwrap();
    let (events, mut happened) = mpsc::unbounded_channel();
    let placed = trunk.call(request("447700900123", speech(9)), events, CancellationToken::new());
    tokio::select! {
        record = placed => panic!("it ended: {record:?}"),
        () = async { while happened.recv().await != Some(CallEvent::Answered) {} } => {}
    }
    drop(trunk);
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
    while let Some(event) = happened.recv().await {
        assert_eq!(event, CallEvent::Ended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_stream_a_phone_that_hangs_up_is_heard_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.xml");
    fill("sipp/hang_up.xml", &file, &[]);
    let scenario = ["-sf", file.to_str().unwrap(), "-m", "1", "-t", "t1"];
    let (peer, port) = sipp_with(folder, &scenario);
    let trunk =
        Trunk::open(TrunkConfig { transport: Transport::Tcp, ..config(port) }).await.unwrap();
    let (record, _) = call(&trunk, request("447700900123", speech(10))).await;
    assert_eq!((record.outcome, record.plays), (CallOutcome::HungUp, 0));
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
    assert_eq!(trunk.dialogs_open(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_never_lets_us_in_is_asked_twice_and_no_more() {
    let answers = [("407 Denied", "Proxy-Authenticate"), ("401 Denied", "WWW-Authenticate")];
    for (status, challenge) in answers {
        let places = [("STATUS", status), ("CHALLENGE", challenge)];
        let (record, _) = place_with("challenge", &places, speech(1), |config| {
            config.credentials = Some(secret("wrong"));
        })
        .await;
        assert_eq!(record.outcome, CallOutcome::CredentialsRefused);
        let without = place_with("refuse", &[("STATUS", status)], speech(1), |_| ()).await.0;
        assert_eq!(without.outcome, CallOutcome::CredentialsWanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_answer_to_a_401_is_let_in_and_a_wrong_one_is_not() {
    for (password, outcome) in
        [("secret", CallOutcome::Completed), ("wrong", CallOutcome::CredentialsRefused)]
    {
        let (record, _) = place_with("verify", &[], speech(1), |config| {
            config.credentials = Some(secret(password));
        })
        .await;
        assert_eq!(record.outcome, outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_refuses_our_answer_to_its_challenge_is_an_alarm() {
    let (_peer, port) = sipp("verify", &[]);
    let credentials = Some(secret("wrong"));
    let trunk = Trunk::open(TrunkConfig { credentials, ..config(port) }).await.unwrap();
    let (record, _) = call(&trunk, request("447700900123", speech(1))).await;
    assert_eq!(record.sip_status, Some(403));
    assert_eq!(trunk.state(), TrunkState::Down(TrunkFault::CredentialsRefused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_rang_was_reached_though_its_answer_cannot_be_used() {
    let (record, events) = place("no_contact", &[], speech(1)).await;
    assert_eq!((record.outcome, record.heard), (CallOutcome::NoAnswer, Heard::Progress));
    assert_eq!(events, [CallEvent::Ringing, CallEvent::Ended]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_codec_of_ours_is_hung_up() {
    let (record, _) = place("other_codec", &[], speech(1)).await;
    assert_eq!((record.outcome, record.codec), (CallOutcome::NoCodec, None));
    assert_eq!(record.packets_sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_hangs_up_stops_the_audio_at_once() {
    let (record, events) = place("hang_up", &[], speech(10)).await;
    assert_eq!((record.outcome, record.plays), (CallOutcome::HungUp, 0));
    assert_eq!(events, [CallEvent::Ringing, CallEvent::Answered, CallEvent::Ended]);
    let heard = record.talked_for();
    assert!(
        heard > Duration::from_millis(800) && heard < Duration::from_millis(1_800),
        "{heard:?}"
    );
    assert!(record.packets_sent < 90, "{} packets", record.packets_sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_is_quiet_and_every_request_in_it_is_answered() {
    let script = Script { repeats_max: 1, ..speech(2) };
    let (record, _) = place("hold", &[], script).await;
    assert_eq!(record.outcome, CallOutcome::Completed);
    assert_eq!((record.keys, record.plays), (1, 1), "the key of the INFO begins anew");
    // Half a second before the hold, and two seconds again after the key.
    let packets = record.packets_sent;
    assert!((115..=140).contains(&packets), "{packets} packets");
    assert!(record.talked_for() > Duration::from_millis(2_900), "{:?}", record.talked_for());
}

#[tokio::test(flavor = "multi_thread")]
async fn key_1_of_a_telephone_plays_it_again() {
    let script = Script { repeats_max: 3, ..speech(2) };
    let (record, _) = place("keys", &[], script).await;
    assert_eq!((record.outcome, record.keys), (CallOutcome::Completed, 1));
    // The key came at a third of a second; then the two seconds began anew.
    assert!((108..=130).contains(&record.packets_sent), "{} packets", record.packets_sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn early_media_is_acknowledged_and_hears_silence_until_the_answer() {
    let (record, events) = place("early", &[], speech(1)).await;
    assert_eq!((record.outcome, record.plays), (CallOutcome::Completed, 1));
    assert_eq!(events, [CallEvent::Answered, CallEvent::Ended], "a 183 is no ringing");
    assert!((65..=85).contains(&record.packets_sent), "{} packets", record.packets_sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_phones_that_answer_one_call_the_second_is_hung_up() {
    let (record, _) = place("forked", &[], speech(2)).await;
    assert_eq!((record.outcome, record.plays), (CallOutcome::Completed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_longest_time_and_a_hang_up_ends_it_before() {
    let (peer, port) = sipp_echo(&["-m", "2"]);
    let call_length_max = Duration::from_secs(1);
    let trunk = Trunk::open(TrunkConfig { call_length_max, ..config(port) }).await.unwrap();
    let (record, _) = call(&trunk, request("447700900123", speech(10))).await;
    assert_eq!((record.outcome, record.codec), (CallOutcome::TooLong, Some(Codec::Pcmu)));
    assert!(record.talked_for() < Duration::from_millis(1_300));
    assert!(record.packets_received > 30, "the echo: {}", record.packets_received);

    let (events, _) = mpsc::unbounded_channel();
    let hang_up = CancellationToken::new();
    let placed = trunk.call(request("447700900123", speech(10)), events, hang_up.clone());
    let withdrawn = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        hang_up.cancel();
    };
    let (record, ()) = tokio::join!(placed, withdrawn);
    assert_eq!(record.outcome, CallOutcome::Withdrawn);
    assert!(record.answered_at.is_some() && record.ended_at < Duration::from_millis(700));
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_lose_no_call() {
    let (peer, port) = sipp_echo(&[]);
    let port = losing_the_first_of_each_call(port).await;
    let trunk = Arc::new(Trunk::open(config(port)).await.unwrap());
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let trunk = Arc::clone(&trunk);
        let request = request("447700900123", speech(1));
        set.spawn(async move { call(&trunk, request).await.0 });
    }
    for record in set.join_all().await {
        assert_eq!(record.outcome, CallOutcome::Completed, "{record:?}");
        assert_eq!(record.plays, 1);
    }
    drop(peer);
}

/// Passes datagrams on to a port and back, but for the first of each call in each direction: an
/// INVITE, and the 180 that answers the next. Answers its own port.
///
/// Not by chance, nor by sipp's `-lost`: it repeats no 200 and answers no repeated INVITE, so that a
/// call that loses both 180 and 200 is lost, whatever its caller does.
async fn losing_the_first_of_each_call(port: u16) -> u16 {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    back.connect(("127.0.0.1", port)).await.unwrap();
    let own = front.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut caller, mut seen) = (None, HashSet::new());
        let (mut there, mut here) = ([0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                Ok((count, from)) = front.recv_from(&mut there) => {
                    caller = Some(from);
                    if !seen.insert((true, call_id(&there[..count]))) {
                        back.send(&there[..count]).await.unwrap();
                    }
                }
                Ok(count) = back.recv(&mut here) => {
                    let passes = !seen.insert((false, call_id(&here[..count])));
                    if let Some(caller) = caller.filter(|_| passes) {
                        front.send_to(&here[..count], caller).await.unwrap();
                    }
                }
            }
        }
    });
    own
}

fn call_id(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message).into_owned();
    let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with("call-id:"));
    line.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_says_nothing_is_given_up_within_seconds_not_after_half_a_minute() {
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let trunk = Trunk::open(config(port)).await.unwrap();
    let started = now();
    let (record, _) = call(&trunk, request("447700900123", speech(1))).await;
    assert_eq!((record.outcome, record.sip_status), (CallOutcome::TrunkUnreachable, None));
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(trunk.state(), TrunkState::Down(TrunkFault::Silent));
    assert_eq!(trunk.dialogs_open(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_is_known_at_once() {
    let port = free_port();
    let trunk =
        Trunk::open(TrunkConfig { transport: Transport::Tcp, ..config(port) }).await.unwrap();
    let started = now();
    let (record, _) = call(&trunk, request("447700900123", speech(1))).await;
    assert_eq!(record.outcome, CallOutcome::TrunkUnreachable);
    assert!(started.elapsed() < Duration::from_millis(500));
    assert!(matches!(trunk.state(), TrunkState::Down(TrunkFault::Connect(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_channels_or_turns_are_refused_by_ourselves() {
    let (_peer, port) = sipp_echo(&[]);
    let config = TrunkConfig { channels_max: 4, calls_per_second_max: 1, ..config(port) };
    let trunk = Arc::new(Trunk::open(config).await.unwrap());
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let trunk = Arc::clone(&trunk);
        set.spawn(async move { call(&trunk, request("447700900123", speech(3))).await.0 });
    }
    let records = set.join_all().await;
    let refused = records.iter().filter(|record| record.outcome == CallOutcome::NoChannel);
    // Two find no channel; the turn of one of the others would come in three seconds.
    assert_eq!(refused.count(), 3);
    assert_eq!(trunk.channels_free(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_not_one_never_reaches_the_trunk() {
    let trunk = Trunk::open(config(free_port())).await.unwrap();
    let odd = ["", "+", "1;x", "1@evil.test", "12 34", "1\r\nX: y", "+4477#1"];
    for to in odd {
        let (record, _) = call(&trunk, request(to, speech(1))).await;
        assert_eq!(record.outcome, CallOutcome::Unspeakable, "{to:?}");
    }
    let mut foreign = request("447700900123", Script::once(vec![Item::Silence(Duration::ZERO)]));
    foreign.caller = "a@b".to_owned();
    assert_eq!(call(&trunk, foreign).await.0.outcome, CallOutcome::Unspeakable);
}

const RINGING: &[(&str, &str)] = &[("STATUS", "180 Ringing")];

fn secret(password: &str) -> Credentials {
    Credentials { user: "countersign".to_owned(), password: password.to_owned() }
}
