//! Finds a running server and asks it through its admin API.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::{Method, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

/// Which server to ask, and how to show what it says.
#[derive(Args)]
pub(super) struct Remote {
    /// The folder that the server keeps its data in; its address and token are found there.
    #[arg(
        long,
        env = "COUNTERSIGN_DATA__DIR",
        default_value = "data",
        value_name = "DIR",
        global = true,
        help_heading = SERVER
    )]
    data: PathBuf,
    /// The server's http or https address, for one on another machine.
    #[arg(long, value_name = "URL", global = true, help_heading = SERVER)]
    server: Option<String>,
    /// The file with the server's admin token.
    #[arg(long, value_name = "FILE", global = true, help_heading = SERVER)]
    token_file: Option<PathBuf>,
    /// Print the API's answer as JSON.
    #[arg(long, global = true, help_heading = SERVER)]
    pub(super) json: bool,
}

/// One request to the admin API, and how its answer is shown.
pub(super) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// How the answer is shown.
    pub(super) view: View,
}

/// How an answer is shown to people.
#[derive(Clone)]
pub(super) enum View {
    /// All of its fields.
    Fields,
    /// These columns of its items.
    Table(&'static [&'static str]),
    /// These columns of what it has under a name.
    Rows(&'static str, &'static [&'static str]),
    /// Figures.
    Stats,
    /// It says nothing itself.
    Done(&'static str),
    /// The answer to a check.
    Verdict,
}

impl Call {
    /// Asks for what `path` names.
    pub(super) fn get(path: &[&str], view: View) -> Self {
        Self::new(Method::GET, path, view)
    }

    /// Posts `body` to what `path` names.
    pub(super) fn post(path: &[&str], body: Value, view: View) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path, view) }
    }

    /// Puts `body` at what `path` names.
    pub(super) fn put(path: &[&str], body: Value, view: View) -> Self {
        Self { body: Some(body), ..Self::new(Method::PUT, path, view) }
    }

    /// Changes what `path` names.
    pub(super) fn patch(path: &[&str], body: Value, view: View) -> Self {
        Self { body: Some(body), ..Self::new(Method::PATCH, path, view) }
    }

    /// Deletes what `path` names, and says `done`.
    pub(super) fn delete(path: &[&str], done: &'static str) -> Self {
        Self::new(Method::DELETE, path, View::Done(done))
    }

    /// Adds a parameter to the query, if it has a value.
    pub(super) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    fn new(method: Method, path: &[&str], view: View) -> Self {
        let path = path.iter().map(|&segment| segment.to_owned()).collect();
        Self { method, path, query: Vec::new(), body: None, view }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Complaint {
    /// No server has ever run with this folder.
    #[error(
        "cannot find the server: {} is not there ({source}); start one with `countersign serve \
         --data {}`, or name one with --server and --token-file",
        path.display(), dir.display()
    )]
    NoAddress {
        /// The file that a server writes.
        path: PathBuf,
        /// The folder that it is looked for in.
        dir: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// A file of the server's cannot be read.
    #[error("cannot read {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The address is none.
    #[error("`{0}` is no http or https address")]
    Address(String),
    /// Nothing listens.
    #[error(
        "no server answers at {url}: {problem}; start it with `countersign serve --data {}`",
        dir.display()
    )]
    Silent {
        /// The address.
        url: String,
        /// The folder of its data.
        dir: PathBuf,
        /// Why.
        problem: String,
    },
    /// The server says no.
    #[error("{0}")]
    Refused(String),
    /// A word of the command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The command cannot run at all.
    #[error("cannot start the command: {0}")]
    Runtime(io::Error),
}

/// What the server writes down for the commands of its machine.
#[derive(Serialize, Deserialize)]
pub(super) struct Address {
    /// Where it listens.
    pub(super) url: String,
    /// Where its token is.
    #[serde(default)]
    pub(super) token_file: Option<PathBuf>,
}

/// Asks the server; `null` if it has nothing to say.
pub(super) fn ask(remote: &Remote, call: Call) -> Result<Value, Complaint> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Complaint::Runtime)?.block_on(exchange(remote, call))
}

async fn exchange(remote: &Remote, call: Call) -> Result<Value, Complaint> {
    let (mut url, token) = find(remote)?;
    let base = url.to_string();
    let silent = |error: reqwest::Error| Complaint::Silent {
        url: base.clone(),
        dir: remote.data.clone(),
        problem: root_cause(&error),
    };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["admin", "v1"]).extend(&call.path);
    }
    if !call.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&call.query);
    }
    // Fails if the process has a provider already, and any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().map_err(silent)?;
    let mut request = client.request(call.method, url).bearer_auth(token.as_str());
    if let Some(body) = &call.body {
        request = request.json(body);
    }
    let response = request.send().await.map_err(silent)?;
    let status = response.status();
    let text = response.text().await.map_err(silent)?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() { Ok(answer) } else { Err(refusal(status, &answer)) }
}

fn refusal(status: StatusCode, answer: &Value) -> Complaint {
    let detail = answer.get("detail").and_then(Value::as_str);
    Complaint::Refused(match detail {
        Some(detail) => detail.to_owned(),
        None => format!("the server answered {status}"),
    })
}

fn find(remote: &Remote) -> Result<(Url, Zeroizing<String>), Complaint> {
    let written = match &remote.server {
        Some(url) => Address { url: url.clone(), token_file: None },
        None => read_address(&remote.data)?,
    };
    let wrong = || Complaint::Address(written.url.clone());
    let url = Url::parse(&written.url).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong());
    }
    let token_file = remote.token_file.clone().or(written.token_file);
    let token_file = token_file.unwrap_or_else(|| remote.data.join(TOKEN_FILE));
    let token = read_secret(&token_file)?;
    Ok((url, token))
}

fn read_address(dir: &Path) -> Result<Address, Complaint> {
    let path = dir.join(ADDRESS_FILE);
    let json = std::fs::read_to_string(&path).map_err(|source| Complaint::NoAddress {
        path: path.clone(),
        dir: dir.to_owned(),
        source,
    })?;
    serde_json::from_str(&json)
        .map_err(|error| Complaint::File { path, problem: error.to_string() })
}

/// Reads a file with one secret in it; `-` is standard input.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, Complaint> {
    let text = Zeroizing::new(read_text(path)?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Reads a file; `-` is standard input.
pub(super) fn read_text(path: &Path) -> Result<String, Complaint> {
    let read = if path == Path::new("-") {
        io::read_to_string(io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| Complaint::File { path: path.to_owned(), problem: error.to_string() })
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The heading in the help of what all commands to a server take, apart from what only one takes.
const SERVER: &str = "Server";

/// The file in the data folder that tells where the server listens.
pub(super) const ADDRESS_FILE: &str = "admin.json";

/// Where the token is unless the configuration says otherwise.
const TOKEN_FILE: &str = "admin.token";

/// Longer than the server lets a request take.
const PATIENCE: Duration = Duration::from_mins(1);
