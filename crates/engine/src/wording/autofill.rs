//! The last line that lets a browser or an Android app fill in the code by itself.

use std::error::Error;
use std::fmt;

use super::phrases::{BRAND_CHARS_MAX, CODE_DIGITS_MAX};
use super::secret_text::SecretText;
use super::template::{BRAND, PIN, PIN_EXPIRY, Template};

/// Bytes a message may have for Android's SMS Retriever to look at it, as its guide states.
pub const ANDROID_BYTES_MAX: usize = 140;

/// Bytes in a domain name (RFC 1035, section 2.3.4, written without the final dot).
pub const HOST_BYTES_MAX: usize = 253;

/// A line appended to the rendered text, after which nothing may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendedLine {
    /// `@host #code`, which binds the code to a website (WICG, origin-bound one-time codes).
    WebOtp {
        /// The site that may receive the code.
        host: Host,
    },
    /// The hash by which Android hands the message to the app that asked for it.
    AndroidHash(AppHash),
}

impl AppendedLine {
    /// Appends the line to a rendered message; `code` is the one the message carries. `None` if no
    /// phone would find the line in so long a message.
    pub fn append_to(&self, text: &SecretText, code: &str) -> Option<SecretText> {
        let whole = self.behind(text, code);
        let fits = match self {
            Self::WebOtp { .. } => true,
            Self::AndroidHash(_) => whole.reveal().len() <= ANDROID_BYTES_MAX,
        };
        fits.then_some(whole)
    }

    fn behind(&self, text: &SecretText, code: &str) -> SecretText {
        match self {
            Self::WebOtp { host } => {
                SecretText::concat(&[text.reveal(), "\n@", host.as_str(), " #", code])
            }
            Self::AndroidHash(hash) => SecretText::concat(&[text.reveal(), "\n", hash.as_str()]),
        }
    }
}

/// The domain name of a website, in lower case, without scheme, port or path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// Parses a domain name of at least two labels, at most [`HOST_BYTES_MAX`] bytes.
    ///
    /// An internationalised name is given in its `xn--` form. An IPv4 address is refused.
    pub fn parse(text: &str) -> Result<Self, LintError> {
        let labels = || text.split('.');
        let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let ends_in_name = labels().next_back().is_some_and(|last| !numeric(last));
        let legal = text.len() <= HOST_BYTES_MAX
            && labels().count() >= 2
            && labels().all(is_label)
            && ends_in_name;
        if legal { Ok(Self(text.to_owned())) } else { Err(LintError::IllegalHost) }
    }

    /// Returns the name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The 11 characters by which Android knows an app: the start of a base64 hash of its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppHash(String);

impl AppHash {
    /// Parses exactly 11 of `A-Z a-z 0-9 + /`.
    pub fn parse(text: &str) -> Result<Self, LintError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        if text.len() == APP_HASH_BYTES && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(LintError::IllegalHash)
        }
    }

    /// Returns the 11 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks, when a template is saved, that phones will recognise what is appended to it.
///
/// Both kinds of line want to be the last one, so a message has at most one.
/// Sizes assume an ASCII brand of [`BRAND_CHARS_MAX`] characters and a code of
/// [`CODE_DIGITS_MAX`] digits; a brand in another script takes more bytes than are counted here,
/// which [`AppendedLine::append_to`] finds out.
pub fn lint(template: &Template, lines: &[AppendedLine]) -> Result<(), LintError> {
    let (line, others) = match lines {
        [] => return lint_text(template),
        [line, others @ ..] => (line, others),
    };
    if !others.is_empty() {
        return Err(LintError::TwoLastLines);
    }
    lint_text(template)?;
    if !template.has_pin() {
        return Err(LintError::MissingPin);
    }
    match line {
        AppendedLine::WebOtp { .. } => Ok(()),
        AppendedLine::AndroidHash(_) => lint_size(template, line),
    }
}

/// Refuses a hand-written `@host #code`, which nobody would check for its exact form.
fn lint_text(template: &Template) -> Result<(), LintError> {
    let text = template.to_string();
    let last = text.trim_end().lines().next_back().unwrap_or_default();
    let looks_bound = last.trim_start().starts_with('@') && last.contains('#');
    if looks_bound { Err(LintError::WebOtpInText) } else { Ok(()) }
}

