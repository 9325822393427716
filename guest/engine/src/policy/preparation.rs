//! Documents → policy, in slices: a host with one thread can do other work between two of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Policy;
use crate::call::ToolRegistry;
use crate::diagnostics::{Code, Diagnostic, Failure, Findings, Severity};
use crate::documents::composition::Composition;
use crate::documents::load::Loader;
use crate::documents::ruleset::RuleBody;
use crate::documents::{self, Document};
use crate::inquiry::{Answer, Question};
use crate::options::Options;
use crate::program::glob::Glob;
use crate::program::{Compiler, Program};
use crate::redaction::Redactor;
use crate::rules::{DEFAULT_ENVIRONMENT, Rules};
use crate::sandbox::{self, Links, Sandbox};
use crate::session::limits::Limits;
use crate::workflow::definition::Workflow;

/// Most rounds of links that boundaries may take to resolve: a chain of symbolic links longer than that is a loop.
const MAX_LINK_ROUNDS: usize = 64;

/// A policy being made.
#[derive(Debug)]
pub struct Preparation {
    stage: Stage,
    options: String,
}

#[derive(Debug)]
enum Stage {
    New(Vec<Document>, Option<Document>),
    Reading(Box<Reading>),
    Compiling(Box<Compiling>),
    Binding(Box<Binding>),
    Over,
}

#[derive(Debug)]
struct Reading {
    options: Options,
    loader: Loader,
    workflow: Option<Arc<Workflow>>,
    /// About the workflow.
    diagnostics: Vec<Diagnostic>,
}

#[derive(Debug)]
struct Compiling {
    options: Options,
    composition: Composition,
    compiler: Compiler,
    workflow: Option<Arc<Workflow>>,
    diagnostics: Vec<Diagnostic>,
}

#[derive(Debug)]
struct Binding {
    options: Options,
    composition: Composition,
    program: Program,
    workflow: Option<Arc<Workflow>>,
    diagnostics: Vec<Diagnostic>,
    places: sandbox::Context,
    sandboxes: BTreeMap<usize, Sandbox>,
    links: Links,
    asked: Vec<String>,
    rounds: usize,
}

/// How far a preparation is.
#[derive(Debug)]
pub enum Progress {
    /// Call [`Preparation::advance`] again.
    More,
    /// Only `read-links`: answer with [`Preparation::answer`] first.
    Ask(Vec<Question>),
    /// The policy.
    Ready(Policy),
}

impl Preparation {
    /// No work is done here yet. `options`: JSON, see [`Options`].
    #[must_use]
    pub const fn new(rulesets: Vec<Document>, workflow: Option<Document>, options: String) -> Self {
        Self { stage: Stage::New(rulesets, workflow), options }
    }

    /// Reads and compiles as much as so many rules take.
    ///
    /// # Errors
    /// Options or documents that do not load; the preparation is over then.
    pub fn advance(&mut self, rules: u32) -> Result<Progress, Failure> {
        let rules = usize::try_from(rules).unwrap_or(usize::MAX).max(1);
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New(rulesets, workflow) => {
                let options = Options::read(&self.options)?;
                let loader = Loader::new(rulesets, &options);
                // What is wrong with the workflow is told together with what is wrong with the rulesets.
                let (workflow, diagnostics) = match workflow
                    .map(|document| documents::workflow::load(&document.name, &document.text, options.exec_enabled))
                {
                    None => (None, Vec::new()),
                    Some(Ok((workflow, warnings))) => (Some(Arc::new(workflow)), warnings),
                    Some(Err(findings)) => (None, findings),
                };
                self.stage = Stage::Reading(Box::new(Reading { options, loader, workflow, diagnostics }));
            }
            Stage::Reading(mut reading) => {
                if !reading.loader.advance(rules) {
                    self.stage = Stage::Reading(reading);
                    return Ok(Progress::More);
                }
                self.stage = reading.finish()?;
            }
            Stage::Compiling(mut compiling) => {
                if !compiling.compiler.advance(rules) {
                    self.stage = Stage::Compiling(compiling);
                    return Ok(Progress::More);
                }
                self.stage = Stage::Binding(compiling.finish()?);
            }
            Stage::Binding(mut binding) => {
                let paths = binding.bind();
                if paths.is_empty() {
                    return binding.finish().map(Progress::Ready);
                }
                binding.asked.clone_from(&paths);
                self.stage = Stage::Binding(binding);
                return Ok(Progress::Ask(vec![Question::ReadLinks(paths)]));
            }
            Stage::Over => {
                return Err(Failure::argument("E_PREPARATION_OVER", "the preparation has already ended"));
            }
        }
        Ok(Progress::More)
    }

    /// Answers [`Progress::Ask`].
    pub fn answer(&mut self, answers: Vec<Answer>) {
        let Stage::Binding(binding) = &mut self.stage else { return };
        let asked = std::mem::take(&mut binding.asked);
        let links = match answers.into_iter().next() {
            Some(Answer::ReadLinks(links)) if links.len() == asked.len() => links,
            // A boundary that cannot be resolved contains nothing.
            _ => vec![crate::inquiry::Link::Unreadable; asked.len()],
        };
        for (path, link) in asked.into_iter().zip(links) {
            binding.links.insert(path, link);
        }
    }
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|finding| finding.severity == Severity::Error)
}

