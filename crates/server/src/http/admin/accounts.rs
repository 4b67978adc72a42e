//! Accounts: who pays, and how each is treated.

use std::sync::Arc;

use axum::extract::State;
use engine::{AccountId, Amount};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::{Answer, Input, NAME_CHARS_MAX, Named, Operator, amount, next_id, text};
use super::problem::Problem;
use super::{keys, settings};
use crate::directory::Directory;
use crate::http::{App, utc};
use crate::store::{AccountRecord, AccountSettings, ConfigChange, KeyKind};

/// An account to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    /// Its name for people, 1 to 64 characters.
    name: String,
    /// Its settings. What is left out follows the configuration file.
    #[serde(default)]
    #[schema(value_type = Option<AccountSettings>)]
    settings: Map<String, Value>,
    /// Its first balance, a decimal number of at least 0; 0 if left out.
    #[serde(default)]
    #[schema(example = "25.00")]
    balance: Option<String>,
}

/// A change of an account: its name, and any of its settings. What is left out stays, `null`
/// takes a setting back to its default.
#[derive(Deserialize, ToSchema)]
pub(super) struct AccountPatch {
    /// Its name for people, 1 to 64 characters.
    #[serde(default)]
    name: Option<String>,
    #[serde(flatten)]
    #[schema(value_type = AccountSettings)]
    settings: Map<String, Value>,
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(super) struct AccountView {
    /// Its identifier.
    id: u32,
    /// Its name for people.
    name: String,
    /// Its settings as they are stored.
    settings: AccountSettings,
    /// When it was created.
    created_at: String,
    /// Its balance, as a decimal number; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    /// The secret that outcome webhooks are signed with, in the answer that creates it only.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
}

/// Some accounts.
#[derive(Serialize, ToSchema)]
pub(super) struct AccountList {
    /// The accounts, by identifier.
    items: Vec<AccountView>,
}

/// Lists all accounts.
#[utoipa::path(
    get, path = "/admin/v1/accounts", tag = "accounts",
    responses((status = 200, description = "All accounts.", body = AccountList)),
)]
pub(super) async fn list_accounts(
    _: Operator,
    State(app): State<Arc<App>>,
) -> Result<Answer<AccountList>, Problem> {
    let directory = app.driver.directories.current();
    let items = directory.rows.accounts.iter().map(|record| view(record, None, None)).collect();
    Ok(Answer::ok(AccountList { items }))
}

/// Creates an account.
#[utoipa::path(
    post, path = "/admin/v1/accounts", tag = "accounts", request_body = NewAccount,
    responses((status = 201, description = "The account was created.", body = AccountView)),
)]
pub(super) async fn create_account(
    _: Operator,
    State(app): State<Arc<App>>,
    Input(new): Input<NewAccount>,
) -> Result<Answer<AccountView>, Problem> {
    let name = text("name", &new.name, NAME_CHARS_MAX)?;
    let credit = new.balance.as_deref().map_or(Ok(Amount::ZERO), |b| amount("balance", b))?;
    if credit < Amount::ZERO {
        return Err(Problem::field("balance", "a first balance is not negative"));
    }
    let created = app.driver.directories.change(|directory| {
        let rows = &directory.rows;
        let id = AccountId(next_id(rows.accounts.iter().map(|row| row.id.0)));
        let default = AccountSettings::default();
        let settings = settings::merge(&app, directory, id, &default, &new.settings)?;
        let created_at = app.driver.clock.now();
        let record = AccountRecord { id, name, settings, created_at };
        let mut changes = vec![ConfigChange::PutAccount { account: record.clone(), credit }];
        let secret = webhook_secret(&app, directory, &record, &mut changes)?;
        Ok::<_, Problem>((changes, view(&record, Some(credit), secret)))
    });
    let created = created.await?;
    tracing::info!(account.id = created.id, "account created");
    Ok(Answer::created(created))
}

/// Shows an account with its balance.
#[utoipa::path(
    get, path = "/admin/v1/accounts/{id}", tag = "accounts",
    params(("id" = u32, Path, description = "The account.")),
    responses((status = 200, description = "The account.", body = AccountView)),
)]
pub(super) async fn show_account(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
) -> Result<Answer<AccountView>, Problem> {
    let record = record(&app.driver.directories.current(), id)?;
    let balance = app.driver.store.balance(record.id).await?;
    Ok(Answer::ok(view(&record, balance, None)))
}

/// Changes an account's name and settings.
#[utoipa::path(
    patch, path = "/admin/v1/accounts/{id}", tag = "accounts", request_body = AccountPatch,
    params(("id" = u32, Path, description = "The account.")),
    responses((status = 200, description = "The account as it is now.", body = AccountView)),
)]
pub(super) async fn change_account(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
    Input(patch): Input<AccountPatch>,
) -> Result<Answer<AccountView>, Problem> {
    let name = patch.name.as_deref().map(|name| text("name", name, NAME_CHARS_MAX)).transpose()?;
    let changed = app.driver.directories.change(|directory| {
        let mut record = record(directory, id)?;
        record.settings =
            settings::merge(&app, directory, record.id, &record.settings, &patch.settings)?;
        record.name = name.unwrap_or(record.name);
        let credit = Amount::ZERO;
        let mut changes = vec![ConfigChange::PutAccount { account: record.clone(), credit }];
        let secret = webhook_secret(&app, directory, &record, &mut changes)?;
        Ok::<_, Problem>((changes, (record, secret)))
    });
    let (record, secret) = changed.await?;
    tracing::info!(account.id = id, "account changed");
    let balance = app.driver.store.balance(record.id).await?;
    Ok(Answer::ok(view(&record, balance, secret)))
}

/// Makes the secret that an account's outcome webhooks are signed with, if it has to have one and
/// has none yet.
fn webhook_secret(
    app: &App,
    directory: &Directory,
    record: &AccountRecord,
    changes: &mut Vec<ConfigChange>,
) -> Result<Option<String>, Problem> {
    let wanted = record.settings.webhook_url.is_some();
    if !wanted || directory.keys_of(record.id, KeyKind::Webhook).next().is_some() {
        return Ok(None);
    }
    let id = keys::next_key(directory);
    let (key, secret) = keys::webhook_key(app, id, record.id, None, String::new())?;
    changes.push(ConfigChange::PutKey(key));
    Ok(Some(secret.to_string()))
}

fn record(directory: &Directory, id: u32) -> Result<AccountRecord, Problem> {
    let record = directory.rows.accounts.iter().find(|record| record.id.0 == id);
    record.cloned().ok_or_else(|| Problem::unknown("account"))
}

fn view(
    record: &AccountRecord,
    balance: Option<Amount>,
    webhook_secret: Option<String>,
) -> AccountView {
    AccountView {
        id: record.id.0,
        name: record.name.clone(),
        settings: record.settings.clone(),
        created_at: utc(record.created_at),
        balance: balance.map(|balance| balance.to_string()),
        webhook_secret,
    }
}
