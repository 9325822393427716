//! The hosts that a call may reach (engine.md §6.5): every `scheme://` in every string, and what stands under keys such
//! as `url` or `host`. Two readers must agree on each: one after RFC 3986 here, one after WHATWG (`url`); where tools may
//! disagree, the host is not verifiable.

use std::collections::BTreeSet;

use url::Url;

use super::host::canonical;
use super::key::Key;
use super::shell;

/// So many hosts of one call are looked at, repeated ones counted.
pub(super) const MAX_HOSTS: usize = 1024;

/// Longest URL that is read as a whole, in bytes.
const MAX_URL_BYTES: usize = 64 * 1024;

/// Longest authority (user, host and port), in bytes.
const MAX_AUTHORITY: usize = 2048;

/// Longest scheme, in bytes.
const MAX_SCHEME: usize = 64;

/// Schemes whose URLs have a host even with other slashes than `//`.
const NETWORK_SCHEMES: [&str; 5] = ["http:", "https:", "ws:", "wss:", "ftp:"];

/// Hosts of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    /// In canonical form.
    pub(super) found: BTreeSet<String>,
    /// Somewhere there is a URL without a host that both readers see.
    pub(super) unverifiable: bool,
    /// There were more than [`MAX_HOSTS`].
    pub(super) too_many: bool,
    looked_at: usize,
}

impl Hosts {
    /// Looks through a string that stands under a key.
    pub(super) fn text(&mut self, key: Key, text: &str) {
        if (!key.address && !text.contains(':')) || self.refused() {
            return;
        }
        let value = text.trim_matches([' ', '\t', '\r', '\n']);
        if value.is_empty() {
            return;
        }
        self.value(value, key.address);
        // A shell puts together what quotes and backslashes keep apart.
        if key.command && text.contains(['"', '\'', '\\']) {
            for word in shell::words(text).filter(|word| word.text.contains(':')) {
                self.value(&word.text, false);
            }
        }
    }

    fn value(&mut self, text: &str, address: bool) {
        let mut from = 0;
        if begins_url(text) {
            self.take(whole(text, address));
            from = text.find("://").map_or(text.len(), |at| at + 3);
        } else if address {
            self.take(without_scheme(text));
        }
        while let Some(at) = text.get(from..).and_then(|rest| rest.find("://")).map(|at| from + at) {
            self.take(within(text, at, from));
            from = at + 3;
            if self.refused() {
                return;
            }
        }
    }

    /// Whether every rule about hosts refuses the call, whatever else is found.
    pub(super) const fn refused(&self) -> bool {
        self.unverifiable || self.too_many
    }

    fn take(&mut self, host: Option<String>) {
        self.looked_at += 1;
        match host {
            None => self.unverifiable = true,
            Some(_) if self.looked_at > MAX_HOSTS => self.too_many = true,
            Some(host) => {
                self.found.insert(host);
            }
        }
    }
}

/// Whether a whole text is meant as a URL: it has a scheme and `//`, or a scheme that browsers complete. They pass over
/// tabs and line ends.
fn begins_url(text: &str) -> bool {
    let end = text.bytes().position(|byte| !is_scheme(byte)).unwrap_or(0);
    if text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.get(end..).is_some_and(|rest| rest.starts_with("://"))
    {
        return true;
    }
    let longest = NETWORK_SCHEMES.iter().map(|scheme| scheme.len()).max().unwrap_or(0);
    let visible = text.chars().filter(|char| !matches!(char, '\t' | '\r' | '\n'));
    let start = visible.take(longest + 1).collect::<String>().to_ascii_lowercase();
    NETWORK_SCHEMES.iter().filter_map(|scheme| start.strip_prefix(scheme)).any(|rest| !rest.is_empty())
}

const fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// A text that is a URL from its first to its last character.
fn whole(text: &str, address: bool) -> Option<String> {
    let at = text.find("://")?;
    let rest = text.get(at + 3..)?;
    let authority = rest.get(..rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    if text.contains('\\') || authority.len() > MAX_AUTHORITY {
        return None;
    }
    let strange = |text: &str| text.contains(|char: char| char.is_whitespace() || char.is_control());
    if strange(text.get(..at)?) || strange(authority) {
        return None;
    }
    // Prose that begins with a URL goes on after a space; a URL does not.
    let checked = if address { text } else { text.get(..at + 3 + authority.len())? };
    if strange(checked) || checked.len() > MAX_URL_BYTES {
        return None;
    }
    agreed(authority, checked)
}

/// What stands under `url` or `host` without a scheme.
fn without_scheme(text: &str) -> Option<String> {
    if text.contains('\\') || text.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return None;
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return canonical(text);
    }
    let rest = text.strip_prefix("//").unwrap_or(text);
    let authority = rest.get(..rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    if authority.len() > MAX_AUTHORITY { None } else { agreed(authority, &format!("https://{authority}/")) }
}

/// The URL around the `://` at a place of a text, no part of which before `from` belongs to it.
fn within(text: &str, at: usize, from: usize) -> Option<String> {
    let before = text.get(from..at)?;
    let start = before.bytes().rev().take_while(|byte| is_scheme(*byte)).count();
    let scheme = before.get(before.len() - start..)?.trim_start_matches(|char: char| !char.is_ascii_alphabetic());
    if scheme.is_empty() || scheme.len() > MAX_SCHEME {
        return None;
    }
    let rest = text.get(at + 3..)?;
    let end = rest.find(ends_authority).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.len() > MAX_AUTHORITY || !ends_cleanly(tail) {
        return None;
    }
    agreed(authority, &format!("{scheme}://{authority}/"))
}

fn ends_authority(char: char) -> bool {
    matches!(char, '/' | '?' | '#' | '\\') || char.is_whitespace() || char.is_control() || closes(char)
}

/// What may end a URL in a text around it.
const fn closes(char: char) -> bool {
    is_quote(char) || matches!(char, '<' | '>' | ')' | '}' | '|' | ',' | ';' | '*' | '!')
}

const fn is_quote(char: char) -> bool {
    matches!(char, '"' | '\'' | '`')
}

/// Whether no reader can take what follows an authority for a part of it. A shell joins what stands on both sides of
/// quotes, also of empty ones.
fn ends_cleanly(tail: &str) -> bool {
    let Some(first) = tail.chars().next() else { return true };
    if matches!(first, '/' | '?' | '#') || first.is_whitespace() {
        return true;
    }
    if !closes(first) {
        return false;
    }
    let after =
        if is_quote(first) { tail.trim_start_matches(is_quote) } else { tail.strip_prefix(first).unwrap_or("") };
    let mut after = after.chars();
    match after.next() {
        Some('.' | ':') => after.next().is_none_or(|next| next.is_whitespace() || next == ')'),
        None | Some('/' | ']') => true,
        Some(next) => next.is_whitespace() || closes(next),
    }
}

/// The host, when both readers find the same.
fn agreed(authority: &str, url: &str) -> Option<String> {
    let host = rfc_host(authority)?;
    let other = Url::parse(url).ok()?;
    let other = canonical(other.host_str()?)?;
    (host == other).then_some(host)
}

/// The canonical host of an authority after RFC 3986, letters beyond ASCII allowed.
fn rfc_host(authority: &str) -> Option<String> {
    let (user, rest) = authority.rsplit_once('@').unwrap_or(("", authority));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%".contains(&byte);
    if !user.bytes().all(plain) {
        return None;
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let port = if port.is_empty() { port } else { port.strip_prefix(':')? };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || (!port.is_empty() && port.parse::<u16>().is_err()) {
        return None;
    }
    canonical(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hosts(key: &str, text: &str) -> Hosts {
        let mut hosts = Hosts::default();
        hosts.text(Key::of(key), text);
        hosts
    }

    #[track_caller]
    fn finds(key: &str, text: &str, expected: &[&str]) {
        let found = hosts(key, text);
        assert!(!found.unverifiable, "{key}: {text}");
        assert_eq!(found.found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{key}: {text}");
    }

    #[track_caller]
    fn refuses(key: &str, text: &str) {
        assert!(hosts(key, text).unverifiable, "{key}: {text}");
    }

    #[test]
    fn finds_the_host_that_every_reader_goes_to() {
        for (text, expected) in [
            ("https://a.com", "a.com"),
            ("https://user:pw@a.com", "a.com"),
            ("https://evil.com@a.com", "a.com"),
            ("https://a.com@evil.com", "evil.com"),
            ("https://a.com:80@evil.com", "evil.com"),
            ("https://a.com:8080/x", "a.com"),
            ("HTTPS://A.com", "a.com"),
            ("https://a.com.", "a.com"),
            ("https://bücher.de", "xn--bcher-kva.de"),
            ("https://xn--bcher-kva.de", "xn--bcher-kva.de"),
            ("https://ａ.com", "a.com"),
            ("https://a\u{3002}com", "a.com"),
            ("https://[::1]/x", "::1"),
            ("https://[::1]:80/x", "::1"),
            ("https://127.1", "127.0.0.1"),
            ("https://2130706433", "127.0.0.1"),
            ("https://0x7f000001/", "127.0.0.1"),
            ("  https://a.com/x?y#z", "a.com"),
            ("ssh://git@a.com/x", "a.com"),
            ("foo+bar://A.com/x", "a.com"),
        ] {
            finds("url", text, &[expected]);
            finds("x", text, &[expected]);
        }
    }

    #[test]
    fn refuses_urls_that_readers_take_differently() {
        for text in [
            "https://evil.com\\@a.com",
            "https://a.com\\",
            "https:\\\\a.com",
            "https:/a.com",
            "https:a.com",
            "https:///a.com",
            "https:\n//a.com",
            "ht\ttps://a.com",
            "https://a@b@c.com",
            "https://a.com:abc",
            "https://a.com:99999",
            "https://a%2ecom",
            "https://a.com%00.evil.com",
            "https://a.com https://evil.com",
            "https://a.com @evil.com",
            "https://a.com\n@evil.com",
            "https://a.com\u{0}",
            "https://[::1",
            "https://[v1.a]/",
            "https://a.com[evil]",
            "https://a.com\u{ff0f}.evil.com",
            "https://a.com\u{ff20}evil.com",
            "https://a.com'.evil.com",
            "https://",
            "https://?x",
            "https://@/",
            "file:///etc/passwd",
            "https://$HOST/",
            "https://{a,b}.com",
        ] {
            refuses("url", text);
            refuses("x", text);
        }
        refuses("url", "https://a.com/x y");
        refuses("url", &format!("https://a.com/{}", "x".repeat(MAX_URL_BYTES)));
        refuses("x", &format!("https://{}", "x".repeat(MAX_AUTHORITY + 1)));
    }

    #[test]
    fn finds_urls_within_texts() {
        for (text, expected) in [
            ("see https://a.com and https://b.com.", &["a.com", "b.com"][..]),
            ("(https://a.com)", &["a.com"]),
            ("[x](https://a.com).", &["a.com"]),
            ("--url=https://evil.com", &["evil.com"]),
            ("url=https://evil.com/x", &["evil.com"]),
            ("curl -Uhttps://evil.com", &["evil.com"]),
            ("curl \"https://a.com/x\"", &["a.com"]),
            ("{\"a\":\"https://a.com\",\"b\":\"https://b.com\"}", &["a.com", "b.com"]),
            ("<a href=\"https://a.com\"/>", &["a.com"]),
            ("https://a.com/?next=https://evil.com/x", &["a.com", "evil.com"]),
            ("x\nhttps://a.com\ny", &["a.com"]),
            ("https://a.com/x is nice", &["a.com"]),
        ] {
            finds("x", text, expected);
        }
        // The name is taken in pieces by a shell and put together again.
        for text in ["curl https://a.com'@evil.com'", "curl https://a.com\"\".evil.com/", "curl https://a\\.com"] {
            let found = hosts("command", text);
            assert!(found.unverifiable || found.found.iter().any(|host| host != "a.com"), "{text}");
        }
        assert!(hosts("command", "curl https:'//'evil.com").found.contains("evil.com"));
        for text in [
            "x https://a.com\"\".evil.com",
            "x https://a.com'.'evil.com",
            "x https://a.com\"@\"evil.com",
            "x https://a.com{,.evil.com}",
            "{x,https://a.com}.evil.com",
            "https://a.com`x`",
            "x https://a.com\\.evil.com",
        ] {
            refuses("x", text);
        }
        for text in
            ["see ://a.com", "x https://a.com;b", "x https://a.com,evil", "x https://a.com\\x", "x https://a.com&b"]
        {
            refuses("x", text);
        }
    }

    #[test]
    fn takes_hosts_without_a_scheme_under_their_keys_only() {
        for (text, expected) in [
            ("evil.com", "evil.com"),
            ("evil.com/x", "evil.com"),
            ("Evil.com:443", "evil.com"),
            ("//evil.com/x", "evil.com"),
            ("localhost:3000", "localhost"),
            ("::1", "::1"),
            ("[::1]:80", "::1"),
            ("user@evil.com", "evil.com"),
        ] {
            finds("host", text, &[expected]);
            finds("url", text, &[expected]);
            finds("x", text, &[]);
        }
        for text in ["/about", "see docs", "data:text/plain,x", "a.com\\b", "?x"] {
            refuses("link", text);
            finds("x", text, &[]);
        }
        finds("url", "", &[]);
        finds("url", "  ", &[]);
    }

    #[test]
    fn stops_at_so_many_hosts() {
        let text: String = (0..=MAX_HOSTS).map(|host| format!("x://h{host}/ ")).collect();
        assert!(hosts("x", &text).too_many);
    }

    proptest! {
        #[test]
        fn never_panics(key in prop::sample::select(vec!["url", "command", "x"]), text in any::<String>()) {
            let _ = hosts(key, &text);
        }

        #[test]
        fn a_forbidden_host_cannot_be_hidden(
            before in "[a-z :/@.\\\\'\"(=-]{0,12}", after in "[a-z :/@.\\\\'\"?#-]{0,12}"
        ) {
            // Whatever is around it: the host is found, or the text is refused, or another URL reader does not go there.
            let text = format!("{before}https://evil.com{after}");
            let found = hosts("x", &text);
            let goes_there = Url::parse(text.trim()).is_ok_and(|url| url.host_str() == Some("evil.com"));
            if goes_there {
                prop_assert!(found.unverifiable || found.found.contains("evil.com"), "{text}");
            }
        }

        #[test]
        fn what_a_browser_would_open_is_found(text in "(https?|ws)[:/\\\\]{1,4}[a-z.@:\\\\/ \\t]{1,12}") {
            if let Ok(url) = Url::parse(&text) && let Some(host) = url.host_str() {
                let found = hosts("x", &text);
                let host = canonical(host);
                prop_assert!(found.unverifiable || host.is_none_or(|host| found.found.contains(&host)), "{text}");
            }
        }
    }
}
