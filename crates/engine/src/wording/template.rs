//! A message text with named places, checked when it is saved and filled in when it is sent.

use std::error::Error;
use std::fmt;

use super::locale::Locale;
use super::phrases::Phrases;
use super::secret_text::SecretText;

/// The placeholder name the code is filled in for.
pub const PIN: &str = "pin";

/// The placeholder name the brand is filled in for.
pub const BRAND: &str = "brand";

/// The placeholder name the code's lifetime, in whole minutes, is filled in for.
pub const PIN_EXPIRY: &str = "pin_expiry";

/// Characters in a template's text; a choice, ten segments of plain text rounded up.
pub const TEXT_CHARS_MAX: usize = 1600;

/// Placeholders in one template, repetitions counted; a choice.
pub const PLACEHOLDERS_MAX: usize = 20;

/// Characters in a placeholder's name; a choice.
pub const NAME_CHARS_MAX: usize = 32;

/// Characters in the value filled in for one placeholder; a choice.
pub const VALUE_CHARS_MAX: usize = 256;

/// A parsed message text in which `${name}` stands for a value.
///
/// A `$` that no `{` follows is an ordinary character.
/// `Display` renders the text as it was written, placeholders and all; it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Placeholder(String),
}

impl Template {
    /// Parses a text of 1 to [`TEXT_CHARS_MAX`] characters.
    ///
    /// Names are 1 to [`NAME_CHARS_MAX`] of `A-Z a-z 0-9 _ -`. A CR LF is read as LF, as browsers
    /// send it so from a form; other control characters than LF are refused.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let text = text.replace("\r\n", "\n");
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err(TemplateError::TextTooLong);
        }
        if text.chars().any(is_forbidden) {
            return Err(TemplateError::ControlCharacter);
        }
        let template = Self { pieces: parse_pieces(&text)? };
        if template.placeholders().count() > PLACEHOLDERS_MAX {
            return Err(TemplateError::TooManyPlaceholders);
        }
        Ok(template)
    }

    /// Parses a text that is to carry a code, and therefore must name `${pin}` at least once.
    pub fn parse_for_code(text: &str) -> Result<Self, TemplateError> {
        let template = Self::parse(text)?;
        if template.has_pin() { Ok(template) } else { Err(TemplateError::MissingPin) }
    }

    /// Returns the product's own SMS text, which names `${brand}` and then `${pin}`, once each.
    pub fn built_in(locale: Locale) -> Self {
        let [before, between, after] = Phrases::of(locale).sms;
        let mut pieces = Vec::new();
        push_literal(&mut pieces, before);
        pieces.push(Piece::Placeholder(BRAND.to_owned()));
        push_literal(&mut pieces, between);
        pieces.push(Piece::Placeholder(PIN.to_owned()));
        push_literal(&mut pieces, after);
        Self { pieces }
    }

    /// Lists the placeholders' names in order, repetitions included.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Placeholder(name) => Some(name.as_str()),
        })
    }

    /// Returns whether the code is named anywhere in the text.
    pub fn has_pin(&self) -> bool {
        self.placeholders().any(|name| name == PIN)
    }

    /// Renders the text with what `value` gives for each name.
    ///
    /// A value is inserted as it is: a `${name}` inside it stays as it stands.
    /// Values have at most [`VALUE_CHARS_MAX`] characters and no control character but LF.
    pub fn render<'v>(
        &'v self,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<SecretText, RenderError> {
        let mut parts = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            parts.push(match piece {
                Piece::Literal(literal) => literal,
                Piece::Placeholder(name) => {
                    let value = value(name);
                    let value = value.ok_or_else(|| RenderError::MissingParameter(name.clone()))?;
                    check_value(name, value)?;
                    value
                }
            });
        }
        Ok(SecretText::concat(&parts))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Literal(literal) => f.write_str(literal),
            Piece::Placeholder(name) => write!(f, "${{{name}}}"),
        })
    }
}

/// Proves that `value` may stand in a message for the placeholder `name`.
pub(super) fn check_value(name: &str, value: &str) -> Result<(), RenderError> {
    if value.chars().count() > VALUE_CHARS_MAX {
        return Err(RenderError::ValueTooLong(name.to_owned()));
    }
    if value.chars().any(is_forbidden) {
        return Err(RenderError::ControlCharacter(name.to_owned()));
    }
    Ok(())
}

