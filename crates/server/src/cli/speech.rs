//! Commands about what calls say: render one to a file, and list the voices.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use countersign::channels::Spoken;
use countersign::config::{self, Config};
use countersign::speech::{VoiceWishes, Voices};
use countersign::store::VoiceGender;
use engine::{Code, Locale};
use voice::speech::{LocaleCheck, PassedOver};

/// Commands about what calls say.
#[derive(Subcommand)]
pub(super) enum SpeechCommand {
    /// Render a call to a WAV file, as a phone hears it.
    #[command(after_help = RENDER_EXAMPLE)]
    Render(Render),
    /// List what each locale is spoken with, found out by speaking.
    #[command(after_help = "Example:\n  countersign speech check --config countersign.toml")]
    Check {
        #[command(flatten)]
        source: Source,
    },
}

/// Where the voices are configured, and which of them is wanted.
#[derive(Args)]
pub(super) struct Source {
    /// The configuration file.
    #[arg(long, env = "COUNTERSIGN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whose voice it is.
    #[arg(long, value_enum)]
    gender: Option<Gender>,
}

/// What is rendered.
#[derive(Args)]
pub(super) struct Render {
    #[command(flatten)]
    source: Source,
    /// The locale to speak, like fr-fr.
    #[arg(long, value_name = "LOCALE")]
    language: String,
    /// The brand to name.
    #[arg(long, default_value = "")]
    brand: String,
    /// A code to say, of 4 to 10 digits: one of your own, as other users of this machine may see it.
    #[arg(long, default_value = "4815")]
    code: String,
    /// Ask for a key before the code.
    #[arg(long)]
    gate: bool,
    /// The file to write.
    file: PathBuf,
}

/// Whose voice is wanted.
#[derive(Clone, Copy, ValueEnum)]
enum Gender {
    /// A woman's.
    Female,
    /// A man's.
    Male,
}

/// Runs a command and returns what is to be told.
pub(super) fn run(command: &SpeechCommand) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    match command {
        SpeechCommand::Render(render) => runtime.block_on(render_file(render)),
        SpeechCommand::Check { source } => runtime.block_on(check(source)),
    }
}

async fn render_file(render: &Render) -> Result<String, String> {
    let locale = Locale::parse(&render.language)
        .ok_or_else(|| format!("{} is no locale; there are {}", render.language, locales()))?;
    let code = Code::parse(&render.code).ok_or("the code is not 4 to 10 digits")?;
    let wishes = VoiceWishes { gate: Some(render.gate), ..wishes(&render.source) };
    let spoken = Spoken { locale, brand: render.brand.clone(), code, wishes };
    let prompt = voices(&render.source)?.prompt(&spoken).await.map_err(|e| e.to_string())?;
    let file = render.file.display();
    std::fs::write(&render.file, prompt.to_wav()).map_err(|e| format!("write {file}: {e}"))?;
    Ok(format!("{file} holds what a phone hears"))
}

async fn check(source: &Source) -> Result<String, String> {
    let voices = voices(source)?;
    let manner = voices.manner(wishes(source));
    let checks = voices.speech().check(manner.gender).await;
    let told: Vec<String> = checks.iter().map(line).collect();
    let told = told.join("\n");
    if checks.iter().all(|check| check.voice.is_err()) {
        return Err(format!("no locale can be spoken; codes go out by SMS only\n{told}"));
    }
    Ok(told)
}

fn line(check: &LocaleCheck) -> String {
    match &check.voice {
        Err(error) => format!("{}  no voice: {error}", check.locale),
        Ok(voice) => {
            let shortcoming = voice.shortcoming.map(|told| format!(" ({told})"));
            let told =
                |passed: &PassedOver| format!("; passed over {}: {}", passed.engine, passed.error);
            let passed_over = voice.passed_over.iter().map(told).collect::<Vec<_>>().concat();
            format!(
                "{}  {}{}{passed_over}",
                check.locale,
                voice.engine,
                shortcoming.unwrap_or_default()
            )
        }
    }
}

fn voices(source: &Source) -> Result<Voices, String> {
    let config = Config::load(source.config.as_deref(), config::process_environment());
    config.map(|config| Voices::new(&config.voice)).map_err(|mistakes| mistakes.to_string())
}

fn wishes(source: &Source) -> VoiceWishes {
    let gender = source.gender.map(|gender| match gender {
        Gender::Female => VoiceGender::Female,
        Gender::Male => VoiceGender::Male,
    });
    VoiceWishes { gender, ..VoiceWishes::default() }
}

fn locales() -> String {
    Locale::ALL.map(Locale::as_str).join(", ")
}

const RENDER_EXAMPLE: &str = "\
Examples:
  countersign speech render --language fr-fr --brand Acme --code 4815 out.wav
  countersign speech render --language en-us --gender female --gate out.wav";
