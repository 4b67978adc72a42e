//! Counts what becomes of attempts in memory, and adds it to the store's figures every few seconds.
//!
//! A crash loses the figures of these seconds, and never a message.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{ReceiptStatus, Timestamp};

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
    /// The store failed. If it was busy, what was counted is kept for the next time; else it may
    /// be in the store already, and is forgotten.
    pub async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        let counted = std::mem::take(&mut *self.lock());
        if counted.is_empty() {
            return Ok(());
        }
        let added = store.add_figures(rows(&counted)).await;
        if let Err(StoreError::Busy { .. }) = added {
            let mut since = self.lock();
            for (place, figures) in counted {
                since.entry(place).or_default().add(&figures);
            }
        }
        added
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Timestamp, FigureKey), Figures>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds what was counted to the store, for as long as the server runs.
pub async fn keep(driver: std::sync::Arc<Driver>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        if let Err(error) = driver.quality.flush(driver.store.as_ref()).await {
            tracing::warn!(%error, "cannot keep the figures of the last seconds");
        }
    }
}

/// The same figures for the minute, the hour and the day.
fn rows(counted: &HashMap<(Timestamp, FigureKey), Figures>) -> Vec<FigureRow> {
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
        let rows = rows(&quality.lock());
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
