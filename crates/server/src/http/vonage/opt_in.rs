//! Who takes part in a campaign: lists who has opted out, and lets a number in again.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use engine::{Refusal, Timestamp};

use super::envelope::{self, Format, OptIn};
use super::status::WireStatus;
use super::{WireError, decode, failed, login, read, respond, wire};
use crate::directory::{Account, Directory, DirectoryError};
use crate::http::App;
use crate::http::params::Params;
use crate::store::{ConfigChange, OptOut};

/// `/sc/us/alert/opt-in/query/{json|xml}`
pub(super) async fn query(app: &Arc<App>, request: Request, format: Format) -> Response {
    let answer = async {
        let incoming = read(app, request).await?;
        let params = decode(&incoming, format)?;
        let account = login::authenticate(app, &incoming, &params)?;
        let page = Page::parse(&params)?;
        let campaign = campaign(&account)?;
        let directory = app.driver.directories.fresh().await?;
        let (total, shown) = page.of(&directory.rows.opt_outs, campaign);
        let body = envelope::render_opt_in_list(total, &shown, format);
        Ok(respond(StatusCode::OK, format, body))
    };
    answer.await.unwrap_or_else(|error: WireError| error.render(format))
}

/// `/sc/us/alert/opt-in/manage/{json|xml}`
pub(super) async fn manage(app: &Arc<App>, request: Request, format: Format) -> Response {
    let answer = async {
        let incoming = read(app, request).await?;
        let params = decode(&incoming, format)?;
        let account = login::authenticate(app, &incoming, &params)?;
        let digits = msisdn(&params)?;
        let campaign = campaign(&account)?;
        let number_key = app.driver.directories.secrets().pseudonyms.pseudonym(digits);
        let now = app.driver.clock.now();
        let plan = |directory: &Directory| opt_in(directory, campaign, number_key, now);
        let row = app.driver.directories.change(plan).await?;
        let body = envelope::render_opt_in(&shown(&row, digits), format);
        Ok(respond(StatusCode::OK, format, body))
    };
    answer.await.unwrap_or_else(|error: WireError| error.render(format))
}

fn campaign(account: &Account) -> Result<u32, WireError> {
    let short_code = account.short_code.as_ref().ok_or_else(|| wire(Refusal::NoCampaign))?;
    Ok(short_code.id)
}

fn msisdn(params: &Params) -> Result<u64, WireError> {
    let text = params.given("msisdn").unwrap_or_default().trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let numeric = digits.len() <= MSISDN_DIGITS_MAX && digits.bytes().all(|b| b.is_ascii_digit());
    let digits = digits.parse().ok().filter(|_| numeric);
    digits.ok_or_else(|| WireError::new(WireStatus::InvalidMsisdnParam))
}

/// Plans to let a number in again. One that already takes part stays as it is; one that the
/// campaign has never heard of is refused, for nobody has opted it out.
fn opt_in(
    directory: &Directory,
    campaign: u32,
    number_key: u64,
    now: Timestamp,
) -> Result<(Vec<ConfigChange>, OptOut), WireError> {
    let mut rows = directory.rows.opt_outs.iter();
    let row = rows.find(|row| row.campaign == campaign && row.number_key == number_key);
    let row = row.ok_or_else(|| WireError::new(WireStatus::InvalidMsisdn))?;
    if row.opted_out_at.is_none() {
        return Ok((Vec::new(), row.clone()));
    }
    let row = OptOut { opted_in_at: Some(now), opted_out_at: None, ..row.clone() };
    Ok((vec![ConfigChange::PutOptOut(row.clone())], row))
}

fn shown(row: &OptOut, digits: u64) -> OptIn {
    let millis = |at: Timestamp| i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    OptIn {
        msisdn: digits.to_string(),
        opted_in: row.opted_out_at.is_none(),
        opted_in_at: row.opted_in_at.map(millis),
        opted_out_at: row.opted_out_at.map(millis),
    }
}

/// Which part of a list is asked for.
struct Page {
    number: usize,
    size: usize,
}

