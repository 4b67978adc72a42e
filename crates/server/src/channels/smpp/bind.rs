//! One bind, for as long as its link lives: it connects, works, and connects again.

use std::sync::Arc;
use std::time::Duration;

use smpp::{
    Address, Bind as BindRequest, BindKind, CloseReason, INTERFACE_VERSION, Pace, Session,
    SessionConfig, Status,
};
use tokio::sync::{mpsc, watch};

use super::Shared;
use super::exchange::Exchange;
use super::job::Job;
use crate::channels::{ErrorKind, Standing};
use crate::clock::{self, Stopwatch};
use crate::config::SmscAddress;

/// One bind.
pub(super) struct Bind {
    shared: Arc<Shared>,
    index: usize,
    kind: BindKind,
    /// What is to be submitted; `None` for a receiver.
    queue: Option<mpsc::Receiver<Job>>,
    closing: watch::Receiver<bool>,
    /// The time of all its sessions, so that the pace it has found outlives each.
    watch: Stopwatch,
    pace: Pace,
    /// What each host has declined since it last took the bind.
    declined: Vec<Declined>,
}

/// How a try to work ended.
enum Tried {
    /// The link is closing, and everything was done.
    Finished,
    /// There was a bind, and it was lost.
    Lost,
    /// To ask again soon would do harm.
    Refused,
    /// Nothing came of it.
    Failed,
}

impl Bind {
    pub(super) fn new(
        shared: Arc<Shared>,
        index: usize,
        kind: BindKind,
        queue: Option<mpsc::Receiver<Job>>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let pace = Pace::new(shared.config.pdus_per_s);
        let watch = Stopwatch::start();
        let declined = vec![Declined::default(); shared.config.hosts.len()];
        Self { shared, index, kind, queue, closing, watch, pace, declined }
    }

    /// Works until the link is closed.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let wait = match self.try_hosts().await {
                Tried::Finished => break,
                Tried::Refused => REFUSED_PAUSE,
                Tried::Lost => {
                    pause = PAUSE_MIN;
                    pause
                }
                Tried::Failed => {
                    let wait = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    wait
                }
            };
            if self.rest(clock::jittered(wait)).await {
                break;
            }
        }
        self.give_back();
        self.shared.board.note(self.index, Standing::Down);
    }

    /// Tries the hosts in turn, until there was a bind with one of them.
    async fn try_hosts(&mut self) -> Tried {
        let shared = Arc::clone(&self.shared);
        let mut tried = Tried::Failed;
        for (place, host) in shared.config.hosts.iter().enumerate() {
            if *self.closing.borrow() {
                return Tried::Finished;
            }
            match self.try_host(place, host).await {
                Tried::Failed => {}
                Tried::Refused => tried = Tried::Refused,
                done @ (Tried::Lost | Tried::Finished) => return done,
            }
        }
        tried
    }

    async fn try_host(&mut self, place: usize, host: &SmscAddress) -> Tried {
        let shared = Arc::clone(&self.shared);
        let mut closing = self.closing.clone();
        let connecting = shared.connector.connect(host);
        let connected = tokio::select! {
            connected = connecting => connected,
            _ = closing.wait_for(|closing| *closing) => return Tried::Finished,
        };
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) => {
                let error = format!("connect to {}:{}: {error}", host.host, host.port);
                let kind = ErrorKind::Unreachable;
                shared.board.note_error(self.index, Standing::Down, kind, error);
                return Tried::Failed;
            }
        };
        let session = Session::new(self.session_config(), self.watch.elapsed());
        let exchange = Exchange::new(
            Arc::clone(&self.shared),
            self.index,
            session,
            self.watch,
            self.queue.as_mut(),
            self.closing.clone(),
        );
        let done = exchange.run(stream).await;
        self.pace = done.pace;
        let (kind, error) = match done.reason {
            CloseReason::Unbound => return Tried::Finished,
            CloseReason::BindRefused(status) => {
                (ErrorKind::Refused, &*format!("the bind was answered with {status}"))
            }
            CloseReason::BindTimedOut => (ErrorKind::Silent, "the bind was not answered"),
            CloseReason::UnboundByPeer => (ErrorKind::Unreachable, "the SMSC has unbound"),
            CloseReason::PeerSilent => (ErrorKind::Silent, "the SMSC answers nothing"),
            CloseReason::PeerNotReading => (ErrorKind::Silent, "the SMSC does not read"),
            CloseReason::ImpossibleLength(_) => {
                (ErrorKind::Garbled, "what the SMSC sends is not SMPP")
            }
            CloseReason::LinkClosed => (ErrorKind::Unreachable, "the connection was lost"),
        };
        let CloseReason::BindRefused(status) = done.reason else {
            if let Some(declined) = self.declined.get_mut(place).filter(|_| done.was_bound) {
                *declined = Declined { has_bound: true, ..Declined::default() };
            }
            shared.board.note_error(self.index, Standing::Down, kind, error.to_owned());
            return if done.was_bound { Tried::Lost } else { Tried::Failed };
        };
        let declined = self.declined.get_mut(place);
        let refusal = declined.map(|declined| declined.note(status)).unwrap_or_default();
        let standing = if refusal.is_for_operator { Standing::Refused } else { Standing::Down };
        shared.board.note_error(self.index, standing, kind, error.to_owned());
        if refusal.is_harmful { Tried::Refused } else { Tried::Failed }
    }

    fn session_config(&self) -> SessionConfig {
        let config = &self.shared.config;
        let password = self.shared.password.clone();
        SessionConfig {
            bind: BindRequest {
                kind: self.kind,
                system_id: config.system_id.clone(),
                password,
                system_type: config.system_type.clone(),
                interface_version: INTERFACE_VERSION,
                address_range: Address::default(),
            },
            window_pdus_max: config.window,
            deliveries_max: DELIVERIES_MAX,
            pace: self.pace.clone(),
            response_timeout: config.response_timeout,
            enquire_interval: config.enquire_link,
        }
    }

    /// Waits before the next try; answers whether the link is closing. What was queued while the
    /// bind was being lost goes back, because another bind may take it.
    async fn rest(&mut self, pause: Duration) -> bool {
        let rested = tokio::time::sleep(pause);
        tokio::pin!(rested);
        loop {
            self.give_back();
            let job = async {
                match self.queue.as_mut() {
                    Some(queue) => queue.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut rested => return false,
                closing = self.closing.wait_for(|closing| *closing) => {
                    // Without its sender there is no link any more.
                    drop(closing);
                    return true;
                }
                job = job => match job {
                    Some(job) => job.bind_lost(),
                    None => return true,
                },
            }
        }
    }

    fn give_back(&mut self) {
        let Some(queue) = self.queue.as_mut() else { return };
        while let Ok(job) = queue.try_recv() {
            job.bind_lost();
        }
    }
}