fn parse_pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, opened)) = rest.split_once("${") {
        let (name, after) = opened.split_once('}').ok_or(TemplateError::Unterminated)?;
        if !is_name(name) {
            return Err(TemplateError::IllegalName(name.to_owned()));
        }
        push_literal(&mut pieces, literal);
        pieces.push(Piece::Placeholder(name.to_owned()));
        rest = after;
    }
    push_literal(&mut pieces, rest);
    Ok(pieces)
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &str) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.to_owned()));
    }
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(legal)
}

fn is_forbidden(character: char) -> bool {
    character.is_control() && character != '\n'
}

/// Why a text is not a template; `Display` says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// The text has no characters.
    Empty,
    /// The text has more than [`TEXT_CHARS_MAX`] characters.
    TextTooLong,
    /// The text has a control character other than a line feed.
    ControlCharacter,
    /// A `${` has no `}` after it.
    Unterminated,
    /// The name between `${` and `}` is empty, too long, or has other characters.
    IllegalName(String),
    /// The text has more than [`PLACEHOLDERS_MAX`] placeholders.
    TooManyPlaceholders,
    /// The text is to carry a code but does not name it.
    MissingPin,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("text is empty: write a message"),
            Self::TextTooLong => write!(f, "text is over {TEXT_CHARS_MAX} characters: shorten it"),
            Self::ControlCharacter => {
                f.write_str("text has a control character: keep only printable ones and line feeds")
            }
            Self::Unterminated => f.write_str("placeholder is not closed: write } after its name"),
            Self::IllegalName(name) => write!(
                f,
                "placeholder name {name:?} is not 1 to {NAME_CHARS_MAX} letters, digits, _ or -: \
                 rename it"
            ),
            Self::TooManyPlaceholders => {
                write!(f, "text has over {PLACEHOLDERS_MAX} placeholders: remove some")
            }
            Self::MissingPin => f.write_str("text does not name the code: add ${pin}"),
        }
    }
}

impl Error for TemplateError {}

/// Why a message was not composed; it names the placeholder and never shows a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderError {
    /// There is no value for this name.
    MissingParameter(String),
    /// The value for this name has more than [`VALUE_CHARS_MAX`] characters.
    ValueTooLong(String),
    /// The value for this name has a control character other than a line feed.
    ControlCharacter(String),
    /// The code to be spoken is not 1 to [`CODE_DIGITS_MAX`](super::CODE_DIGITS_MAX) digits.
    UnspeakableCode,
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingParameter(name) => {
                write!(f, "parameter {name} is missing: send a value for it")
            }
            Self::ValueTooLong(name) => {
                write!(f, "parameter {name} is over {VALUE_CHARS_MAX} characters: shorten it")
            }
            Self::ControlCharacter(name) => {
                write!(f, "parameter {name} has a control character: remove it")
            }
            Self::UnspeakableCode => write!(
                f,
                "code cannot be spoken: use 1 to {} digits from 0 to 9",
                super::CODE_DIGITS_MAX
            ),
        }
    }
}

