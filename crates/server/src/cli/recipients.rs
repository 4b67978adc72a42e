//! Commands about those whom messages go to.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Call, View};

/// Commands about opt-outs.
#[derive(Subcommand)]
pub(super) enum OptoutCommand {
    /// List opt-outs, and numbers that were opted in again.
    #[command(after_help = "Example:\n  countersign optout list --campaign 1")]
    List {
        /// Only those of this campaign: the identifier of its short code.
        #[arg(long)]
        campaign: Option<u32>,
    },
    /// Opt a number out: the campaign's messages to it are refused.
    #[command(after_help = "Example:\n  countersign optout add 1 +12015550123")]
    Add {
        /// The campaign: the identifier of its short code.
        campaign: u32,
        /// The number in international form.
        number: String,
    },
    /// Opt a number in again.
    #[command(after_help = "Example:\n  countersign optout remove 1 +12015550123")]
    Remove {
        /// The campaign: the identifier of its short code.
        campaign: u32,
        /// The number in international form.
        number: String,
    },
}

impl OptoutCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        match self {
            Self::List { campaign } => {
                let view = View::Table(&["campaign", "number", "opted_out_at", "opted_in_at"]);
                Call::get(&["opt-outs"], view).query("campaign", campaign)
            }
            Self::Add { campaign, number } => {
                Call::put(&["opt-outs", &campaign.to_string(), &number], Value::Null, View::Fields)
            }
            Self::Remove { campaign, number } => Call::delete(
                &["opt-outs", &campaign.to_string(), &number],
                "The number is opted in.",
            ),
        }
    }
}

/// Commands about barred numbers.
#[derive(Subcommand)]
pub(super) enum BarCommand {
    /// Bar a number for all accounts.
    #[command(after_help = "Example:\n  countersign bar add +447700900123 --reason \"police\"")]
    Add {
        /// The number in international form.
        number: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Lift the bar on a number.
    #[command(after_help = "Example:\n  countersign bar remove +447700900123")]
    Remove {
        /// The number in international form.
        number: String,
    },
    /// List barred numbers.
    #[command(after_help = "Example:\n  countersign bar list")]
    List,
}

impl BarCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Add { number, reason } => {
                Call::put(&["barred", &number], json!({ "reason": reason }), View::Fields)
            }
            Self::Remove { number } => {
                Call::delete(&["barred", &number], "The number is not barred any more.")
            }
            Self::List => Call::get(&["barred"], View::Table(&["number", "reason", "at"])),
        }
    }
}

/// Forgets a number.
#[derive(Args)]
pub(super) struct Erase {
    /// The number in international form.
    number: String,
}

impl Erase {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        Call::post(&["erase"], json!({ "number": self.number }), View::Fields)
    }
}

/// Shown below the help.
pub(super) const ERASE_EXAMPLE: &str = "\
Example:
  countersign erase +447700900123

The number is deleted wherever it is stored. What remains is a keyed pseudonym, so that rates,
bars and opt-outs stay at work.";
