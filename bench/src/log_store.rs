//! The least that a durable store can do: machines in memory, and one flushed append for each
//! operation. It cannot be opened again, and does only what the flows ask of it: it is the limit
//! that a real store is compared with.

mod machines;

use std::sync::{Arc, Mutex, PoisonError};

use countersign::seal::Sealer;
use countersign::store::{
    Balance, Busy, CancelVerification, CarrierReceipt, CheckCode, Checked, Claim, ConfigChange,
    Converted, Credit, DeadWebhook, DirectoryRows, Due, EarlierCall, Effects, FigureQuery,
    FigureRow, FigureSum, IdempotencyKey, Inbound, InboundTaken, MessageView, Postponement,
    ReceiptReport, Reply, Retention, SendJob, SettledTry, StartMessage, StartVerification, Started,
    Store, StoreError, SubmitReport, VerificationView, WebhookJob, Woken,
};
use engine::{
    AccountId, Amount, Conversion, MessageId, Refusal, Subject, Timestamp, VerificationId,
};

use crate::journal::Journal;
use machines::Machines;

/// Machines in memory, with a journal.
pub(crate) struct LogStore {
    machines: Mutex<Machines>,
    rows: Mutex<DirectoryRows>,
    journal: Journal,
    sealer: Sealer,
}

impl LogStore {
    /// Begins with nothing.
    pub(crate) fn new(journal: Journal, sealer: Sealer) -> Self {
        Self { machines: Mutex::default(), rows: Mutex::default(), journal, sealer }
    }

    /// Changes what is in memory, and answers once the entry that tells of it is durable. An
    /// operation that changes nothing writes no entry.
    fn write<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Machines, &mut Vec<u8>) -> T,
    ) -> Reply<'_, T> {
        let (result, flushed) = {
            let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
            let mut entry = Vec::with_capacity(ENTRY_BYTES);
            let result = call(&mut machines, &mut entry);
            // Appended under the same lock, so that the file has the order of the changes.
            (result, (!entry.is_empty()).then(|| self.journal.append(&entry)))
        };
        Box::pin(async move {
            match flushed {
                Some(flushed) => match flushed.await {
                    Ok(()) => Ok(result),
                    Err(_) => Err(StoreError::Unavailable("the journal failed".to_owned())),
                },
                None => Ok(result),
            }
        })
    }
}

