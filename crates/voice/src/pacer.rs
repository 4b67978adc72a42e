//! Sends every call's packet each 20 ms from one thread, and takes what comes back.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::g711::Codec;
use crate::playout::{Finish, Playout, TICK};
use crate::rtp::Key;
use crate::script::Script;
use crate::sdp::RemoteMedia;
use stream::Stream;

mod source;
mod stream;

/// Where calls' audio is sent from, and how many there may be.
#[derive(Debug, Clone)]
pub struct PacerConfig {
    /// The address that sockets are bound to.
    pub address: IpAddr,
    /// The ports that calls use; only the even ones are taken (RFC 3550 section 11).
    pub ports: RangeInclusive<u16>,
    /// How many calls there may be at once.
    pub streams_max: usize,
    /// Whether packets go to where audio comes from, if it is not where the description says.
    ///
    /// Phones behind an address translation need it.
    pub symmetric: bool,
}

/// The thread that keeps the time of all calls of a trunk.
///
/// It ends, and with it every call's audio, when this is dropped.
#[derive(Debug)]
pub struct Pacer {
    shared: Arc<Shared>,
    config: PacerConfig,
    next_port: Mutex<u16>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// A port of our own, bound for one call; the call's audio ends when it is dropped.
#[derive(Debug)]
pub struct Line {
    /// The port that the other side is told.
    pub port: u16,
    controls: Arc<Controls>,
    commands: Sender<Command>,
    shared: Arc<Shared>,
    socket: Option<UdpSocket>,
    symmetric: bool,
    report: Option<oneshot::Receiver<MediaReport>>,
}

/// What the media of a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MediaReport {
    /// How the script ended; nothing if it was cut short or never began.
    pub finish: Option<Finish>,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets received.
    pub packets_received: u64,
    /// Keys pressed.
    pub keys: u32,
    /// How often the items of the script were played to their end.
    pub plays: u32,
    /// Ticks that began [`LATE`] or later while this call was on.
    pub late_ticks: u64,
}

/// Counts of the pacer's whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacerFigures {
    /// Ticks in which there was a call.
    pub ticks: u64,
    /// Of these, the ones that began [`LATE`] or later.
    pub late_ticks: u64,
    /// The longest delay of a tick.
    pub delay_max: Duration,
    /// Calls that have a port now.
    pub lines: usize,
}

/// Why there is no port for a call.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// As many calls as allowed are on.
    #[error("take another call; all streams are in use")]
    Full,
    /// Every port of the range is taken.
    #[error("bind a port for audio; all of the range are in use")]
    NoPort,
    /// The system refuses sockets.
    #[error("bind a port for audio")]
    Bind(#[from] io::Error),
}

/// Numbers that RTP wants drawn at random (RFC 3550 section 5.1).
#[derive(Debug, Clone, Copy)]
pub struct StreamSeed {
    /// The synchronisation source.
    pub ssrc: u32,
    /// The first timestamp.
    pub timestamp: u32,
    /// The first sequence number.
    pub sequence: u16,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<usize>,
    ticks: AtomicU64,
    late_ticks: AtomicU64,
    delay_max_us: AtomicU64,
}

/// What the call's task can change about a stream that plays.
#[derive(Debug, Default)]
struct Controls {
    stopped: AtomicBool,
    held: AtomicBool,
}

enum Command {
    Open(Box<Stream>),
    Change { controls: Arc<Controls>, change: Change },
    Close,
}

enum Change {
    Aim { remote: SocketAddr, codec: Codec, event_payload_type: Option<u8> },
    Play(Box<Playout>),
    Press(Key),
}

impl Pacer {
    /// Starts the thread.
    pub fn start(config: PacerConfig) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let first = *config.ports.start();
        let (commands, received) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("rtp-pacer".to_owned())
            .spawn(move || run(&of_thread, &received))?;
        let next_port = Mutex::new(first);
        Ok(Self { shared, config, next_port, thread: Some(thread), commands })
    }

    /// Binds a port for a call.
    pub fn open_line(&self) -> Result<Line, LineError> {
        {
            let mut lines = lock(&self.shared.lines);
            if *lines >= self.config.streams_max {
                return Err(LineError::Full);
            }
            *lines += 1;
        }
        // From here on the line's drop gives the place back.
        let mut line = Line {
            port: 0,
            controls: Arc::default(),
            commands: self.commands.clone(),
            shared: Arc::clone(&self.shared),
            socket: None,
            symmetric: self.config.symmetric,
            report: None,
        };
        let (port, socket) = self.bind()?;
        socket.set_nonblocking(true)?;
        line.port = port;
        line.socket = Some(socket);
        Ok(line)
    }

    /// Returns the counts so far.
    pub fn figures(&self) -> PacerFigures {
        PacerFigures {
            ticks: self.shared.ticks.load(Ordering::Relaxed),
            late_ticks: self.shared.late_ticks.load(Ordering::Relaxed),
            delay_max: Duration::from_micros(self.shared.delay_max_us.load(Ordering::Relaxed)),
            lines: *lock(&self.shared.lines),
        }
    }

    /// Tries the even ports of the range in turn, so that one just freed is not reused at once.
    fn bind(&self) -> Result<(u16, UdpSocket), LineError> {
        let (first, last) = (*self.config.ports.start(), *self.config.ports.end());
        let first = first.saturating_add(first % 2);
        let tries = last.saturating_sub(first) / 2 + 1;
        let mut next = lock(&self.next_port);
        for _ in 0..tries {
            let port = if (first..=last).contains(&*next) { *next & !1 } else { first };
            *next = port.checked_add(2).unwrap_or(first);
            match UdpSocket::bind((self.config.address, port)) {
                Ok(socket) => return Ok((port, socket)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(LineError::Bind(error)),
            }
        }
        Err(LineError::NoPort)
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        let _: Result<(), _> = self.commands.send(Command::Close);
        if let Some(thread) = self.thread.take() {
            let _: thread::Result<()> = thread.join();
        }
    }
}

