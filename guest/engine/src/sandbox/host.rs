//! One spelling for each host, on both sides of a comparison, and the patterns of `allows.domains` and
//! `not_allows.domains` (engine.md §5, §6.5). Where hosts come from is `address`.

use std::net::{IpAddr, Ipv6Addr};

use url::Host;

use crate::diagnostics::{Code, Findings};
use crate::documents::ruleset::Spanned;

/// Longest host, in bytes of its ASCII form.
const MAX_HOST: usize = 253;

/// The one spelling of a host: lower case, IDNA as ASCII, without a final dot, addresses in canonical form (IPv6 without
/// brackets, IPv4 in IPv6 as IPv4). None when it is not a host that every reader would take.
pub(super) fn canonical(host: &str) -> Option<String> {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Ok(address) = bracketed.unwrap_or(host).parse::<Ipv6Addr>() {
        return Some(address_text(IpAddr::V6(address)));
    }
    // Percent-encoding is decoded by some readers only.
    if host.contains('%') {
        return None;
    }
    match Host::parse(host).ok()? {
        Host::Ipv4(address) => Some(address_text(IpAddr::V4(address))),
        Host::Ipv6(address) => Some(address_text(IpAddr::V6(address))),
        Host::Domain(domain) => {
            let domain = domain.strip_suffix('.').unwrap_or(&domain);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let good = domain.len() <= MAX_HOST
                && domain.bytes().all(plain)
                && domain.split('.').all(|label| !label.is_empty());
            good.then(|| domain.to_owned())
        }
    }
}

fn address_text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// A pattern of hosts, brought into the form that [`canonical`] gives hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(String);

impl Pattern {
    /// Compiles a pattern and warns (`W_GLOB`) about one that does not mean what it looks like.
    pub(super) fn compile(pattern: &Spanned<String>, findings: &mut Findings) -> Self {
        let text = pattern.value.to_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text);
        if let Some(host) = canonical(text) {
            return Self(host);
        }
        if let Some((message, help)) = lint(text) {
            findings.warning(Code::LintGlob, pattern.span, format!("domain `{}` {message}", pattern.value)).help(help);
        }
        let labels: Vec<String> = text.split('.').map(label).collect();
        Self(labels.join("."))
    }

    /// Whether it matches a canonical host.
    pub(super) fn matches(&self, host: &str) -> bool {
        host_glob(&self.0, host)
    }
}

/// A label of a pattern as ASCII, when it is not itself a pattern.
fn label(label: &str) -> String {
    let plain = !label.is_ascii() && !label.contains(['*', '?', '[']);
    plain.then(|| canonical(label)).flatten().unwrap_or_else(|| label.to_owned())
}

fn lint(pattern: &str) -> Option<(&'static str, &'static str)> {
    if pattern.contains(['/', ':', '@', ' ']) {
        return Some(("matches no host", "write the host alone, without scheme, port or path"));
    }
    if !pattern.contains(['*', '?', '[']) {
        return Some(("matches no host", "write a host name or an address"));
    }
    if pattern.starts_with('*') && pattern.trim_start_matches('*').starts_with(|next: char| next != '.') {
        return Some(("also matches hosts that only end like it", "write `*.example.com` and `example.com`"));
    }
    if pattern.ends_with(".*") {
        return Some(("also matches foreign hosts that begin like it", "end the pattern with the part that you own"));
    }
    let labels = pattern.split('.');
    (labels.filter(|label| label.contains(['*', '?', '['])).any(|label| !label.is_ascii()))
        .then_some(("never matches a host with letters beyond ASCII", "write the label as `xn--…`"))
}

/// Case-sensitive fnmatch on the whole host: `*`, `?`, `[seq]`, `[!seq]`. Time grows with the product of the lengths,
/// and hosts are short.
pub(super) fn host_glob(pattern: &str, host: &str) -> bool {
    let (mut pattern_rest, mut host_rest) = (pattern, host);
    // Where to go on when what follows the last `*` does not match here.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        if let Some(after) = pattern_rest.strip_prefix('*') {
            pattern_rest = after;
            retry = Some((after, host_rest));
            continue;
        }
        let mut chars = host_rest.chars();
        let matched = match chars.next() {
            None if pattern_rest.is_empty() => return true,
            None => None,
            Some(char) => element(pattern_rest, char),
        };
        if let Some(after) = matched {
            (pattern_rest, host_rest) = (after, chars.as_str());
            continue;
        }
        let Some((after_star, from)) = retry else { return false };
        let mut longer = from.chars();
        if longer.next().is_none() {
            return false;
        }
        (pattern_rest, host_rest) = (after_star, longer.as_str());
        retry = Some((after_star, host_rest));
    }
}

/// The rest of a pattern when its first element matches the character.
fn element(pattern: &str, char: char) -> Option<&str> {
    let mut chars = pattern.chars();
    let first = chars.next()?;
    let after = chars.as_str();
    match first {
        '?' => Some(after),
        '[' => match set(after) {
            Some((members, negated, rest)) => (in_set(members, char) != negated).then_some(rest),
            None => (char == '[').then_some(after),
        },
        _ => (first == char).then_some(after),
    }
}

