//! The voices that codes are spoken with: `[voice]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::Locale;
use serde::Deserialize;
use voice::speech::{Engine, Gender, SpeechSettings};

use super::mistakes::ConfigMistakes;
use super::ranges;
use super::sections::MEBIBYTE;

/// How codes are spoken.
#[derive(Clone, Debug)]
pub struct VoiceConfig {
    /// The engines and their limits.
    pub speech: SpeechSettings,
    /// Whose voice accounts are given that ask for none.
    pub gender: Option<Gender>,
    /// Whether a key must be pressed before the code is said, where an account does not tell.
    pub gate: bool,
    /// How often a call can be asked to say the code again, where an account does not tell.
    pub repeats_max: u8,
    /// The locales that are rendered when the server starts.
    pub warm: Vec<Locale>,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self {
            speech: SpeechSettings::default(),
            gender: None,
            gate: false,
            repeats_max: 1,
            warm: Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawVoice {
    engines: Option<Vec<String>>,
    engines_of: Option<BTreeMap<String, Vec<String>>>,
    gender: Option<WrittenGender>,
    gate: Option<bool>,
    repeats_max: Option<i64>,
    speed_wpm: Option<i64>,
    warm: Option<Vec<String>>,
    voice_wait_ms: Option<i64>,
    brand_wait_ms: Option<i64>,
    command_timeout_ms: Option<i64>,
    commands_max: Option<i64>,
    brands_waiting_max: Option<i64>,
    brand_cache_mb: Option<i64>,
}

/// Whose voice is wanted.
#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
enum WrittenGender {
    Any,
    Female,
    Male,
}

pub(super) fn resolve(raw: RawVoice, mistakes: &mut ConfigMistakes) -> VoiceConfig {
    let mut voice = VoiceConfig::default();
    let speech = &mut voice.speech;
    if let Some(written) = raw.engines {
        speech.engines = engines("voice.engines", &written, mistakes);
    }
    speech.engines_of = engines_of(raw.engines_of.unwrap_or_default(), mistakes);
    for (range, written, bound) in [
        (ranges::VOICE_VOICE_WAIT_MS, raw.voice_wait_ms, &mut speech.voice_bound),
        (ranges::VOICE_BRAND_WAIT_MS, raw.brand_wait_ms, &mut speech.brand_bound),
        (ranges::VOICE_COMMAND_TIMEOUT_MS, raw.command_timeout_ms, &mut speech.child_bound),
    ] {
        *bound = range.duration(written, *bound, mistakes);
    }
    for (range, written, max) in [
        (ranges::VOICE_COMMANDS_MAX, raw.commands_max, &mut speech.children_max),
        (ranges::VOICE_BRANDS_WAITING_MAX, raw.brands_waiting_max, &mut speech.brands_pending_max),
    ] {
        *max = range.number(written, *max, mistakes);
    }
    speech.brand_cache_bytes_max =
        cache_bytes(raw.brand_cache_mb, speech.brand_cache_bytes_max, mistakes);
    speech.speed_wpm = ranges::VOICE_SPEED_WPM.number(raw.speed_wpm, speech.speed_wpm, mistakes);
    voice.gender = match raw.gender.unwrap_or(WrittenGender::Any) {
        WrittenGender::Any => None,
        WrittenGender::Female => Some(Gender::Female),
        WrittenGender::Male => Some(Gender::Male),
    };
    voice.gate = raw.gate.unwrap_or(voice.gate);
    let repeats_max = &mut voice.repeats_max;
    *repeats_max = ranges::VOICE_REPEATS_MAX.number(raw.repeats_max, *repeats_max, mistakes);
    let known = |name: String| {
        let known = Locale::parse(&name);
        if known.is_none() {
            mistakes.add("voice.warm", format!("names `{name}`; must be {LOCALES}"));
        }
        known
    };
    voice.warm = raw.warm.unwrap_or_default().into_iter().filter_map(known).collect();
    voice
}

fn cache_bytes(written: Option<i64>, default: usize, mistakes: &mut ConfigMistakes) -> usize {
    let default = u64::try_from(default).unwrap_or(MEBIBYTE);
    let bytes = ranges::VOICE_BRAND_CACHE_MB.bytes(written, default, mistakes);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn engines_of(
    written: BTreeMap<String, Vec<String>>,
    mistakes: &mut ConfigMistakes,
) -> BTreeMap<String, Vec<Engine>> {
    let mut engines_of = BTreeMap::new();
    for (locale, written) in written {
        match Locale::parse(&locale) {
            Some(known) => {
                let engines = engines("voice.engines_of", &written, mistakes);
                engines_of.insert(known.as_str().to_owned(), engines);
            }
            None => {
                mistakes.add("voice.engines_of", format!("names `{locale}`; must be {LOCALES}"));
            }
        }
    }
    engines_of
}

fn engines(key: &str, written: &[String], mistakes: &mut ConfigMistakes) -> Vec<Engine> {
    if written.is_empty() {
        mistakes.add(key, format!("is empty; must be {ENGINE}"));
    }
    let read = |line: &String| {
        let engine = engine(line);
        if engine.is_none() {
            mistakes.add(key, format!("names `{line}`; must be {ENGINE}"));
        }
        engine
    };
    written.iter().filter_map(read).collect()
}

/// Reads `espeak-ng`, `espeak-ng en-us+f3`, `command [female|male] PROGRAM ARGUMENT..` and
/// `recordings [female|male] FOLDER`.
fn engine(line: &str) -> Option<Engine> {
    let mut words = line.split_whitespace().peekable();
    let kind = words.next()?;
    if kind == ESPEAK {
        let voice = words.next().map(str::to_owned);
        let Engine::Espeak { program, .. } = Engine::espeak() else { return None };
        return words.next().is_none().then_some(Engine::Espeak { program, voice });
    }
    let gender = match words.peek() {
        Some(&"female") => Some(Gender::Female),
        Some(&"male") => Some(Gender::Male),
        Some(_) | None => None,
    };
    if gender.is_some() {
        words.next();
    }
    match kind {
        "command" => {
            let program = PathBuf::from(words.next()?);
            Some(Engine::Command { program, arguments: words.map(str::to_owned).collect(), gender })
        }
        "recordings" => {
            let folder: Vec<&str> = words.collect();
            let folder = (!folder.is_empty()).then(|| PathBuf::from(folder.join(" ")))?;
            Some(Engine::Recordings { folder, gender })
        }
        _ => None,
    }
}

const ESPEAK: &str = "espeak-ng";

const ENGINE: &str = "`espeak-ng`, `espeak-ng VOICE`, `command PROGRAM ARGUMENTS` or \
     `recordings FOLDER`, the last two with `female` or `male` before the rest if need be";

const LOCALES: &str = "a locale like `fr-fr`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_a_synthesiser_a_command_or_a_folder() {
        assert_eq!(engine("espeak-ng"), Some(Engine::espeak()));
        assert!(matches!(
            engine("espeak-ng en-us+f3"),
            Some(Engine::Espeak { voice: Some(voice), .. }) if voice == "en-us+f3"
        ));
        assert_eq!(
            engine("command male /opt/piper --lang {locale}"),
            Some(Engine::Command {
                program: PathBuf::from("/opt/piper"),
                arguments: vec!["--lang".to_owned(), "{locale}".to_owned()],
                gender: Some(Gender::Male),
            })
        );
        assert_eq!(
            engine("recordings /srv/our voices"),
            Some(Engine::Recordings { folder: PathBuf::from("/srv/our voices"), gender: None })
        );
        for odd in ["", "festival", "command", "command female", "recordings", "espeak-ng a b"] {
            assert_eq!(engine(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_wrong_with_voices_is_told_with_its_key() {
        let raw: RawVoice = toml::from_str(
            "engines = []
            engines_of = { 'xx-xx' = ['espeak-ng'], 'fr-fr' = ['sing'] }
            warm = ['klingon']
            speed_wpm = 1000",
        )
        .unwrap();
        let mut mistakes = ConfigMistakes::default();
        resolve(raw, &mut mistakes);
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 5, "{told:?}");
        for key in ["voice.engines: is empty", "`xx-xx`", "`sing`", "`klingon`", "speed_wpm"] {
            assert!(told.iter().any(|told| told.contains(key)), "{key}: {told:?}");
        }
    }
}
