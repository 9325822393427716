//! The one options document of a guard: every switch of the engine under the name it has in the specification, with its
//! default, and the host's own switches, which the engine only checks and gives back in `summary`.
//! Schema: `wit/schemas/options.schema.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostics::Failure;
use crate::documents::Document;
use crate::documents::ruleset::{Mode, SessionLimits, ToolClass};

/// Everything a guard can be told. Unknown keys are an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The guard's mode; none: the file's `defaults.mode`. Does not change the rules' own modes.
    pub mode: Option<Mode>,
    /// Stamps every rule with the guard's mode (engine.md §16 row 13).
    pub force_mode: bool,
    /// What the selector `environment` gives when a call names none; none: `production`.
    pub environment: Option<String>,
    /// Limits set through the API; session rules can only lower them.
    pub limits: SessionLimits,
    /// Wins over the files' `tools`, per name.
    pub tools: BTreeMap<String, ToolClass>,
    /// Classes of a policy that this one takes the place of: a reload adds tools and removes none. The files' `tools` win
    /// over it (engine.md §12.3).
    pub tools_before: BTreeMap<String, ToolClass>,
    /// What `env.*` selectors see.
    pub env: BTreeMap<String, String>,
    /// Absolute directory that relative paths of calls and boundaries are relative to; none: `/`.
    pub cwd: Option<String>,
    /// Home directory that `~` stands for; none: a path with `~` cannot be known.
    pub home: Option<String>,
    /// Permits `exec(...)` in workflows.
    pub exec_enabled: bool,
    /// Further variables for the environment of `exec(...)`.
    pub exec_env: Vec<String>,
    /// The reference's behaviour where it differs but is not unsafe (engine.md §16).
    pub compat: Option<Compat>,
    /// Whether redact and block of post rules also act on write and irreversible tools.
    pub post_effects: PostEffects,
    /// What a finished workflow without a terminal stage permits.
    pub after_completion: AfterCompletion,
    /// How many records answers and events carry.
    pub detail: Detail,
    /// Also makes an event of each postcondition that warned.
    pub postcondition_events: bool,
    /// Whether an unknown selector is an error or a warning.
    pub unknown_selectors: UnknownSelectors,
    /// Names of custom operators.
    pub operators: Vec<String>,
    /// Prefixes of custom selectors.
    pub selectors: Vec<String>,
    /// Hooks in the order in which they count.
    pub hooks: Vec<Hook>,
    /// Whether a host says if a tool succeeded, instead of the heuristic.
    pub success_check: bool,
    /// Whether a host says whose call it is, instead of `static_principal`.
    pub principal_resolver: bool,
    /// Rules that no file needs to spell out.
    pub builtin_rules: BuiltinRules,
    /// Documents that `extends` may name.
    pub registry: BTreeMap<String, String>,
    /// Further guards, laid behind this one (engine.md §12.3): the first to have an id wins.
    pub merge: Vec<Merged>,
    /// Additions to the redaction policy (engine.md §10).
    pub redaction: Redaction,
    /// Whether there is anybody who can answer an `ask`; without, it blocks.
    pub approvals: Approvals,
    /// Leaves `event_id` and `sequence` out of events, for servers that refuse unknown fields.
    pub bare_events: bool,

    // The host's own switches: checked here, acted on there.
    /// Idle seconds after which a session is forgotten; none: 7 days.
    pub session_ttl: Option<u64>,
    /// Seconds after which an allowed call that nobody finished is closed as abandoned; none: 1 hour.
    pub open_call_ttl: Option<u64>,
    /// Bound of the outbox in bytes; none: 1 GiB.
    pub outbox_max_bytes: Option<u64>,
    /// Blocks calls whose events cannot be kept.
    pub decision_log_required: Option<bool>,
    /// A decision is on disk before it is answered.
    pub durable: Option<bool>,
    /// Refuses documents without a signature by a trusted key.
    pub verify_signatures: Option<bool>,
    /// Trusted Ed25519 keys, hex.
    pub signing_public_keys: Option<Vec<String>>,
}

/// Reference behaviour that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compat {
    /// The Python SDK 0.19.0.
    #[serde(rename = "python-0.19")]
    Python019,
}

/// See [`Options::post_effects`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PostEffects {
    /// Always, with a notice that the tool has already run.
    #[default]
    Always,
    /// Only on pure and read tools; a warning on the others (the reference).
    Reference,
}

