//! Sends one webhook once, over the network and without trusting its receiver.

pub(crate) mod connector;
mod lenient;

use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, DATE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::fmt::rfc2822::DateTimeParser;

use self::connector::Connector;
use super::destination::{ResolveError, UrlProblem, parse};

/// The most bytes read of an answer; nothing in it matters but its status. Chosen.
pub const ANSWER_BYTES_MAX: usize = 4096;

/// How webhooks are sent.
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// How long finding and reaching the receiver may take.
    pub connect_timeout: Duration,
    /// How long its answer may take from there on.
    pub answer_timeout: Duration,
    /// Whether private addresses may be called, for tests and closed networks.
    pub allow_private: bool,
    /// The value of `User-Agent`.
    pub user_agent: String,
}

impl Default for SenderConfig {
    /// Returns the vendor's documented timeouts of 3 s and 15 s, with private addresses refused.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(15),
            allow_private: false,
            user_agent: concat!("Countersign/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The method of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET, without a body.
    Get,
    /// POST.
    Post,
}

/// One webhook, rendered and ready to be sent.
///
/// Its URL and body may hold phone numbers and signatures, so `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingRequest {
    /// GET or POST.
    pub method: Method,
    /// The whole URL, with its query.
    pub url: String,
    /// Headers beyond those that every request has.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for a GET.
    pub body: Vec<u8>,
}

impl fmt::Debug for OutgoingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutgoingRequest({:?}, hidden)", self.method)
    }
}

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The receiver answered with this 2xx status.
    Delivered(u16),
    /// The request cannot be sent, now or later.
    Refused {
        /// What is wrong with it.
        reason: RefusedReason,
    },
    /// The try failed and another may succeed.
    Failed {
        /// What went wrong.
        reason: FailedReason,
        /// How many seconds the receiver asked to be left alone for, if it did.
        retry_after: Option<u32>,
    },
    /// The receiver answered 410: it wants no more webhooks at this URL.
    Gone,
}

/// Why a request cannot be sent at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReason {
    /// The URL may not be called.
    #[error("call the URL")]
    Url(#[source] UrlProblem),
    /// A header or the URL holds what HTTP cannot carry.
    #[error("write the request")]
    Malformed,
}

/// Why a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailedReason {
    /// The answer has another status than 2xx and 410; a redirection is not followed.
    #[error("get a 2xx answer (got {0})")]
    Status(u16),
    /// The host has no address.
    #[error("resolve the host")]
    Resolve,
    /// No connection, or no TLS session, with the receiver.
    #[error("connect")]
    Connect,
    /// The receiver, or the way to it, took too long.
    #[error("get an answer in time")]
    Timeout,
    /// The connection broke or carried something other than HTTP.
    #[error("exchange HTTP")]
    Exchange,
}

/// Why there can be no sender.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// No version of TLS is safe with the provider at hand.
    #[error("set TLS up for webhooks")]
    Tls(#[source] rustls::Error),
    /// The user agent is no header value.
    #[error("write the user agent of webhooks")]
    UserAgent,
}

/// Sends webhooks; cheap to share, keeps idle connections.
///
/// It follows no redirection and uses no proxy. A request that was begun on a connection is never
/// repeated on another; only one that met a closed idle connection before its first byte is.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client<Connector, Full<Bytes>>,
    user_agent: HeaderValue,
    allow_private: bool,
    time_max: Duration,
}

impl Sender {
    /// Builds a sender.
    ///
    /// On a host without root certificates it trusts nobody, so that only `http` can be sent to.
    ///
    /// # Errors
    ///
    /// Fails if TLS cannot be set up or `user_agent` is no header value.
    pub fn new(config: SenderConfig) -> Result<Self, SenderError> {
        let user_agent =
            HeaderValue::try_from(config.user_agent).map_err(|_| SenderError::UserAgent)?;
        let connector = Connector::new(config.connect_timeout, config.allow_private, None)
            .map_err(SenderError::Tls)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .build(connector);
        Ok(Self {
            client,
            user_agent,
            allow_private: config.allow_private,
            time_max: config.connect_timeout.saturating_add(config.answer_timeout),
        })
    }

    /// Sends a webhook once and tells what became of it.
    pub async fn send(&self, request: OutgoingRequest) -> DeliveryResult {
        let request = match self.render(request) {
            Ok(request) => request,
            Err(reason) => return refused(reason),
        };
        // One limit for connecting and all of the answer ends receivers that answer byte by byte.
        let mut limit = std::pin::pin!(tokio::time::sleep(self.time_max));
        let answer = tokio::select! {
            answer = self.client.request(request) => answer,
            () = &mut limit => return failed(FailedReason::Timeout),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return judge_error(&error),
        };
        let result = judge(&answer);
        tokio::select! {
            () = read_rest(answer.into_body()) => {}
            () = limit => {}
        }
        result
    }

