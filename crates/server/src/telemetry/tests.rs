//! An attack on the log: whatever is logged, no number and no code comes out.

use std::sync::{Arc, Mutex};

use tracing::{error, info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

use super::layer::LineLayer;
use super::*;

/// The lines logged while `story` runs.
fn logged(format: LogFormat, story: impl FnOnce()) -> String {
    let lines = Arc::new(Mutex::new(String::new()));
    let written = Arc::clone(&lines);
    let sink = move |line: String| {
        let mut lines = written.lock().unwrap();
        lines.push_str(&line);
        lines.push('\n');
    };
    let clock = || "2026-01-02T03:04:05.678901Z".parse::<Timestamp>().unwrap();
    let subscriber = registry().with(LineLayer { format, clock, sink });
    tracing::subscriber::with_default(subscriber, story);
    let lines = lines.lock().unwrap();
    lines.clone()
}

const NUMBER: &str = "+447860021130";
const CODE: &str = "4821";

#[derive(Debug)]
#[expect(dead_code, reason = "only its Debug form is read")]
struct Careless {
    to: &'static str,
    code: u32,
    bytes: Vec<u8>,
    nested: Option<Box<Careless>>,
}

#[derive(Debug, thiserror::Error)]
#[error("sending to {NUMBER} failed")]
struct CarelessError(#[source] std::io::Error);

fn attack() {
    let inner =
        Careless { to: "0786 002 1130", code: 4821, bytes: vec![52, 56, 50, 49], nested: None };
    let careless =
        Careless { to: NUMBER, code: 482_159, bytes: vec![], nested: Some(inner.into()) };
    let failure = CarelessError(std::io::Error::other(format!("code {CODE} rejected")));
    let json = serde_json::json!({"to": NUMBER, "inner": format!("{{\"code\":\"{CODE}\"}}")});
    let span = info_span!("start", number = NUMBER, later = tracing::field::Empty);
    span.record("later", "(0786) 002-1130");
    let _entered = span.enter();
    let _inner = info_span!("send", code = CODE, request.id = "447860021130").entered();
    info!("sending {CODE} to {NUMBER}");
    info!(to = %NUMBER, code = ?CODE, digits = 447_860_021_130_u64, count = 447_860_021_130_u64);
    info!(negative = -4821, big = 447_860_021_130_u128, real = 4821.0, short = 48_215_u32);
    info!(?careless, json = %json, json_again = ?json.to_string());
    error!(error = &failure as &dyn std::error::Error, chain = ?failure);
    info!(message = "7 8 6 0 0 2 1 1 3 0", url = "/verify?number=%2B447860021130&pin=%34%38%32%31");
    info!(request.id = NUMBER, verification.id = "4478-6002-1130", listen = "447860021130");
    info!(count = CODE, status = CODE, attempt.step = "48 21", duration_ms = %"482159");
    info!(code = "４８２１", other = "٤٨٢١", hidden = "48\u{200b}21", broken = "48\n21");
}

#[test]
fn invariant_no_number_and_no_code_is_ever_logged() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let lines = logged(format, attack);
        assert_eq!(lines.lines().count(), 9, "{lines}");
        for line in lines.lines() {
            // Only the time of the line is known to have digits in a row.
            let rest = line.replace("2026-01-02T03:04:05.678Z", "");
            let longest = rest.split(|c: char| !c.is_numeric()).map(str::len).max();
            assert!(longest < Some(3), "{line}");
            let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
            for secret in ["4821", "78600", "1130"] {
                assert!(!digits.contains(secret), "{line}");
            }
        }
    }
}

#[test]
fn a_text_line_has_time_level_target_message_and_the_fields_of_its_spans() {
    let lines = logged(LogFormat::Text, || {
        let _span =
            info_span!("request", request.id = "0197C2F41A2B3C4D", door = "vonage").entered();
        info!(status = 200, duration_ms = 1234, note = "two words", "answered");
    });
    assert_eq!(
        lines,
        "2026-01-02T03:04:05.678Z INFO countersign::telemetry::tests answered door=vonage \
         duration_ms=1234 note=\"two words\" request.id=0197C2F41A2B3C4D status=200\n"
    );
}

#[test]
fn a_json_line_carries_the_same() {
    let lines = logged(LogFormat::Json, || {
        let _span = info_span!("request", verification.id = "0197c2f4-1a2b-7abc-8def-123456789012")
            .entered();
        info!(listen = "127.0.0.1:8080", count = 3, ready = true, "listening");
    });
    assert_eq!(
        lines,
        "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"INFO\",\
         \"target\":\"countersign::telemetry::tests\",\"message\":\"listening\",\"fields\":{\
         \"count\":3,\"listen\":\"127.0.0.1:8080\",\"ready\":true,\
         \"verification.id\":\"0197c2f4-1a2b-7abc-8def-123456789012\"}}\n"
    );
}

#[test]
fn a_value_cannot_forge_a_line() {
    let lines = logged(LogFormat::Text, || info!(note = "a\nERROR b", "x\r\n\u{1b}[31mERROR y"));
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(!lines.contains('\u{1b}'), "{lines}");
}

#[test]
fn an_error_is_logged_with_its_sources() {
    let failure = CarelessError(std::io::Error::other("link closed"));
    let lines = logged(LogFormat::Text, || {
        error!(error = &failure as &dyn std::error::Error, "not sent");
    });
    assert!(lines.ends_with("error=\"sending to +•••••••••••• failed: link closed\"\n"), "{lines}");
}

/// A writer whose text can be read afterwards.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_of_a_process_is_started_once_and_is_complete_when_its_guard_goes() {
    let page = Page::default();
    let start = |filter: &str| {
        let clock = || Timestamp::UNIX_EPOCH;
        start_log(filter, LogFormat::Text, clock, page.clone(), Metrics::new().log_lines_dropped())
    };
    assert!(matches!(start("nonsense=="), Err(TelemetryError::Filter(_))));
    let guard = start("off,log_test=info").unwrap();
    assert!(matches!(start("info"), Err(TelemetryError::Installed(_))));
    info!(target: "log_test", to = NUMBER, "sending");
    tracing::debug!(target: "log_test", "too quiet");
    drop(guard);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text, "1970-01-01T00:00:00.000Z INFO log_test sending to=+••••••••••••\n");
}
