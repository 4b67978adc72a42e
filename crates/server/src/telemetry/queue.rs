//! Log lines on their way to a terminal that may be slow.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// The sending end: hands over lines without ever waiting for the terminal.
#[derive(Clone)]
pub(super) struct LogQueue {
    shared: Arc<Shared>,
}

/// Writes out what is queued when dropped, waiting at most [`FLUSH_WAIT`].
#[must_use = "the log ends when this is dropped"]
pub struct LogGuard {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Signals the writer thread: lines came in, or the log ends.
    work: Condvar,
    /// Signals the guard: the writer thread is done.
    done: Condvar,
    dropped: Counter,
}

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    ending: bool,
    ended: bool,
}

impl LogQueue {
    /// Starts the thread that writes to `writer`, in batches, one flush each.
    ///
    /// `dropped` counts the lines lost because the queue was full or the writer failed.
    pub(super) fn start(
        writer: impl Write + Send + 'static,
        dropped: Counter,
    ) -> io::Result<(Self, LogGuard)> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            dropped,
        });
        let thread_shared = Arc::clone(&shared);
        thread::Builder::new().name("log".into()).spawn(move || drain(&thread_shared, writer))?;
        Ok((Self { shared: Arc::clone(&shared) }, LogGuard { shared }))
    }

    /// Queues a line without its line end. A full queue drops and counts it.
    pub(super) fn push(&self, line: String) {
        let mut state = self.shared.state();
        if state.ending || state.lines.len() >= LOG_QUEUE_LINES_MAX {
            self.shared.dropped.inc();
            return;
        }
        state.lines.push_back(line);
        let first = state.lines.len() == 1;
        drop(state);
        // The writer takes all lines at once, so it sleeps only while there is none.
        if first {
            self.shared.work.notify_one();
        }
    }
}

impl Shared {
    /// A panic elsewhere leaves the queue in order, so poisoning means nothing here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ending = true;
        self.shared.work.notify_one();
        let waited = self.shared.done.wait_timeout_while(state, FLUSH_WAIT, |state| !state.ended);
        // A terminal that is stuck for so long must not keep the process from ending.
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn drain(shared: &Shared, mut writer: impl Write) {
    let mut batch = String::new();
    loop {
        let state = shared.state();
        let waiting = |state: &mut State| state.lines.is_empty() && !state.ending;
        let mut state =
            shared.work.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        let lines = core::mem::take(&mut state.lines);
        drop(state);
        if lines.is_empty() {
            break;
        }
        batch.clear();
        for line in &lines {
            batch.push_str(line);
            batch.push('\n');
        }
        if writer.write_all(batch.as_bytes()).and_then(|()| writer.flush()).is_err() {
            // There is nowhere left to complain to, but the metrics are still read.
            shared.dropped.inc_by(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        }
        batch.shrink_to(BATCH_BYTES_KEPT);
    }
    shared.state().ended = true;
    shared.done.notify_all();
}

/// How many lines wait for a slow terminal before new ones are dropped; a choice, some megabytes.
pub const LOG_QUEUE_LINES_MAX: usize = 8192;

/// How long the end of the process waits for the last lines; a choice.
pub const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// How much of a large batch's memory is kept for the next; a choice.
const BATCH_BYTES_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A terminal that takes a write only when it is let, and reports what it was given.
    struct Terminal {
        permits: mpsc::Receiver<()>,
        written: mpsc::Sender<String>,
    }

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.written.send(text).map_err(io::Error::other)?;
            self.permits.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn terminal() -> (Terminal, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let ((permit, permits), (written, reports)) = (mpsc::channel(), mpsc::channel());
        (Terminal { permits, written }, permit, reports)
    }

    #[test]
    fn a_stuck_terminal_costs_lines_and_never_a_wait() {
        let (terminal, permit, written) = terminal();
        let dropped = Counter::default();
        let (queue, guard) = LogQueue::start(terminal, dropped.clone()).unwrap();
        queue.push("first".into());
        assert_eq!(written.recv().unwrap(), "first\n");
        // The terminal is now stuck in its first write.
        for _ in 0..LOG_QUEUE_LINES_MAX + 3 {
            queue.push("more".into());
        }
        assert_eq!(dropped.get(), 3);
        permit.send(()).unwrap();
        permit.send(()).unwrap();
        drop(guard);
        let rest: String = written.try_iter().collect();
        assert_eq!(rest, "more\n".repeat(LOG_QUEUE_LINES_MAX), "the rest came as one batch");
    }

    #[test]
    fn the_guard_writes_out_what_is_queued_and_later_lines_are_counted() {
        let (terminal, permit, written) = terminal();
        let dropped = Counter::default();
        let (queue, guard) = LogQueue::start(terminal, dropped.clone()).unwrap();
        for _ in 0..3 {
            permit.send(()).unwrap();
            queue.push("line".into());
        }
        drop(guard);
        assert_eq!(written.try_iter().collect::<String>(), "line\n".repeat(3));
        queue.push("too late".into());
        assert_eq!(dropped.get(), 1);
    }

    #[test]
    fn lines_for_a_closed_terminal_are_counted_as_dropped() {
        let (terminal, permit, _written) = terminal();
        drop(permit);
        let dropped = Counter::default();
        let (queue, guard) = LogQueue::start(terminal, dropped.clone()).unwrap();
        queue.push("line".into());
        drop(guard);
        assert_eq!(dropped.get(), 1);
    }
}