    fn render(&self, request: OutgoingRequest) -> Result<Request<Full<Bytes>>, RefusedReason> {
        let url = parse(&request.url, self.allow_private).map_err(RefusedReason::Url)?;
        let builder = match request.method {
            Method::Get => Request::get(url.as_str()),
            Method::Post => Request::post(url.as_str()),
        };
        let mut rendered = request
            .headers
            .into_iter()
            .fold(builder, |builder, (name, value)| builder.header(name, value))
            .body(Full::from(request.body))
            .map_err(|_| RefusedReason::Malformed)?;
        let headers = rendered.headers_mut();
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        Ok(rendered)
    }
}

fn judge(answer: &Response<Incoming>) -> DeliveryResult {
    let status = answer.status().as_u16();
    match status {
        200..=299 => DeliveryResult::Delivered(status),
        410 => DeliveryResult::Gone,
        _ => DeliveryResult::Failed {
            reason: FailedReason::Status(status),
            retry_after: retry_after(answer.headers()),
        },
    }
}

/// Reads the rest of an answer, as far as it is worth reading.
async fn read_rest(mut body: Incoming) {
    // A connection serves again only after its answer was read, and a short answer is worth that.
    let mut read = 0;
    while read < ANSWER_BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

fn judge_error(error: &legacy::Error) -> DeliveryResult {
    let mut cause = error.source();
    while let Some(inner) = cause {
        match inner.downcast_ref::<ResolveError>() {
            Some(ResolveError::Private) => {
                return refused(RefusedReason::Url(UrlProblem::PrivateAddress));
            }
            Some(ResolveError::NotFound) => return failed(FailedReason::Resolve),
            None => {}
        }
        let io_error = inner.downcast_ref::<io::Error>();
        if io_error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return failed(FailedReason::Timeout);
        }
        cause = inner.source();
    }
    failed(if error.is_connect() { FailedReason::Connect } else { FailedReason::Exchange })
}

fn refused(reason: RefusedReason) -> DeliveryResult {
    DeliveryResult::Refused { reason }
}

fn failed(reason: FailedReason) -> DeliveryResult {
    DeliveryResult::Failed { reason, retry_after: None }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3) in seconds; a date in the past means none.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().unwrap_or(u32::MAX));
    }
    // A date is only good against the receiver's own clock, which `Date` tells.
    let date = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    let wait = date(value)?.as_second().saturating_sub(now.as_second());
    Some(u32::try_from(wait.max(0)).unwrap_or(u32::MAX))
}

