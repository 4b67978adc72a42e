//! What is put into a handset's inbox: the part that may be read, and the part that is sealed.

use std::time::Duration;

use engine::wording::Phrases;
use engine::{AttemptId, Channel, Code, Locale, Receipt, SecretText, Timestamp};
use serde::{Deserialize, Serialize};

use super::Dispatch;
use super::scenario::{ASKED_IN_VAIN, HANGS_UP_AFTER, Pickup};
use crate::channels::Spoken;
use crate::speech::{Manner, VoiceWishes};

/// What is to be put into an inbox.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) attempt: AttemptId,
    pub(super) digits: u64,
    pub(super) body: Body,
    pub(super) secret: Secret,
    pub(super) reports: Vec<(Timestamp, Receipt)>,
}

/// The part of an entry that is no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) channel: Channel,
    pub(super) from: String,
    pub(super) at: Timestamp,
    pub(super) answered_at: Option<Timestamp>,
    pub(super) ended_at: Timestamp,
    /// Whether the handset shows it.
    pub(super) shown: bool,
    /// Who answered.
    #[serde(default)]
    pub(super) pickup: Pickup,
    /// Whether a call was hung up before all was said.
    #[serde(default)]
    pub(super) is_cut: bool,
}

/// The part of an entry that is sealed.
#[derive(Clone)]
pub(super) struct Secret {
    /// The message, or the transcript of what a call has said.
    pub(super) text: SecretText,
    /// What a call that was answered speaks.
    pub(super) spoken: Option<Spoken>,
}

/// When an entry comes about.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) now: Timestamp,
    pub(super) latency: Duration,
}

impl Entry {
    pub(super) fn new(
        dispatch: &Dispatch,
        times: Times,
        reaches: bool,
        pickup: Pickup,
        manner: Manner,
        reports: Vec<(Timestamp, Receipt)>,
    ) -> Self {
        let Times { now, latency } = times;
        let is_call = dispatch.channel == Channel::Voice;
        let answered_at = (reaches && is_call).then(|| now.after(latency));
        let length = call_length(pickup, manner);
        let body = Body {
            channel: dispatch.channel,
            from: dispatch.originator.clone().unwrap_or_default(),
            at: now,
            answered_at,
            ended_at: answered_at.map_or_else(|| now.after(latency), |at| at.after(length)),
            shown: reaches || is_call,
            pickup,
            is_cut: pickup == Pickup::HangsUp,
        };
        let secret = if reaches {
            Secret {
                text: transcript(dispatch, pickup, manner),
                spoken: dispatch.spoken.clone().filter(|_| is_call),
            }
        } else {
            Secret { text: SecretText::concat(&[]), spoken: None }
        };
        Self { attempt: dispatch.attempt, digits: dispatch.number, body, secret, reports }
    }
}

impl Body {
    /// Returns how much of a call was heard, if not all of it.
    pub(super) fn heard_for(&self) -> Option<Duration> {
        let answered_at = self.answered_at.filter(|_| self.is_cut)?;
        Some(self.ended_at.since(answered_at))
    }
}

impl Secret {
    /// Renders what is to be sealed: the text, and after a zero what a call speaks.
    pub(super) fn render(&self) -> SecretText {
        let Some(spoken) = &self.spoken else { return self.text.clone() };
        let wishes = serde_json::to_string(&spoken.wishes).unwrap_or_default();
        let (locale, code) = (spoken.locale.as_str(), spoken.code.reveal());
        // The brand comes last, because it alone can hold anything.
        let parts =
            [self.text.reveal(), "\0", locale, "\0", code, "\0", &wishes, "\0", &spoken.brand];
        SecretText::concat(&parts)
    }

    /// Takes apart what was unsealed.
    pub(super) fn parse(plain: &str, channel: Channel) -> Self {
        if channel == Channel::Sms {
            return Self { text: SecretText::concat(&[plain]), spoken: None };
        }
        let mut parts = plain.splitn(5, '\0');
        let text = SecretText::concat(&[parts.next().unwrap_or_default()]);
        let mut spoken = || {
            let locale = Locale::parse(parts.next()?)?;
            let code = Code::parse(parts.next()?)?;
            let wishes: VoiceWishes = serde_json::from_str(parts.next()?).ok()?;
            Some(Spoken { locale, brand: parts.next()?.to_owned(), code, wishes })
        };
        let spoken = spoken();
        Self { text, spoken }
    }
}

/// Writes down what a handset hears.
fn transcript(dispatch: &Dispatch, pickup: Pickup, manner: Manner) -> SecretText {
    let Some(spoken) = &dispatch.spoken else { return dispatch.text.clone() };
    let phrases = Phrases::of(spoken.locale);
    let all = dispatch.text.reveal();
    let gate: &[&str] = if manner.gate { &[phrases.press_any, " "] } else { &[] };
    let [before, after] = phrases.intro;
    match pickup {
        Pickup::Machine if manner.gate => {
            SecretText::concat(&[phrases.press_any, " ", phrases.press_any])
        }
        Pickup::HangsUp if manner.gate => SecretText::concat(&[phrases.press_any]),
        Pickup::HangsUp => SecretText::concat(&[before, &spoken.brand, after]),
        Pickup::PressesOne if manner.repeats_max > 0 => {
            SecretText::concat(&[gate, &[all, " ", all]].concat())
        }
        Pickup::Person | Pickup::PressesOne | Pickup::Machine => {
            SecretText::concat(&[gate, &[all]].concat())
        }
    }
}

fn call_length(pickup: Pickup, manner: Manner) -> Duration {
    match pickup {
        Pickup::HangsUp => HANGS_UP_AFTER,
        Pickup::Machine if manner.gate => ASKED_IN_VAIN,
        Pickup::PressesOne if manner.repeats_max > 0 => CALL_LENGTH * 2,
        Pickup::Person | Pickup::PressesOne | Pickup::Machine => CALL_LENGTH,
    }
}

/// How long it takes to say a code twice.
const CALL_LENGTH: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_taken_apart_again() {
        let text = SecretText::concat(&["Hello. four, eight"]);
        let message = Secret { text: text.clone(), spoken: None };
        let read = Secret::parse(message.render().reveal(), Channel::Voice);
        assert_eq!((read.text.reveal(), read.spoken.is_none()), ("Hello. four, eight", true));
        let spoken = Spoken {
            locale: Locale::FrFr,
            brand: "Odd \0 brand".to_owned(),
            code: Code::parse("0815").unwrap(),
            wishes: VoiceWishes { gate: Some(true), ..VoiceWishes::default() },
        };
        let read = Secret { text, spoken: Some(spoken) }.render();
        let read = Secret::parse(read.reveal(), Channel::Voice);
        let spoken = read.spoken.unwrap();
        assert_eq!((spoken.brand.as_str(), spoken.code.reveal()), ("Odd \0 brand", "0815"));
        assert_eq!((spoken.locale, spoken.wishes.gate), (Locale::FrFr, Some(true)));
    }
}
