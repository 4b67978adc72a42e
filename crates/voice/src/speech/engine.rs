//! The ways to a voice: espeak-ng, a command of the operator's, or recordings of a person.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lines::{Lines, Piece};
use super::wav::{Sound, WavError};
use super::{child, espeak, level, recordings, resample, wav};
use crate::script::Clip;

/// What turns a line into sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// espeak-ng, which speaks all locales, in either gender.
    Espeak {
        /// The program, `espeak-ng` if it is on the path.
        program: PathBuf,
        /// The voice as the program names it; without one the built-in table decides.
        voice: Option<String>,
    },
    /// Any program that reads UTF-8 text on its standard input and writes a WAV file, such as
    /// Piper.
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments; `{locale}` and `{gender}` (`female`, `male` or `any`) are filled in.
        arguments: Vec<String>,
        /// Whose voice it is, if it has but one.
        gender: Option<Gender>,
    },
    /// A folder that has a folder of WAV files for each locale.
    ///
    /// In `folder/fr-fr` are `0.wav` to `9.wav`, `intro.wav` (the greeting without a brand),
    /// `again.wav`, `press-one.wav`, `press-any.wav` and `goodbye.wav`.
    /// Optional are `intro-before.wav` and `intro-after.wav` with a `brand-<name>.wav` for each
    /// brand, its name in small letters with a hyphen for whatever is no letter or figure:
    /// `brand-acme-bank.wav`.
    Recordings {
        /// The folder of folders.
        folder: PathBuf,
        /// Whose voice it is, if it matters.
        gender: Option<Gender>,
    },
}

/// Whose voice an account wants to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gender {
    /// A woman's.
    Female,
    /// A man's.
    Male,
}

/// The circumstances in which a line is spoken.
#[derive(Clone, Copy)]
pub(crate) struct Speaking<'a> {
    pub(crate) locale: &'a str,
    pub(crate) gender: Option<Gender>,
    pub(crate) speed_wpm: u16,
    pub(crate) bound: Duration,
}

impl Engine {
    /// Returns espeak-ng as its package installs it.
    pub fn espeak() -> Self {
        Self::Espeak { program: PathBuf::from(ESPEAK), voice: None }
    }

    /// Tells whether the engine has a voice of the gender that was asked for.
    pub(crate) fn suits(&self, asked: Option<Gender>) -> bool {
        match self {
            Self::Espeak { .. } => true,
            Self::Command { gender, .. } | Self::Recordings { gender, .. } => {
                asked.is_none() || gender.is_none() || *gender == asked
            }
        }
    }

    /// Names the engine and the voice it uses for a locale, and what a listener will notice.
    pub(crate) fn describe(&self, speaking: Speaking<'_>) -> (String, Option<&'static str>) {
        match self {
            Self::Espeak { voice: Some(voice), .. } => (format!("espeak-ng, voice {voice}"), None),
            Self::Espeak { voice: None, .. } => match espeak::voice_of(speaking.locale) {
                Some(voice) => (format!("espeak-ng, voice {}", voice.name), voice.shortcoming),
                None => ("espeak-ng".to_owned(), None),
            },
            Self::Command { program, .. } => (format!("command {}", program.display()), None),
            Self::Recordings { folder, .. } => {
                (format!("recordings in {}", folder.display()), None)
            }
        }
    }

    /// Speaks a piece of a call and makes a clip of it.
    pub(crate) async fn speak(
        &self,
        speaking: Speaking<'_>,
        lines: &Lines,
        piece: Piece<'_>,
    ) -> Result<Clip, EngineError> {
        let files = match self {
            Self::Espeak { program, voice } => {
                let table = || espeak::voice_of(speaking.locale).map(|voice| voice.name);
                let voice = voice.as_deref().or_else(table).ok_or(EngineError::NoSuchLocale)?;
                let arguments = espeak::arguments(voice, speaking.gender, speaking.speed_wpm);
                let text = espeak::plain(&lines.text(piece));
                vec![child::synthesise(program, &arguments, &text, speaking.bound).await?]
            }
            Self::Command { program, arguments, .. } => {
                let arguments = filled_in(arguments, speaking);
                let text = lines.text(piece);
                vec![child::synthesise(program, &arguments, &text, speaking.bound).await?]
            }
            Self::Recordings { folder, .. } => {
                let names = recordings::file_names(piece);
                read_all(folder.join(speaking.locale), names).await?
            }
        };
        let made = tokio::task::spawn_blocking(move || clip_of(&files)).await;
        made.unwrap_or(Err(EngineError::Silent))
    }
}

/// Joins files into one clip, each brought to the telephone's rate and freed of its silence.
fn clip_of(files: &[Vec<u8>]) -> Result<Clip, EngineError> {
    let mut samples = Vec::new();
    for file in files {
        let sound: Sound = wav::parse(file).map_err(EngineError::Wav)?;
        let sound = resample::to_telephone(&sound);
        samples.extend(level::normalise(level::trim(&sound)));
    }
    match samples.len() {
        0 => Err(EngineError::Silent),
        CLIP_SAMPLES_MAX.. => Err(EngineError::TooMuch),
        _ => Ok(Clip::from_linear(&samples)),
    }
}

async fn read_all(folder: PathBuf, names: Vec<String>) -> Result<Vec<Vec<u8>>, EngineError> {
    let read = move || names.iter().map(|name| recordings::read(&folder.join(name))).collect();
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(EngineError::Silent))
}

fn filled_in(arguments: &[String], speaking: Speaking<'_>) -> Vec<String> {
    let gender = match speaking.gender {
        Some(Gender::Female) => "female",
        Some(Gender::Male) => "male",
        None => "any",
    };
    let fill = |argument: &String| {
        argument.replace("{locale}", speaking.locale).replace("{gender}", gender)
    };
    arguments.iter().map(fill).collect()
}

/// Why an engine did not speak; `Display` says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The program is not on this machine.
    NotInstalled(String),
    /// The program could not be started.
    NotStarted {
        /// The program.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// The program ended with a failure; what it said first.
    Failed(String),
    /// The program was killed because it took too long.
    TookTooLong,
    /// There was more sound than any line has.
    TooMuch,
    /// The program or file gave no usable sound file.
    Wav(WavError),
    /// There was nothing to hear.
    Silent,
    /// A recording is missing.
    NoRecording(PathBuf),
    /// The engine has no voice for the locale.
    NoSuchLocale,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled(program) if is_espeak(program) => {
                write!(f, "{program} is not installed: apt-get install espeak-ng")
            }
            Self::NotInstalled(program) => {
                write!(f, "{program} is not installed: install it or correct its path")
            }
            Self::NotStarted { program, reason } => write!(f, "{program} does not start: {reason}"),
            Self::Failed(complaint) => write!(f, "the program failed: {complaint}"),
            Self::TookTooLong => f.write_str("the program took too long and was stopped"),
            Self::TooMuch => f.write_str("there is more sound than a line can have"),
            Self::Wav(error) => write!(f, "{error}"),
            Self::Silent => f.write_str("there is nothing to hear"),
            Self::NoRecording(path) => write!(f, "the recording {} is missing", path.display()),
            Self::NoSuchLocale => f.write_str("the engine has no voice for this locale"),
        }
    }
}

impl Error for EngineError {}

fn is_espeak(program: &str) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == ESPEAK)
}

/// The program of the Debian package of the same name.
const ESPEAK: &str = "espeak-ng";

/// 20 s at 8 kHz, three times the longest line.
const CLIP_SAMPLES_MAX: usize = 160_000;
