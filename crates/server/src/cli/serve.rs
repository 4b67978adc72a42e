//! The command that runs the server.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use countersign::channels::switchboard::Reloaded;
use countersign::config::{self, Config};
use countersign::http::App;
use countersign::server::{End, Server};
use countersign::telemetry::{self, Metrics};
use tokio::sync::watch;

use super::client::{ADDRESS_FILE, Address};
use super::{complain, say};

/// How the server is run.
#[derive(Args, Clone)]
pub(super) struct Serve {
    /// The configuration file; see countersign.example.toml for every key.
    #[arg(long, env = "COUNTERSIGN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept; overrides data.dir.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address and port to listen on, like 127.0.0.1:8080; overrides server.listen.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Send to virtual handsets instead of real carriers; webhooks may go to this machine.
    #[arg(long)]
    sandbox: bool,
    /// Create (or reuse) an account to try things with, and write DIR/demo.json.
    #[arg(long)]
    demo_account: bool,
}

/// Runs the server until it is told to stop.
pub(super) fn run(serve: &Serve) -> ExitCode {
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
    runtime.block_on(listen(config, serve, metrics))
}

async fn listen(config: Config, serve: &Serve, metrics: Arc<Metrics>) -> ExitCode {
    let dir = config.data.dir.clone();
    let admin = config.admin.enabled.then(|| config.admin.token_file.clone());
    let sandbox = config.sandbox.enabled;
    let leads_out = sandbox || !config.links.is_empty();
    let server = match Server::start_with(config, serve.demo_account, metrics).await {
        Ok(server) => server,
        Err(error) => return complain(&format!("cannot start: {}", whole_story(&error))),
    };
    let serve_again = serve.clone();
    let read = move || Config::load(serve_again.config.as_deref(), environment(&serve_again));
    server.app().switchboard.read_with(Box::new(read));
    reload_at_hangup(Arc::clone(server.app()));
    if let Ok(address) = server.address() {
        let told = admin.map(|token_file| tell_address(&dir, address, &token_file));
        if let Some(Err(error)) = told {
            return complain(&format!("write {}: {error}", dir.join(ADDRESS_FILE).display()));
        }
        tracing::info!(listen = %address, "ready");
        if !leads_out {
            tracing::warn!("there is no [link.NAME] in the configuration, so nothing can be sent");
        } else if sandbox && serve.demo_account {
            say(&try_this(&dir));
        }
    }
    match server.run(stop_signal()).await {
        End::Asked => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        End::StoreStopped => {
            tracing::error!("the store has stopped; start the server again");
            ExitCode::FAILURE
        }
        End::TaskFailed(task) => {
            tracing::error!(task, "a task has panicked; start the server again");
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, which tell what to do. Some errors say their cause themselves.
fn whole_story(error: &dyn Error) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let told = inner.to_string();
        if !story.ends_with(&told) {
            story = format!("{story}: {told}");
        }
        cause = inner.source();
    }
    story
}

/// Writes down where the commands of this machine find the server.
fn tell_address(dir: &Path, listen: SocketAddr, token_file: &Path) -> std::io::Result<()> {
    let here = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let url = format!("http://{}", SocketAddr::new(here, listen.port()));
    // The commands may be run from another folder.
    let token_file = std::path::absolute(token_file)?;
    let json = serde_json::to_string_pretty(&Address { url, token_file: Some(token_file) })?;
    let path = dir.join(ADDRESS_FILE);
    // Written beside it and moved, so that nobody ever reads half a file.
    let beside = path.with_extension("json.new");
    let mut options = std::fs::OpenOptions::new();
    let mut to = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    writeln!(to, "{json}")?;
    std::fs::rename(beside, path)
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

/// What to try with the demo account, in another terminal.
fn try_this(data: &Path) -> String {
    // The other terminal may be in another folder.
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let data = data.display();
    format!(
        r#"
Try it in another terminal:

  . {data}/demo.env
  # start a verification of a virtual handset
  curl -u "$TM_USERNAME:$TM_KEY" "$URL/api/v2/verify" -d phone=447700900123 -d brand=Acme -d codeLength=4
  # see what the handset received
  curl "$URL/sandbox/v1/handsets/447700900123/inbox"
  # check the code: 204 if it is right
  curl -i -u "$TM_USERNAME:$TM_KEY" -X PUT "$URL/api/v2/verify" -d verifyId=... -d code=...
  # or send your own PIN, the Vonage way
  curl "$URL/sc/us/2fa/json" -d api_key="$API_KEY" -d api_secret="$API_SECRET" -d to=12015550123 -d pin=4321

Stop with Ctrl-C; everything is kept in {data}.
"#
    )
}

/// Reads the configuration again at each SIGHUP.
fn reload_at_hangup(app: Arc<App>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::warn!(%error, "a SIGHUP will not reload the configuration");
            return;
        }
    };
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match app.switchboard.reload(&app.driver).await {
                Ok(done) => {
                    let Reloaded { added, changed, removed, needs_restart } = done;
                    tracing::info!(?added, ?changed, ?removed, ?needs_restart, "reloaded");
                }
                Err(error) => tracing::error!(%error, "nothing is reloaded"),
            }
        }
    });
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

/// Shown below the help.
pub(super) const EXAMPLE: &str = "\
Examples:
  countersign serve --sandbox --demo-account --data data
  countersign serve --config /etc/countersign.toml";
