//! Files with a secret in them, which nobody but their owner may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// Reads the text of the private file at `path`; if there is none, writes what `make` returns into
/// a new file of mode 0600 and returns that.
///
/// Fails if anyone but the owner has any right to the file, if it is longer than 64 KiB or not
/// UTF-8, and if it can be neither read nor created; the folder must exist.
/// The text is wiped from memory when dropped.
pub fn read_or_create_private(
    path: &Path,
    make: impl FnOnce() -> Zeroizing<String>,
) -> Result<Zeroizing<String>, PrivateFileError> {
    match File::open(path) {
        Ok(file) => read(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, make()),
        Err(source) => Err(PrivateFileError::Read { path: path.to_owned(), source }),
    }
}

/// Reads the text of the private file at `path`, which must exist.
///
/// Fails as [`read_or_create_private`] does. The text is wiped from memory when dropped.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    let failed = |source| PrivateFileError::Read { path: path.to_owned(), source };
    read(path, File::open(path).map_err(failed)?)
}

/// Why a private file cannot be used; its content is never repeated.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// Others have rights to the file.
    #[error(
        "use {}: its mode is {mode:04o}, so others than its owner can get at the secret; run: \
         chmod 600 {}", path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is longer than any secret of ours.
    #[error("use {}: it is longer than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file exists and cannot be read as text.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not exist and cannot be created.
    #[error("create {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PrivateFileError {
    /// Tells what is wrong together with what the system said, for those who start a link.
    pub fn told(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

fn read(path: &Path, file: File) -> Result<Zeroizing<String>, PrivateFileError> {
    let failed = |source| PrivateFileError::Read { path: path.to_owned(), source };
    // Asked of the open file and not of the path, which may name another file by now.
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Exposed { path: path.to_owned(), mode });
    }
    // The whole capacity at once: a string that grows leaves copies behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX + 1));
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(PrivateFileError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

fn create(path: &Path, text: Zeroizing<String>) -> Result<Zeroizing<String>, PrivateFileError> {
    write_new(path, text.as_bytes())
        .map(|()| text)
        .map_err(|source| PrivateFileError::Create { path: path.to_owned(), source })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a secret would be taken for a whole one at the next start. That the file may stay
        // behind even so is reported by the first failure.
        let _ = fs::remove_file(path);
        return written;
    }
    // What is sealed under a key is soon on disk; the key must be there first, name and all.
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

/// A choice: thousands of keys fit.
const FILE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Zeroizing<String> {
        Zeroizing::new("the secret\n".to_owned())
    }

    #[test]
    fn a_missing_file_is_made_and_then_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        assert_eq!(read_or_create_private(&path, secret).unwrap(), secret());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = read_or_create_private(&path, || unreachable!("the file is there")).unwrap();
        assert_eq!(again, secret());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.key");
        fs::write(&path, "k1:Zm9v").unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_or_create_private(&path, secret).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(!error.contains("Zm9v"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read_or_create_private(&path, secret).is_ok());
    }

    #[test]
    fn a_file_in_a_missing_folder_is_not_made_in_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("seal.key");
        let error = read_or_create_private(&path, secret).unwrap_err();
        assert!(matches!(error, PrivateFileError::Create { .. }), "{error:?}");
    }

    #[test]
    fn a_file_too_long_to_be_a_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.key");
        let long = Zeroizing::new("#".repeat(FILE_BYTES_MAX + 1));
        read_or_create_private(&path, || long).unwrap();
        let error = read_or_create_private(&path, secret).unwrap_err();
        assert!(matches!(error, PrivateFileError::TooLong { .. }), "{error:?}");
    }
}
