//! Sends one request and reads its answer, and knows whether the request went out.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::channels::trust::authorities;
use crate::config::HttpConfig;
use crate::webhooks::sender::connector::Connector;
use crate::webhooks::sender::retry_after;

/// A client of one link's own, which keeps its connections.
pub(super) struct Exchange {
    client: Client<Connector, Full<Bytes>>,
    timeout: Duration,
}

/// What became of a request.
pub(super) enum Exchanged {
    /// It was answered.
    Answered(Answered),
    /// It certainly did not go out.
    NotSent(&'static str),
    /// It may have gone out, and there is no whole answer.
    Lost(&'static str),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: Bytes,
    pub(super) retry_after: Option<Duration>,
}

impl Exchange {
    pub(super) fn open(config: &HttpConfig) -> Result<Self, String> {
        let trusted = config.ca_file.as_deref().map(authorities).transpose()?;
        // The operator wrote the URL, and may well mean a neighbour.
        let allow_private = true;
        let timeout = config.connect_timeout.min(config.timeout);
        let connector = Connector::new(timeout, allow_private, trusted)
            .map_err(|error| format!("cannot set TLS up: {error}"))?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .pool_max_idle_per_host(config.connections)
            .build(connector);
        Ok(Self { client, timeout: config.timeout })
    }

    /// Sends a request; `written` is called when it goes out.
    pub(super) async fn run(
        &self,
        mut request: Request<Full<Bytes>>,
        written: impl FnOnce(),
    ) -> Exchanged {
        let mut connection = capture_connection(&mut request);
        let mut written = Some(written);
        let mut limit = std::pin::pin!(tokio::time::sleep(self.timeout));
        let mut answer = std::pin::pin!(self.client.request(request));
        let mut watching = true;
        let mut went_out = false;
        let answer = loop {
            tokio::select! {
                biased;
                connected = async {
                    connection.wait_for_connection_metadata().await.is_some()
                }, if watching => {
                    watching = false;
                    went_out = connected;
                    if let Some(written) = written.take().filter(|_| connected) {
                        written();
                    }
                }
                answer = &mut answer => break answer,
                () = &mut limit => {
                    return if went_out { Exchanged::Lost(TIMEOUT) } else { Exchanged::NotSent(NO_CONNECTION) };
                }
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_connect() || !went_out => {
                return Exchanged::NotSent(NO_CONNECTION);
            }
            Err(_) => return Exchanged::Lost(BROKEN),
        };
        let status = answer.status().as_u16();
        let wait = retry_after(answer.headers());
        let retry_after = wait.map(|seconds| Duration::from_secs(seconds.into()));
        tokio::select! {
            body = read(answer.into_body()) => match body {
                Some(body) => Exchanged::Answered(Answered { status, body, retry_after }),
                None => Exchanged::Lost(BROKEN),
            },
            () = limit => Exchanged::Lost(TIMEOUT),
        }
    }
}

/// Reads an answer; `None` if it breaks off or is far too long.
async fn read(mut body: Incoming) -> Option<Bytes> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.ok()?.data_ref() {
            read.extend_from_slice(data);
        }
        if read.len() > ANSWER_BYTES_MAX {
            return None;
        }
    }
    Some(read.into())
}

const TIMEOUT: &str = "there was no answer in time";
const NO_CONNECTION: &str = "there is no connection";
const BROKEN: &str = "the connection broke";

/// Chosen: an answer for a message of ten parts has about 2 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Chosen: servers close idle connections after 5 s or more, mostly; a request that meets a
/// connection just closed would be lost.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);
