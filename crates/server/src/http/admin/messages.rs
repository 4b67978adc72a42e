//! Messages: one-shot PINs that the operator sends by hand, and what became of any message.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use engine::wording::{PIN, SEGMENTS_MAX, Segments, Template};
use engine::{Code, MessageId, MessageStatus, Originator, SecretText, Subject, choose_originator};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, IDEMPOTENCY, Named, Operator, Repeatable, account, masked, recipient};
use super::passage::PassageStory;
use super::problem::{Problem, denied, refused};
use crate::directory::Account;
use crate::driver::MessageRequest;
use crate::http::{App, utc};
use crate::store::{MessageView, Notify};

/// A message to send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMessage {
    /// Who pays.
    account: u32,
    /// The number to send to, in international form or as dialled in `country`.
    #[schema(example = "+12015550123")]
    to: String,
    /// The country in which `to` is dialled, by ISO 3166 code.
    #[serde(default)]
    country: Option<String>,
    /// Which of the account's originators to prefer.
    #[serde(default)]
    from: Option<String>,
    /// The text, with `${pin}`; or give `template`.
    #[serde(default)]
    text: Option<String>,
    /// The index of one of the account's templates.
    #[serde(default)]
    template: Option<u32>,
    /// The PIN, 4 to 10 digits.
    #[schema(example = "4815")]
    pin: String,
    /// What else the text names.
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// Your own reference, at most 40 characters, which its receipts carry.
    #[serde(default)]
    client_ref: Option<String>,
}

/// A message that was accepted.
#[derive(Serialize, ToSchema)]
pub(super) struct SentMessage {
    /// Its identifier.
    id: String,
    /// How many parts it has.
    parts: u8,
    /// What they cost together.
    price: String,
    /// What the account has left.
    balance: String,
}

/// A message and what became of it, without its text.
#[derive(Serialize, ToSchema)]
pub(super) struct MessageStory {
    /// Its identifier.
    id: String,
    /// Who pays.
    account: u32,
    /// The number it went to, masked; `null` once erased.
    to: Option<String>,
    /// Whom it is from.
    from: String,
    /// How many parts it has.
    parts: u8,
    /// What they cost together.
    price: String,
    /// How far it got: `queued`, `submitted`, `unconfirmed`, or what its receipt says.
    status: &'static str,
    /// When it got there.
    status_at: String,
    /// Why it failed: the 2FA API's `err-code`.
    error: Option<u8>,
    /// When it was accepted.
    created_at: String,
    /// When it is given up without a final receipt.
    expires_at: String,
    /// The way it went.
    #[serde(flatten)]
    passage: PassageStory,
    /// The mobile network, as MCC and MNC.
    network: String,
    /// The campaign whose opt-outs apply.
    campaign: Option<u32>,
    /// The caller's own reference.
    client_ref: Option<String>,
    /// Whether the account said that its user came back.
    converted: Option<bool>,
}

/// Sends a message with a PIN.
#[utoipa::path(
    post, path = "/admin/v1/messages", tag = "messages", request_body = NewMessage,
    params(("Idempotency-Key" = Option<String>, Header, description = IDEMPOTENCY)),
    responses((status = 201, description = "The message was accepted.", body = SentMessage)),
)]
pub(super) async fn send_message(
    _: Operator,
    State(app): State<Arc<App>>,
    Repeatable { body, idempotency }: Repeatable<NewMessage>,
) -> Result<Answer<SentMessage>, Problem> {
    let account = account(&app.driver.directories.current(), body.account)?;
    let request = MessageRequest { idempotency, ..request(&app, &account, body)? };
    app.driver.metrics.start(super::status::DOOR);
    let sent = app.driver.send_message(&account, request).await;
    let sent = sent.map_err(|denial| denied(&app, denial))?;
    let Subject::Message(id) = sent.subject else { return Err(Problem::internal()) };
    Ok(Answer::created(SentMessage {
        id: id.to_string(),
        parts: sent.parts,
        price: sent.price.to_string(),
        balance: sent.balance.to_string(),
    }))
}

