//! The thread on which all SMPP links live.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread with a runtime of its own, begun by the first link and ended after the last.
///
/// A code that waits is worthless: on the runtime of the doors and webhooks, a burst of requests
/// would stand between a submit and its socket. Here only sockets of SMSCs are served, and what
/// they deliver is handed to the other runtime.
#[derive(Clone, Default)]
pub struct SmppThread(Arc<Mutex<Option<Running>>>);

struct Running {
    runtime: Handle,
    /// Dropped with the last link, which ends the thread.
    _stop: oneshot::Sender<()>,
}

impl SmppThread {
    /// Returns where to spawn what is to live on the thread.
    pub(super) fn runtime(&self) -> io::Result<Handle> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { runtime, .. }) = &*running {
            return Ok(runtime.clone());
        }
        let own = Builder::new_current_thread().enable_all().build()?;
        let runtime = own.handle().clone();
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new().name("smpp".to_owned()).spawn(move || {
            let _ = own.block_on(stopped);
        })?;
        *running = Some(Running { runtime: runtime.clone(), _stop: stop });
        Ok(runtime)
    }
}
