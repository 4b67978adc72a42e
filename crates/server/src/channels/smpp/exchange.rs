//! One session over one connection: jobs in, submits out, deliveries handed on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::{AttemptId, ErrorCode, Handover, SubmitOutcome};
use smpp::{
    CloseReason, DeliveryToken, Event, LATE_RESPONSES_MAX, Outcome, Pace, Session, Status,
    SubmitRefusal,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, WriteHalf};
use tokio::sync::{mpsc, watch};
use zeroize::Zeroize as _;

use super::Shared;
use super::connect::Stream;
use super::deliveries::{self, Answer};
use super::job::Job;
use super::message::validity;
use super::outcome::Refused;
use crate::channels::{Standing, Submission};
use crate::clock::Stopwatch;
use crate::store::CarrierPart;

/// One session at work.
pub(super) struct Exchange<'b> {
    shared: Arc<Shared>,
    bind: usize,
    session: Session,
    watch: Stopwatch,
    queue: Option<&'b mut mpsc::Receiver<Job>>,
    closing: watch::Receiver<bool>,
    /// What is to be submitted next; the rest of a message that has begun comes first.
    held: VecDeque<Job>,
    /// What the SMSC is to be asked once more, and when.
    resting: VecDeque<(Duration, Job)>,
    under_way: HashMap<u64, UnderWay>,
    next_token: u64,
    /// When the pace lets the next submit through.
    paced_until: Option<Duration>,
    output: Vec<u8>,
    output_written: usize,
    /// Submits whose octets are in the output.
    in_output: Vec<u64>,
    is_flushed: bool,
    /// Parts that were given up, by token, for a response that is late.
    given_up: BTreeMap<u64, (AttemptId, CarrierPart)>,
    answers: mpsc::UnboundedReceiver<(DeliveryToken, Status)>,
    answer_to: mpsc::UnboundedSender<(DeliveryToken, Status)>,
    is_up: bool,
    was_bound: bool,
    ended: Option<CloseReason>,
}

struct UnderWay {
    job: Job,
    since: Duration,
}

/// How a session ended.
pub(super) struct Done {
    /// Why.
    pub(super) reason: CloseReason,
    /// Whether the SMSC had taken the bind.
    pub(super) was_bound: bool,
    /// The pace it had found.
    pub(super) pace: Pace,
}

impl<'b> Exchange<'b> {
    pub(super) fn new(
        shared: Arc<Shared>,
        bind: usize,
        session: Session,
        watch: Stopwatch,
        queue: Option<&'b mut mpsc::Receiver<Job>>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        // The session lets in no more deliveries than its limit, and each is answered once.
        let (answer_to, answers) = mpsc::unbounded_channel();
        Self {
            shared,
            bind,
            session,
            watch,
            queue,
            closing,
            held: VecDeque::new(),
            resting: VecDeque::new(),
            under_way: HashMap::new(),
            next_token: 0,
            paced_until: None,
            output: Vec::new(),
            output_written: 0,
            in_output: Vec::new(),
            is_flushed: true,
            given_up: BTreeMap::new(),
            answers,
            answer_to,
            is_up: false,
            was_bound: false,
            ended: None,
        }
    }

