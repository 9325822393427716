//! Which keys hold secrets (engine.md §10.2): by whole names and by the words that a name is made of. A name is split at
//! everything that is no letter or digit, at humps (`clientSecret`, `APIKey`) and between letters and digits.

use std::collections::BTreeSet;

/// Sensitive names, sorted. No setting makes them safe.
const NAMES: [&str; 24] = [
    "access_token",
    "api_key",
    "api_tokens",
    "apikey",
    "auth",
    "authorization",
    "client_secret",
    "connection_string",
    "credentials",
    "database_url",
    "db_password",
    "db_passwords",
    "encryption_keys",
    "jwt_tokens",
    "oauth_secrets",
    "passphrase",
    "password",
    "private_key",
    "privatekey",
    "refresh_token",
    "secret",
    "ssh_key",
    "token",
    "user_credentials",
];

/// Names that hold a sensitive word and no secret, sorted.
const SAFE_NAMES: [&str; 13] = [
    "audio_tokens",
    "cache_tokens",
    "cached_tokens",
    "completion_tokens",
    "index_keys",
    "input_tokens",
    "max_tokens",
    "num_tokens",
    "output_tokens",
    "prompt_tokens",
    "reasoning_tokens",
    "sort_keys",
    "total_tokens",
];

/// Words that make a name sensitive, by their length; among them names that are often written as one word.
const WORDS: [&[&str]; 17] = [
    &[],
    &[],
    &[],
    &["dsn", "jwt", "key", "otp", "pin", "pwd", "sig"],
    &["auth", "cred", "keys", "pass"],
    &["creds", "token"],
    &["apikey", "bearer", "cookie", "passwd", "secret", "sshkey", "tokens"],
    &["apikeys", "cookies", "secrets"],
    &["apitoken", "password"],
    &["accesskey", "authtoken", "passwords", "secretkey", "sessionid", "signature"],
    &["credential", "passphrase", "privatekey"],
    &["accesstoken", "credentials", "databaseurl"],
    &["clientsecret", "refreshtoken", "sessiontoken"],
    &["authorization", "encryptionkey"],
    &[],
    &[],
    &["connectionstring"],
];

/// First words of the sensitive names that have no sensitive word.
const WORDLESS: [&[u8]; 2] = [b"connection", b"database"];

/// Parts of words that leave no doubt, of one length.
const STEMS: [&[u8]; 2] = [b"passwd", b"passwo"];
const STEM: usize = 6;

/// The policy for keys: the built-in one and a user's additions.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    sensitive: BTreeSet<String>,
    safe: BTreeSet<String>,
}

impl Keys {
    pub(super) fn new(sensitive: &[String], safe: &[String]) -> Self {
        let all = |names: &[String]| names.iter().map(|name| spelled(name)).filter(|name| !name.is_empty()).collect();
        Self { sensitive: all(sensitive), safe: all(safe) }
    }

    /// Whole sensitive names first, then safe ones, then words: a name can be made safe unless it is itself listed.
    pub(super) fn is_sensitive(&self, key: &str) -> bool {
        // Most names have no word that could matter, and cost no more than this.
        if key.is_ascii() && self.sensitive.is_empty() && !words(key.as_bytes()).any(matters) {
            return false;
        }
        let name = &*spelled(key);
        if NAMES.binary_search(&name).is_ok() || self.is_listed(name) {
            return true;
        }
        let safe = SAFE_NAMES.binary_search(&name).is_ok() || self.safe.contains(name);
        !safe && name.split('_').any(|word| is_sensitive_word(word.as_bytes()))
    }

    /// Listed by the user, with or without the same word breaks.
    fn is_listed(&self, name: &str) -> bool {
        let glued = |name: &str| name.bytes().filter(|byte| *byte != b'_').collect::<Vec<u8>>();
        !self.sensitive.is_empty()
            && (self.sensitive.contains(name) || self.sensitive.iter().any(|listed| glued(listed) == glued(name)))
    }
}

/// In any case.
fn is_sensitive_word(word: &[u8]) -> bool {
    let words = WORDS.get(word.len()).copied().unwrap_or_default();
    words.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(word))
        || (word.len() > STEM
            && word.windows(STEM).any(|part| STEMS.iter().any(|stem| stem.eq_ignore_ascii_case(part))))
}

/// Whether a name with this word may be sensitive.
fn matters(word: &[u8]) -> bool {
    is_sensitive_word(word) || WORDLESS.iter().any(|first| first.eq_ignore_ascii_case(word))
}

/// The words of a name that is ASCII.
fn words(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let start = rest.iter().position(u8::is_ascii_alphanumeric)?;
        let (_, word) = rest.split_at(start);
        let mut last = b'0';
        let mut place = 0;
        let end = word.iter().position(|byte| {
            let next = word.get(place + 1).copied().map(char::from);
            let ends = !byte.is_ascii_alphanumeric() || (place > 0 && breaks(last.into(), (*byte).into(), next));
            (last, place) = (*byte, place + 1);
            ends
        });
        let (word, after) = word.split_at(end.unwrap_or(word.len()));
        rest = after;
        Some(word)
    })
}