impl Store for LogStore {
    fn start_verification(&self, start: StartVerification) -> Reply<'_, Result<Started, Refusal>> {
        let context = start.new.id.as_u128().to_be_bytes();
        let sealed = self.sealer.seal(&context, start.new.code.reveal().as_bytes());
        self.write(|machines, entry| machines.start_verification(start, &sealed, entry))
    }

    fn start_message(&self, start: StartMessage) -> Reply<'_, Result<Started, Refusal>> {
        let context = start.new.id.as_u64().to_be_bytes();
        let sealed = self.sealer.seal(&context, start.new.text.reveal().as_bytes());
        self.write(|machines, entry| machines.start_message(start, &sealed, entry))
    }

    fn check(&self, check: CheckCode) -> Reply<'_, Result<Checked, Refusal>> {
        self.write(|machines, entry| machines.check(&check, entry))
    }

    fn submitted(&self, report: SubmitReport) -> Reply<'_, Effects> {
        self.write(|machines, entry| machines.submitted(&report, entry))
    }

    fn receipt(&self, report: ReceiptReport) -> Reply<'_, Effects> {
        self.write(move |machines, entry| machines.receipt(&report, entry))
    }

    fn wake(&self, now: Timestamp, limit: usize) -> Reply<'_, Woken> {
        self.write(|machines, entry| machines.wake(now, limit, entry))
    }

    fn next_due(&self) -> Reply<'_, Due> {
        self.write(|machines, _| machines.next_due())
    }

    fn change(&self, change: ConfigChange, _now: Timestamp) -> Reply<'_, ()> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            ConfigChange::PutAccount { account, credit } => {
                let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
                machines.fund(account.id, credit);
                rows.accounts.push(account);
            }
            ConfigChange::PutKey(row) => rows.keys.push(row),
            ConfigChange::PutNumber(row) => rows.numbers.push(row),
            ConfigChange::PutTemplate(row) => rows.templates.push(row),
            ConfigChange::PutPrice(row) => rows.prices.push(row),
            ConfigChange::PutSecret { name, sealed } => rows.secrets.push((name, sealed)),
            ConfigChange::DropKey(_)
            | ConfigChange::DropNumber(_)
            | ConfigChange::DropTemplate(_)
            | ConfigChange::DropPrice(_)
            | ConfigChange::PutOptOut(_)
            | ConfigChange::Bar(_)
            | ConfigChange::Unbar(_)
            | ConfigChange::PutSetting { .. }
            | ConfigChange::DropSetting(_) => return missing(),
        }
        done(())
    }

    fn directory(&self) -> Reply<'_, DirectoryRows> {
        done(self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn balance(&self, account: AccountId) -> Reply<'_, Option<Amount>> {
        self.write(|machines, _| machines.balance(account))
    }

    /// Sends are leased to whoever started them, and in a benchmark nobody crashes.
    fn claim_sends(&self, _claim: Claim) -> Reply<'_, Vec<SendJob>> {
        done(Vec::new())
    }

    fn claim_webhooks(&self, _claim: Claim, _busy: Busy) -> Reply<'_, Vec<WebhookJob>> {
        done(Vec::new())
    }

    fn purge(&self, _retention: Retention, _limit: usize) -> Reply<'_, usize> {
        done(0)
    }

    /// What is counted of a benchmark is what it measures.
    fn add_figures(&self, _rows: Vec<FigureRow>) -> Reply<'_, ()> {
        done(())
    }

    fn figures(&self, _query: FigureQuery) -> Reply<'_, Vec<FigureSum>> {
        done(Vec::new())
    }

    fn depth(&self) -> usize {
        0
    }

    fn cancel(&self, _cancel: CancelVerification) -> Reply<'_, Result<Effects, Refusal>> {
        missing()
    }

    fn postpone(&self, _postponement: Postponement) -> Reply<'_, ()> {
        missing()
    }

    fn carrier_receipt(&self, _receipt: CarrierReceipt) -> Reply<'_, Effects> {
        missing()
    }

    fn inbound(&self, _inbound: Inbound) -> Reply<'_, InboundTaken> {
        missing()
    }

    fn convert(
        &self,
        _account: AccountId,
        _subject: Subject,
        _conversion: Conversion,
    ) -> Reply<'_, Option<Converted>> {
        missing()
    }

    fn settle_webhooks(&self, _settled: Arc<[SettledTry]>) -> Reply<'_, ()> {
        missing()
    }

    fn audit(&self, _account: AccountId) -> Reply<'_, Option<Balance>> {
        missing()
    }

    fn dead_webhooks(&self, _limit: usize) -> Reply<'_, Vec<DeadWebhook>> {
        missing()
    }

    fn replay_webhook(&self, _id: i64, _now: Timestamp) -> Reply<'_, bool> {
        missing()
    }

    fn credit(&self, _credit: Credit) -> Reply<'_, Option<Amount>> {
        missing()
    }

    fn verification(&self, _id: VerificationId) -> Reply<'_, Option<VerificationView>> {
        missing()
    }

    fn message(&self, _id: MessageId) -> Reply<'_, Option<MessageView>> {
        missing()
    }

    fn verifications(
        &self,
        _account: AccountId,
        _before: Option<VerificationId>,
        _limit: usize,
    ) -> Reply<'_, Vec<VerificationView>> {
        missing()
    }

    fn calls_since(&self, _link: String, _since: Timestamp) -> Reply<'_, Vec<EarlierCall>> {
        missing()
    }

    fn first_answer(
        &self,
        _account: AccountId,
        _key: IdempotencyKey,
    ) -> Reply<'_, Option<Result<Started, Refusal>>> {
        missing()
    }

    fn erase(&self, _number: u64, _now: Timestamp) -> Reply<'_, usize> {
        missing()
    }
}

fn done<T: Send + 'static>(value: T) -> Reply<'static, T> {
    Box::pin(std::future::ready(Ok(value)))
}

/// No flow asks for it.
fn missing<T: Send + 'static>() -> Reply<'static, T> {
    let error = StoreError::Unavailable("the limit of a store cannot do this".to_owned());
    Box::pin(std::future::ready(Err(error)))
}

/// More than any entry has.
const ENTRY_BYTES: usize = 192;