/// Measures the longest message the template can become with `line` behind it.
fn lint_size(template: &Template, line: &AppendedLine) -> Result<(), LintError> {
    let brand = "B".repeat(BRAND_CHARS_MAX);
    let code = "0".repeat(CODE_DIGITS_MAX);
    let longest = |name: &str| match name {
        BRAND => Some(brand.as_str()),
        PIN => Some(code.as_str()),
        PIN_EXPIRY => Some(LONGEST_EXPIRY_MINUTES),
        _ => None,
    };
    let unknown = template.placeholders().find(|name| longest(name).is_none());
    let Ok(text) = template.render(longest) else {
        return Err(LintError::UnknownLength(unknown.unwrap_or_default().to_owned()));
    };
    let bytes = line.behind(&text, &code).reveal().len();
    if bytes > ANDROID_BYTES_MAX { Err(LintError::TooLong { bytes }) } else { Ok(()) }
}

/// Tells a label of a domain name (RFC 1123, section 2.1), in lower case.
fn is_label(label: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(legal)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Android's app signature guide: the first 11 characters of the hash in base64.
const APP_HASH_BYTES: usize = 11;

/// A code lives at most 60 minutes, the longest lifetime Vonage's Verify v1 takes.
const LONGEST_EXPIRY_MINUTES: &str = "60";

/// Why phones would not recognise the appended line; `Display` says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LintError {
    /// The host is not a plain domain name.
    IllegalHost,
    /// The hash is not 11 base64 characters.
    IllegalHash,
    /// More than one line is to be the last.
    TwoLastLines,
    /// The text itself ends in what looks like a WebOTP line.
    WebOtpInText,
    /// The text does not carry the code the line is about.
    MissingPin,
    /// The text has a placeholder whose length nobody knows before sending.
    UnknownLength(String),
    /// The longest message is over [`ANDROID_BYTES_MAX`].
    TooLong {
        /// Its length with the longest brand and code, in bytes of UTF-8.
        bytes: usize,
    },
}

impl fmt::Display for LintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IllegalHost => f.write_str(
                "host is not a domain name: write it in lower case without scheme, port or path, \
                 such as login.example.com",
            ),
            Self::IllegalHash => f.write_str(
                "app hash is not 11 letters, digits, + or /: copy it from the app's signature",
            ),
            Self::TwoLastLines => f.write_str(
                "the WebOTP line and the Android hash must both be last: keep one and save the \
                 other in a template of its own",
            ),
            Self::WebOtpInText => f.write_str(
                "text ends in a WebOTP line of its own: remove it and set the host instead",
            ),
            Self::MissingPin => f.write_str("text does not name the code: add ${pin}"),
            Self::UnknownLength(name) => write!(
                f,
                "placeholder {name} can be of any length, and Android reads {ANDROID_BYTES_MAX} \
                 bytes: remove it or the app hash"
            ),
            Self::TooLong { bytes } => write!(
                f,
                "message can be {bytes} bytes long, and Android reads {ANDROID_BYTES_MAX}: \
                 shorten the text"
            ),
        }
    }
}

impl Error for LintError {}

#[cfg(test)]
mod tests {
    use super::super::locale::Locale;
    use super::*;

    fn web_otp() -> AppendedLine {
        AppendedLine::WebOtp { host: Host::parse("login.example.com").unwrap() }
    }

    fn android() -> AppendedLine {
        AppendedLine::AndroidHash(AppHash::parse("FA+9qCX9VSu").unwrap())
    }

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    #[test]
    fn a_browser_finds_host_and_code_on_the_last_line() {
        let text = template("Your PIN is ${pin}").render(|_| Some("4815")).unwrap();
        let sent = web_otp().append_to(&text, "4815").unwrap();
        assert_eq!(sent.reveal(), "Your PIN is 4815\n@login.example.com #4815");
    }

    #[test]
    fn an_android_app_finds_its_hash_at_the_end() {
        let text = template("Your PIN is ${pin}").render(|_| Some("4815")).unwrap();
        let sent = android().append_to(&text, "4815").unwrap();
        assert_eq!(sent.reveal(), "Your PIN is 4815\nFA+9qCX9VSu");
    }

