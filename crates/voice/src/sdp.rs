//! Session descriptions (RFC 4566): our offer, and what the other side says about its audio.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::g711::Codec;

/// Our end of a call's audio, as it is offered and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where we want to receive; as the other side sees it.
    pub address: SocketAddr,
    /// The session id of the origin line, the same for the whole call.
    pub session: u32,
    /// The version of the origin line; each new description adds one (RFC 3264 section 8).
    pub version: u32,
}

/// Which way audio flows, from the point of view of whoever says it (RFC 3264 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendReceive,
    /// The speaker only sends.
    SendOnly,
    /// The speaker only receives.
    ReceiveOnly,
    /// Neither way.
    Inactive,
}

/// The audio of the other side, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteMedia {
    /// Where it wants to receive.
    pub address: SocketAddr,
    /// The first of its codecs that we speak.
    pub codec: Codec,
    /// All of its codecs that we speak, in its order.
    pub codecs: Vec<Codec>,
    /// The payload type of its telephone events, if it knows them.
    pub event_payload_type: Option<u8>,
    /// Which way audio flows, from its point of view.
    pub direction: Direction,
    /// The media in front of the audio we chose, and behind it, which an answer has to refuse.
    refused_before: Vec<String>,
    refused_after: Vec<String>,
}

/// Why a session description is of no use to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// There is no plain RTP audio, or its port is zero.
    #[error("find audio that is wanted in the session description")]
    NoAudio,
    /// Neither µ-law nor A-law is among the codecs.
    #[error("find a codec of ours in the session description")]
    NoCodec,
    /// There is no connection line, or it does not hold an IP address.
    #[error("find the address of the audio in the session description")]
    NoAddress,
}

impl LocalMedia {
    /// Renders the offer of a new call: both codecs, telephone events, 20 ms packets.
    pub fn render_offer(&self) -> String {
        let mut text = self.render_session();
        self.render_audio(&mut text, &[Codec::Pcmu, Codec::Pcma], Some(EVENT_PAYLOAD_TYPE));
        line(&mut text, Direction::SendReceive.attribute());
        text
    }

    /// Renders the answer to an offer that changes a call: `codec` alone, the direction mirrored,
    /// every other media refused (RFC 3264 section 6).
    pub fn render_answer(&self, offer: &RemoteMedia, codec: Codec) -> String {
        let mut text = self.render_session();
        for refused in &offer.refused_before {
            line(&mut text, refused);
        }
        self.render_audio(&mut text, &[codec], offer.event_payload_type);
        line(&mut text, offer.direction.mirrored().attribute());
        for refused in &offer.refused_after {
            line(&mut text, refused);
        }
        text
    }

    fn render_session(&self) -> String {
        let address = render_address(self.address.ip());
        let mut text = String::with_capacity(DESCRIPTION_BYTES);
        line(&mut text, "v=0");
        line(&mut text, &format!("o=- {} {} {address}", self.session, self.version));
        line(&mut text, "s=-");
        line(&mut text, &format!("c={address}"));
        line(&mut text, "t=0 0");
        text
    }

    fn render_audio(&self, text: &mut String, codecs: &[Codec], event: Option<u8>) {
        let _ = write!(text, "m=audio {} RTP/AVP", self.address.port());
        for codec in codecs {
            let _ = write!(text, " {}", codec.payload_type());
        }
        if let Some(event) = event {
            let _ = write!(text, " {event}");
        }
        line(text, "");
        for codec in codecs {
            line(text, &format!("a=rtpmap:{} {}/8000", codec.payload_type(), codec.name()));
        }
        if let Some(event) = event {
            line(text, &format!("a=rtpmap:{event} telephone-event/8000"));
            line(text, &format!("a=fmtp:{event} 0-15"));
        }
        line(text, "a=ptime:20");
    }
}

impl Direction {
    /// Returns whether whoever says this wants to hear us.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::ReceiveOnly)
    }

    /// Returns the same from the other side's point of view.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::SendOnly => Self::ReceiveOnly,
            Self::ReceiveOnly => Self::SendOnly,
            Self::SendReceive | Self::Inactive => self,
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Self::SendReceive => "a=sendrecv",
            Self::SendOnly => "a=sendonly",
            Self::ReceiveOnly => "a=recvonly",
            Self::Inactive => "a=inactive",
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        [Self::SendReceive, Self::SendOnly, Self::ReceiveOnly, Self::Inactive]
            .into_iter()
            .find(|direction| line.eq_ignore_ascii_case(direction.attribute()))
    }
}

