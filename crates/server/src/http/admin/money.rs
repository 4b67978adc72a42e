//! Money: prices, balances and credits.

#![expect(unused_qualifications, reason = "utoipa's macro writes them for query parameters")]

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use engine::{AccountId, Amount, Price, PriceItem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{
    Answer, Input, NAME_CHARS_MAX, Named, Operator, Search, account, amount, text,
};
use super::problem::Problem;
use crate::http::App;
use crate::store::{ConfigChange, Credit, PriceRecord};

/// What is priced.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Item {
    /// A verification that succeeded, whatever was sent for it.
    Verification,
    /// One part of a message.
    Sms,
}

/// One line of a price list.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceLine {
    /// Whose list; everybody's who has no line of their own if left out.
    #[serde(default)]
    account: Option<u32>,
    /// What is priced.
    item: Item,
    /// The leading digits of the numbers that it is for; all if empty.
    #[serde(default)]
    #[schema(example = "44")]
    prefix: String,
    /// How much, a decimal number of at least 0 with at most eight decimals.
    #[schema(example = "0.0333")]
    amount: String,
}

/// Names one line of a price list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PriceName {
    /// Whose list; the general one if left out.
    account: Option<u32>,
    /// What is priced.
    item: Item,
    /// The leading digits of the numbers that it is for; all if left out.
    #[serde(default)]
    prefix: String,
}

/// Whose prices to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PriceFilter {
    /// Only the lines of this account; all if left out.
    account: Option<u32>,
}

/// Some lines of price lists.
#[derive(Serialize, ToSchema)]
pub(super) struct PriceListing {
    /// The lines.
    items: Vec<PriceLine>,
}

/// What an account has.
#[derive(Serialize, ToSchema)]
pub(super) struct BalanceView {
    /// What it has.
    balance: String,
    /// What the entries of its ledger sum to, which is always the same.
    ledger: String,
    /// The ISO 4217 code of the currency.
    currency: String,
}

/// Money to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredit {
    /// How much, a decimal number; negative to take away.
    #[schema(example = "25.00")]
    amount: String,
    /// Names this credit, 1 to 64 characters: the same one a second time adds nothing.
    #[schema(example = "invoice-2026-11")]
    key: String,
}

/// What an account has after a credit.
#[derive(Serialize, ToSchema)]
pub(super) struct Credited {
    /// What it has now.
    balance: String,
}

/// Lists prices.
#[utoipa::path(
    get, path = "/admin/v1/prices", tag = "money", params(PriceFilter),
    responses((status = 200, description = "The lines.", body = PriceListing)),
)]
pub(super) async fn list_prices(
    _: Operator,
    State(app): State<Arc<App>>,
    Search(filter): Search<PriceFilter>,
) -> Result<Answer<PriceListing>, Problem> {
    let directory = app.driver.directories.current();
    let wanted = filter.account.map(AccountId);
    let lines = directory.rows.prices.iter();
    let lines = lines.filter(|line| wanted.is_none() || line.account == wanted);
    Ok(Answer::ok(PriceListing { items: lines.filter_map(view).collect() }))
}

/// Sets a price, in place of the one of the same account, item and prefix.
#[utoipa::path(
    put, path = "/admin/v1/prices", tag = "money", request_body = PriceLine,
    responses((status = 200, description = "The line as it is now.", body = PriceLine)),
)]
pub(super) async fn put_price(
    _: Operator,
    State(app): State<Arc<App>>,
    Input(line): Input<PriceLine>,
) -> Result<Answer<PriceLine>, Problem> {
    let amount = amount("amount", &line.amount)?;
    if amount < Amount::ZERO {
        return Err(Problem::field("amount", "a price is not negative"));
    }
    let prefix = prefix(&line.prefix)?;
    let put = app.driver.directories.change(|directory| {
        let account = line.account.map(|id| account(directory, id)).transpose()?;
        let price = Price { item: line.item.into(), prefix, amount };
        let record = PriceRecord { account: account.map(|account| account.id), price };
        let answer = line_of(&record, line.item);
        Ok::<_, Problem>((vec![ConfigChange::PutPrice(record)], answer))
    });
    let put = put.await?;
    tracing::info!("price set");
    Ok(Answer::ok(put))
}