/// Findings by document and place; first those about YAML itself, because all others may follow from them.
fn failure(mut diagnostics: Vec<Diagnostic>) -> Failure {
    let whole = |finding: &Diagnostic| !finding.code.as_str().starts_with("E_YAML") && finding.code != Code::DocNotMap;
    diagnostics.sort_by(|one, two| {
        let key = |finding: &Diagnostic| (whole(finding), finding.span);
        one.document.cmp(&two.document).then(key(one).cmp(&key(two)))
    });
    Failure::documents(diagnostics)
}

impl Reading {
    /// Goes on to compile also what has errors, so that all findings come out in one go.
    fn finish(self) -> Result<Stage, Failure> {
        let (composition, mut diagnostics) = self.loader.finish();
        diagnostics.extend(self.diagnostics);
        let Some(mut composition) = composition else { return Err(failure(diagnostics)) };
        if self.options.force_mode {
            let mode = self.options.mode.unwrap_or(composition.mode);
            composition.rules.iter_mut().filter(|rule| !rule.candidate).for_each(|rule| rule.mode = mode);
        }
        let compiler = Compiler::new(&composition, &self.options);
        let Self { options, workflow, .. } = self;
        Ok(Stage::Compiling(Box::new(Compiling { options, composition, compiler, workflow, diagnostics })))
    }
}

impl Compiling {
    fn finish(self) -> Result<Box<Binding>, Failure> {
        let Self { options, composition, compiler, workflow, mut diagnostics } = self;
        let (program, found) = compiler.finish();
        diagnostics.extend(found);
        let places =
            sandbox::Context { cwd: options.cwd.clone().unwrap_or_else(|| "/".to_owned()), home: options.home.clone() };
        let mut sandboxes = BTreeMap::new();
        for (index, effective) in composition.rules.iter().enumerate() {
            if let RuleBody::Sandbox(rule) = &effective.rule.body {
                let mut findings = Findings::of(&effective.rule.document);
                sandboxes.insert(index, Sandbox::compile(rule, &places, &mut findings));
                diagnostics.extend(findings.into_list());
            }
        }
        if has_errors(&diagnostics) {
            return Err(failure(diagnostics));
        }
        Ok(Box::new(Binding {
            options,
            composition,
            program,
            workflow,
            diagnostics,
            places,
            sandboxes,
            links: Links::default(),
            asked: Vec::new(),
            rounds: 0,
        }))
    }
}

impl Binding {
    /// Paths whose kind must be known before boundaries are bound; each once.
    fn bind(&mut self) -> Vec<String> {
        self.rounds += 1;
        if self.rounds > MAX_LINK_ROUNDS {
            return Vec::new();
        }
        let mut paths = std::collections::BTreeSet::new();
        for sandbox in self.sandboxes.values_mut() {
            paths.extend(sandbox.bind(&self.links));
        }
        paths.into_iter().collect()
    }

    fn finish(self) -> Result<Policy, Failure> {
        let Self { options, composition, program, workflow, diagnostics, places, sandboxes, .. } = self;
        let redactor = Redactor::new(&options.redaction)
            .map_err(|error| Failure::argument("E_OPTION", format!("options: redaction: {error}")))?;
        let hooks = options.hooks.iter().map(|hook| (Glob::compile(&hook.tools), hook.clone())).collect();
        let earlier = options.tools_before.iter().map(|(name, class)| (name.as_str(), *class));
        let rules = Rules {
            mode: options.mode.unwrap_or(composition.mode),
            environment: options.environment.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
            needs: program.needs().clone(),
            limits: Limits::of(&composition, &options),
            registry: ToolRegistry::new(
                earlier.chain(composition.tools.iter().map(|(name, class)| (name.as_str(), *class))),
                &options.tools,
            ),
            redactor: Arc::new(redactor),
            workflow,
            has_candidates: composition.rules.iter().any(|rule| rule.candidate),
            program,
            composition,
            options,
            places,
            sandboxes,
            hooks,
            warnings: diagnostics,
        };
        Ok(Policy { rules: Arc::new(rules) })
    }
}
