//! Blots out phone numbers and codes in whatever is about to be logged.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};

/// Replaces the digits of every run of four or more with `•`.
///
/// A run may be broken by spaces, dashes, dots, commas, slashes, parentheses, plus signs and
/// invisible characters, and its digits may be of any script, percent-encoded (once or more) or
/// written as a `\u` escape. Years and long counts go too: a log line loses little by that.
pub fn scrub(text: &str) -> Cow<'_, str> {
    // Every encoding of a digit has a digit in it, so most text is passed without a copy.
    if text.chars().filter(|c| c.is_numeric()).nth(RUN_DIGITS_MIN - 1).is_none() {
        return Cow::Borrowed(text);
    }
    // What is encoded may also be meant as it stands: the digits of `%30` can begin a run.
    match blot(text, find_runs(text, next_atom)) {
        Cow::Borrowed(text) => blot(text, find_runs(text, next_character)),
        Cow::Owned(text) => match blot(&text, find_runs(&text, next_character)) {
            Cow::Borrowed(_) => Cow::Owned(text),
            Cow::Owned(clean) => Cow::Owned(clean),
        },
    }
}

fn blot(text: &str, blots: Vec<Range<usize>>) -> Cow<'_, str> {
    if blots.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut copied = 0;
    for blot in blots {
        clean.push_str(text.get(copied..blot.start).unwrap_or_default());
        clean.push('•');
        copied = blot.end;
    }
    clean.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(clean)
}

/// Scrubs a text value unless its field is known to carry this form of identifier or address.
///
/// The form is checked, because a name proves nothing: a phone number that a client sent as a
/// request id is scrubbed like any other.
pub(super) fn scrub_field<'a>(field: &str, value: &'a str) -> Cow<'a, str> {
    let known = match form_of(field) {
        Some(Form::Id) => is_id(value),
        Some(Form::Listener) => value.parse::<SocketAddr>().is_ok(),
        // A count comes as a number. As text it may be a code.
        Some(Form::Count) | None => false,
    };
    if known { Cow::Borrowed(value) } else { scrub(value) }
}

/// Whether an integer may be logged as it is: any up to three digits, and counts up to six.
pub(super) fn is_plain_integer(field: &str, magnitude: u128) -> bool {
    let limit = match form_of(field) {
        Some(Form::Count) => COUNT_MAX,
        Some(Form::Id | Form::Listener) | None => PLAIN_MAX,
    };
    magnitude <= limit
}

/// What an allowed field may carry unscrubbed.
enum Form {
    /// A UUID, with or without dashes, or 8 to 16 upper-case hexadecimal digits.
    Id,
    /// An integer of at most six digits.
    Count,
    /// An IP address and port of our own.
    Listener,
}

fn form_of(field: &str) -> Option<Form> {
    match field {
        "verification.id" | "message.id" | "request.id" | "account.id" | "attempt.id"
        | "webhook.id" | "key.id" => Some(Form::Id),
        "duration_ms" | "status" | "count" | "attempt.step" | "attempt.count" | "batch.count"
        | "queue.count" | "wait_ms" | "bytes" | "line" => Some(Form::Count),
        "listen" => Some(Form::Listener),
        _ => None,
    }
}

/// At least one letter is asked for: twelve digits are upper-case hexadecimal, too.
fn is_id(value: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let lettered = value.bytes().any(|b| b.is_ascii_alphabetic());
    let upper = !value.bytes().any(|b| b.is_ascii_lowercase());
    lettered
        && match value.len() {
            8..=16 => upper && hex(value),
            32 => hex(value),
            36 => {
                let groups: Vec<&str> = value.split('-').collect();
                groups.iter().map(|group| group.len()).eq(UUID_GROUPS)
                    && groups.iter().all(|group| hex(group))
            }
            _ => false,
        }
}

