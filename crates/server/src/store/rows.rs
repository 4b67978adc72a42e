//! How values are written into columns, and read back with proof.

use engine::{MessageId, Subject, VerificationId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// Writes an identifier as it sorts: 16 bytes for a verification, 8 for a message.
pub(super) fn subject_to_blob(subject: Subject) -> Vec<u8> {
    match subject {
        Subject::Verification(id) => id.as_u128().to_be_bytes().to_vec(),
        Subject::Message(id) => id.as_u64().to_be_bytes().to_vec(),
    }
}

/// Reads an identifier back.
pub(super) fn subject_from_blob(table: &'static str, blob: &[u8]) -> Result<Subject, StoreError> {
    if let Ok(bytes) = <[u8; 16]>::try_from(blob) {
        return Ok(Subject::Verification(VerificationId::from_u128(u128::from_be_bytes(bytes))));
    }
    if let Ok(bytes) = <[u8; 8]>::try_from(blob) {
        return Ok(Subject::Message(MessageId::from_u64(u64::from_be_bytes(bytes))));
    }
    Err(StoreError::Corrupt {
        table,
        row: "subject".to_owned(),
        reason: format!("an identifier has 8 or 16 bytes, not {}", blob.len()),
    })
}

/// Writes a value as JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Unavailable(e.to_string()))
}

/// Reads a value from JSON and says whose row it was if it cannot.
pub(super) fn from_json<T: DeserializeOwned>(
    table: &'static str,
    row: impl ToString,
    json: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|e| StoreError::Corrupt {
        table,
        row: row.to_string(),
        // The position is enough to find it; the value may hold what must not be shown.
        reason: format!("no valid JSON at line {} column {}", e.line(), e.column()),
    })
}

/// SQLite's integers are signed: the bits stay the same.
pub(super) const fn signed(value: u64) -> i64 {
    value.cast_signed()
}

/// The way back from [`signed`].
pub(super) const fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