impl Line {
    /// Begins to send comfort silence to the other side, and to take what it sends.
    pub fn open(&mut self, remote: &RemoteMedia, codec: Codec, seed: StreamSeed) {
        let Some(socket) = self.socket.take() else {
            self.aim(remote, codec);
            return;
        };
        let (done, report) = oneshot::channel();
        self.report = Some(report);
        let controls = Arc::clone(&self.controls);
        let stream = Stream::new(controls, socket, remote, codec, seed, self.symmetric, done);
        self.hold(!remote.direction.receives());
        self.send(Command::Open(Box::new(stream)));
    }

    /// Follows the other side to a new address or codec.
    pub fn aim(&self, remote: &RemoteMedia, codec: Codec) {
        self.hold(!remote.direction.receives());
        self.change(Change::Aim {
            remote: remote.address,
            codec,
            event_payload_type: remote.event_payload_type,
        });
    }

    /// Plays a script in place of the silence.
    pub fn play(&self, script: Script) {
        self.change(Change::Play(Box::new(Playout::new(script))));
    }

    /// Takes a key that came another way than in a packet.
    pub fn press(&self, key: Key) {
        self.change(Change::Press(key));
    }

    /// Stops sending while the other side does not listen; the script waits.
    pub fn hold(&self, held: bool) {
        self.controls.held.store(held, Ordering::Relaxed);
    }

    /// Ends the audio; no packet is sent after this but one that is on its way.
    pub fn stop(&self) {
        self.controls.stopped.store(true, Ordering::Relaxed);
    }

    /// Returns when the script is over or was stopped; never if the line was not opened.
    ///
    /// It may be dropped and called again.
    pub async fn finished(&mut self) -> MediaReport {
        match &mut self.report {
            Some(report) => {
                let report_in = report.await.unwrap_or_default();
                self.report = None;
                report_in
            }
            None => std::future::pending().await,
        }
    }

    /// Returns whether the audio was opened and its report was not taken yet.
    pub fn is_open(&self) -> bool {
        self.report.is_some()
    }

    fn change(&self, change: Change) {
        self.send(Command::Change { controls: Arc::clone(&self.controls), change });
    }

    fn send(&self, command: Command) {
        // The thread is gone only if the pacer is, and then the report says so.
        let _: Result<(), _> = self.commands.send(command);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop();
        *lock(&self.shared.lines) -= 1;
    }
}

/// The thread: every 20 ms each stream has its turn.
fn run(shared: &Shared, commands: &Receiver<Command>) {
    let mut streams: Vec<Stream> = Vec::new();
    let mut due = now();
    loop {
        if streams.is_empty() {
            let Ok(command) = commands.recv() else { return };
            if !handle(command, &mut streams) {
                return;
            }
            due = now();
        }
        while let Ok(command) = commands.try_recv() {
            if !handle(command, &mut streams) {
                return;
            }
        }
        if streams.is_empty() {
            continue;
        }
        let late = wait_until(&mut due, shared);
        streams.retain_mut(|stream| stream.tick(late));
        due += TICK;
    }
}

/// Sleeps until a tick is due and returns whether it begins late.
///
/// The next tick is counted from when this one was due and not from when it began, so a delay is
/// caught up and never adds up to a drift.
fn wait_until(due: &mut Instant, shared: &Shared) -> bool {
    let wait = due.saturating_duration_since(now());
    if !wait.is_zero() {
        sleep(wait);
    }
    let delay = now().saturating_duration_since(*due);
    if delay > CATCH_UP_MAX {
        *due += delay;
    }
    let late = delay >= LATE;
    shared.ticks.fetch_add(1, Ordering::Relaxed);
    shared.late_ticks.fetch_add(u64::from(late), Ordering::Relaxed);
    let delay = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    shared.delay_max_us.fetch_max(delay, Ordering::Relaxed);
    late
}

/// Returns whether the thread goes on.
fn handle(command: Command, streams: &mut Vec<Stream>) -> bool {
    match command {
        Command::Open(stream) => streams.push(*stream),
        Command::Change { controls, change } => {
            if let Some(stream) = streams.iter_mut().find(|stream| stream.is(&controls)) {
                stream.handle_change(change);
            }
        }
        Command::Close => return false,
    }
    true
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "packets leave by the system's monotonic clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this thread has nothing to do between its ticks")]
fn sleep(time: Duration) {
    thread::sleep(time);
}

/// A quarter of a packet: what a phone's jitter buffer takes without a sound.
pub const LATE: Duration = Duration::from_millis(5);

/// Half a second of packets at once is still taken by phones; after a longer stop of the machine
/// the time is given up as lost.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