/// See [`Options::after_completion`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterCompletion {
    /// Everything.
    #[default]
    Allow,
    /// Nothing.
    Block,
}

/// See [`Options::detail`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// A record of every rule that was looked at (in events: of the first 256).
    #[default]
    All,
    /// Only of rules that fired.
    Fired,
    /// None.
    None,
}

/// See [`Options::unknown_selectors`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownSelectors {
    /// The document does not load.
    #[default]
    Error,
    /// It loads; the selector is always missing (the reference, silently).
    Warn,
}

/// Who answers an `ask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approvals {
    /// The host's approval backend.
    #[default]
    Host,
    /// The server's queue.
    Server,
    /// Nobody: an `ask` blocks (engine.md §8.5).
    None,
}

/// A hook of the host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Shown as `decision_name` when it refuses.
    pub name: String,
    /// Glob of the tools it is asked about.
    #[serde(default = "any_tool")]
    pub tools: String,
    /// Asked before a tool runs.
    #[serde(default)]
    pub before: bool,
    /// Told after it ran.
    #[serde(default)]
    pub after: bool,
}

fn any_tool() -> String {
    "*".to_owned()
}

/// Rules of engine.md §14.6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuiltinRules {
    /// Present: on. An empty list inside means the default list.
    pub deny_sensitive_reads: Option<DenySensitiveReads>,
}

/// Lists of `deny_sensitive_reads`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenySensitiveReads {
    /// Parts of paths.
    pub sensitive_paths: Vec<String>,
    /// Commands, whole or as first word.
    pub sensitive_commands: Vec<String>,
}

/// A further guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// Its rulesets, left to right.
    pub rulesets: Vec<Document>,
    /// Its options: only `limits`, `registry` and what decides how its files are read count.
    #[serde(default)]
    pub options: Box<Options>,
}

/// Additions to engine.md §10.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redaction {
    /// Further sensitive keys.
    pub sensitive_keys: Vec<String>,
    /// Keys that are not sensitive, whatever their parts.
    pub safe_keys: Vec<String>,
    /// Patterns replaced in strings before the built-in ones: pattern and replacement.
    pub patterns: Vec<(String, String)>,
    /// Whether values are scanned at all; keys are always looked at.
    pub detect_secret_values: bool,
}

impl Default for Redaction {
    fn default() -> Self {
        Self { sensitive_keys: Vec::new(), safe_keys: Vec::new(), patterns: Vec::new(), detect_secret_values: true }
    }
}

impl Options {
    /// Reads an options document; an empty text is `{}`.
    ///
    /// # Errors
    /// `E_OPTION` with the key and what was expected.
    pub fn read(json: &str) -> Result<Self, Failure> {
        let json = if json.trim().is_empty() { "{}" } else { json };
        // `serde` would also read a list, by position.
        if !json.trim_start().starts_with('{') {
            return Err(Failure::argument("E_OPTION", "options: must be an object"));
        }
        let options: Self =
            serde_json::from_str(json).map_err(|error| Failure::argument("E_OPTION", format!("options: {error}")))?;
        options.checked()
    }

    /// Whether the reference's behaviour is asked for.
    #[must_use]
    pub fn reference(&self) -> bool {
        self.compat == Some(Compat::Python019)
    }

    /// What the types cannot say. The first thing that is wrong is reported.
    fn checked(self) -> Result<Self, Failure> {
        self.check_limits()?;
        self.check_names()?;
        let absolute = |path: &Option<String>| path.as_ref().is_none_or(|path| path.starts_with('/'));
        if !absolute(&self.cwd) {
            return Err(wrong("cwd: must be an absolute path"));
        }
        if !absolute(&self.home) {
            return Err(wrong("home: must be an absolute path"));
        }
        if self.environment.as_deref() == Some("") {
            return Err(wrong("environment: must not be empty"));
        }
        if self.redaction.patterns.iter().any(|(pattern, _)| pattern.is_empty()) {
            return Err(wrong("redaction.patterns: a pattern must not be empty"));
        }
        Ok(self)
    }

