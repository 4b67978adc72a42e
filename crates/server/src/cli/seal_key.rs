//! Looks after the keys that seal the database.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use countersign::clock;
use countersign::seal::{KeyRing, KeyRingError};
use zeroize::Zeroizing;

/// Commands about the keys that seal the database.
#[derive(Subcommand)]
pub(super) enum SealKeyCommand {
    /// Put a fresh key first in the key file. Earlier keys stay, to open what they sealed.
    #[command(after_help = EXAMPLE)]
    Rotate {
        /// The folder that the server keeps its data in.
        #[arg(long, env = "COUNTERSIGN_DATA__DIR", default_value = "data", value_name = "DIR")]
        data: PathBuf,
        /// The key file, if `data.key_file` names another than DIR/seal.key.
        #[arg(long, env = "COUNTERSIGN_DATA__KEY_FILE", value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
}

/// Why the keys stay as they are.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotateError {
    /// The file cannot be read.
    #[error(
        "read {}: {source}; the server makes the file at its first start, unless its keys come \
         from COUNTERSIGN_SEAL_KEYS", path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be replaced.
    #[error("write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no key ring, or has no room for another key.
    #[error(transparent)]
    Ring(#[from] KeyRingError),
}

/// Carries the command out; answers what to tell its caller.
pub(super) fn run(command: &SealKeyCommand) -> Result<String, RotateError> {
    let SealKeyCommand::Rotate { data, key_file } = command;
    let path = key_file.clone().unwrap_or_else(|| data.join("seal.key"));
    let id = rotate(&path)?;
    Ok(format!(
        "{} now begins with key {id}. Restart the server: it seals with this key from then on.\n\
         Keep the lines below it: they open what they sealed.",
        path.display()
    ))
}

fn rotate(path: &Path) -> Result<String, RotateError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|source| RotateError::Read { path: path.to_owned(), source })?;
    KeyRing::parse(&text)?;
    let id = format!("k{:08x}", u32::from_be_bytes(clock::random_bytes()));
    let line = KeyRing::generate_line(&id)?;
    let fresh = Zeroizing::new([line.as_str(), "\n", &text].concat());
    // What the server would refuse must not take the place of what it reads.
    KeyRing::parse(&fresh)?;
    replace(path, &fresh).map_err(|source| RotateError::Write { path: path.to_owned(), source })?;
    Ok(id)
}

/// Replaces a private file in one step: losing the keys would lose what they seal.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("key.new");
    let mut options = std::fs::OpenOptions::new();
    let mut to = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = to.write_all(text.as_bytes()).and_then(|()| to.sync_all());
    let moved = written.and_then(|()| std::fs::rename(&beside, path));
    if moved.is_err() {
        // The first failure is the one to tell.
        let _ = std::fs::remove_file(&beside);
        return moved;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

const EXAMPLE: &str = "\
Example:
  countersign seal-key rotate --data /var/lib/countersign";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_rotated_ring_seals_with_a_fresh_key_and_keeps_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.key");
        let before = KeyRing::load_or_create(&path).unwrap();
        let id = rotate(&path).unwrap();
        let after = KeyRing::load_or_create(&path).unwrap();
        let ids: Vec<&str> = after.ids().collect();
        assert_eq!(ids, [id.as_str(), before.ids().next().unwrap()]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_key_ring_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.key");
        assert!(rotate(&path).unwrap_err().to_string().contains("first start"));
        std::fs::write(&path, "nonsense").unwrap();
        assert!(rotate(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "nonsense");
    }
}
