//! Who asks: finds the account of a credential. A function that returns an account, or says no.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use engine::{Limit, Tat, Timestamp};
use zeroize::Zeroizing;

use super::App;
use crate::clock;
use crate::config::Network;
use crate::directory::{Account, Key};
use crate::store::KeyKind;

/// A credential that was accepted.
#[derive(Clone)]
pub struct Caller {
    /// Who pays.
    pub account: Arc<Account>,
    /// The key that was used.
    pub key: Arc<Key>,
}

/// Checks a public name and its secret.
pub fn authenticate(app: &App, kind: KeyKind, name: &str, secret: &str) -> Option<Caller> {
    let directory = app.driver.directories.current();
    let pepper = &app.driver.directories.secrets().pepper;
    let matches =
        |key: &&Arc<Key>| key.secret.as_ref().is_some_and(|hash| hash.matches(pepper, secret));
    let key = directory.keys(kind, name).iter().find(matches)?;
    let account = directory.account(key.account)?;
    Some(Caller { account: Arc::clone(account), key: Arc::clone(key) })
}

/// Draws an admin token.
pub fn draw_token() -> Zeroizing<String> {
    Zeroizing::new(clock::draw_word(TOKEN_CHARS))
}

/// Returns the address that a request comes from: the peer's, or behind proxies that are trusted
/// the last address in `X-Forwarded-For` that is none of theirs. What stands before that one was
/// written by whoever sent it.
pub fn client_address(
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    trusted: &[Network],
) -> IpAddr {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    let mut nearest = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let lines: Vec<&HeaderValue> = headers.get_all(&FORWARDED_FOR).iter().collect();
    let entries = lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    for entry in entries {
        if !is_trusted(nearest) {
            break;
        }
        // Beyond an entry that is not an address there is nobody to believe.
        let Some(address) = forwarded(entry) else { break };
        nearest = address;
    }
    nearest
}

/// Reads an entry of `X-Forwarded-For`, to which some proxies add a port.
fn forwarded(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// Counts failed logins by address and key, and by address over all keys, so that whoever guesses
/// is told to wait. IPv6 counts by /64, which is what one customer gets. Only failures are counted
/// and answered so: a right secret is never refused for the wrong ones of a neighbour.
#[derive(Debug, Default)]
pub struct Logins {
    failures: Mutex<HashMap<Bucket, Tat>>,
    names: RandomState,
}

/// Whose failures are counted together: an address, and a digest of a key's name or none for all.
type Bucket = (IpAddr, Option<u64>);

impl Logins {
    /// Counts a failure with the key of this name; `per_minute` of them are free, and ten times as
    /// many over all keys of an address. Beyond that it answers how long to wait.
    pub fn failed(
        &self,
        address: IpAddr,
        name: &str,
        per_minute: u32,
        now: Timestamp,
    ) -> Option<Duration> {
        let address = network(address);
        let buckets = [
            ((address, None), limit(per_minute.saturating_mul(KEYS_PER_ADDRESS))),
            ((address, Some(self.names.hash_one(name))), limit(per_minute)),
        ];
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        // What is refused is not counted, so a flood of names cannot fill the map either.
        let mut counted = Vec::with_capacity(buckets.len());
        for (bucket, limit) in buckets {
            let tat = failures.get(&bucket).copied().unwrap_or_default();
            match limit.admit(tat, now) {
                Ok(tat) => counted.push((bucket, tat)),
                Err(wait) => return Some(wait),
            }
        }
        if failures.len() >= BUCKETS_MAX {
            failures.retain(|_, tat| !Limit::is_idle(*tat, now));
        }
        if failures.len() >= BUCKETS_MAX {
            // Better to forget some than to grow without end.
            failures.clear();
        }
        failures.extend(counted);
        None
    }
}

fn limit(per_minute: u32) -> Limit {
    Limit::new(per_minute, Duration::from_mins(1))
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// 36 to the 40th is more than 2 to the 200th.
const TOKEN_CHARS: usize = 40;

/// How many times the failures with one key an address has over all of its keys. A choice: an office
/// or a carrier shares one address.
const KEYS_PER_ADDRESS: u32 = 10;

/// So many counts are kept at once.
const BUCKETS_MAX: usize = 200_000;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn an_address_that_guesses_must_wait_and_others_need_not() {
        let logins = Logins::default();
        let failed = |address: &str, now| logins.failed(address.parse().unwrap(), "key", 60, now);
        for _ in 0..60 {
            assert_eq!(failed("2001:db8:1:2::3", NOW), None);
        }
        assert!(failed("2001:db8:1:2::3", NOW).is_some());
        assert!(failed("2001:db8:1:2:ffff::9", NOW).is_some(), "a neighbour in the same /64");
        assert_eq!(failed("2001:db8:1:3::3", NOW), None);
        assert_eq!(failed("2001:db8:1:2::3", NOW.after(Duration::from_secs(2))), None);
    }

    #[test]
    fn failures_with_one_key_leave_the_others_of_an_address_alone_up_to_a_limit() {
        let logins = Logins::default();
        let address = "203.0.113.7".parse().unwrap();
        let failed = |name: &str| logins.failed(address, name, 6, NOW);
        let allowed = |name: &str| (0..100).take_while(|_| failed(name).is_none()).count();
        assert_eq!(allowed("first"), 6);
        assert_eq!(allowed("second"), 6);
        assert_eq!((0..100).take_while(|i| failed(&i.to_string()).is_none()).count(), 48);
    }

    #[test]
    fn only_trusted_proxies_are_believed_about_whom_they_speak_for() {
        let trusted = ["10.0.0.0/8", "127.0.0.1"].map(|text| Network::parse(text).unwrap());
        let from = |peer: &str, lines: &[&str], trusted: &[Network]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            let peer = SocketAddr::new(peer.parse().unwrap(), 40_000);
            client_address(Some(peer), &headers, trusted).to_string()
        };
        let lines = ["192.0.2.1, 203.0.113.7", "10.0.0.9"];
        assert_eq!(from("127.0.0.1", &lines, &trusted), "203.0.113.7");
        assert_eq!(from("127.0.0.1", &lines, &[]), "127.0.0.1");
        assert_eq!(from("198.51.100.2", &lines, &trusted), "198.51.100.2");
        assert_eq!(from("127.0.0.1", &[], &trusted), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &["10.0.0.1"], &trusted), "10.0.0.1");
        assert_eq!(from("127.0.0.1", &["192.0.2.1, unknown"], &trusted), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &["203.0.113.7:51234"], &trusted), "203.0.113.7");
        assert_eq!(from("127.0.0.1", &["[2001:db8::1]:443"], &trusted), "2001:db8::1");
        assert_eq!(from("127.0.0.1", &["[2001:db8::1]"], &trusted), "2001:db8::1");
    }
}
