//! What handsets send to our numbers: whose it is, what may follow, and only then the store.

use std::sync::Arc;

use engine::wording::Segments;
use engine::{Bucket, MessageId, NewMessage, PhoneNumber, SecretText, Timestamp};

use super::{Driver, finish, lease, screen};
use crate::clock;
use crate::directory::{Account, OurNumber};
use crate::store::{
    Concat, Inbound, InboundCampaign, InboundKey, MessageDetails, Notify, StartMessage, StoreError,
};
use crate::telemetry::Label;

/// A message that a link brings from a handset, or one part of one.
#[derive(Clone, Debug)]
pub struct InboundMessage {
    /// The sender's digits. A sender that has none cannot be opted out, nor answered: a link drops
    /// what it sends.
    pub from: u64,
    /// Our number, in digits with or without `+`.
    pub to: String,
    /// What it says, decoded; what is longer than [`TEXT_CHARS_MAX`] is cut.
    pub text: SecretText,
    /// Which part it is, of a message of several.
    pub concat: Option<Concat>,
    /// The carrier's own name for it, the same whenever it brings it again. Without one, what looks
    /// the same is taken for a repeat for a while.
    pub id: Option<String>,
}

impl Driver {
    /// Takes in what a handset sent. The link tells the carrier that it has it only after this
    /// returned `Ok`; until then the carrier brings it again, which does no harm.
    ///
    /// What is sent to a number that no account has is counted and dropped, and so is what would
    /// have to go into a row that cannot be read.
    ///
    /// # Errors
    /// The store fails; the carrier must bring the message again.
    pub async fn handle_inbound(
        self: &Arc<Self>,
        link: &str,
        message: InboundMessage,
    ) -> Result<(), StoreError> {
        let driver = Arc::clone(self);
        let name = link.to_owned();
        // What is committed must be carried out, also when whoever brought it has hung up.
        let taken = finish(async move { driver.take_inbound(&name, &message).await });
        self.drop_unreadable(link, taken.await)
    }

    async fn take_inbound(
        self: &Arc<Self>,
        link: &str,
        message: &InboundMessage,
    ) -> Result<(), StoreError> {
        let directory = self.directories.current();
        let label = Label::link(link);
        let ours = directory.our_numbers(&message.to);
        if ours.is_empty() {
            tracing::debug!(link, "a message came to a number that no account has");
            self.metrics.inbound(&label, "unknown_number");
        }
        // Several accounts may share a short code. If one of them cannot be told, the carrier
        // brings the message again, and the others know it.
        for number in ours {
            let Some(account) = directory.account(number.account) else { continue };
            let inbound = self.plan_inbound(link, message, number, account);
            let taken = self.store.inbound(inbound).await?;
            let result = match taken.keyword {
                _ if taken.repeat => "repeat",
                Some(keyword) => keyword.as_str(),
                None => "part",
            };
            self.metrics.inbound(&label, result);
            self.carry_out(taken.effects);
        }
        Ok(())
    }

    fn plan_inbound(
        &self,
        link: &str,
        message: &InboundMessage,
        number: &OurNumber,
        account: &Account,
    ) -> Inbound {
        let now = self.clock.now();
        let from = message.from;
        let text = cut(&message.text);
        let campaign = number.campaign.as_ref().map(|campaign| InboundCampaign {
            id: number.id,
            start_allowed: campaign.start_allowed,
            help: self.plan_help(from, number, &campaign.help_text, account, now).map(Box::new),
        });
        Inbound {
            id: draw_id(account, from, now),
            key: self.key(link, message, number, &text),
            account: account.id,
            from,
            from_key: self.directories.secrets().pseudonyms.pseudonym(from),
            to: number.value.clone(),
            text,
            concat: message.concat,
            campaign,
            forward: account.settings.inbound_url.is_some(),
            now,
            lease: lease(now),
        }
    }

    /// Prepares the answer to HELP; `None` where the account would not be let send anything.
    fn plan_help(
        &self,
        from: u64,
        number: &OurNumber,
        text: &str,
        account: &Account,
        now: Timestamp,
    ) -> Option<StartMessage> {
        let sender: PhoneNumber = self.directories.number(from)?;
        screen(account, &sender).ok()?;
        Some(StartMessage {
            new: NewMessage {
                id: draw_id(account, from, now),
                account: account.id,
                expires_at: now.after(self.message_lifetime),
                parts: u8::try_from(Segments::of(text).count).unwrap_or(u8::MAX),
                price: engine::Amount::ZERO,
                text: SecretText::concat(&[text]),
                unconfirmed: self.unconfirmed,
            },
            number: from,
            keys: self.directories.number_keys(&sender),
            details: MessageDetails {
                originator: number.value.clone(),
                campaign: Some(number.id),
                client_ref: None,
                network: self.channels.network(),
                notify: Notify::Nobody,
            },
            nonce: u64::from_be_bytes(clock::random_bytes()),
            limits: account.limits,
            idempotency: None,
            now,
            lease: lease(now),
        })
    }

    /// A digest that nobody can guess a number or a text from.
    fn key(
        &self,
        link: &str,
        message: &InboundMessage,
        number: &OurNumber,
        text: &SecretText,
    ) -> InboundKey {
        let concat = message.concat.map_or_else(String::new, |concat| {
            format!("{}/{}/{}", concat.reference, concat.part, concat.total)
        });
        let (named, name) = match &message.id {
            Some(id) => (true, id.as_str()),
            None => (false, text.reveal()),
        };
        let head = format!("{named}\0{link}\0{}\0{}\0{concat}\0", number.id, message.from);
        let whole = SecretText::concat(&[&head, name]);
        let digest = self.directories.secrets().pepper.digest(whole.reveal().as_bytes());
        InboundKey { digest, named }
    }
}

fn draw_id(account: &Account, from: u64, now: Timestamp) -> MessageId {
    let [sequence] = clock::random_bytes();
    MessageId::compose(now, Bucket::of(account.id, from), sequence)
}

fn cut(text: &SecretText) -> SecretText {
    match text.reveal().char_indices().nth(TEXT_CHARS_MAX) {
        None => text.clone(),
        Some((end, _)) => {
            tracing::debug!("a message from a handset was cut");
            SecretText::concat(&[text.reveal().get(..end).unwrap_or_default()])
        }
    }
}

/// The longest text that is taken of one part, in characters. Chosen: what comes without parts is
/// at most an SMPP `message_payload`, and no handset writes half as much.
pub const TEXT_CHARS_MAX: usize = 4096;
