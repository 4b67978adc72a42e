//! Request and receipt signatures as Vonage's clients compute them, in five methods.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use md5::{Digest as _, Md5};
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA512, Key};

/// How a signature is computed; an account chooses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SignatureMethod {
    /// MD5 over the parameters followed by the secret; the vendor's default.
    #[default]
    Md5Hash,
    /// HMAC with MD5.
    Md5Hmac,
    /// HMAC with SHA-1.
    Sha1Hmac,
    /// HMAC with SHA-256.
    Sha256Hmac,
    /// HMAC with SHA-512.
    Sha512Hmac,
}

impl SignatureMethod {
    /// Every method, in the order of their strength.
    pub const ALL: [Self; 5] =
        [Self::Md5Hash, Self::Md5Hmac, Self::Sha1Hmac, Self::Sha256Hmac, Self::Sha512Hmac];

    /// Returns the vendor's name of the method.
    pub const fn wire_name(self) -> &'static str {
        match self {
            Self::Md5Hash => "md5hash",
            Self::Md5Hmac => "md5",
            Self::Sha1Hmac => "sha1",
            Self::Sha256Hmac => "sha256",
            Self::Sha512Hmac => "sha512",
        }
    }

    /// Finds the method with the vendor's name, in any case of letters.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.wire_name().eq_ignore_ascii_case(name))
    }
}

/// Computes the signature of the parameters, in lower-case hexadecimal digits.
///
/// The parameters may come in any order. `sig` and `api_secret` are left out of the computation,
/// as the vendor's clients leave them out.
pub fn sign<'a>(
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
    secret: &str,
    method: SignatureMethod,
) -> String {
    let base = signed_text(params);
    match method {
        SignatureMethod::Md5Hash => {
            hex(Md5::new().chain_update(&base).chain_update(secret).finalize())
        }
        SignatureMethod::Md5Hmac => hex(hmac_md5(secret.as_bytes(), base.as_bytes())),
        SignatureMethod::Sha1Hmac => hmac_sha(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret, &base),
        SignatureMethod::Sha256Hmac => hmac_sha(HMAC_SHA256, secret, &base),
        SignatureMethod::Sha512Hmac => hmac_sha(HMAC_SHA512, secret, &base),
    }
}

/// Tells whether `sig` is the signature of the parameters, in any case of letters.
///
/// The time taken does not depend on how much of the signature is right. Without a secret nothing
/// is ever right, since anybody could have signed it.
pub fn verify<'a>(
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
    sig: &str,
    secret: &str,
    method: SignatureMethod,
) -> bool {
    if secret.is_empty() {
        return false;
    }
    let expected = sign(params, secret, method);
    // Comparing tags of the two texts instead of the texts is how a constant-time comparison is
    // had from a public interface: the only branch is inside the verification of the tag.
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, expected.as_bytes());
    ring::hmac::verify(&key, sig.to_ascii_lowercase().as_bytes(), tag.as_ref()).is_ok()
}

/// Tells whether a signed request's `timestamp` is within `tolerance` of `now`.
///
/// The timestamp is in Unix seconds, or in UTC as `YYYY-MM-DD HH:MM:SS`, which the vendor's Python
/// client signs in conversions; any other text is never fresh. `now` is in milliseconds since 1970.
/// The vendor documents no tolerance.
pub fn is_fresh(timestamp: &str, now: i64, tolerance: Duration) -> bool {
    parse_timestamp(timestamp)
        .is_some_and(|signed_at| signed_at.abs_diff(now.div_euclid(1000)) <= tolerance.as_secs())
}

/// Returns Unix seconds.
fn parse_timestamp(timestamp: &str) -> Option<i64> {
    if let Ok(seconds) = timestamp.parse() {
        return Some(seconds);
    }
    let written = DateTime::strptime("%Y-%m-%d %H:%M:%S", timestamp).ok()?;
    Some(Offset::UTC.to_timestamp(written).ok()?.as_second())
}

