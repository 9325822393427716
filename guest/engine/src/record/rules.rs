//! Records of the rules that were looked at (`rules_evaluated`), as much of them as the options ask for.

use crate::json::Literal;
use crate::json::write::Object;
use crate::options::Detail;

/// An event carries a record of every rule up to so many; of more, only of those that fired.
pub const MAX_EVENT_RECORDS: usize = 256;

/// The records of one decision, as JSON lists being written.
#[derive(Debug)]
pub struct Records {
    detail: Detail,
    all: String,
    fired: String,
    count: usize,
    policy_error: bool,
}

/// A record of a rule that did not hold.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'r> {
    /// Its id.
    pub name: &'r str,
    /// `precondition`, `sandbox`, `session_contract` or `postcondition`.
    pub kind: &'r str,
    /// For the agent.
    pub message: &'r str,
    /// Tags of a rule from a file; none: the record has no metadata of its own.
    pub tags: Option<&'r [String]>,
    /// The rule's own metadata.
    pub metadata: Option<&'r Literal>,
    /// It fired because it could not be evaluated.
    pub policy_error: bool,
    /// Why, in the words of whoever failed.
    pub error_detail: Option<&'r str>,
    /// It had no effect.
    pub observed: bool,
}

impl Records {
    /// None yet.
    #[must_use]
    pub const fn new(detail: Detail) -> Self {
        Self { detail, all: String::new(), fired: String::new(), count: 0, policy_error: false }
    }

    /// A rule that held; `record` was made at load.
    pub fn passed(&mut self, record: &str) {
        self.count += 1;
        if self.detail == Detail::All {
            push(&mut self.all, record);
        }
    }

    /// A rule that did not hold.
    pub fn failed(&mut self, failed: &Failed<'_>) {
        self.count += 1;
        self.policy_error |= failed.policy_error;
        if self.detail == Detail::None {
            return;
        }
        let mut record = String::new();
        failed.write(&mut record);
        if self.detail == Detail::All {
            push(&mut self.all, &record);
        }
        push(&mut self.fired, &record);
    }

    /// A gate of a workflow; `record` is complete.
    pub fn gate(&mut self, record: &str, passed: bool) {
        self.count += 1;
        if self.detail == Detail::All {
            push(&mut self.all, record);
        }
        if self.detail != Detail::None && !passed {
            push(&mut self.fired, record);
        }
    }

    /// How many rules were looked at.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Whether any of them could not be evaluated.
    #[must_use]
    pub const fn policy_error(&self) -> bool {
        self.policy_error
    }

    /// For the caller: a JSON list.
    #[must_use]
    pub fn list(&self) -> String {
        format!("[{}]", if self.detail == Detail::All { &self.all } else { &self.fired })
    }

    /// For an event: a JSON list.
    #[must_use]
    pub fn event_list(&self) -> String {
        let all = self.detail == Detail::All && self.count <= MAX_EVENT_RECORDS;
        format!("[{}]", if all { &self.all } else { &self.fired })
    }
}

/// The record of a rule that held, for rules that no file has.
#[must_use]
pub fn passed(name: &str, kind: &str) -> String {
    let mut out = String::new();
    Object::write(&mut out, |record| {
        record.string("name", name);
        record.string("type", kind);
        record.bool("passed", true);
        record.raw("message", "null");
    });
    out
}

fn push(list: &mut String, record: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(record);
}

impl Failed<'_> {
    fn write(&self, out: &mut String) {
        Object::write(out, |record| {
            record.string("name", self.name);
            record.string("type", self.kind);
            record.bool("passed", false);
            record.string("message", self.message);
            if self.observed {
                record.bool("observed", true);
            }
            self.write_metadata(record);
        });
    }

    /// `tags`, then the error, then what the rule says itself (engine.md §8.2).
    fn write_metadata(&self, record: &mut Object<'_>) {
        if self.tags.is_none() && !self.policy_error {
            return;
        }
        record.object("metadata", |metadata| {
            if let Some(tags) = self.tags {
                metadata.list("tags", |list| tags.iter().for_each(|tag| list.string(tag)));
            }
            if self.policy_error {
                metadata.bool("policy_error", true);
            }
            if let Some(detail) = self.error_detail {
                metadata.string("error_detail", detail);
            }
            for (key, text) in
                self.metadata.and_then(|own| own.root().as_map()).iter().flat_map(|map| map.raw_entries())
            {
                metadata.raw(key, text);
            }
        });
    }
}
