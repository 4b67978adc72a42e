//! A receiver of webhooks on a socket of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Keeps every request, and answers 200 unless told otherwise.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
    answers: Arc<Mutex<Answers>>,
}

#[derive(Default)]
struct Answers {
    next: VecDeque<String>,
    /// When there is no next one: a status, or 200.
    status: Option<u16>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Of the query, then of the body if that is a form or flat JSON.
    pub(crate) params: Vec<(String, String)>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::answering_after(Duration::ZERO).await
    }

    /// Takes every request and answers none.
    pub(crate) async fn silent() -> Self {
        Self::answering_after(Duration::MAX).await
    }

    pub(crate) async fn answering_after(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::<Mutex<Answers>>::default();
        let (sender, seen) = mpsc::unbounded_channel();
        let to_come = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, sender.clone(), Arc::clone(&to_come), delay));
            }
        });
        Self { address, seen, answers }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers one request with this status.
    pub(crate) fn will_answer(&self, status: u16) {
        self.will_answer_with(&empty(status));
    }

    /// Answers every request with this status from now on, and forgets those that came.
    pub(crate) fn will_keep_answering(&mut self, status: u16) {
        self.answers.lock().unwrap().status = Some(status);
        while self.seen.try_recv().is_ok() {}
    }

    /// Answers one request with these bytes.
    pub(crate) fn will_answer_with(&self, answer: &str) {
        self.answers.lock().unwrap().next.push_back(answer.to_owned());
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Seen {
        let next = tokio::time::timeout(Duration::from_secs(10), self.seen.recv());
        next.await.expect("a webhook comes").expect("the receiver runs")
    }

    /// Fails if a request comes within twice the time in which the worker looks for work.
    pub(crate) async fn assert_quiet(&mut self) {
        let next = tokio::time::timeout(Duration::from_secs(1), self.seen.recv()).await;
        assert!(next.is_err(), "no webhook was to come: {next:?}");
    }
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.unwrap_or_else(|| panic!("no header {name} in {self:?}")).1.clone()
    }

    pub(crate) fn param(&self, name: &str) -> String {
        let found = self.params.iter().find(|(param, _)| param == name);
        found.unwrap_or_else(|| panic!("no parameter {name} in {self:?}")).1.clone()
    }
}

async fn serve(
    mut socket: TcpStream,
    seen: mpsc::UnboundedSender<Seen>,
    answers: Arc<Mutex<Answers>>,
    delay: Duration,
) {
    let mut bytes = Vec::new();
    loop {
        while request_length(&bytes).is_none_or(|length| bytes.len() < length) {
            if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let rest = bytes.split_off(request_length(&bytes).unwrap());
        let text = String::from_utf8(std::mem::replace(&mut bytes, rest)).unwrap();
        let _ = seen.send(parse(&text));
        tokio::time::sleep(delay).await;
        let answer = {
            let mut answers = answers.lock().unwrap();
            let otherwise = empty(answers.status.unwrap_or(200));
            answers.next.pop_front().unwrap_or(otherwise)
        };
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn empty(status: u16) -> String {
    format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n")
}

/// How many bytes a request has, once its head is there.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let (head, _) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some(head.len() + 4 + length.map_or(0, |length| length.parse().unwrap()))
}

fn parse(text: &str) -> Seen {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    let path = line.split(' ').nth(1).unwrap();
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let mut params: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if body.starts_with('{') {
        params.extend(flat_json(body));
    } else {
        params.extend(form_urlencoded::parse(body.as_bytes()).into_owned());
    }
    Seen {
        line: line.to_owned(),
        headers: headers.lines().map(pair).collect(),
        body: body.to_owned(),
        params,
    }
}

/// The members of an object in the order in which they are written, if all are texts without a
/// quote in them; a JSON parser would sort them.
fn flat_json(body: &str) -> Vec<(String, String)> {
    let members = body.trim_start_matches('{').trim_end_matches('}').split(",\"");
    let pair = |member: &str| {
        let (name, value) = member.split_once("\":")?;
        let bare = |text: &str| text.trim_matches('"').to_owned();
        Some((bare(name), bare(value)))
    };
    members.filter_map(pair).collect()
}
