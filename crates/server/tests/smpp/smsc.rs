//! An SMSC on a socket of its own, which does what a story asks of it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use smpp::{
    Address, BindKind, BindResp, Body, DATA_CODING_UCS2, ESM_CLASS_RECEIPT, MessageResp,
    MessageState, Pdu, ShortMessage, Status, frame, tag,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

/// The SMSC, as seen from a story.
pub(crate) struct Smsc {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    submits: mpsc::UnboundedReceiver<Submit>,
    listening: tokio::task::JoinHandle<()>,
}

/// A submit that came in.
pub(crate) struct Submit {
    pub(crate) message: ShortMessage,
    /// The id that the response gave, or would have given: a number.
    pub(crate) id: u64,
    /// Which connection it came over.
    pub(crate) connection: usize,
}

/// What a submit is answered with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Accept,
    Refuse(Status),
    /// Nothing.
    Silence,
    /// The connection ends.
    Die,
    /// A receipt, and then the response.
    ReceiptFirst(MessageState),
    /// The response after so many milliseconds.
    Late(u64),
    /// The response once the story lets go of it.
    Held,
}

/// How an SMSC writes its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// The same everywhere.
    Same,
    /// Hexadecimal in responses, decimal in receipts.
    HexThenDec,
    /// One id for all.
    Constant,
}

struct Shared {
    ids: Ids,
    password: String,
    state: Mutex<State>,
    submits: mpsc::UnboundedSender<Submit>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Answer>,
    connections: Vec<Connection>,
    /// Responses that the story holds back.
    held: Vec<(mpsc::UnboundedSender<Vec<u8>>, Vec<u8>)>,
    /// Deliveries that wait for their answer.
    delivered: HashMap<u32, oneshot::Sender<Status>>,
    sequence: u32,
    last_id: u64,
    /// What the next binds are declined with.
    declines: VecDeque<Status>,
    has_one_bind: bool,
    binds_refused: usize,
    unbinds: usize,
}

struct Connection {
    kind: Option<BindKind>,
    out: mpsc::UnboundedSender<Vec<u8>>,
}

impl Smsc {
    pub(crate) async fn start() -> Self {
        Self::start_with(Ids::Same, None).await
    }