/// The byte ranges of all digits that belong to a run, in a text that is read in such pieces.
fn find_runs(text: &str, next: fn(&str) -> Option<(Class, usize)>) -> Vec<Range<usize>> {
    let (mut found, mut run): (Vec<Range<usize>>, Vec<Range<usize>>) = (Vec::new(), Vec::new());
    let (mut position, mut gap) = (0, 0);
    while let Some((class, length)) = text.get(position..).and_then(next) {
        match class {
            Class::Digit => {
                run.push(position..position + length);
                gap = 0;
            }
            Class::Separator if gap < GAP_SEPARATORS_MAX => gap += 1,
            Class::Invisible => {}
            Class::Separator | Class::Other => {
                if run.len() >= RUN_DIGITS_MIN {
                    found.append(&mut run);
                }
                run.clear();
            }
        }
        position += length;
    }
    if run.len() >= RUN_DIGITS_MIN {
        found.append(&mut run);
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Digit,
    Separator,
    Invisible,
    Other,
}

/// The text's first character as it stands, and how many bytes it takes.
fn next_character(rest: &str) -> Option<(Class, usize)> {
    let first = rest.chars().next()?;
    Some((classify(first), first.len_utf8()))
}

/// What the text starts with, decoded, and how many bytes that takes.
fn next_atom(rest: &str) -> Option<(Class, usize)> {
    let first = rest.chars().next()?;
    let encoded = match first {
        '%' => decode_percent(rest),
        '\\' => decode_escape(rest),
        _ => None,
    };
    match encoded.map(|(c, length)| (classify(c), length)) {
        // A percent sign or backslash that hides nothing is one character like any other.
        None | Some((Class::Other, _)) => Some((classify(first), first.len_utf8())),
        Some(atom) => Some(atom),
    }
}

fn classify(c: char) -> Class {
    match c {
        // Not only decimal digits: a superscript or a circled digit is still a digit.
        _ if c.is_numeric() => Class::Digit,
        _ if c.is_whitespace() || SEPARATORS.contains(&c) => Class::Separator,
        _ if INVISIBLES.iter().any(|range| range.contains(&c)) => Class::Invisible,
        _ => Class::Other,
    }
}

/// One character written as `%XX` for each of its bytes, also with the percent sign encoded again.
fn decode_percent(rest: &str) -> Option<(char, usize)> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    while bytes.len() < UTF8_BYTES_MAX {
        let mut hex = rest.get(length..)?.strip_prefix('%')?;
        while let Some(inner) = hex.strip_prefix("25") {
            hex = inner;
        }
        bytes.push(u8::from_str_radix(hex.get(..2)?, 16).ok()?);
        length = rest.len() - hex.len() + 2;
        if let Some(c) = core::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next()) {
            return Some((c, length));
        }
    }
    None
}

/// One character written as `\n`, `\t`, `\r`, `\uXXXX` or `\u{X}`, however often escaped.
fn decode_escape(rest: &str) -> Option<(char, usize)> {
    let escape = rest.trim_start_matches('\\');
    let ended = |after: &str| rest.len() - after.len();
    if let Some(after) = escape.strip_prefix(['n', 't', 'r']) {
        return Some((' ', ended(after)));
    }
    let code = escape.strip_prefix('u')?;
    let (hex, after) = match code.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => code.split_at_checked(4)?,
    };
    Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, ended(after)))
}

/// What people write between digits, with dashes and full-width forms.
const SEPARATORS: [char; 18] = [
    '-', '.', ',', '/', '(', ')', '+', '_', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}',
    '\u{2014}', '\u{2212}', '\u{FF0B}', '\u{FF0D}', '\u{FF08}', '\u{FF09}',
];

/// Soft hyphens, joiners, direction marks, variation selectors and the like, which a reader does
/// not see between two digits.
const INVISIBLES: [RangeInclusive<char>; 8] = [
    '\0'..='\0',
    '\u{AD}'..='\u{AD}',
    '\u{200B}'..='\u{200F}',
    '\u{202A}'..='\u{202E}',
    '\u{2060}'..='\u{2069}',
    '\u{20E3}'..='\u{20E3}',
    '\u{FE00}'..='\u{FE0F}',
    '\u{FEFF}'..='\u{FEFF}',
];

