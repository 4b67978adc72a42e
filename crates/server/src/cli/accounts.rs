//! Commands about accounts and what belongs to them: keys, numbers, templates.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::client::{Call, Complaint, View, read_secret};

/// Commands about accounts.
#[derive(Subcommand)]
pub(super) enum AccountCommand {
    /// Create an account.
    #[command(after_help = "Example:\n  countersign account create \"My shop\" --balance 25")]
    Create {
        /// Its name for people.
        name: String,
        /// Its first balance.
        #[arg(long, value_name = "AMOUNT")]
        balance: Option<String>,
        /// Its settings, as for `account set`.
        #[arg(value_name = "SETTING=VALUE")]
        settings: Vec<String>,
    },
    /// List all accounts.
    #[command(after_help = "Example:\n  countersign account list")]
    List,
    /// Show an account with its settings and balance.
    #[command(after_help = "Example:\n  countersign account show 1")]
    Show {
        /// The account.
        account: u32,
    },
    /// Change an account's name or settings.
    #[command(after_help = SET_EXAMPLE)]
    Set {
        /// The account.
        account: u32,
        /// What to set; nothing after the `=` takes it back to its default.
        #[arg(required = true, value_name = "SETTING=VALUE")]
        settings: Vec<String>,
    },
}

impl AccountCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Result<Call, Complaint> {
        Ok(match self {
            Self::Create { name, balance, settings } => {
                let settings = parse_settings(&settings)?;
                let body = json!({ "name": name, "balance": balance, "settings": settings });
                Call::post(&["accounts"], body, View::Fields)
            }
            Self::List => Call::get(
                &["accounts"],
                View::Table(&["id", "name", "settings.suspended", "created_at"]),
            ),
            Self::Show { account } => Call::get(&["accounts", &account.to_string()], View::Fields),
            Self::Set { account, settings } => {
                let body = Value::Object(parse_settings(&settings)?);
                Call::patch(&["accounts", &account.to_string()], body, View::Fields)
            }
        })
    }
}

/// Commands about keys.
#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Create a key. Its secrets are shown this once.
    #[command(after_help = KEY_EXAMPLE)]
    Create {
        /// The account.
        #[arg(long)]
        account: u32,
        /// Which API it opens; or webhook, to sign outcome webhooks.
        #[arg(long, value_parser = ["vonage", "textmagic", "webhook"])]
        kind: String,
        /// A note for people.
        #[arg(long)]
        label: Option<String>,
        /// Your own `api_key` or username, if you have one from a vendor.
        #[arg(long)]
        name: Option<String>,
        /// Your own secret. Other users of this machine may see it while the command runs.
        #[arg(long, conflicts_with = "secret_file")]
        secret: Option<String>,
        /// A file with your own secret; - for standard input.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// A file with your own signature secret; - for standard input.
        #[arg(long, value_name = "FILE")]
        signature_secret_file: Option<PathBuf>,
        /// How requests and receipts are signed.
        #[arg(long, value_name = "METHOD", value_parser = SIGNATURE_METHODS)]
        signature_method: Option<String>,
    },
    /// List an account's keys, without their secrets.
    #[command(after_help = "Example:\n  countersign key list --account 1")]
    List {
        /// The account.
        #[arg(long)]
        account: u32,
    },
    /// Change a key's label or the method of its signatures.
    #[command(
        after_help = "Example:\n  countersign key set --account 1 2 --signature-method sha256"
    )]
    Set {
        /// The account.
        #[arg(long)]
        account: u32,
        /// The key's identifier.
        key: u32,
        /// A note for people.
        #[arg(long)]
        label: Option<String>,
        /// How requests and receipts are signed.
        #[arg(long, value_name = "METHOD", value_parser = SIGNATURE_METHODS)]
        signature_method: Option<String>,
    },
    /// Delete a key: from then on it opens nothing.
    #[command(after_help = "Example:\n  countersign key drop --account 1 2")]
    Drop {
        /// The account.
        #[arg(long)]
        account: u32,
        /// The key's identifier.
        key: u32,
    },
}

