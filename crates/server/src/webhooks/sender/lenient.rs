//! Reads the answers of receivers that hang up in the middle of the head as if it were whole.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that ends an unended head of an answer once the receiver has hung up.
///
/// A receiver written after one vendor's guide answers `HTTP/1.1 200 OK` without any end of line
/// and closes the connection, with most of the request unread. It has taken the webhook, and
/// without this it would get it again for days. Nothing but such an answer is touched.
pub(crate) struct Lenient<S> {
    stream: S,
    head: Head,
    /// What is left to read instead of the stream, whose end was reached within a head.
    ending: Option<&'static [u8]>,
}

impl<S> Lenient<S> {
    /// Wraps a fresh connection.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, head: Head::default(), ending: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending.is_none() {
            let filled = buffer.filled().len();
            let outcome = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
            let read = buffer.filled().get(filled..).unwrap_or_default();
            this.head.take(read);
            let hung_up = match &outcome {
                Ok(()) => read.is_empty() && buffer.remaining() > 0,
                Err(error) => is_hang_up(error),
            };
            if !hung_up || !this.head.is_worth_ending() {
                return Poll::Ready(outcome);
            }
        }
        Pin::new(this.ending.get_or_insert(END_OF_HEAD)).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Lenient<S> {
    /// Returns how much of `length` bytes was written.
    ///
    /// The HTTP client gives an exchange up at the first failed write, although an answer may have
    /// come before the receiver hung up. So the rest of a request is written to nowhere, and the
    /// read side tells what became of it.
    fn written(&mut self, outcome: io::Result<usize>, length: usize) -> io::Result<usize> {
        // The client writes its next request only after the last answer.
        if self.head.is_ended {
            self.head = Head::default();
        }
        match outcome {
            Err(error) if is_hang_up(&error) => Ok(length),
            Ok(_) | Err(_) => outcome,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        Poll::Ready(this.written(outcome, bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices));
        Poll::Ready(this.written(outcome, slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}

/// What must be known of an answer's head to tell whether it can be ended.
#[derive(Default)]
struct Head {
    length: usize,
    is_foreign: bool,
    is_at_line_start: bool,
    is_ended: bool,
}

impl Head {
    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.is_ended {
                return;
            }
            self.is_foreign |= HEAD_START.get(self.length).is_some_and(|start| *start != byte);
            self.length = self.length.saturating_add(1);
            self.is_ended = self.is_at_line_start && byte == b'\n';
            // A line may end with LF alone (RFC 9112, section 2.2).
            self.is_at_line_start = byte == b'\n' || (self.is_at_line_start && byte == b'\r');
        }
    }

    fn is_worth_ending(&self) -> bool {
        !self.is_ended && !self.is_foreign && self.length >= HEAD_BYTES_MIN
    }
}

/// What every HTTP/1 answer begins with (RFC 9112, section 4).
const HEAD_START: &[u8] = b"HTTP/1.";

/// A head shorter than this lacks a digit of its status.
const HEAD_BYTES_MIN: usize = "HTTP/1.1 200".len();

/// Ends the line begun and the head. Without a length, the body goes on to the end (RFC 9112,
/// section 6.3), which is here.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::Lenient;
    use crate::webhooks::sender::{
        DeliveryResult, FailedReason, Method, OutgoingRequest, Sender, SenderConfig,
    };

    const PATIENCE: Duration = Duration::from_secs(5);

    const WHOLE_ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    /// A sender and the port that it sends to; the two take turns in the test's own task.
    struct Stage {
        sender: Sender,
        listener: TcpListener,
    }

    impl Stage {
        async fn set() -> Self {
            let sender = Sender::new(SenderConfig {
                connect_timeout: PATIENCE,
                answer_timeout: PATIENCE,
                allow_private: true,
                user_agent: "Countersign/test".to_owned(),
            })
            .unwrap();
            Self { sender, listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
        }

        async fn send(&self, method: Method, body: Vec<u8>) -> DeliveryResult {
            let url = format!("http://{}/dlr?a=b", self.listener.local_addr().unwrap());
            self.sender.send(OutgoingRequest { method, url, headers: Vec::new(), body }).await
        }

        async fn get(&self) -> DeliveryResult {
            self.send(Method::Get, Vec::new()).await
        }

        async fn accept(&self) -> TcpStream {
            let accepting = tokio::time::timeout(PATIENCE, self.listener.accept());
            accepting.await.expect("the sender never connected").unwrap().0
        }

        async fn result_of_hanging_up_after(&self, answer: &str) -> DeliveryResult {
            let receive = async {
                let mut socket = self.accept().await;
                read_to(b"\r\n\r\n", &mut socket).await;
                socket.write_all(answer.as_bytes()).await.unwrap();
            };
            tokio::join!(self.get(), receive).0
        }
    }

    async fn read_to(end: &[u8], socket: &mut TcpStream) {
        let mut seen = Vec::new();
        while !seen.ends_with(end) {
            seen.push(socket.read_u8().await.unwrap());
        }
    }

    async fn answer_a_get(socket: &mut TcpStream) {
        read_to(b"\r\n\r\n", socket).await;
        socket.write_all(WHOLE_ANSWER.as_bytes()).await.unwrap();
    }

    fn failed(reason: FailedReason) -> DeliveryResult {
        DeliveryResult::Failed { reason, retry_after: None }
    }

    #[tokio::test]
    async fn a_bare_status_line_before_hanging_up_is_an_answer() {
        let stage = Stage::set().await;
        for (answer, status) in [
            ("HTTP/1.1 200 OK", 200),
            ("HTTP/1.1 200", 200),
            ("HTTP/1.0 200 OK\r\n", 200),
            ("HTTP/1.1 204 No Content\n", 204),
            ("HTTP/1.1 200 OK\r\nserver: bare", 200),
        ] {
            let result = stage.result_of_hanging_up_after(answer).await;
            assert_eq!(result, DeliveryResult::Delivered(status), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_bare_status_line_counts_although_the_request_was_cut_off() {
        let stage = Stage::set().await;
        // The larger body does not fit into the buffers of a connection, so its writing fails.
        for (answer, body_bytes) in [
            ("HTTP/1.1 200 OK", 40_000),
            ("HTTP/1.1 200 OK", 20_000_000),
            (WHOLE_ANSWER, 20_000_000),
        ] {
            let receive = async {
                let mut socket = stage.accept().await;
                read_to(b"\r\n", &mut socket).await;
                socket.write_all(answer.as_bytes()).await.unwrap();
                // Closing a socket with unread bytes resets the connection.
            };
            let (result, ()) =
                tokio::join!(stage.send(Method::Post, vec![b'x'; body_bytes]), receive);
            assert_eq!(result, DeliveryResult::Delivered(200), "{answer:?} to {body_bytes} bytes");
        }
    }

    #[tokio::test]
    async fn a_bare_status_line_of_an_error_is_still_an_error() {
        let stage = Stage::set().await;
        let result = stage.result_of_hanging_up_after("HTTP/1.1 500 Oops").await;
        assert_eq!(result, failed(FailedReason::Status(500)));
    }

    #[tokio::test]
    async fn hanging_up_before_the_status_is_whole_is_a_failure() {
        let stage = Stage::set().await;
        for answer in ["", "HTTP/1.1 2", "HTTP/1.1 20", "HTTP/2.0 200 OK", "SSH-2.0-OpenSSH_9.9"] {
            let result = stage.result_of_hanging_up_after(answer).await;
            assert_eq!(result, failed(FailedReason::Exchange), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_serves_again_and_its_last_answer_may_be_bare() {
        let stage = Stage::set().await;
        let receive = async {
            let mut socket = stage.accept().await;
            answer_a_get(&mut socket).await;
            answer_a_get(&mut socket).await;
            read_to(b"\r\n\r\n", &mut socket).await;
            socket.write_all(b"HTTP/1.1 202 Accepted").await.unwrap();
        };
        let send = async { [stage.get().await, stage.get().await, stage.get().await] };
        let (results, ()) = tokio::join!(send, receive);
        assert_eq!(results, [200, 200, 202].map(DeliveryResult::Delivered));
    }

    #[tokio::test]
    async fn an_idle_connection_that_the_receiver_closed_costs_no_try() {
        let stage = Stage::set().await;
        for _ in 0..2 {
            let receive = async {
                let mut socket = stage.accept().await;
                answer_a_get(&mut socket).await;
                socket
            };
            let (result, socket) = tokio::join!(stage.get(), receive);
            assert_eq!(result, DeliveryResult::Delivered(200));
            drop(socket);
            // The runtime hears of the end of a connection only when it has nothing else to do.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_request_that_was_begun_is_never_sent_again() {
        let stage = Stage::set().await;
        let receive = async {
            let mut socket = stage.accept().await;
            answer_a_get(&mut socket).await;
            read_to(b"\r\n\r\n", &mut socket).await;
        };
        let send = async { [stage.get().await, stage.get().await] };
        let (results, ()) = tokio::join!(send, receive);
        assert_eq!(results, [DeliveryResult::Delivered(200), failed(FailedReason::Exchange)]);
        let again = tokio::time::timeout(Duration::from_millis(50), stage.accept()).await;
        assert!(again.is_err(), "the request was sent again");
    }

    #[tokio::test]
    async fn only_an_http_head_with_a_whole_status_and_no_end_is_ended() {
        for (sent, added) in [
            ("HTTP/1.1 200 OK", "\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\nserver: bare\r\n", "\r\n\r\n"),
            ("HTTP/1.1 200", "\r\n\r\n"),
            ("HTTP/1.1 20", ""),
            ("HTTP/2.0 200 OK", ""),
            ("HTTP/1.1 200 OK\r\n\r\n", ""),
            ("HTTP/1.1 200 OK\n\nHTTP/1.1 200 OK", ""),
            ("", ""),
        ] {
            assert_eq!(text_after_hanging_up(sent).await, format!("{sent}{added}"), "{sent:?}");
        }
    }

    /// Returns what is read of a receiver that sent this text and took nothing.
    async fn text_after_hanging_up(sent: &str) -> String {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(sent.as_bytes()).await.unwrap();
        drop(far);
        let mut near = Lenient::new(near);
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        text
    }
}
