//! What a person asks for with a message to one of our numbers, and what follows from it.

/// What a message asks for.
///
/// The words are those of the carriers' rules: STOP, STOP ALL, UNSUBSCRIBE, CANCEL, END, QUIT, HELP
/// and INFO (CTIA, Short Code Monitoring Handbook), REVOKE and OPT OUT (47 CFR 64.1200(a)(10)),
/// ARRET and AIDE (Canadian Common Short Code Guidelines), and START and UNSTOP, by which carriers
/// end a STOP. YES is none of them: people say it to much else, and an opt-in must be meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keyword {
    /// To get no more messages of the campaign.
    Stop,
    /// To be told who sends them.
    Help,
    /// To get them again.
    Start,
    /// Anything else.
    Other,
}

/// What follows from a message, beside that its account is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reaction {
    /// The sender is opted out of the campaign.
    OptOut,
    /// The sender is opted in again, if an opt-out is known.
    OptIn,
    /// The sender is answered with the campaign's own text.
    AnswerHelp,
    /// Nothing.
    Nothing,
}

impl Keyword {
    /// Reads what a text asks for, in any case and with any punctuation around it.
    ///
    /// A word that has no other use counts at the beginning of any text, so that "Stop it!" is
    /// heeded. One that begins ordinary sentences, as in "Cancel my order", counts only alone.
    pub fn of(text: &str) -> Self {
        let mut words = bare_words(text);
        let first = letters(words.next().unwrap_or_default());
        let second = letters(words.next().unwrap_or_default());
        Self::find(&ALONE, &letters(text))
            .or_else(|| Self::find(&FIRST, &first))
            .or_else(|| Self::find(&TWO_WORDS, &format!("{first}{second}")))
            .unwrap_or(Self::Other)
    }

    /// Returns what follows from a message to a campaign's number. Without a campaign nothing
    /// does, and START is refused unless the campaign allows it.
    pub const fn reaction(self, campaign: Option<InboundRules>) -> Reaction {
        match (self, campaign) {
            (Self::Stop, Some(_)) => Reaction::OptOut,
            (Self::Help, Some(_)) => Reaction::AnswerHelp,
            (Self::Start, Some(InboundRules { start_allowed: true })) => Reaction::OptIn,
            (Self::Start, Some(InboundRules { start_allowed: false }))
            | (Self::Other, _)
            | (Self::Stop | Self::Help | Self::Start, None) => Reaction::Nothing,
        }
    }

    /// Returns the keyword's name in figures and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Help => "help",
            Self::Start => "start",
            Self::Other => "other",
        }
    }

    fn find(words: &[(&str, Self)], word: &str) -> Option<Self> {
        words.iter().find(|(known, _)| *known == word).map(|(_, keyword)| *keyword)
    }
}

/// What a campaign lets its recipients do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InboundRules {
    /// Whether START opts in again.
    pub start_allowed: bool,
}

/// Returns the first word of a text in capitals, without the punctuation around it: the `keyword`
/// that the 2FA API's inbound webhooks tell. Where a text has no word, its first characters up to a
/// space are one; of an empty text it is empty.
pub fn first_word(text: &str) -> String {
    let first = bare_words(text).next().or_else(|| text.split_whitespace().next());
    first.unwrap_or_default().to_uppercase()
}

/// The words of a text that have anything in them but punctuation and invisible marks.
fn bare_words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

/// The letters and digits of a text in capitals, up to as many as the longest keyword could have.
fn letters(text: &str) -> String {
    let capitals = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase);
    capitals.take(KEYWORD_CHARS_MAX + 1).collect()
}

/// What counts at the beginning of any text.
const FIRST: [(&str, Keyword); 11] = [
    ("STOP", Keyword::Stop),
    ("STOPALL", Keyword::Stop),
    ("UNSUBSCRIBE", Keyword::Stop),
    ("OPTOUT", Keyword::Stop),
    ("ARRET", Keyword::Stop),
    ("ARRÊT", Keyword::Stop),
    ("HELP", Keyword::Help),
    ("AIDE", Keyword::Help),
    ("START", Keyword::Start),
    ("UNSTOP", Keyword::Start),
    ("OPTIN", Keyword::Start),
];

