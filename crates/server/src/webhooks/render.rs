//! Renders a webhook in the words that its receiver expects: a carrier's receipt and a handset's
//! message as the 2FA API pushes them, the outcome of a verification as Standard Webhooks has it.

use std::sync::Arc;

use engine::{AccountId, Outcome, Receipt, Timestamp};

use super::outcome::OutcomeEvent;
use super::sender::{Method, OutgoingRequest};
use super::standard::{self, WebhookSecret};
use crate::clock;
use crate::directory::{Account, Directory, Key};
use crate::http::vonage::inbound::InboundSms;
use crate::http::vonage::push::{Push, Signing};
use crate::http::vonage::receipt::Dlr;
use crate::store::{DlrMethod, KeyKind, MessageView, VerificationView, WebhookEvent, WebhookJob};

/// What there is to send for a webhook.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rendered {
    /// This request.
    Request(OutgoingRequest),
    /// Nothing: nobody wants to hear of it any more, or of whom it was is forgotten.
    Unwanted,
    /// Nothing, for want of a key: what must be signed is never sent unsigned.
    Unsigned,
}

/// Renders one try, at `now`, by what the account's settings and keys are at this moment.
pub(super) fn render(job: &WebhookJob, directory: &Directory, now: Timestamp) -> Rendered {
    let Some(account) = directory.account(job.account) else { return Rendered::Unwanted };
    match &job.event {
        WebhookEvent::Receipt { message, part, receipt, at } => {
            let url = job.url.as_deref().or(account.settings.dlr_url.as_deref());
            let Some((url, number)) = url.zip(message.number) else { return Rendered::Unwanted };
            let keys = keys(directory, account.id, KeyKind::Vonage);
            let key = receipt_key(account, &keys);
            let dlr = dlr(message, number, *part, *receipt, *at, key);
            let method = account.settings.dlr_method;
            pushed(account, method, key, now, |push| dlr.render(url, push))
        }
        WebhookEvent::Inbound(message) => {
            let Some(url) = account.settings.inbound_url.as_deref() else {
                return Rendered::Unwanted;
            };
            let keys = keys(directory, account.id, KeyKind::Vonage);
            let key = receipt_key(account, &keys);
            let api_key = key.map(|key| key.name.as_str()).unwrap_or_default();
            let sms = InboundSms { message, api_key };
            let method = account.settings.inbound_method;
            pushed(account, method, key, now, |push| sms.render(url, push))
        }
        WebhookEvent::Outcome { verification, outcome, at } => {
            let url = job.url.as_deref().or(account.settings.webhook_url.as_deref());
            let Some(url) = url else { return Rendered::Unwanted };
            let keys = keys(directory, account.id, KeyKind::Webhook);
            let secrets: Vec<WebhookSecret> = keys
                .iter()
                .filter_map(|key| WebhookSecret::parse(key.signature_secret.as_deref()?).ok())
                .collect();
            render_outcome(verification, *outcome, *at, url, &secrets, now)
        }
    }
}

/// An account's keys of a kind, the oldest first.
fn keys(directory: &Directory, account: AccountId, kind: KeyKind) -> Vec<&Arc<Key>> {
    let mut keys: Vec<&Arc<Key>> = directory.keys_of(account, kind).collect();
    keys.sort_unstable_by_key(|key| key.id);
    keys
}

/// A push has room for one key only. While an account changes its key, its receivers know the
/// older one for certain, and the younger takes over once that is deleted.
fn receipt_key<'a>(account: &Account, keys: &[&'a Arc<Key>]) -> Option<&'a Key> {
    let fits = |key: &&'a Arc<Key>| !account.settings.dlr_signed || key.signature_secret.is_some();
    keys.iter().copied().find(fits).map(Arc::as_ref)
}

/// Renders a push, signed if the account wants that.
fn pushed(
    account: &Account,
    method: DlrMethod,
    key: Option<&Key>,
    now: Timestamp,
    render: impl FnOnce(Push<'_>) -> OutgoingRequest,
) -> Rendered {
    let push = Push { method, at: millis(now), signing: None };
    if !account.settings.dlr_signed {
        return Rendered::Request(render(push));
    }
    let nonce = draw_uuid();
    let signing = key.and_then(|key| {
        let secret = key.signature_secret.as_deref().filter(|secret| !secret.is_empty())?;
        Some(Signing { secret, method: key.signature_method, nonce: &nonce })
    });
    match signing {
        Some(_) => Rendered::Request(render(Push { signing, ..push })),
        None => Rendered::Unsigned,
    }
}

fn dlr(
    message: &MessageView,
    number: u64,
    part: u8,
    receipt: Receipt,
    at: Timestamp,
    key: Option<&Key>,
) -> Dlr {
    let record = &message.record;
    Dlr {
        msisdn: number.to_string(),
        to: message.details.originator.clone(),
        network_code: message.details.network.clone(),
        message_id: record.id.part(part),
        price: record.price.shared(record.parts),
        status: receipt.status,
        received_at: millis(at),
        err_code: receipt.error.0,
        // The field is always there: some clients refuse a receipt without it.
        api_key: key.map(|key| key.name.clone()).unwrap_or_default(),
        client_ref: message.details.client_ref.clone(),
    }
}

fn render_outcome(
    verification: &VerificationView,
    outcome: Outcome,
    at: Timestamp,
    url: &str,
    secrets: &[WebhookSecret],
    now: Timestamp,
) -> Rendered {
    if secrets.is_empty() {
        return Rendered::Unsigned;
    }
    let event = OutcomeEvent::of(verification, outcome, at);
    let Ok(body) = serde_json::to_vec(&event) else { return Rendered::Unwanted };
    // A verification has one outcome, so its name is the event's, over all tries and replays.
    let id = format!("msg_{:032x}", verification.record.id.as_u128());
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(standard::headers(&id, millis(now).div_euclid(1000), &body, secrets));
    let url = url.to_owned();
    Rendered::Request(OutgoingRequest { method: Method::Post, url, headers, body })
}

/// A random UUID, version 4 (RFC 9562, section 5.4).
fn draw_uuid() -> String {
    let random = u128::from_be_bytes(clock::random_bytes());
    let id = random & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    engine::VerificationId::from_u128(id).to_string()
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}
