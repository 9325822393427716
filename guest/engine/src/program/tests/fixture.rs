//! Rulesets and calls for tests, from JSON.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::call::{Call, Output, Principal, Subject};
use crate::diagnostics::{Diagnostic, Span};
use crate::documents::composition::{Composition, EffectiveRule, Report};
use crate::documents::ruleset::{
    Approval, Expression, Leaf, Mode, PostAction, PostRule, PreAction, PreRule, Rule, RuleBody, SandboxRule,
    SessionLimits, SessionRule, SideEffect, Spanned, Then, TimeoutAction,
};
use crate::json::{Builder, Literal, Tape};
use crate::options::Options;
use crate::program::{Compiler, Fired, Phase, Program};

/// A literal from JSON text; `NaN` is one too.
pub(super) fn literal(json: &Json) -> Literal {
    if json.as_str() == Some("NaN") {
        let mut builder = Builder::new();
        builder.float(f64::NAN);
        return builder.finish();
    }
    Tape::read_owned(json.to_string()).unwrap()
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned { value, span: Span { line: 7, column: 3, end_line: 7, end_column: 9 } }
}

/// `when`, written as in documents.
pub(super) fn expression(json: &Json) -> Expression {
    let (key, value) = json.as_object().unwrap().iter().next().unwrap();
    let list = || value.as_array().unwrap().iter().map(expression).collect();
    match key.as_str() {
        "all" => Expression::All(list()),
        "any" => Expression::Any(list()),
        "not" => Expression::Not(Box::new(expression(value))),
        selector => {
            let (operator, operand) = value.as_object().unwrap().iter().next().unwrap();
            Expression::Leaf(Leaf {
                selector: spanned(selector.to_owned()),
                operator: spanned(operator.clone()),
                operand: spanned(literal(operand)),
            })
        }
    }
}

pub(super) const APPROVAL: Approval = Approval { timeout: 300, timeout_action: TimeoutAction::Block };

fn then(message: &str) -> Then {
    Then { message: message.to_owned(), message_span: Span::default(), tags: vec!["t".to_owned()], metadata: None }
}

fn rule(id: &str, body: RuleBody) -> EffectiveRule {
    let rule =
        Rule { id: id.to_owned(), enabled: true, mode: None, document: "a.yaml".into(), span: Span::default(), body };
    EffectiveRule { id: id.to_owned(), mode: Mode::Enforce, candidate: false, rule: Arc::new(rule) }
}

pub(super) fn pre(id: &str, tool: &str, when: &Json, message: &str) -> EffectiveRule {
    let body = PreRule {
        tool: tool.to_owned(),
        when: expression(when),
        action: PreAction::Block,
        then: then(message),
        approval: APPROVAL,
    };
    rule(id, RuleBody::Pre(body))
}

pub(super) fn post(id: &str, tool: &str, when: &Json, action: PostAction, message: &str) -> EffectiveRule {
    let body = PostRule { tool: tool.to_owned(), when: expression(when), action, then: then(message) };
    rule(id, RuleBody::Post(body))
}

pub(super) fn session(id: &str, message: &str) -> EffectiveRule {
    let limits = SessionLimits { max_attempts: Some(3), ..SessionLimits::default() };
    rule(id, RuleBody::Session(SessionRule { limits, then: then(message) }))
}

pub(super) fn sandbox(id: &str, tools: &[&str], message: &str) -> EffectiveRule {
    let body = SandboxRule {
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        within: vec![spanned("/work".to_owned())],
        not_within: Vec::new(),
        allowed_commands: None,
        allowed_domains: None,
        blocked_domains: Vec::new(),
        outside: PreAction::Ask,
        message: message.to_owned(),
        message_span: Span::default(),
        approval: APPROVAL,
    };
    rule(id, RuleBody::Sandbox(body))
}

pub(super) fn composition(rules: Vec<EffectiveRule>) -> Composition {
    Composition {
        name: "test".to_owned(),
        policy_version: "0".repeat(64),
        mode: Mode::Enforce,
        rules,
        tools: Vec::new(),
        limits: SessionLimits::default(),
        observability: None,
        report: Report::default(),
    }
}