/// What counts at the beginning of any text, also as two words.
const TWO_WORDS: [(&str, Keyword); 2] = [("OPTOUT", Keyword::Stop), ("OPTIN", Keyword::Start)];

/// What counts only if nothing else is said.
const ALONE: [(&str, Keyword); 5] = [
    ("CANCEL", Keyword::Stop),
    ("END", Keyword::Stop),
    ("QUIT", Keyword::Stop),
    ("REVOKE", Keyword::Stop),
    ("INFO", Keyword::Help),
];

/// UNSUBSCRIBE has as many; a longer word is none of them.
const KEYWORD_CHARS_MAX: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_heeded_however_it_is_written() {
        for text in [
            "STOP",
            "stop",
            " Stop. ",
            "«Stop!»",
            "\u{feff}STOP\r\n",
            "Stop texting me",
            "STOP ALL",
            "stopall",
            "Opt-out",
            "opt out",
            "OPTOUT",
            "Opt out, please",
            "Unsubscribe me",
            "cancel",
            "End.",
            "QUIT!!",
            "revoke",
            "ARRET",
            "Arrêt svp",
        ] {
            assert_eq!(Keyword::of(text), Keyword::Stop, "{text:?}");
        }
    }

    #[test]
    fn help_and_start_are_known_by_their_words() {
        for text in ["HELP", "help?", "Aide", "info", "Help me please"] {
            assert_eq!(Keyword::of(text), Keyword::Help, "{text:?}");
        }
        for text in ["START", "unstop", "Start again", "opt-in", "Opt in!"] {
            assert_eq!(Keyword::of(text), Keyword::Start, "{text:?}");
        }
    }

    #[test]
    fn ordinary_sentences_ask_for_nothing() {
        for text in [
            "",
            " ",
            "…",
            "👍",
            "Cancel my order",
            "End of the road",
            "Quit smoking",
            "Info please",
            "YES",
            "Don't stop",
            "stopp",
            "nonstop",
            "4815",
            "停止",
            "Please help",
            "unsubscribed",
            "Opt",
        ] {
            assert_eq!(Keyword::of(text), Keyword::Other, "{text:?}");
        }
    }

    #[test]
    fn the_first_word_is_told_in_capitals_and_without_punctuation() {
        for (text, word) in [
            ("Hello world", "HELLO"),
            ("  'stop!' now", "STOP"),
            ("opt-out", "OPT-OUT"),
            ("straße 5", "STRASSE"),
            ("привет мир", "ПРИВЕТ"),
            ("— да", "ДА"),
            ("👍 yes", "YES"),
            ("👍 👍", "👍"),
            ("", ""),
            ("\u{202f}\t", ""),
        ] {
            assert_eq!(first_word(text), word, "{text:?}");
        }
    }

    #[test]
    fn only_a_campaign_reacts_and_start_only_where_it_is_allowed() {
        let rules = |start_allowed| Some(InboundRules { start_allowed });
        for allowed in [false, true] {
            assert_eq!(Keyword::Stop.reaction(rules(allowed)), Reaction::OptOut);
            assert_eq!(Keyword::Help.reaction(rules(allowed)), Reaction::AnswerHelp);
            assert_eq!(Keyword::Other.reaction(rules(allowed)), Reaction::Nothing);
        }
        assert_eq!(Keyword::Start.reaction(rules(true)), Reaction::OptIn);
        assert_eq!(Keyword::Start.reaction(rules(false)), Reaction::Nothing);
        for keyword in [Keyword::Stop, Keyword::Help, Keyword::Start, Keyword::Other] {
            assert_eq!(keyword.reaction(None), Reaction::Nothing);
        }
    }
}
