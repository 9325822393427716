//! The base address of a server: what may be one, and where plain http is permitted (wire.md §2.1, T23).
//!
//! Read by hand and not by a general URL reader: everything that two readers could take differently (user information,
//! backslashes, percent signs, names that are numbers in disguise) is refused instead of repaired.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{Code, Error, Result};

/// Longest base address, in bytes.
pub const MAX_ADDRESS: usize = 2048;

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text; only to the own machine, unless insecure connections are allowed.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As in an address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The base address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    scheme: Scheme,
    authority: String,
    prefix: String,
    loopback: bool,
}

impl Address {
    /// Reads a base address: `https://host[:port][/prefix]`. Slashes at its end do not count.
    ///
    /// # Errors
    /// [`Code::Address`] for what is no such address, [`Code::Insecure`] for plain http to another machine while
    /// `allow_insecure` is false.
    pub fn parse(text: &str, allow_insecure: bool) -> Result<Self> {
        if text.len() > MAX_ADDRESS {
            return Err(malformed("it is too long"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| malformed("it must begin with `https://`"))?;
        let scheme = if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else {
            return Err(malformed("it must begin with `https://`"));
        };
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = Host::parse(authority)?;
        let prefix = prefix.trim_end_matches('/');
        check_prefix(prefix)?;
        if scheme == Scheme::Http && !host.loopback && !allow_insecure {
            let message = "plain http is only permitted to this machine; use https, or allow insecure connections";
            return Err(Error::new(Code::Insecure, message));
        }
        let authority = authority.to_ascii_lowercase();
        Ok(Self { scheme, authority, prefix: prefix.to_owned(), loopback: host.loopback })
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and port, lower case.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before every path: empty, or segments that begin with `/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it is the own machine; such an address is never reached through a proxy (T24).
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether requests go in plain text to another machine: worth a warning.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.scheme == Scheme::Http && !self.loopback
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme.as_str(), self.authority, self.prefix)
    }
}

struct Host {
    loopback: bool,
}

impl Host {
    fn parse(authority: &str) -> Result<Self> {
        if authority.is_empty() {
            return Err(malformed("it has no host"));
        }
        if authority.contains('@') {
            return Err(malformed("it must not hold a user or a password"));
        }
        if let Some(rest) = authority.strip_prefix('[') {
            let (inside, port) = rest.split_once(']').ok_or_else(|| malformed("its IPv6 address does not end"))?;
            if !port.is_empty() {
                check_port(port.strip_prefix(':').ok_or_else(|| malformed("its host is none"))?)?;
            }
            let address: Ipv6Addr = inside.parse().map_err(|_| malformed("its IPv6 address is none"))?;
            return Ok(Self { loopback: address.is_loopback() });
        }
        let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
        port.map_or(Ok(()), check_port)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if name.is_empty() || name.len() > 253 || !name.bytes().all(plain) || name.starts_with('.') {
            return Err(malformed("its host is none (names outside ASCII must be written as `xn--`)"));
        }
        // Four numbers in plain decimal. `127.1` and `0x7f000001` mean the own machine to some readers and another to others.
        let loopback = name.eq_ignore_ascii_case("localhost")
            || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        Ok(Self { loopback })
    }
}

fn check_port(port: &str) -> Result<()> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u16> = port.parse().ok().filter(|number| digits && *number != 0);
    number.map(|_| ()).ok_or_else(|| malformed("its port is none"))
}

/// Segments of unreserved characters. Percent signs are refused: nobody needs them here, and `%2e%2e` climbs.
fn check_prefix(prefix: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    for segment in prefix.split('/').skip(1) {
        if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(plain) {
            return Err(malformed("its path may only have segments of letters, digits and `-._~`"));
        }
    }
    Ok(())
}

/// Never shows the address itself: it may hold a password where none belongs.
fn malformed(why: &str) -> Error {
    Error::new(Code::Address, format!("not an address of a server: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<Code> {
        Address::parse(text, false).err().map(|error| error.code)
    }

    #[test]
    fn t23_plain_http_only_reaches_the_own_machine() {
        for good in [
            "https://api.example.com",
            "HTTPS://API.example.com:8443/edictum/",
            "http://localhost",
            "http://LOCALHOST:1",
            "http://127.0.0.1:8000",
            "http://127.0.0.2",
            "http://127.255.255.254",
            "http://[::1]:9",
        ] {
            assert_eq!(code(good), None, "{good}");
        }
        for insecure in [
            "http://example.com",
            "http://127.1",
            "http://0.0.0.0",
            "http://10.0.0.1",
            "http://192.168.1.1",
            "http://2130706433",
            "http://0x7f000001",
            "http://localhost.",
            "http://localhost.evil.com",
            "http://127.0.0.1.evil.com",
            "http://[::ffff:127.0.0.1]",
            "http://[::]",
        ] {
            assert_eq!(code(insecure), Some(Code::Insecure), "{insecure}");
            let allowed = Address::parse(insecure, true).unwrap();
            assert!(allowed.is_insecure(), "{insecure}");
        }
    }

    #[test]
    fn t23_what_is_no_address_is_refused_at_once() {
        for bad in [
            "",
            "x",
            "example.com",
            "//example.com",
            "ftp://x",
            "ws://x",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://user@example.com",
            "http://localhost@evil.com",
            "https://example.com\\@evil.com",
            "https://a b",
            "https://exa\u{6d}ple.com:0",
            "https://example.com:",
            "https://example.com:65536",
            "https://example.com:+1",
            "https://example.com:8080:9",
            "https://[::1",
            "https://[::1]x",
            "https://[zz]",
            "https://bücher.example",
            "https://example.com?x=1",
            "https://example.com#x",
            "https://example.com/a?b",
            "https://example.com/a#b",
            "https://example.com/../x",
            "https://example.com/./x",
            "https://example.com/%2e%2e",
            "https://example.com//x",
            "https://example.com/a b",
            "https://example.com\n",
            " https://example.com",
            "https://.example.com",
            "https://%41",
        ] {
            assert_eq!(code(bad), Some(Code::Address), "{bad:?}");
            assert!(Address::parse(bad, true).is_err(), "{bad:?}");
        }
        assert_eq!(code(&format!("https://{}", "a".repeat(254))), Some(Code::Address));
        assert_eq!(code(&format!("https://h/{}", "a".repeat(MAX_ADDRESS))), Some(Code::Address));
    }

    #[test]
    fn a_prefix_stays_and_slashes_at_the_end_go() {
        let address = Address::parse("https://H.example:8443/edictum/v2///", false).unwrap();
        assert_eq!(address.to_string(), "https://h.example:8443/edictum/v2");
        assert_eq!((address.authority(), address.prefix()), ("h.example:8443", "/edictum/v2"));
        assert!(!address.is_loopback());
        assert_eq!(Address::parse("http://[::1]:7///", false).unwrap().to_string(), "http://[::1]:7");
    }

    #[test]
    fn a_refusal_does_not_repeat_the_address() {
        let error = Address::parse("https://user:hunter2@example.com", false).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
