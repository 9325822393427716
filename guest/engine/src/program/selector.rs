//! Selectors: what a rule or a message names of a call (engine.md §3.2).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Needs;
use super::environment::coerce;
use crate::call::Subject;
use crate::json::{Literal, Map, Value};
use crate::options::Options;

/// Keys to follow through maps.
pub(super) type Path = Box<[Box<str>]>;

/// A selector, read.
#[derive(Clone, Debug)]
pub(super) enum Selector {
    Environment,
    ToolName,
    OutputText,
    /// Coerced when the policy is loaded; none: not set.
    Env(Option<Arc<Literal>>),
    /// Keys to follow from a map of the call. Never empty.
    Nested(Root, Path),
    /// Not a selector: always missing.
    Nothing,
}

/// Maps that paths begin in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Root {
    Args,
    /// Only its fields with texts; claims are a root of their own.
    Principal,
    Claims,
    Metadata,
    Result,
    /// What the host gives for a prefix.
    Custom(Box<str>),
}

/// What a selector gives for a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resolved<'v> {
    /// Missing or null; operators cannot tell them apart.
    Missing,
    /// Anything but null.
    Value(Value<'v>),
    /// A custom selector failed, with this error.
    Failed(&'v str),
}

/// What selectors mean for a guard.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    prefixes: Vec<String>,
    env: BTreeMap<String, Arc<Literal>>,
}

/// Fields of a principal besides its claims.
pub(super) const PRINCIPAL_FIELDS: [&str; 5] = ["user_id", "service_id", "org_id", "role", "ticket_ref"];

impl Vocabulary {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            prefixes: options.selectors.clone(),
            env: options.env.iter().map(|(name, text)| (name.clone(), Arc::new(coerce(text)))).collect(),
        }
    }

    /// Reads a selector. What is none becomes [`Selector::Nothing`].
    pub(super) fn read(&self, text: &str) -> Selector {
        let path = |rest: &str| rest.split('.').map(Box::from).collect();
        match text.split_once('.') {
            None if text == "environment" => Selector::Environment,
            None => Selector::Nothing,
            Some(("args", rest)) => Selector::Nested(Root::Args, path(rest)),
            Some(("metadata", rest)) => Selector::Nested(Root::Metadata, path(rest)),
            Some(("result", rest)) => Selector::Nested(Root::Result, path(rest)),
            Some(("tool", "name")) => Selector::ToolName,
            Some(("output", "text")) => Selector::OutputText,
            Some(("env", name)) => Selector::Env(self.env.get(name).cloned()),
            Some(("principal", field)) if PRINCIPAL_FIELDS.contains(&field) => {
                Selector::Nested(Root::Principal, path(field))
            }
            Some(("principal", rest)) => match rest.strip_prefix("claims.") {
                Some(rest) => Selector::Nested(Root::Claims, path(rest)),
                None => Selector::Nothing,
            },
            Some((prefix, rest)) if self.prefixes.iter().any(|own| own == prefix) && !is_reserved(prefix) => {
                Selector::Nested(Root::Custom(prefix.into()), path(rest))
            }
            Some(_) => Selector::Nothing,
        }
    }
}

/// Names that no custom prefix may have, as far as selectors begin with them.
fn is_reserved(prefix: &str) -> bool {
    matches!(prefix, "environment" | "tool" | "args" | "principal" | "output" | "env" | "metadata" | "result")
}

impl Selector {
    /// Looks a call up.
    #[inline]
    pub(super) fn resolve<'v>(&'v self, subject: &Subject<'v>) -> Resolved<'v> {
        let found = match self {
            Self::Environment => Some(Value::String(subject.environment)),
            Self::ToolName => Some(Value::String(subject.call.tool)),
            Self::OutputText => subject.output.and_then(|output| output.text).map(Value::String),
            Self::Env(value) => value.as_ref().map(|value| value.root()),
            Self::Nested(root, path) => match root.map(subject) {
                Ok(Some(map)) => follow(map, path),
                Ok(None) if root.holds_text_at(path) => text_result(subject),
                Ok(None) => None,
                Err(error) => return Resolved::Failed(error),
            },
            Self::Nothing => None,
        };
        found.map_or(Resolved::Missing, Resolved::of)
    }

    /// Adds what it needs. `text` is the selector as written.
    pub(super) fn needs(&self, text: &str, needs: &mut Needs) {
        match self {
            Self::Nested(Root::Custom(prefix), _) => {
                needs.selectors.insert(prefix.to_string());
            }
            Self::Env(_) => {
                needs.env.extend(text.strip_prefix("env.").map(str::to_owned));
            }
            other => needs.output |= other.reads_output(),
        }
    }

    /// Whether it looks at what the tool returned.
    pub(super) const fn reads_output(&self) -> bool {
        matches!(self, Self::OutputText | Self::Nested(Root::Result, _))
    }
}

impl<'v> Resolved<'v> {
    pub(super) const fn of(value: Value<'v>) -> Self {
        if let Value::Null = value { Self::Missing } else { Self::Value(value) }
    }
}

impl Root {
    /// The map, when there is one, or the error that stands in its place.
    pub(super) fn map<'v>(&self, subject: &Subject<'v>) -> Result<Option<Map<'v>>, &'v str> {
        Ok(match self {
            Self::Args => Some(subject.call.args),
            Self::Principal => subject.principal,
            Self::Claims => subject.principal.and_then(|principal| principal.get("claims")?.as_map()),
            Self::Metadata => subject.call.metadata,
            Self::Result => subject.output.and_then(|output| output.value.as_map()),
            Self::Custom(prefix) => match subject.custom.iter().find(|(name, _)| **name == **prefix) {
                Some((_, Ok(map))) => map.root().as_map(),
                Some((_, Err(error))) => return Err(error),
                None => return Err(NOT_ANSWERED),
            },
        })
    }

    /// Whether a result that is a text is found there: it is a map with one key (engine.md §8.8).
    fn holds_text_at(&self, path: &[Box<str>]) -> bool {
        matches!(path, [key] if *self == Self::Result && &**key == TEXT_KEY)
    }
}

/// The key under which a result that is a text is found.
pub(super) const TEXT_KEY: &str = "output";

/// The result, when it is a text.
pub(super) fn text_result<'v>(subject: &Subject<'v>) -> Option<Value<'v>> {
    subject.output.map(|output| output.value).filter(|value| value.as_str().is_some())
}

/// A host that declares a selector answers for it; silence is no permission.
const NOT_ANSWERED: &str = "the host gave no answer";

fn follow<'v>(map: Map<'v>, path: &[Box<str>]) -> Option<Value<'v>> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(map.get(first)?, |value, key| value.as_map()?.get(key))
}
