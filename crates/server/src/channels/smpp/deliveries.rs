//! What SMSCs deliver: receipts, and messages to our numbers.

use std::sync::Arc;

use smpp::{DeliveryReceipt, DeliveryToken, ShortMessage, Status};
use tokio::sync::mpsc::UnboundedSender;

use super::{Shared, inbound, outcome};

/// The answer to a delivery. Dropped without one, it asks the SMSC to deliver again.
pub(super) struct Answer {
    delivery: DeliveryToken,
    status: Status,
    to: UnboundedSender<(DeliveryToken, Status)>,
}

impl Answer {
    pub(super) fn to(
        delivery: DeliveryToken,
        to: UnboundedSender<(DeliveryToken, Status)>,
    ) -> Self {
        Self { delivery, status: REPEAT, to }
    }

    fn give(mut self, status: Status) {
        self.status = status;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // A bind that has ended meanwhile needs no answer: the SMSC delivers again over another.
        let _ = self.to.send((self.delivery, self.status));
    }
}

/// Has a delivery stored, on the runtime that is not the sends'; it is answered after that.
pub(super) fn take(shared: &Arc<Shared>, message: Box<ShortMessage>, answer: Answer) {
    let shared = Arc::clone(shared);
    shared.main.clone().spawn(async move {
        let status = store(&shared, &message).await;
        answer.give(status);
    });
}

async fn store(shared: &Shared, message: &ShortMessage) -> Status {
    let Some(driver) = shared.reports.driver() else { return REPEAT };
    let Some(told) = DeliveryReceipt::of(message) else {
        return inbound::store(shared, &driver, message).await;
    };
    let pseudonyms = &driver.directories.secrets().pseudonyms;
    let keys = shared.names.of_receipt(&told, message, pseudonyms);
    let receipt = outcome::receipt(&told);
    match driver.handle_carrier_receipt(&shared.name, keys, receipt).await {
        Ok(()) => {
            if receipt.status.is_final() {
                shared.names.settle(&told);
            }
            Status::ROK
        }
        Err(error) => {
            tracing::warn!(link = shared.name, %error, "cannot store a receipt");
            REPEAT
        }
    }
}

/// The SMSC is to deliver again a little later (SMPP 3.4, section 5.1.3).
pub(super) const REPEAT: Status = Status::RX_T_APPN;
