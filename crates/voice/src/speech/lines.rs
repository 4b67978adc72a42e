//! What a call says in one language, handed in by whoever knows the words.

/// The words of one locale. None of them holds a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The greeting before the brand, with the space that parts them.
    pub intro_before: String,
    /// The rest of the greeting after the brand, with the space that parts them.
    pub intro_after: String,
    /// The greeting where no brand can be said.
    pub intro_without_brand: String,
    /// The digits 0 to 9 as words.
    pub digits: [String; 10],
    /// What announces the second reading.
    pub again: String,
    /// What offers another reading to whoever presses 1.
    pub press_one: String,
    /// What asks for a key before the code is said.
    pub press_any: String,
    /// What ends the call.
    pub goodbye: String,
}

/// A part of a call that is spoken in one breath.
#[derive(Clone, Copy)]
pub(crate) enum Piece<'a> {
    Digit(usize),
    Again,
    PressOne,
    PressAny,
    Goodbye,
    Intro,
    IntroOf(&'a str),
}

impl Lines {
    /// Returns what a synthesiser is to read: one utterance, so that its melody is right.
    pub(crate) fn text(&self, piece: Piece<'_>) -> String {
        let text = match piece {
            // With the melody of a list: alone, "nine" falls so deep that it is taken for "I'm".
            Piece::Digit(digit) => {
                return printable(
                    &[self.digits.get(digit).map_or("", String::as_str), ","].concat(),
                );
            }
            Piece::Again => &self.again,
            Piece::PressOne => &self.press_one,
            Piece::PressAny => &self.press_any,
            Piece::Goodbye => &self.goodbye,
            Piece::Intro => &self.intro_without_brand,
            Piece::IntroOf(brand) => {
                return printable(&[&self.intro_before, brand, &self.intro_after].concat());
            }
        };
        printable(text)
    }
}

/// Makes one line of a text, because programs take a line for an utterance.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
