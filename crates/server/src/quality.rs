//! Counts what becomes of attempts in memory, and adds it to the store's figures every few seconds.
//!
//! A crash loses the figures of these seconds, and never a message.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{ReceiptStatus, Timestamp};
use tokio::sync::watch;

use crate::driver::Driver;
use crate::store::{FigureKey, FigureRow, Figures, NewsEvent, Period, Store, StoreError};

/// What was counted and is not in the store yet.
#[derive(Default)]
pub struct Quality {
    counted: Mutex<HashMap<(Timestamp, FigureKey), Figures>>,
}

impl Quality {
    /// Counts one event.
    pub fn count(&self, at: Timestamp, key: FigureKey, event: NewsEvent) {
        let mut counted = self.lock();
        let minute = Period::Minute.begin(at);
        let mut place = (minute, key);
        if counted.len() >= COUNTED_MAX && !counted.contains_key(&place) {
            // So many at once are an attack or a fault: its countries are not worth the memory.
            place.1.country = String::new();
            place.1.route = String::new();
        }
        counted.entry(place).or_default().note(event);
    }

    /// Adds what was counted to the store.
    ///
    /// # Errors
    /// The store failed. What it has not seen is kept for the next time; what it may hold already
    /// is forgotten.
    pub async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.flush_into(|rows| store.add_figures(rows)).await
    }

    async fn flush_into<Added: Future<Output = Result<(), StoreError>>>(
        &self,
        add: impl Fn(Vec<FigureRow>) -> Added,
    ) -> Result<(), StoreError> {
        let mut counted: Vec<_> = std::mem::take(&mut *self.lock()).into_iter().collect();
        while !counted.is_empty() {
            // A few at a time, so that no commit with a start in it waits for all of them.
            let rest = counted.split_off(counted.len().min(FLUSHED_AT_ONCE));
            let added = add(rows(&counted)).await;
            if added.is_err() {
                let is_busy = matches!(added, Err(StoreError::Busy { .. }));
                self.put_back(counted.into_iter().filter(|_| is_busy).chain(rest));
                return added;
            }
            counted = rest;
        }
        Ok(())
    }

    fn put_back(&self, counted: impl Iterator<Item = ((Timestamp, FigureKey), Figures)>) {
        let mut since = self.lock();
        for (place, figures) in counted {
            since.entry(place).or_default().add(&figures);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Timestamp, FigureKey), Figures>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds what was counted to the store until `stop` is true.
pub async fn keep(driver: std::sync::Arc<Driver>, stop: watch::Receiver<bool>) {
    let flush = || {
        let driver = std::sync::Arc::clone(&driver);
        async move {
            if let Err(error) = driver.quality.flush(driver.store.as_ref()).await {
                tracing::warn!(%error, "cannot keep the figures of the last seconds");
            }
        }
    };
    again_and_again(FLUSH_EVERY, flush, stop).await;
}

/// Ends between two flushes: what one has taken out of memory must reach the store.
async fn again_and_again<Flushed: Future<Output = ()>>(
    every: Duration,
    flush: impl Fn() -> Flushed,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(every) => {}
        }
        flush().await;
    }
}

/// The same figures for the minute, the hour and the day.
fn rows<'a>(
    counted: impl IntoIterator<Item = &'a ((Timestamp, FigureKey), Figures)>,
) -> Vec<FigureRow> {
    let mut sums: HashMap<(Period, Timestamp, &FigureKey), Figures> = HashMap::new();
    for ((minute, key), figures) in counted {
        for period in Period::ALL {
            sums.entry((period, period.begin(*minute), key)).or_default().add(figures);
        }
    }
    let row = |((period, at, key), figures): ((Period, Timestamp, &FigureKey), Figures)| {
        FigureRow { period, at, key: key.clone(), figures }
    };
    sums.into_iter().map(row).collect()
}

impl Figures {
    fn note(&mut self, event: NewsEvent) {
        match event {
            NewsEvent::Accepted => {
                self.attempts += 1;
                self.accepted += 1;
            }
            NewsEvent::Confirmed => self.accepted += 1,
            NewsEvent::Rejected => {
                self.attempts += 1;
                self.rejected += 1;
            }
            NewsEvent::Unconfirmed => {
                self.attempts += 1;
                self.unknown += 1;
            }
            NewsEvent::Reported(receipt, wait) => match receipt.status {
                ReceiptStatus::Delivered => {
                    self.delivered += 1;
                    self.waited(wait);
                }
                ReceiptStatus::Failed | ReceiptStatus::Rejected => {
                    self.failed += 1;
                    self.waited(wait);
                }
                // That nobody told in time says nothing about how long it takes to be told.
                ReceiptStatus::Expired => self.expired += 1,
                ReceiptStatus::Accepted | ReceiptStatus::Buffered | ReceiptStatus::Unknown => {}
            },
            NewsEvent::Converted => self.converted += 1,
        }
    }
}

