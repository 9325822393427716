//! Documents without a policy: all findings, what they need, their composition, the built-in ones.

use super::preparation::{Preparation, Progress};
use super::summary;
use crate::diagnostics::{Diagnostic, Failure, Severity};
use crate::documents::load::Loader;
use crate::documents::{self, Document, serialize, templates};
use crate::inquiry::{Answer, Link, Question};
use crate::json::Json;
use crate::json::write::Object;
use crate::options::Options;

/// Slices are for hosts with one thread; here all is done at once.
const ALL: u32 = u32::MAX;

/// All findings of all documents, in one go. Empty: they load without a remark. A workflow may also be checked alone.
#[must_use]
pub fn check(rulesets: &[Document], workflow: Option<&Document>, options: &str) -> Vec<Diagnostic> {
    if let (true, Some(workflow), Ok(options)) = (rulesets.is_empty(), workflow, Options::read(options)) {
        let loaded = documents::workflow::load(&workflow.name, &workflow.text, options.exec_enabled);
        return loaded.map_or_else(|findings| findings, |(_, warnings)| warnings);
    }
    match prepare(rulesets, workflow, options) {
        Ok(policy) => policy.rules.warnings.clone(),
        Err(failure) if failure.diagnostics.is_empty() => vec![Diagnostic {
            severity: Severity::Error,
            code: crate::diagnostics::Code::Option,
            message: failure.message,
            document: String::new(),
            span: crate::diagnostics::Span::default(),
            help: None,
        }],
        Err(failure) => failure.diagnostics,
    }
}

/// Rules, tools, limits, what a host must be able to answer, and the variables that `env` has to hold. Of a workflow without
/// rulesets: its stages.
///
/// # Errors
/// Options or documents that do not load.
pub fn describe(rulesets: &[Document], workflow: Option<&Document>, options: &str) -> Result<Json, Failure> {
    if let (true, Some(workflow)) = (rulesets.is_empty(), workflow) {
        let options = Options::read(options)?;
        let loaded = documents::workflow::load(&workflow.name, &workflow.text, options.exec_enabled);
        let (workflow, warnings) = loaded.map_err(Failure::documents)?;
        return Ok(summary::of_workflow(&workflow, &warnings));
    }
    prepare(rulesets, workflow, options).map(|policy| policy.summary())
}

/// Left to right into one ruleset, with the report.
///
/// # Errors
/// Options or documents that do not load.
pub fn compose(rulesets: &[Document], options: &str) -> Result<Json, Failure> {
    let options = Options::read(options)?;
    let mut loader = Loader::new(rulesets.to_vec(), &options);
    while !loader.advance(usize::MAX) {}
    let (composition, diagnostics) = loader.finish();
    let broken = diagnostics.iter().any(|finding| finding.severity == Severity::Error);
    let Some(composition) = composition.filter(|_| !broken) else { return Err(Failure::documents(diagnostics)) };
    let mut out = String::new();
    Object::write(&mut out, |result| {
        result.string("yaml", &serialize::ruleset(&composition));
        result.optional_string("candidates_yaml", serialize::candidates(&composition).as_deref());
        result.string("policy_version", &composition.policy_version);
        result.raw("report", &serde_json::to_string(&composition.report).unwrap_or_default());
        result.raw("warnings", &summary::diagnostics(&diagnostics));
    });
    Ok(out)
}

/// The built-in rulesets.
#[must_use]
pub fn templates() -> Vec<Document> {
    templates::all()
        .iter()
        .map(|(name, text)| Document { name: (*name).to_owned(), text: (*text).to_owned() })
        .collect()
}

/// A policy whose boundaries are taken as they are written: nobody is there to ask about links.
fn prepare(rulesets: &[Document], workflow: Option<&Document>, options: &str) -> Result<super::Policy, Failure> {
    let mut preparation = Preparation::new(rulesets.to_vec(), workflow.cloned(), options.to_owned());
    loop {
        match preparation.advance(ALL)? {
            Progress::More => {}
            Progress::Ready(policy) => return Ok(policy),
            Progress::Ask(questions) => {
                let answers = questions.into_iter().map(|question| match question {
                    Question::ReadLinks(paths) => Answer::ReadLinks(vec![Link::Plain; paths.len()]),
                    _ => Answer::Failed("documents are explained without a host".to_owned()),
                });
                preparation.answer(answers.collect());
            }
        }
    }
}
