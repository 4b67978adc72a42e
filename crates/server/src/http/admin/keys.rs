//! Keys: what opens the other doors for an account, and signs what is told to it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use engine::AccountId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answer::{Answer, Input, NAME_CHARS_MAX, Named, Operator, account, next_id, text};
use super::problem::{Fault, Problem};
use crate::clock;
use crate::directory::{Directory, signature_context};
use crate::http::vonage::signature::SignatureMethod;
use crate::http::{App, utc};
use crate::seal::SecretHash;
use crate::store::{ConfigChange, KeyKind, KeyRecord};
use crate::webhooks::standard::WebhookSecret;

/// A key to create. What is left out is drawn at random; what you have from a vendor you can keep,
/// so that your clients change the base URL and nothing else.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// Which door it opens, or `webhook` for the secret that signs outcome webhooks.
    kind: KeyKind,
    /// A note for people, at most 64 characters.
    #[serde(default)]
    label: Option<String>,
    /// Your own `api_key` or `username`: 1 to 64 printable ASCII characters without colon or space.
    #[serde(default)]
    name: Option<String>,
    /// Your own secret: 8 to 128 printable ASCII characters without space; for a webhook key
    /// `whsec_` and the base64 of 24 to 64 bytes.
    #[serde(default)]
    secret: Option<String>,
    /// Your own signature secret, for a vonage key: 8 to 128 printable ASCII characters.
    #[serde(default)]
    signature_secret: Option<String>,
    /// How requests and receipts of a vonage key are signed: `md5hash`, `md5`, `sha1`, `sha256` or
    /// `sha512`; `md5hash` if left out.
    #[serde(default)]
    signature_method: Option<String>,
}

/// A change of a key. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyPatch {
    /// A note for people, at most 64 characters; empty for none.
    #[serde(default)]
    label: Option<String>,
    /// How requests and receipts are signed: `md5hash`, `md5`, `sha1`, `sha256` or `sha512`.
    #[serde(default)]
    signature_method: Option<String>,
}

/// A key without its secrets.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyView {
    /// Its identifier.
    id: u32,
    /// Which door it opens.
    kind: KeyKind,
    /// Its public half: the `api_key` or `username`; empty for a webhook key.
    name: String,
    /// A note for people.
    label: String,
    /// How requests and receipts are signed, for a vonage key.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_method: Option<String>,
    /// When it was created.
    created_at: String,
}

/// A new key with its secrets, which are shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedKey {
    #[serde(flatten)]
    key: KeyView,
    /// The `api_secret`, the key of the `username`, or the webhook secret.
    secret: String,
    /// What requests and receipts are signed with, for a vonage key.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_secret: Option<String>,
}

/// The keys of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    /// The keys, by identifier.
    items: Vec<KeyView>,
}

/// Lists an account's keys, without their secrets.
#[utoipa::path(
    get, path = "/admin/v1/accounts/{id}/keys", tag = "keys",
    params(("id" = u32, Path, description = "The account.")),
    responses((status = 200, description = "The account's keys.", body = KeyList)),
)]
pub(super) async fn list_keys(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
) -> Result<Answer<KeyList>, Problem> {
    let directory = app.driver.directories.current();
    let account = account(&directory, id)?;
    let own = directory.rows.keys.iter().filter(|key| key.account == account.id);
    Ok(Answer::ok(KeyList { items: own.map(view).collect() }))
}

/// Creates a key.
///
/// Several of the same name may exist in one account, so that a secret can be replaced without a
/// pause.
#[utoipa::path(
    post, path = "/admin/v1/accounts/{id}/keys", tag = "keys", request_body = NewKey,
    params(("id" = u32, Path, description = "The account.")),
    responses((
        status = 201, description = "The key, with secrets that are not shown again.",
        body = CreatedKey,
    )),
)]
pub(super) async fn create_key(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
    Input(new): Input<NewKey>,
) -> Result<Answer<CreatedKey>, Problem> {
    let label = label(new.label.as_deref())?;
    check_fields(&new)?;
    let created = app.driver.directories.change(|directory| {
        let account = account(directory, id)?.id;
        let key = next_key(directory);
        if let Some(name) = &new.name
            && directory.keys(new.kind, name).iter().any(|key| key.account != account)
        {
            return Err(Problem::conflict("Another account has a key of this name."));
        }
        let (record, secret, signature) = match new.kind {
            KeyKind::Webhook => {
                let (record, secret) =
                    webhook_key(&app, key, account, new.secret.as_deref(), label)?;
                (record, secret, None)
            }
            KeyKind::Vonage | KeyKind::Textmagic => door_key(&app, key, account, &new, label),
        };
        let answer = CreatedKey {
            key: view(&record),
            secret: secret.to_string(),
            signature_secret: signature.map(|secret| secret.to_string()),
        };
        Ok::<_, Problem>((vec![ConfigChange::PutKey(record)], answer))
    });
    let created = created.await?;
    tracing::info!(account.id = id, key.id = created.key.id, "key created");
    Ok(Answer::created(created))
}

