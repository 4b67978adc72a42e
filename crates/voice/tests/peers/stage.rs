//! Starts peers on ports of their own, and places calls to them.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use voice::call::{CallEvent, CallRequest};
use voice::g711::Codec;
use voice::outcome::CallRecord;
use voice::script::{Clip, Item, Script};
use voice::trunk::{Trunk, TrunkConfig};

/// A program of somebody else's; it is ended when this is dropped.
pub(crate) struct Peer {
    child: Child,
    output: PathBuf,
    pub(crate) folder: TempDir,
}

impl Peer {
    /// Starts a program in a folder of its own.
    pub(crate) fn start(program: &str, package: &str, folder: TempDir, arguments: &[&str]) -> Self {
        let output = folder.path().join("output");
        let log = fs::File::create(&output).unwrap();
        let child = Command::new(find(program, package))
            .args(arguments)
            .current_dir(folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, output, folder }
    }

    /// Waits until the program listens on a port, for UDP or TCP.
    pub(crate) fn wait_for_port(&mut self, port: u16) {
        let listening = format!(":{port:04X} 00000000:0000");
        self.wait_until("listen", || {
            ["/proc/net/udp", "/proc/net/tcp"]
                .iter()
                .any(|table| fs::read_to_string(table).unwrap().contains(&listening))
        });
    }

    /// Waits until something holds, or fails with what the program has said.
    pub(crate) fn wait_until(&mut self, what: &str, holds: impl Fn() -> bool) {
        let started = now();
        while !holds() {
            let over = self.child.try_wait().unwrap();
            let patient = started.elapsed() < Duration::from_secs(20) && over.is_none();
            assert!(patient, "the peer does not {what} ({over:?}):\n{}", self.output());
            pause(Duration::from_millis(20));
        }
    }

    /// Waits until the program has ended by itself, and fails if it was not content.
    pub(crate) fn ends_content(mut self) {
        let started = now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "the peer saw something else:\n{}", self.output());
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(40), "{}", self.output());
            pause(Duration::from_millis(20));
        }
    }

    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A program with children of its own ends them if it is asked politely and has the time;
        // whatever of its group is left after that is ended here.
        let id = self.child.id();
        if matches!(self.child.try_wait(), Ok(None)) {
            signal("-TERM", &id.to_string());
        }
        let started = now();
        while matches!(self.child.try_wait(), Ok(None)) && started.elapsed() < PATIENCE {
            pause(Duration::from_millis(10));
        }
        signal("-KILL", &format!("-{id}"));
        let _: std::io::Result<_> = self.child.wait();
    }
}

/// Sends a signal to a process of ours, or to its group; it may be gone.
fn signal(signal: &str, to: &str) {
    let _: std::io::Result<_> = Command::new("kill").args([signal, "--", to]).output();
}

/// How long a peer may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Finds a program, or says which package has it.
fn find(program: &str, package: &str) -> PathBuf {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("{program} is not installed: run interop/setup.sh, or install {package}")
        })
}

/// Runs a tool to its end.
pub(crate) fn run(program: &str, package: &str, folder: &Path, arguments: &[&str]) {
    let output =
        Command::new(find(program, package)).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Copies a peer's file from `interop/peers`, with its places filled in.
pub(crate) fn fill(source: &str, target: &Path, places: &[(&str, &str)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/peers");
    let mut text = fs::read_to_string(folder.join(source)).unwrap();
    for (place, value) in places {
        text = text.replace(&format!("@{place}@"), value);
    }
    let empty = ["@DIR@", "PORT@", "@STATUS@", "@CHALLENGE@", "@PASSWORD@", "@RTP_"];
    assert!(!empty.iter().any(|place| text.contains(place)), "a place of {source} is empty");
    fs::write(target, text).unwrap();
}

/// Returns an even port that was free a moment ago, for UDP and TCP, with the three after it: a phone
/// takes the next one for TLS, audio and video take one more each.
///
/// They are below the ports that systems hand out themselves, so that no client of anybody's takes
/// one before the peer does; processes begin at different ones, as several may test at a time.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| {
        UdpSocket::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
    };
    loop {
        let turn = std::process::id().wrapping_mul(97) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(turn % 2_000).unwrap() * 4;
        if (port..port + 4).all(is_free) {
            return port;
        }
    }
}

