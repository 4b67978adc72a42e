//! Numbers: whom an account's messages are from.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use engine::Originator;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{
    Answer, Input, NAME_CHARS_MAX, Named, Operator, account, countries, next_id, text,
};
use super::problem::Problem;
use crate::directory::Directory;
use crate::http::App;
use crate::store::{Campaign, ConfigChange, NumberRecord};

/// A short code, long number or name to send from.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewNumber {
    /// A short code of 5 or 6 digits, a number in international form, or a name of at most 11
    /// characters.
    #[schema(example = "12345")]
    value: String,
    /// The countries it may send to, by ISO 3166 code; all it can reach if empty.
    #[serde(default)]
    countries: Vec<String>,
    /// Whether it is used where no other may be.
    #[serde(default)]
    fallback: bool,
    /// What a short code is registered for. Messages of the 2FA API need one.
    #[serde(default)]
    campaign: Option<Campaign>,
}

/// What an account sends from.
#[derive(Serialize, ToSchema)]
pub(super) struct NumberView {
    /// Its identifier, which is also that of its campaign.
    id: u32,
    /// The code, digits or name.
    value: String,
    /// The countries it may send to; all it can reach if empty.
    countries: Vec<String>,
    /// Whether it is used where no other may be.
    fallback: bool,
    /// What it is registered for.
    campaign: Option<Campaign>,
}

/// The numbers of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct NumberList {
    /// The numbers, in the order in which they are preferred.
    items: Vec<NumberView>,
}

/// Lists what an account sends from.
#[utoipa::path(
    get, path = "/admin/v1/accounts/{id}/numbers", tag = "numbers",
    params(("id" = u32, Path, description = "The account.")),
    responses((status = 200, description = "The account's numbers.", body = NumberList)),
)]
pub(super) async fn list_numbers(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
) -> Result<Answer<NumberList>, Problem> {
    let directory = app.driver.directories.current();
    let account = account(&directory, id)?;
    let own = directory.rows.numbers.iter().filter(|number| number.account == account.id);
    Ok(Answer::ok(NumberList { items: own.map(view).collect() }))
}

/// Adds a number, short code or name that an account sends from.
#[utoipa::path(
    post, path = "/admin/v1/accounts/{id}/numbers", tag = "numbers", request_body = NewNumber,
    params(("id" = u32, Path, description = "The account.")),
    responses((status = 201, description = "The number was added.", body = NumberView)),
)]
pub(super) async fn add_number(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
    Input(new): Input<NewNumber>,
) -> Result<Answer<NumberView>, Problem> {
    let originator = Originator::parse(&new.value)
        .map_err(|error| Problem::field("value", error.to_string()))?;
    let countries =
        countries(&new.countries).map_err(|detail| Problem::field("countries", detail))?;
    let campaign = new.campaign.map(|campaign| checked(campaign, &originator)).transpose()?;
    let value = originator.as_str().into_owned();
    let added = app.driver.directories.change(|directory| {
        let account = account(directory, id)?.id;
        let same =
            |row: &NumberRecord| row.account == account && row.value.eq_ignore_ascii_case(&value);
        if directory.rows.numbers.iter().any(same) {
            return Err(Problem::conflict("The account has this number already."));
        }
        let fallback = new.fallback;
        let id = next_number(directory);
        let record = NumberRecord { id, account, value, countries, fallback, campaign };
        let answer = view(&record);
        Ok::<_, Problem>((vec![ConfigChange::PutNumber(record)], answer))
    });
    let added = added.await?;
    tracing::info!(account.id = id, number.id = added.id, "number added");
    Ok(Answer::created(added))
}

/// Takes a number away from an account.
#[utoipa::path(
    delete, path = "/admin/v1/accounts/{id}/numbers/{number}", tag = "numbers",
    params(
        ("id" = u32, Path, description = "The account."),
        ("number" = u32, Path, description = "The number's identifier."),
    ),
    responses((status = 204, description = "The number is gone.")),
)]
pub(super) async fn drop_number(
    _: Operator,
    State(app): State<Arc<App>>,
    Named((id, number)): Named<(u32, u32)>,
) -> Result<StatusCode, Problem> {
    let dropped = app.driver.directories.change(|directory| {
        let own = |row: &&NumberRecord| row.id == number && row.account.0 == id;
        let row = directory.rows.numbers.iter().find(own);
        let row = row.ok_or_else(|| Problem::unknown("number in this account"))?;
        Ok::<_, Problem>((vec![ConfigChange::DropNumber(row.id)], ()))
    });
    dropped.await?;
    tracing::info!(account.id = id, number.id = number, "number deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Opt-outs outlive their campaign, so its identifier must not be given away again.
fn next_number(directory: &Directory) -> u32 {
    let rows = &directory.rows;
    let numbers = rows.numbers.iter().map(|row| row.id);
    next_id(numbers.chain(rows.opt_outs.iter().map(|row| row.campaign)))
}

fn checked(campaign: Campaign, originator: &Originator) -> Result<Campaign, Problem> {
    match originator {
        Originator::ShortCode(_) => Ok(Campaign {
            name: text("campaign.name", &campaign.name, NAME_CHARS_MAX)?,
            help_text: text("campaign.help_text", &campaign.help_text, HELP_CHARS_MAX)?,
            start_allowed: campaign.start_allowed,
        }),
        Originator::LongNumber(_) | Originator::Alphanumeric(_) => {
            Err(Problem::field("campaign", "only a short code of 5 or 6 digits has a campaign"))
        }
    }
}

fn view(record: &NumberRecord) -> NumberView {
    NumberView {
        id: record.id,
        value: record.value.clone(),
        countries: record.countries.clone(),
        fallback: record.fallback,
        campaign: record.campaign.clone(),
    }
}

/// An answer to HELP is one short message.
const HELP_CHARS_MAX: usize = 160;