/// Codes have four digits at least, and so have the shortest numbers.
const RUN_DIGITS_MIN: usize = 4;

/// The most separators within one run: `) - ` is as far as people go. A choice.
const GAP_SEPARATORS_MAX: usize = 3;

/// The largest integer of any field that is too short to be a code.
const PLAIN_MAX: u128 = 999;

/// The largest count, duration or size logged as it is. A choice.
const COUNT_MAX: u128 = 999_999;

/// RFC 3629: a character has at most four bytes.
const UTF8_BYTES_MAX: usize = 4;

/// RFC 9562 section 4: the lengths of the groups of a UUID.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_codes_are_blotted_out_however_they_are_written() {
        let cases = [
            ("code 1234!", "code ••••!"),
            ("to +447860021130 now", "to +•••••••••••• now"),
            ("(415) 555-2671", "(•••) •••-••••"),
            ("4.1.5.5", "•.•.•.•"),
            ("1 2 3 4 5 6", "• • • • • •"),
            ("[4, 1, 5, 5]", "[•, •, •, •]"),
            ("to=%2B44%2078", "to=%2B••%20••"),
            ("%34%35%36%37", "••••"),
            ("%2534%2535%2536%2537", "••••"),
            ("%D9%A4%D9%A5%D9%A6%D9%A7", "••••"),
            ("٤٤٧٨", "••••"),
            ("１２３４", "••••"),
            ("12\u{200B}34", "••\u{200B}••"),
            (r"12\u{202a}34", r"••\u{202a}••"),
            (r"12\n34", r"••\n••"),
            (r"\\u0034\\u0035\\u0036\\u0037", "••••"),
            ("x1234y", "x••••y"),
        ];
        for (text, expected) in cases {
            assert_eq!(scrub(text), expected, "{text}");
        }
    }

    #[test]
    fn text_without_a_run_is_left_alone() {
        for text in ["", "step 3 of 12", "HTTP 404: no such route", "a1b2c3d4e5", "100% of \\n"] {
            assert!(matches!(scrub(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn ids_pass_in_their_fields_and_only_there() {
        for id in [
            "0197c2f4-1234-7abc-8def-123456789012",
            "0197c2f412347abc8def123456789012",
            "0A00000012345678",
        ] {
            assert_eq!(scrub_field("request.id", id), id);
            assert_ne!(scrub_field("note", id), id);
        }
        assert_eq!(scrub_field("listen", "127.0.0.1:8080"), "127.0.0.1:8080");
        assert_ne!(scrub_field("peer", "127.0.0.1:8080"), "127.0.0.1:8080");
    }

    #[test]
    fn a_number_in_an_id_field_is_blotted_out_all_the_same() {
        for number in ["447860021130", "+447860021130", "id-4155", "14155552671x"] {
            let shown = scrub_field("request.id", number);
            assert!(!shown.contains(|c: char| c.is_numeric()), "{shown}");
        }
        assert_eq!(scrub_field("count", "123456"), "••••••", "a code as text is no count");
    }

    #[test]
    fn integers_pass_by_field_and_size() {
        assert!(is_plain_integer("anything", 999) && !is_plain_integer("anything", 1000));
        assert!(is_plain_integer("count", 999_999) && !is_plain_integer("count", 1_000_000));
    }

    #[test]
    fn a_run_that_begins_inside_of_an_encoded_digit_is_seen() {
        assert_eq!(scrub("%30٤٤A"), "%••••A");
    }

    proptest! {
        #[test]
        fn no_run_of_four_digits_survives(text in "[0-9 ()+.,%\\\\u{}nA٤é-]{0,40}") {
            let clean = scrub(&text).into_owned();
            let mut run = 0;
            for c in clean.chars() {
                run = if c.is_numeric() { run + 1 } else { 0 };
                prop_assert!(run < RUN_DIGITS_MIN, "{:?} from {:?}", clean, text);
            }
            prop_assert_eq!(scrub(&clean).into_owned(), clean);
        }
    }
}