/// How long an idle connection is kept. Chosen: it outlives the first repetitions of a webhook.
const IDLE_TIME_MAX: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    /// A receiver that takes one request, answers with the given bytes and keeps the line open.
    struct Receiver {
        url: String,
        seen: JoinHandle<String>,
    }

    impl Receiver {
        async fn answering(answer: impl Into<Vec<u8>>) -> Self {
            let answer = answer.into();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/dlr", listener.local_addr().unwrap());
            let seen = tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") && !seen.ends_with(END_OF_BODY) {
                    if socket.read_buf(&mut seen).await.unwrap() == 0 {
                        break;
                    }
                }
                // A sender that has read enough hangs up on the rest of a huge answer.
                let _ = socket.write_all(&answer).await;
                let _ = socket.read(&mut [0]).await;
                String::from_utf8(seen).unwrap()
            });
            Self { url, seen }
        }

        fn get(&self) -> OutgoingRequest {
            get(&self.url)
        }
    }

    /// The type of the first record of a TLS connection (RFC 8446, section 5.1).
    const TLS_HANDSHAKE: u8 = 22;

    const END_OF_BODY: &[u8] = b"the end";

    fn get(url: &str) -> OutgoingRequest {
        OutgoingRequest {
            method: Method::Get,
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn sender(allow_private: bool) -> Sender {
        sender_waiting(allow_private, Duration::from_secs(5))
    }

    fn sender_waiting(allow_private: bool, patience: Duration) -> Sender {
        Sender::new(SenderConfig {
            connect_timeout: patience,
            answer_timeout: patience,
            allow_private,
            user_agent: "Countersign/test".to_owned(),
        })
        .unwrap()
    }

    async fn result_of(answer: &str) -> DeliveryResult {
        let receiver = Receiver::answering(answer).await;
        sender(true).send(receiver.get()).await
    }

    #[tokio::test]
    async fn any_2xx_answer_is_a_delivery() {
        for (answer, status) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        ] {
            assert_eq!(result_of(answer).await, DeliveryResult::Delivered(status));
        }
    }

    #[tokio::test]
    async fn a_redirection_is_a_failure_and_is_not_followed() {
        let elsewhere = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            elsewhere.url
        );
        assert_eq!(result_of(&answer).await, failed(FailedReason::Status(302)));
        assert!(!elsewhere.seen.is_finished(), "the redirection was followed");
    }

    #[tokio::test]
    async fn an_error_of_the_receiver_is_worth_another_try() {
        assert_eq!(
            result_of("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await,
            failed(FailedReason::Status(500))
        );
        assert_eq!(
            result_of("HTTP/1.1 429 Slow\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n").await,
            DeliveryResult::Failed { reason: FailedReason::Status(429), retry_after: Some(120) }
        );
    }

    #[tokio::test]
    async fn a_receiver_that_is_gone_says_so() {
        let result = result_of("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(result, DeliveryResult::Gone);
    }

    #[tokio::test]
    async fn a_receiver_that_never_answers_times_out() {
        let receiver = Receiver::answering("").await;
        let sender = sender_waiting(true, Duration::from_millis(100));
        assert_eq!(sender.send(receiver.get()).await, failed(FailedReason::Timeout));
    }

    #[tokio::test]
    async fn a_huge_answer_is_not_read_to_its_end() {
        // The receiver promises more than it sends and keeps the line open, so a sender that reads
        // on would wait until its own timeout, twice as far away as the test's.
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
        answer.resize(answer.len() + 2 * ANSWER_BYTES_MAX, b'x');
        let receiver = Receiver::answering(answer).await;
        let sender = sender(true);
        let sending = sender.send(receiver.get());
        let result = tokio::time::timeout(Duration::from_secs(5), sending).await;
        assert_eq!(result, Ok(DeliveryResult::Delivered(200)));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_http_is_a_failure() {
        assert_eq!(result_of("SSH-2.0-OpenSSH\r\n\r\n").await, failed(FailedReason::Exchange));
    }

    #[tokio::test]
    async fn a_dead_port_is_a_failure_to_connect() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(sender(true).send(get(&url)).await, failed(FailedReason::Connect));
    }

    #[tokio::test]
    async fn a_receiver_that_does_not_speak_tls_is_a_failure_to_connect() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let seen = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(b"HTTP/1.1 400 Plain\r\n\r\n").await.unwrap();
            let mut hello = [0];
            socket.read_exact(&mut hello).await.unwrap();
            hello
        });
        assert_eq!(sender(true).send(get(&url)).await, failed(FailedReason::Connect));
        assert_eq!(seen.await.unwrap(), [TLS_HANDSHAKE], "the sender did not begin with TLS");
    }

    #[tokio::test]
    async fn a_name_without_an_address_may_get_one_later() {
        // RFC 6761 keeps `.invalid` from ever being registered.
        let result = sender(false).send(get("http://countersign.invalid/")).await;
        assert_eq!(result, failed(FailedReason::Resolve));
    }

    #[tokio::test]
    async fn a_private_address_is_never_called_unless_allowed() {
        let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let by_name = get(&receiver.url.replace("127.0.0.1", "localhost"));
        let private = refused(RefusedReason::Url(UrlProblem::PrivateAddress));
        assert_eq!(sender(false).send(receiver.get()).await, private);
        assert_eq!(sender(false).send(by_name.clone()).await, private);
        assert!(!receiver.seen.is_finished(), "the receiver was called");
        assert_eq!(sender(true).send(by_name).await, DeliveryResult::Delivered(200));
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_refused() {
        assert_eq!(
            sender(true).send(get("ftp://example.com/")).await,
            refused(RefusedReason::Url(UrlProblem::Scheme))
        );
        let header = ("webhook-id", "a\r\nb".to_owned());
        let split = OutgoingRequest { headers: vec![header], ..get("http://127.0.0.1:9/") };
        assert_eq!(sender(true).send(split).await, refused(RefusedReason::Malformed));
    }

    #[tokio::test]
    async fn a_post_arrives_with_its_headers_and_body() {
        let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let post = OutgoingRequest {
            method: Method::Post,
            url: format!("{}?a=b", receiver.url),
            headers: vec![("content-type", "text/plain".to_owned())],
            body: END_OF_BODY.to_vec(),
        };
        assert_eq!(sender(true).send(post).await, DeliveryResult::Delivered(200));
        let seen = receiver.seen.await.unwrap();
        assert!(seen.starts_with("POST /dlr?a=b HTTP/1.1\r\n"), "{seen}");
        assert!(seen.ends_with("\r\n\r\nthe end"), "{seen}");
        for header in ["content-type: text/plain", "user-agent: Countersign/test", "accept: */*"] {
            assert!(seen.contains(&format!("{header}\r\n")), "{header} in {seen}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            retry_after(&headers)
        };
        assert_eq!(of("120"), Some(120));
        assert_eq!(of("99999999999"), Some(u32::MAX));
        assert_eq!(of("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120));
        assert_eq!(of("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(of("-1"), None);
        assert_eq!(of("soon"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn a_request_never_shows_its_url_in_debug() {
        let shown = format!("{:?}", get("https://example.com/?msisdn=16365553226"));
        assert_eq!(shown, "OutgoingRequest(Get, hidden)");
    }
}
