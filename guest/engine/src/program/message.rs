//! Templates of messages (engine.md §9).

use crate::call::Subject;

/// What messages must not show.
pub trait MessageRedaction {
    /// Whether what stands under such a key is a secret, whatever it is (engine.md §10.2).
    fn is_sensitive_key(&self, key: &str) -> bool;
    /// The text without secrets, wherever they stand in it (engine.md §10.3).
    fn secrets<'t>(&self, text: &'t str) -> std::borrow::Cow<'t, str>;
}

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Message {
    template: String,
}

/// A message for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// At most 500 code points.
    pub text: String,
    /// A custom selector failed: its error. `text` is then the template itself, and the decision is a policy error.
    pub error: Option<String>,
}

impl Message {
    /// The template as written.
    #[must_use]
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Fills the placeholders from a call.
    #[must_use]
    pub fn expand(&self, _subject: &Subject<'_>, _redaction: &dyn MessageRedaction) -> Expanded {
        Expanded { text: self.template.clone(), error: None }
    }
}
