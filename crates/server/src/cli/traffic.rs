//! Commands about verifications, messages and webhooks.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Call, Complaint, View};

/// Sends a message with a PIN.
#[derive(Args)]
pub(super) struct Send {
    /// Who pays.
    #[arg(long)]
    account: u32,
    /// The number to send to.
    to: String,
    /// The PIN, 4 to 10 digits.
    #[arg(long)]
    pin: String,
    /// The text, with ${pin}.
    #[arg(long, conflicts_with = "template", required_unless_present = "template")]
    text: Option<String>,
    /// The index of one of the account's templates.
    #[arg(long)]
    template: Option<u32>,
    /// What else the text names; repeat for more.
    #[arg(long = "value", value_name = "NAME=VALUE")]
    values: Vec<String>,
    /// Which of the account's numbers to send from.
    #[arg(long)]
    from: Option<String>,
    /// The country in which the number is dialled.
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// Your own reference.
    #[arg(long)]
    client_ref: Option<String>,
}

impl Send {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Result<Call, Complaint> {
        let value = |word: &String| {
            let usage = || Complaint::Usage(format!("`{word}` is not NAME=VALUE"));
            let (name, value) = word.split_once('=').ok_or_else(usage)?;
            Ok((name.to_owned(), Value::from(value)))
        };
        let values: Map<String, Value> =
            self.values.iter().map(value).collect::<Result<_, Complaint>>()?;
        let body = json!({
            "account": self.account, "to": self.to, "pin": self.pin, "text": self.text,
            "template": self.template, "values": values, "from": self.from,
            "country": self.country, "client_ref": self.client_ref,
        });
        Ok(Call::post(&["messages"], body, View::Fields))
    }
}

/// Commands about verifications.
#[derive(Subcommand)]
pub(super) enum VerifyCommand {
    /// Start a verification.
    #[command(after_help = START_EXAMPLE)]
    Start {
        /// Who pays.
        #[arg(long)]
        account: u32,
        /// The number to verify.
        phone: String,
        /// The brand to name.
        brand: String,
        /// How many digits the code has, 4 to 10.
        #[arg(long, value_name = "DIGITS")]
        code_length: Option<u8>,
        /// The locale to speak.
        #[arg(long)]
        locale: Option<String>,
        /// Which of the preset workflows, 1 to 7.
        #[arg(long)]
        workflow: Option<u8>,
        /// Seconds between two steps, 15 to 900.
        #[arg(long, value_name = "SECONDS")]
        step_wait: Option<u32>,
        /// Seconds that the code can be typed, 60 to 3600.
        #[arg(long, value_name = "SECONDS")]
        lifetime: Option<u32>,
        /// Which of the account's numbers to send from.
        #[arg(long)]
        sender: Option<String>,
        /// The country in which the number is dialled.
        #[arg(long, value_name = "CODE")]
        country: Option<String>,
    },
    /// Check a code that the user typed.
    #[command(after_help = CHECK_EXAMPLE)]
    Check {
        /// The verification.
        id: String,
        /// The code.
        code: String,
    },
    /// Cancel a verification.
    #[command(after_help = CANCEL_EXAMPLE)]
    Cancel {
        /// The verification.
        id: String,
    },
    /// Tell what became of a verification.
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        /// The verification.
        id: String,
    },
    /// List an account's verifications, newest first.
    #[command(after_help = "Example:\n  countersign verify list --account 1 --limit 50")]
    List {
        /// The account.
        #[arg(long)]
        account: u32,
        /// Only those before this one.
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// How many, 1 to 100.
        #[arg(long)]
        limit: Option<usize>,
    },
}

impl VerifyCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Start {
                account,
                phone,
                brand,
                code_length,
                locale,
                workflow,
                step_wait,
                lifetime,
                sender,
                country,
            } => {
                let body = json!({
                    "account": account, "phone": phone, "brand": brand,
                    "code_length": code_length, "locale": locale, "workflow": workflow,
                    "step_wait_s": step_wait, "lifetime_s": lifetime,
                    "sender": sender, "country": country,
                });
                Call::post(&["verifications"], body, View::Fields)
            }
            Self::Check { id, code } => {
                let body = json!({ "code": code });
                Call::post(&["verifications", &id, "check"], body, View::Verdict)
            }
            Self::Cancel { id } => {
                Call::delete(&["verifications", &id], "The verification is cancelled.")
            }
            Self::Show { id } => Call::get(&["verifications", &id], View::Fields),
            Self::List { account, before, limit } => {
                let view = View::Table(&["id", "phone", "brand", "state", "created_at", "price"]);
                Call::get(&["verifications"], view)
                    .query("account", Some(account))
                    .query("before", before)
                    .query("limit", limit)
            }
        }
    }
}

/// Commands about messages.
#[derive(Subcommand)]
pub(super) enum MessageCommand {
    /// Tell what became of a message.
    #[command(after_help = "Example:\n  countersign message show 0A1B2C3D4E5F6070")]
    Show {
        /// The message.
        id: String,
    },
}

impl MessageCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        let Self::Show { id } = self;
        Call::get(&["messages", &id], View::Fields)
    }
}

/// Commands about webhooks.
#[derive(Subcommand)]
pub(super) enum WebhookCommand {
    /// List webhooks that were given up, newest first.
    #[command(after_help = "Example:\n  countersign webhook dead --limit 20")]
    Dead {
        /// How many, 1 to 1000.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Try a webhook again that was given up.
    #[command(after_help = "Example:\n  countersign webhook replay 42")]
    Replay {
        /// The webhook.
        id: i64,
    },
}

impl WebhookCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Dead { limit } => {
                let view = View::Table(&[
                    "id",
                    "account",
                    "message",
                    "verification",
                    "inbound",
                    "url",
                    "tries",
                    "dead_at",
                    "error",
                ]);
                Call::get(&["webhooks", "dead"], view).query("limit", limit)
            }
            Self::Replay { id } => {
                let path = ["webhooks", &id.to_string(), "replay"];
                Call::post(&path, Value::Null, View::Done("The webhook is on its way again."))
            }
        }
    }
}

/// Asks for the state of the server.
pub(super) fn status() -> Call {
    Call::get(&["status"], View::Fields)
}

/// Shown below the help.
pub(super) const SEND_EXAMPLE: &str = "\
Examples:
  countersign send --account 1 +12015550123 --pin 4815 --template 0
  countersign send --account 1 +447700900123 --pin 4815 --text 'Your PIN is ${pin}'";

const START_EXAMPLE: &str = "\
Examples:
  countersign verify start --account 1 +447700900123 \"My shop\"
  countersign verify start --account 1 07700900123 \"My shop\" --country GB --workflow 6 --code-length 6";

const CHECK_EXAMPLE: &str = "\
Example:
  countersign verify check 01937f3a-8c2e-8d41-9b5e-2f7a6c1d0e94 4815

The exit code is 0 if the code is right, and 1 if it is wrong.";

const CANCEL_EXAMPLE: &str = "\
Example:
  countersign verify cancel 01937f3a-8c2e-8d41-9b5e-2f7a6c1d0e94";

const SHOW_EXAMPLE: &str = "\
Example:
  countersign verify show 01937f3a-8c2e-8d41-9b5e-2f7a6c1d0e94";
