//! Where the engines differ on purpose: kinds of groups that lead there, each for one divergence of DIVERGENCES.md.

use crate::differential::datum::Datum;
use crate::differential::random::Random;
use crate::differential::ruleset_text;

/// What is different in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each leads to another divergence")]
pub struct Kind {
    /// What it is called in reports.
    pub name: &'static str,
    /// The reference keeps no results (D-041).
    pub drops_results: bool,
    /// Results with booleans, and gates for them (D-042).
    pub truths: bool,
    /// Stored states with more in them than is known (D-044).
    pub foreign_states: bool,
    /// The guard observes, and what it would have blocked succeeds (D-045).
    pub observes: bool,
    /// The reference logs the workflow as it was (D-046).
    pub stale_snapshots: bool,
    /// Gates run commands.
    pub executes: bool,
    /// Gates run commands that are none (D-048).
    pub breaks: bool,
    /// The document has something that only one side reads.
    pub document: Option<Change>,
}

/// What only one side reads in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A number, a truth value or nothing where text belongs (D-050).
    Scalar,
    /// `tools` is a text (D-051).
    List,
    /// A gate names a stage that does not exist (D-052).
    UnknownStage,
    /// A pattern or an argument is empty, a bracket open (D-053).
    Empty,
    /// An escape in a condition (D-054).
    Escape,
    /// A key twice (D-055).
    Twice,
    /// A pattern that needs backtracking (D-056).
    Backtracking,
}

/// Nothing is different.
pub const PLAIN: Kind = Kind {
    name: "plain",
    drops_results: false,
    truths: false,
    foreign_states: false,
    observes: false,
    stale_snapshots: false,
    executes: false,
    breaks: false,
    document: None,
};

const KINDS: &[(usize, Kind)] = &[
    (4, Kind { name: "results", drops_results: true, ..PLAIN }),
    (5, Kind { name: "truths", truths: true, ..PLAIN }),
    (4, Kind { name: "states", foreign_states: true, ..PLAIN }),
    (3, Kind { name: "observed", observes: true, ..PLAIN }),
    (3, Kind { name: "snapshots", stale_snapshots: true, ..PLAIN }),
    (5, Kind { name: "commands", executes: true, ..PLAIN }),
    (3, Kind { name: "no commands", executes: true, breaks: true, ..PLAIN }),
    (8, Kind { name: "scalars", document: Some(Change::Scalar), ..PLAIN }),
    (3, Kind { name: "lists", document: Some(Change::List), ..PLAIN }),
    (3, Kind { name: "unknown stages", document: Some(Change::UnknownStage), ..PLAIN }),
    (4, Kind { name: "empty", document: Some(Change::Empty), ..PLAIN }),
    (4, Kind { name: "escapes", document: Some(Change::Escape), ..PLAIN }),
    (3, Kind { name: "keys", document: Some(Change::Twice), ..PLAIN }),
    (3, Kind { name: "backtracking", document: Some(Change::Backtracking), ..PLAIN }),
];

/// One of them.
pub fn kind(random: &mut Random) -> Kind {
    *random.weighted(KINDS)
}

impl Kind {
    /// The document's text: that of its content, but for what no content can say.
    #[must_use]
    pub fn text(self, content: &Datum, text: String) -> String {
        if self.document == Some(Change::Twice) {
            return ruleset_text::plainly(content) + "kind: Workflow\n";
        }
        text
    }
}

/// Changes a document.
pub fn change(random: &mut Random, kind: Kind, content: &mut Datum) {
    let Some(change) = kind.document else { return };
    let stage = content.get_mut("stages").and_then(|stages| stages.items_mut().first_mut());
    match change {
        Change::Scalar if random.percent(70) => {
            let value = *random.one(&["null", "null", "true", "1.5"]);
            let value = Datum::parse(value).unwrap_or_default();
            let name = random.word(&["version", "version", "description"]);
            if let Some(metadata) = content.get_mut("metadata") {
                metadata.set(name, value);
            }
        }
        Change::Scalar => {
            let value = Datum::parse(random.word(&["\"false\"", "0", "\"yes\""])).unwrap_or_default();
            stage.into_iter().for_each(|stage| stage.set("terminal", value.clone()));
        }
        Change::List => stage.into_iter().for_each(|stage| stage.set("tools", "Read")),
        Change::UnknownStage => {
            let condition = random.word(&["stage_complete(\"nowhere\")", "approval(\"nowhere\")"]);
            stage.into_iter().for_each(|stage| stage.set("exit", exit(condition)));
        }
        Change::Empty => match random.below(3) {
            0 => {
                let check = Datum::map([("command_matches", "".into()), ("message", "m".into())]);
                stage.into_iter().for_each(|stage| stage.set("checks", Datum::list([check.clone()])));
            }
            1 => stage.into_iter().for_each(|stage| stage.set("tools", Datum::list(["Read".into(), "[ab".into()]))),
            _ => {
                let condition = random.word(&["stage_complete(\"\")", "file_read(\"\")", "command_matches(\"\")"]);
                stage.into_iter().for_each(|stage| stage.set("exit", exit(condition)));
            }
        },
        Change::Escape => {
            let conditions = [r#"file_read("\x41")"#, r#"command_matches("\bgit\b")"#, r#"file_read("\u00e9")"#];
            let condition = random.word(&conditions);
            stage.into_iter().for_each(|stage| stage.set("exit", exit(condition)));
        }
        Change::Twice => {}
        Change::Backtracking => {
            let condition = random.word(&[r#"command_matches("g(?=it)")"#, r#"command_not_matches("(a)\\1")"#]);
            stage.into_iter().for_each(|stage| stage.set("exit", exit(condition)));
        }
    }
}

fn exit(condition: &str) -> Datum {
    Datum::list([Datum::map([("condition", condition.into()), ("message", "m".into())])])
}
