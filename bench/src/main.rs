//! The load generator: full flows against the server, and against the limit of what a durable
//! server could do, in the same run.

mod canned;
mod ceiling;
mod client;
mod flow;
mod flows;
mod gateways;
mod journal;
mod load;
mod log_store;
mod numbers;
mod report;
mod target;
mod usage;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// The same as the server's, so that the limit differs from it in nothing but the store.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures what the server does.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run full flows against the server and its limit.
    Flows(flows::Options),
    /// Run the same flows against canned answers: how much the load generator itself can do.
    Generator(flows::Options),
    /// Send 2FA messages through SMPP to an SMSC and count their receipts' webhooks, next to Kannel.
    Gateways(gateways::Options),
    /// Be the limit: the server with an append-only log for a store. `flows` starts it.
    #[command(hide = true)]
    CeilingServer {
        /// Where everything is kept.
        #[arg(long)]
        data: PathBuf,
        /// The address to listen on.
        #[arg(long)]
        listen: SocketAddr,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    match Cli::parse().command {
        Command::Flows(options) => runtime()?.block_on(flows::run(options))?,
        Command::Generator(options) => runtime()?.block_on(flows::run_generator(options))?,
        Command::Gateways(options) => runtime()?.block_on(gateways::run(options))?,
        Command::CeilingServer { data, listen } => ceiling::serve(&data, listen)?,
    }
    Ok(())
}

/// One thread is enough, and leaves the others to the server.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
