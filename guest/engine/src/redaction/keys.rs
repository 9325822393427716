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

/// Words that make a name sensitive, sorted; among them names that are often written as one word.
const WORDS: [&str; 43] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apikeys",
    "apitoken",
    "auth",
    "authorization",
    "authtoken",
    "bearer",
    "clientsecret",
    "connectionstring",
    "cookie",
    "cookies",
    "cred",
    "credential",
    "credentials",
    "creds",
    "databaseurl",
    "dsn",
    "encryptionkey",
    "jwt",
    "key",
    "keys",
    "otp",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "pin",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretkey",
    "secrets",
    "sessionid",
    "sessiontoken",
    "sig",
    "signature",
    "sshkey",
    "token",
    "tokens",
];

/// Parts of words that leave no doubt.
const STEMS: [&str; 2] = ["password", "passwd"];

/// Longest name that is spelled out on the stack.
const SHORT: usize = 64;

/// The policy for keys: the built-in one and a user's additions.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    sensitive: BTreeSet<String>,
    safe: BTreeSet<String>,
}

impl Keys {
    pub(super) fn new(sensitive: &[String], safe: &[String]) -> Self {
        let spelled = |names: &[String]| {
            names.iter().map(|name| Spelling::of(name).as_str().to_owned()).filter(|name| !name.is_empty()).collect()
        };
        Self { sensitive: spelled(sensitive), safe: spelled(safe) }
    }

    /// Whole sensitive names first, then safe ones, then words: a name can be made safe unless it is itself listed.
    pub(super) fn is_sensitive(&self, key: &str) -> bool {
        let spelling = Spelling::of(key);
        let name = spelling.as_str();
        if NAMES.binary_search(&name).is_ok() || self.is_listed(name) {
            return true;
        }
        if SAFE_NAMES.binary_search(&name).is_ok() || self.safe.contains(name) {
            return false;
        }
        name.split('_').any(|word| WORDS.binary_search(&word).is_ok() || STEMS.iter().any(|stem| word.contains(stem)))
    }

    /// Listed by the user, with or without the same word breaks.
    fn is_listed(&self, name: &str) -> bool {
        let glued = |name: &str| name.bytes().filter(|byte| *byte != b'_').collect::<Vec<u8>>();
        !self.sensitive.is_empty()
            && (self.sensitive.contains(name) || self.sensitive.iter().any(|listed| glued(listed) == glued(name)))
    }
}

/// A name in lower case, its words joined by `_`.
struct Spelling {
    short: [u8; SHORT],
    length: usize,
    /// Holds everything when `short` is too small, or the name is not ASCII.
    long: String,
}

impl Spelling {
    fn of(name: &str) -> Self {
        let mut spelling = Self { short: [0; SHORT], length: 0, long: String::new() };
        let mut chars = name.chars().peekable();
        let mut last = None;
        while let Some(char) = chars.next() {
            if char.is_alphanumeric() {
                if last.is_some_and(|last| breaks(last, char, chars.peek().copied())) {
                    spelling.end_word();
                }
                char.to_lowercase().for_each(|lower| spelling.push(lower));
                last = Some(char);
            } else {
                spelling.end_word();
                last = None;
            }
        }
        spelling.trim();
        spelling
    }

    fn push(&mut self, char: char) {
        match (self.long.is_empty(), self.short.get_mut(self.length)) {
            (true, Some(place)) if char.is_ascii() => {
                *place = char as u8;
                self.length += 1;
            }
            (true, _) => {
                let long = [self.as_str(), char.encode_utf8(&mut [0; 4])].concat();
                self.long = long;
            }
            (false, _) => self.long.push(char),
        }
    }

    fn end_word(&mut self) {
        let name = self.as_str();
        if !name.is_empty() && !name.ends_with('_') {
            self.push('_');
        }
    }

    fn trim(&mut self) {
        if self.as_str().ends_with('_') {
            self.length = self.length.saturating_sub(1);
            self.long.pop();
        }
    }

    fn as_str(&self) -> &str {
        if self.long.is_empty() {
            self.short.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
        } else {
            &self.long
        }
    }
}

/// Whether a word ends between two characters: `aB`, `a1`, `1a`, and before the last capital of `ABc`.
fn breaks(last: char, char: char, next: Option<char>) -> bool {
    if last.is_numeric() != char.is_numeric() {
        return true;
    }
    char.is_uppercase() && (!last.is_uppercase() || next.is_some_and(char::is_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(name: &str) -> String {
        Spelling::of(name).as_str().to_owned()
    }

    #[test]
    fn lists_are_sorted() {
        assert!(NAMES.is_sorted() && SAFE_NAMES.is_sorted() && WORDS.is_sorted());
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
        }
        let long = format!("{}Token", "a".repeat(SHORT));
        assert_eq!(spelled(&long), format!("{}_token", "a".repeat(SHORT)));
        let exact = format!("{}-", "a".repeat(SHORT));
        assert_eq!(spelled(&exact), "a".repeat(SHORT));
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
