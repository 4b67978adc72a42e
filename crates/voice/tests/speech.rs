//! Voices, their order, their bounds, and what never leaves the process.
#![expect(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use voice::script::Item;
use voice::speech::{
    Engine, EngineError, Gender, Lines, Prompt, PromptOptions, Speech, SpeechError, SpeechSettings,
};

#[tokio::test]
async fn a_prompt_says_the_code_twice_between_greeting_and_goodbye() {
    let studio = Recorded::all();
    let prompt = studio.prompt("30", PromptOptions::default()).await;
    assert_eq!(
        told(&prompt.body),
        "intro 700ms 3 250ms 0 250ms 900ms again 700ms 3 250ms 0 250ms 500ms"
    );
    assert_eq!(told(&prompt.gate), "");
    assert_eq!(told(&prompt.end), "goodbye");
}

#[tokio::test]
async fn a_gate_asks_for_a_key_and_says_no_digit() {
    let studio = Recorded::all();
    let prompt = studio.prompt("30", PromptOptions { gate: true, press_one: false }).await;
    assert_eq!(told(&prompt.gate), "press-any 4s");
}

#[tokio::test]
async fn the_offer_to_repeat_comes_last_and_waits_for_the_key() {
    let studio = Recorded::all();
    let prompt = studio.prompt("9", PromptOptions { gate: false, press_one: true }).await;
    assert_eq!(
        told(&prompt.body),
        "intro 700ms 9 250ms 900ms again 700ms 9 250ms 500ms press-one 4s"
    );
}

#[tokio::test]
async fn a_recorded_brand_is_said_and_another_is_left_out() {
    let studio = Recorded::all();
    for name in ["intro-before", "brand-acme-bank", "intro-after"] {
        write_tone(&studio.path(name), duration_of(name));
    }
    let speech = studio.speech();
    let named = ask(&speech, "Acme Bank", "1").await.unwrap();
    let Item::Clip(intro) = &named.body[0] else { panic!("no greeting") };
    let parts = ["intro-before", "brand-acme-bank", "intro-after"].map(duration_of);
    assert_eq!(intro.duration(), parts.iter().sum());
    let other = ask(&speech, "Other", "1").await.unwrap();
    assert_eq!(told(&other.body[..1]), "intro");
}

#[tokio::test]
async fn a_prompt_as_a_file_is_as_long_as_it_plays() {
    let options = PromptOptions { gate: true, press_one: true };
    let prompt = Recorded::all().prompt("481516", options).await;
    let items = prompt.gate.iter().chain(&prompt.body).chain(&prompt.end);
    let duration: Duration = items
        .map(|item| match item {
            Item::Clip(clip) => clip.duration(),
            Item::Silence(pause) => *pause,
        })
        .sum();
    let samples = (prompt.to_wav().len() - 44) / 2;
    assert_eq!(u128::try_from(samples).unwrap(), duration.as_micros() / 125);
}

#[tokio::test]
async fn neither_a_prompt_nor_an_error_shows_a_digit() {
    let studio = Recorded::all();
    let prompt = studio.prompt("4815", PromptOptions::default()).await;
    assert_eq!(format!("{prompt:?} {:?}", prompt.body[0]), "Prompt { .. } Clip(Clip(..))");
    let speech = studio.speech();
    for code in ["", "48a5", "48 5", "/:", "12345678901"] {
        let refused = ask(&speech, "", code).await.unwrap_err();
        assert_eq!(refused, SpeechError::NotDigits, "{code:?}");
    }
}

#[tokio::test]
async fn a_program_hears_the_lines_and_never_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!("read line; echo \"$line\" >> {}; cat {}", log.display(), tone(&folder));
    let speech = speech_of(vec![command(&script)]);
    ask(&speech, "Acme", "4815162342").await.unwrap();
    let mut heard: Vec<String> =
        std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    heard.sort_unstable();
    let mut lines = lines();
    let intro = format!("{}Acme{}", lines.intro_before, lines.intro_after);
    let mut expected = lines.digits.map(|digit| format!("{digit},")).to_vec();
    expected.extend([intro, lines.intro_without_brand, lines.again, lines.press_one]);
    expected.extend([lines.press_any, std::mem::take(&mut lines.goodbye)]);
    expected.sort_unstable();
    assert_eq!(heard, expected);

    std::fs::remove_file(&log).unwrap();
    ask(&speech, "Acme", "99").await.unwrap();
    assert!(!log.exists(), "a program was started though all clips were there");
}

