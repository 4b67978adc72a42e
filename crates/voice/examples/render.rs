//! Renders calls to WAV files: `render LOCALE BRAND CODE FILE [CODE FILE]..`, as a phone hears them.

use std::collections::BTreeMap;
use std::error::Error;

use engine::wording::{Locale, Phrases};
use voice::speech::{Lines, PromptOptions, Speech, SpeechSettings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: render LOCALE BRAND CODE FILE [CODE FILE]..");
    let (locale, brand) = (next()?, next()?);
    let speech = Speech::new(SpeechSettings::default(), lines());
    while let Ok(code) = next() {
        let options = PromptOptions::default();
        let prompt = speech.prompt(&locale, None, &brand, code.as_bytes(), options).await?;
        std::fs::write(next()?, prompt.to_wav())?;
    }
    Ok(())
}

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