/// How old figures are lost in a crash at most.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Three rows each: an operation of the store's that takes some milliseconds.
const FLUSHED_AT_ONCE: usize = 200;

/// More than there are countries on a hundred routes.
const COUNTED_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use engine::{Channel, ErrorCode, Receipt};

    use super::*;
    use crate::config::Grade;

    #[test]
    fn what_becomes_of_attempts_is_counted_for_minute_hour_and_day() {
        let quality = Quality::default();
        let receipt = |status| {
            let receipt = Receipt { status, error: ErrorCode::NONE };
            NewsEvent::Reported(receipt, Duration::from_secs(4))
        };
        for event in [
            NewsEvent::Accepted,
            NewsEvent::Accepted,
            NewsEvent::Rejected,
            NewsEvent::Unconfirmed,
            receipt(ReceiptStatus::Buffered),
            receipt(ReceiptStatus::Delivered),
            receipt(ReceiptStatus::Failed),
            receipt(ReceiptStatus::Expired),
            NewsEvent::Converted,
        ] {
            quality.count(NOON, key("GB"), event);
        }
        quality.count(NOON.after(Duration::from_mins(1)), key("GB"), NewsEvent::Accepted);
        let counted: Vec<_> = quality.lock().drain().collect();
        let rows = rows(&counted);
        let of = |period| -> Vec<&FigureRow> {
            rows.iter().filter(|row| row.period == period).collect()
        };
        assert_eq!([2, 1, 1], Period::ALL.map(|period| of(period).len()));
        let figures = of(Period::Hour)[0].figures;
        assert_eq!((figures.attempts, figures.accepted), (5, 3));
        assert_eq!((figures.rejected, figures.unknown), (1, 1));
        assert_eq!((figures.delivered, figures.failed, figures.expired), (1, 1, 1));
        assert_eq!((figures.converted, figures.waits.iter().sum::<u64>()), (1, 2));
    }

    #[tokio::test]
    async fn many_figures_go_to_the_store_a_few_at_a_time_and_those_it_refused_stay() {
        let quality = Quality::default();
        for index in 0..=FLUSHED_AT_ONCE * 2 {
            quality.count(NOON, key(&index.to_string()), NewsEvent::Accepted);
        }
        // A store that gives these answers, and then takes everything.
        let store = |answers: Vec<Result<(), StoreError>>| {
            let answers = Mutex::new(answers.into_iter());
            move |rows: Vec<FigureRow>| {
                assert!(rows.len() <= FLUSHED_AT_ONCE * Period::ALL.len());
                std::future::ready(answers.lock().unwrap().next().unwrap_or(Ok(())))
            }
        };
        let busy = StoreError::Busy { retry_after: Duration::ZERO };
        assert!(quality.flush_into(store(vec![Ok(()), Err(busy)])).await.is_err());
        assert_eq!(quality.lock().len(), FLUSHED_AT_ONCE + 1, "the store has seen a part");
        let unknown = StoreError::Unavailable("the disk is full".to_owned());
        assert!(quality.flush_into(store(vec![Err(unknown)])).await.is_err());
        assert_eq!(quality.lock().len(), 1, "the store may hold that part, which is forgotten");
        assert!(quality.flush_into(store(Vec::new())).await.is_ok());
        assert_eq!(quality.lock().len(), 0);
    }

    #[tokio::test]
    async fn a_stop_lets_a_flush_that_has_begun_reach_the_store() {
        let (stop, stopped) = watch::channel(false);
        let kept = Mutex::new(0);
        let flush = async || {
            stop.send_replace(true);
            tokio::time::sleep(Duration::from_millis(50)).await;
            *kept.lock().unwrap() += 1;
        };
        again_and_again(Duration::ZERO, flush, stopped).await;
        assert_eq!(*kept.lock().unwrap(), 1);
    }

    #[test]
    fn a_flood_of_names_is_counted_without_them() {
        let quality = Quality::default();
        for index in 0..COUNTED_MAX + 100 {
            quality.count(NOON, key(&index.to_string()), NewsEvent::Accepted);
        }
        let counted = quality.lock();
        assert!(counted.len() <= COUNTED_MAX + 1);
        let attempts: u64 = counted.values().map(|figures| figures.attempts).sum();
        assert_eq!(attempts, u64::try_from(COUNTED_MAX + 100).unwrap());
    }

    fn key(country: &str) -> FigureKey {
        FigureKey {
            route: "r".to_owned(),
            link: "a".to_owned(),
            channel: Channel::Sms,
            country: country.to_owned(),
            network: "23415".to_owned(),
            grade: Grade::Handset,
        }
    }

    const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);
}
