//! Commands about prices and balances.

use clap::Subcommand;
use countersign::clock;
use serde_json::json;

use super::client::{Call, View};

/// Commands about prices.
#[derive(Subcommand)]
pub(super) enum PriceCommand {
    /// Set a price.
    #[command(after_help = PRICE_EXAMPLE)]
    Set {
        /// What is priced: a verification that succeeds, or one part of a message.
        #[arg(value_parser = ITEMS)]
        item: String,
        /// How much, with at most eight decimals.
        amount: String,
        /// The leading digits of the numbers that it is for; all if left out.
        #[arg(long, default_value = "")]
        prefix: String,
        /// The account that it is for; all without a price of their own if left out.
        #[arg(long)]
        account: Option<u32>,
    },
    /// List prices.
    #[command(after_help = "Example:\n  countersign price list --account 1")]
    List {
        /// Only those of this account.
        #[arg(long)]
        account: Option<u32>,
    },
    /// Delete a price.
    #[command(after_help = "Example:\n  countersign price drop sms --prefix 44")]
    Drop {
        /// What is priced.
        #[arg(value_parser = ITEMS)]
        item: String,
        /// The leading digits of the numbers that it is for.
        #[arg(long, default_value = "")]
        prefix: String,
        /// The account that it is for.
        #[arg(long)]
        account: Option<u32>,
    },
}

impl PriceCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Set { item, amount, prefix, account } => {
                let body = json!({
                    "item": item, "amount": amount, "prefix": prefix, "account": account,
                });
                Call::put(&["prices"], body, View::Fields)
            }
            Self::List { account } => {
                let view = View::Table(&["account", "item", "prefix", "amount"]);
                Call::get(&["prices"], view).query("account", account)
            }
            Self::Drop { item, prefix, account } => Call::delete(&["prices"], "The price is gone.")
                .query("item", Some(item))
                .query("prefix", Some(prefix))
                .query("account", account),
        }
    }
}

/// Commands about balances.
#[derive(Subcommand)]
pub(super) enum BalanceCommand {
    /// Show an account's balance.
    #[command(after_help = "Example:\n  countersign balance show --account 1")]
    Show {
        /// The account.
        #[arg(long)]
        account: u32,
    },
    /// Add to an account's balance.
    #[command(after_help = CREDIT_EXAMPLE)]
    Credit {
        /// The account.
        #[arg(long)]
        account: u32,
        /// How much; negative to take away.
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// Names this credit: the same one a second time adds nothing.
        #[arg(long)]
        key: Option<String>,
    },
}

impl BalanceCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Show { account } => {
                Call::get(&["accounts", &account.to_string(), "balance"], View::Fields)
            }
            Self::Credit { account, amount, key } => {
                let key = key.unwrap_or_else(|| clock::draw_word(DRAWN_KEY_CHARS));
                let body = json!({ "amount": amount, "key": key });
                Call::post(&["accounts", &account.to_string(), "credits"], body, View::Fields)
            }
        }
    }
}

/// Two drawn keys never meet.
const DRAWN_KEY_CHARS: usize = 20;

const ITEMS: [&str; 2] = ["verification", "sms"];

const PRICE_EXAMPLE: &str = "\
Examples:
  countersign price set sms 0.0333
  countersign price set verification 0.05 --prefix 44 --account 1";

const CREDIT_EXAMPLE: &str = "\
Example:
  countersign balance credit --account 1 25.00 --key invoice-2026-11";