/// A name in lower case, its words joined by `_`.
fn spelled(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    let mut chars = name.chars().peekable();
    let mut last = ' ';
    while let Some(char) = chars.next() {
        if char.is_alphanumeric() {
            let next = chars.peek().copied();
            if !out.is_empty() && (!last.is_alphanumeric() || breaks(last, char, next)) {
                out.push('_');
            }
            out.extend(char.to_lowercase());
        }
        last = char;
    }
    out
}

/// Whether a word ends between two characters: `aB`, `a1`, `1a`, and before the last capital of `ABc`.
fn breaks(last: char, char: char, next: Option<char>) -> bool {
    last.is_numeric() != char.is_numeric()
        || (char.is_uppercase() && (!last.is_uppercase() || next.is_some_and(char::is_lowercase)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order() {
        assert!(NAMES.is_sorted() && SAFE_NAMES.is_sorted());
        for (length, words) in WORDS.iter().enumerate() {
            assert!(words.iter().all(|word| word.len() == length), "{words:?}");
        }
        assert!(STEMS.iter().all(|stem| stem.len() == STEM));
        for name in NAMES {
            assert!(words(name.as_bytes()).any(matters), "{name}");
        }
    }

    #[test]
    fn names_fall_into_words() {
        for (name, expected) in [
            ("clientSecret", "client_secret"),
            ("ClientSecret", "client_secret"),
            ("APIKey", "api_key"),
            ("x-api-key", "x_api_key"),
            ("a.token", "a_token"),
            ("user password", "user_password"),
            ("__A__b--", "a_b"),
            ("password1", "password_1"),
            ("oauth2Token", "oauth_2_token"),
            ("user[password]", "user_password"),
            ("PASSWORD", "password"),
            ("", ""),
            ("--", ""),
            ("ÜberSchlüssel", "über_schlüssel"),
            ("pass\u{200b}word", "pass_word"),
        ] {
            assert_eq!(spelled(name), expected, "{name}");
            let words: Vec<String> =
                words(name.as_bytes()).map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
            assert!(!name.is_ascii() || words.join("_") == expected, "{name}: {words:?}");
        }
    }

    /// Engine.md §10.2: the list, the words, what was observed, and what was recommended.
    #[test]
    fn keys_of_secrets_are_known_in_every_spelling() {
        let keys = Keys::default();
        for key in "password secret token api_key apikey authorization auth credentials private_key privatekey \
            access_token refresh_token client_secret connection_string database_url db_password ssh_key passphrase \
            api_tokens db_passwords user_credentials oauth_secrets encryption_keys jwt_tokens primary_key foreign_keys \
            key_id token_count next_page_token public_key PASSWORD_HASH x-api-key userPassword clientSecret accessToken \
            databaseUrl passwd pwd bearer cookie jwt signature dsn auth_header sshkey creds pin otp a.token apiKey \
            privateKey api-key API_KEY ApiKey X-Auth-Token pass userPass user.pass cookies sessionid sig cred \
            dbpassword userpassword PGPASSWORD MYSQL_PWD password2 secret1 privateKeyPem user[password] accesstoken \
            TO\u{212a}EN connectionString DATABASE-URL"
            .split_whitespace()
        {
            assert!(keys.is_sensitive(key), "{key}");
        }
        assert!(keys.is_sensitive("api key") && keys.is_sensitive(&format!("{}_token", "x".repeat(300))));
    }

    #[test]
    fn ordinary_keys_stay_readable() {
        let keys = Keys::default();
        for key in "max_tokens num_tokens input_tokens output_tokens total_tokens completion_tokens prompt_tokens \
            cached_tokens reasoning_tokens audio_tokens cache_tokens sort_keys index_keys maxTokens MAX-TOKENS sortKeys \
            command file_path content path url query author authority keyboard monkey keyword keywords tokenizer \
            session_id compass passenger spinner signal design opinion secretary user role environment"
            .split_whitespace()
        {
            assert!(!keys.is_sensitive(key), "{key}");
        }
        assert!(!keys.is_sensitive(""));
    }

    #[test]
    fn users_add_to_both_lists() {
        let keys = Keys::new(&["Field-One".to_owned(), "ssn".to_owned(), "--".to_owned()], &["publicKey".to_owned()]);
        for key in ["field_one", "FIELDONE", "fieldOne", "fieldone", "ssn", "SSN"] {
            assert!(keys.is_sensitive(key), "{key}");
        }
        for key in ["public_key", "PUBLIC-KEY", "publicKey", "field_two", "", "--"] {
            assert!(!keys.is_sensitive(key), "{key}");
        }
        let listed = Keys::new(&[], &["database_url".to_owned(), "token".to_owned()]);
        assert!(
            listed.is_sensitive("database_url") && listed.is_sensitive("token"),
            "listed names cannot be made safe"
        );
    }
}
