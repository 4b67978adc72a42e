//! Who asks: finds the account of a credential. A function that returns an account, or says no.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{Limit, Tat, Timestamp};

use zeroize::Zeroizing;

use super::App;
use crate::clock;
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

/// Counts failed logins by address, so that secrets cannot be guessed at speed. IPv6 counts by
/// /64, which is what one customer gets.
#[derive(Debug, Default)]
pub struct Logins {
    failures: Mutex<HashMap<IpAddr, Tat>>,
}

impl Logins {
    /// How long an address has to wait after too many failures; `None` if it need not.
    pub fn wait(&self, address: IpAddr, per_minute: u32, now: Timestamp) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let tat = failures.get(&network(address)).copied()?;
        limit(per_minute).admit(tat, now).err()
    }

    /// Counts a failure.
    pub fn failed(&self, address: IpAddr, per_minute: u32, now: Timestamp) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES_MAX {
            failures.retain(|_, tat| !Limit::is_idle(*tat, now));
        }
        if failures.len() >= ADDRESSES_MAX {
            // Better to forget some than to grow without end.
            failures.clear();
        }
        let tat = failures.entry(network(address)).or_default();
        *tat = limit(per_minute).admit(*tat, now).unwrap_or(*tat);
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

/// So many addresses are remembered at once.
const ADDRESSES_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_guesses_must_wait_and_others_need_not() {
        let logins = Logins::default();
        let now = Timestamp::from_millis(1_000_000);
        let guesser: IpAddr = "2001:db8:1:2::3".parse().unwrap();
        let neighbour: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        let stranger: IpAddr = "2001:db8:1:3::3".parse().unwrap();
        for _ in 0..60 {
            assert_eq!(logins.wait(guesser, 60, now), None);
            logins.failed(guesser, 60, now);
        }
        assert!(logins.wait(guesser, 60, now).is_some());
        assert!(logins.wait(neighbour, 60, now).is_some());
        assert_eq!(logins.wait(stranger, 60, now), None);
        assert_eq!(logins.wait(guesser, 60, now.after(Duration::from_secs(2))), None);
    }
}
