//! Collects what was written, in the file and in the environment, and sorts out what has no place.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use toml::{Table, Value};
use zeroize::Zeroizing;

use super::mistakes::ConfigMistakes;
use super::raw::RawConfig;
use crate::seal::{KeyRing, KeyRingError};

/// The keys written so far, each known to exist and to have a value of the right type.
#[derive(Default)]
pub(super) struct Written {
    keys: Table,
    seal_keys: Option<KeyRing>,
}

impl Written {
    pub(super) fn read_file(&mut self, path: &Path, mistakes: &mut ConfigMistakes) {
        let place = || path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return mistakes.add(place(), format!("cannot be read: {error}")),
        };
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                let line = line_of(&text, error.span().map_or(0, |span| span.start));
                return mistakes
                    .add(place(), format!("line {line}: {}", one_line(error.message())));
            }
        };
        for (section, value) in table {
            if let Err(problem) = parse(single(&section, Value::Table(Table::new()))) {
                mistakes.add(section, problem);
                continue;
            }
            let Value::Table(keys) = value else {
                let problem = format!("must be a section, which begins with `[{section}]`");
                mistakes.add(section, problem);
                continue;
            };
            // Key by key, because the first mistake would hide all others of its section.
            for (key, value) in keys {
                self.keep(&section, &key, [value], mistakes);
            }
        }
    }

    pub(super) fn take_variable(
        &mut self,
        name: OsString,
        value: OsString,
        mistakes: &mut ConfigMistakes,
    ) {
        // A name that is not UTF-8 is none of ours.
        let Some(ours) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { return };
        let path = ours.split_once("__");
        if path.is_none() && ours != SEAL_KEYS {
            return;
        }
        let variable = format!("{PREFIX}{ours}");
        let Ok(text) = value.into_string().map(Zeroizing::new) else {
            return mistakes.add(variable, "is not UTF-8");
        };
        match path {
            Some((section, key)) => {
                let (section, key) = (section.to_lowercase(), key.to_lowercase());
                mistakes.note_variable(format!("{section}.{key}"), variable);
                self.keep(&section, &key, readings(&text), mistakes);
            }
            None => match KeyRing::parse(&text) {
                Ok(ring) => self.seal_keys = Some(ring),
                Err(error) => mistakes.add(variable, describe(&error)),
            },
        }
    }

    pub(super) fn finish(self, mistakes: &mut ConfigMistakes) -> (RawConfig, Option<KeyRing>) {
        let raw = parse(self.keys).unwrap_or_else(|problem| {
            mistakes.add("the configuration", problem);
            RawConfig::default()
        });
        (raw, self.seal_keys)
    }

    /// Keeps the first of the `readings` of a value that suits the key; if none does, the problem
    /// of the first one is told.
    fn keep(
        &mut self,
        section: &str,
        key: &str,
        readings: impl IntoIterator<Item = Value>,
        mistakes: &mut ConfigMistakes,
    ) {
        let mut problem = None;
        for value in readings {
            let alone = Table::from_iter([(key.to_owned(), value.clone())]);
            match parse(single(section, Value::Table(alone))) {
                Ok(_) => {
                    let keys = self.keys.entry(section).or_insert_with(|| Table::new().into());
                    if let Some(keys) = keys.as_table_mut() {
                        keys.insert(key.to_owned(), value);
                    }
                    return;
                }
                Err(told) => {
                    problem.get_or_insert(told);
                }
            }
        }
        mistakes.add(format!("{section}.{key}"), problem.unwrap_or_default());
    }
}

/// What the text of a variable may mean: a value as in the file, a bare text, a list of texts.
fn readings(text: &str) -> Vec<Value> {
    let as_written = format!("value = {text}").parse::<Table>().ok();
    // A text with a line break in it could write more than one key.
    let as_written = as_written.filter(|table| table.len() == 1);
    let list = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let list = list.map(|item| Value::String(item.to_owned())).collect();
    as_written
        .and_then(|mut table| table.remove("value"))
        .into_iter()
        .chain([Value::String(text.to_owned()), Value::Array(list)])
        .collect()
}

fn single(section: &str, value: Value) -> Table {
    Table::from_iter([(section.to_owned(), value)])
}

fn parse(table: Table) -> Result<RawConfig, String> {
    // These words of the parser would puzzle an operator.
    table.try_into().map_err(|error: toml::de::Error| {
        one_line(error.message())
            .replace("expected i64", "expected a whole number")
            .replace("expected a sequence", "expected a list")
            .replace("unknown field", "unknown key")
            .replace("unknown variant", "unknown value")
    })
}

fn describe(error: &KeyRingError) -> String {
    let text = error.to_string();
    text.strip_prefix("read the key ring: ").unwrap_or(&text).to_owned()
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

const PREFIX: &str = "COUNTERSIGN_";
const SEAL_KEYS: &str = "SEAL_KEYS";