impl KeyCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Result<Call, Complaint> {
        Ok(match self {
            Self::Create {
                account,
                kind,
                label,
                name,
                secret,
                secret_file,
                signature_secret_file,
                signature_method,
            } => {
                let secret = given_secret(secret_file.as_deref())?.or(secret);
                let signature_secret = given_secret(signature_secret_file.as_deref())?;
                let body = json!({
                    "kind": kind, "label": label, "name": name, "secret": secret,
                    "signature_secret": signature_secret, "signature_method": signature_method,
                });
                Call::post(&["accounts", &account.to_string(), "keys"], body, View::Fields)
            }
            Self::List { account } => Call::get(
                &["accounts", &account.to_string(), "keys"],
                View::Table(&["id", "kind", "name", "label", "signature_method", "created_at"]),
            ),
            Self::Set { account, key, label, signature_method } => {
                let body = json!({ "label": label, "signature_method": signature_method });
                let path = ["accounts", &account.to_string(), "keys", &key.to_string()];
                Call::patch(&path, body, View::Fields)
            }
            Self::Drop { account, key } => Call::delete(
                &["accounts", &account.to_string(), "keys", &key.to_string()],
                "The key is gone.",
            ),
        })
    }
}

/// Commands about numbers.
#[derive(Subcommand)]
pub(super) enum NumberCommand {
    /// Add a short code, long number or name that an account sends from.
    #[command(after_help = NUMBER_EXAMPLE)]
    Add {
        /// The account.
        #[arg(long)]
        account: u32,
        /// The short code, the number in international form, or the name.
        value: String,
        /// A country it may send to; repeat for more.
        #[arg(long = "country", value_name = "CODE")]
        countries: Vec<String>,
        /// Use it only where no other may be.
        #[arg(long)]
        fallback: bool,
        /// The name of the campaign that a short code is registered for.
        #[arg(long, value_name = "NAME", requires = "help_text")]
        campaign: Option<String>,
        /// What is answered to HELP.
        #[arg(long, value_name = "TEXT", requires = "campaign")]
        help_text: Option<String>,
        /// Let START opt in again.
        #[arg(long, requires = "campaign")]
        start_allowed: bool,
    },
    /// List what an account sends from.
    #[command(after_help = "Example:\n  countersign number list --account 1")]
    List {
        /// The account.
        #[arg(long)]
        account: u32,
    },
    /// Take a number away from an account.
    #[command(after_help = "Example:\n  countersign number drop --account 1 3")]
    Drop {
        /// The account.
        #[arg(long)]
        account: u32,
        /// The number's identifier.
        number: u32,
    },
}

impl NumberCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Add {
                account,
                value,
                countries,
                fallback,
                campaign,
                help_text,
                start_allowed,
            } => {
                let campaign = campaign.map(|name| {
                    json!({ "name": name, "help_text": help_text, "start_allowed": start_allowed })
                });
                let body = json!({
                    "value": value, "countries": countries, "fallback": fallback,
                    "campaign": campaign,
                });
                Call::post(&["accounts", &account.to_string(), "numbers"], body, View::Fields)
            }
            Self::List { account } => Call::get(
                &["accounts", &account.to_string(), "numbers"],
                View::Table(&["id", "value", "countries", "fallback", "campaign.name"]),
            ),
            Self::Drop { account, number } => Call::delete(
                &["accounts", &account.to_string(), "numbers", &number.to_string()],
                "The number is gone.",
            ),
        }
    }
}

/// Commands about templates.
#[derive(Subcommand)]
pub(super) enum TemplateCommand {
    /// Save a text, in place of the account's text of the same index or locale.
    #[command(after_help = TEMPLATE_EXAMPLE)]
    Add {
        /// The account.
        #[arg(long)]
        account: u32,
        /// The text, with ${pin}.
        text: String,
        /// The index that the 2FA API's `template` names.
        #[arg(long, conflicts_with = "locale", required_unless_present = "locale")]
        index: Option<u32>,
        /// The locale whose verification text it replaces.
        #[arg(long)]
        locale: Option<String>,
    },
    /// List an account's own texts.
    #[command(after_help = "Example:\n  countersign template list --account 1")]
    List {
        /// The account.
        #[arg(long)]
        account: u32,
    },
    /// Delete a text.
    #[command(after_help = "Example:\n  countersign template drop --account 1 2")]
    Drop {
        /// The account.
        #[arg(long)]
        account: u32,
        /// The text's identifier.
        template: u32,
    },
}