/// How often in a row one host has declined the bind.
#[derive(Clone, Copy, Debug, Default)]
struct Declined {
    /// For whatever reason.
    all: u32,
    /// With a status that may stand for wrong credentials.
    failed: u32,
    /// Whether it has taken these credentials before.
    has_bound: bool,
}

/// What a declined bind means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Refusal {
    /// Whether only the operator can help, as far as can be told.
    is_for_operator: bool,
    /// Whether to ask again soon may lock the account out.
    is_harmful: bool,
}

impl Declined {
    /// Takes note of a status. What is not said of the credentials may be over in a moment: that
    /// there is such a bind already, or that it failed, is said where a reload has replaced a
    /// connection, or where one has died unnoticed. So however long it lasts, the SMSC is asked as
    /// often as one that is down: a longer pause would outlive the codes that wait.
    fn note(&mut self, status: Status) -> Refusal {
        self.all = self.all.saturating_add(1);
        self.failed = if status == Status::RBINDFAIL { self.failed.saturating_add(1) } else { 0 };
        let is_of_credentials = [Status::RINVPASWD, Status::RINVSYSID].contains(&status);
        let is_harmful = is_of_credentials || (!self.has_bound && self.failed >= FAILED_MAX);
        Refusal { is_for_operator: is_harmful || self.all >= DECLINED_MAX, is_harmful }
    }
}

/// The pauses between two tries, which double.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Many SMSCs lock an account out after a few wrong passwords.
const REFUSED_PAUSE: Duration = Duration::from_mins(5);

/// What a host has declined so often in a row, over one to two minutes, is for the operator, too.
const DECLINED_MAX: u32 = 8;

/// Some SMSCs say no more than that the bind has failed where the password is wrong, which it is
/// not where they have taken it before. A choice: fewer than lock an account out anywhere.
const FAILED_MAX: u32 = 3;

/// Deliveries that may wait for the store, on each bind; above it the SMSC is told to repeat.
/// A choice: two of the store's batches, and some hundred KB at most.
const DELIVERIES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_said_of_the_credentials_is_asked_for_seldom() {
        let told = |statuses: &[Status]| {
            let mut declined = Declined::default();
            let refusals = statuses.iter().map(|status| declined.note(*status));
            let last = refusals.last().unwrap();
            (last.is_for_operator, last.is_harmful)
        };
        for status in [Status::RINVPASWD, Status::RINVSYSID] {
            assert_eq!(told(&[status]), (true, true), "{status}");
        }
        for status in [Status::RALYBND, Status::RINVSYSTYP, Status::RSYSERR] {
            assert_eq!(told(&[status; 7]), (false, false), "{status}");
            assert_eq!(told(&[status; 8]), (true, false), "{status}");
            assert_eq!(told(&[status; 99]), (true, false), "{status}: as often as before");
        }
        assert_eq!(told(&[Status::RBINDFAIL; 2]), (false, false));
        assert_eq!(told(&[Status::RBINDFAIL; 3]), (true, true));
        let between = [Status::RBINDFAIL, Status::RBINDFAIL, Status::RALYBND, Status::RBINDFAIL];
        assert_eq!(told(&between), (false, false), "not in a row");
        let mut bound_before = Declined { has_bound: true, ..Declined::default() };
        let refusals = [Status::RBINDFAIL; 8].map(|status| bound_before.note(status));
        assert!(!refusals.iter().any(|refusal| refusal.is_harmful), "its password is right");
    }
}
