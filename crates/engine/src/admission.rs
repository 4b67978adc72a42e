//! May this account start this now?

use std::collections::BTreeSet;

use crate::{Amount, Limit, Refusal, Tat, Timestamp, VerificationId};

/// The countries that may be sent to, by ISO 3166 alpha-2 code.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CountryPolicy {
    /// Only these; all if empty.
    pub allow: BTreeSet<String>,
    /// None of these, whatever `allow` says.
    pub deny: BTreeSet<String>,
}

impl CountryPolicy {
    /// Whether a number of this region may be sent to.
    pub fn permits(&self, region: &str) -> bool {
        (self.allow.is_empty() || self.allow.contains(region)) && !self.deny.contains(region)
    }
}

/// The rates that a start must keep to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Starts of the account.
    pub account: Limit,
    /// Starts to the number, by all accounts.
    pub number: Limit,
    /// Starts to the block of numbers around it, by all accounts.
    pub prefix: Limit,
}

/// What the store knows at the moment of a start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The open verification of this account and number. Always `None` for a message.
    pub open: Option<VerificationId>,
    /// The account's bucket.
    pub account: Tat,
    /// The number's bucket.
    pub number: Tat,
    /// The prefix's bucket.
    pub prefix: Tat,
    /// The account's balance.
    pub balance: Amount,
    /// What the account's open verifications may still cost.
    pub held: Amount,
    /// Whether the operator barred the number.
    pub barred: bool,
    /// Whether the number's owner opted out.
    pub opted_out: bool,
}

/// The buckets after an admission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Admitted {
    /// The account's bucket.
    pub account: Tat,
    /// The number's bucket.
    pub number: Tat,
    /// The prefix's bucket.
    pub prefix: Tat,
}

/// Decides whether a start that costs `price` is let in. A refused start spends nothing of any
/// bucket.
///
/// # Errors
/// The first reason that applies: the account's rate, a barred number, an opt-out, an open
/// verification, the number's and the prefix's rate, the balance.
pub fn admit(
    facts: &Facts,
    limits: &Limits,
    price: Amount,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    let account = limits
        .account
        .admit(facts.account, now)
        .map_err(|retry_after| Refusal::AccountThrottled { retry_after })?;
    if facts.barred {
        return Err(Refusal::NumberBarred);
    }
    if facts.opted_out {
        return Err(Refusal::OptedOut);
    }
    if let Some(id) = facts.open {
        return Err(Refusal::AlreadyOpen(id));
    }
    let number = limits
        .number
        .admit(facts.number, now)
        .map_err(|retry_after| Refusal::NumberThrottled { retry_after })?;
    let prefix = limits
        .prefix
        .admit(facts.prefix, now)
        .map_err(|retry_after| Refusal::PrefixThrottled { retry_after })?;
    if facts.balance - facts.held < price {
        return Err(Refusal::InsufficientBalance);
    }
    Ok(Admitted { account, number, prefix })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn what_open_verifications_may_cost_cannot_be_spent_twice() {
        let price = Amount::from_units(5);
        let held = Facts { held: Amount::from_units(6), ..solvent(10) };
        assert_eq!(admit(&held, &limits(), price, NOW), Err(Refusal::InsufficientBalance));
        let held = Facts { held: Amount::from_units(5), ..solvent(10) };
        assert!(admit(&held, &limits(), price, NOW).is_ok());
    }

    #[test]
    fn each_reason_is_told_apart() {
        let refusal = |facts: Facts| admit(&facts, &limits(), Amount::ZERO, NOW).unwrap_err();
        assert_eq!(refusal(Facts { barred: true, ..solvent(0) }), Refusal::NumberBarred);
        assert_eq!(refusal(Facts { opted_out: true, ..solvent(0) }), Refusal::OptedOut);
        let id = VerificationId::from_u128(7);
        assert_eq!(refusal(Facts { open: Some(id), ..solvent(0) }), Refusal::AlreadyOpen(id));
        let spent = limits().account.admit(Tat::default(), NOW).unwrap();
        assert!(matches!(
            refusal(Facts { account: spent, ..solvent(0) }),
            Refusal::AccountThrottled { .. }
        ));
        assert!(matches!(
            refusal(Facts { number: spent, ..solvent(0) }),
            Refusal::NumberThrottled { .. }
        ));
        assert!(matches!(
            refusal(Facts { prefix: spent, ..solvent(0) }),
            Refusal::PrefixThrottled { .. }
        ));
    }

    #[test]
    fn a_denied_country_stays_denied_when_it_is_allowed_too() {
        let set = |codes: &[&str]| codes.iter().map(|&code| code.to_owned()).collect();
        let policy = CountryPolicy { allow: set(&["US", "CA"]), deny: set(&["CA"]) };
        assert!(policy.permits("US"));
        assert!(!policy.permits("CA"));
        assert!(!policy.permits("GB"));
        assert!(CountryPolicy::default().permits("GB"));
    }

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn solvent(balance: i64) -> Facts {
        Facts { balance: Amount::from_units(balance), ..Facts::default() }
    }

    fn limits() -> Limits {
        let one_a_minute = Limit::new(1, Duration::from_mins(1));
        Limits { account: one_a_minute, number: one_a_minute, prefix: one_a_minute }
    }
}
