//! What ours takes for a secret and the reference does not, and the other way round (engine.md §10). A reading of its
//! own of the few forms that cases of this divergence are made of.

use crate::differential::datum::Datum;

const MARK: &str = "[REDACTED]";

/// Names that both know, glued or with `_`.
const NAMES: &[&str] = &[
    "password",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization",
    "auth",
    "credentials",
    "private_key",
    "privatekey",
    "access_token",
    "refresh_token",
    "client_secret",
    "connection_string",
    "database_url",
    "db_password",
    "ssh_key",
    "passphrase",
];

const SAFE: &[&str] =
    &["max_tokens", "num_tokens", "input_tokens", "output_tokens", "total_tokens", "sort_keys", "index_keys"];

const PARTS: &[&str] =
    &["token", "tokens", "key", "keys", "secret", "secrets", "password", "passwords", "credential", "credentials"];

/// Parts of names that only ours knows.
const OUR_PARTS: &[&str] = &[
    "passwd",
    "pwd",
    "pass",
    "bearer",
    "cookie",
    "cookies",
    "jwt",
    "creds",
    "cred",
    "otp",
    "pin",
    "signature",
    "sig",
    "dsn",
    "auth",
    "authorization",
    "passphrase",
    "apikey",
    "sessionid",
    "sshkey",
];

/// Whether what stands under a key is a secret.
#[must_use]
pub fn sensitive(key: &str, ours: bool) -> bool {
    let plain = key.to_lowercase().replace('-', "_");
    if NAMES.contains(&plain.as_str()) {
        return true;
    }
    if SAFE.contains(&plain.as_str()) {
        return false;
    }
    if !ours {
        return plain.split('_').any(|part| PARTS.contains(&part));
    }
    let mut words = vec![String::new()];
    let mut last = ' ';
    for char in key.chars() {
        let hump = char.is_uppercase() && last.is_lowercase();
        if hump || !char.is_alphanumeric() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (char.is_alphanumeric(), words.last_mut()) {
            word.extend(char.to_lowercase());
        }
        last = char;
    }
    words.iter().any(|word| PARTS.contains(&word.as_str()) || OUR_PARTS.contains(&word.as_str()))
}

/// How secrets begin, and how many characters follow at least.
const SECRETS: &[(&str, usize)] = &[("sk-", 20), ("AKIA", 16), ("ghp_", 36), ("xoxb-", 10)];

/// Those that only ours knows.
const OUR_SECRETS: &[(&str, usize)] =
    &[("glpat-", 16), ("github_pat_", 20), ("sk_live_", 10), ("npm_", 20), ("hf_", 20)];

fn word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}

/// Whether the reference takes the text for a secret.
#[must_use]
pub fn begins_secret(text: &str) -> bool {
    SECRETS.iter().any(|(start, length)| {
        text.strip_prefix(start)
            .is_some_and(|rest| rest.chars().take_while(|char| char.is_ascii_alphanumeric()).count() >= *length)
    })
}

/// The text without what looks like a secret, wherever it stands after a space.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let words = text.split(' ').map(|part| {
        let secret = SECRETS.iter().chain(OUR_SECRETS).any(|(start, length)| {
            part.strip_prefix(start).is_some_and(|rest| rest.chars().take_while(|char| word(*char)).count() >= *length)
        });
        if secret { MARK } else { part }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Commands that the two redact differently, with what ours makes of them.
pub const COMMANDS: &[(&str, &str)] = &[
    ("mkdir -p /tmp/a/b", "mkdir -p /tmp/a/b"),
    ("docker run -p 80:80 web", "docker run -p 80:80 web"),
    ("ls my-project/x", "ls my-project/x"),
    ("find . -prune", "find . -prune"),
    ("rg --pre x y", "rg --pre x y"),
    ("API_KEY=abc123 deploy", "API_KEY=[REDACTED] deploy"),
    ("deploy --token abc123", "deploy --token [REDACTED]"),
    ("curl -u ana:hunter2 host", "curl -u ana:[REDACTED] host"),
    ("git clone https://us.er:pw@host/x", "git clone https://us.er:[REDACTED]@host/x"),
];

/// Arguments as ours logs them, from those of the call and those that the reference logs.
#[must_use]
pub fn arguments(raw: &Datum, logged: &Datum) -> Datum {
    match (raw, logged) {
        (Datum::Map(entries), _) => Datum::Map(
            entries
                .iter()
                .map(|(key, value)| {
                    let there = logged.get(key).cloned().unwrap_or_default();
                    (key.clone(), if sensitive(key, true) { MARK.into() } else { arguments(value, &there) })
                })
                .collect(),
        ),
        (Datum::List(items), Datum::List(logged)) if items.len() == logged.len() => {
            Datum::list(items.iter().zip(logged).map(|(item, logged)| arguments(item, logged)))
        }
        (Datum::String(text), logged) => {
            if let Some((_, ours)) = COMMANDS.iter().find(|(command, _)| command == text) {
                return (*ours).into();
            }
            let ours = without_secrets(text);
            if ours != *text && *logged == Datum::from(text.as_str()) { ours.into() } else { logged.clone() }
        }
        (_, logged) => logged.clone(),
    }
}
