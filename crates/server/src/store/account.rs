//! What operators set up: accounts, keys, numbers, templates, prices, opt-outs.

use engine::{AccountId, Amount, Price, Timestamp};
use serde::{Deserialize, Serialize};

/// An account: who pays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountRecord {
    /// Its name in the store.
    pub id: AccountId,
    /// Its name for people.
    pub name: String,
    /// Its settings.
    pub settings: AccountSettings,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The settings of an account. What is `None` follows the configuration file.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSettings {
    /// Whether it may send.
    pub suspended: bool,
    /// Starts per second, and as many at once, 0 to 100000.
    pub account_per_s: Option<u32>,
    /// Starts per number and window, in the long run. As many may come at once, so that the window
    /// after a pause can hold nearly twice as many.
    pub number_starts_max: Option<u32>,
    /// Starts per prefix and window, counted in the same way.
    pub prefix_starts_max: Option<u32>,
    /// Seconds between two steps, 15 to 900.
    pub step_wait_s: Option<u32>,
    /// Seconds that a code can be typed, 60 to 3600.
    pub lifetime_s: Option<u32>,
    /// Seconds in which a cancel is refused, 0 to 300.
    pub cancel_after_s: Option<u32>,
    /// Wrong checks that end a verification, 1 to 10.
    pub checks_max: Option<u8>,
    /// Only these countries, by ISO 3166 alpha-2 code; all if empty.
    pub countries_allow: Vec<String>,
    /// None of these countries.
    pub countries_deny: Vec<String>,
    /// Where delivery receipts go.
    pub dlr_url: Option<String>,
    /// How they go there.
    pub dlr_method: DlrMethod,
    /// Whether they and inbound messages are signed with the key's signature secret.
    pub dlr_signed: bool,
    /// Where the messages go that its numbers receive.
    pub inbound_url: Option<String>,
    /// How they go there.
    pub inbound_method: DlrMethod,
    /// Where a verification's outcome goes, in the Standard Webhooks form.
    pub webhook_url: Option<String>,
    /// Whether conversions are taken.
    pub conversion: Option<bool>,
    /// The site of the WebOTP line that ends a verification's SMS.
    pub webotp_host: Option<String>,
    /// The hash of the Android app that reads a verification's SMS.
    pub android_hash: Option<String>,
    /// Whose voice its calls speak with.
    pub voice_gender: Option<VoiceGender>,
    /// Whether a key must be pressed before a call says the code, so that no answering machine
    /// is told it.
    pub voice_gate: Option<bool>,
    /// How often whoever presses 1 hears the code again, 0 to 3.
    pub voice_repeats_max: Option<u8>,
}

/// Whose voice calls speak with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VoiceGender {
    /// A woman's.
    Female,
    /// A man's.
    Male,
}

/// How delivery receipts and inbound messages are sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DlrMethod {
    /// All fields in the query.
    #[default]
    Get,
    /// A form.
    Post,
    /// A JSON object.
    PostJson,
}

/// Which door a key opens.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// `api_key` and `api_secret` of the 2FA API.
    Vonage,
    /// `username` and key of the Verify API.
    Textmagic,
    /// The secret that signs outcome webhooks.
    Webhook,
}

/// A credential of an account.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// Its name in the store.
    pub id: u32,
    /// Whose it is.
    pub account: AccountId,
    /// Which door it opens.
    pub kind: KeyKind,
    /// The public half: `api_key` or `username`.
    pub name: String,
    /// The keyed hash of the secret half; empty for a webhook key.
    pub secret_hash: Vec<u8>,
    /// The signature secret, sealed.
    pub signature: Option<Vec<u8>>,
    /// How requests and receipts are signed: a method's wire name.
    pub signature_method: String,
    /// A note for people.
    pub label: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A short code, long number or name that an account sends from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NumberRecord {
    /// Its name in the store.
    pub id: u32,
    /// Whose it is.
    pub account: AccountId,
    /// The code, digits or name.
    pub value: String,
    /// The countries it may send to; all if empty.
    pub countries: Vec<String>,
    /// Whether it is used where no other may be.
    pub fallback: bool,
    /// The campaign that runs on it, for a short code.
    pub campaign: Option<Campaign>,
}

