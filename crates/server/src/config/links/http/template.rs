//! Texts with slots in braces, which a link fills for each message.

/// A text with slots, such as `+{to}`. A brace of the text itself is written twice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Literal(String),
    Slot(Slot),
}

/// What a slot is filled with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Slot {
    /// `{to}`: the number's digits.
    To,
    /// `{to_e164}`: the number with its `+`.
    ToE164,
    /// `{from}`: whom it is from; nothing if nobody was chosen.
    From,
    /// `{from_e164}`: the same, an international number with its `+`.
    FromE164,
    /// `{text}`: what it says.
    Text,
    /// `{text_gsm}`: what it says if that fits GSM 03.38, else nothing.
    TextGsm,
    /// `{text_ucs2_hex}`: what it says as UTF-16BE in hexadecimal, unless it fits GSM 03.38.
    TextUcs2Hex,
    /// `{coding}`: `coding.gsm` or `coding.unicode`, as the text needs.
    Coding,
    /// `{dlr_url}`: where the link's reports are received.
    DlrUrl,
    /// `{id}`: our own name of the attempt, 32 hexadecimal digits.
    Id,
    /// `{user}`.
    User,
    /// `{password}`: the content of `password_file`.
    Password,
    /// `{validity_s}`: for how many seconds it is worth anything.
    ValiditySeconds,
    /// `{validity_min}`: the same in minutes, rounded down, but one at least.
    ValidityMinutes,
    /// `{validity_ms}`: the same in milliseconds.
    ValidityMillis,
    /// Any other name: the content of that one of `secret_files`.
    Secret(String),
}

impl Template {
    /// Reads a template; `secrets` are the names of the further slots that there are.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse<'a>(
        text: &str,
        secrets: impl Iterator<Item = &'a String> + Clone,
    ) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                literal.push_str(brace.get(..1).unwrap_or_default());
                rest = after;
                continue;
            }
            let slot = brace.strip_prefix('{').and_then(|slot| slot.split_once('}'));
            let (name, after) = slot.ok_or("has a brace alone; must be `{{` or `}}`")?;
            let slot = Slot::named(name, secrets.clone())
                .ok_or_else(|| format!("names `{{{name}}}`; must be one of {SLOTS}"))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Slot(slot));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// Fills the slots.
    pub fn render(&self, fill: impl Fn(&Slot) -> String) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Slot(slot) => fill(slot),
            })
            .collect()
    }

    /// Whether it has a slot.
    pub fn has(&self, wanted: &Slot) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Slot(slot) if slot == wanted))
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Slot {
    fn named<'a>(name: &str, mut secrets: impl Iterator<Item = &'a String>) -> Option<Self> {
        Some(match name {
            "to" => Self::To,
            "to_e164" => Self::ToE164,
            "from" => Self::From,
            "from_e164" => Self::FromE164,
            "text" => Self::Text,
            "text_gsm" => Self::TextGsm,
            "text_ucs2_hex" => Self::TextUcs2Hex,
            "coding" => Self::Coding,
            "dlr_url" => Self::DlrUrl,
            "id" => Self::Id,
            "user" => Self::User,
            "password" => Self::Password,
            "validity_s" => Self::ValiditySeconds,
            "validity_min" => Self::ValidityMinutes,
            "validity_ms" => Self::ValidityMillis,
            other => Self::Secret(secrets.find(|secret| *secret == other)?.clone()),
        })
    }
}

/// What an answer in plain text looks like, such as `{state}: {}`: the first slot ends where the text
/// after it begins, and what follows the last text is not looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(Vec<PatternPiece>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum PatternPiece {
    Literal(String),
    State,
    Id,
    Anything,
}

/// What a pattern found in a text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// What stood in the place of `{state}`.
    pub state: Option<String>,
    /// What stood in the place of `{id}`.
    pub id: Option<String>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(PATTERN)?;
            if before.is_empty() && !pieces.is_empty() {
                return Err(PATTERN.to_owned());
            }
            if !before.is_empty() {
                pieces.push(PatternPiece::Literal(before.to_owned()));
            }
            pieces.push(match name {
                "state" => PatternPiece::State,
                "id" => PatternPiece::Id,
                "" => PatternPiece::Anything,
                _ => return Err(PATTERN.to_owned()),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(PatternPiece::Literal(rest.to_owned()));
        }
        if pieces.is_empty() { Err(PATTERN.to_owned()) } else { Ok(Self(pieces)) }
    }

    /// Looks at a text; `None` if it does not look like this.
    pub fn find(&self, text: &str) -> Option<Found> {
        let mut found = Found::default();
        let mut rest = text.trim();
        let mut pieces = self.0.iter().peekable();
        while let Some(piece) = pieces.next() {
            if let PatternPiece::Literal(literal) = piece {
                rest = rest.strip_prefix(literal.as_str())?;
                continue;
            }
            let (value, after) = match pieces.peek() {
                Some(PatternPiece::Literal(literal)) => rest.split_at(rest.find(literal.as_str())?),
                Some(_) | None => (rest, ""),
            };
            match piece {
                PatternPiece::State => found.state = Some(value.trim().to_owned()),
                PatternPiece::Id => found.id = Some(value.trim().to_owned()),
                PatternPiece::Literal(_) | PatternPiece::Anything => {}
            }
            rest = after;
        }
        Some(found)
    }
}

const SLOTS: &str = "`to`, `to_e164`, `from`, `from_e164`, `text`, `text_gsm`, `text_ucs2_hex`, \
    `coding`, `dlr_url`, `id`, `user`, `password`, `validity_s`, `validity_min`, `validity_ms` and \
    the names in `secret_files`";

const PATTERN: &str =
    "must be a text with `{state}`, `{id}` and `{}` in it, with some text between any two of them";

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> String {
        let secrets = ["token".to_owned()];
        Template::parse(template, secrets.iter()).unwrap().render(|slot| format!("<{slot:?}>"))
    }

    #[test]
    fn slots_are_filled_and_doubled_braces_are_braces() {
        assert_eq!(render("+{to} is {{to}}"), "+<To> is {to}");
        assert_eq!(render("{token}"), "<Secret(\"token\")>");
        assert_eq!(render(""), "");
    }

    #[test]
    fn a_slot_that_there_is_not_and_a_brace_alone_are_refused() {
        for wrong in ["{nobody}", "{", "}", "{to", "a } b"] {
            assert!(Template::parse(wrong, [].iter()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_finds_the_state_and_the_id() {
        let find = |pattern: &str, text: &str| {
            let found = Pattern::parse(pattern).unwrap().find(text)?;
            Some((found.state.unwrap_or_default(), found.id.unwrap_or_default()))
        };
        let is = |state: &str, id: &str| Some((state.to_owned(), id.to_owned()));
        assert_eq!(find("{state}: {}", "0: Accepted for delivery"), is("0", ""));
        assert_eq!(find("{state}: {}", "Authorization failed for sendsms"), None);
        assert_eq!(find("Success \"{id}\"", "Success \"0703-aa\"\n"), is("", "0703-aa"));
        assert_eq!(find("Success \"{id}\"", "Error \"No route found\""), None);
        assert_eq!(find("{state} {id}", "OK 17 and more"), is("OK", "17 and more"));
        assert_eq!(find("OK", "OK, thanks"), is("", ""));
    }

    #[test]
    fn a_pattern_whose_slots_touch_is_refused() {
        for wrong in ["{state}{id}", "", "{who}", "{state"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