impl Page {
    fn parse(params: &Params) -> Result<Self, WireError> {
        let read = |name: &str, default: usize| match params.given(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| WireError::invalid(format!("{name} is not numeric")))
            }
        };
        let number = read("page", 0)?;
        let size = read("page-size", PAGE_SIZE_DEFAULT)?;
        if !(1..=PAGE_SIZE_MAX).contains(&size) {
            return Err(WireError::invalid("page-size is out of range"));
        }
        Ok(Self { number, size })
    }

    /// Takes a page out of rows in order of campaign and digits, and counts all pages' rows, without
    /// a look at the others. Numbers that were erased come first in a campaign and are not shown.
    fn of(&self, rows: &[OptOut], campaign: u32) -> (usize, Vec<OptIn>) {
        let begin = rows.partition_point(|row| (row.campaign, row.number) <= (campaign, None));
        let end = rows.partition_point(|row| row.campaign <= campaign);
        let all = rows.get(begin..end).unwrap_or_default();
        let page = all.iter().skip(self.number.saturating_mul(self.size)).take(self.size);
        (all.len(), page.filter_map(|row| Some(shown(row, row.number?))).collect())
    }
}

impl From<DirectoryError> for WireError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => failed(&error),
            DirectoryError::Seal { .. } | DirectoryError::Length { .. } => {
                tracing::error!(%error, "cannot change who takes part in a campaign");
                Self::new(WireStatus::InternalError)
            }
        }
    }
}

/// E.164.
const MSISDN_DIGITS_MAX: usize = engine::E164_DIGITS_MAX;

/// Documented.
const PAGE_SIZE_DEFAULT: usize = 100;

/// Chosen: no limit is documented.
const PAGE_SIZE_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::decode(query, None, b"").unwrap()
    }

    fn row(campaign: u32, number: Option<u64>, out: bool) -> OptOut {
        let at = Timestamp::from_millis(1_403_893_913_000);
        OptOut {
            campaign,
            number_key: number.unwrap_or_default(),
            number,
            opted_in_at: None,
            opted_out_at: out.then_some(at),
        }
    }

    #[test]
    fn a_page_holds_the_campaign_s_own_numbers_in_order() {
        let rows = [
            row(0, Some(15_550_000_000), true),
            row(1, None, true),
            row(1, None, true),
            row(1, Some(15_558_937_001), false),
            row(1, Some(15_558_937_005), true),
            row(1, Some(15_558_937_009), true),
            row(2, None, true),
            row(2, Some(15_550_000_000), true),
        ];
        let page = |query| {
            let (total, page) = Page::parse(&params(query)).ok().unwrap().of(&rows, 1);
            assert_eq!(total, 3);
            page.into_iter().map(|entry| (entry.msisdn, entry.opted_in)).collect::<Vec<_>>()
        };
        let [first, second, third] =
            [("15558937001", true), ("15558937005", false), ("15558937009", false)]
                .map(|(msisdn, opted_in)| (msisdn.to_owned(), opted_in));
        assert_eq!(page(""), [first.clone(), second.clone(), third.clone()]);
        assert_eq!(page("page-size=2"), [first, second]);
        assert_eq!(page("page-size=2&page=1"), [third]);
        assert_eq!(page("page=18446744073709551615"), []);
        assert_eq!(Page::parse(&params("")).ok().unwrap().of(&rows, 3).0, 0);
    }

    #[test]
    fn a_page_out_of_range_is_refused() {
        for query in ["page-size=0", "page-size=1001", "page=-1", "page=x"] {
            let error = Page::parse(&params(query)).err().unwrap();
            assert_eq!(error.part.status, WireStatus::InvalidParams, "{query}");
        }
    }

    #[test]
    fn a_number_is_let_in_again_once_and_only_if_it_was_opted_out() {
        let now = Timestamp::from_millis(1_408_642_067_000);
        let mut directory = Directory::default();
        directory.rows.opt_outs = vec![row(1, Some(7), true), row(1, Some(8), false)];
        let plan = |number_key| opt_in(&directory, 1, number_key, now).ok();
        let (changes, let_in) = plan(7).unwrap();
        assert_eq!((let_in.opted_in_at, let_in.opted_out_at), (Some(now), None));
        assert!(matches!(&changes[..], [ConfigChange::PutOptOut(put)] if *put == let_in));
        let (changes, unchanged) = plan(8).unwrap();
        assert!(changes.is_empty());
        assert_eq!(unchanged.opted_in_at, None);
        let unknown = opt_in(&directory, 1, 9, now).err().unwrap();
        assert_eq!(unknown.part.status.number(), 103);
    }

    #[test]
    fn a_number_to_let_in_is_written_in_digits() {
        assert_eq!(msisdn(&params("msisdn=15559301529")).ok(), Some(15_559_301_529));
        assert_eq!(msisdn(&params("msisdn=%2B15559301529")).ok(), Some(15_559_301_529));
        for query in ["", "msisdn=", "msisdn=%2B%2B1", "msisdn=abc", "msisdn=1234567890123456"] {
            let error = msisdn(&params(query)).err().unwrap();
            assert_eq!(error.part.status.number(), 34, "{query}");
        }
    }
}
