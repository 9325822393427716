//! What postconditions do to a tool's output: warn, redact, suppress. Each rule looks at the original output; effects
//! add up on what the agent gets, and nothing brings suppressed output back (engine.md §8.7, §8.8).

use std::borrow::Cow;

use crate::call::{Output, Subject};
use crate::documents::ruleset::{Mode, PostAction, SideEffect};
use crate::json::write::{self, Items, Object};
use crate::json::{Json, Value};
use crate::options::{Detail, PostEffects};
use crate::program::{Body, Phase, Rule, text};
use crate::record::rules::{Failed, Records};
use crate::redaction::MARK;
use crate::redaction::finding::FindingKind;
use crate::rules::Rules;

/// What came of the postconditions of a call.
#[derive(Debug)]
pub struct Checked {
    /// Rules that were looked at.
    pub records: Records,
    /// Every enforced rule held.
    pub passed: bool,
    /// For the agent.
    pub warnings: Vec<String>,
    /// What the agent gets instead of the output, as JSON.
    pub replacement: Option<Json>,
    /// Something was replaced in the output.
    pub redacted: bool,
    /// The whole output was taken away.
    pub suppressed: bool,
    /// For adapters: a JSON list (engine.md §8.9).
    pub findings: Json,
}

/// Checks an output. `subject.output` must be there.
#[must_use]
pub fn check(rules: &Rules, subject: &Subject<'_>, output: Output<'_>, operators: &[Result<bool, String>]) -> Checked {
    let mut bench = Bench {
        rules,
        subject,
        output,
        checked: Checked {
            records: Records::new(rules.options.detail),
            passed: true,
            warnings: Vec::new(),
            replacement: None,
            redacted: false,
            suppressed: false,
            findings: String::new(),
        },
        findings: Vec::new(),
    };
    bench.run(operators);
    let mut checked = bench.checked;
    Items::write(&mut checked.findings, |items| bench.findings.iter().for_each(|finding| items.raw(finding)));
    checked
}

/// The output in the two forms that rules look at. In the reference's reading maps and lists are Python text.
#[must_use]
pub fn output_text<'o>(rules: &Rules, value: Value<'o>) -> Option<Cow<'o, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other if rules.options.reference() => {
            let mut out = String::new();
            text::python(&mut out, other);
            Some(Cow::Owned(out))
        }
        other => Some(text::output(other)),
    }
}

struct Bench<'b> {
    rules: &'b Rules,
    subject: &'b Subject<'b>,
    output: Output<'b>,
    checked: Checked,
    findings: Vec<Json>,
}

