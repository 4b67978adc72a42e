//! Everything one voice says in one language but the brands, rendered once.

use super::SpeechError;
use super::engine::{Engine, EngineError};
use super::lines::Piece;
use super::studio::{Studio, VoiceKey};
use crate::script::Clip;

/// The clips of one locale in one voice.
pub(crate) struct VoiceBook {
    /// Who spoke them, and will speak the brands.
    pub(crate) engine: Engine,
    /// What an operator is told about the voice.
    pub(crate) voice: LocaleVoice,
    pub(crate) intro: Clip,
    pub(crate) again: Clip,
    pub(crate) press_one: Clip,
    pub(crate) press_any: Clip,
    pub(crate) goodbye: Clip,
    digits: Vec<Clip>,
}

/// Which voice a locale speaks with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocaleVoice {
    /// The engine and its voice.
    pub engine: String,
    /// What a listener will notice, such as a foreign accent.
    pub shortcoming: Option<&'static str>,
    /// The engines that come before it in the configuration and could not speak.
    pub passed_over: Vec<PassedOver>,
}

/// An engine that could not speak, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The engine and its voice.
    pub engine: String,
    /// What is wrong, and what to do about it.
    pub error: EngineError,
}

impl VoiceBook {
    /// Renders a book with the first engine that speaks all of it.
    pub(crate) async fn render(studio: &Studio, key: &VoiceKey) -> Result<Self, SpeechError> {
        let mut passed_over = Vec::new();
        for engine in studio.engines(key) {
            let (name, shortcoming) = studio.describe(engine, key);
            match Self::render_with(studio, key, engine).await {
                Ok(mut book) => {
                    book.voice = LocaleVoice { engine: name, shortcoming, passed_over };
                    return Ok(book);
                }
                Err(error) => passed_over.push(PassedOver { engine: name, error }),
            }
        }
        Err(SpeechError::NoVoice { locale: key.locale.clone(), passed_over })
    }

    async fn render_with(
        studio: &Studio,
        key: &VoiceKey,
        engine: &Engine,
    ) -> Result<Self, EngineError> {
        let speak = |piece| studio.speak(engine, key, piece);
        // An engine that is missing says so at its first word, before ten more are tried.
        let intro = speak(Piece::Intro).await?;
        let phrases = tokio::try_join!(
            speak(Piece::Again),
            speak(Piece::PressOne),
            speak(Piece::PressAny),
            speak(Piece::Goodbye)
        );
        let (again, press_one, press_any, goodbye) = phrases?;
        let mut digits = Vec::with_capacity(10);
        for pair in [0, 2, 4, 6, 8] {
            let (even, odd) =
                tokio::try_join!(speak(Piece::Digit(pair)), speak(Piece::Digit(pair + 1)))?;
            digits.extend([even, odd]);
        }
        let voice =
            LocaleVoice { engine: String::new(), shortcoming: None, passed_over: Vec::new() };
        let engine = engine.clone();
        Ok(Self { engine, voice, intro, again, press_one, press_any, goodbye, digits })
    }

    /// Returns the clip of a digit, 0 to 9, and `None` above.
    pub(crate) fn digit(&self, digit: u8) -> Option<&Clip> {
        self.digits.get(usize::from(digit))
    }

    /// Returns how much memory the clips take, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let phrases = [&self.intro, &self.again, &self.press_one, &self.press_any, &self.goodbye];
        phrases.into_iter().chain(&self.digits).map(Clip::size_bytes).sum()
    }
}
