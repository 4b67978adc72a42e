//! What was rendered, each thing once however many ask for it, within a bound of memory.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Finished values, the longest unused of which goes when room is needed, and those in the making.
///
/// A value is made in a task of its own: whoever waited too long finds it there the next time.
pub(crate) struct Cache<K, V, E> {
    state: Mutex<State<K, V, E>>,
    bytes_max: usize,
    pending_max: usize,
}

/// Why there is no value yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absence<E> {
    /// It could not be made.
    Failed(E),
    /// It was not made within the time the caller had, and is still being made.
    Late,
    /// So many others are being made that this one was not begun.
    Busy,
}

struct State<K, V, E> {
    finished: BTreeMap<K, Entry<V>>,
    pending: BTreeMap<K, Awaited<V, E>>,
    bytes: usize,
    uses: u64,
}

type Awaited<V, E> = watch::Receiver<Option<Result<V, E>>>;

struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K, V, E> Cache<K, V, E>
where
    K: Clone + Ord + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Makes an empty cache for values of `bytes_max` together, `pending_max` made at a time.
    pub(crate) fn new(bytes_max: usize, pending_max: usize) -> Arc<Self> {
        let (finished, pending) = (BTreeMap::new(), BTreeMap::new());
        let state = Mutex::new(State { finished, pending, bytes: 0, uses: 0 });
        Arc::new(Self { state, bytes_max, pending_max })
    }

    /// Looks a finished value up.
    pub(crate) fn find(&self, key: &K) -> Option<V> {
        let mut state = self.lock();
        state.uses += 1;
        let uses = state.uses;
        let entry = state.finished.get_mut(key)?;
        entry.used = uses;
        Some(entry.value.clone())
    }

    /// Returns the value, made by `make` together with its size in bytes unless it is there.
    ///
    /// Waits no longer than `bound`.
    pub(crate) async fn find_or_make(
        self: &Arc<Self>,
        key: K,
        bound: Duration,
        make: impl Future<Output = Result<(V, usize), E>> + Send + 'static,
    ) -> Result<V, Absence<E>> {
        if let Some(value) = self.find(&key) {
            return Ok(value);
        }
        let mut awaited = self.begin(key, make)?;
        let made = awaited.wait_for(Option::is_some);
        match tokio::time::timeout(bound, made).await {
            Ok(Ok(made)) => match made.as_ref() {
                Some(result) => result.clone().map_err(Absence::Failed),
                None => Err(Absence::Late),
            },
            // The task broke off, or the time is up: for the caller it is the same.
            Ok(Err(_)) | Err(_) => Err(Absence::Late),
        }
    }

    /// Returns the bytes of all finished values.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn begin(
        self: &Arc<Self>,
        key: K,
        make: impl Future<Output = Result<(V, usize), E>> + Send + 'static,
    ) -> Result<Awaited<V, E>, Absence<E>> {
        let mut state = self.lock();
        if let Some(awaited) = state.pending.get(&key) {
            return Ok(awaited.clone());
        }
        if state.pending.len() >= self.pending_max {
            return Err(Absence::Busy);
        }
        let (tell, awaited) = watch::channel(None);
        state.pending.insert(key.clone(), awaited.clone());
        drop(state);
        let cache = Arc::clone(self);
        let made = tokio::spawn(make);
        tokio::spawn(async move {
            // A panic in `make` ends here too, so that the key does not stay pending for ever.
            let made = made.await.ok();
            let mut state = cache.lock();
            state.pending.remove(&key);
            if let Some(Ok((value, bytes))) = &made {
                state.keep(key, value.clone(), *bytes, cache.bytes_max);
            }
            drop(state);
            if let Some(result) = made {
                tell.send_replace(Some(result.map(|(value, _)| value)));
            }
        });
        Ok(awaited)
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord, V, E> State<K, V, E> {
    fn keep(&mut self, key: K, value: V, bytes: usize, bytes_max: usize) {
        while self.bytes.saturating_add(bytes) > bytes_max {
            let oldest = self.finished.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            let gone = self.finished.remove(&oldest).map_or(0, |entry| entry.bytes);
            self.bytes = self.bytes.saturating_sub(gone);
        }
        self.uses += 1;
        let entry = Entry { value, bytes, used: self.uses };
        let replaced = self.finished.insert(key, entry).map_or(0, |entry| entry.bytes);
        self.bytes = self.bytes.saturating_add(bytes).saturating_sub(replaced);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    type Words = Cache<&'static str, String, &'static str>;

    const SOON: Duration = Duration::from_millis(50);

    async fn make(cache: &Arc<Words>, key: &'static str, bytes: usize) {
        let made = async move { Ok((key.to_uppercase(), bytes)) };
        cache.find_or_make(key, SOON, made).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_made_once_for_all_who_ask_at_a_time() {
        let cache = Words::new(100, 8);
        let count = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let count = Arc::clone(&count);
            cache.find_or_make("a", SOON, async move {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(SOON / 2).await;
                Ok(("A".to_owned(), 1))
            })
        };
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        assert_eq!((one.as_deref(), two.as_deref()), (Ok("A"), Ok("A")));
        assert_eq!(three.as_deref(), Ok("A"));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_too_late_is_there_the_next_time() {
        let cache = Words::new(100, 8);
        let slow = async {
            tokio::time::sleep(SOON * 2).await;
            Ok(("A".to_owned(), 1))
        };
        assert_eq!(cache.find_or_make("a", SOON, slow).await, Err(Absence::Late));
        assert_eq!(cache.find(&"a"), None);
        tokio::time::sleep(SOON * 2).await;
        assert_eq!(cache.find(&"a").as_deref(), Some("A"));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_begun_than_the_bound_allows() {
        let cache = Words::new(100, 1);
        let never = || std::future::pending();
        assert_eq!(cache.find_or_make("a", SOON, never()).await, Err(Absence::Late));
        assert_eq!(cache.find_or_make("b", SOON, never()).await, Err(Absence::Busy));
    }

    #[tokio::test]
    async fn a_failure_is_told_and_tried_again_the_next_time() {
        let cache = Words::new(100, 8);
        let failed = cache.find_or_make("a", SOON, async { Err("no voice") }).await;
        assert_eq!(failed, Err(Absence::Failed("no voice")));
        make(&cache, "a", 1).await;
    }

    #[tokio::test]
    async fn the_longest_unused_makes_room() {
        let cache = Words::new(10, 8);
        make(&cache, "a", 4).await;
        make(&cache, "b", 4).await;
        assert_eq!(cache.find(&"a").as_deref(), Some("A"));
        make(&cache, "c", 4).await;
        assert_eq!(cache.find(&"b"), None);
        assert_eq!(cache.find(&"a").as_deref(), Some("A"));
        assert_eq!(cache.bytes(), 8);
    }

    #[tokio::test]
    async fn what_is_larger_than_the_whole_cache_is_made_and_not_kept() {
        let cache = Words::new(10, 8);
        make(&cache, "a", 11).await;
        assert_eq!((cache.find(&"a"), cache.bytes()), (None, 0));
    }
}
