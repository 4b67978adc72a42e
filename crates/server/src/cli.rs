//! The command line: runs the server, and asks a running one through its admin API.

mod accounts;
mod client;
mod money;
mod operating;
mod recipients;
mod seal_key;
mod serve;
mod show;
mod speech;
mod traffic;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use countersign::config::{self, Config};
use countersign::http::admin;

use self::client::{Call, Remote};

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Config(ConfigCommand::Check { config }) => check_config(config),
        Command::Speech(command) => match speech::run(&command) {
            Ok(done) => say(&done),
            Err(problem) => complain(&problem),
        },
        Command::Openapi => print(&admin::openapi()),
        Command::SealKey(command) => match seal_key::run(&command) {
            Ok(done) => say(&done),
            Err(error) => complain(&format!("cannot rotate the keys: {error}")),
        },
        Command::Account(group) => ask(&group.remote, group.command.call()),
        Command::Key(group) => ask(&group.remote, group.command.call()),
        Command::Number(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Template(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Price(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Balance(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Optout(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Bar(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Erase(single) => ask(&single.remote, Ok(single.command.call())),
        Command::Send(single) => ask(&single.remote, single.command.call()),
        Command::Verify(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Message(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Webhook(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Link(group) => ask(&group.remote, Ok(group.command.call())),
        Command::Route(group) => ask(&group.remote, group.command.call()),
        Command::Stats(single) => ask(&single.remote, Ok(single.command.call())),
        Command::Reload(remote) => ask(&remote, Ok(operating::reload())),
        Command::Status(remote) => ask(&remote, Ok(traffic::status())),
    }
}

/// A self-hosted phone-verification server that speaks the Vonage 2FA and Textmagic Verify APIs.
#[derive(Parser)]
#[command(version, about, max_term_width = 100, after_help = ABOUT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    #[command(after_help = serve::EXAMPLE)]
    Serve(serve::Serve),
    /// Create and change accounts.
    Account(Group<accounts::AccountCommand>),
    /// Give out the keys that open the APIs for an account.
    Key(Group<accounts::KeyCommand>),
    /// Set up whom an account's messages are from.
    Number(Group<accounts::NumberCommand>),
    /// Give an account its own words.
    Template(Group<accounts::TemplateCommand>),
    /// Set what things cost.
    Price(Group<money::PriceCommand>),
    /// Look at balances and add to them.
    Balance(Group<money::BalanceCommand>),
    /// Opt numbers out of a campaign, and in again.
    Optout(Group<recipients::OptoutCommand>),
    /// Bar numbers for all accounts.
    Bar(Group<recipients::BarCommand>),
    /// Forget a phone number.
    #[command(after_help = recipients::ERASE_EXAMPLE)]
    Erase(Single<recipients::Erase>),
    /// Send a message with a PIN.
    #[command(after_help = traffic::SEND_EXAMPLE)]
    Send(Single<traffic::Send>),
    /// Start, check and look at verifications.
    Verify(Group<traffic::VerifyCommand>),
    /// Look at messages.
    Message(Group<traffic::MessageCommand>),
    /// Look at webhooks that were given up, and try them again.
    Webhook(Group<traffic::WebhookCommand>),
    /// Look at links, pause and drain them.
    Link(Group<operating::LinkCommand>),
    /// Look at routes and replace them.
    Route(Group<operating::RouteCommand>),
    /// Show what became of attempts, by route, link or country.
    #[command(after_help = operating::STATS_EXAMPLE)]
    Stats(Single<operating::Stats>),
    /// Read the configuration again, for its links and routes.
    #[command(after_help = operating::RELOAD_EXAMPLE)]
    Reload(Remote),
    /// Show the state of the server.
    #[command(after_help = "Example:\n  countersign status --data /var/lib/countersign")]
    Status(Remote),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Hear what calls say, and look at the voices that say it.
    #[command(subcommand)]
    Speech(speech::SpeechCommand),
    /// Print the OpenAPI document of the admin API.
    #[command(after_help = "Example:\n  countersign openapi > openapi.json")]
    Openapi,
    /// Look after the keys that seal the database.
    #[command(subcommand)]
    SealKey(seal_key::SealKeyCommand),
}

/// Commands about one kind of thing, all asked of a running server.
#[derive(Args)]
struct Group<T: Subcommand> {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: T,
}

/// One command that is asked of a running server.
#[derive(Args)]
struct Single<T: Args> {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    command: T,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Read the configuration as the server would, and report every mistake at once.
    #[command(after_help = "Example:\n  countersign config check --config countersign.toml")]
    Check {
        /// The configuration file.
        #[arg(long, env = "COUNTERSIGN_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

fn check_config(config: Option<PathBuf>) -> ExitCode {
    match Config::load(config.as_deref(), config::process_environment()) {
        Ok(_) => say("the configuration is right"),
        Err(mistakes) => complain(&mistakes),
    }
}

fn ask(remote: &Remote, call: Result<Call, client::Complaint>) -> ExitCode {
    let answered = call.and_then(|call| {
        let view = call.view.clone();
        client::ask(remote, call).map(|answer| (answer, view))
    });
    let (answer, view) = match answered {
        Ok(answered) => answered,
        Err(complaint) => return complain(&complaint),
    };
    let shown = show::render(&answer, &view);
    match shown {
        _ if remote.json => {
            let code = if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            print(&show::json(&answer));
            code
        }
        Ok(text) => print(&text),
        Err(refusal) => complain(&refusal),
    }
}

fn say(text: &str) -> ExitCode {
    print(&format!("{text}\n"))
}

#[expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a command's complaint goes to standard error")]
fn complain(error: &impl Display) -> ExitCode {
    eprintln!("countersign: {error}");
    ExitCode::FAILURE
}

const ABOUT: &str = "\
First steps, all but the server in another terminal:
  countersign serve --sandbox --data data
  countersign account create \"My shop\" --balance 25
  countersign key create --account 1 --kind textmagic
  countersign number add --account 1 MyShop
  countersign verify start --account 1 +447700900123 \"My shop\"

All commands but serve, config, speech, openapi and seal-key ask a running server. They find it by the
folder that it keeps its data in: --data DIR, the same as for serve.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The commands below `command` that are no groups, each with the words that lead to it.
    fn leaves(path: String, command: &clap::Command, found: &mut Vec<(String, String)>) {
        for inner in command.get_subcommands() {
            leaves(format!("{path} {}", inner.get_name()), inner, found);
        }
        if !command.has_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            found.push((path, help.unwrap_or_default()));
        }
    }

    #[test]
    fn every_command_has_an_example_of_itself() {
        let mut found = Vec::new();
        leaves("countersign".to_owned(), &Cli::command(), &mut found);
        assert!(found.len() > 30, "only {} commands", found.len());
        for (path, help) in found {
            assert!(help.starts_with("Example"), "{path}: {help}");
            assert!(help.contains(&path), "{path}: {help}");
        }
    }

    #[test]
    fn every_example_is_a_command_that_can_be_given() {
        let mut found = Vec::new();
        leaves("countersign".to_owned(), &Cli::command(), &mut found);
        let helps = found.into_iter().map(|(_, help)| help).chain([ABOUT.to_owned()]);
        for help in helps {
            for line in help.lines().filter_map(|line| line.strip_prefix("  countersign ")) {
                let line = line.split("    ").next().unwrap_or_default();
                let line = line.split(" > ").next().unwrap_or_default();
                let words = std::iter::once("countersign".to_owned()).chain(shell_words(line));
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
            }
        }
    }

    /// Splits at spaces outside of quotes, which is all that the examples need.
    fn shell_words(line: &str) -> Vec<String> {
        let (mut words, mut quote) = (vec![String::new()], None);
        for c in line.chars() {
            match (c, quote) {
                ('"' | '\'', None) => quote = Some(c),
                (_, Some(open)) if c == open => quote = None,
                (' ', None) => words.push(String::new()),
                (_, _) => words.last_mut().unwrap().push(c),
            }
        }
        words
    }
}
