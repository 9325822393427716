//! What a policy is, as JSON for hosts and people. Values of `env` stay out of it.

use std::collections::BTreeMap;

use crate::diagnostics::Diagnostic;
use crate::documents::ruleset::RuleBody;
use crate::json::Json;
use crate::json::write::{self, Object};
use crate::rules::Rules;
use crate::workflow::definition::{Gate, Workflow};

/// `policy.summary` and `documents.describe`
pub(super) fn write(rules: &Rules) -> Json {
    let mut out = String::new();
    Object::write(&mut out, |summary| {
        summary.string("name", &rules.composition.name);
        summary.string("policy_version", rules.revision());
        summary.string("mode", rules.mode.as_str());
        summary.string("environment", &rules.environment);
        summary.list("rules", |list| {
            for effective in &rules.composition.rules {
                list.object(|rule| {
                    rule.string("id", &effective.id);
                    rule.string("type", kind(&effective.rule.body));
                    rule.string("mode", effective.mode.as_str());
                    rule.raw("tools", &write::strings(tools(&effective.rule.body)));
                    if effective.candidate {
                        rule.bool("candidate", true);
                    }
                    rule.string("document", &effective.rule.document);
                });
            }
        });
        summary.raw("tools", &serde(&rules.registry.iter().collect::<BTreeMap<_, _>>()));
        summary.object("limits", |limits| {
            limits.number("max_attempts", rules.limits.max_attempts);
            limits.number("max_tool_calls", rules.limits.max_tool_calls);
            limits.object("max_calls_per_tool", |tools| {
                for (tool, limit) in &rules.limits.per_tool {
                    tools.number(tool, *limit);
                }
            });
        });
        match &rules.workflow {
            None => summary.raw("workflow", "null"),
            Some(workflow) => summary.object("workflow", |out| describe(workflow, out)),
        }
        summary.raw("report", &serde(&rules.composition.report));
        summary.object("needs", |needs| needs_of(rules, needs));
        summary.raw("env", &write::strings(&rules.needs.env));
        if let Some(observability) = &rules.composition.observability {
            summary.raw("observability", observability.text());
        }
        summary.raw("options", &options(rules));
        summary.raw("warnings", &diagnostics(&rules.warnings));
    });
    out
}

/// `documents.describe` of a workflow alone.
pub(super) fn of_workflow(workflow: &Workflow, warnings: &[Diagnostic]) -> Json {
    let mut out = String::new();
    Object::write(&mut out, |summary| {
        summary.object("workflow", |out| describe(workflow, out));
        summary.raw("warnings", &diagnostics(warnings));
    });
    out
}

/// The stages, as people would draw them.
fn describe(workflow: &Workflow, out: &mut Object<'_>) {
    out.string("name", &workflow.name);
    out.optional_string("version", Some(workflow.version.as_str()).filter(|version| !version.is_empty()));
    out.string("state_key", &workflow.state_key("{session}"));
    out.list("stages", |stages| {
        for stage in &workflow.stages {
            stages.object(|out| {
                out.string("id", &stage.id);
                out.string("description", &stage.description);
                out.raw("tools", &write::strings(stage.tools.iter().map(|tool| &tool.text)));
                gates(out, "entry", &stage.entry);
                out.list("checks", |checks| {
                    for check in &stage.checks {
                        checks.object(|out| {
                            out.string(
                                if check.must_match { "command_matches" } else { "command_not_matches" },
                                &check.text,
                            );
                            out.string("message", &check.message);
                        });
                    }
                });
                gates(out, "exit", &stage.exit);
                out.optional_string("approval", stage.approval.as_deref());
                out.bool("terminal", stage.terminal);
                out.bool("boundary_only", stage.boundary_only());
            });
        }
    });
}

fn gates(out: &mut Object<'_>, key: &str, gates: &[Gate]) {
    out.list(key, |list| {
        for gate in gates {
            list.object(|out| {
                out.string("condition", &gate.text);
                out.string("message", &gate.message);
            });
        }
    });
}

/// Questions that the policy may ask; a host that cannot answer one must refuse to load it.
fn needs_of(rules: &Rules, needs: &mut Object<'_>) {
    let hooks = |phase: fn(&crate::options::Hook) -> bool| {
        write::strings(rules.options.hooks.iter().filter(|hook| phase(hook)).map(|hook| &hook.name))
    };
    needs.bool("session", true);
    needs.bool("principal", rules.options.principal_resolver);
    needs.bool("read_links", !rules.sandboxes.is_empty());
    needs.raw("selectors", &write::strings(&rules.needs.selectors));
    needs.raw("operators", &write::strings(&rules.needs.operators));
    needs.raw("hooks_before", &hooks(|hook| hook.before));
    needs.raw("hooks_after", &hooks(|hook| hook.after));
    needs.bool("success_check", rules.options.success_check);
    needs.bool("command", rules.workflow.as_ref().is_some_and(|workflow| workflow.uses_exec()));
}

/// The options with their defaults; of `env` only the names.
fn options(rules: &Rules) -> Json {
    let mut options = rules.options.clone();
    options.env.values_mut().for_each(String::clear);
    serde(&options)
}

pub(super) fn diagnostics(list: &[Diagnostic]) -> Json {
    serde(list)
}

fn serde<T: serde::Serialize + ?Sized>(value: &T) -> Json {
    // Types of ours with string keys: nothing in them can fail to serialize.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

const fn kind(body: &RuleBody) -> &'static str {
    match body {
        RuleBody::Pre(_) => "pre",
        RuleBody::Post(_) => "post",
        RuleBody::Session(_) => "session",
        RuleBody::Sandbox(_) => "sandbox",
    }
}

fn tools(body: &RuleBody) -> Vec<&str> {
    match body {
        RuleBody::Pre(rule) => vec![&rule.tool],
        RuleBody::Post(rule) => vec![&rule.tool],
        RuleBody::Session(_) => vec!["*"],
        RuleBody::Sandbox(rule) => rule.tools.iter().map(String::as_str).collect(),
    }
}
