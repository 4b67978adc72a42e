//! Recordings that a person made: which file holds what, and how it is read.

use std::io::Read;
use std::path::Path;

use super::child::OUTPUT_BYTES_MAX;
use super::engine::EngineError;
use super::lines::Piece;

/// Names the files that together say a piece.
pub(crate) fn file_names(piece: Piece<'_>) -> Vec<String> {
    match piece {
        Piece::Digit(digit) => vec![format!("{digit}.wav")],
        Piece::Again => vec!["again.wav".to_owned()],
        Piece::PressOne => vec!["press-one.wav".to_owned()],
        Piece::PressAny => vec!["press-any.wav".to_owned()],
        Piece::Goodbye => vec!["goodbye.wav".to_owned()],
        Piece::Intro => vec!["intro.wav".to_owned()],
        Piece::IntroOf(brand) => vec![
            "intro-before.wav".to_owned(),
            format!("brand-{}.wav", slug(brand)),
            "intro-after.wav".to_owned(),
        ],
    }
}

/// Reads a file, no larger than a program's output may be.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    let missing = || EngineError::NoRecording(path.to_owned());
    let file = std::fs::File::open(path).map_err(|_| missing())?;
    let mut octets = Vec::new();
    file.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut octets).map_err(|_| missing())?;
    let full = u64::try_from(octets.len()).unwrap_or(u64::MAX) > OUTPUT_BYTES_MAX;
    if full { Err(EngineError::TooMuch) } else { Ok(octets) }
}

/// Makes a brand into a part of a file name: nothing in it can leave the folder.
fn slug(brand: &str) -> String {
    let lower = brand.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brand_has_a_file_of_its_name() {
        for (brand, name) in [
            ("Acme", "brand-acme.wav"),
            ("Acme  Bank & Co.", "brand-acme-bank-co.wav"),
            ("Żółw 24", "brand-żółw-24.wav"),
            ("../../etc/passwd", "brand-etc-passwd.wav"),
            ("..", "brand-.wav"),
        ] {
            assert_eq!(file_names(Piece::IntroOf(brand))[1], name);
        }
    }
}
