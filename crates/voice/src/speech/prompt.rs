//! What one call plays: clips and silences in order, in the sections a call goes through.

use std::fmt;
use std::time::Duration;

use super::voice_book::VoiceBook;
use super::{SpeechError, wav};
use crate::g711::linear_from_ulaw;
use crate::script::{Clip, Item, SAMPLE_RATE_HZ};

/// What a call plays, with the code in it.
///
/// A call without a gate plays body and end. One with a gate plays it until a key is pressed.
/// When 1 is pressed the body is played again. `Debug` shows nothing of the order, because the
/// order is the code.
#[derive(Clone)]
pub struct Prompt {
    /// Asks for a key and waits for it; empty without a gate.
    pub gate: Vec<Item>,
    /// Greeting, code, the code once more, and the offer to hear it again with a wait for the key.
    pub body: Vec<Item>,
    /// Takes leave.
    pub end: Vec<Item>,
}

/// What a prompt has besides the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptOptions {
    /// A key must be pressed before the code is said, so that no answering machine gets it.
    pub gate: bool,
    /// 1 may be pressed to hear the code again.
    pub press_one: bool,
}

impl Prompt {
    /// Puts a prompt together from clips; nothing is rendered here.
    ///
    /// `code` is 1 to [`DIGITS_MAX`] ASCII digits.
    pub(crate) fn assemble(
        book: &VoiceBook,
        intro: Clip,
        code: &[u8],
        options: PromptOptions,
    ) -> Result<Self, SpeechError> {
        if !(1..=DIGITS_MAX).contains(&code.len()) {
            return Err(SpeechError::NotDigits);
        }
        let mut reading = Vec::with_capacity(2 * code.len());
        for digit in code {
            let clip = digit.checked_sub(b'0').and_then(|digit| book.digit(digit));
            reading.push(Item::Clip(clip.ok_or(SpeechError::NotDigits)?.clone()));
            reading.push(Item::Silence(AFTER_DIGIT));
        }
        let said = |clip: &Clip, pause| [Item::Clip(clip.clone()), Item::Silence(pause)];
        let mut body = Vec::with_capacity(2 * reading.len() + 7);
        body.extend(said(&intro, BEFORE_DIGITS));
        body.extend(reading.iter().cloned());
        body.push(Item::Silence(BETWEEN_READINGS));
        body.extend(said(&book.again, BEFORE_DIGITS));
        body.extend(reading);
        body.push(Item::Silence(AFTER_READINGS));
        if options.press_one {
            body.extend(said(&book.press_one, KEY_WAIT));
        }
        let gate = if options.gate { said(&book.press_any, KEY_WAIT).into() } else { Vec::new() };
        Ok(Self { gate, body, end: vec![Item::Clip(book.goodbye.clone())] })
    }

    /// Renders gate, body and end as one WAV file: 16-bit PCM, 8 kHz, as a phone hears it.
    pub fn to_wav(&self) -> Vec<u8> {
        let mut samples = Vec::new();
        for item in self.gate.iter().chain(&self.body).chain(&self.end) {
            match item {
                Item::Clip(clip) => {
                    samples.extend(clip.ulaw.iter().map(|octet| linear_from_ulaw(*octet)));
                }
                Item::Silence(pause) => {
                    let pause = pause.as_millis() * u128::from(SAMPLE_RATE_HZ) / 1000;
                    let pause = usize::try_from(pause).unwrap_or_default();
                    samples.resize(samples.len().saturating_add(pause), 0);
                }
            }
        }
        wav::render(&samples, SAMPLE_RATE_HZ)
    }
}

/// Renders what a phone heard, as µ-law, as a WAV file: 16-bit PCM, 8 kHz.
pub fn recording(ulaw: &[u8]) -> Vec<u8> {
    let samples: Vec<i16> = ulaw.iter().map(|octet| linear_from_ulaw(*octet)).collect();
    wav::render(&samples, SAMPLE_RATE_HZ)
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt").finish_non_exhaustive()
    }
}

/// Digits in the longest code that any vendor lets an account ask for.
pub const DIGITS_MAX: usize = 10;

/// Without a pause the first digit melts into the word before it: recognisers then heard a
/// third of the codes, and nearly all with it.
pub const BEFORE_DIGITS: Duration = Duration::from_millis(700);

/// Time to write a digit down; together with the digit it makes about 1.5 digits a second.
pub const AFTER_DIGIT: Duration = Duration::from_millis(250);

/// Added to the pause of the last digit, so that the reading is heard to be over.
pub const BETWEEN_READINGS: Duration = Duration::from_millis(900);

/// Before the offer to repeat, or before taking leave.
pub const AFTER_READINGS: Duration = Duration::from_millis(500);

/// The time to take the phone from the ear and press a key.
pub const KEY_WAIT: Duration = Duration::from_secs(4);