/// What a short code is registered for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Campaign {
    /// The programme's name.
    pub name: String,
    /// What is answered to HELP.
    pub help_text: String,
    /// Whether START opts in again.
    #[serde(default)]
    pub start_allowed: bool,
}

/// A text of an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateRecord {
    /// Its name in the store.
    pub id: u32,
    /// Whose it is.
    pub account: AccountId,
    /// The index that the 2FA API's `template` names; `None` for a text of verifications.
    pub index: Option<u32>,
    /// The locale that it is for; `None` for a 2FA template.
    pub locale: Option<engine::Locale>,
    /// The text, with `${pin}`.
    pub text: String,
}

/// One line of a price list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PriceRecord {
    /// Whose list; `None` for everybody who has no line of their own.
    pub account: Option<AccountId>,
    /// The line.
    pub price: Price,
}

/// A number whose owner wants no more from a campaign, or wants it again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OptOut {
    /// The short code's name in the store.
    pub campaign: u32,
    /// The number's pseudonym.
    pub number_key: u64,
    /// The number's digits, `None` once erased.
    pub number: Option<u64>,
    /// When it was opted in again.
    pub opted_in_at: Option<Timestamp>,
    /// When it was opted out; `None` if it is opted in.
    pub opted_out_at: Option<Timestamp>,
}

/// A number that nobody may send to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BarredNumber {
    /// The number's pseudonym.
    pub number_key: u64,
    /// The number's digits, `None` once erased.
    pub number: Option<u64>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// One change to what operators set up.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// Creates or replaces an account; `credit` is its first balance.
    PutAccount {
        /// The account.
        account: AccountRecord,
        /// Its balance, if it is new.
        credit: Amount,
    },
    /// Creates or replaces a key.
    PutKey(KeyRecord),
    /// Deletes a key.
    DropKey(u32),
    /// Creates or replaces a number.
    PutNumber(NumberRecord),
    /// Deletes a number.
    DropNumber(u32),
    /// Creates or replaces a template.
    PutTemplate(TemplateRecord),
    /// Deletes a template.
    DropTemplate(u32),
    /// Creates or replaces a price.
    PutPrice(PriceRecord),
    /// Deletes a price.
    DropPrice(PriceRecord),
    /// Opts a number out of a campaign, or in again.
    PutOptOut(OptOut),
    /// Bars a number.
    Bar(BarredNumber),
    /// Lifts the bar on the number of this pseudonym.
    Unbar(u64),
    /// Keeps a named secret of the server, sealed.
    PutSecret {
        /// Its name.
        name: String,
        /// The sealed value.
        sealed: Vec<u8>,
    },
    /// Keeps what an operator set while the server ran, under a name.
    PutSetting {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Forgets what was kept under a name.
    DropSetting(String),
}

/// Everything that operators set up.
#[derive(Clone, Debug, Default)]
pub struct DirectoryRows {
    /// The accounts.
    pub accounts: Vec<AccountRecord>,
    /// Their keys.
    pub keys: Vec<KeyRecord>,
    /// Their numbers.
    pub numbers: Vec<NumberRecord>,
    /// Their templates.
    pub templates: Vec<TemplateRecord>,
    /// The prices.
    pub prices: Vec<PriceRecord>,
    /// The opt-outs.
    pub opt_outs: Vec<OptOut>,
    /// The barred numbers.
    pub barred: Vec<BarredNumber>,
    /// The named secrets of the server, sealed.
    pub secrets: Vec<(String, Vec<u8>)>,
    /// What was set while the server ran, by name.
    pub settings: Vec<(String, String)>,
}
