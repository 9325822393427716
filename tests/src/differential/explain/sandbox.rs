//! What a call touches by ours and not by the reference (engine.md §6, REC): values in lists and maps, relative and glued
//! paths, spellings, addresses without a host. A reading of its own, without symbolic links; where it finds nothing more
//! than the reference, the reference's ending stands.

use super::policy::Rule;
use crate::differential::datum::Datum;

/// Keys whose strings are paths, without `_` and in lower case.
const PATH_KEYS: &[&str] = &[
    "path",
    "filepath",
    "directory",
    "dir",
    "folder",
    "target",
    "destination",
    "source",
    "src",
    "dst",
    "file",
    "filename",
    "cwd",
    "workdir",
    "workingdirectory",
    "root",
    "base",
    "output",
    "outputpath",
    "inputpath",
    "oldpath",
    "newpath",
    "paths",
    "files",
    "uri",
];

const COMMAND_KEYS: &[&str] = &["command", "cmd", "script", "bashcommand", "shell"];

const HOST_KEYS: &[&str] = &["host", "hostname", "domain"];

const URL_KEYS: &[&str] = &["url", "uri", "endpoint", "href", "link"];

fn plain(key: &str) -> String {
    key.chars().filter(|char| !matches!(char, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Strings with the nearest key above them.
fn strings<'d>(value: &'d Datum, key: &str, found: &mut Vec<(String, &'d str)>) {
    match value {
        Datum::String(text) => found.push((key.to_owned(), text)),
        Datum::List(items) => items.iter().for_each(|item| strings(item, key, found)),
        Datum::Map(entries) => entries.iter().for_each(|(key, value)| strings(value, &plain(key), found)),
        _ => {}
    }
}

/// Whether the call is outside of the rule.
#[must_use]
pub fn outside(rule: &Rule, args: &Datum) -> bool {
    let mut found = Vec::new();
    strings(args, "", &mut found);
    let within: Vec<&str> = rule.content.list_of("within").iter().filter_map(Datum::as_str).collect();
    if !within.is_empty() {
        let mut candidates = Vec::new();
        for (key, text) in &found {
            if COMMAND_KEYS.contains(&key.as_str()) {
                command(text, &mut candidates);
            } else if PATH_KEYS.contains(&key.as_str()) || looks_like_path(text) {
                candidates.push(Some((*text).to_owned()));
            }
        }
        if candidates.iter().any(|path| path.as_ref().is_none_or(|path| !inside(path, &within))) {
            return true;
        }
    }
    let allowed: Vec<&str> = rule
        .content
        .at(&["allows", "domains"])
        .map_or(&[][..], Datum::items)
        .iter()
        .filter_map(Datum::as_str)
        .collect();
    !allowed.is_empty() && found.iter().any(|(key, text)| !hosts_allowed(key, text, &allowed))
}

/// Whether a string is a path whatever its key.
fn looks_like_path(text: &str) -> bool {
    ["/", "~", "./", "../", "file:"].iter().any(|start| text.starts_with(start))
        || text == ".."
        || text.contains("/../")
}

/// Paths in a command; none: one whose target cannot be known.
fn command(text: &str, found: &mut Vec<Option<String>>) {
    for token in text.split_whitespace() {
        let token = token.trim_matches(|char| matches!(char, '"' | '\''));
        let mut parts = vec![token];
        parts.extend(token.split_once('=').map(|(_, rest)| rest));
        parts.extend(token.split_once('@').map(|(_, rest)| rest));
        parts.extend(token.rsplit_once(['<', '>']).map(|(_, rest)| rest));
        if token.starts_with('-') && !token.starts_with("--") {
            parts.extend(token.get(2..));
        }
        for part in parts {
            if part.starts_with(['~', '$']) || part.contains(['*', '?', '[', '{']) {
                found.push(None);
            } else if !part.starts_with('-') && !part.contains("://") && (part.contains('/') || looks_like_path(part)) {
                if part == token
                    && !part.starts_with('/')
                    && (token.contains('=') || token.contains('@') || token.contains(['<', '>']))
                {
                    continue;
                }
                found.push(Some(part.to_owned()));
            }
        }
    }
}

fn inside(path: &str, within: &[&str]) -> bool {
    let mut path = path.strip_prefix("file://").unwrap_or(path).to_owned();
    if path.starts_with('~') || path.chars().any(char::is_control) {
        return false;
    }
    for _ in 0..3 {
        path = decoded(&path);
    }
    if decoded(&path) != path || path.chars().any(char::is_control) {
        return false;
    }
    let path = resolved(&path.replace('\\', "/"));
    within.iter().any(|boundary| {
        let boundary = resolved(boundary);
        path == boundary || boundary == "/" || path.starts_with(&format!("{boundary}/"))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| text_of(tail)).flatten();
        match code {
            Some(code) => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text_of(hex: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(hex.get(..2)?).ok()?, 16).ok()
}

fn resolved(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn hosts_allowed(key: &str, text: &str, allowed: &[&str]) -> bool {
    let permits = |host: &str| {
        let host = host.trim_end_matches('.').to_lowercase();
        allowed.iter().any(|pattern| matches(pattern, &host))
    };
    if text.contains("://") {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("://") {
            let end = after.find(['/', '?', '#', ' ', ')', '"', '\'']).unwrap_or(after.len());
            let authority = after.get(..end).unwrap_or("");
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let host = match host.strip_prefix('[') {
                Some(host) => host.split_once(']').map_or("", |(host, _)| host),
                None => host.split_once(':').map_or(host, |(host, _)| host),
            };
            if authority.contains(['\\', '%']) || !permits(host) {
                return false;
            }
            rest = after;
        }
        return true;
    }
    !(URL_KEYS.contains(&key) || HOST_KEYS.contains(&key)) || permits(text)
}

/// Whether a host ends in a dot: the reference takes it for another one.
#[must_use]
pub fn has_dotted_host(args: &Datum) -> bool {
    let mut found = Vec::new();
    strings(args, "", &mut found);
    found.iter().any(|(_, text)| text.contains("://") && (text.contains("./") || text.ends_with('.')))
}

/// Globs with no more than a star at their start or end.
fn matches(pattern: &str, host: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) if !end.contains('*') => host.ends_with(end),
        (_, Some(start)) => host.starts_with(start),
        _ => pattern == host,
    }
}
