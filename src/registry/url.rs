//! Addresses on the network: just enough of RFC 3986 for a registry client, and nothing that
//! could carry a password.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// `http` or `https`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Who is spoken to: scheme, host and port. Credentials belong to exactly one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    /// Host in lower case, with the port where it is not the scheme's own.
    pub(super) authority: String,
}

/// An absolute address without user, password and fragment.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) origin: Origin,
    /// Path and query; begins with `/`.
    pub(super) target: String,
}

impl Origin {
    pub(super) fn new(scheme: Scheme, authority: &str) -> Self {
        let authority = authority.to_ascii_lowercase();
        let own = match scheme {
            Scheme::Http => ":80",
            Scheme::Https => ":443",
        };
        let authority = authority.strip_suffix(own).map_or(authority.clone(), str::to_owned);
        Origin { scheme, authority }
    }

    pub(super) fn at(&self, target: impl Into<String>) -> Url {
        Url { origin: self.clone(), target: target.into() }
    }
}

impl Url {
    /// Parses an absolute address. Refused: other schemes, user information, anything that is not
    /// plain ASCII.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > 8192 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let rest = rest.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(good) {
            return None;
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Some(Url { origin: Origin::new(scheme, authority), target })
    }

    /// Resolves what a `Location` header says against this address (RFC 3986, section 5.2).
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{}://{rest}", self.origin.scheme.name()));
        }
        if location.contains("://") && !location.starts_with(['/', '?']) {
            return Url::parse(location);
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match location.as_bytes().first()? {
            b'/' => location.to_owned(),
            b'?' => format!("{path}{location}"),
            _ => format!("{}/{location}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        Url::parse(&format!("{}://{}{target}", self.origin.scheme.name(), self.origin.authority))
    }

    /// The whole address, for the wire.
    pub(super) fn wire(&self) -> String {
        format!("{self}{}", self.query().map_or(String::new(), |query| format!("?{query}")))
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

impl fmt::Display for Url {
    /// For people: without the query, which holds signatures of storage services.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or("/");
        write!(f, "{}://{}{path}", self.origin.scheme.name(), self.origin.authority)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Returns the host of `host[:port]`, without brackets.
pub(super) fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// Tells whether an authority names this machine.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let host = host_of(authority);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| plain(address).is_loopback())
}

/// Tells whether an authority is an address that no public server has a reason to send a client
/// to: this machine, link-local (cloud metadata), unspecified.
pub(super) fn is_inward(authority: &str) -> bool {
    is_loopback(authority)
        || host_of(authority).parse::<IpAddr>().is_ok_and(|address| match plain(address) {
            IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
            IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
        })
}

// `::ffff:127.0.0.1` is `127.0.0.1`.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => {
            v6.to_ipv4_mapped().map_or(IpAddr::V6(Ipv6Addr::from(v6.octets())), IpAddr::V4)
        }
        v4 => v4,
    }
}

/// Percent-encodes a value of a query (RFC 3986, section 2.3).
pub(super) fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_or_refused() {
        for (text, want) in [
            ("https://A.example:443/v2/", Some("https://a.example/v2/")),
            ("http://127.0.0.1:5000", Some("http://127.0.0.1:5000/")),
            ("https://h/p?q=https://x/#f", Some("https://h/p?q=https://x/")),
            ("https://user:pw@h/", None),
            ("ftp://h/", None),
            ("https:///x", None),
            ("https://h/a\r\nX: y", None),
            ("h/p", None),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.wire()).as_deref(), want, "{text}");
        }
        assert_eq!(Url::parse("https://h/p?sig=1").unwrap().to_string(), "https://h/p");
    }

    #[test]
    fn locations_are_resolved() {
        let base = Url::parse("https://h:5000/a/b?q").unwrap();
        for (location, want) in [
            ("https://o/x?y", Some("https://o/x?y")),
            ("//o/x", Some("https://o/x")),
            ("/x", Some("https://h:5000/x")),
            ("x", Some("https://h:5000/a/x")),
            ("?z", Some("https://h:5000/a/b?z")),
            ("/x?u=http://o/", Some("https://h:5000/x?u=http://o/")),
            ("", None),
            ("javascript://x", None),
        ] {
            assert_eq!(base.join(location).map(|url| url.wire()).as_deref(), want, "{location}");
        }
    }

    #[test]
    fn inward_addresses_are_known() {
        for host in ["localhost:5000", "127.9.9.9", "[::1]:5000", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(host) && is_inward(host), "{host}");
        }
        for host in ["169.254.169.254", "[fe80::1]:80", "0.0.0.0"] {
            assert!(!is_loopback(host) && is_inward(host), "{host}");
        }
        for host in ["example.com", "localhost.example.com", "10.0.0.1", "1270.0.0.1"] {
            assert!(!is_inward(host), "{host}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_parsed_has_no_way_to_another_host(text in "https?://[ -~]{0,40}", location in "[ -~]{0,40}") {
            if let Some(url) = Url::parse(&text) {
                proptest::prop_assert!(!url.origin.authority.contains(['/', '@', '?', '#', ' ']));
                proptest::prop_assert_eq!(Url::parse(&url.wire()).map(|url| url.wire()), Some(url.wire()));
                let _ = url.join(&location);
            }
        }
    }
}
