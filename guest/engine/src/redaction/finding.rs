//! What a failing postcondition found, by the words of its rule (engine.md §8.9).

/// Kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// Data about people.
    Pii,
    /// A credential.
    Secret,
    /// A limit was reached.
    Limit,
    /// Anything else.
    Policy,
}

/// In this order; the first kind with a word in the id or the message counts.
const WORDS: [(FindingKind, &[&str]); 3] = [
    (FindingKind::Pii, &["pii", "ssn", "patient", "name", "dob"]),
    (FindingKind::Secret, &["secret", "token", "key", "credential", "password"]),
    (FindingKind::Limit, &["session", "limit", "max_calls", "budget"]),
];

impl FindingKind {
    /// As in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pii => "pii_detected",
            Self::Secret => "secret_detected",
            Self::Limit => "limit_exceeded",
            Self::Policy => "policy_violation",
        }
    }

    /// The kind of a finding, by words anywhere in the rule's id or message, in any case.
    #[must_use]
    pub fn of(rule_id: &str, message: &str) -> Self {
        let (id, message) = (rule_id.to_lowercase(), message.to_lowercase());
        WORDS
            .into_iter()
            .find(|(_, words)| words.iter().any(|word| id.contains(word) || message.contains(word)))
            .map_or(Self::Policy, |(kind, _)| kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_by_words_anywhere_in_id_or_message() {
        for (id, message, expected) in [
            ("rename-files", "", FindingKind::Pii),
            ("monkey", "", FindingKind::Secret),
            ("x", "The API TOKEN leaked", FindingKind::Secret),
            ("x", "patient token", FindingKind::Pii),
            ("max_calls", "", FindingKind::Limit),
            ("budget", "a password", FindingKind::Secret),
            ("x", "", FindingKind::Policy),
        ] {
            assert_eq!(FindingKind::of(id, message), expected, "{id} {message}");
        }
    }
}