    /// Works until the session is over.
    pub(super) async fn run(mut self, stream: Box<dyn Stream>) -> Done {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut input = Vec::with_capacity(READ_OCTETS);
        let mut jobs = Vec::with_capacity(JOBS_AT_ONCE);
        let reason = loop {
            self.advance();
            if let Some(reason) = self.ended {
                break reason;
            }
            let wait = self.next_wake().saturating_sub(self.watch.elapsed());
            let takes_jobs = self.session.is_bound() && self.held.is_empty();
            let is_closing = self.is_closing();
            let unwritten = self.output.get(self.output_written..).unwrap_or_default();
            let writes = !unwritten.is_empty() || !self.is_flushed;
            let queue = self.queue.as_mut().filter(|_| takes_jobs);
            let more_jobs = async {
                match queue {
                    Some(queue) => queue.recv_many(&mut jobs, JOBS_AT_ONCE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = reader.read_buf(&mut input) => {
                    let now = self.watch.elapsed();
                    match read {
                        Ok(0) | Err(_) => self.session.handle_closed(now),
                        Ok(_) => self.session.handle_bytes(&input, now),
                    }
                    // A receipt may quote the text that it is about.
                    input.zeroize();
                }
                written = write_or_flush(&mut writer, unwritten), if writes => match written {
                    Ok(Some(0)) | Err(_) => self.session.handle_closed(self.watch.elapsed()),
                    Ok(Some(count)) => self.note_written(count),
                    Ok(None) => self.is_flushed = true,
                },
                count = more_jobs => {
                    self.held.extend(jobs.drain(..));
                    if count == 0 {
                        self.queue = None;
                    }
                }
                Some((delivery, status)) = self.answers.recv() => {
                    self.session.answer(delivery, status, self.watch.elapsed());
                }
                () = tokio::time::sleep(wait) => {}
                _ = self.closing.changed(), if !is_closing => {}
            }
        };
        // What is left is the last word to a peer that may not listen any more.
        let rest = self.output.split_off(self.output_written.min(self.output.len()));
        let last_word = async {
            writer.write_all(&rest).await?;
            writer.shutdown().await
        };
        let _ = tokio::time::timeout(LAST_WORD_MAX, last_word).await;
        self.give_back();
        Done { reason, was_bound: self.was_bound, pace: self.session.pace().clone() }
    }

    /// Does everything that can be done now, so that all of it leaves in one write.
    fn advance(&mut self) {
        let now = self.watch.elapsed();
        self.session.handle_timeout(now);
        while let Ok((delivery, status)) = self.answers.try_recv() {
            self.session.answer(delivery, status, now);
        }
        loop {
            self.submit_held(now);
            self.unbind_if_done(now);
            // Octets that wait for the socket count as written, so no more are taken than that.
            if self.output.is_empty() {
                self.output_written = 0;
                self.session.take_output(&mut self.output);
            }
            if !self.drain_events(now) {
                return;
            }
        }
    }

    fn submit_held(&mut self, now: Duration) {
        while self.resting.front().is_some_and(|(due, _)| *due <= now)
            && let Some((_, job)) = self.resting.pop_front()
        {
            self.held.push_front(job);
        }
        self.paced_until = None;
        while self.session.is_bound()
            && let Some(mut job) = self.held.pop_front()
        {
            if !job.begin() {
                continue;
            }
            let Some(validity) = validity(self.shared.clock.now(), job.expires_at) else {
                job.not_sent("its time was over", None);
                continue;
            };
            let Some(part) = job.next_part() else {
                job.finish();
                continue;
            };
            part.validity_period = validity;
            match self.session.submit(self.next_token, part, now) {
                Ok(()) => {
                    self.under_way.insert(self.next_token, UnderWay { job, since: now });
                    self.next_token += 1;
                }
                Err(SubmitRefusal::TooLong) => job.end(Submission::Rejected(ErrorCode::GENERAL)),
                Err(SubmitRefusal::ReceiverOnly) => job.bind_lost(),
                Err(
                    refusal @ (SubmitRefusal::WindowFull
                    | SubmitRefusal::Paced { .. }
                    | SubmitRefusal::NotBound
                    | SubmitRefusal::Closing),
                ) => {
                    job.wait_on();
                    self.held.push_front(job);
                    if let SubmitRefusal::Paced { until } = refusal {
                        self.paced_until = Some(until);
                    }
                    return;
                }
            }
        }
    }

    /// Asks for the end once the link is closing and everything it was given has been done.
    fn unbind_if_done(&mut self, now: Duration) {
        if !self.is_closing() {
            return;
        }
        let is_empty = self.queue.as_mut().is_none_or(|queue| {
            queue.close();
            queue.is_empty()
        });
        let is_idle = self.held.is_empty() && self.resting.is_empty() && self.under_way.is_empty();
        if is_empty && is_idle {
            self.session.unbind(now);
        }
    }

    /// Answers whether anything has happened.
    fn drain_events(&mut self, now: Duration) -> bool {
        if self.is_up && !self.session.is_bound() {
            // Told first, so that what is given back does not come again.
            self.is_up = false;
            self.shared.board.note(self.bind, Standing::Down);
        }
        let mut any = false;
        while let Some(event) = self.session.poll_event() {
            any = true;
            match event {
                Event::Bound(_) => {
                    (self.is_up, self.was_bound) = (true, true);
                    self.shared.board.note(self.bind, Standing::Up);
                }
                // What follows it says the same.
                Event::BindRefused { .. } => {}
                Event::Written { token } => self.in_output.push(token),
                Event::Submitted { token, outcome } => self.take_outcome(token, outcome, now),
                Event::Late { token, outcome } => self.take_late(token, outcome),
                Event::Delivered { delivery, message } => {
                    let answer = Answer::to(delivery, self.answer_to.clone());
                    deliveries::take(&self.shared, message, answer);
                }
                Event::Closed { reason } => self.ended = Some(reason),
            }
        }
        any
    }

    fn note_written(&mut self, count: usize) {
        self.is_flushed = false;
        self.output_written += count;
        if self.output_written < self.output.len() {
            return;
        }
        // It has held codes.
        self.output.zeroize();
        for token in self.in_output.drain(..) {
            if let Some(UnderWay { job, .. }) = self.under_way.get_mut(&token) {
                job.written(&self.shared.name);
            }
        }
    }

    fn take_outcome(&mut self, token: u64, outcome: Outcome, now: Duration) {
        let Some(UnderWay { mut job, since }) = self.under_way.remove(&token) else { return };
        match outcome {
            Outcome::Accepted { id } => {
                self.shared.figures.answered(now.saturating_sub(since));
                let key = self.shared.names.of_id(&id).or_else(|| self.shared.key_of(job.number));
                job.advance(key.map(|key| job.part(key)), false);
            }
            Outcome::Rejected { status } => {
                self.shared.figures.answered(now.saturating_sub(since));
                return self.take_refusal(job, status, now);
            }
            Outcome::NotSent => return job.bind_lost(),
            Outcome::Unknown => {
                let part = self.shared.key_of(job.number).map(|key| job.part(key));
                if let Some(part) = part {
                    self.given_up.insert(token, (job.attempt, part));
                }
                while self.given_up.len() > LATE_RESPONSES_MAX {
                    self.given_up.pop_first();
                }
                job.advance(part, true);
            }
        }
        if job.next_part().is_some() {
            self.held.push_front(job);
        } else {
            job.finish();
        }
    }

    fn take_refusal(&mut self, mut job: Job, status: Status, now: Duration) {
        match Refused::of(status) {
            Refused::ForNow => {
                if status.is_throttle() {
                    self.shared.figures.throttled();
                }
                if job.retried {
                    return job.not_sent(format!("it answered {status}"), Some(AGAIN_AFTER));
                }
                // Once, while the pace adapts; more would make a queue of codes that wait.
                job.retried = true;
                self.resting.push_back((now.saturating_add(AGAIN_AFTER), job));
            }
            Refused::ForGood(error) => job.end(Submission::Rejected(error)),
            Refused::ByThisLink => {
                job.end(Submission::LinkRefused(format!("it answered {status}")));
            }
        }
    }

    /// A response to what was told as unknown makes its receipts known by their id, or ends it.
    fn take_late(&mut self, token: u64, outcome: Outcome) {
        let Some((attempt, part)) = self.given_up.remove(&token) else { return };
        let (outcome, parts) = match outcome {
            Outcome::Accepted { id } => {
                let part = self.shared.names.of_id(&id).map(|key| CarrierPart { key, ..part });
                (SubmitOutcome::Accepted, part.into_iter().collect())
            }
            Outcome::Rejected { status } => {
                let error = match Refused::of(status) {
                    Refused::ForGood(error) => error,
                    Refused::ForNow | Refused::ByThisLink => ErrorCode::UNREACHABLE,
                };
                (SubmitOutcome::Rejected(error), Vec::new())
            }
            Outcome::NotSent | Outcome::Unknown => return,
        };
        let shared = Arc::clone(&self.shared);
        shared.main.clone().spawn(async move {
            let Some(driver) = shared.reports.driver() else { return };
            let handover = Handover::new(&shared.name, outcome);
            if let Err(error) = driver.handle_submitted(attempt, handover, parts).await {
                // Its receipt is still found by the number.
                tracing::warn!(link = shared.name, %error, "cannot store a late response");
            }
        });
    }

    fn next_wake(&self) -> Duration {
        let resting = self.resting.front().map(|(due, _)| *due);
        let wakes = [self.session.poll_timeout(), self.paced_until, resting];
        wakes.into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    /// A link that is gone without a word is closing too.
    fn is_closing(&self) -> bool {
        *self.closing.borrow() || self.closing.has_changed().is_err()
    }

    fn give_back(&mut self) {
        let resting = self.resting.drain(..).map(|(_, job)| job);
        for job in self.held.drain(..).chain(resting) {
            job.bind_lost();
        }
    }
}

/// Writes some of the octets, and answers how many, or flushes if there are none.
async fn write_or_flush(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    octets: &[u8],
) -> io::Result<Option<usize>> {
    if octets.is_empty() {
        return writer.flush().await.map(|()| None);
    }
    writer.write(octets).await.map(Some)
}

/// Read at once: dozens of receipts.
const READ_OCTETS: usize = 8192;

/// Taken from the queue at once, to leave in one write.
const JOBS_AT_ONCE: usize = 64;

/// When a submit that the SMSC could not take for now is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What an SMSC may take to read our last words.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);
