//! A case's rules as both engines compose them: order, modes, limits. A reading of engine.md §12 of its own, only for
//! predictions; nothing of the engine's is used.

use crate::differential::case::Opening;
use crate::differential::datum::Datum;

/// The four types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Before the tool runs.
    Pre,
    /// Limits of what it touches.
    Sandbox,
    /// Limits of a session.
    Session,
    /// After it ran.
    Post,
}

impl Kind {
    /// As records call it.
    #[must_use]
    pub const fn record(self) -> &'static str {
        match self {
            Self::Pre => "precondition",
            Self::Sandbox => "sandbox",
            Self::Session => "session_contract",
            Self::Post => "postcondition",
        }
    }

    /// As `decision_source` calls it.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Pre => "yaml_precondition",
            Self::Sandbox => "yaml_sandbox",
            Self::Session => "yaml_session",
            Self::Post => "yaml_postcondition",
        }
    }
}

/// A rule in its place.
#[derive(Clone, Debug)]
pub struct Rule {
    /// With `:candidate` where it is one.
    pub id: String,
    /// Its type.
    pub kind: Kind,
    /// From an `observe_alongside` file.
    pub candidate: bool,
    /// Its own mode, when it says one.
    pub mode: Option<String>,
    /// The mode of its file.
    pub file_mode: String,
    /// The mode of the last file in force: what the reference gives to rules without a mode.
    pub merged_mode: String,
    /// The rule as written.
    pub content: Datum,
}

/// All rules of a guard.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// In order.
    pub rules: Vec<Rule>,
    /// The guard's mode.
    pub mode: String,
    /// Classes of tools that only a proposed file brings in.
    pub proposed_tools: Vec<String>,
}

impl Rule {
    /// Whether it only observes. `own_file`: the mode of its own file counts, not that of the last one.
    #[must_use]
    pub fn observes(&self, own_file: bool) -> bool {
        let default = if own_file { &self.file_mode } else { &self.merged_mode };
        self.mode.as_ref().unwrap_or(default) == "observe"
    }

    /// `block`, `ask`, `warn` or `redact`.
    #[must_use]
    pub fn action(&self) -> &str {
        let action =
            if self.kind == Kind::Sandbox { self.content.get("outside") } else { self.content.at(&["then", "action"]) };
        action.and_then(Datum::as_str).unwrap_or("block")
    }

    fn approval(&self, name: &str) -> Option<&Datum> {
        if self.kind == Kind::Sandbox { self.content.get(name) } else { self.content.at(&["then", name]) }
    }

    /// Seconds that an ask waits.
    #[must_use]
    pub fn timeout(&self) -> i64 {
        self.approval("timeout").and_then(Datum::as_i64).unwrap_or(300)
    }

    /// Whether nobody's answer is a yes.
    #[must_use]
    pub fn allows_on_timeout(&self) -> bool {
        self.approval("timeout_action").and_then(Datum::as_str) == Some("allow")
    }

    /// The template.
    #[must_use]
    pub fn message(&self) -> &str {
        let message = if self.kind == Kind::Sandbox {
            self.content.get("message")
        } else {
            self.content.at(&["then", "message"])
        };
        message.and_then(Datum::as_str).unwrap_or("")
    }

    /// Tags; of a sandbox rule none.
    #[must_use]
    pub fn tags(&self) -> Datum {
        self.content.at(&["then", "tags"]).cloned().unwrap_or_else(|| Datum::list([]))
    }

    /// `metadata` of a record of it that did not hold.
    #[must_use]
    pub fn record_metadata(&self, policy_error: bool) -> Datum {
        let mut metadata = Datum::map([]);
        if self.kind != Kind::Sandbox {
            metadata.set("tags", self.tags());
        }
        if policy_error {
            metadata.set("policy_error", true);
        }
        for (key, value) in self.content.at(&["then", "metadata"]).map_or(&[][..], Datum::entries) {
            metadata.set(key, value.clone());
        }
        metadata
    }

    /// A limit that it sets.
    #[must_use]
    pub fn limit(&self, name: &str) -> Option<i64> {
        self.content.at(&["limits", name]).and_then(Datum::as_i64)
    }

    /// Limits of tools that it sets.
    #[must_use]
    pub fn tool_limits(&self) -> Vec<(&str, i64)> {
        let limits = self.content.at(&["limits", "max_calls_per_tool"]).map_or(&[][..], Datum::entries);
        limits.iter().filter_map(|(tool, limit)| Some((tool.as_str(), limit.as_i64()?))).collect()
    }
}

impl Policy {
    /// The rules of an opening; none when a document is no ruleset at all.
    #[must_use]
    pub fn of(opening: &Opening) -> Option<Self> {
        let mut policy = Self::default();
        let mut merged_mode = String::new();
        for (index, document) in opening.documents.iter().enumerate() {
            let content = &document.content;
            let mode = content.at(&["defaults", "mode"])?.as_str()?.to_owned();
            let candidate = index > 0 && content.flag("observe_alongside");
            if candidate {
                policy
                    .proposed_tools
                    .extend(content.get("tools").map_or(&[][..], Datum::entries).iter().map(|(name, _)| name.clone()));
            } else {
                merged_mode.clone_from(&mode);
            }
            for content in content.list_of("rules") {
                policy.add(content, &mode, candidate)?;
            }
        }
        policy.rules.iter_mut().for_each(|rule| rule.merged_mode.clone_from(&merged_mode));
        policy.rules.retain(|rule| rule.content.get("enabled") != Some(&Datum::Bool(false)));
        policy.mode = opening.settings.some("mode").and_then(Datum::as_str).unwrap_or(&merged_mode).to_owned();
        Some(policy)
    }

    fn add(&mut self, content: &Datum, file_mode: &str, candidate: bool) -> Option<()> {
        let id = content.get("id")?.as_str()?;
        let mut rule = Rule {
            id: id.to_owned(),
            kind: match content.get("type")?.as_str()? {
                "pre" => Kind::Pre,
                "post" => Kind::Post,
                "session" => Kind::Session,
                "sandbox" => Kind::Sandbox,
                _ => return None,
            },
            candidate,
            mode: content.get("mode").and_then(Datum::as_str).map(str::to_owned),
            file_mode: file_mode.to_owned(),
            merged_mode: String::new(),
            content: content.clone(),
        };
        if candidate {
            rule.id = format!("{id}:candidate");
            rule.mode = Some("observe".to_owned());
        }
        match self.rules.iter_mut().find(|there| !candidate && there.id == id) {
            Some(there) => *there = rule,
            None => self.rules.push(rule),
        }
        Some(())
    }

    /// A rule by its id.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Rules of a type, proposed or not.
    pub fn of_kind(&self, kind: Kind, candidate: bool) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.kind == kind && rule.candidate == candidate)
    }
}
