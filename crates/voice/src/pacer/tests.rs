//! Two ends of one line over real sockets.

use std::net::Ipv4Addr;

use super::*;
use crate::rtp::{Header, Packet};
use crate::script::{Clip, Item};
use crate::sdp::LocalMedia;

const SEED: StreamSeed = StreamSeed { ssrc: 9, timestamp: u32::MAX - 100, sequence: u16::MAX };

fn pacer(ports: RangeInclusive<u16>, streams_max: usize) -> Pacer {
    let address = Ipv4Addr::LOCALHOST.into();
    Pacer::start(PacerConfig { address, ports, streams_max, symmetric: true }).unwrap()
}

/// A phone's socket, and the description that leads to it.
fn phone() -> (UdpSocket, RemoteMedia) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let media = LocalMedia { address: socket.local_addr().unwrap(), session: 1, version: 1 };
    (socket, RemoteMedia::parse(media.render_offer().as_bytes()).unwrap())
}

fn hear(socket: &UdpSocket) -> (Header, Vec<u8>) {
    let mut datagram = [0; 1_500];
    let (length, _) = socket.recv_from(&mut datagram).unwrap();
    let packet = Packet::parse(&datagram[..length]).unwrap();
    (packet.header, packet.payload.to_vec())
}

fn clip(letter: u8, packets: usize) -> Item {
    let octets: Vec<u8> = vec![letter; packets * 160];
    Item::Clip(Clip { ulaw: octets.clone().into(), alaw: octets.into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_comes_first_then_the_script_in_unbroken_order() {
    let pacer = pacer(23_000..=23_099, 1);
    let (socket, media) = phone();
    let mut line = pacer.open_line().unwrap();
    line.open(&media, Codec::Pcmu, SEED);
    let (first, payload) = hear(&socket);
    assert!(first.marker);
    assert_eq!((first.ssrc, first.sequence, first.timestamp), (9, u16::MAX, u32::MAX - 100));
    assert_eq!(payload, [0xFF; 160]);

    line.play(Script::once(vec![clip(b'a', 3), clip(b'b', 2)]));
    let report = line.finished().await;
    let mut last = first;
    let mut heard = String::new();
    for _ in 1..report.packets_sent {
        let (header, payload) = hear(&socket);
        assert_eq!(header.sequence, last.sequence.wrapping_add(1));
        assert_eq!(header.timestamp, last.timestamp.wrapping_add(160));
        assert!(!header.marker);
        last = header;
        heard.push(char::from(payload[0]));
    }
    assert!(heard.trim_start_matches('\u{ff}') == "aaabb", "{heard}");
    assert_eq!((report.finish, report.plays), (Some(Finish::Played), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_follow_the_first_sender_and_nobody_after_him() {
    let pacer = pacer(23_100..=23_199, 1);
    let (told, media) = phone();
    let mut line = pacer.open_line().unwrap();
    line.open(&media, Codec::Pcmu, SEED);
    hear(&told);
    let key = |socket: &UdpSocket, sequence: u16, timestamp: u32, event: u8| {
        let header = Header { marker: true, payload_type: 101, sequence, timestamp, ssrc: 5 };
        let mut datagram = header.render().to_vec();
        datagram.extend([event, 10, 0, 160]);
        socket.send_to(&datagram, (Ipv4Addr::LOCALHOST, line.port)).unwrap();
    };
    let (behind_nat, _) = phone();
    key(&behind_nat, 1, 100, 1);
    key(&behind_nat, 2, 100, 1);
    hear(&behind_nat);
    let (stranger, _) = phone();
    key(&stranger, 1, 200, 1);
    key(&stranger, 2, 200, 1);
    key(&behind_nat, 3, 100, 1);
    hear(&behind_nat);
    hear(&behind_nat);
    line.stop();
    let report = line.finished().await;
    assert_eq!((report.keys, report.packets_received), (1, 2), "the stranger was not heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_line_is_quiet_and_goes_on_where_it_was() {
    let pacer = pacer(23_200..=23_299, 1);
    let (socket, media) = phone();
    let mut line = pacer.open_line().unwrap();
    line.hold(true);
    line.open(&media, Codec::Pcma, SEED);
    line.hold(true);
    line.play(Script::once(vec![clip(b'a', 2)]));
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut datagram = [0; 1_500];
    while socket.recv_from(&mut datagram).is_ok() {}
    line.hold(false);
    let (header, payload) = hear(&socket);
    assert!(header.marker, "the packet after a silence is marked");
    assert!(payload[0] == b'a' || payload[0] == 0xD5);
    let report = line.finished().await;
    assert_eq!(report.finish, Some(Finish::Played));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_a_dropped_line_gives_its_place_back() {
    let pacer = pacer(23_300..=23_399, 2);
    let first = pacer.open_line().unwrap();
    let second = pacer.open_line().unwrap();
    assert!(matches!(pacer.open_line(), Err(LineError::Full)));
    assert_eq!((first.port % 2, second.port % 2), (0, 0));
    drop(first);
    assert!(pacer.open_line().is_ok());
    assert_eq!(pacer.figures().lines, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_used_up_is_told_from_a_pacer_that_is_full() {
    let pacer = pacer(23_400..=23_403, 9);
    let lines = [pacer.open_line().unwrap(), pacer.open_line().unwrap()];
    assert!(matches!(pacer.open_line(), Err(LineError::NoPort)));
    drop(lines);
    assert!(pacer.open_line().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacer_that_goes_away_ends_the_audio_of_its_lines() {
    let pacer = pacer(23_500..=23_599, 1);
    let (_socket, media) = phone();
    let mut line = pacer.open_line().unwrap();
    line.open(&media, Codec::Pcmu, SEED);
    drop(pacer);
    let report = tokio::time::timeout(Duration::from_secs(2), line.finished()).await.unwrap();
    assert_eq!(report.finish, None);
}

#[test]
fn a_delay_is_caught_up_and_a_long_stop_is_given_up() {
    let shared = Shared::default();
    let began = now();
    let mut due = began;
    sleep(Duration::from_millis(30));
    assert!(wait_until(&mut due, &shared), "30 ms late is late");
    assert_eq!(due, began, "the next tick is due 20 ms after this one was, so at once");
    let mut due = now().checked_sub(CATCH_UP_MAX * 2).unwrap();
    wait_until(&mut due, &shared);
    assert!(now().saturating_duration_since(due) < CATCH_UP_MAX, "two seconds are not replayed");
    assert_eq!(shared.late_ticks.load(Ordering::Relaxed), 2);
}
