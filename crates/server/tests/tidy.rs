//! The house rules that no compiler knows.
#![expect(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[test]
fn the_engine_imports_nothing_of_ours_and_no_io() {
    let packages = metadata();
    let engine = dependencies(&packages, "engine");
    let allowed =
        ["proptest", "rlibphonenumber", "rusmpp-extra", "serde", "serde_json", "subtle", "zeroize"];
    let extra: Vec<_> = engine.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(extra.is_empty(), "the engine depends on {extra:?}");
}

#[test]
fn voice_imports_nothing_of_ours() {
    let packages = metadata();
    let voice = built_dependencies(&packages, "voice");
    let ours = ["engine", "countersign", "bench", "smpp"];
    assert!(!ours.iter().any(|name| voice.contains(*name)), "voice depends on {voice:?}");
}

#[test]
fn the_pure_half_of_voice_is_told_the_time_and_opens_nothing() {
    for file in ["g711", "rtp", "sdp", "script", "playout", "outcome"] {
        let text = read(&format!("crates/voice/src/{file}.rs"));
        for word in ["tokio", "rsipstack", "Instant", "SystemTime", "Socket::", "std::fs", "thread"]
        {
            assert!(!text.contains(word), "{file}.rs knows {word}");
        }
    }
}

#[test]
fn smpp_imports_nothing_of_ours_and_no_io() {
    let packages = metadata();
    let smpp = dependencies(&packages, "smpp");
    // The last three are its tests' alone: the codecs that others wrote, and their buffers.
    let allowed = ["zeroize", "proptest", "bytes", "rusmpp", "smpp34"];
    let extra: Vec<_> = smpp.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(extra.is_empty(), "smpp depends on {extra:?}");
    let built = built_dependencies(&packages, "smpp");
    assert_eq!(built, BTreeSet::from(["zeroize".to_owned()]), "smpp is built with more");
}

#[test]
fn every_direct_dependency_has_its_line_in_the_architecture() {
    let architecture = read("ARCHITECTURE.md");
    let packages = metadata();
    let packages_of_ours = ["engine", "smpp", "voice", "countersign", "bench"];
    for package in packages_of_ours {
        for name in dependencies(&packages, package) {
            let ours = packages_of_ours.contains(&name.as_str());
            let told = architecture.contains(&format!("`{name}`"));
            assert!(ours || told, "ARCHITECTURE.md does not say why {name}");
        }
    }
}

#[test]
fn no_file_is_longer_than_600_lines() {
    for path in sources() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not begin with //!", path.display());
    }
}

#[test]
fn there_is_no_file_for_odds_and_ends() {
    for path in sources() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let banned = ["common", "helpers", "misc", "types", "util", "utils"];
        assert!(!banned.contains(&name), "{}", path.display());
    }
}

#[test]
fn production_code_does_not_know_that_it_is_tested() {
    for path in sources().into_iter().filter(|path| path.to_str().unwrap().contains("/src/")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let production = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        assert!(!production.contains("cfg(test)"), "{}", path.display());
        assert!(!production.contains("test_mode"), "{}", path.display());
    }
}

#[test]
fn only_the_clock_and_the_seal_draw_randomness() {
    for path in sources().into_iter().filter(|path| path.to_str().unwrap().contains("/src/")) {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let randomness =
            text.contains("SystemRandom") && !["clock.rs", "seal.rs"].contains(&file.as_str());
        assert!(!randomness, "{} draws randomness", path.display());
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn dependencies(metadata: &Value, package: &str) -> BTreeSet<String> {
    dependencies_where(metadata, package, |_| true)
}

/// Those that are built into whatever uses `package`, so not its tests' own.
fn built_dependencies(metadata: &Value, package: &str) -> BTreeSet<String> {
    dependencies_where(metadata, package, |dependency| dependency["kind"] != "dev")
}

fn dependencies_where(
    metadata: &Value,
    package: &str,
    wanted: fn(&Value) -> bool,
) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|found| found["name"] == package).unwrap();
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    let wanted = dependencies.filter(|dependency| wanted(dependency));
    wanted.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("bench")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
