//! A range of addresses, written as one address or in CIDR notation.

use std::net::IpAddr;

/// A range of IPv4 or IPv6 addresses (RFC 4632, RFC 4291 section 2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    /// How many leading bits of `address` count: 0 to 32 or 0 to 128.
    bits: u8,
}

impl Network {
    /// Parses an address such as `10.0.0.5`, or a network such as `10.0.0.0/8`; `None` if it is
    /// neither, or if the address has bits beyond its network.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address = address.parse::<IpAddr>().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= width)?,
        };
        // Such a network is a slip of the pen, and it would be trusted.
        (first(address, bits) == address).then_some(Self { address, bits })
    }

    /// Whether an address lies in this range; an IPv4 address may come mapped into IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = match self.address {
            IpAddr::V4(_) => address.to_canonical(),
            IpAddr::V6(_) => address,
        };
        address.is_ipv4() == self.address.is_ipv4() && first(address, self.bits) == self.address
    }
}

/// The first address of the network that has so many leading bits in common with this one.
fn first(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or_default();
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or_default();
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_holds(network: &str, address: &str, expected: bool) {
        let network = Network::parse(network).unwrap();
        assert_eq!(network.contains(address.parse().unwrap()), expected, "{address}");
    }

    #[test]
    fn a_network_holds_its_own_addresses_and_no_others() {
        assert_holds("10.0.0.5", "10.0.0.5", true);
        assert_holds("10.0.0.5", "10.0.0.4", false);
        assert_holds("10.0.0.0/8", "10.255.255.255", true);
        assert_holds("10.0.0.0/8", "11.0.0.0", false);
        assert_holds("10.0.0.0/8", "::ffff:10.1.2.3", true);
        assert_holds("0.0.0.0/0", "203.0.113.1", true);
        assert_holds("0.0.0.0/0", "2001:db8::1", false);
        assert_holds("2001:db8::/32", "2001:db8:ffff::1", true);
        assert_holds("2001:db8::/32", "2001:db9::1", false);
        assert_holds("::/0", "2001:db9::1", true);
    }
}