impl RemoteMedia {
    /// Parses a description and takes its first plain RTP audio.
    ///
    /// Lines in a wrong order, unknown lines and missing attributes are put up with: what a static
    /// payload type means needs no `rtpmap`, and a missing direction is both ways.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let text = String::from_utf8_lossy(body);
        let mut sections = vec![Section::default()];
        for line in text.lines().map(str::trim).take(LINES_MAX) {
            if let Some(media) = line.strip_prefix("m=") {
                sections.push(Section::parse(media));
            } else if let Some(section) = sections.last_mut() {
                section.handle_line(line);
            }
        }
        let session = sections.remove(0);
        let chosen = sections.iter().position(Section::is_wanted).ok_or(SdpError::NoAudio)?;
        let refuse = |sections: &[Section]| sections.iter().map(Section::refusal).collect();
        let (before, rest) = sections.split_at(chosen);
        let (audio, after) = rest.split_first().ok_or(SdpError::NoAudio)?;

        let codec = *audio.codecs.first().ok_or(SdpError::NoCodec)?;
        let ip = audio.address.or(session.address).ok_or(SdpError::NoAddress)?;
        let said = audio.direction.or(session.direction).unwrap_or(Direction::SendReceive);
        // RFC 3264 section 8.4: an older way to say hold.
        let direction = if ip.is_unspecified() { Direction::Inactive } else { said };
        Ok(Self {
            address: SocketAddr::new(ip, audio.port),
            codec,
            codecs: audio.codecs.clone(),
            event_payload_type: audio.event_payload_type,
            direction,
            refused_before: refuse(before),
            refused_after: refuse(after),
        })
    }
}

/// What one part of a description says: the session's head, or one media.
#[derive(Debug, Default)]
struct Section {
    kind: String,
    port: u16,
    protocol: String,
    formats: String,
    codecs: Vec<Codec>,
    address: Option<IpAddr>,
    event_payload_type: Option<u8>,
    direction: Option<Direction>,
}

impl Section {
    fn parse(media: &str) -> Self {
        let mut words = media.split_whitespace();
        let kind = words.next().unwrap_or_default().to_owned();
        let port = words.next().unwrap_or_default();
        let port = port.split('/').next().and_then(|port| port.parse().ok()).unwrap_or(0);
        let protocol = words.next().unwrap_or_default().to_owned();
        let formats: Vec<_> = words.collect();
        let types = formats.iter().filter_map(|format| format.parse().ok());
        let mut codecs: Vec<Codec> = Vec::new();
        for codec in types.filter_map(Codec::from_payload_type) {
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        Self { kind, port, protocol, codecs, formats: formats.join(" "), ..Self::default() }
    }

    fn handle_line(&mut self, line: &str) {
        if let Some(connection) = line.strip_prefix("c=") {
            self.address = parse_address(connection).or(self.address);
        } else if let Some(map) = line.strip_prefix("a=rtpmap:") {
            if let Some((payload_type, name)) = map.split_once(' ')
                && name.trim().to_ascii_lowercase().starts_with(EVENT_ENCODING)
            {
                self.event_payload_type = payload_type.parse().ok().filter(|value| *value < 128);
            }
        } else if let Some(direction) = Direction::from_line(line) {
            self.direction = Some(direction);
        }
    }

    fn is_wanted(&self) -> bool {
        self.kind == "audio" && self.port != 0 && PROTOCOLS.contains(&self.protocol.as_str())
    }

    fn refusal(&self) -> String {
        format!("m={} 0 {} {}", self.kind, self.protocol, self.formats)
    }
}

fn parse_address(connection: &str) -> Option<IpAddr> {
    let address = connection.split_whitespace().nth(2)?;
    address.split('/').next()?.parse().ok()
}

fn render_address(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("IN IP4 {ip}"),
        IpAddr::V6(ip) => format!("IN IP6 {ip}"),
    }
}

fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push_str("\r\n");
}

/// The payload type we offer for telephone events; any dynamic one would do, most use this.
pub const EVENT_PAYLOAD_TYPE: u8 = 101;

/// What an `rtpmap` of telephone events at our rate begins with.
const EVENT_ENCODING: &str = "telephone-event/8000";

/// RTP without encryption; feedback is allowed and not used.
const PROTOCOLS: [&str; 2] = ["RTP/AVP", "RTP/AVPF"];

/// A description of a call has some twenty lines; what comes after this many is not read.
const LINES_MAX: usize = 500;