/// Starts a phone with one account, given as baresip writes it; `@SIP_PORT@` is its port.
pub(crate) fn baresip(account: &str) -> (Peer, u16) {
    let folder = tempfile::tempdir().unwrap();
    let (port, rtp) = (free_port(), free_port());
    let (port_text, directory) = (port.to_string(), folder.path().to_str().unwrap().to_owned());
    let (rtp_first, rtp_last) = (rtp.to_string(), rtp.saturating_add(40).to_string());
    let places = [
        ("SIP_PORT", port_text.as_str()),
        ("RTP_FIRST", &rtp_first),
        ("RTP_LAST", &rtp_last),
        ("DIR", &directory),
    ];
    fill("baresip/config", &folder.path().join("config"), &places);
    let account = account.replace("@SIP_PORT@", &port_text);
    fs::write(folder.path().join("accounts"), account + "\n").unwrap();
    fs::write(folder.path().join("contacts"), "").unwrap();
    fs::write(folder.path().join("current_contact"), "").unwrap();
    fs::create_dir(folder.path().join("recordings")).unwrap();
    let arguments = ["-f", &directory, "-p", "/usr/share/baresip"];
    let mut peer = Peer::start("baresip", "baresip-core", folder, &arguments);
    peer.wait_for_port(port);
    (peer, port)
}