impl Error for RenderError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled<'v>(
        template: &'v Template,
        values: &[(&str, &'v str)],
    ) -> Result<String, RenderError> {
        let value = |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, v)| *v);
        template.render(value).map(|text| text.reveal().to_owned())
    }

    #[test]
    fn an_account_fills_its_own_placeholders() {
        let template =
            Template::parse("Your ${server} is down, for more details check ${link}").unwrap();
        let text = filled(&template, &[("server", "host3"), ("link", "http://x.example")]);
        assert_eq!(text.unwrap(), "Your host3 is down, for more details check http://x.example");
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["server", "link"]);
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_is_not_expanded() {
        let template = Template::parse_for_code("${brand}: ${pin}").unwrap();
        let text = filled(&template, &[("brand", "${pin}"), ("pin", "4815")]);
        assert_eq!(text.unwrap(), "${pin}: 4815");
    }

    #[test]
    fn a_dollar_sign_alone_is_a_dollar_sign() {
        for text in ["$", "$5 {pin}", "a$$ b", "}", "{}", "$ {pin}"] {
            let template = Template::parse(text).unwrap();
            assert_eq!(filled(&template, &[]).unwrap(), text);
        }
        let template = Template::parse("$${pin}}").unwrap();
        assert_eq!(filled(&template, &[("pin", "4815")]).unwrap(), "$4815}");
    }

    #[test]
    fn a_broken_text_is_refused_with_what_to_change() {
        let illegal = |name: &str| TemplateError::IllegalName(name.to_owned());
        let long_name = "n".repeat(33);
        for (text, error) in [
            ("", TemplateError::Empty),
            ("PIN ${pin", TemplateError::Unterminated),
            ("PIN ${", TemplateError::Unterminated),
            ("${}", illegal("")),
            ("${ pin}", illegal(" pin")),
            ("${pin${pin}", illegal("pin${pin")),
            ("${naïve}", illegal("naïve")),
            (&format!("${{{long_name}}}"), illegal(&long_name)),
            ("bell \u{7}", TemplateError::ControlCharacter),
            (&"a".repeat(1601), TemplateError::TextTooLong),
            (&"${a}".repeat(21), TemplateError::TooManyPlaceholders),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(
            illegal(" pin").to_string(),
            r#"placeholder name " pin" is not 1 to 32 letters, digits, _ or -: rename it"#
        );
    }

    #[test]
    fn a_text_at_every_limit_is_accepted() {
        Template::parse(&"é".repeat(1600)).unwrap();
        Template::parse(&"${a}".repeat(20)).unwrap();
        Template::parse(&format!("${{{}}}", "n".repeat(32))).unwrap();
    }

    #[test]
    fn a_text_for_codes_must_name_the_code() {
        assert_eq!(Template::parse_for_code("Hello ${brand}"), Err(TemplateError::MissingPin));
        Template::parse_for_code("${pin}, again ${pin}").unwrap();
    }

    #[test]
    fn a_text_pasted_into_a_form_keeps_its_lines() {
        let template = Template::parse("one\r\ntwo ${pin}").unwrap();
        assert_eq!(template.to_string(), "one\ntwo ${pin}");
    }

    #[test]
    fn a_value_is_refused_by_name_and_never_shown() {
        let template = Template::parse("${brand} ${pin}").unwrap();
        let long = "b".repeat(257);
        for (brand, error) in [
            ("Ac\u{0}me", RenderError::ControlCharacter("brand".to_owned())),
            ("Ac\rme", RenderError::ControlCharacter("brand".to_owned())),
            (&long, RenderError::ValueTooLong("brand".to_owned())),
        ] {
            let refused = filled(&template, &[("brand", brand), ("pin", "4815")]).unwrap_err();
            assert_eq!(refused, error);
            assert!(!refused.to_string().contains(brand), "{refused}");
        }
        let missing = filled(&template, &[("brand", "Ac\nme")]).unwrap_err();
        assert_eq!(missing.to_string(), "parameter pin is missing: send a value for it");
    }

    #[test]
    fn a_built_in_text_is_a_template_an_account_could_have_written() {
        assert_eq!(Template::built_in(Locale::EnGb).to_string(), "Your ${brand} PIN is ${pin}");
        assert_eq!(Template::built_in(Locale::JaJp).to_string(), "${brand}のPINコードは${pin}です");
        for locale in Locale::ALL {
            let template = Template::built_in(locale);
            assert_eq!(Template::parse_for_code(&template.to_string()), Ok(template), "{locale}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_what_it_accepts_reads_back_the_same(
            text in prop_oneof![any::<String>(), r"([$]|[{]|[}]|a|é|\r|\n|[$][{]a[}]){0,60}"],
        ) {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.to_string(), text.replace("\r\n", "\n"));
                prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
            }
        }

        #[test]
        fn no_placeholder_of_the_template_is_left_in_the_rendered_text(
            words in prop::collection::vec("[a-z {}]{0,8}", 1..20),
            names in prop::collection::vec("[A-Za-z0-9_-]{1,32}", 20),
            value in "[^$\\pC]{0,40}",
        ) {
            let placeholder = |name: &String| format!("${{{name}}}");
            let text: String =
                words.iter().zip(&names).map(|(w, n)| w.clone() + &placeholder(n)).collect();
            let rendered = Template::parse(&text).unwrap().render(|_| Some(&value)).unwrap();
            let expected: String = words.iter().map(|word| word.clone() + &value).collect();
            prop_assert_eq!(rendered.reveal(), expected);
            let left_over = rendered.reveal().contains("${");
            prop_assert!(!left_over);
        }
    }
}
