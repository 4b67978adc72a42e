//! The saved corpus and seeded mutations of it, through what the fuzz target runs.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "functions beside the tests fail as the tests do"
)]

#[path = "../fuzz/anything.rs"]
mod anything;

use std::path::Path;

#[test]
fn the_corpus_and_its_mutations_break_no_promise() {
    let corpus = corpus();
    for (name, octets) in &corpus {
        exercise(name, 0, octets);
        for round in 1..=MUTATIONS {
            let mut dice = Dice(SEED ^ round ^ hash(name));
            exercise(name, round, &mutated(&mut dice, octets, &corpus));
        }
    }
}

fn exercise(name: &str, round: u64, octets: &[u8]) {
    let survived = std::panic::catch_unwind(|| anything::exercise(octets));
    assert!(survived.is_ok(), "{name}, mutation {round}: {octets:02x?}");
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    found.sort();
    assert!(found.len() >= 170, "the corpus was not found");
    found
}

/// One to eight changes: other octets, cuts, repeats, another PDU behind; the length mostly right.
fn mutated(dice: &mut Dice, octets: &[u8], corpus: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    for _ in 0..=dice.below(8) {
        let at = dice.below(octets.len().max(1));
        match dice.below(6) {
            0 if at < octets.len() => octets[at] = dice.below(256).to_le_bytes()[0],
            1 if at < octets.len() => octets[at] ^= 1 << dice.below(8),
            2 => octets.truncate(at),
            3 => octets.insert(at.min(octets.len()), INTERESTING[dice.below(INTERESTING.len())]),
            4 => octets.extend_from_within(..at.min(octets.len())),
            _ => octets.extend_from_slice(&corpus[dice.below(corpus.len())].1),
        }
    }
    // A wrong length ends everything, so most of what is behind it would never be read.
    if dice.below(8) != 0 && octets.len() >= 16 {
        let length = u32::try_from(octets.len()).unwrap();
        octets[..4].copy_from_slice(&length.to_be_bytes());
    }
    octets
}

fn hash(name: &str) -> u64 {
    name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// Sebastiano Vigna's `splitmix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

const INTERESTING: [u8; 6] = [0x00, 0x01, 0x1B, 0x7F, 0x80, 0xFF];

/// Of each file; together they take some seconds.
const MUTATIONS: u64 = 200;

const SEED: u64 = 0x5C0D_E5EE_D000_0034;
