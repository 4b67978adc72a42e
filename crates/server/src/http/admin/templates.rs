//! Templates: an account's own words.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use engine::Locale;
use engine::wording::{
    BRAND, BRAND_CHARS_MAX, CODE_DIGITS_MAX, PIN, PIN_EXPIRY, SEGMENTS_MAX, Segments, Template,
    lint,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, Input, Named, Operator, account, next_id};
use super::problem::Problem;
use super::settings;
use crate::directory::Account;
use crate::http::App;
use crate::store::{ConfigChange, TemplateRecord};

/// A text to save: for messages of the 2FA API under an index, or for verifications under a locale.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTemplate {
    /// The index that the 2FA API's `template` names.
    #[serde(default)]
    index: Option<u32>,
    /// The locale whose built-in verification text this one replaces, such as `en-gb`.
    #[serde(default)]
    locale: Option<String>,
    /// The text, with `${pin}`. A verification's may also have `${brand}` and `${pin_expiry}`; a
    /// 2FA message's may have whatever its request gives.
    #[schema(example = "Your PIN is ${pin}")]
    text: String,
}

/// A text of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct TemplateView {
    /// Its identifier.
    id: u32,
    /// The index that the 2FA API's `template` names.
    index: Option<u32>,
    /// The locale that it is for.
    locale: Option<String>,
    /// The text.
    text: String,
    /// How many short messages it takes with the longest brand and code, without other values.
    segments: u16,
}

/// The texts of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct TemplateList {
    /// The texts, by identifier.
    items: Vec<TemplateView>,
}

/// Lists an account's own texts.
#[utoipa::path(
    get, path = "/admin/v1/accounts/{id}/templates", tag = "templates",
    params(("id" = u32, Path, description = "The account.")),
    responses((status = 200, description = "The account's texts.", body = TemplateList)),
)]
pub(super) async fn list_templates(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
) -> Result<Answer<TemplateList>, Problem> {
    let directory = app.driver.directories.current();
    let account = account(&directory, id)?;
    let own = directory.rows.templates.iter().filter(|row| row.account == account.id);
    Ok(Answer::ok(TemplateList { items: own.map(view).collect() }))
}

/// Saves a text.
///
/// It takes the place of the account's text of the same index or locale.
#[utoipa::path(
    post, path = "/admin/v1/accounts/{id}/templates", tag = "templates",
    request_body = NewTemplate, params(("id" = u32, Path, description = "The account.")),
    responses((status = 201, description = "The text was saved.", body = TemplateView)),
)]
pub(super) async fn put_template(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<u32>,
    Input(new): Input<NewTemplate>,
) -> Result<Answer<TemplateView>, Problem> {
    let saved = app.driver.directories.change(|directory| {
        let account = account(directory, id)?;
        let (locale, template) = checked(&account, &new)?;
        let rows = &directory.rows.templates;
        let same = |row: &&TemplateRecord| {
            row.account == account.id && row.index == new.index && row.locale == locale
        };
        let earlier = rows.iter().find(same).map(|row| row.id);
        let record = TemplateRecord {
            id: earlier.unwrap_or_else(|| next_id(rows.iter().map(|row| row.id))),
            account: account.id,
            index: new.index,
            locale,
            text: template.to_string(),
        };
        let answer = view(&record);
        Ok::<_, Problem>((vec![ConfigChange::PutTemplate(record)], answer))
    });
    let saved = saved.await?;
    tracing::info!(account.id = id, template.id = saved.id, "template saved");
    Ok(Answer::created(saved))
}

/// Deletes a text.
#[utoipa::path(
    delete, path = "/admin/v1/accounts/{id}/templates/{template}", tag = "templates",
    params(
        ("id" = u32, Path, description = "The account."),
        ("template" = u32, Path, description = "The text's identifier."),
    ),
    responses((status = 204, description = "The text is gone.")),
)]
pub(super) async fn drop_template(
    _: Operator,
    State(app): State<Arc<App>>,
    Named((id, template)): Named<(u32, u32)>,
) -> Result<StatusCode, Problem> {
    let dropped = app.driver.directories.change(|directory| {
        let own = |row: &&TemplateRecord| row.id == template && row.account.0 == id;
        let row = directory.rows.templates.iter().find(own);
        let row = row.ok_or_else(|| Problem::unknown("template in this account"))?;
        Ok::<_, Problem>((vec![ConfigChange::DropTemplate(row.id)], ()))
    });
    dropped.await?;
    tracing::info!(account.id = id, template.id = template, "template deleted");
    Ok(StatusCode::NO_CONTENT)
}

fn checked(account: &Account, new: &NewTemplate) -> Result<(Option<Locale>, Template), Problem> {
    let locale = match (&new.locale, new.index) {
        (Some(name), None) => Some(Locale::parse(name).ok_or_else(|| {
            let names = Locale::ALL.map(Locale::as_str).join(", ");
            Problem::field("locale", format!("this must be one of {names}"))
        })?),
        (None, Some(_)) => None,
        (Some(_), Some(_)) | (None, None) => {
            let detail = "give either index, for 2FA messages, or locale, for verifications";
            return Err(Problem::field("index", detail));
        }
    };
    let wrong = |error: String| Problem::field("text", error);
    let template = Template::parse_for_code(&new.text).map_err(|e| wrong(e.to_string()))?;
    let line = if locale.is_some() {
        let known = |name: &&str| [PIN, BRAND, PIN_EXPIRY].contains(name);
        if let Some(name) = template.placeholders().find(|name| !known(name)) {
            let detail = format!("a verification has no value for ${{{name}}}: remove it");
            return Err(wrong(detail));
        }
        settings::last_line(&account.settings).map_err(|e| wrong(e.to_string()))?
    } else {
        None
    };
    lint(&template, line.as_slice()).map_err(|e| wrong(e.to_string()))?;
    let segments = segments(&template);
    if segments > SEGMENTS_MAX {
        let detail = format!("this takes {segments} short messages; {SEGMENTS_MAX} are allowed");
        return Err(wrong(detail));
    }
    Ok((locale, template))
}

/// Counts with the longest values that are known before a request.
fn segments(template: &Template) -> u16 {
    let brand = "B".repeat(BRAND_CHARS_MAX);
    let code = "0".repeat(CODE_DIGITS_MAX);
    let value = |name: &str| match name {
        PIN => Some(code.as_str()),
        BRAND => Some(brand.as_str()),
        PIN_EXPIRY => Some(LONGEST_EXPIRY_MINUTES),
        _ => Some(""),
    };
    template.render(value).map_or(u16::MAX, |text| Segments::of(text.reveal()).count)
}

fn view(record: &TemplateRecord) -> TemplateView {
    TemplateView {
        id: record.id,
        index: record.index,
        locale: record.locale.map(|locale| locale.as_str().to_owned()),
        text: record.text.clone(),
        segments: Template::parse(&record.text).map_or(0, |template| segments(&template)),
    }
}

/// A code lives at most 3600 seconds.
const LONGEST_EXPIRY_MINUTES: &str = "60";
