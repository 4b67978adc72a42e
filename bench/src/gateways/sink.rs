//! The application's end: takes the webhooks that tell of delivered messages.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::board::Board;
use super::listener::listen;

/// Starts it.
///
/// # Errors
/// There is no port or no thread.
pub(super) fn start(board: Arc<Board>) -> std::io::Result<SocketAddr> {
    listen("sink", move |stream| serve(stream, Arc::clone(&board)))
}

async fn serve(mut stream: TcpStream, board: Arc<Board>) -> std::io::Result<()> {
    let mut received = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head =
                String::from_utf8_lossy(received.get(..end).unwrap_or_default()).into_owned();
            received.drain(..end + 4);
            let query = head.split([' ', '?']).nth(2).unwrap_or_default();
            if let Some(number) = delivered(query) {
                board.told(number);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        }
    }
}

/// Reads the number of a delivered message: both gateways tell it as `msisdn`, and its state in
/// their own words.
fn delivered(query: &str) -> Option<u64> {
    let field =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let is_delivered = matches!(field("status"), Some("delivered" | "1"));
    field("msisdn")?.parse().ok().filter(|_| is_delivered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_delivered_message_counts() {
        assert_eq!(delivered("msisdn=12015550123&status=delivered"), Some(12_015_550_123));
        assert_eq!(delivered("msisdn=12015550123&status=1"), Some(12_015_550_123));
        assert_eq!(delivered("msisdn=12015550123&status=buffered"), None);
    }
}
