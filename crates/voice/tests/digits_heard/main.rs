//! The right digits in the right order, twice, in every locale and with every kind of voice.
#![expect(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]
#![expect(clippy::expect_used, reason = "functions beside the tests fail as the tests do")]
#![expect(clippy::indexing_slicing, reason = "functions beside the tests fail as the tests do")]
#![expect(clippy::cast_precision_loss, reason = "counts of frames and bands are small")]
#![expect(clippy::cast_possible_truncation, reason = "counts of frames and bands are small")]
#![expect(clippy::cast_sign_loss, reason = "counts of frames and bands are small")]

mod ears;

use std::io::Write;
use std::process::{Command, Stdio};

use ears::{Ears, Sound, split};
use engine::wording::{Locale, Phrases};
use voice::speech::{Gender, PromptOptions, Speech, SpeechSettings};

#[tokio::test]
async fn the_digits_of_a_code_are_heard_twice_in_every_locale() {
    every_locale_is_understood(None).await;
}

#[tokio::test]
async fn the_digits_are_heard_in_a_womans_voice() {
    every_locale_is_understood(Some(Gender::Female)).await;
}

#[tokio::test]
async fn the_digits_are_heard_in_a_mans_voice() {
    every_locale_is_understood(Some(Gender::Male)).await;
}

/// What is said besides the digits: the ears must not take the wrong word for a digit.
#[tokio::test]
async fn a_clip_in_the_wrong_place_is_noticed() {
    let lines = |order: [usize; 10]| {
        let mut lines = lines_of(Locale::EnUs);
        lines.digits = order.map(|digit| lines.digits[digit].clone());
        [("en-us".to_owned(), lines)].into()
    };
    let wrong = Speech::new(SpeechSettings::default(), lines([0, 1, 2, 3, 5, 4, 6, 7, 8, 9]));
    let ears = ears_of(Locale::EnUs, None);
    assert_eq!(heard(&wrong, &ears, Locale::EnUs, None, "142857").await, ["152847"; 2]);
}

async fn every_locale_is_understood(gender: Option<Gender>) {
    let lines = Locale::ALL.map(|locale| (locale.as_str().to_owned(), lines_of(locale)));
    let speech = Speech::new(SpeechSettings::default(), lines.into());
    let mut mistaken = Vec::new();
    for locale in Locale::ALL {
        let ears = ears_of(locale, gender);
        for code in CODES {
            let heard = heard(&speech, &ears, locale, gender, code).await;
            if heard != [code, code] {
                mistaken.push(format!("{locale}: {code} was heard as {heard:?}"));
            }
        }
    }
    assert!(mistaken.is_empty(), "{mistaken:#?}");
}

/// Listens to a whole prompt, through µ-law, and returns both readings.
async fn heard(
    speech: &Speech,
    ears: &Ears,
    locale: Locale,
    gender: Option<Gender>,
    code: &str,
) -> Vec<String> {
    let options = PromptOptions::default();
    let prompt = speech.prompt(locale.as_str(), gender, "Acme", code.as_bytes(), options).await;
    let prompt = prompt.expect("apt-get install espeak-ng (the Debian package of that name)");
    let sound = Sound::of_wav(&prompt.to_wav());
    // Greeting, reading, "once more", reading, leave-taking: the greeting may have pauses too.
    let parts = split(&sound, 690);
    let readings = parts.len().checked_sub(4).map(|first| [&parts[first], &parts[first + 2]]);
    let reading = |part: &Sound| split(part, 200).iter().map(|digit| ears.hear(digit)).collect();
    readings.expect("a prompt has five parts").into_iter().map(reading).collect()
}

/// Learns the digits from espeak-ng itself, without our resampling and levelling.
fn ears_of(locale: Locale, gender: Option<Gender>) -> Ears {
    let voice = match locale {
        Locale::DeDe => "de",
        Locale::EnAu | Locale::EnGb | Locale::EnIn => "en-gb",
        Locale::EnUs => "en-us",
        Locale::EsEs => "es",
        Locale::EsMx | Locale::EsUs => "es-419",
        Locale::FrCa | Locale::FrFr => "fr-fr",
        Locale::IsIs => "is",
        Locale::ItIt => "it",
        Locale::JaJp => "ja",
        Locale::KoKr => "ko",
        Locale::NlNl => "nl",
        Locale::PlPl => "pl",
        Locale::PtBr => "pt-br",
        Locale::PtPt => "pt",
        Locale::RoRo => "ro",
        Locale::RuRu => "ru",
        Locale::SvSe => "sv",
        Locale::TrTr => "tr",
        Locale::ZhCn | Locale::ZhTw => "cmn-latn-pinyin",
    };
    let variant = match gender {
        None => "",
        Some(Gender::Female) => "+f2",
        Some(Gender::Male) => "+m3",
    };
    let digits = Phrases::of(locale).digits;
    Ears::of(&digits.map(|word| espeak(&format!("{voice}{variant}"), word)))
}

fn espeak(voice: &str, text: &str) -> Sound {
    let mut child = Command::new("espeak-ng")
        .args(["-v", voice, "-s", "130", "-b", "1", "--stdin", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("apt-get install espeak-ng (the Debian package of that name)");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Sound::of_wav(&child.wait_with_output().unwrap().stdout)
}

fn lines_of(locale: Locale) -> voice::speech::Lines {
    let phrases = Phrases::of(locale);
    let [before, after] = phrases.intro;
    voice::speech::Lines {
        intro_before: before.to_owned(),
        intro_after: after.to_owned(),
        intro_without_brand: phrases.intro_without_brand.to_owned(),
        digits: phrases.digits.map(str::to_owned),
        again: phrases.again.to_owned(),
        press_one: phrases.press_one.to_owned(),
        press_any: phrases.press_any.to_owned(),
        goodbye: phrases.goodbye.to_owned(),
    }
}

/// All digits in an order of no meaning, and a code that repeats itself.
const CODES: [&str; 2] = ["2907518364", "334477"];
