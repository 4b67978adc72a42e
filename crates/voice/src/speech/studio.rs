//! Where lines are spoken: which engines a locale has, and how many speak at a time.

use std::collections::BTreeMap;

use tokio::sync::Semaphore;

use super::engine::{Engine, EngineError, Gender, Speaking};
use super::lines::{Lines, Piece};
use super::settings::SpeechSettings;
use crate::script::Clip;

/// The words of all locales, and the engines to speak them.
pub(crate) struct Studio {
    settings: SpeechSettings,
    lines: BTreeMap<String, Lines>,
    children: Semaphore,
}

/// A voice: what is cached under it was spoken in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VoiceKey {
    pub(crate) locale: String,
    pub(crate) gender: Option<Gender>,
}

impl Studio {
    pub(crate) fn new(settings: SpeechSettings, lines: BTreeMap<String, Lines>) -> Self {
        let children = Semaphore::new(settings.children_max);
        Self { settings, lines, children }
    }

    pub(crate) fn settings(&self) -> &SpeechSettings {
        &self.settings
    }

    pub(crate) fn locales(&self) -> impl Iterator<Item = &String> {
        self.lines.keys()
    }

    pub(crate) fn knows(&self, locale: &str) -> bool {
        self.lines.contains_key(locale)
    }

    /// Lists the engines of a voice in the order to try them: first those of its gender.
    pub(crate) fn engines(&self, key: &VoiceKey) -> impl Iterator<Item = &Engine> {
        let own = self.settings.engines_of.get(&key.locale);
        let engines = own.unwrap_or(&self.settings.engines);
        let suits = |engine: &&Engine| engine.suits(key.gender);
        engines.iter().filter(suits).chain(engines.iter().filter(move |engine| !suits(engine)))
    }

    pub(crate) fn describe(
        &self,
        engine: &Engine,
        key: &VoiceKey,
    ) -> (String, Option<&'static str>) {
        engine.describe(self.speaking(key))
    }

    /// Speaks a piece once one of the places for programs is free.
    pub(crate) async fn speak(
        &self,
        engine: &Engine,
        key: &VoiceKey,
        piece: Piece<'_>,
    ) -> Result<Clip, EngineError> {
        let lines = self.lines.get(&key.locale).ok_or(EngineError::NoSuchLocale)?;
        let place = self.children.acquire().await;
        let clip = engine.speak(self.speaking(key), lines, piece).await;
        drop(place);
        clip
    }

    fn speaking<'a>(&self, key: &'a VoiceKey) -> Speaking<'a> {
        Speaking {
            locale: &key.locale,
            gender: key.gender,
            speed_wpm: self.settings.speed_wpm,
            bound: self.settings.child_bound,
        }
    }
}
