//! Commands about links, routes, figures and the configuration of a running server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Call, Complaint, View, read_text};

/// Commands about links.
#[derive(Subcommand)]
pub(super) enum LinkCommand {
    /// List the links and how they stand.
    #[command(after_help = "Example:\n  countersign link list")]
    List,
    /// Tell everything about a link.
    #[command(after_help = "Example:\n  countersign link show north")]
    Show {
        /// The link.
        name: String,
    },
    /// Hand nothing to a link for now; it keeps its connections.
    #[command(after_help = "Example:\n  countersign link pause north")]
    Pause {
        /// The link.
        name: String,
    },
    /// Use a link again that was paused or drained.
    #[command(after_help = "Example:\n  countersign link resume north")]
    Resume {
        /// The link.
        name: String,
    },
    /// Hand nothing more to a link, and end its connections once nothing is under way.
    #[command(after_help = "Example:\n  countersign link drain north")]
    Drain {
        /// The link.
        name: String,
    },
}

impl LinkCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        let control =
            |name: String, word| Call::post(&["links", &name, word], Value::Null, View::Fields);
        match self {
            Self::List => Call::get(
                &["links"],
                View::Table(&[
                    "name",
                    "kind",
                    "standing",
                    "control",
                    "connected",
                    "connections",
                    "in_flight",
                    "today",
                    "daily_max",
                    "receipts",
                    "last_error",
                ]),
            ),
            Self::Show { name } => Call::get(&["links", &name], View::Fields),
            Self::Pause { name } => control(name, "pause"),
            Self::Resume { name } => control(name, "resume"),
            Self::Drain { name } => control(name, "drain"),
        }
    }
}

/// Commands about routes.
#[derive(Subcommand)]
pub(super) enum RouteCommand {
    /// List the routes in the order in which they are looked at.
    #[command(after_help = "Example:\n  countersign route list")]
    List,
    /// Replace all routes, at once and until they are reset.
    #[command(after_help = ROUTE_SET_EXAMPLE)]
    Set {
        /// A JSON file with all routes; `-` is standard input.
        file: PathBuf,
    },
    /// Go back to the routes of the configuration.
    #[command(after_help = "Example:\n  countersign route reset")]
    Reset,
}

impl RouteCommand {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Result<Call, Complaint> {
        Ok(match self {
            Self::List => Call::get(&["routes"], ROUTES),
            Self::Set { file } => {
                let text = read_text(&file)?;
                let routes: Value = serde_json::from_str(&text)
                    .map_err(|error| Complaint::File { path: file, problem: error.to_string() })?;
                // What `route list --json` prints has its source, too.
                let routes = routes.get("routes").cloned().unwrap_or(routes);
                Call::put(&["routes"], serde_json::json!({ "routes": routes }), ROUTES)
            }
            Self::Reset => Call::delete(&["routes"], "The routes are those of the configuration."),
        })
    }
}

/// Shows what became of attempts.
#[derive(Args)]
pub(super) struct Stats {
    /// What to sum up by: route, link, country or network, or several with commas between them.
    #[arg(long, default_value = "route")]
    by: String,
    /// From the figures of each minute, hour or day.
    #[arg(long, default_value = "hour")]
    period: String,
    /// From when on: a time like 2026-11-25T12:00:00Z, or seconds back from now.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show each period for itself, the newest first.
    #[arg(long)]
    each: bool,
}

impl Stats {
    /// Returns what to ask the server.
    pub(super) fn call(self) -> Call {
        Call::get(&["stats"], View::Stats)
            .query("by", Some(self.by))
            .query("period", Some(self.period))
            .query("since", self.since)
            .query("each", self.each.then_some(true))
    }
}

/// Asks the server to read its configuration again.
pub(super) fn reload() -> Call {
    Call::post(&["reload"], Value::Null, View::Fields)
}

/// Shown below the help.
pub(super) const STATS_EXAMPLE: &str = "\
Examples:
  countersign stats
  countersign stats --by country --period day
  countersign stats --by route,country,network
  countersign stats --by link --period minute --since 600 --each

WAIT is the median time from the hand-over to the final receipt. What RECEIPTS says is what
`delivered` means: a handset has the message, or only the next carrier.";

/// Shown below the help.
pub(super) const RELOAD_EXAMPLE: &str = "\
Example:
  countersign reload

Links and routes take effect at once. Links whose settings are the same are left alone, but one \
whose credentials are refused reads them from their files again.";

const ROUTE_SET_EXAMPLE: &str = "\
Examples:
  countersign route list --json > routes.json
  countersign route set routes.json

The file holds {\"routes\": [{\"name\": \"us\", \"countries\": [\"US\"], \"links\": [\"a:70 b:30\", \"c\"]}]}.
The first route that fits an attempt is followed.";

const ROUTES: View = View::Rows(
    "routes",
    &["name", "channel", "countries", "prefixes", "senders", "accounts", "links"],
);