    #[test]
    fn a_hash_that_a_long_message_pushes_out_of_sight_is_not_appended() {
        // 64 letters of two bytes are 128, and a line feed and the hash are 12.
        let text = |letters: usize| template(&"Щ".repeat(letters)).render(|_| None).unwrap();
        assert_eq!(android().append_to(&text(64), "4815").unwrap().reveal().len(), 140);
        assert!(android().append_to(&text(65), "4815").is_none());
        assert!(web_otp().append_to(&text(65), "4815").is_some(), "browsers set no limit");
    }

    #[test]
    fn every_built_in_text_leaves_room_for_either_line() {
        for locale in Locale::ALL {
            assert_eq!(lint(&Template::built_in(locale), &[android()]), Ok(()), "{locale}");
            assert_eq!(lint(&Template::built_in(locale), &[web_otp()]), Ok(()), "{locale}");
        }
    }

    #[test]
    fn two_lines_cannot_both_be_last() {
        let both = lint(&template("${pin}"), &[web_otp(), android()]);
        assert_eq!(both, Err(LintError::TwoLastLines));
    }

    #[test]
    fn a_text_that_pushes_the_hash_past_140_bytes_is_refused() {
        // 118 + 10 digits of code + a line feed + 11 of hash are exactly 140 bytes.
        let fits = format!("{}${{pin}}", "a".repeat(118));
        assert_eq!(lint(&template(&fits), &[android()]), Ok(()));
        let accented = format!("é{}${{pin}}", "a".repeat(117));
        assert_eq!(
            lint(&template(&accented), &[android()]),
            Err(LintError::TooLong { bytes: 141 })
        );
        assert_eq!(lint(&template(&accented), &[web_otp()]), Ok(()));
    }

    #[test]
    fn a_text_of_unknown_length_cannot_carry_a_hash() {
        let text = template("${pin} for ${server}, valid ${pin_expiry} minutes");
        let refused = LintError::UnknownLength("server".to_owned());
        assert_eq!(lint(&text, &[android()]), Err(refused));
        assert_eq!(lint(&text, &[web_otp()]), Ok(()));
    }

    #[test]
    fn a_line_about_a_code_needs_a_text_with_the_code() {
        assert_eq!(lint(&template("Hello"), &[web_otp()]), Err(LintError::MissingPin));
        assert_eq!(lint(&template("Hello"), &[]), Ok(()));
    }

    #[test]
    fn a_hand_written_line_is_sent_back_to_be_set_as_a_host() {
        for text in ["${pin}\n@example.com  #${pin}", "${pin}\n @example.com:443 #${pin}\n"] {
            assert_eq!(lint(&template(text), &[]), Err(LintError::WebOtpInText), "{text:?}");
        }
        assert_eq!(lint(&template("@acme: ${pin}"), &[]), Ok(()));
    }

    #[test]
    fn a_host_is_a_bare_domain_name() {
        let name_of_253 = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        for host in ["example.com", "a-1.example.co.uk", "xn--bcher-kva.example", &name_of_253] {
            assert_eq!(Host::parse(host).unwrap().as_str(), host);
        }
        for host in [
            "",
            "localhost",
            "https://example.com",
            "example.com:443",
            "example.com/login",
            "Example.com",
            "bücher.example",
            "example.com.",
            ".example.com",
            "exa mple.com",
            "-a.example",
            "a-.example",
            "192.0.2.1",
            &format!("{}.com", "a".repeat(64)),
            &format!("{name_of_253}b"),
        ] {
            assert_eq!(Host::parse(host), Err(LintError::IllegalHost), "{host:?}");
        }
    }

    #[test]
    fn an_app_hash_is_eleven_base64_characters() {
        AppHash::parse("abcXYZ019+/").unwrap();
        for hash in ["", "FA+9qCX9VS", "FA+9qCX9VSuX", "FA-9qCX9VSu", "FA+9qCX9VS="] {
            assert_eq!(AppHash::parse(hash), Err(LintError::IllegalHash), "{hash:?}");
        }
    }
}
