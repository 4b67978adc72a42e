//! A server that knows its answers by heart: under it, the load generator itself is the limit.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Starts it on a thread of its own, which lives as long as the process.
///
/// # Errors
/// There is no port or no thread.
pub(crate) fn start() -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("canned".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, accept(listener))
    })?;
    Ok(address)
}

async fn accept(listener: std::net::TcpListener) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(async move {
            // A connection that breaks has nobody to tell.
            let _ = answer(stream).await;
        });
    }
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(1024);
    loop {
        stream.readable().await?;
        received.clear();
        match stream.try_read_buf(&mut received) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        // The load generator writes each request in one piece and waits for its answer.
        let answer = match received.get(..2) {
            Some(b"PO") if received.starts_with(b"POST /sc") => MESSAGE,
            Some(b"PO") => STARTED,
            Some(b"GE") => INBOX,
            Some(_) | None => CHECKED,
        };
        if stream.try_write(answer.as_bytes())? < answer.len() {
            return Err(ErrorKind::WriteZero.into());
        }
    }
}

const STARTED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 66\r\n\r\n{\"price\":0.05,\"verifyId\":\"019a0000-0000-8000-8000-000000000000\"}\r\n";
const INBOX: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 52\r\n\r\n{\"messages\":[{\"text\":\"123456 is your code.\"}]}      ";
const CHECKED: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const MESSAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 49\r\n\r\n{\"message-count\":\"1\",\"messages\":[{\"status\":\"0\"}]}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_as_long_as_it_says() {
        for answer in [STARTED, INBOX, MESSAGE] {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let told = head.rsplit(' ').next().unwrap();
            assert_eq!(told, body.len().to_string(), "{body}");
        }
    }
}