/// Our descriptions are a little shorter than this.
const DESCRIPTION_BYTES: usize = 320;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn local() -> LocalMedia {
        LocalMedia { address: "192.0.2.1:20000".parse().unwrap(), session: 77, version: 1 }
    }

    fn parse(lines: &str) -> Result<RemoteMedia, SdpError> {
        RemoteMedia::parse(lines.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn our_offer_names_both_codecs_and_the_events() {
        let offer = local().render_offer();
        let expected = "v=0\r\no=- 77 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
            m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
        assert_eq!(offer, expected);
        let read = RemoteMedia::parse(offer.as_bytes()).unwrap();
        assert_eq!(read.address, local().address);
        assert_eq!(read.codecs, [Codec::Pcmu, Codec::Pcma]);
        assert_eq!(read.event_payload_type, Some(101));
    }

    #[test]
    fn the_medias_own_address_wins_over_the_sessions() {
        let answer = "v=0\nc=IN IP4 192.0.2.9\nm=audio 4000/2 RTP/AVP 18 8 0 96\n\
                      c=IN IP6 2001:db8::1/127\na=rtpmap:96 Telephone-Event/8000";
        let media = parse(answer).unwrap();
        assert_eq!(media.address, "[2001:db8::1]:4000".parse().unwrap());
        assert_eq!(media.codec, Codec::Pcma);
        assert_eq!(media.event_payload_type, Some(96));
        assert_eq!(media.direction, Direction::SendReceive);
    }

    #[test]
    fn what_cannot_be_spoken_with_is_told_apart() {
        let head = "v=0\nc=IN IP4 192.0.2.9\n";
        let with = |rest: &str| parse(&format!("{head}{rest}"));
        assert_eq!(with("m=audio 4000 RTP/AVP 18 101"), Err(SdpError::NoCodec));
        assert_eq!(with("m=audio 0 RTP/AVP 0"), Err(SdpError::NoAudio));
        assert_eq!(with("m=audio 4000 RTP/SAVP 0"), Err(SdpError::NoAudio));
        assert_eq!(with("m=video 4000 RTP/AVP 0"), Err(SdpError::NoAudio));
        assert_eq!(parse("v=0\nm=audio 4000 RTP/AVP 0"), Err(SdpError::NoAddress));
        assert_eq!(parse("c=IN IP4 host.test\nm=audio 1 RTP/AVP 0"), Err(SdpError::NoAddress));
        assert_eq!(RemoteMedia::parse(b""), Err(SdpError::NoAudio));
    }

    #[test]
    fn hold_is_understood_in_each_of_its_ways() {
        let audio = "c=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 0\n";
        assert_eq!(parse(&format!("{audio}a=sendonly")).unwrap().direction, Direction::SendOnly);
        assert_eq!(parse(&format!("a=inactive\n{audio}")).unwrap().direction, Direction::Inactive);
        let old = "c=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0";
        assert_eq!(parse(old).unwrap().direction, Direction::Inactive);
    }

    #[test]
    fn an_answer_mirrors_the_direction_and_refuses_what_is_not_ours() {
        let offer = "c=IN IP4 192.0.2.9\nm=image 9 udptl t38\nm=audio 4000 RTP/AVP 8 0 96\n\
                     a=rtpmap:96 telephone-event/8000\na=sendonly\nm=video 5000 RTP/AVP 31 34";
        let offer = parse(offer).unwrap();
        let answer = LocalMedia { version: 2, ..local() }.render_answer(&offer, Codec::Pcmu);
        let lines: Vec<_> = answer.lines().skip(5).collect();
        let expected = [
            "m=image 0 udptl t38",
            "m=audio 20000 RTP/AVP 0 96",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:96 telephone-event/8000",
            "a=fmtp:96 0-15",
            "a=ptime:20",
            "a=recvonly",
            "m=video 0 RTP/AVP 31 34",
        ];
        assert_eq!(lines, expected);
        assert!(answer.starts_with("v=0\r\no=- 77 2 IN IP4"), "the version has grown");
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _: Result<_, _> = RemoteMedia::parse(&body);
        }

        #[test]
        fn no_jumble_of_known_lines_makes_the_parser_panic(
            lines in prop::collection::vec(prop::sample::select(vec![
                "m=", "m=audio", "m=audio 1 RTP/AVP", "m=audio 99999 RTP/AVP 0", "m=audio 2 RTP/AVP 0 8",
                "c=", "c=IN IP4", "c=IN IP4 1.2.3.4/", "a=rtpmap:", "a=rtpmap:300 telephone-event/8000",
                "a=rtpmap:101 telephone-event/8000", "a=sendonly", "v=0", "", "m=video 0 x",
            ]), 0..12),
        ) {
            if let Ok(media) = parse(&lines.join("\n")) {
                let answer = local().render_answer(&media, media.codec);
                prop_assert!(RemoteMedia::parse(answer.as_bytes()).is_ok());
            }
        }
    }
}
