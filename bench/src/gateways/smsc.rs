//! An SMSC that takes everything and delivers it at once: the carrier of both gateways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use smpp::{BindResp, Body, ESM_CLASS_RECEIPT, MessageResp, Pdu, ShortMessage, Status, frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::board::Board;
use super::listener::listen;

/// Starts it.
///
/// # Errors
/// There is no port or no thread.
pub(super) fn start(board: Arc<Board>) -> std::io::Result<SocketAddr> {
    listen("smsc", move |stream| serve(stream, Arc::clone(&board)))
}

/// What one bind needs to remember.
#[derive(Default)]
struct Esme {
    written: Vec<u8>,
    identifiers: u32,
    requests: u32,
    receipts: Vec<(Instant, ShortMessage)>,
    unbound: bool,
}

async fn serve(mut stream: TcpStream, board: Arc<Board>) -> std::io::Result<()> {
    let mut esme = Esme::default();
    let mut received = Vec::with_capacity(64 * 1024);
    while !esme.unbound {
        tokio::select! {
            read = stream.read_buf(&mut received) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            () = tokio::time::sleep(RECEIPT_AFTER), if !esme.receipts.is_empty() => {}
        }
        let mut done = 0;
        while let Some(rest) = received.get(done..)
            && let Some(octets) = frame(rest).map_err(|_| std::io::ErrorKind::InvalidData)?
        {
            done += octets.len();
            esme.handle(Pdu::parse(octets), &board);
        }
        received.drain(..done);
        esme.tell_what_is_due();
        stream.write_all(&esme.written).await?;
        esme.written.clear();
    }
    Ok(())
}

impl Esme {
    fn handle(&mut self, pdu: Pdu, board: &Board) {
        let answer = match pdu.body {
            Body::Bind(bind) => Body::BindResp(
                bind.kind,
                BindResp { system_id: "bench".to_owned(), ..BindResp::default() },
            ),
            Body::EnquireLink => Body::EnquireLinkResp,
            Body::Unbind => {
                self.unbound = true;
                Body::UnbindResp
            }
            Body::SubmitSm(message) => {
                if let Ok(number) = message.destination.text.parse() {
                    board.submitted(number);
                }
                self.identifiers += 1;
                let message_id = format!("{:08}", self.identifiers);
                self.receipts.push((Instant::now(), receipt(message, &message_id)));
                Body::SubmitSmResp(MessageResp { message_id, ..MessageResp::default() })
            }
            Body::BindResp(..)
            | Body::Outbind(_)
            | Body::SubmitSmResp(_)
            | Body::DeliverSm(_)
            | Body::DeliverSmResp(_)
            | Body::DataSm(_)
            | Body::DataSmResp(_)
            | Body::EnquireLinkResp
            | Body::UnbindResp
            | Body::GenericNack
            | Body::AlertNotification(_)
            | Body::Other { .. } => return,
        };
        Pdu::response(Status::ROK, pdu.sequence, answer).render(&mut self.written);
    }

    fn tell_what_is_due(&mut self) {
        let due = self.receipts.iter().take_while(|(at, _)| at.elapsed() >= RECEIPT_AFTER).count();
        for (_, receipt) in self.receipts.drain(..due) {
            self.requests += 1;
            Pdu::request(self.requests, Body::DeliverSm(receipt)).render(&mut self.written);
        }
    }
}

fn receipt(message: ShortMessage, id: &str) -> ShortMessage {
    let text = format!(
        "id:{id} sub:001 dlvrd:001 submit date:2611252100 done date:2611252100 stat:DELIVRD err:000 text:"
    );
    ShortMessage {
        source: message.destination,
        destination: message.source,
        esm_class: ESM_CLASS_RECEIPT,
        short_message: text.into_bytes().into(),
        ..ShortMessage::default()
    }
}

/// A phone that is on answers in about so long; here it is short, so that little is under way.
const RECEIPT_AFTER: Duration = Duration::from_millis(20);