    pub(crate) async fn start_with(ids: Ids, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, submits) = mpsc::unbounded_channel();
        let state = State { last_id: 0x00AB_CDE0, ..State::default() };
        let state = Mutex::new(state);
        let shared = Shared { ids, password: PASSWORD.to_owned(), state, submits: sender };
        let shared = Arc::new(shared);
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared), tls));
        Self { address, shared, submits, listening }
    }

    /// Answers the next submits so, and those after as usual.
    pub(crate) fn will_answer(&self, answers: &[Answer]) {
        self.state().next.extend(answers);
    }

    /// Sends the responses that were held back.
    pub(crate) fn let_go(&self) {
        for (out, response) in self.state().held.drain(..) {
            let _ = out.send(response);
        }
    }

    /// Takes one bind at a time from now on.
    pub(crate) fn will_take_one_bind(&self) {
        self.state().has_one_bind = true;
    }

    /// Declines the next binds so.
    pub(crate) fn will_decline(&self, statuses: &[Status]) {
        self.state().declines.extend(statuses);
    }

    /// Waits for the next submit.
    pub(crate) async fn next(&mut self) -> Submit {
        let next = tokio::time::timeout(BOUND, self.submits.recv()).await;
        next.expect("a submit comes").expect("the SMSC runs")
    }

    /// Whether a submit has come that no story has looked at.
    pub(crate) fn has_more(&self) -> bool {
        !self.submits.is_empty()
    }

    /// Delivers a receipt; answers what the server says to it.
    pub(crate) async fn receipt(&self, submit: &Submit, state: MessageState) -> Status {
        let (pdu, status) = self.shared.receipt(submit.id, &submit.message, state);
        self.shared.deliver(&pdu);
        tokio::time::timeout(BOUND, status).await.expect("the server answers").unwrap()
    }

    /// Ends all connections where they stand.
    pub(crate) fn drop_connections(&self) {
        self.state().connections.iter_mut().for_each(|connection| {
            connection.out = mpsc::unbounded_channel().0;
            connection.kind = None;
        });
    }

    /// Ends all connections and takes no new ones.
    pub(crate) fn stop(&self) {
        self.listening.abort();
        self.drop_connections();
    }

    pub(crate) fn binds(&self) -> Vec<BindKind> {
        self.state().connections.iter().filter_map(|connection| connection.kind).collect()
    }

    pub(crate) fn binds_refused(&self) -> usize {
        self.state().binds_refused
    }

    pub(crate) fn unbinds(&self) -> usize {
        self.state().unbinds
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Submit {
    /// The text of this part.
    pub(crate) fn text(&self) -> String {
        let octets = self.message.text();
        if self.message.data_coding == DATA_CODING_UCS2 {
            let pairs = octets.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            return String::from_utf16(&pairs.collect::<Vec<_>>()).unwrap();
        }
        engine::wording::gsm::decode(octets)
    }

    pub(crate) fn to(&self) -> &str {
        &self.message.destination.text
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn id_in_response(&self, id: u64) -> String {
        match self.ids {
            Ids::Same | Ids::HexThenDec => format!("{id:X}"),
            Ids::Constant => "msg_id_not_implemented".to_owned(),
        }
    }

    fn id_in_receipt(&self, id: u64) -> String {
        match self.ids {
            // Other case, leading zeros: both are the same id.
            Ids::Same => format!("{id:012x}"),
            Ids::HexThenDec => format!("{id:010}"),
            Ids::Constant => "msg_id_not_implemented".to_owned(),
        }
    }

    fn receipt(
        &self,
        id: u64,
        about: &ShortMessage,
        state: MessageState,
    ) -> (Vec<u8>, oneshot::Receiver<Status>) {
        let id = self.id_in_receipt(id);
        let error = if state == MessageState::Undeliverable { "001" } else { "000" };
        let text = format!(
            "id:{id} sub:001 dlvrd:001 submit date:2611250900 done date:2611250901 \
             stat:{} err:{error} text:id:77 stat:DELIVRD",
            state.stat()
        );
        let mut message = ShortMessage {
            source: about.destination.clone(),
            destination: about.source.clone(),
            esm_class: ESM_CLASS_RECEIPT,
            short_message: text.as_bytes().into(),
            ..ShortMessage::default()
        };
        if self.ids == Ids::Same {
            message.tlvs.push(tag::MESSAGE_STATE, [state.number()].as_slice());
        }
        self.delivery(message)
    }

    fn delivery(&self, message: ShortMessage) -> (Vec<u8>, oneshot::Receiver<Status>) {
        let mut state = self.state();
        state.sequence += 1;
        let sequence = state.sequence;
        let (sender, status) = oneshot::channel();
        state.delivered.insert(sequence, sender);
        (rendered(&Pdu::request(sequence, Body::DeliverSm(message))), status)
    }

    /// Sends a delivery over a connection that takes it.
    fn deliver(&self, pdu: &[u8]) {
        let state = self.state();
        let takes = |kind| matches!(kind, Some(BindKind::Transceiver | BindKind::Receiver));
        let open = state.connections.iter().filter(|connection| takes(connection.kind));
        let sent = open.into_iter().any(|connection| connection.out.send(pdu.to_vec()).is_ok());
        assert!(sent, "no connection takes a delivery");
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        match tls.clone() {
            None => {
                tokio::spawn(serve(socket, shared));
            }
            Some(acceptor) => {
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        serve(stream, shared).await;
                    }
                });
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite, shared: Arc<Shared>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (sender, mut to_write) = mpsc::unbounded_channel::<Vec<u8>>();
    // The story ends a connection by dropping the sender that the state has.
    let out = sender.downgrade();
    let connection = {
        let mut state = shared.state();
        state.connections.push(Connection { kind: None, out: sender });
        state.connections.len() - 1
    };
    let mut input = Vec::new();
    loop {
        tokio::select! {
            read = reader.read_buf(&mut input) => {
                if read.unwrap_or(0) == 0 {
                    break;
                }
                while let Ok(Some(pdu)) = frame(&input) {
                    let length = pdu.len();
                    let pdu = Pdu::parse(pdu);
                    input.drain(..length);
                    if !handle(pdu, connection, &shared, &out) {
                        // What was answered before still goes out.
                        shared.state().connections[connection].kind = None;
                        while let Ok(octets) = to_write.try_recv() {
                            let _ = writer.write_all(&octets).await;
                        }
                        return;
                    }
                }
            }
            octets = to_write.recv() => match octets {
                Some(octets) => {
                    if writer.write_all(&octets).await.is_err() {
                        break;
                    }
                    let _ = writer.flush().await;
                }
                None => break,
            },
        }
    }
    shared.state().connections[connection].kind = None;
}

/// Answers a PDU; `false` ends the connection.
fn handle(
    pdu: Pdu,
    connection: usize,
    shared: &Arc<Shared>,
    out: &mpsc::WeakUnboundedSender<Vec<u8>>,
) -> bool {
    let Some(out) = out.upgrade() else { return false };
    let sequence = pdu.sequence;
    let answer = |status, body| {
        let _ = out.send(rendered(&Pdu::response(status, sequence, body)));
    };
    match pdu.body {
        Body::Bind(bind) => {
            let mut state = shared.state();
            let is_bound = state.connections.iter().any(|connection| connection.kind.is_some());
            let resp = BindResp { system_id: "SMSC".to_owned(), ..BindResp::default() };
            let declined = state.declines.pop_front();
            let declined = declined.or((state.has_one_bind && is_bound).then_some(Status::RALYBND));
            if let Some(status) = declined {
                state.binds_refused += 1;
                answer(status, Body::BindResp(bind.kind, BindResp::default()));
            } else if bind.password.reveal() == shared.password {
                state.connections[connection].kind = Some(bind.kind);
                answer(Status::ROK, Body::BindResp(bind.kind, resp));
            } else {
                state.binds_refused += 1;
                answer(Status::RINVPASWD, Body::BindResp(bind.kind, BindResp::default()));
            }
        }
        Body::SubmitSm(message) => return submit(message, sequence, connection, shared, &out),
        Body::DeliverSmResp(_) => {
            if let Some(waiting) = shared.state().delivered.remove(&sequence) {
                let _ = waiting.send(pdu.status);
            }
        }
        Body::EnquireLink => answer(Status::ROK, Body::EnquireLinkResp),
        Body::Unbind => {
            shared.state().unbinds += 1;
            answer(Status::ROK, Body::UnbindResp);
            return false;
        }
        Body::BindResp(..)
        | Body::Outbind(_)
        | Body::SubmitSmResp(_)
        | Body::DeliverSm(_)
        | Body::DataSm(_)
        | Body::DataSmResp(_)
        | Body::EnquireLinkResp
        | Body::UnbindResp
        | Body::GenericNack
        | Body::AlertNotification(_)
        | Body::Other { .. } => {}
    }
    true
}

fn submit(
    message: ShortMessage,
    sequence: u32,
    connection: usize,
    shared: &Arc<Shared>,
    out: &mpsc::UnboundedSender<Vec<u8>>,
) -> bool {
    let (how, id) = {
        let mut state = shared.state();
        state.last_id += 1;
        (state.next.pop_front().unwrap_or(Answer::Accept), state.last_id)
    };
    let response = |status: Status| {
        let message_id = if status.is_ok() { shared.id_in_response(id) } else { String::new() };
        let resp = MessageResp { message_id, ..MessageResp::default() };
        rendered(&Pdu::response(status, sequence, Body::SubmitSmResp(resp)))
    };
    match how {
        Answer::Accept => drop(out.send(response(Status::ROK))),
        Answer::Refuse(status) => drop(out.send(response(status))),
        Answer::Silence | Answer::Die => {}
        Answer::ReceiptFirst(state) => {
            let (receipt, _) = shared.receipt(id, &message, state);
            drop(out.send(receipt));
            drop(out.send(response(Status::ROK)));
        }
        Answer::Held => shared.state().held.push((out.clone(), response(Status::ROK))),
        Answer::Late(millis) => {
            let (out, response) = (out.clone(), response(Status::ROK));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                let _ = out.send(response);
            });
        }
    }
    let _ = shared.submits.send(Submit { message, id, connection });
    !matches!(how, Answer::Die)
}

/// An inbound message, for links that hand such on.
pub(crate) fn inbound(from: &str, to: &str, text: &str) -> ShortMessage {
    ShortMessage {
        source: Address::international(from),
        destination: Address::short_code(to),
        short_message: text.as_bytes().into(),
        ..ShortMessage::default()
    }
}

impl Smsc {
    /// Delivers a message to one of the server's numbers; answers what the server says to it.
    pub(crate) async fn deliver(&self, message: ShortMessage) -> Status {
        let (pdu, status) = self.shared.delivery(message);
        self.shared.deliver(&pdu);
        tokio::time::timeout(BOUND, status).await.expect("the server answers").unwrap()
    }
}

fn rendered(pdu: &Pdu) -> Vec<u8> {
    let mut octets = Vec::new();
    pdu.render(&mut octets);
    octets
}

pub(crate) const PASSWORD: &str = "secret8";

/// Longer than anything that is waited for takes.
const BOUND: Duration = Duration::from_secs(20);