#[tokio::test]
async fn a_brand_that_takes_too_long_is_left_out_and_said_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        format!("read line; case $line in *Acme*) sleep 0.6;; esac; cat {}", tone(&folder));
    let bound = Duration::from_millis(100);
    let settings = SpeechSettings { brand_bound: bound, ..settings(vec![command(&script)]) };
    let speech = Speech::new(settings, [(LOCALE.to_owned(), lines())].into());
    ask(&speech, "", "1").await.unwrap();
    let without = speech.size_bytes();
    ask(&speech, "Acme", "1").await.unwrap();
    assert_eq!(speech.size_bytes(), without, "the call waited for the brand");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(speech.size_bytes() > without, "the brand was given up");
}

#[tokio::test]
async fn greetings_with_brands_keep_to_their_memory() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("cat >/dev/null; cat {}", tone(&folder));
    let clip_bytes = 2 * 8000;
    let settings = SpeechSettings {
        brand_cache_bytes_max: 3 * clip_bytes,
        ..settings(vec![command(&script)])
    };
    let speech = Speech::new(settings, [(LOCALE.to_owned(), lines())].into());
    ask(&speech, "", "1").await.unwrap();
    let voices = speech.size_bytes();
    for brand in ["A", "B", "C", "D", "E", "F"] {
        ask(&speech, brand, "1").await.unwrap();
    }
    let brands = speech.size_bytes() - voices;
    assert!((clip_bytes..=3 * clip_bytes).contains(&brands), "{brands} bytes");
}

#[tokio::test]
async fn no_more_programs_run_at_a_time_than_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let (lock, overlap) = (folder.path().join("lock"), folder.path().join("overlap"));
    let script = format!(
        "cat >/dev/null; mkdir {lock} 2>/dev/null || touch {overlap}; sleep 0.02; \
         rmdir {lock}; cat {tone}",
        lock = lock.display(),
        overlap = overlap.display(),
        tone = tone(&folder)
    );
    for (children_max, expected) in [(1, false), (4, true)] {
        let settings = SpeechSettings { children_max, ..settings(vec![command(&script)]) };
        let speech = Speech::new(settings, [(LOCALE.to_owned(), lines())].into());
        ask(&speech, "", "1").await.unwrap();
        assert_eq!(overlap.exists(), expected, "with {children_max} at a time");
    }
}

#[tokio::test]
async fn the_next_engine_speaks_where_one_cannot() {
    let studio = Recorded::all();
    let broken = Recorded::all();
    std::fs::remove_file(broken.path("7")).unwrap();
    let missing = Engine::Command {
        program: PathBuf::from("no-such-synthesiser"),
        arguments: Vec::new(),
        gender: None,
    };
    let engines =
        vec![missing, command("echo broken >&2; false"), broken.engine(), studio.engine()];
    let checks = speech_of(engines).check(None).await;
    let voice = checks[0].voice.clone().unwrap();
    assert_eq!(voice.engine, format!("recordings in {}", studio.folder.path().display()));
    let errors: Vec<_> = voice.passed_over.into_iter().map(|passed| passed.error).collect();
    let expected = [
        EngineError::NotInstalled("no-such-synthesiser".to_owned()),
        EngineError::Failed("broken".to_owned()),
        EngineError::NoRecording(broken.path("7")),
    ];
    assert_eq!(errors, expected);
}

#[tokio::test]
async fn a_machine_without_espeak_is_told_what_to_install() {
    let program = PathBuf::from("/no/such/folder/espeak-ng");
    let speech = speech_of(vec![Engine::Espeak { program, voice: None }]);
    let refused = ask(&speech, "", "1").await.unwrap_err();
    assert!(matches!(refused, SpeechError::NoVoice { .. }));
    let told = refused.to_string();
    assert!(told.contains("no voice for en-us") && told.contains("apt-get install espeak-ng"));
}

#[tokio::test]
async fn a_locale_nobody_worded_is_refused() {
    let speech = Recorded::all().speech();
    let refused = speech.prompt("eo", None, "", b"1", PromptOptions::default()).await;
    assert_eq!(refused.unwrap_err(), SpeechError::UnknownLocale("eo".to_owned()));
}