/// Joins the parameters to `&name=value` in byte order of the names.
fn signed_text<'a>(params: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<_> =
        params.into_iter().filter(|(name, _)| !UNSIGNED_NAMES.contains(name)).collect();
    pairs.sort_unstable();
    let mut text = String::new();
    for (name, value) in pairs {
        text.push('&');
        text.push_str(name);
        text.push('=');
        // A value must not look like the start of another pair; only the signed text is changed.
        text.push_str(&value.replace(['&', '='], "_"));
    }
    text
}

fn hmac_md5(key: &[u8], text: &[u8]) -> impl AsRef<[u8]> + use<> {
    #[expect(clippy::expect_used, reason = "RFC 2104 defines HMAC for a key of any length")]
    let mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(text).finalize().into_bytes()
}

fn hmac_sha(algorithm: ring::hmac::Algorithm, key: &str, text: &str) -> String {
    hex(ring::hmac::sign(&Key::new(algorithm, key.as_bytes()), text.as_bytes()))
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    use std::fmt::Write as _;
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Never part of what is signed: the signature itself and the secret it replaces.
const UNSIGNED_NAMES: [&str; 2] = ["sig", "api_secret"];

#[cfg(test)]
mod tests {
    use super::SignatureMethod::{Md5Hash, Md5Hmac, Sha1Hmac, Sha256Hmac, Sha512Hmac};
    use super::*;

    type Pairs = [(&'static str, &'static str)];

    const INBOUND: &Pairs = &[
        ("message-timestamp", "2013-11-21 15:27:30"),
        ("messageId", "020000001B0FE827"),
        ("msisdn", "14843472194"),
        ("text", "Test again"),
        ("timestamp", "1385047698"),
        ("to", "13239877404"),
        ("type", "text"),
    ];
    const SHORT: &Pairs = &[("a", "1"), ("b", "2"), ("timestamp", "1461605396")];
    const SEND: &Pairs = &[
        ("api_key", "fake_api_key"),
        ("to", "14155550100"),
        ("from", "AcmeInc"),
        ("text", "Test From Nexmo"),
        ("type", "text"),
        ("timestamp", "1540924779"),
    ];
    const TWO_FACTOR: &Pairs = &[
        ("client-ref", "a&b=c"),
        ("pin", "1234"),
        ("to", "16365553226"),
        ("api_key", "abcd1234"),
        ("timestamp", "1700000000"),
    ];

    #[track_caller]
    fn assert_signs(params: &Pairs, secret: &str, expected: &[(SignatureMethod, &str)]) {
        for &(method, sig) in expected {
            let pairs = || params.iter().copied();
            assert_eq!(sign(pairs(), secret, method), sig.to_lowercase(), "{method:?}");
            assert!(verify(pairs(), sig, secret, method), "{method:?}");
            assert!(verify(pairs(), &sig.to_uppercase(), secret, method), "{method:?}");
            assert!(!verify(pairs(), sig, "another secret", method), "{method:?}");
        }
    }

    #[test]
    fn an_inbound_message_is_signed_as_in_the_php_and_node_clients() {
        assert_signs(
            INBOUND,
            "my_secret_key_for_testing",
            &[
                (Md5Hash, "d2e7b1dc968737c5998ad624e02f90b7"),
                (Md5Hmac, "DDEBD46008C2D4E93CCE578A332A52D5"),
                (Sha1Hmac, "27D0D05C2876C7CB1720DBCDBA4D492E1E55C09A"),
                (Sha256Hmac, "DDB8397C2B90AAC7F3882D306475C9A5058C92322EEF43C92B298B6E0FC0D330"),
                (
                    Sha512Hmac,
                    "E0D3C650F8C9D1A5C174D10DDDBFB003E561F59B265616208B0487C5D819481C\
                     D3C311D59CF6165ECD1139622D5BA3A256C0D763AC4A9AD9144B5A426B94FE82",
                ),
            ],
        );
    }

    #[test]
    fn a_short_list_is_signed_as_in_the_python_client() {
        assert_signs(SHORT, "secret", &[(Md5Hash, "6af838ef94998832dbfc29020b564830")]);
    }

    #[test]
    fn an_outgoing_message_is_signed_as_in_the_php_client() {
        assert_signs(
            SEND,
            "71efab63122f1d179f51c46bac838fb5",
            &[
                (Md5Hmac, "51CDAFEBB4BBCE9525B195C1617CB8D2"),
                (Sha1Hmac, "0162AEC64BC183B2E1256545951FE5639DC98020"),
                (Sha256Hmac, "9FEC5EF6D0F2B3D2BB7558B6E4042569823CAB9EA0DD30503472B7B304601975"),
            ],
        );
    }

    #[test]
    fn separators_inside_a_value_are_signed_as_underscores() {
        assert_signs(
            TWO_FACTOR,
            "sigsecret",
            &[
                (Md5Hash, "e3514c439fc776fa25d9438757a15d0c"),
                (Md5Hmac, "35813d13c4035873aaab85222e8daa59"),
                (Sha1Hmac, "034260d71890fee65428276f3e4f435a26f0ae4b"),
                (Sha256Hmac, "387e28f5ab0b3ce29e277b649a963d5f1aa0a25cd7be603dab4607411f7c1068"),
                (
                    Sha512Hmac,
                    "1a83c26b587a584abee08447206663276cbef80713481e89ecb4f15ae91dbb8f\
                     24f565cd678e76219939a011b53b8e498945d468a79f0953f15d08fd1890dea5",
                ),
            ],
        );
    }

    #[test]
    fn the_signature_and_the_secret_are_not_signed() {
        let with_both = SHORT.iter().copied().chain([("sig", "00"), ("api_secret", "secret")]);
        assert!(verify(with_both, "6af838ef94998832dbfc29020b564830", "secret", Md5Hash));
    }

    #[test]
    fn nothing_but_the_whole_signature_is_accepted() {
        let whole = "6af838ef94998832dbfc29020b564830";
        for wrong in ["", "6af838ef94998832dbfc29020b56483", "6af838ef94998832dbfc29020b564831"] {
            assert!(!verify(SHORT.iter().copied(), wrong, "secret", Md5Hash), "{wrong}");
        }
        assert!(!verify(SHORT.iter().copied(), &format!("{whole} "), "secret", Md5Hash));
        let changed = [("a", "1"), ("b", "3"), ("timestamp", "1461605396")];
        assert!(!verify(changed, whole, "secret", Md5Hash));
    }

    #[test]
    fn an_account_without_a_secret_accepts_no_signature() {
        for method in SignatureMethod::ALL {
            let sig = sign(SHORT.iter().copied(), "", method);
            assert!(!verify(SHORT.iter().copied(), &sig, "", method), "{method:?}");
        }
    }

    #[test]
    fn methods_are_found_by_their_wire_names() {
        for method in SignatureMethod::ALL {
            assert_eq!(SignatureMethod::parse(method.wire_name()), Some(method));
        }
        assert_eq!(SignatureMethod::parse("SHA256"), Some(Sha256Hmac));
        assert_eq!(SignatureMethod::parse("md4"), None);
    }

    #[test]
    fn a_timestamp_is_fresh_within_the_tolerance_on_either_side() {
        let now = 1_700_000_000_999;
        let tolerance = Duration::from_mins(5);
        for (timestamp, expected) in [
            ("1700000000", true),
            ("1699999700", true),
            ("1700000300", true),
            ("1699999699", false),
            ("1700000301", false),
            ("-9223372036854775808", false),
            ("2026-11-21 19:29:39", false),
            ("", false),
        ] {
            assert_eq!(is_fresh(timestamp, now, tolerance), expected, "{timestamp}");
        }
    }

    #[test]
    fn a_timestamp_in_words_of_the_python_client_is_fresh_as_well() {
        let now = 1_700_000_000_000;
        let tolerance = Duration::from_mins(5);
        for (timestamp, expected) in [
            ("2023-11-14 22:13:20", true),
            ("2023-11-14 22:08:20", true),
            ("2023-11-14 22:18:21", false),
            ("2023-11-14 23:13:20", false),
            ("2023-11-14 22:13:20 +00:00", false),
            ("2023-13-14 22:13:20", false),
            ("2023-11-14", false),
        ] {
            assert_eq!(is_fresh(timestamp, now, tolerance), expected, "{timestamp}");
        }
    }
}
