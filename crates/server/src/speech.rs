//! What speaks codes: the engine's words in the voices of the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Locale;
use engine::wording::Phrases;
use serde::{Deserialize, Serialize};
use voice::script::{Gate, Item, Script};
use voice::speech::{Gender, Lines, Prompt, PromptOptions, Speech, SpeechError};

use crate::channels::Spoken;
use crate::config::VoiceConfig;
use crate::store::{AccountSettings, VoiceGender};

/// All voices, and how codes are spoken where an account does not tell.
#[derive(Debug)]
pub struct Voices {
    speech: Speech,
    manner: Manner,
    warm: Vec<Locale>,
}

/// How an account wants its calls; what is `None` follows the configuration.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct VoiceWishes {
    /// Whose voice it wants.
    pub gender: Option<VoiceGender>,
    /// Whether a key must be pressed before the code is said.
    pub gate: Option<bool>,
    /// How often a call can be asked to say the code again.
    pub repeats_max: Option<u8>,
}

/// How a call is spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Manner {
    /// Whose voice speaks, if it matters.
    pub gender: Option<Gender>,
    /// Whether a key must be pressed before the code is said.
    pub gate: bool,
    /// How often the call can be asked to say the code again.
    pub repeats_max: u8,
}

impl VoiceWishes {
    /// Returns what an account has asked for.
    pub fn of(settings: &AccountSettings) -> Self {
        Self {
            gender: settings.voice_gender,
            gate: settings.voice_gate,
            repeats_max: settings.voice_repeats_max,
        }
    }
}

impl Voices {
    /// Takes the voices of a configuration; speaks nothing yet.
    pub fn new(config: &VoiceConfig) -> Self {
        let VoiceConfig { speech, gender, gate, repeats_max, warm } = config.clone();
        let manner = Manner { gender, gate, repeats_max };
        Self { speech: Speech::new(speech, lines()), manner, warm }
    }

    /// Returns how calls are spoken for whoever has these wishes.
    pub fn manner(&self, wishes: VoiceWishes) -> Manner {
        let gender = wishes.gender.map(|gender| match gender {
            VoiceGender::Female => Gender::Female,
            VoiceGender::Male => Gender::Male,
        });
        Manner {
            gender: gender.or(self.manner.gender),
            gate: wishes.gate.unwrap_or(self.manner.gate),
            repeats_max: wishes.repeats_max.unwrap_or(self.manner.repeats_max),
        }
    }

    /// Puts together what a call says.
    ///
    /// # Errors
    /// There is no voice for the locale, or none yet; told in words for the operator.
    pub async fn prompt(&self, spoken: &Spoken) -> Result<Prompt, SpeechError> {
        let manner = self.manner(spoken.wishes);
        let options = PromptOptions { gate: manner.gate, press_one: manner.repeats_max > 0 };
        let (locale, code) = (spoken.locale.as_str(), spoken.code.reveal().as_bytes());
        self.speech.prompt(locale, manner.gender, &spoken.brand, code, options).await
    }

    /// Makes the script of a call.
    ///
    /// # Errors
    /// There is no voice for the locale, or none yet; told in words for the operator.
    pub async fn script(&self, spoken: &Spoken) -> Result<Script, SpeechError> {
        let manner = self.manner(spoken.wishes);
        let Prompt { gate, body, end } = self.prompt(spoken).await?;
        let lifting = Item::Silence(LIFTING);
        let (gate, items) = if manner.gate {
            let prompt = std::iter::once(lifting).chain(gate).collect();
            (Some(Gate { prompt, plays_max: GATE_PLAYS, wait: Duration::ZERO }), body)
        } else {
            (None, std::iter::once(lifting).chain(body).collect())
        };
        // What asks for a key ends with the time to press it.
        let listen = Duration::ZERO;
        Ok(Script { gate, items, repeats_max: manner.repeats_max, listen, farewell: end })
    }

    /// Whether a locale can be spoken, or may be before long.
    pub async fn speak(&self, locale: Locale, wishes: VoiceWishes) -> bool {
        let ready = self.speech.warm(locale.as_str(), self.manner(wishes).gender);
        match tokio::time::timeout(SPEAK_WAIT, ready).await {
            Ok(Err(error)) => error.is_transient(),
            Ok(Ok(())) | Err(_) => true,
        }
    }

    /// Makes the locales ready that are to be so before their first call.
    pub async fn warm(&self) {
        for locale in &self.warm {
            let name = locale.as_str();
            match self.speech.warm(name, self.manner.gender).await {
                Ok(()) => tracing::info!(locale = name, "the voice is ready"),
                Err(error) => tracing::warn!(locale = name, %error, "calls cannot be spoken"),
            }
        }
    }

    /// Returns the engines behind the voices.
    pub fn speech(&self) -> &Speech {
        &self.speech
    }
}

/// The words of every locale, as whoever speaks them wants them.
fn lines() -> BTreeMap<String, Lines> {
    let lines = |locale: Locale| {
        let phrases = Phrases::of(locale);
        let [before, after] = phrases.intro;
        let lines = Lines {
            intro_before: before.to_owned(),
            intro_after: after.to_owned(),
            intro_without_brand: phrases.intro_without_brand.to_owned(),
            digits: phrases.digits.map(str::to_owned),
            again: phrases.again.to_owned(),
            press_one: phrases.press_one.to_owned(),
            press_any: phrases.press_any.to_owned(),
            goodbye: phrases.goodbye.to_owned(),
        };
        (locale.as_str().to_owned(), lines)
    };
    Locale::ALL.map(lines).into()
}

/// Whoever only asks whether there is a voice is not kept waiting until all of it is ready.
const SPEAK_WAIT: Duration = Duration::from_secs(1);

/// The time from the answer until the phone is at an ear.
const LIFTING: Duration = Duration::from_millis(500);

/// Whoever was not ready at the first asking is at the second; an answering machine presses none.
const GATE_PLAYS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_s_wishes_come_before_the_configuration() {
        let config =
            VoiceConfig { gender: Some(Gender::Male), gate: true, ..VoiceConfig::default() };
        let voices = Voices::new(&config);
        let default = voices.manner(VoiceWishes::default());
        assert_eq!(default, Manner { gender: Some(Gender::Male), gate: true, repeats_max: 1 });
        let settings = AccountSettings {
            voice_gender: Some(VoiceGender::Female),
            voice_gate: Some(false),
            voice_repeats_max: Some(0),
            ..AccountSettings::default()
        };
        let wished = voices.manner(VoiceWishes::of(&settings));
        assert_eq!(wished, Manner { gender: Some(Gender::Female), gate: false, repeats_max: 0 });
    }
}
