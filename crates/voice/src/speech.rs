//! What a call says: clips spoken once for each language and voice, put together for each code.
//!
//! A code is only ever an order of clips: it reaches no program, no file and no log.

mod cache;
mod child;
mod engine;
mod espeak;
mod level;
mod lines;
mod prompt;
mod recordings;
mod resample;
mod settings;
mod studio;
mod voice_book;
mod wav;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use engine::{Engine, EngineError, Gender};
pub use lines::Lines;
pub use prompt::{
    AFTER_DIGIT, AFTER_READINGS, BEFORE_DIGITS, BETWEEN_READINGS, DIGITS_MAX, KEY_WAIT, Prompt,
    PromptOptions, recording,
};
pub use settings::SpeechSettings;
pub use voice_book::{LocaleVoice, PassedOver};
pub use wav::WavError;

use crate::script::Clip;
use cache::{Absence, Cache};
use lines::Piece;
use studio::{Studio, VoiceKey};
use voice_book::VoiceBook;

/// The voices of all locales.
pub struct Speech {
    studio: Arc<Studio>,
    voices: Arc<Cache<VoiceKey, Arc<VoiceBook>, SpeechError>>,
    brands: Arc<Cache<(VoiceKey, String), Clip, EngineError>>,
}

/// What a locale will be spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocaleCheck {
    /// The locale.
    pub locale: String,
    /// Its voice, or why it has none.
    pub voice: Result<LocaleVoice, SpeechError>,
}

impl Speech {
    /// Takes the words of all locales, by names such as `fr-fr`; speaks nothing yet.
    pub fn new(settings: SpeechSettings, lines: BTreeMap<String, Lines>) -> Self {
        let brands = Cache::new(settings.brand_cache_bytes_max, settings.brands_pending_max);
        // As many voices as there are locales and genders; each is bounded by its clips.
        let voices = Cache::new(usize::MAX, lines.len().saturating_mul(GENDERS));
        Self { studio: Arc::new(Studio::new(settings, lines)), voices, brands }
    }

    /// Puts a call's prompt together.
    ///
    /// Renders nothing if the voice and the brand were heard before; else waits for what is
    /// missing, within the bounds of the settings. Without a `brand`, or with one that cannot be
    /// said in time, the greeting names none. `code` is 1 to [`DIGITS_MAX`] ASCII digits.
    pub async fn prompt(
        &self,
        locale: &str,
        gender: Option<Gender>,
        brand: &str,
        code: &[u8],
        options: PromptOptions,
    ) -> Result<Prompt, SpeechError> {
        let key = VoiceKey { locale: locale.to_owned(), gender };
        let book = self.voice(key.clone()).await?;
        let intro = self.intro(&book, key, brand.trim()).await;
        Prompt::assemble(&book, intro, code, options)
    }

    /// Renders the clips of a locale ahead of its first call.
    pub async fn warm(&self, locale: &str, gender: Option<Gender>) -> Result<(), SpeechError> {
        self.voice(VoiceKey { locale: locale.to_owned(), gender }).await.map(drop)
    }

    /// Finds out by speaking what each locale will use, in alphabetical order.
    pub async fn check(&self, gender: Option<Gender>) -> Vec<LocaleCheck> {
        let mut checks = Vec::new();
        for locale in self.studio.locales() {
            let book = self.voice(VoiceKey { locale: locale.clone(), gender }).await;
            let voice = book.map(|book| book.voice.clone());
            checks.push(LocaleCheck { locale: locale.clone(), voice });
        }
        checks
    }

    /// Returns how much memory all clips take, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.voices.bytes() + self.brands.bytes()
    }

    async fn voice(&self, key: VoiceKey) -> Result<Arc<VoiceBook>, SpeechError> {
        if let Some(book) = self.voices.find(&key) {
            return Ok(book);
        }
        if !self.studio.knows(&key.locale) {
            return Err(SpeechError::UnknownLocale(key.locale));
        }
        let locale = key.locale.clone();
        let (studio, of) = (Arc::clone(&self.studio), key.clone());
        let render = async move {
            let book = VoiceBook::render(&studio, &of).await?;
            let bytes = book.size_bytes();
            Ok((Arc::new(book), bytes))
        };
        let bound = self.studio.settings().voice_bound;
        self.voices.find_or_make(key, bound, render).await.map_err(|absence| match absence {
            Absence::Failed(error) => error,
            Absence::Late | Absence::Busy => SpeechError::NotReady { locale, bound },
        })
    }

    /// Returns the greeting with the brand, or the one without if there is none in time.
    async fn intro(&self, book: &Arc<VoiceBook>, voice: VoiceKey, brand: &str) -> Clip {
        if brand.is_empty() || brand.chars().count() > BRAND_CHARS_MAX {
            return book.intro.clone();
        }
        let (studio, of) = (Arc::clone(&self.studio), Arc::clone(book));
        let key = (voice, brand.to_owned());
        let (spoken_in, said) = key.clone();
        let render = async move {
            let clip = studio.speak(&of.engine, &spoken_in, Piece::IntroOf(&said)).await?;
            let bytes = clip.size_bytes();
            Ok((clip, bytes))
        };
        let bound = self.studio.settings().brand_bound;
        let made = self.brands.find_or_make(key, bound, render).await;
        made.unwrap_or_else(|_| book.intro.clone())
    }
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speech").finish_non_exhaustive()
    }
}

/// Why a call cannot be spoken; `Display` says what to do about it and shows no digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeechError {
    /// Nobody handed in the words of this locale.
    UnknownLocale(String),
    /// None of the engines could speak.
    NoVoice {
        /// The locale.
        locale: String,
        /// All engines of the locale, with what is wrong with each.
        passed_over: Vec<PassedOver>,
    },
    /// The clips are still being rendered; the next call may find them.
    NotReady {
        /// The locale.
        locale: String,
        /// How long was waited.
        bound: Duration,
    },
    /// The code is not 1 to [`DIGITS_MAX`] digits.
    NotDigits,
}

impl SpeechError {
    /// Tells whether the same may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NotReady { .. })
    }
}

impl fmt::Display for SpeechError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLocale(locale) => write!(f, "there are no words for locale {locale}"),
            Self::NoVoice { locale, passed_over } => {
                write!(f, "there is no voice for {locale}")?;
                for PassedOver { engine, error } in passed_over {
                    write!(f, "; {engine}: {error}")?;
                }
                Ok(())
            }
            Self::NotReady { locale, bound } => write!(
                f,
                "the voice for {locale} was not ready within {} ms: warm it up at the start",
                bound.as_millis()
            ),
            Self::NotDigits => write!(f, "a code to be spoken has 1 to {DIGITS_MAX} digits"),
        }
    }
}

impl Error for SpeechError {}

/// No gender in particular, a woman's voice, and a man's.
const GENDERS: usize = 3;

/// More than twice the 18 characters a brand has by the vendors' rules; longer ones are not read.
const BRAND_CHARS_MAX: usize = 40;
