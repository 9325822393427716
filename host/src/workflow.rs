//! A workflow apart from the guards it is for: loaded once, its findings known, handed to any number of guards.

use std::sync::Arc;

use crate::error::Error;
use crate::host::Host;
use crate::{Diagnostic, Document, Failure, FailureKind, Severity};

/// A workflow that loads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workflow {
    document: Arc<Document>,
    warnings: Arc<[Diagnostic]>,
}

impl Workflow {
    /// Reads and checks a workflow (YAML). `name` is what diagnostics call it. `exec_enabled` permits `exec(...)`; a guard
    /// that is to use the workflow needs the option of that name too.
    ///
    /// # Errors
    /// [`Error::Refused`] with everything that is wrong with it.
    pub async fn load(
        host: &Host,
        name: impl Into<String>,
        text: impl Into<String>,
        exec_enabled: bool,
    ) -> Result<Self, Error> {
        let document = Document { name: name.into(), text: text.into() };
        let options = format!(r#"{{"exec_enabled":{exec_enabled}}}"#);
        let findings = host.check(Vec::new(), Some(document.clone()), &options).await?;
        match findings.iter().find(|finding| finding.severity == Severity::Error) {
            Some(first) => Err(Error::Refused(Failure {
                kind: FailureKind::InvalidDocument,
                code: first.code.clone(),
                message: first.message.clone(),
                diagnostics: findings,
            })),
            None => Ok(Self { document: Arc::new(document), warnings: findings.into() }),
        }
    }

    /// What was found that is no error.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    pub(crate) fn document(&self) -> &Document {
        &self.document
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, CallRequest, Ruleset};

    const RULES: &str = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: r}\ndefaults: {mode: enforce}\nrules:\n  \
        - {id: r, type: pre, tool: Nothing, when: {tool.name: {exists: true}}, then: {action: block, message: never}}\n";

    const STAGES: &str = "apiVersion: edictum/v1\nkind: Workflow\nmetadata: {name: w}\nstages:\n  \
        - {id: read, tools: [Read]}\n  - {id: done, terminal: true}\n";

    #[test]
    fn two_guards_share_a_workflow_and_a_session_in_it() {
        let host = Host::new().unwrap();
        host.block_on(async {
            let workflow = Workflow::load(&host, "w.yaml", STAGES, false).await.unwrap();
            let store = Arc::new(crate::store::MemoryStore::default());
            let guard = |name: &str| {
                let rules = Ruleset::new("r.yaml", RULES);
                host.guard(name).ruleset(rules).workflow_runtime(&workflow).store(Arc::clone(&store) as _)
            };
            let (one, two) = (guard("one").build().await.unwrap(), guard("two").build().await.unwrap());
            let call = |text| CallRequest { session_id: Some("s"), ..CallRequest::new(text) };
            let blocked = one.begin(call(r#"{"tool":"Bash","args":{"command":"ls"}}"#)).await.unwrap();
            assert_eq!(blocked.action, Action::Block);
            // The first guard's call has moved the session on to the end.
            let over = two.begin(call(r#"{"tool":"Read","args":{"file_path":"a"}}"#)).await.unwrap();
            assert!(over.reason.starts_with("workflow complete"), "{}", over.reason);
        });
    }

    #[test]
    fn what_does_not_load_is_told_with_all_findings() {
        let host = Host::new().unwrap();
        let wrong = STAGES.replace("kind: Workflow", "kind: Wrkflow").replace("terminal: true", "terminal: maybe");
        let refused = host.block_on(Workflow::load(&host, "w.yaml", wrong, false)).unwrap_err();
        let Error::Refused(failure) = refused else { panic!("{refused:?}") };
        assert_eq!(failure.diagnostics.len(), 2, "{:?}", failure.diagnostics);
    }
}
