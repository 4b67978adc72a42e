//! The sections of the example that are commented out: uncommented, they say what they promise.
#![expect(
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "functions beside the tests fail as the tests do"
)]

use std::collections::BTreeMap;

use countersign::config::{Config, ConfigMistakes};
use toml::Table;

#[test]
fn every_section_that_is_commented_out_can_be_loaded() {
    let config = load(&uncommented()).unwrap();
    let sections = sections();
    // A link has tables of its own, as in `link.NAME.fields`.
    let is_a = |name: &str, kind| name.strip_prefix(kind).is_some_and(|name| !name.contains('.'));
    let count = |kind| sections.keys().filter(|name| is_a(name, kind)).count();
    let (links, routes) = (count("link."), count("route."));
    assert_eq!((config.links.len(), config.routes.len()), (links, routes));
    assert!(links > 0, "there are no sections of links");
}

#[test]
fn the_smpp_section_holds_every_default() {
    let config = load(&uncommented()).unwrap();
    let required = "[link.smpp-example]\nkind = \"smpp\"\nhosts = [\"smsc.example.com:2775\"]\n\
                    system_id = \"countersign\"\npassword_file = \"smsc.password\"";
    let least = load(required).unwrap();
    assert_eq!(config.links["smpp-example"], least.links["smpp-example"]);
}

#[test]
fn every_key_that_is_commented_out_is_explained_alone_or_with_its_neighbours() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for pair in lines.windows(2).filter(|pair| is_key(pair[1])) {
        let is_explained = pair[0].starts_with("# ") || is_key(pair[0]);
        assert!(is_explained, "nothing explains `{}`", pair[1]);
    }
}

#[test]
fn every_number_that_is_commented_out_has_the_range_that_is_told() {
    for (section, text) in sections() {
        let keys: Table = text.parse().unwrap();
        let numbers = keys.iter().filter(|(_, value)| value.is_integer());
        for (key, _) in numbers {
            let told = with(&section, &text, key, -1).unwrap_err().to_string();
            let range = told.split_once(" is -1; must be ").unwrap().1;
            let (min, rest) = range.split_once(" to ").unwrap();
            let max = rest.split(' ').next().unwrap();
            let comment = comment_of(&section, key);
            assert!(comment.contains(&format!("{min} to {max}")), "{section}.{key}: {range}");
            let (min, max): (i64, i64) = (min.parse().unwrap(), max.parse().unwrap());
            for (value, fits) in [(min - 1, false), (min, true), (max, true), (max + 1, false)] {
                assert_eq!(with(&section, &text, key, value).is_ok(), fits, "{key} = {value}");
            }
        }
    }
}

/// Loads one section with one number changed.
fn with(section: &str, text: &str, key: &str, value: i64) -> Result<Config, ConfigMistakes> {
    let of_key = format!("{key} = ");
    let keys = text.lines().filter(|line| !line.starts_with(&of_key));
    let keys = keys.collect::<Vec<_>>().join("\n");
    load(&format!("[{section}]\n{keys}\n{key} = {value}"))
}

fn load(file: &str) -> Result<Config, ConfigMistakes> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("countersign.toml");
    std::fs::write(&path, file).unwrap();
    // Carriers of HTTP links have to find this server.
    let url = ("COUNTERSIGN_SERVER__PUBLIC_URL", "https://verify.example.com");
    Config::load(Some(&path), [url])
}

/// The example's sections that are commented out, by their names, as they are written.
fn sections() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let text = uncommented();
    for section in text.split("\n[").skip(1) {
        let (name, keys) = section.split_once(']').unwrap();
        if name.starts_with("link.") || name.starts_with("route.") {
            found.insert(name.to_owned(), keys.to_owned());
        }
    }
    found
}

fn uncommented() -> String {
    let uncomment =
        |line: &'static str| line.strip_prefix('#').filter(|_| is_key(line)).unwrap_or(line);
    EXAMPLE.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

/// What explains a key: the comment above it.
fn comment_of(section: &str, key: &str) -> String {
    let start = EXAMPLE.find(&format!("\n#[{section}]\n")).unwrap();
    let end = start + EXAMPLE[start..].find(&format!("\n#{key} = ")).unwrap();
    let above: Vec<&str> =
        EXAMPLE[..end].lines().rev().take_while(|line| line.starts_with("# ")).collect();
    above.into_iter().rev().collect::<Vec<_>>().join(" ").replace("# ", "")
}

/// Whether a line is a section or a key that is commented out, which has no space behind its `#`.
fn is_key(line: &str) -> bool {
    let behind = line.strip_prefix('#').unwrap_or_default();
    behind.starts_with('[') || behind.starts_with(|c: char| c.is_ascii_lowercase())
}

const EXAMPLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../countersign.example.toml"));