pub(super) fn compile(rules: Vec<EffectiveRule>, options: &Options) -> (Program, Vec<Diagnostic>) {
    Compiler::new(&composition(rules), options).finish()
}

/// Compiles what must be without findings.
pub(super) fn program(rules: Vec<EffectiveRule>, options: &Options) -> Program {
    let (program, findings) = compile(rules, options);
    assert!(findings.is_empty(), "{findings:?}");
    program
}

/// A call with everything that selectors can reach.
pub(super) struct Sample {
    pub(super) tool: String,
    pub(super) environment: String,
    args: Literal,
    metadata: Option<Literal>,
    principal: Option<Literal>,
    output: Option<Literal>,
    output_text: Option<String>,
    custom: Vec<(String, Result<Literal, String>)>,
}

impl Sample {
    /// From `{tool, args, metadata, principal, output, custom}`, of which only `args` must be there. A custom map that is a
    /// text is an error.
    pub(super) fn new(json: &Json) -> Self {
        let part = |name: &str| json.get(name).map(literal);
        let custom = json.get("custom").and_then(Json::as_object).into_iter().flatten();
        let output_text = json
            .get("output")
            .filter(|output| !output.is_null())
            .map(|output| crate::program::text::output(literal(output).root()).into_owned());
        Self {
            tool: json.get("tool").and_then(Json::as_str).unwrap_or("Bash").to_owned(),
            environment: json.get("environment").and_then(Json::as_str).unwrap_or("production").to_owned(),
            args: part("args").unwrap(),
            metadata: part("metadata"),
            principal: part("principal"),
            output: part("output"),
            output_text,
            custom: custom
                .map(|(prefix, map)| {
                    (prefix.clone(), map.as_str().map_or_else(|| Ok(literal(map)), |error| Err(error.to_owned())))
                })
                .collect(),
        }
    }

    /// Arguments from JSON text, for numbers that `serde_json` would change.
    pub(super) fn set_args(&mut self, json: &str) {
        self.args = Tape::read_owned(json.to_owned()).unwrap();
    }

    pub(super) fn set_output_text(&mut self, text: &str) {
        self.output_text = Some(text.to_owned());
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&Subject<'_>) -> R) -> R {
        let call = Call {
            tool: &self.tool,
            args: self.args.root().as_map().unwrap(),
            metadata: self.metadata.as_ref().and_then(|metadata| metadata.root().as_map()),
            call_id: "",
            session_id: "",
            agent_id: "",
            environment: None,
            parent_call_id: None,
            parent_session_id: None,
            tool_use_id: None,
            call_index: 0,
            principal: Principal::Explicit(None),
            bash_command: "",
            file_path: None,
            side_effect: SideEffect::Irreversible,
            idempotent: false,
        };
        look(&Subject {
            call: &call,
            principal: self.principal.as_ref().and_then(|principal| principal.root().as_map()),
            environment: &self.environment,
            output: self
                .output
                .as_ref()
                .map(|output| Output { value: output.root(), text: self.output_text.as_deref() }),
            custom: &self.custom,
        })
    }

    /// The rules that fire, custom operators answered by `answer`.
    pub(super) fn fired(
        &self,
        program: &Program,
        phase: Phase,
        answer: &dyn Fn(&str, &str, &str) -> Result<bool, String>,
    ) -> Vec<Fired> {
        self.with(|subject| {
            let scan = program.scan(phase, *subject);
            let calls = scan.operator_calls();
            let answers: Vec<_> = calls.iter().map(|call| answer(&call.name, &call.value, &call.operand)).collect();
            scan.fired(&answers).collect()
        })
    }
}

/// Whether a single rule fires on arguments: `F`, `T`, or `E` for an error.
pub(super) fn outcome(when: &Json, args: &Json) -> char {
    let program = program(vec![pre("r", "*", when, "m")], &Options::default());
    let sample = Sample::new(&serde_json::json!({"args": args}));
    match sample.fired(&program, Phase::Pre, &|_, _, _| unreachable!()).as_slice() {
        [] => 'F',
        [fired] if fired.policy_error => 'E',
        _ => 'T',
    }
}