/// Tells what became of a message.
#[utoipa::path(
    get, path = "/admin/v1/messages/{id}", tag = "messages",
    params(("id" = String, Path, description = "The message, or any of its parts.")),
    responses((status = 200, description = "What became of it.", body = MessageStory)),
)]
pub(super) async fn show_message(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
) -> Result<Answer<MessageStory>, Problem> {
    let id = MessageId::parse(&id).ok_or_else(|| Problem::unknown("message"))?;
    let found = app.driver.store.message(id).await?;
    let view = found.ok_or_else(|| Problem::unknown("message"))?;
    Ok(Answer::ok(story(&view)))
}

fn request(app: &App, account: &Account, new: NewMessage) -> Result<MessageRequest, Problem> {
    let number = recipient(app, "to", &new.to, new.country.as_deref())?;
    let wanted = new.from.as_deref();
    let originator = choose_originator(wanted, &account.originators, &number)
        .ok_or_else(|| refused(engine::Refusal::NoOriginator))?;
    let text = render(account, &new)?;
    let segments = Segments::of(text.reveal()).count;
    let parts = u8::try_from(segments).ok().filter(|_| segments <= SEGMENTS_MAX);
    let parts = parts.ok_or_else(|| {
        let detail = format!("this takes {segments} short messages; {SEGMENTS_MAX} are allowed");
        Problem::field("text", detail)
    })?;
    if new.client_ref.as_ref().is_some_and(|text| text.chars().count() > CLIENT_REF_CHARS_MAX) {
        return Err(Problem::field("client_ref", "this must be at most 40 characters"));
    }
    Ok(MessageRequest {
        number,
        text,
        parts,
        campaign: campaign(account, &originator),
        originator,
        client_ref: new.client_ref,
        lifetime: None,
        notify: Notify::Account,
        idempotency: None,
    })
}

/// A message from the account's short code belongs to its campaign, whose opt-outs apply.
fn campaign(account: &Account, originator: &Originator) -> Option<u32> {
    let short_code = account.short_code.as_ref();
    short_code.filter(|code| code.originator == *originator).map(|code| code.id)
}

fn render(account: &Account, new: &NewMessage) -> Result<SecretText, Problem> {
    let (field, template) = match (&new.text, new.template) {
        (Some(text), None) => {
            let parsed = Template::parse_for_code(text);
            ("text", parsed.map_err(|error| Problem::field("text", error.to_string()))?)
        }
        (None, Some(index)) => {
            let own = account.templates.get(&index).cloned();
            let missing =
                || Problem::field("template", "the account has no template of this index");
            ("template", own.ok_or_else(missing)?)
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::field("text", "give either text or template"));
        }
    };
    let pin = Code::parse(&new.pin)
        .ok_or_else(|| Problem::field("pin", "this must be 4 to 10 digits"))?;
    let value = |name: &str| match name {
        PIN => Some(pin.reveal()),
        _ => new.values.get(name).map(String::as_str),
    };
    template.render(value).map_err(|error| Problem::field(field, error.to_string()))
}

fn story(view: &MessageView) -> MessageStory {
    let record = &view.record;
    let (status, error) = match record.status {
        MessageStatus::Queued => ("queued", None),
        MessageStatus::Submitted => ("submitted", None),
        MessageStatus::Unconfirmed => ("unconfirmed", None),
        MessageStatus::Reported(receipt) => (receipt.status.as_str(), Some(receipt.error.0)),
    };
    MessageStory {
        id: record.id.to_string(),
        account: record.account.0,
        to: masked(view.number),
        from: view.details.originator.clone(),
        parts: record.parts,
        price: record.price.to_string(),
        status,
        status_at: utc(record.status_at),
        error: error.filter(|error| *error != 0),
        created_at: utc(record.created_at),
        expires_at: utc(record.expires_at),
        passage: PassageStory::of(&record.passage),
        network: view.details.network.clone(),
        campaign: view.details.campaign,
        client_ref: view.details.client_ref.clone(),
        converted: record.conversion.map(|conversion| conversion.converted),
    }
}

/// As long as the 2FA API's `client-ref`.
const CLIENT_REF_CHARS_MAX: usize = 40;