#[tokio::test]
async fn the_gender_asked_for_goes_before_the_order_of_engines() {
    let folder = tempfile::tempdir().unwrap();
    let engine = |name: &str, gender| {
        let script = format!("cat >/dev/null; cat {}", tone(&folder));
        let arguments = vec!["-c".to_owned(), script];
        let program = folder.path().join(name);
        std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
        Engine::Command { program, arguments, gender: Some(gender) }
    };
    let engines = vec![engine("he", Gender::Male), engine("she", Gender::Female)];
    let speech = speech_of(engines);
    for (asked, name) in [(None, "he"), (Some(Gender::Female), "she"), (Some(Gender::Male), "he")] {
        let voice = speech.check(asked).await[0].voice.clone().unwrap();
        assert!(voice.engine.ends_with(name), "{asked:?} became {}", voice.engine);
    }
}

#[tokio::test]
async fn espeak_speaks_to_no_one_in_a_locale_it_has_no_voice_for() {
    let speech = Speech::new(SpeechSettings::default(), [("eo".to_owned(), lines())].into());
    let refused = speech.warm("eo", None).await.unwrap_err();
    let SpeechError::NoVoice { passed_over, .. } = refused else { panic!("{refused}") };
    assert_eq!(passed_over[0].error, EngineError::NoSuchLocale);
}

/// A person's recordings: each a tone of its own length, so that clips can be told apart.
struct Recorded {
    folder: TempDir,
}

impl Recorded {
    fn all() -> Self {
        let recorded = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(recorded.folder.path().join(LOCALE)).unwrap();
        for name in &NAMES[..15] {
            write_tone(&recorded.path(name), duration_of(name));
        }
        recorded
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(LOCALE).join(format!("{name}.wav"))
    }

    fn engine(&self) -> Engine {
        Engine::Recordings { folder: self.folder.path().to_owned(), gender: None }
    }

    fn speech(&self) -> Speech {
        speech_of(vec![self.engine()])
    }

    async fn prompt(&self, code: &str, options: PromptOptions) -> Prompt {
        self.speech().prompt(LOCALE, None, "", code.as_bytes(), options).await.unwrap()
    }
}

/// Tells what items are: recordings by their length, pauses by theirs.
fn told(items: &[Item]) -> String {
    let name = |item: &Item| match item {
        Item::Silence(pause) => format!("{pause:?}"),
        Item::Clip(clip) => {
            let is_it = |name: &&&str| duration_of(name) == clip.duration();
            NAMES.iter().find(is_it).map_or("?", |name| name).to_owned()
        }
    };
    items.iter().map(name).collect::<Vec<_>>().join(" ")
}

fn settings(engines: Vec<Engine>) -> SpeechSettings {
    SpeechSettings { engines, ..SpeechSettings::default() }
}

fn speech_of(engines: Vec<Engine>) -> Speech {
    Speech::new(settings(engines), [(LOCALE.to_owned(), lines())].into())
}

async fn ask(speech: &Speech, brand: &str, code: &str) -> Result<Prompt, SpeechError> {
    speech.prompt(LOCALE, None, brand, code.as_bytes(), PromptOptions::default()).await
}

fn command(script: &str) -> Engine {
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    Engine::Command { program: PathBuf::from("sh"), arguments, gender: None }
}

fn lines() -> Lines {
    Lines {
        intro_before: "Hello from ".to_owned(),
        intro_after: ".".to_owned(),
        intro_without_brand: "Hello.".to_owned(),
        digits: std::array::from_fn(|digit| format!("number {digit}")),
        again: "Again.".to_owned(),
        press_one: "Press.".to_owned(),
        press_any: "Press any.".to_owned(),
        goodbye: "Goodbye.".to_owned(),
    }
}

/// Writes a second of sound, and returns its path as a shell takes it.
fn tone(folder: &TempDir) -> String {
    let path = folder.path().join("tone.wav");
    write_tone(&path, Duration::from_secs(1));
    path.display().to_string()
}

/// Writes a tone at the telephone's rate, as programs stream it: without sizes.
fn write_tone(path: &Path, duration: Duration) {
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(8000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data\0\0\0\0");
    for sample in 0..duration.as_millis() * 8 {
        wav.extend(if sample % 16 < 8 { 9000_i16 } else { -9000 }.to_le_bytes());
    }
    std::fs::write(path, wav).unwrap();
}

fn duration_of(name: &str) -> Duration {
    let place = NAMES.iter().position(|known| *known == name).unwrap();
    Duration::from_millis(u64::try_from(100 + 20 * place).unwrap())
}

const LOCALE: &str = "en-us";

/// The recordings of a locale, those for brands last.
const NAMES: [&str; 18] = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "intro",
    "again",
    "press-one",
    "press-any",
    "goodbye",
    "intro-before",
    "brand-acme-bank",
    "intro-after",
];