impl TemplateCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Add { account, text, index, locale } => {
                let body = json!({ "text": text, "index": index, "locale": locale });
                Call::post(&["accounts", &account.to_string(), "templates"], body, View::Fields)
            }
            Self::List { account } => Call::get(
                &["accounts", &account.to_string(), "templates"],
                View::Table(&["id", "index", "locale", "segments", "text"]),
            ),
            Self::Drop { account, template } => Call::delete(
                &["accounts", &account.to_string(), "templates", &template.to_string()],
                "The text is gone.",
            ),
        }
    }
}

fn given_secret(file: Option<&Path>) -> Result<Option<String>, Complaint> {
    Ok(file.map(read_secret).transpose()?.map(|secret| secret.to_string()))
}

/// Reads `setting=value` words: the server says what is wrong with them.
fn parse_settings(words: &[String]) -> Result<Map<String, Value>, Complaint> {
    let parse = |word: &String| {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            Complaint::Usage(format!("`{word}` is not SETTING=VALUE, such as checks_max=3"))
        })?;
        Ok((name.to_owned(), setting(name, value)))
    };
    words.iter().map(parse).collect()
}

fn setting(name: &str, value: &str) -> Value {
    let as_json = || serde_json::from_str(value).ok();
    match name {
        _ if value.is_empty() => Value::Null,
        "countries_allow" | "countries_deny" => {
            value.split(',').map(|code| Value::from(code.trim())).collect()
        }
        "suspended" | "dlr_signed" | "conversion" | "voice_gate" => {
            as_json().unwrap_or_else(|| value.into())
        }
        // Numbers are numbers, and everything else is text, be it all digits or not.
        _ if name.ends_with("_s") || name.ends_with("_max") => {
            as_json().unwrap_or_else(|| value.into())
        }
        _ => value.into(),
    }
}

const SIGNATURE_METHODS: [&str; 5] = ["md5hash", "md5", "sha1", "sha256", "sha512"];

const SET_EXAMPLE: &str = "\
Examples:
  countersign account set 1 dlr_url=https://shop.example/receipts dlr_method=post
  countersign account set 1 checks_max=5 countries_allow=DE,FR
  countersign account set 1 suspended=true
  countersign account set 1 voice_gate=true voice_gender=female
  countersign account set 1 dlr_url=            (back to its default)

Settings: name, suspended, account_per_s, number_starts_max, prefix_starts_max, step_wait_s,
lifetime_s, cancel_after_s, checks_max, countries_allow, countries_deny, dlr_url,
dlr_method (get, post, post-json), dlr_signed, inbound_url, inbound_method, webhook_url, conversion,
webotp_host, android_hash, voice_gender (female, male), voice_gate, voice_repeats_max.

dlr_url is told what became of messages, inbound_url what handsets sent, webhook_url how
verifications ended. The first webhook_url
also makes the key that signs what it is sent; the key's secret is shown this once.";

const KEY_EXAMPLE: &str = "\
Examples:
  countersign key create --account 1 --kind textmagic
  countersign key create --account 1 --kind vonage --name a1b2c3d4 --secret-file secret.txt

With the name and secret that you have from a vendor, your clients change the base URL only.";

const NUMBER_EXAMPLE: &str = "\
Examples:
  countersign number add --account 1 MyShop
  countersign number add --account 1 +447700900000 --fallback
  countersign number add --account 1 12345 --campaign \"My shop\" --help-text \"My codes\"";

const TEMPLATE_EXAMPLE: &str = "\
Examples:
  countersign template add --account 1 'Your PIN is ${pin}' --index 0
  countersign template add --account 1 '${brand}: ${pin} is your code' --locale en-gb";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_their_types() {
        let words = [
            "name=42",
            "checks_max=5",
            "dlr_signed=true",
            "dlr_url=",
            "countries_allow=DE, FR",
            "android_hash=12345678901",
            "step_wait_s=soon",
        ];
        let settings = parse_settings(&words.map(str::to_owned)).unwrap();
        let expected = json!({
            "name": "42", "checks_max": 5, "dlr_signed": true, "dlr_url": null,
            "countries_allow": ["DE", "FR"], "android_hash": "12345678901", "step_wait_s": "soon",
        });
        assert_eq!(Value::Object(settings), expected);
        assert!(parse_settings(&["checks_max".to_owned()]).is_err());
    }
}