    fn check_limits(&self) -> Result<(), Failure> {
        let SessionLimits { max_tool_calls, max_attempts, max_calls_per_tool } = &self.limits;
        let zero = |limit: &Option<u64>| *limit == Some(0);
        for (name, bad) in [
            ("limits.max_tool_calls", zero(max_tool_calls)),
            ("limits.max_attempts", zero(max_attempts)),
            ("limits.max_calls_per_tool", max_calls_per_tool.values().any(|limit| *limit == 0)),
            ("session_ttl", zero(&self.session_ttl)),
            ("open_call_ttl", zero(&self.open_call_ttl)),
            ("outbox_max_bytes", zero(&self.outbox_max_bytes)),
        ] {
            if bad {
                return Err(wrong(&format!("{name}: must be at least 1")));
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Failure> {
        for prefix in &self.selectors {
            if prefix.is_empty() || prefix.contains('.') {
                return Err(wrong(&format!("selectors: `{prefix}` must be one word without a dot")));
            }
            if RESERVED_PREFIXES.contains(&prefix.as_str()) {
                return Err(wrong(&format!("selectors: `{prefix}` is a built-in selector")));
            }
        }
        for operator in &self.operators {
            if operator.is_empty() {
                return Err(wrong("operators: a name must not be empty"));
            }
            if OPERATORS.contains(&operator.as_str()) {
                return Err(wrong(&format!("operators: `{operator}` is a built-in operator")));
            }
        }
        for hook in &self.hooks {
            if hook.name.is_empty() || hook.tools.is_empty() {
                return Err(wrong("hooks: `name` and `tools` must not be empty"));
            }
        }
        for (what, names) in [
            ("selectors", self.selectors.iter().collect::<Vec<_>>()),
            ("operators", self.operators.iter().collect()),
            ("hooks", self.hooks.iter().map(|hook| &hook.name).collect()),
        ] {
            let mut seen = std::collections::BTreeSet::new();
            if let Some(twice) = names.into_iter().find(|name| !seen.insert(*name)) {
                return Err(wrong(&format!("{what}: `{twice}` stands there twice")));
            }
        }
        Ok(())
    }
}

/// The fifteen built-in operators (engine.md §3.3).
pub const OPERATORS: [&str; 15] = [
    "exists",
    "equals",
    "not_equals",
    "in",
    "not_in",
    "contains",
    "contains_any",
    "starts_with",
    "ends_with",
    "matches",
    "matches_any",
    "gt",
    "gte",
    "lt",
    "lte",
];

/// First words of built-in selectors, and those kept for later (engine.md §3.2).
pub const RESERVED_PREFIXES: [&str; 10] =
    ["environment", "tool", "args", "principal", "output", "env", "metadata", "result", "session", "workflow"];

fn wrong(message: &str) -> Failure {
    Failure::argument("E_OPTION", format!("options: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_is_all_defaults() {
        assert_eq!(Options::read("").unwrap(), Options::default());
        assert_eq!(Options::read("{}").unwrap(), Options::default());
        assert!(Options::default().redaction.detect_secret_values);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let options = Options {
            mode: Some(Mode::Observe),
            compat: Some(Compat::Python019),
            hooks: vec![Hook { name: "h".to_owned(), tools: "*".to_owned(), before: true, after: false }],
            session_ttl: Some(5),
            ..Options::default()
        };
        assert_eq!(Options::read(&serde_json::to_string(&options).unwrap()).unwrap(), options);
    }

    #[test]
    fn unknown_and_impossible_options_are_errors() {
        for (text, part) in [
            (r#"{"mod":"enforce"}"#, "mod"),
            (r#"{"mode":"off"}"#, "off"),
            (r#"{"limits":{"max_attempts":0}}"#, "limits.max_attempts"),
            (r#"{"limits":{"max":1}}"#, "max"),
            (r#"{"cwd":"relative"}"#, "cwd"),
            (r#"{"operators":["matches"]}"#, "matches"),
            (r#"{"selectors":["env"]}"#, "env"),
            (r#"{"selectors":["a.b"]}"#, "a.b"),
            (r#"{"selectors":["a","a"]}"#, "twice"),
            (r#"{"hooks":[{"name":""}]}"#, "hooks"),
            (r#"{"hooks":[{"name":"a"},{"name":"a"}]}"#, "twice"),
            (r#"{"compat":"python-0.18"}"#, "python-0.18"),
            (r"[]", "options"),
        ] {
            let failure = Options::read(text).unwrap_err();
            assert_eq!(failure.code, "E_OPTION", "{text}");
            assert!(failure.message.contains(part), "{text}: {}", failure.message);
        }
    }
}
