//! The audio of one call, as the pacer's thread turns it over.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::source::Source;
use super::{Change, Controls, MediaReport, StreamSeed};
use crate::g711::Codec;
use crate::playout::{Finish, Next, PACKET_SAMPLES, Playout};
use crate::rtp::{HEADER_BYTES, Header, Key, KeyPresses, Packet};
use crate::sdp::RemoteMedia;

/// One call's socket, counters and script.
pub(super) struct Stream {
    controls: Arc<Controls>,
    socket: UdpSocket,
    source: Source,
    codec: Codec,
    event_payload_type: Option<u8>,
    header: Header,
    playout: Option<Box<Playout>>,
    presses: KeyPresses,
    report: MediaReport,
    done: Option<oneshot::Sender<MediaReport>>,
}

impl Stream {
    pub(super) fn new(
        controls: Arc<Controls>,
        socket: UdpSocket,
        remote: &RemoteMedia,
        codec: Codec,
        seed: StreamSeed,
        symmetric: bool,
        done: oneshot::Sender<MediaReport>,
    ) -> Self {
        let header = Header {
            marker: true,
            payload_type: codec.payload_type(),
            sequence: seed.sequence,
            timestamp: seed.timestamp,
            ssrc: seed.ssrc,
        };
        Self {
            controls,
            socket,
            source: Source::new(remote.address, symmetric),
            codec,
            event_payload_type: remote.event_payload_type,
            header,
            playout: None,
            presses: KeyPresses::default(),
            report: MediaReport::default(),
            done: Some(done),
        }
    }

    pub(super) fn is(&self, controls: &Arc<Controls>) -> bool {
        Arc::ptr_eq(&self.controls, controls)
    }

    pub(super) fn handle_change(&mut self, change: Change) {
        match change {
            Change::Aim { remote, codec, event_payload_type } => {
                self.source.aim(remote);
                self.codec = codec;
                self.header.payload_type = codec.payload_type();
                self.event_payload_type = event_payload_type;
            }
            Change::Play(playout) => self.playout = Some(playout),
            Change::Press(key) => self.handle_key(key),
        }
    }

    /// Takes what came and sends one packet; returns whether there will be more.
    pub(super) fn tick(&mut self, late: bool) -> bool {
        self.report.late_ticks += u64::from(late);
        // What could not be read yet may be the other end's: that is no silence.
        if self.receive() {
            self.source.tick();
        }
        if self.controls.stopped.load(Ordering::Relaxed) {
            return self.end(None);
        }
        if self.controls.held.load(Ordering::Relaxed) {
            // Time goes on, and the packet that ends the silence says so.
            self.step();
            self.header.marker = true;
            return true;
        }
        let mut packet = [self.codec.silence(); HEADER_BYTES + PACKET_SAMPLES];
        let (head, payload) = packet.split_at_mut(HEADER_BYTES);
        if let Some(playout) = &mut self.playout
            && let Ok(payload) = payload.try_into()
            && let Next::Over(finish) = playout.poll_packet(self.codec, payload)
        {
            return self.end(Some(finish));
        }
        head.copy_from_slice(&self.header.render());
        let sent = self.socket.send_to(&packet, self.source.address()).is_ok();
        self.report.packets_sent += u64::from(sent);
        self.header.marker = false;
        self.step();
        true
    }

    fn step(&mut self) {
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(PACKET_TIME);
    }

    /// Returns whether there is nothing left to read.
    fn receive(&mut self) -> bool {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        for _ in 0..DATAGRAMS_PER_TICK_MAX {
            let Ok((length, from)) = self.socket.recv_from(&mut datagram) else { return true };
            let Some(packet) = datagram.get(..length).and_then(Packet::parse) else { continue };
            let payload_type = packet.header.payload_type;
            let fits = payload_type == self.codec.payload_type()
                || Some(payload_type) == self.event_payload_type;
            if !self.source.takes(from, packet.header, fits) {
                continue;
            }
            self.report.packets_received += 1;
            if Some(payload_type) == self.event_payload_type
                && let Some(key) =
                    self.presses.handle_event(packet.header.timestamp, packet.payload)
            {
                self.handle_key(key);
            }
        }
        false
    }

    fn handle_key(&mut self, key: Key) {
        self.report.keys += 1;
        if let Some(playout) = &mut self.playout {
            playout.handle_key(key);
        }
    }

    fn end(&mut self, finish: Option<Finish>) -> bool {
        let plays = self.playout.as_ref().map_or(0, |playout| playout.bodies_played());
        let report = MediaReport { finish, plays, ..self.report };
        if let Some(done) = self.done.take() {
            // The call's task may be gone; then nobody wants to know.
            let _: Result<(), MediaReport> = done.send(report);
        }
        false
    }
}

/// Samples in a packet.
const PACKET_TIME: u32 = 160;

/// A packet of ours has 172 octets; others send up to 60 ms, or extensions.
const DATAGRAM_BYTES_MAX: usize = 1_500;

/// A phone sends one packet a tick; what comes in excess waits in the socket, and is dropped there.
const DATAGRAMS_PER_TICK_MAX: usize = 16;
