//! One flow: start a verification, read the code off the handset, type it.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Answer, Client};
use crate::target::Keys;

/// What the flows do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Whole verifications.
    Verification,
    /// 2FA messages, of which only the start is a request.
    Message,
}

/// Everything measured of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timings {
    /// From the start's first byte to its answer.
    pub(crate) start: Duration,
    /// From the check's first byte to its answer.
    pub(crate) check: Duration,
    /// From the start's first byte to the check's answer.
    pub(crate) whole: Duration,
    /// How often the handset was looked at.
    pub(crate) looks: u32,
}

/// Why a flow did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection broke.
    Connection(std::io::Error),
    /// The server answered something else than success.
    Refused {
        /// Which request it was.
        step: &'static str,
        /// The answer's status.
        status: u16,
    },
    /// The code did not come.
    NoCode,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "the connection broke: {error}"),
            Self::Refused { step, status } => write!(f, "{step} was answered with {status}"),
            Self::NoCode => f.write_str("the code did not come"),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error)
    }
}

/// Writes requests and carries flows out; the buffer is used again and again.
pub(crate) struct Flow {
    host: String,
    keys: Keys,
    request: Vec<u8>,
    body: String,
}

impl Flow {
    /// Makes flows with an account's keys; `host` goes into every request.
    pub(crate) fn new(host: String, keys: Keys) -> Self {
        Self { host, keys, request: Vec::new(), body: String::new() }
    }

    /// Carries out a flow to the owner of `number`, whose time began at `began`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn run(
        &mut self,
        client: &mut Client,
        kind: Kind,
        number: u64,
        began: Instant,
    ) -> Result<Timings, Failure> {
        match kind {
            Kind::Verification => self.verify(client, number, began).await,
            Kind::Message => self.message(client, number, began).await,
        }
    }

    async fn verify(
        &mut self,
        client: &mut Client,
        number: u64,
        began: Instant,
    ) -> Result<Timings, Failure> {
        self.body = format!(
            r#"{{"phone":"{number}","brand":"Benchmark","codeLength":6,"workflowId":{SMS_ONLY}}}"#
        );
        self.write("POST /api/v2/verify", "application/json");
        let answer = expect("start", 200, client.call(&self.request).await?)?;
        let id = text_after(answer.body, br#""verifyId":""#, ID_CHARS).ok_or(Failure::NoCode)?;
        let start = began.elapsed();
        let (code, looks) = self.read_code(client, number).await?;
        self.body = format!(r#"{{"verifyId":"{id}","code":"{code}"}}"#);
        self.write("PUT /api/v2/verify", "application/json");
        let asked = Instant::now();
        expect("check", 204, client.call(&self.request).await?)?;
        Ok(Timings { start, check: asked.elapsed(), whole: began.elapsed(), looks })
    }

    /// Looks at a handset until the code is there.
    async fn read_code(
        &mut self,
        client: &mut Client,
        number: u64,
    ) -> Result<(String, u32), Failure> {
        self.body.clear();
        self.write(&format!("GET /sandbox/v1/handsets/{number}/inbox"), "text/plain");
        for look in 1..=LOOKS_MAX {
            let answer = expect("inbox", 200, client.call(&self.request).await?)?;
            if let Some(code) = six_digits(answer.body) {
                return Ok((code, look));
            }
            tokio::time::sleep(LOOK_PAUSE * look.min(LOOK_PAUSES_MAX)).await;
        }
        Err(Failure::NoCode)
    }

    async fn message(
        &mut self,
        client: &mut Client,
        number: u64,
        began: Instant,
    ) -> Result<Timings, Failure> {
        let Keys { api_key, api_secret, .. } = &self.keys;
        self.body = format!("api_key={api_key}&api_secret={api_secret}&to={number}&pin=482913");
        self.write("POST /sc/us/2fa/json", "application/x-www-form-urlencoded");
        let answer = expect("message", 200, client.call(&self.request).await?)?;
        match text_after(answer.body, br#""status":""#, 1).as_deref() {
            Some("0") => {
                let start = began.elapsed();
                Ok(Timings { start, whole: start, ..Timings::default() })
            }
            Some(_) | None => Err(Failure::Refused { step: "message status", status: 200 }),
        }
    }

    fn write(&mut self, line: &str, content_type: &str) {
        let Keys { username, key, .. } = &self.keys;
        self.request.clear();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nx-tm-username: {username}\r\nx-tm-key: {key}\r\n\
             content-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            self.host,
            self.body.len(),
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(self.body.as_bytes());
    }
}

fn expect<'a>(step: &'static str, status: u16, answer: Answer<'a>) -> Result<Answer<'a>, Failure> {
    if answer.status == status {
        Ok(answer)
    } else {
        Err(Failure::Refused { step, status: answer.status })
    }
}

fn text_after(body: &[u8], mark: &[u8], chars: usize) -> Option<String> {
    let at = body.windows(mark.len()).position(|window| window == mark)? + mark.len();
    String::from_utf8(body.get(at..at + chars)?.to_vec()).ok()
}

/// Finds the code in an inbox: the six digits in the text of its last message.
fn six_digits(inbox: &[u8]) -> Option<String> {
    let mark = br#""text":""#;
    let at = inbox.windows(mark.len()).rposition(|window| window == mark)? + mark.len();
    let text = inbox.get(at..)?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    let mut words = text.get(..end)?.split(|byte| !byte.is_ascii_digit());
    let code = words.find(|word| word.len() == CODE_DIGITS)?;
    String::from_utf8(code.to_vec()).ok()
}

/// The preset workflow of a single SMS.
const SMS_ONLY: u8 = 6;
const CODE_DIGITS: usize = 6;
const ID_CHARS: usize = 36;

/// The first looks come fast and the later ones slower, so that a server that is behind is not
/// kept there by being asked how far it is: 1, 2, 3 … 16 ms.
const LOOK_PAUSE: Duration = Duration::from_millis(1);
const LOOK_PAUSES_MAX: u32 = 16;
const LOOKS_MAX: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_off_the_last_message() {
        let inbox = br#"{"calls":[],"messages":[{"id":"00000000","text":"Your code: 111111."},
            {"id":"123456","from":"12345","text":"482913 is your Benchmark code. Valid 5 minutes."}]}"#;
        assert_eq!(six_digits(inbox).as_deref(), Some("482913"));
        assert_eq!(six_digits(br#"{"calls":[],"messages":[]}"#), None);
    }
}
