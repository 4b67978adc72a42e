//! What is wrong with a configuration, all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Everything that is wrong with a configuration; its text is a list with one mistake a line.
#[derive(Clone, Debug, Default)]
pub struct ConfigMistakes {
    found: Vec<Mistake>,
    // Which variable set a key, because an operator looks for a wrong key in the file first.
    variables: BTreeMap<String, String>,
    wrong: BTreeSet<String>,
}

/// One thing that is wrong, and what would be right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The key (`section.key`), the variable or the file that is wrong.
    pub place: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl ConfigMistakes {
    /// Returns the mistakes in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.found.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Reports whether `key` itself is already known to be wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.wrong.contains(key)
    }

    pub(super) fn add(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        let mut place = place.into();
        self.wrong.insert(place.clone());
        if let Some(variable) = self.variables.get(&place) {
            place = format!("{place} ({variable})");
        }
        self.found.push(Mistake { place, problem: problem.into() });
    }

    pub(super) fn note_variable(&mut self, key: String, variable: String) {
        self.variables.insert(key, variable);
    }
}

impl fmt::Display for ConfigMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.found.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "the configuration has {count} mistake{plural}")?;
        self.found.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for ConfigMistakes {}
