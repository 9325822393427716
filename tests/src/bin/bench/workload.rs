//! Rulesets and calls. Ten rules in a row are a mix as in rulesets of coding agents: literals most of all, two regexes, a
//! list, a number. Arguments are about 384 bytes. Of eight calls one is blocked.

use std::fmt::Write as _;
use std::ops::Range;

/// Tools that rules are for, the first so many.
const TOOLS: [&str; 4] = ["Bash", "Write", "mcp__db__query", "http_fetch"];

/// Name of a tool by its number.
pub fn tool(number: usize) -> String {
    TOOLS.get(number).map_or_else(|| format!("mcp__server_{}__tool_{number}", number % 7), |name| (*name).to_owned())
}

/// Rules of one file: files have a bound.
const PER_FILE: usize = 2_500;

/// So many rules, spread over so many tools in turn, in as few files as can be.
pub fn rulesets(rules: usize, tools: usize) -> Vec<String> {
    (0..rules).step_by(PER_FILE).map(|first| ruleset(first..rules.min(first + PER_FILE), tools)).collect()
}

fn ruleset(rules: Range<usize>, tools: usize) -> String {
    let mut yaml = String::from(
        "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: bench}\ndefaults: {mode: enforce}\nrules:\n",
    );
    for number in rules {
        // Each tool gets the whole mix.
        let (tool, when) = (tool(number % tools), condition(number / tools, number));
        let _ = writeln!(
            yaml,
            "  - id: rule-{number}\n    type: pre\n    tool: {tool}\n    when: {{{when}}}\n    \
             then: {{action: block, message: 'Not allowed by rule {number}: {{args.command}}', tags: [bench]}}"
        );
    }
    yaml
}

fn condition(kind: usize, number: usize) -> String {
    match kind % 10 {
        0 => format!("args.command: {{contains: 'rm -rf /srv/data-{number}'}}"),
        1 => format!("args.command: {{matches: '\\bcurl\\s+-[a-z]+\\s+https?://host-{number}\\.'}}"),
        2 => format!("args.file_path: {{starts_with: /etc/service-{number}/}}"),
        3 => format!("args.file_path: {{ends_with: .secret-{number}}}"),
        4 => format!("args.command: {{contains_any: ['drop table t{number}', 'truncate t{number}', 'sk-{number}-']}}"),
        5 => format!("environment: {{equals: forbidden-{number}}}"),
        6 => format!("args.mode: {{in: [force-{number}, purge-{number}, wipe-{number}]}}"),
        7 => format!("args.timeout: {{gt: {}}}", 100_000 + number),
        8 => format!("args.command: {{matches: '(?i)secret[_-]?{number}\\s*=\\s*\\S+'}}"),
        _ => format!("all: [{{args.command: {{contains: git push}}}}, {{args.branch: {{equals: release-{number}}}}}]"),
    }
}

/// How many calls take turns.
pub const CALLS: usize = 8;

/// Calls of the first tools; the last of them is blocked by the first rule.
pub fn calls(tools: usize) -> Vec<String> {
    (0..CALLS).map(|number| call(number, &tool(number % tools.min(CALLS - 1)))).collect()
}

fn call(number: usize, tool: &str) -> String {
    let last = number == CALLS - 1;
    let tool = if last { "Bash" } else { tool };
    let command = if last {
        "sudo rm -rf /srv/data-0 && echo done".to_owned()
    } else {
        format!(
            "cd /home/dev/project-{number} && git status --short && cargo test --workspace -- --nocapture | tail -n {number}0"
        )
    };
    let milliseconds = 1_000 * (number + 1);
    let text =
        "The quick brown fox jumps over the lazy dog near the river bank, then rests under an old oak until dusk.";
    format!(
        r#"{{"tool":"{tool}","session_id":"s-{number}","call_id":"c-{number}","environment":"production","principal":{{"user_id":"u-{number}","role":"developer"}},"args":{{"command":"{command}","file_path":"/home/dev/project-{number}/src/main.rs","branch":"feature-{number}","mode":"normal","timeout":{milliseconds},"dry_run":false,"description":"{text}","note":"line one\nline two"}}}}"#
    )
}

/// A list of calls as a JSON list.
pub fn list(calls: &[String]) -> String {
    format!("[{}]", calls.join(","))
}

/// A pattern that backtracking engines need exponential time for, and a call that makes them.
pub fn redos() -> (Vec<String>, String) {
    let yaml = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: redos}\ndefaults: {mode: enforce}\nrules:\n  \
                - id: nested\n    type: pre\n    tool: Bash\n    when: {args.command: {matches: '^(a+)+$'}}\n    \
                then: {action: block, message: never}\n";
    let call = format!(r#"{{"tool":"Bash","args":{{"command":"{}!"}}}}"#, "a".repeat(10_000));
    (vec![yaml.to_owned()], call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::Native;

    #[test]
    fn one_call_of_eight_is_blocked_whatever_the_size() {
        for (rules, tools) in [(10, 1), (100, 4), (1_000, 20)] {
            let native = Native::load(&rulesets(rules, tools), "{}").unwrap();
            let blocked = |call: &String| native.evaluate(call).unwrap().contains(r#""decision":"block""#);
            assert_eq!(calls(tools).iter().filter(|call| blocked(call)).count(), 1, "{rules} rules");
        }
    }

    #[test]
    fn arguments_are_about_384_bytes() {
        for call in calls(4) {
            let call: serde_json::Value = serde_json::from_str(&call).unwrap();
            let length = call["args"].to_string().len();
            assert!((300..450).contains(&length), "{length}");
        }
    }
}
