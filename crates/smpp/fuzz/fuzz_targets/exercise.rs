//! The fuzz target: any octets, through the parser and through a session.
#![no_main]

#[path = "../anything.rs"]
mod anything;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| anything::exercise(octets));