impl Bench<'_> {
    fn run(&mut self, operators: &[Result<bool, String>]) {
        let program = &self.rules.program;
        let all = self.rules.options.detail == Detail::All;
        // Proposed rules come last, whatever their place in the files.
        for proposed in [false, true] {
            if proposed && !self.rules.has_candidates {
                break;
            }
            for (rule, hit) in program.scan(Phase::Post, *self.subject).outcomes(operators, all) {
                if rule.candidate != proposed {
                    continue;
                }
                let observed = rule.candidate || rule.mode == Mode::Observe;
                match hit {
                    None if observed => self.checked.records.passed(&observing(&rule.passed_record)),
                    None => self.checked.records.passed(&rule.passed_record),
                    Some(hit) => self.failed(rule, hit.policy_error, hit.error_detail.as_deref(), observed),
                }
            }
        }
    }

    fn failed(&mut self, rule: &Rule, policy_error: bool, detail: Option<&str>, observed: bool) {
        let expanded = rule.message.expand(self.subject, &*self.rules.redactor);
        let policy_error = policy_error || expanded.error.is_some();
        let detail = detail.or(expanded.error.as_deref()).map(|detail| self.rules.redactor.text(detail));
        let message = expanded.text;
        self.checked.records.failed(&Failed {
            name: &rule.id,
            kind: "postcondition",
            message: &message,
            tags: Some(&rule.tags),
            metadata: rule.metadata.as_ref(),
            policy_error,
            error_detail: detail.as_deref(),
            observed,
        });
        self.finding(rule, &message, policy_error, detail.as_deref());
        if observed {
            self.checked.warnings.push(format!("⚠️ [observe] {message}"));
            return;
        }
        self.checked.passed = false;
        self.act(rule, &message);
    }

    fn act(&mut self, rule: &Rule, message: &str) {
        let Body::Post { action, .. } = &rule.body else { return };
        let safe = matches!(self.subject.call.side_effect, SideEffect::Pure | SideEffect::Read);
        // The reference only warns where the tool has changed something (engine.md §16 row 6).
        let reference = self.rules.options.reference() || self.rules.options.post_effects == PostEffects::Reference;
        const RAN: &str = "Tool already executed — assess before proceeding.";
        let id = &rule.id;
        let warning = match action {
            PostAction::Redact if safe || !reference => {
                self.redact(rule);
                format!("⚠️ Content redacted by {id}.")
            }
            PostAction::Block if safe || !reference => {
                self.suppress(message);
                format!("⚠️ Output suppressed by {id}.")
            }
            _ if safe => format!("⚠️ {message} Consider retrying."),
            _ => format!("⚠️ {message} {RAN}"),
        };
        let noticed = safe || warning.ends_with(RAN);
        self.checked.warnings.push(if noticed { warning } else { format!("{warning} {RAN}") });
    }

    fn suppress(&mut self, message: &str) {
        if self.checked.suppressed {
            return;
        }
        let mut text = String::new();
        write::string(&mut text, &format!("[OUTPUT SUPPRESSED] {message}"));
        self.checked.replacement = Some(text);
        self.checked.suppressed = true;
    }

    fn redact(&mut self, rule: &Rule) {
        if self.checked.suppressed {
            return;
        }
        let before = self.checked.replacement.take();
        let tape = before.as_deref().and_then(|json| crate::json::Tape::read(json).ok());
        let value = tape.as_ref().map_or(self.output.value, |tape| tape.root());
        let mut after = String::new();
        let changed = if self.rules.options.reference() {
            let source = output_text(self.rules, value).unwrap_or_default();
            let replaced = self.replace(rule, &source);
            let changed = replaced != source;
            write::string(&mut after, &replaced);
            changed
        } else {
            self.replace_leaves(rule, value, &mut after)
        };
        // A rule that fired and found nothing to replace must not let the text through.
        if !changed && !self.rules.options.reference() {
            let nothing = matches!(value, Value::Null);
            after.clear();
            write::string(&mut after, if nothing { "" } else { MARK });
        }
        self.checked.redacted = true;
        self.checked.replacement = Some(after);
    }

    /// Writes the value with the rule's patterns replaced in its strings, its shape kept.
    fn replace_leaves(&self, rule: &Rule, value: Value<'_>, out: &mut String) -> bool {
        match value {
            Value::String(text) => {
                let replaced = self.replace(rule, text);
                write::string(out, &replaced);
                replaced != text
            }
            Value::List(list) => {
                let mut changed = false;
                Items::write(out, |items| {
                    for item in list.iter() {
                        changed |= self.replace_leaves(rule, item, items.item());
                    }
                });
                changed
            }
            Value::Map(map) => {
                let mut changed = false;
                Object::write(out, |object| {
                    for ((key, raw), (_, item)) in map.raw_entries().zip(map.iter()) {
                        if matches!(item, Value::String(_) | Value::List(_) | Value::Map(_)) {
                            changed |= self.replace_leaves(rule, item, object.key(key));
                        } else {
                            object.raw(key, raw);
                        }
                    }
                });
                changed
            }
            // A bare number is text to its rule: nothing of it can be kept when the rule fired.
            other => {
                let text = output_text(self.rules, other).unwrap_or_default();
                let replaced = self.replace(rule, &text);
                if replaced == text {
                    write::value(out, other);
                    return false;
                }
                write::string(out, &replaced);
                true
            }
        }
    }

    fn replace<'t>(&self, rule: &Rule, text: &'t str) -> Cow<'t, str> {
        let Body::Post { redact, .. } = &rule.body else { return Cow::Borrowed(text) };
        if redact.is_empty() {
            return self.rules.redactor.command(text);
        }
        redact.iter().fold(Cow::Borrowed(text), |text, pattern| match pattern.replace_all(&text, MARK) {
            Cow::Borrowed(_) => text,
            Cow::Owned(replaced) => Cow::Owned(replaced),
        })
    }

    fn finding(&mut self, rule: &Rule, message: &str, policy_error: bool, detail: Option<&str>) {
        let own = rule.metadata.as_ref().and_then(|metadata| metadata.root().as_map());
        let field = own.and_then(|own| own.get("field")).and_then(Value::as_str).unwrap_or("output");
        let mut finding = String::new();
        Object::write(&mut finding, |finding| {
            finding.string("type", FindingKind::of(&rule.id, message).as_str());
            finding.string("rule_id", &rule.id);
            finding.string("field", field);
            finding.string("message", message);
            finding.object("metadata", |metadata| {
                metadata.list("tags", |tags| rule.tags.iter().for_each(|tag| tags.string(tag)));
                if policy_error {
                    metadata.bool("policy_error", true);
                }
                if let Some(detail) = detail {
                    metadata.string("error_detail", detail);
                }
                for (key, text) in own.iter().flat_map(|map| map.raw_entries()) {
                    metadata.raw(key, text);
                }
            });
        });
        self.findings.push(finding);
    }
}

/// Records of rules that observe say so also when they held.
fn observing(record: &str) -> String {
    let open = record.strip_suffix('}').unwrap_or(record);
    format!("{open},\"observed\":true}}")
}
