//! Where a webhook may go: which URLs are usable, and which addresses are nobody else's business.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use reqwest::Url;
use tower_service::Service;

/// The longest URL an account may set for its webhooks, in bytes. Chosen.
pub const URL_BYTES_MAX: usize = 2048;

/// The longest `callback` of a single request, in characters.
/// Source: the vendor's SMS API; the limit is stated for that parameter alone.
pub const CALLBACK_CHARS_MAX: usize = 100;

/// Why a URL cannot be used for webhooks, however often it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// Longer than the limit that applies.
    #[error("accept a URL that long")]
    TooLong,
    /// Not an absolute URL with a host.
    #[error("parse the URL")]
    Malformed,
    /// Neither `http` nor `https`.
    #[error("use a scheme other than http and https")]
    Scheme,
    /// A user name or a password before the host, which would end up in logs.
    #[error("send credentials in a URL")]
    UserInfo,
    /// The host is, or resolves only to, addresses that are not public.
    #[error("call a private address")]
    PrivateAddress,
}

/// Tells whether an account may set this URL for its webhooks.
///
/// A host name is not resolved: what it stands for is checked at every send, since it may change.
///
/// # Errors
///
/// Fails with the first [`UrlProblem`] found. With `allow_private` no address is refused.
pub fn check_url(url: &str, allow_private: bool) -> Result<(), UrlProblem> {
    if url.len() > URL_BYTES_MAX {
        return Err(UrlProblem::TooLong);
    }
    parse(url, allow_private).map(|_| ())
}

/// Tells whether a single request may name this URL as its `callback`.
///
/// # Errors
///
/// Fails as [`check_url`] does, and for more than [`CALLBACK_CHARS_MAX`] characters.
pub fn check_callback(url: &str, allow_private: bool) -> Result<(), UrlProblem> {
    if url.chars().count() > CALLBACK_CHARS_MAX {
        return Err(UrlProblem::TooLong);
    }
    check_url(url, allow_private)
}

/// Parses a URL that may be called, as far as that can be told without resolving its host.
pub(super) fn parse(url: &str, allow_private: bool) -> Result<Url, UrlProblem> {
    let url = Url::parse(url).map_err(|_| UrlProblem::Malformed)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlProblem::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlProblem::UserInfo);
    }
    let host = url.host_str().ok_or(UrlProblem::Malformed)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // The parser has already turned spellings such as `0x7f.1` into four decimal numbers.
    let literal = host.parse::<IpAddr>().ok();
    if !allow_private && literal.is_some_and(|address| !is_public(address)) {
        return Err(UrlProblem::PrivateAddress);
    }
    Ok(url)
}

/// Tells whether an address can belong to somebody on the public Internet.
///
/// Everything in the IANA special-purpose address registries is private here, whether it leads to
/// this host, to its neighbours, to a group, or to nobody.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        // This host, private, loopback, multicast, reserved and broadcast.
        (0 | 10 | 127 | 224..=255, _, _)
            // Carrier-grade NAT, link-local (with the metadata services of clouds), private.
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // Protocol assignments, documentation, 6to4 relays, benchmarks.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            // Documentation.
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // NAT64 writes an IPv4 address at the end, and is all that an IPv6-only host has for it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        // Protocol assignments with Teredo, documentation, and 6to4, which hides an IPv4 address.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast is 2000::/3. Loopback, mapped IPv4, local and multicast are all outside.
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

/// Resolves the hosts of webhooks and holds back private addresses.
///
/// The connection is made to the addresses returned here, so a name cannot stand for one address
/// when it is checked and for another when it is called.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub(super) allow_private: bool,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), ANY_PORT))
                .await
                .map_err(|_| ResolveError::NotFound)?
                .collect();
            let usable: Vec<_> = found
                .iter()
                .copied()
                .filter(|address| allow_private || is_public(address.ip()))
                .collect();
            match (found.is_empty(), usable.is_empty()) {
                (true, _) => Err(ResolveError::NotFound),
                (false, true) => Err(ResolveError::Private),
                (false, false) => Ok(usable.into_iter()),
            }
        })
    }
}

/// Why a host has no address to call; found again in the chain of the client's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResolveError {
    NotFound,
    Private,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "resolve the host",
            Self::Private => "find a public address of the host",
        })
    }
}

impl Error for ResolveError {}

/// The client replaces it by the port of the URL.
const ANY_PORT: u16 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_urls_may_be_called() {
        for url in [
            "https://example.com/dlr?account=1",
            "http://example.com:8080",
            "http://93.184.215.14/",
            "http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        ] {
            assert_eq!(check_url(url, false), Ok(()), "{url}");
        }
    }

    #[test]
    fn every_other_kind_of_url_is_refused_with_its_problem() {
        for (url, problem) in [
            ("", UrlProblem::Malformed),
            ("example.com/dlr", UrlProblem::Malformed),
            ("http://", UrlProblem::Malformed),
            ("http://exa mple.com/", UrlProblem::Malformed),
            ("ftp://example.com/", UrlProblem::Scheme),
            ("file:///etc/passwd", UrlProblem::Scheme),
            ("http://user@example.com/", UrlProblem::UserInfo),
            ("http://:secret@example.com/", UrlProblem::UserInfo),
        ] {
            assert_eq!(check_url(url, true), Err(problem), "{url}");
        }
    }

    #[test]
    fn a_private_address_is_refused_however_it_is_spelt() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "127.0.0.1.",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "169.254.169.254",
        ] {
            let url = format!("http://{host}/");
            assert_eq!(check_url(&url, false), Err(UrlProblem::PrivateAddress), "{host}");
            assert_eq!(check_url(&url, true), Ok(()), "{host}");
        }
    }

    #[test]
    fn special_addresses_are_private_and_their_neighbours_public() {
        let private_addresses = "\
            0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.255.255.255 169.254.0.1 \
            172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 \
            198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 \
            239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::7f00:1 ::ffff:10.0.0.1 \
            ::ffff:1.1.1.1 64:ff9b::7f00:1 64:ff9b:1::808:808 100::1 2001::1 \
            2001:1ff::1 2001:db8::1 2002:7f00:1:: 3fff::1 3fff:fff::1 5f00::1 fc00::1 \
            fd00:ec2::254 fe80::1 fec0::1 ff02::1";
        for private in private_addresses.split_whitespace() {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        let public_addresses = "\
            1.1.1.1 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 128.0.0.1 \
            169.253.0.1 172.15.0.1 172.32.0.1 192.0.1.1 192.167.0.1 198.17.0.1 \
            198.20.0.1 203.0.114.1 223.255.255.255 64:ff9b::808:808 2001:200::1 2003::1 \
            2606:4700::1111 3fff:1000::1";
        for public in public_addresses.split_whitespace() {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn the_two_limits_of_length_are_apart() {
        let of_length = |length: usize| format!("https://h/{}", "x".repeat(length - 10));
        assert_eq!(check_callback(&of_length(100), false), Ok(()));
        assert_eq!(check_callback(&of_length(101), false), Err(UrlProblem::TooLong));
        assert_eq!(check_url(&of_length(2048), false), Ok(()));
        assert_eq!(check_url(&of_length(2049), false), Err(UrlProblem::TooLong));
    }
}
