//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use countersign::config::{self, Config};
use countersign::server::Server;
use countersign::telemetry::{self, Metrics};
use mimalloc::MiMalloc;
use tokio::sync::watch;

/// A request makes and drops many small values on one thread and drops some on another; the system's
/// allocator takes a sixth of the server's processor time for that, this one half of it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A self-hosted phone-verification server that speaks the Vonage 2FA and Textmagic Verify APIs.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(Serve),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Args)]
struct Serve {
    /// The configuration file; see countersign.example.toml for every key.
    #[arg(long, env = "COUNTERSIGN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept; overrides data.dir.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address to listen on; overrides server.listen.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Send to virtual handsets instead of real carriers; webhooks may go to this machine.
    #[arg(long)]
    sandbox: bool,
    /// Create (or reuse) an account to try things with, and write DIR/demo.json.
    #[arg(long)]
    demo_account: bool,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Read the configuration as the server would, and report every mistake at once.
    Check {
        /// The configuration file.
        #[arg(long, env = "COUNTERSIGN_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => run(&serve),
        Command::Config(ConfigCommand::Check { config }) => {
            match Config::load(config.as_deref(), config::process_environment()) {
                Ok(_) => say("the configuration is right"),
                Err(mistakes) => complain(&mistakes),
            }
        }
    }
}

fn run(serve: &Serve) -> ExitCode {
    let config = match Config::load(serve.config.as_deref(), environment(serve)) {
        Ok(config) => config,
        Err(mistakes) => return complain(&mistakes),
    };
    let metrics = Arc::new(Metrics::new());
    let log = telemetry::start_log(
        config.log.level.as_str(),
        match config.log.format {
            config::LogFormat::Text => telemetry::LogFormat::Text,
            config::LogFormat::Json => telemetry::LogFormat::Json,
        },
        countersign::clock::log_time,
        std::io::stdout(),
        metrics.log_lines_dropped(),
    );
    let _log = match log {
        Ok(guard) => guard,
        Err(error) => return complain(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    runtime.block_on(async {
        match Server::start_with(config, serve.demo_account, metrics).await {
            Ok(server) => {
                if let Ok(address) = server.address() {
                    tracing::info!(listen = %address, "ready");
                }
                server.run(stop_signal()).await;
                tracing::info!("stopped");
                ExitCode::SUCCESS
            }
            Err(error) => complain(&format!("cannot start: {error}")),
        }
    })
}

/// The environment, with the command line's own settings in place of what it says.
fn environment(serve: &Serve) -> Vec<(OsString, OsString)> {
    let mut own: Vec<(&str, OsString)> = Vec::new();
    if let Some(dir) = &serve.data {
        own.push(("COUNTERSIGN_DATA__DIR", dir.into()));
    }
    if let Some(listen) = serve.listen {
        own.push(("COUNTERSIGN_SERVER__LISTEN", listen.to_string().into()));
    }
    if serve.sandbox {
        own.push(("COUNTERSIGN_SANDBOX__ENABLED", "true".into()));
        // The receivers of a sandbox's webhooks are on the developer's own machine.
        own.push(("COUNTERSIGN_WEBHOOKS__ALLOW_PRIVATE", "true".into()));
    }
    let others = config::process_environment()
        .filter(|(name, _)| !own.iter().any(|(overridden, _)| name == overridden));
    let mut all: Vec<_> = others.collect();
    all.extend(own.into_iter().map(|(name, value)| (name.into(), value)));
    all
}

/// Becomes true at SIGTERM or SIGINT.
fn stop_signal() -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate());
        match terminate {
            Ok(mut terminate) => tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            },
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
        tracing::info!("stopping");
        let _ = stop.send(true);
        // The sender must live on: a closed channel would look like a stop that never came.
        std::future::pending::<()>().await;
    });
    stopped
}

#[expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]
fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a command's complaint goes to standard error")]
fn complain(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("countersign: {error}");
    ExitCode::FAILURE
}
