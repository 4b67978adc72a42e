//! Places many calls at once to a `sipp` that echoes, and prints what they cost.
//!
//! ```text
//! cargo run --release -p voice --example load -- 200 500 1000
//! ```
//!
//! Each number is one round of that many calls at once, all over one trunk. `sipp` shares the
//! machine, and its echo drops packets when it is short of it, so only what we send is judged.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a tool for the bench, which may stop at whatever surprises it"
)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use voice::call::CallRequest;
use voice::outcome::{CallOutcome, CallRecord};
use voice::script::{Clip, Item, Script};
use voice::trunk::{Trunk, TrunkConfig};

#[tokio::main]
async fn main() {
    let rounds: Vec<usize> = std::env::args().skip(1).map(|count| count.parse().unwrap()).collect();
    for (round, calls) in (0_u16..).zip(rounds) {
        run(calls, SIP_PORT + round * 2).await;
    }
}

async fn run(calls: usize, port: u16) {
    let mut sipp = start_sipp(port);
    let trunk = Arc::new(
        Trunk::open(TrunkConfig {
            channels_max: calls,
            calls_per_second_max: CALLS_PER_SECOND * 2,
            ..TrunkConfig::new("load", "127.0.0.1", port)
        })
        .await
        .unwrap(),
    );
    let samples: Vec<i16> =
        (0..8_000 * SECONDS).map(|sample| (sample * 37 % 4_001) as i16).collect();
    let script = Script::once(vec![Item::Clip(Clip::from_linear(&samples))]);
    let (began, used) = (Instant::now(), processor_time());
    let mut placed = JoinSet::new();
    for call in 0..calls {
        let due = began + Duration::from_secs(call as u64) / CALLS_PER_SECOND;
        tokio::time::sleep_until(due.into()).await;
        let (trunk, script) = (Arc::clone(&trunk), script.clone());
        placed.spawn(async move {
            let request = CallRequest {
                to: "447700900123".to_owned(),
                caller: "15550100".to_owned(),
                script,
                ring_timeout: Duration::from_secs(10),
                call_id: None,
            };
            let (events, _) = mpsc::unbounded_channel();
            trunk.call(request, events, CancellationToken::new()).await
        });
    }
    let records = placed.join_all().await;
    report(&records, &trunk, began.elapsed(), processor_time().saturating_sub(used));
    sipp.kill().unwrap();
    sipp.wait().unwrap();
}

fn report(records: &[CallRecord], trunk: &Trunk, wall: Duration, used: Duration) {
    let completed = records.iter().filter(|record| record.outcome == CallOutcome::Completed);
    let mut set_up: Vec<_> = records.iter().filter_map(|record| record.answered_at).collect();
    set_up.sort_unstable();
    let at = |hundredths: usize| set_up[(set_up.len() * hundredths / 100).min(set_up.len() - 1)];
    let sent: u64 = records.iter().map(|record| record.packets_sent).sum();
    let received: u64 = records.iter().map(|record| record.packets_received).sum();
    let wanted = records.len() as u64 * u64::from(SECONDS) * 50;
    let figures = trunk.figures();
    println!("{} calls at once, {SECONDS} s each", records.len());
    println!("  completed          {} of {}", completed.count(), records.len());
    println!("  set-up             p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100));
    println!("  packets sent       {sent} of at least {wanted}; {received} echoed");
    println!(
        "  processor          {:.2} s in {:.1} s = {:.2} cores, {:.1} ms a call, {:.1} us a packet",
        used.as_secs_f64(),
        wall.as_secs_f64(),
        used.as_secs_f64() / wall.as_secs_f64(),
        used.as_secs_f64() * 1_000.0 / records.len() as f64,
        used.as_secs_f64() * 1_000_000.0 / sent as f64,
    );
    println!(
        "  late ticks         {} of {} = {:.2} %, the latest by {:?}",
        figures.late_ticks,
        figures.ticks,
        figures.late_ticks as f64 * 100.0 / figures.ticks as f64,
        figures.delay_max,
    );
    println!("  resident           {} now, {} at most", memory("VmRSS"), memory("VmHWM"));
    println!("  left behind        {} dialogs, {} lines", trunk.dialogs_open(), figures.lines);
}

fn start_sipp(port: u16) -> Child {
    let (sip, media) = (port.to_string(), (port + 1_000).to_string());
    let sipp = Command::new("sipp")
        .args(["-sn", "uas", "-rtp_echo", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"])
        .args(["-p", &sip, "-mp", &media])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    sipp
}

/// Returns the processor time of this process, user and system.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * MILLIS_PER_TICK)
}

fn memory(name: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

/// Two readings of a code of six digits.
const SECONDS: u32 = 20;

/// All of a thousand calls are up before the first ends.
const CALLS_PER_SECOND: u32 = 100;

/// Away from what the tests take.
const SIP_PORT: u16 = 41_000;

/// The unit of /proc/self/stat on Linux.
const MILLIS_PER_TICK: u64 = 10;
