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
    let receipt = outcome::receipt(&told);
    let is_final = receipt.status.is_final();
    let names = shared.names.of_receipt(&told, message, pseudonyms, is_final);
    match driver.handle_carrier_receipt(&shared.name, names.keys.clone(), receipt).await {
        Ok(()) => {
            if is_final {
                shared.names.settle(names);
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use smpp::{BindKind, BindResp, Body, Event, Password, Pdu, Session, SessionConfig};
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn a_delivery_is_answered_with_what_was_stored_and_else_asked_for_again() {
        let delivery = delivery();
        let (sender, mut answers) = unbounded_channel();
        Answer::to(delivery, sender.clone()).give(Status::ROK);
        assert_eq!(answers.try_recv(), Ok((delivery, Status::ROK)));
        drop(Answer::to(delivery, sender));
        assert_eq!(answers.try_recv(), Ok((delivery, Status::RX_T_APPN)));
        assert!(answers.try_recv().is_err(), "each is answered once");
    }

    /// Only a session makes tokens.
    fn delivery() -> DeliveryToken {
        let rate = NonZeroU32::MIN;
        let password = Password::default();
        let config = SessionConfig::new(BindKind::Transceiver, "esme", password, rate);
        let mut session = Session::new(config, Duration::ZERO);
        let resp = Body::BindResp(BindKind::Transceiver, BindResp::default());
        let mut octets = Vec::new();
        Pdu::response(Status::ROK, 1, resp).render(&mut octets);
        Pdu::request(7, Body::DeliverSm(ShortMessage::default())).render(&mut octets);
        session.handle_bytes(&octets, Duration::ZERO);
        let mut events = std::iter::from_fn(|| session.poll_event());
        let token = events.find_map(|event| match event {
            Event::Delivered { delivery, .. } => Some(delivery),
            Event::Bound(_)
            | Event::BindRefused { .. }
            | Event::Written { .. }
            | Event::Submitted { .. }
            | Event::Late { .. }
            | Event::Closed { .. } => None,
        });
        token.unwrap()
    }
}
