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
    Args(Path),
    /// `principal.role` and its like.
    Principal(Box<str>),
    Claims(Path),
    Metadata(Path),
    OutputText,
    Result(Path),
    /// Coerced when the policy is loaded; none: not set.
    Env(Option<Arc<Literal>>),
    Custom {
        prefix: Box<str>,
        path: Path,
    },
    /// Not a selector: always missing.
    Nothing,
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
            Some(("args", rest)) => Selector::Args(path(rest)),
            Some(("metadata", rest)) => Selector::Metadata(path(rest)),
            Some(("result", rest)) => Selector::Result(path(rest)),
            Some(("tool", "name")) => Selector::ToolName,
            Some(("output", "text")) => Selector::OutputText,
            Some(("env", name)) => Selector::Env(self.env.get(name).cloned()),
            Some(("principal", field)) if PRINCIPAL_FIELDS.contains(&field) => Selector::Principal(field.into()),
            Some(("principal", rest)) => match rest.strip_prefix("claims.") {
                Some(rest) => Selector::Claims(path(rest)),
                None => Selector::Nothing,
            },
            Some((prefix, rest)) if self.prefixes.iter().any(|own| own == prefix) && !is_reserved(prefix) => {
                Selector::Custom { prefix: prefix.into(), path: path(rest) }
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
            Self::Args(path) => follow(subject.call.args, path),
            Self::Principal(field) => subject.principal.and_then(|principal| principal.get(field)),
            Self::Claims(path) => subject
                .principal
                .and_then(|principal| principal.get("claims")?.as_map())
                .and_then(|claims| follow(claims, path)),
            Self::Metadata(path) => subject.call.metadata.and_then(|metadata| follow(metadata, path)),
            Self::OutputText => subject.output.and_then(|output| output.text).map(Value::String),
            Self::Result(path) => subject.output.and_then(|output| match (output.value, &**path) {
                (Value::Map(map), _) => follow(map, path),
                // A text is a map with this one key (engine.md §8.8).
                (text @ Value::String(_), [key]) if &**key == "output" => Some(text),
                _ => None,
            }),
            Self::Env(value) => value.as_ref().map(|value| value.root()),
            Self::Custom { prefix, path } => match subject.custom.iter().find(|(name, _)| **name == **prefix) {
                Some((_, Ok(map))) => map.root().as_map().and_then(|map| follow(map, path)),
                Some((_, Err(error))) => return Resolved::Failed(error),
                None => return Resolved::Failed(NOT_ANSWERED),
            },
            Self::Nothing => None,
        };
        match found {
            None | Some(Value::Null) => Resolved::Missing,
            Some(value) => Resolved::Value(value),
        }
    }

    /// Adds what it needs. `text` is the selector as written.
    pub(super) fn needs(&self, text: &str, needs: &mut Needs) {
        match self {
            Self::Custom { prefix, .. } => {
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
        matches!(self, Self::OutputText | Self::Result(_))
    }
}

/// A host that declares a selector answers for it; silence is no permission.
const NOT_ANSWERED: &str = "the host gave no answer";

fn follow<'v>(map: Map<'v>, path: &[Box<str>]) -> Option<Value<'v>> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(map.get(first)?, |value, key| value.as_map()?.get(key))
}