/// Members, whether negated, and what follows a set; none when it is not closed.
fn set(text: &str) -> Option<(&str, bool, &str)> {
    let members = text.strip_prefix('!').unwrap_or(text);
    let from = usize::from(members.starts_with(']'));
    let end = members.get(from..)?.find(']')? + from;
    Some((members.get(..end)?, members.len() != text.len(), members.get(end + 1..)?))
}

fn in_set(members: &str, char: char) -> bool {
    let mut rest = members.chars();
    while let Some(low) = rest.next() {
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(high)) => {
                if (low..=high).contains(&char) {
                    return true;
                }
                rest = ahead;
            }
            _ if low == char => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Span;
    use proptest::prelude::*;

    #[test]
    fn gives_each_host_one_spelling() {
        for (host, expected) in [
            ("A.com", "a.com"),
            ("a.com.", "a.com"),
            ("bücher.de", "xn--bcher-kva.de"),
            ("XN--bcher-kva.de", "xn--bcher-kva.de"),
            ("ａ.com", "a.com"),
            ("a\u{3002}com", "a.com"),
            ("my_host", "my_host"),
            ("127.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("[0:0::0:1]", "::1"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("[::FFFF:7f00:1]", "127.0.0.1"),
        ] {
            assert_eq!(canonical(host).as_deref(), Some(expected), "{host}");
        }
        let long = format!("{}.com", "a.".repeat(130));
        for host in [
            "",
            ".",
            "..",
            "a..com",
            "a.com..",
            "a b",
            "a%2ecom",
            "a/b",
            "a@b",
            "a\u{ff0f}b",
            "a:80",
            "[::1",
            "a'b",
            "1.2.3.4.5",
            "256.1.1.1",
            &long,
        ] {
            assert_eq!(canonical(host), None, "{host}");
        }
    }

    fn pattern(text: &str) -> (Pattern, Vec<String>) {
        let mut findings = Findings::default();
        let compiled = Pattern::compile(&Spanned { value: text.to_owned(), span: Span::default() }, &mut findings);
        (compiled, findings.into_list().into_iter().map(|finding| finding.message).collect())
    }

    #[test]
    fn patterns_match_canonical_hosts() {
        for (text, matches, misses) in [
            ("EVIL.com", &["evil.com"][..], &["sub.evil.com", "xevil.com"][..]),
            ("a.com.", &["a.com"], &[]),
            ("*.a.com", &["x.a.com", "x.y.a.com"], &["a.com", "xa.com"]),
            ("*", &["a.com", "::1"], &[]),
            ("*.Bücher.de", &["x.xn--bcher-kva.de"], &["x.bcher.de"]),
            ("bücher.de", &["xn--bcher-kva.de"], &[]),
            ("127.1", &["127.0.0.1"], &[]),
            ("[::1]", &["::1"], &["1"]),
            ("0::1", &["::1"], &[]),
            ("api-[0-9].a.com", &["api-7.a.com"], &["api-x.a.com"]),
            ("api-?.A.com", &["api-x.a.com"], &["api-.a.com"]),
        ] {
            let (compiled, findings) = pattern(text);
            for host in matches {
                assert!(compiled.matches(host), "{text} {host}");
            }
            for host in misses {
                assert!(!compiled.matches(host), "{text} {host}");
            }
            assert_eq!(findings, Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn warns_about_patterns_that_match_more_or_less_than_they_seem() {
        for text in ["*a.com", "https://a.com", "a.com:80", "a.com/x", "192.168.*", "bü*.de", "a b"] {
            assert_eq!(pattern(text).1.len(), 1, "{text}");
        }
    }

    #[test]
    fn globs_follow_fnmatch() {
        for (pattern, text, expected) in [
            ("mcp_*", "mcp_", true),
            ("mcp_*", "xmcp_y", false),
            ("a*b", "a\nb", true),
            ("?", "é", true),
            ("?", "", false),
            ("a[!c]", "ab", true),
            ("a[!c]", "ac", false),
            ("a[^b]", "a^", true),
            ("a[^b]", "ax", false),
            ("a[b", "a[b", true),
            ("a[b", "ab", false),
            ("a[]]", "a]", true),
            ("a[a-]", "a-", true),
            ("a[z-a]", "az", false),
            ("[!]", "[!]", true),
            ("[!]", "a", false),
            ("a{b,c}", "ab", false),
            ("bash", "Bash", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("**a**", "xay", true),
            ("*a*b", "aab", true),
            ("*ab", "aab", true),
            ("*ab", "aba", false),
        ] {
            assert_eq!(host_glob(pattern, text), expected, "{pattern} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn canonical_is_its_own_canonical(host in any::<String>(), plain in "[a-zA-Z0-9.:é\\[\\]-]{0,12}") {
            for host in [host, plain] {
                if let Some(once) = canonical(&host) {
                    prop_assert_eq!(canonical(&once), Some(once.clone()), "{}", host);
                }
            }
        }

        #[test]
        fn never_panics(glob in any::<String>(), host in any::<String>()) {
            let _ = host_glob(&glob, &host);
            let _ = pattern(&glob);
        }
    }
}
