//! What the rules and the calls of one group have in common.

use super::vocabulary::{ADDRESSES, COMMANDS, Field, PATHS, Profile, TOOLS, Tool, fields, output};
use crate::differential::datum::Datum;
use crate::differential::random::Random;

/// Tools, arguments and identities of one group.
#[derive(Clone, Debug)]
pub struct World {
    /// Tools that are called.
    pub tools: Vec<Tool>,
    /// `tools:` of the ruleset, by name.
    pub classes: Vec<(&'static str, &'static str)>,
    /// Arguments that any tool may have.
    pub fields: Vec<Field>,
    /// Selectors of arguments with a meaning (path, command, address) and values of them.
    pub special: Vec<(&'static str, Vec<&'static str>)>,
    /// Fields of principals and values of them.
    pub principal: Vec<(&'static str, Vec<Datum>)>,
    /// Whether calls have metadata.
    pub metadata: bool,
    /// What tools return.
    pub outputs: Vec<String>,
}

impl World {
    /// A new one.
    pub fn new(random: &mut Random) -> Self {
        let tools: Vec<Tool> = (0..random.between(2, 4)).map(|_| *random.one(TOOLS)).collect();
        let mut classes: Vec<(&str, &str)> = Vec::new();
        for tool in &tools {
            if random.percent(75) && !classes.iter().any(|(name, _)| *name == tool.name) {
                classes.push((
                    tool.name,
                    *random.weighted(&[(4, "read"), (2, "pure"), (1, "write"), (1, "irreversible")]),
                ));
            }
        }
        let some = |random: &mut Random, of: &[&'static str]| -> Vec<&'static str> {
            (0..random.between(2, 5)).map(|_| *random.one(of)).collect()
        };
        let special = vec![
            ("args.path", some(random, PATHS)),
            ("args.file_path", some(random, PATHS)),
            ("args.command", some(random, COMMANDS)),
            ("args.url", some(random, ADDRESSES)),
        ];
        let principal = vec![
            ("user_id", vec!["ana".into(), "bob".into(), "Ünal".into()]),
            ("role", vec!["admin".into(), "sre".into(), "viewer".into()]),
            ("ticket_ref", vec!["JIRA-1".into(), "".into()]),
            ("org_id", vec!["org-1".into()]),
            ("service_id", vec!["svc".into()]),
            ("claims.team", vec!["red".into(), "blue".into(), Datum::from(7)]),
            ("claims.level.n", vec![Datum::from(3), Datum::Float("3.0".to_owned())]),
        ];
        Self {
            tools,
            classes,
            fields: fields(random),
            special,
            principal,
            metadata: random.percent(8),
            outputs: (0..random.between(2, 5)).map(|_| output(random)).collect(),
        }
    }

    /// The class of a tool as the file declares it.
    pub fn class(&self, tool: &str) -> Option<&'static str> {
        self.classes.iter().find(|(name, _)| *name == tool).map(|(_, class)| *class)
    }

    /// Names of tools whose results rules may change in both engines.
    pub fn harmless_tools(&self) -> Vec<&'static str> {
        let harmless =
            |tool: &&Tool| tool.profile != Profile::Command && matches!(self.class(tool.name), Some("read" | "pure"));
        self.tools.iter().filter(harmless).map(|tool| tool.name).collect()
    }
}
