//! A keep-alive HTTP/1.1 client that costs as little as one can.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// One connection. A request is written in one piece, and its answer must have a length.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(RECEIVED_BYTES) })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The connection ends, or the answer is not of the kind that is read here.
    pub(crate) async fn call(&mut self, request: &[u8]) -> std::io::Result<Answer<'_>> {
        self.send(request).await?;
        self.received.clear();
        let mut head = None;
        let (status, body, end) = loop {
            if head.is_none() {
                head = Head::read(&self.received)?;
            }
            if let Some(Head { status, body, length }) = head
                && self.received.len() >= body + length
            {
                break (status, body, body + length);
            }
            self.receive().await?;
        };
        let body = self.received.get(body..end).unwrap_or_default();
        Ok(Answer { status, body })
    }

    async fn send(&self, mut request: &[u8]) -> std::io::Result<()> {
        while !request.is_empty() {
            match self.stream.try_write(request) {
                Ok(written) => request = request.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> std::io::Result<()> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut self.received) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What must be known of an answer's head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    /// How long it is.
    length: usize,
}

impl Head {
    /// Reads a head, once it is complete.
    fn read(received: &[u8]) -> std::io::Result<Option<Self>> {
        let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let bad = || std::io::Error::from(ErrorKind::InvalidData);
        let head = received.get(..end).unwrap_or_default();
        let head = std::str::from_utf8(head).map_err(|_| bad())?;
        let status = head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let length = match length {
            Some(length) => length,
            // RFC 9110 section 15.3.5: it has no body.
            None if status == 204 => 0,
            None => return Err(bad()),
        };
        Ok(Some(Self { status, body: end + 4, length }))
    }
}

/// Longer than any answer of these flows.
const RECEIVED_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_far_as_its_length_says() {
        let answer = b"HTTP/1.1 200 OK\r\nx: y\r\nContent-Length: 5\r\n\r\nhello";
        let head = Head::read(answer).unwrap().unwrap();
        assert_eq!(head, Head { status: 200, body: answer.len() - 5, length: 5 });
        assert_eq!(Head::read(&answer[..30]).unwrap(), None);
    }

    #[test]
    fn an_answer_without_content_needs_no_length_and_any_other_does() {
        let head = Head::read(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.status, head.length), (204, 0));
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