/// Deletes a price.
#[utoipa::path(
    delete, path = "/admin/v1/prices", tag = "money", params(PriceName),
    responses((status = 204, description = "The line is gone.")),
)]
pub(super) async fn drop_price(
    _: Operator,
    State(app): State<Arc<App>>,
    Search(name): Search<PriceName>,
) -> Result<StatusCode, Problem> {
    let prefix = prefix(&name.prefix)?;
    let (account, item) = (name.account.map(AccountId), PriceItem::from(name.item));
    let dropped = app.driver.directories.change(|directory| {
        let same = |line: &&PriceRecord| {
            line.account == account && line.price.item == item && line.price.prefix == prefix
        };
        let line = directory.rows.prices.iter().find(same);
        let line = line.ok_or_else(|| Problem::unknown("price"))?;
        Ok::<_, Problem>((vec![ConfigChange::DropPrice(line.clone())], ()))
    });
    dropped.await?;
    tracing::info!("price deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Shows an account's balance, and what its ledger sums to.
#[utoipa::path(
    get, path = "/admin/v1/accounts/{id}/balance", tag = "money",
    params(("id" = u32, Path, description = "The account.")),
    responses((status = 200, description = "What the account has.", body = BalanceView)),
)]
pub(super) async fn show_balance(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
) -> Result<Answer<BalanceView>, Problem> {
    let balance = app.driver.store.audit(AccountId(id)).await?;
    let balance = balance.ok_or_else(|| Problem::unknown("account"))?;
    Ok(Answer::ok(BalanceView {
        balance: balance.balance.to_string(),
        ledger: balance.ledger.to_string(),
        currency: app.config.currency.code.clone(),
    }))
}

/// Adds to an account's balance, once per key.
#[utoipa::path(
    post, path = "/admin/v1/accounts/{id}/credits", tag = "money", request_body = NewCredit,
    params(("id" = u32, Path, description = "The account.")),
    responses((status = 200, description = "What the account has now.", body = Credited)),
)]
pub(super) async fn add_credit(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
    Input(new): Input<NewCredit>,
) -> Result<Answer<Credited>, Problem> {
    let amount = amount("amount", &new.amount)?;
    let key = text("key", &new.key, NAME_CHARS_MAX)?;
    if key == FIRST_BALANCE {
        return Err(Problem::field("key", "this names the balance that the account began with"));
    }
    let balance = app.driver.store.balance(AccountId(id)).await?;
    let after = balance.ok_or_else(|| Problem::unknown("account"))? + amount;
    if after.units().unsigned_abs() > BALANCE_MAX.units().unsigned_abs() {
        let detail = "the balance would be beyond ten thousand million";
        return Err(Problem::field("amount", detail));
    }
    let now = app.driver.clock.now();
    let credit = Credit { account: AccountId(id), amount, key, now };
    let balance = app.driver.store.credit(credit).await?;
    let balance = balance.ok_or_else(|| Problem::unknown("account"))?;
    tracing::info!(account.id = id, "balance credited");
    Ok(Answer::ok(Credited { balance: balance.to_string() }))
}

fn prefix(text: &str) -> Result<String, Problem> {
    let digits = text.trim();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    if digits.len() > engine::E164_DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Problem::field("prefix", "this must be at most 15 digits"));
    }
    Ok(digits.to_owned())
}

fn view(record: &PriceRecord) -> Option<PriceLine> {
    Item::of(record.price.item).map(|item| line_of(record, item))
}

fn line_of(record: &PriceRecord, item: Item) -> PriceLine {
    PriceLine {
        account: record.account.map(|id| id.0),
        item,
        prefix: record.price.prefix.clone(),
        amount: record.price.amount.to_string(),
    }
}

impl From<Item> for PriceItem {
    fn from(item: Item) -> Self {
        match item {
            Item::Verification => Self::Verification,
            Item::Sms => Self::Sms,
        }
    }
}

impl Item {
    /// Returns what accounts call an item; a call is paid to carriers and not by accounts.
    fn of(item: PriceItem) -> Option<Self> {
        match item {
            PriceItem::Verification => Some(Self::Verification),
            PriceItem::Sms => Some(Self::Sms),
            PriceItem::Voice => None,
        }
    }
}

/// The key under which the store keeps an account's first balance.
const FIRST_BALANCE: &str = "first";

/// The largest balance that a credit leads to, and the deepest debt. A choice: an amount is 64 bits
/// wide, and holds nine times as much.
const BALANCE_MAX: Amount = Amount::from_units(10_000_000_000 * 100_000_000);