/// Changes a key's label or the method of its signatures.
#[utoipa::path(
    patch, path = "/admin/v1/accounts/{id}/keys/{key}", tag = "keys", request_body = KeyPatch,
    params(
        ("id" = u32, Path, description = "The account."),
        ("key" = u32, Path, description = "The key."),
    ),
    responses((status = 200, description = "The key as it is now.", body = KeyView)),
)]
pub(super) async fn change_key(
    _: Operator,
    State(app): State<Arc<App>>,
    Named((id, key)): Named<(u32, u32)>,
    Input(patch): Input<KeyPatch>,
) -> Result<Answer<KeyView>, Problem> {
    let label = patch.label.as_deref().map(|text| label(Some(text))).transpose()?;
    let method = patch.signature_method.as_deref().map(method).transpose()?;
    let changed = app.driver.directories.change(|directory| {
        let mut record = own_key(directory, id, key)?.clone();
        if method.is_some() && record.kind != KeyKind::Vonage {
            return Err(Problem::field("signature_method", "only a vonage key has one"));
        }
        record.label = label.unwrap_or(record.label);
        if let Some(method) = method {
            method.wire_name().clone_into(&mut record.signature_method);
        }
        let answer = view(&record);
        Ok::<_, Problem>((vec![ConfigChange::PutKey(record)], answer))
    });
    let changed = changed.await?;
    tracing::info!(account.id = id, key.id = key, "key changed");
    Ok(Answer::ok(changed))
}

