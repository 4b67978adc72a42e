//! Standard Webhooks 1.0: an account's secret, and the headers that prove a webhook ours.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA256, Key};
use zeroize::{Zeroize as _, Zeroizing};

/// The fewest bytes of a secret. Source: Standard Webhooks 1.0, "Symmetric".
pub const SECRET_BYTES_MIN: usize = 24;

/// The most bytes of a secret. Source: Standard Webhooks 1.0, "Symmetric".
pub const SECRET_BYTES_MAX: usize = 64;

/// A secret shared with the receiver of webhooks, written `whsec_<base64>`.
///
/// `Debug` hides it and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

/// Why a text or some bytes are no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text does not begin with `whsec_`.
    #[error("find the prefix whsec_")]
    Prefix,
    /// What follows the prefix is not standard base64.
    #[error("decode base64")]
    Base64,
    /// Fewer than [`SECRET_BYTES_MIN`] or more than [`SECRET_BYTES_MAX`] bytes.
    #[error("accept a secret of this length")]
    Length,
}

impl WebhookSecret {
    /// Reads a secret as [`WebhookSecret::render`] writes it.
    ///
    /// # Errors
    ///
    /// Fails with the first [`SecretError`] that applies.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?);
        Self::from_bytes(&bytes)
    }

    /// Makes a secret of bytes that the caller has drawn at random.
    ///
    /// # Errors
    ///
    /// Fails with [`SecretError::Length`] unless there are 24 to 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err(SecretError::Length);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// Writes the secret out, to be shown to the account once or kept sealed.
    pub fn render(&self) -> Zeroizing<String> {
        let mut encoded = STANDARD.encode(&*self.0);
        let text = Zeroizing::new(format!("{SECRET_PREFIX}{encoded}"));
        encoded.zeroize();
        text
    }

    /// Signs one webhook: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
    ///
    /// `timestamp` is in Unix seconds. `id` must not contain a full stop, or two different webhooks
    /// could share a signature.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        debug_assert!(!id.contains('.'), "the id of a webhook contains a full stop");
        let mut mac = ring::hmac::Context::with_key(&Key::new(HMAC_SHA256, &self.0));
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.sign()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(hidden)")
    }
}

/// Returns the three headers of one try to send a webhook.
///
/// `id` stays the same over all tries, `timestamp` is the time of this one in Unix seconds. While
/// an account changes its secret both are given, and the receiver accepts either signature.
pub fn headers(
    id: &str,
    timestamp: i64,
    body: &[u8],
    secrets: &[WebhookSecret],
) -> [(&'static str, String); 3] {
    debug_assert!(!secrets.is_empty(), "a signed webhook has no secret");
    let signatures: Vec<_> =
        secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ]
}

/// Marks a shared secret, as opposed to the keys `whsk_` and `whpk_` of the asymmetric variant.
const SECRET_PREFIX: &str = "whsec_";

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_2b1c";
    const TIMESTAMP: i64 = 1_700_000_000;
    const BODY: &[u8] = br#"{"status":"delivered"}"#;

    /// The bytes 0 to 31, and 24 times 0xFB; the signatures were computed with Python's `hmac`.
    const FIRST: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const FIRST_SIGNATURE: &str = "v1,o9rPNRBMWBkiDQ2QYJt3BO1EMarTdmAoG/jQN+DAhf8=";
    const SECOND: &str = "whsec_+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7";
    const SECOND_SIGNATURE: &str = "v1,ttZu0QemLZUcpRh3fEcr1rDrv8r9WmJDOqBDKuREWvo=";

    #[test]
    fn a_webhook_is_signed_as_an_independent_implementation_signs_it() {
        for (secret, signature) in [(FIRST, FIRST_SIGNATURE), (SECOND, SECOND_SIGNATURE)] {
            assert_eq!(WebhookSecret::parse(secret).unwrap().sign(ID, TIMESTAMP, BODY), signature);
        }
    }

    #[test]
    fn a_change_of_secrets_sends_both_signatures() {
        let secrets = [FIRST, SECOND].map(|secret| WebhookSecret::parse(secret).unwrap());
        let [id, timestamp, signature] = headers(ID, TIMESTAMP, BODY, &secrets);
        assert_eq!(id, ("webhook-id", ID.to_owned()));
        assert_eq!(timestamp, ("webhook-timestamp", "1700000000".to_owned()));
        assert_eq!(
            signature,
            ("webhook-signature", format!("{FIRST_SIGNATURE} {SECOND_SIGNATURE}"))
        );
    }

    #[test]
    fn a_secret_is_written_as_it_is_read() {
        assert_eq!(*WebhookSecret::parse(FIRST).unwrap().render(), FIRST);
        let drawn = WebhookSecret::from_bytes(&[0xFB; 24]).unwrap();
        assert_eq!(*drawn.render(), SECOND);
    }

    #[test]
    fn only_24_to_64_bytes_of_base64_behind_the_prefix_are_a_secret() {
        let problem = |text: &str| WebhookSecret::parse(text).err();
        let of_bytes = |count| WebhookSecret::from_bytes(&vec![1; count]).err();
        assert_eq!(problem("AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"), Some(SecretError::Prefix));
        assert_eq!(problem("whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"), Some(SecretError::Prefix));
        assert_eq!(problem("whsec_not base64"), Some(SecretError::Base64));
        assert_eq!(problem("whsec_"), Some(SecretError::Length));
        assert_eq!(
            [23, 24, 64, 65].map(of_bytes),
            [Some(SecretError::Length), None, None, Some(SecretError::Length)]
        );
    }

    #[test]
    fn a_secret_never_shows_in_debug() {
        assert_eq!(format!("{:?}", WebhookSecret::parse(FIRST)), "Ok(WebhookSecret(hidden))");
    }
}
