//! A case: rulesets, how the guard is opened, and what is then asked of it. Every request is known beforehand; none depends
//! on an answer, so that both sides can be fed as fast as they read. A request that the answer before it made pointless
//! (`finish` of a blocked call) is answered with an error by both.

use std::fmt::Write as _;
use std::sync::Arc;

use super::datum::Datum;

/// One document.
#[derive(Clone, Debug)]
pub struct Document {
    /// The name under which it is loaded.
    pub name: String,
    /// What is in it; of a text that is none: null.
    pub content: Datum,
    /// As both sides read it.
    pub text: String,
}

/// What a guard is opened with.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// Left to right.
    pub documents: Vec<Document>,
    /// The workflow.
    pub workflow: Option<Document>,
    /// The other fields of `open`: `mode`, `environment`, `tools`, `limits`, `env`, `principal`, `options`.
    pub settings: Datum,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Shared by the cases of a group.
    pub opening: Arc<Opening>,
    /// Requests without `id` and `guard`.
    pub steps: Vec<Datum>,
}

/// Cases on one guard, each in sessions of its own: opening costs most.
#[derive(Clone, Debug)]
pub struct Group {
    /// Why it was made: `plain`, `broken`, or where it leads.
    pub kind: &'static str,
    /// All cases have this opening.
    pub cases: Vec<Case>,
}

/// The guard of every case: a new one takes the place of the last.
const GUARD: &str = "g";

impl Opening {
    /// The request that opens it.
    #[must_use]
    pub fn request(&self) -> Datum {
        let documents = self.documents.iter().map(|document| {
            Datum::map([("name", document.name.as_str().into()), ("yaml", document.text.as_str().into())])
        });
        let mut request = Datum::map([("op", "open".into()), ("rulesets", Datum::list(documents))]);
        if let Some(workflow) = &self.workflow {
            request.set("workflow", workflow.text.as_str());
        }
        for (name, value) in self.settings.entries() {
            request.set(name, value.clone());
        }
        request
    }

    /// Whether the reference's behaviour is asked for.
    #[must_use]
    pub fn compat(&self) -> bool {
        self.settings.get("compat").is_some()
    }
}

impl Group {
    /// A group of one.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        Self { kind: "one", cases: vec![case.clone()] }
    }

    /// All requests, one a line: open, then each case's steps and its events.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let Some(first) = self.cases.first() else { return Vec::new() };
        let mut lines = vec![line(&first.opening.request())];
        for case in &self.cases {
            lines.extend(case.steps.iter().map(line));
            lines.push(line(&Datum::map([("op", "events".into())])));
        }
        lines
    }
}

fn line(request: &Datum) -> String {
    let mut text = String::from("{\"id\":0,\"guard\":\"");
    let _ = write!(text, "{GUARD}\"");
    for (name, value) in request.entries() {
        let _ = write!(text, ",\"{name}\":{value}");
    }
    text.push('}');
    text
}
