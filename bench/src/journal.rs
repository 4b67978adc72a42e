//! An append-only file with group commit: whoever appends is told once it has been flushed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::oneshot;

/// The file, and the thread that writes it.
pub(crate) struct Journal {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    appended: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    acknowledgements: Vec<oneshot::Sender<()>>,
    closed: bool,
}

impl Journal {
    /// Creates the file with its whole length written as zeros: blocks that were written before
    /// are flushed in two thirds of the time that new ones take.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let zeros = vec![0; 1 << 20];
        for at in (0..SEGMENT_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || writer.write(&file))?;
        Ok(Self { shared })
    }

    /// Appends an entry; the answer comes once it is durable, and never if it cannot be.
    pub(crate) fn append(&self, entry: &[u8]) -> oneshot::Receiver<()> {
        let (acknowledge, acknowledged) = oneshot::channel();
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
        waiting.bytes.extend_from_slice(&length.to_be_bytes());
        waiting.bytes.extend_from_slice(entry);
        waiting.acknowledgements.push(acknowledge);
        // The writer sleeps only when nothing waits.
        if waiting.acknowledgements.len() == 1 {
            self.shared.appended.notify_one();
        }
        acknowledged
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.appended.notify_one();
    }
}

impl Shared {
    fn write(&self, file: &File) {
        let mut taken = Waiting::default();
        let mut at = 0;
        while self.take(&mut taken) {
            let length = u64::try_from(taken.bytes.len()).unwrap_or(u64::MAX);
            if length > SEGMENT_BYTES - at {
                // A real one would go on in a second segment; writing costs the same here.
                at = 0;
            }
            let written = file.write_all_at(&taken.bytes, at).and_then(|()| file.sync_data());
            at += length;
            taken.bytes.clear();
            if written.is_err() {
                // Dropping the senders tells everybody that it failed.
                taken.acknowledgements.clear();
            }
            for acknowledge in taken.acknowledgements.drain(..) {
                let _ = acknowledge.send(());
            }
        }
    }

    /// Waits for entries and takes them all; false once the journal is closed and empty.
    fn take(&self, taken: &mut Waiting) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.bytes.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting = self.appended.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.bytes, &mut taken.bytes);
        std::mem::swap(&mut waiting.acknowledgements, &mut taken.acknowledgements);
        true
    }
}

/// Begun anew when it is full.
const SEGMENT_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_acknowledged_is_in_the_file_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let journal = Journal::create(&path).unwrap();
        let answers: Vec<_> = (0..100_u8).map(|n| journal.append(&[n; 3])).collect();
        for answer in answers {
            answer.blocking_recv().unwrap();
        }
        let file = std::fs::read(&path).unwrap();
        for (n, entry) in (0..100_u8).zip(file.chunks(7)) {
            assert_eq!(entry, [0, 0, 0, 3, n, n, n]);
        }
    }
}