/// Deletes a key: from now on it opens nothing.
#[utoipa::path(
    delete, path = "/admin/v1/accounts/{id}/keys/{key}", tag = "keys",
    params(
        ("id" = u32, Path, description = "The account."),
        ("key" = u32, Path, description = "The key."),
    ),
    responses((status = 204, description = "The key is gone.")),
)]
pub(super) async fn drop_key(
    _: Operator,
    State(app): State<Arc<App>>,
    Named((id, key)): Named<(u32, u32)>,
) -> Result<StatusCode, Problem> {
    let dropped = app.driver.directories.change(|directory| {
        let record = own_key(directory, id, key)?;
        if signs_alone(directory, record) {
            let detail = "The account's outcome webhooks are signed with this key: create another \
                          one first, or clear webhook_url.";
            return Err(Problem::conflict(detail));
        }
        Ok((vec![ConfigChange::DropKey(record.id)], ()))
    });
    dropped.await?;
    tracing::info!(account.id = id, key.id = key, "key deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// The identifier of the next key.
pub(super) fn next_key(directory: &Directory) -> u32 {
    next_id(directory.rows.keys.iter().map(|row| row.id))
}

/// Makes the key that signs an account's outcome webhooks, of a given secret or a fresh one.
pub(super) fn webhook_key(
    app: &App,
    id: u32,
    account: AccountId,
    given: Option<&str>,
    label: String,
) -> Result<(KeyRecord, Zeroizing<String>), Problem> {
    let secret = if let Some(text) = given {
        WebhookSecret::parse(text).map_err(|_| {
            Problem::field("secret", "this must be whsec_ and the base64 of 24 to 64 bytes")
        })?
    } else {
        let bytes = Zeroizing::new(clock::random_bytes::<WEBHOOK_SECRET_BYTES>());
        WebhookSecret::from_bytes(&*bytes).map_err(|_| Problem::internal())?
    };
    let text = secret.render();
    let sealed = app.driver.directories.sealer().seal(&signature_context(id), text.as_bytes());
    let record = KeyRecord {
        id,
        account,
        kind: KeyKind::Webhook,
        name: String::new(),
        secret_hash: Vec::new(),
        signature: Some(sealed),
        signature_method: SignatureMethod::default().wire_name().to_owned(),
        label,
        created_at: app.driver.clock.now(),
    };
    Ok((record, text))
}

type Secret = Zeroizing<String>;

fn door_key(
    app: &App,
    id: u32,
    account: AccountId,
    new: &NewKey,
    label: String,
) -> (KeyRecord, Secret, Option<Secret>) {
    let drawn = |given: &Option<String>, length| {
        Zeroizing::new(given.clone().unwrap_or_else(|| clock::draw_word(length)))
    };
    // The lengths are those of the vendors' own keys, which clients may have fields for.
    let (name_length, secret_length) = if new.kind == KeyKind::Vonage { (8, 16) } else { (12, 30) };
    let secret = drawn(&new.secret, secret_length);
    let signature =
        (new.kind == KeyKind::Vonage).then(|| drawn(&new.signature_secret, SIGNATURE_CHARS));
    let sealer = app.driver.directories.sealer();
    let seal = |secret: &Secret| sealer.seal(&signature_context(id), secret.as_bytes());
    let pepper = &app.driver.directories.secrets().pepper;
    let method = new.signature_method.as_deref().and_then(SignatureMethod::parse);
    let record = KeyRecord {
        id,
        account,
        kind: new.kind,
        name: drawn(&new.name, name_length).to_string(),
        secret_hash: SecretHash::of(pepper, &secret).as_bytes().to_vec(),
        signature: signature.as_ref().map(seal),
        signature_method: method.unwrap_or_default().wire_name().to_owned(),
        label,
        created_at: app.driver.clock.now(),
    };
    (record, secret, signature)
}

/// Says what is wrong with the fields of a key, if anything is, without repeating a secret.
fn check_fields(new: &NewKey) -> Result<(), Problem> {
    let mut faults = Vec::new();
    if let Some(name) = &new.name {
        let legal = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if !(1..=NAME_CHARS_MAX).contains(&name.len()) || !name.bytes().all(legal) {
            let detail = "this must be 1 to 64 printable ASCII characters without colon or space";
            faults.push(Fault::new("name", detail));
        }
    }
    let secrets = [("secret", &new.secret), ("signature_secret", &new.signature_secret)];
    for (field, secret) in secrets {
        let long_enough = |s: &String| (SECRET_CHARS_MIN..=SECRET_CHARS_MAX).contains(&s.len());
        let decent = |s: &String| long_enough(s) && s.bytes().all(|b| b.is_ascii_graphic());
        if secret.as_ref().is_some_and(|secret| !decent(secret)) {
            let detail = "this must be 8 to 128 printable ASCII characters without space";
            faults.push(Fault::new(field, detail));
        }
    }
    let signs = new.kind == KeyKind::Vonage;
    let of_signatures = [
        ("signature_secret", new.signature_secret.is_some()),
        ("signature_method", new.signature_method.is_some()),
    ];
    for (field, given) in of_signatures {
        if given && !signs {
            faults.push(Fault::new(field, "only a vonage key has one"));
        }
    }
    if new.kind == KeyKind::Webhook && new.name.is_some() {
        faults.push(Fault::new("name", "a webhook key has none"));
    }
    if !faults.is_empty() {
        return Err(Problem::fields(faults));
    }
    new.signature_method.as_deref().map(method).transpose().map(|_| ())
}

fn method(name: &str) -> Result<SignatureMethod, Problem> {
    SignatureMethod::parse(name).ok_or_else(|| {
        let names = SignatureMethod::ALL.map(SignatureMethod::wire_name).join(", ");
        Problem::field("signature_method", format!("this must be one of {names}"))
    })
}

fn label(given: Option<&str>) -> Result<String, Problem> {
    match given.map(str::trim) {
        None | Some("") => Ok(String::new()),
        Some(label) => text("label", label, NAME_CHARS_MAX),
    }
}

fn own_key(directory: &Directory, account: u32, key: u32) -> Result<&KeyRecord, Problem> {
    let own = |record: &&KeyRecord| record.id == key && record.account.0 == account;
    directory.rows.keys.iter().find(own).ok_or_else(|| Problem::unknown("key in this account"))
}

/// Whether nothing else could sign the outcome webhooks that the account wants.
fn signs_alone(directory: &Directory, record: &KeyRecord) -> bool {
    let account = directory.account(record.account);
    record.kind == KeyKind::Webhook
        && account.is_some_and(|account| account.settings.webhook_url.is_some())
        && directory.keys_of(record.account, KeyKind::Webhook).count() == 1
}

fn view(record: &KeyRecord) -> KeyView {
    let signs = record.kind == KeyKind::Vonage;
    KeyView {
        id: record.id,
        kind: record.kind,
        name: record.name.clone(),
        label: record.label.clone(),
        signature_method: signs.then(|| record.signature_method.clone()),
        created_at: utc(record.created_at),
    }
}

/// The vendor's signature secrets are as long.
const SIGNATURE_CHARS: usize = 32;

/// As many as the hash that it keys gives; Standard Webhooks 1.0 asks for 24 to 64.
const WEBHOOK_SECRET_BYTES: usize = 32;

const SECRET_CHARS_MIN: usize = 8;
const SECRET_CHARS_MAX: usize = 128;
