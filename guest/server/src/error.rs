//! Why something on the way to edictum-api did not work: a stable code, the kind it belongs to, one line for people.
//!
//! A message never holds the credential, and what a server said is cut, freed of control characters and redacted first
//! ([`crate::endpoint::Endpoint::shown`]).

/// What kind of trouble it is: what a program looks at. The kinds of `types.failure-kind` that occur here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller's mistake: the same call fails again.
    InvalidArgument,
    /// A ruleset that cannot be one.
    InvalidDocument,
    /// The server refused the credential, or a signature did not verify.
    Unauthorized,
    /// There is no such thing.
    NotFound,
    /// Not reached, or refused for now. Nothing was done.
    Unavailable,
    /// It may or may not have been carried out, and must not be repeated.
    Ambiguous,
    /// An answer that the protocol does not permit.
    Protocol,
    /// Somebody else changed the same thing first.
    Conflict,
}

impl Kind {
    /// As in `types.failure-kind` of the WIT, in the JSON form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::InvalidDocument => "invalid_document",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Ambiguous => "ambiguous",
            Self::Protocol => "protocol",
            Self::Conflict => "conflict",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal in $kind:ident,)*) => {
        /// Stable codes. New ones may be added; none changes its meaning or its kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text that users see and match on.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The kind that it belongs to.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

codes! {
    /// A base address that is none, or has parts that it must not have.
    Address = "E_ADDRESS" in InvalidArgument,
    /// Plain http to something else than the own machine.
    Insecure = "E_INSECURE" in InvalidArgument,
    /// An API key that cannot be the value of a header.
    Credential = "E_CREDENTIAL" in InvalidArgument,
    /// Options that are not what they should be.
    Option = "E_OPTION" in InvalidArgument,
    /// A path, a query or a body that cannot be sent.
    Argument = "E_ARGUMENT" in InvalidArgument,
    /// The server calls the request wrong (400, 413, 422 and their like).
    Refused = "E_REFUSED" in InvalidArgument,
    /// 401 or 403.
    Auth = "E_AUTH" in Unauthorized,
    /// The signature is missing, no signature, or not by a trusted key.
    Signature = "E_SIGNATURE" in Unauthorized,
    /// 404.
    NotFound = "E_NOT_FOUND" in NotFound,
    /// No ruleset of that name in that environment.
    RulesetNotFound = "E_RULESET_NOT_FOUND" in NotFound,
    /// The server assigned no ruleset in time.
    NoAssignment = "E_NO_ASSIGNMENT" in NotFound,
    /// Not reached: name, connection or TLS.
    Unreachable = "E_UNREACHABLE" in Unavailable,
    /// 429, or 503 with a time to come back at.
    Busy = "E_BUSY" in Unavailable,
    /// 5xx, 408, 425.
    ServerUnavailable = "E_SERVER_UNAVAILABLE" in Unavailable,
    /// The connection was lost, or the time was over.
    Interrupted = "E_INTERRUPTED" in Unavailable,
    /// One of the two above, of a request that must not be repeated.
    Ambiguous = "E_AMBIGUOUS" in Ambiguous,
    /// Not the JSON that belongs there.
    Protocol = "E_PROTOCOL" in Protocol,
    /// 3xx. Never followed.
    Redirect = "E_REDIRECT" in Protocol,
    /// More bytes than anything of this kind has.
    TooLarge = "E_TOO_LARGE" in Protocol,
    /// Two forms of one ruleset that are not the same.
    Inconsistent = "E_INCONSISTENT" in Protocol,
    /// Another ruleset than the one that was asked for.
    WrongName = "E_WRONG_NAME" in Protocol,
    /// A ruleset without a byte.
    EmptyRuleset = "E_EMPTY_RULESET" in InvalidDocument,
    /// A ruleset that the deciding instances do not load.
    Rejected = "E_REJECTED" in InvalidDocument,
    /// 409 or 412.
    Conflict = "E_CONFLICT" in Conflict,
}

/// Trouble, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .code.as_str())]
pub struct Error {
    /// What a program looks at.
    pub code: Code,
    /// One line: lower case, no final period. Holds no secret.
    pub message: String,
    /// The status of the answer, when there was one.
    pub status: Option<u16>,
}

impl Error {
    /// Without an answer.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), status: None }
    }

    /// The kind that its code belongs to.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.code.kind()
    }
}

/// What comes back, or why nothing does.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelled_alike_and_each_only_once() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(texts.iter().all(|text| text.starts_with("E_") && text.to_ascii_uppercase() == *text));
        let count = texts.len();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }
}