/// Reads what the phone heard: 16-bit samples at 8000 a second.
pub(crate) fn recording(folder: &Path) -> Vec<i16> {
    let wav = fs::read_dir(folder.join("recordings"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().ends_with("-dec.wav"))
        .expect("the phone recorded nothing");
    let octets = fs::read(wav).unwrap();
    let data = octets.windows(4).position(|window| window == b"data").unwrap() + 8;
    octets[data..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Checks that what was heard is what was said, sample by sample, from wherever the phone began.
pub(crate) fn assert_heard(heard: &[i16], said: &[i16], codec: Codec) {
    let said: Vec<i16> = said.iter().map(|sample| codec.decode(codec.encode(*sample))).collect();
    // The first packets may be lost while the phone makes its buffer.
    let begun = 4_000;
    let probe = &said[begun..begun + 400];
    let is_same = |said: &i16, heard: &i16| said.abs_diff(*heard) <= ZERO_IN_BARESIP;
    let at = heard
        .windows(probe.len())
        .position(|window| probe.iter().zip(window).all(|(said, heard)| is_same(said, heard)));
    let at = at.unwrap_or_else(|| panic!("nothing said is in the {} samples", heard.len()));
    let same = said[begun..]
        .iter()
        .zip(&heard[at..])
        .take_while(|(said, heard)| is_same(said, heard))
        .count();
    let rest = said.len() - begun;
    // The last packets may be on their way when the BYE overtakes them.
    assert!(same + 480 >= rest, "only {same} of {rest} samples are the same");
}

/// Its table decodes the two zeros of µ-law as 2 and -2.
const ZERO_IN_BARESIP: u16 = 2;

/// Starts sipp with a scenario that takes one call.
pub(crate) fn sipp(scenario: &str, places: &[(&str, &str)]) -> (Peer, u16) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.xml");
    fill(&format!("sipp/{scenario}.xml"), &file, places);
    sipp_with(folder, &["-sf", file.to_str().unwrap(), "-m", "1"])
}

/// Starts sipp with its own scenario, which takes every call and echoes what it hears.
pub(crate) fn sipp_echo(more: &[&str]) -> (Peer, u16) {
    let arguments = [&["-sn", "uas", "-rtp_echo"], more].concat();
    sipp_with(tempfile::tempdir().unwrap(), &arguments)
}

pub(crate) fn sipp_with(folder: TempDir, scenario: &[&str]) -> (Peer, u16) {
    let port = free_port();
    let (sip, media) = (port.to_string(), free_port().to_string());
    let mut arguments = scenario.to_vec();
    arguments.extend(["-i", "127.0.0.1", "-p", &sip, "-mi", "127.0.0.1", "-mp", &media]);
    arguments.extend(["-nostdin", "-timeout", "30", "-timeout_error", "-trace_err"]);
    let mut peer = Peer::start("sipp", "sip-tester", folder, &arguments);
    peer.wait_for_port(port);
    (peer, port)
}

/// A trunk as the tests want it: quick to give up, and not asking on its own.
pub(crate) fn config(port: u16) -> TrunkConfig {
    TrunkConfig {
        domain: "trunk.test".to_owned(),
        rtp_ports: 21_000..=22_999,
        ping_every: None,
        calls_per_second_max: 1_000,
        answer_wait: Duration::from_secs(2),
        post_dial_wait: Duration::from_secs(4),
        ..TrunkConfig::new("test", "127.0.0.1", port)
    }
}

pub(crate) fn request(to: &str, script: Script) -> CallRequest {
    CallRequest {
        to: to.to_owned(),
        caller: "+15550100".to_owned(),
        script,
        ring_timeout: Duration::from_secs(8),
        call_id: None,
    }
}

/// Places a call and returns what became of it, and what happened on the way.
///
/// Fails if the number is in anything that was logged, or in how the request shows itself.
pub(crate) async fn call(trunk: &Trunk, request: CallRequest) -> (CallRecord, Vec<CallEvent>) {
    let number = request.to.clone();
    assert_eq!(format!("{request:?}"), "CallRequest(..)");
    log::listen();
    let (events, mut happened) = mpsc::unbounded_channel();
    let record = trunk.call(request, events, CancellationToken::new()).await;
    let mut seen = Vec::new();
    while let Ok(event) = happened.try_recv() {
        seen.push(event);
    }
    // A short extension is part of many a number that tells nothing.
    if number.len() > 6 {
        assert_eq!(log::lines_with(&number), [""; 0]);
        assert_eq!(log::lines_with("15550100"), [""; 0]);
        assert_eq!(log::lines_with("response=\""), [""; 0], "an answer to a challenge");
    }
    (record, seen)
}

/// Keeps what may be logged, by us and by the signalling, at every level.
mod log {
    use std::fmt::{Debug, Write as _};
    use std::sync::{Mutex, Once};

    use tracing::field::{Field, Visit};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};
    use voice::privacy::may_be_logged;

    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static LISTENING: Once = Once::new();

    struct Keep;

    struct Line(String);

    impl<S: Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            if may_be_logged(event.metadata()) {
                let mut line = Line(event.metadata().target().to_owned());
                event.record(&mut line);
                LINES.lock().unwrap().push(line.0);
            }
        }
    }

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }

    pub(super) fn listen() {
        LISTENING.call_once(|| {
            let subscriber = tracing_subscriber::registry().with(Keep);
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
    }

    pub(super) fn lines_with(text: &str) -> Vec<String> {
        let lines = LINES.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

/// Something to say that repeats nowhere, `seconds` long.
pub(crate) fn noise(seconds: usize) -> Vec<i16> {
    let mut state = 1_u32;
    let mut sample = 0_i32;
    (0..seconds * 8_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let step = i32::try_from(state >> 20).unwrap() - 2_048;
            sample = (sample * 7 / 8 + step).clamp(-20_000, 20_000);
            i16::try_from(sample).unwrap()
        })
        .collect()
}

/// A script of noise.
pub(crate) fn speech(seconds: usize) -> Script {
    Script::once(vec![Item::Clip(Clip::from_linear(&noise(seconds)))])
}

#[expect(clippy::disallowed_methods, reason = "tests watch real programs")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "tests watch real programs")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
