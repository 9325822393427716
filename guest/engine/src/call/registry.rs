//! What tools do: classes by exact tool name (engine.md §2.4). Names are never patterns.

use std::collections::BTreeMap;

use super::classify;
use crate::documents::ruleset::{SideEffect, ToolClass};

/// The tool whose `command` says what it does.
pub(super) const SHELL_TOOL: &str = "Bash";

/// Class of a tool that nobody has described.
const UNKNOWN: ToolClass = ToolClass { side_effect: SideEffect::Irreversible, idempotent: false };

/// Classes by tool name.
#[derive(Clone, Debug, Default)]
pub struct ToolRegistry {
    classes: BTreeMap<String, ToolClass>,
}

impl ToolRegistry {
    /// From the entries of the files, a later one of the same name winning, and those of the options, which win over
    /// all of them as whole entries.
    pub fn new<'f>(
        files: impl IntoIterator<Item = (&'f str, ToolClass)>,
        options: &BTreeMap<String, ToolClass>,
    ) -> Self {
        let mut classes: BTreeMap<String, ToolClass> =
            files.into_iter().map(|(name, class)| (name.to_owned(), class)).collect();
        classes.extend(options.iter().map(|(name, class)| (name.clone(), *class)));
        Self { classes }
    }

    /// The class of a tool; `command` only matters for `Bash`, whose side effect it decides whatever the entry says.
    #[must_use]
    pub fn class(&self, tool: &str, command: &str) -> ToolClass {
        let class = self.classes.get(tool).copied().unwrap_or(UNKNOWN);
        if tool != SHELL_TOOL {
            return class;
        }
        ToolClass { side_effect: classify::command(command), ..class }
    }

    /// Every entry, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ToolClass)> {
        self.classes.iter().map(|(name, class)| (name.as_str(), *class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: ToolClass = ToolClass { side_effect: SideEffect::Read, idempotent: true };
    const WRITE: ToolClass = ToolClass { side_effect: SideEffect::Write, idempotent: false };

    #[test]
    fn options_win_over_files_and_later_files_over_earlier_ones() {
        let options = BTreeMap::from([("b".to_owned(), WRITE)]);
        let registry = ToolRegistry::new([("a", WRITE), ("b", READ), ("a", READ), ("mcp_*", READ)], &options);
        assert_eq!(registry.class("a", ""), READ);
        assert_eq!(registry.class("b", ""), WRITE);
        assert_eq!(registry.class("mcp_x", ""), UNKNOWN, "a key is a name, not a glob");
        assert_eq!(registry.class("A", ""), UNKNOWN);
        assert_eq!(registry.iter().count(), 3);
    }

    #[test]
    fn an_entry_for_bash_cannot_make_rm_harmless() {
        let registry = ToolRegistry::new([("Bash", READ)], &BTreeMap::new());
        let class = registry.class("Bash", "rm -rf /");
        assert_eq!((class.side_effect, class.idempotent), (SideEffect::Irreversible, true));
        assert_eq!(registry.class("Bash", "ls").side_effect, SideEffect::Read);
        assert_eq!(registry.class("bash", "ls").side_effect, SideEffect::Irreversible);
    }
}
