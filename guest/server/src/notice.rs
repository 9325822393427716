//! Things for the host's own log: what somebody should look at, and what no caller is told as an error.

use edictum_engine::json::write::Object;

use crate::error::Error;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the record.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Something does not work until somebody does.
    Error,
}

impl Level {
    /// As in the JSON form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One of them, redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// Stable: a code of [`crate::error::Code`], or a word such as `rollback`.
    pub code: &'static str,
    /// One line: lower case, no final period.
    pub message: String,
}

impl Notice {
    /// For the record.
    #[must_use]
    pub fn info(code: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Info, code, message: message.into() }
    }

    /// Somebody should look at it.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, code, message: message.into() }
    }

    /// Trouble that no caller waits for.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        use crate::error::Kind;
        let passes = matches!(error.kind(), Kind::Unavailable | Kind::NotFound);
        let level = if passes { Level::Warning } else { Level::Error };
        Self { level, code: error.code.as_str(), message: error.message.clone() }
    }

    /// The JSON form: `level`, `code`, `message`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        Object::write(&mut out, |object| {
            object.string("level", self.level.as_str());
            object.string("code", self.code);
            object.string("message", &self.message);
        });
        out
    }
}
