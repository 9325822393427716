//! Calls for people to read: a line with number, decision and call, and under it whatever there is to say. As wide as the
//! terminal; colours are taken away again where there is none (by `anstream`).

use anstyle::{AnsiColor, Style};
use edictum_host::{Action, Decision};
use serde_json::Value;
use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter};

use super::recording::{Principal, Recorded, one_line};
use super::{Counters, Guarded, Scene, fired};
use crate::command::outcome::flag;

/// Where the text begins: after ` 12  suppress  `.
const INDENT: usize = 15;

/// Lines longer than this are hard to read.
const WIDEST: usize = 120;

/// Without a terminal.
const USUAL: usize = 100;

/// Shown in the place of what was redacted.
const MARK: &str = "[REDACTED]";

pub const PLAIN: Style = Style::new();
pub const STRONG: Style = PLAIN.bold();
pub const FAINT: Style = PLAIN.dimmed();
const RULE: Style = AnsiColor::Cyan.on_default();
const ALLOW: Style = AnsiColor::Green.on_default();
const BLOCK: Style = AnsiColor::Red.on_default().bold();
const ASK: Style = AnsiColor::Yellow.on_default().bold();
const OUTPUT: Style = AnsiColor::Magenta.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const OBSERVE: Style = AnsiColor::Blue.on_default();
const STAGE: Style = AnsiColor::Cyan.on_default();

/// What is written on.
pub struct Page {
    width: usize,
}

impl Page {
    pub fn new() -> Self {
        let terminal = terminal_size::terminal_size_of(std::io::stdout());
        let width = terminal.map_or(USUAL, |(terminal_size::Width(width), _)| usize::from(width));
        Self { width: width.clamp(2 * INDENT, WIDEST) }
    }

    #[cfg(test)]
    pub fn of_width(width: usize) -> Self {
        Self { width }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Something that happened beside the calls: a word, and a text on as many lines as it takes.
    pub fn step(&self, word: &str, text: &str) -> String {
        self.block(word, STAGE, text)
    }

    /// A line across, with a title.
    pub fn heading(&self, title: &str) -> String {
        let rest = "─".repeat(self.width.saturating_sub(display_width(title) + 4));
        format!("{FAINT}──{FAINT:#} {STRONG}{title}{STRONG:#} {FAINT}{rest}{FAINT:#}")
    }

    /// What comes now.
    pub fn opening(&self, scene: &Scene, rules: usize, calls: &[Recorded<'_>]) -> String {
        let who = calls.first().and_then(Recorded::principal).map(|principal| format!(" of {}", person(&principal)));
        let about = format!(
            "{} calls{}, in {}, guarded by the {rules} rules of {}{}",
            calls.len(),
            who.unwrap_or_default(),
            scene.cwd,
            scene.ruleset.0,
            scene.workflow.map(|(path, _)| format!(" and the stages of {path}")).unwrap_or_default()
        );
        let about = wrap(&about, self.width).join("\n");
        format!("\n{}\n{FAINT}{about}{FAINT:#}\n", self.heading(scene.title))
    }

    /// A call and what came of it.
    pub fn call(&self, guarded: &Guarded<'_>, usual: Option<&Principal>, stage: Option<&str>) -> String {
        let first = guarded.asked.as_ref().unwrap_or(&guarded.decision);
        let mut lines = vec![self.begun(guarded.number, guarded.call, first, usual)];
        lines.extend(self.ended(guarded, stage));
        lines.join("\n")
    }

    /// A call and the first decision about it.
    pub fn begun(&self, number: usize, call: &Recorded<'_>, first: &Decision, usual: Option<&Principal>) -> String {
        let mut lines = vec![self.head(number, call, first, usual)];
        self.reasons(first, &mut lines);
        lines.join("\n")
    }

    /// What came of it after that.
    pub fn ended(&self, guarded: &Guarded<'_>, stage: Option<&str>) -> Vec<String> {
        let mut lines = Vec::new();
        if guarded.asked.is_some() {
            lines.push(self.answered(guarded));
        }
        self.after(guarded, &mut lines);
        lines.extend(self.moved(stage, guarded.stage().as_deref()));
        lines
    }

    /// The session has come to another stage of its workflow.
    pub fn moved(&self, before: Option<&str>, after: Option<&str>) -> Option<String> {
        let (before, after) = before.zip(after).filter(|(before, after)| before != after)?;
        Some(self.aside("stage", STAGE, &format!("{before} → {after}")))
    }

    fn head(&self, number: usize, call: &Recorded<'_>, first: &Decision, usual: Option<&Principal>) -> String {
        let tool = call.tool();
        let who = call.principal().filter(|principal| Some(principal) != usual);
        let who = who.map(|principal| format!("  (for {})", person(&principal))).unwrap_or_default();
        let room = self.width.saturating_sub(INDENT + display_width(&tool) + 2 + display_width(&who));
        let arguments = cut(&call.arguments(), room);
        let (word, style) = spelled(first.action);
        let head = format!("{FAINT}{number:>3}{FAINT:#}  {style}{word:<8}{style:#}  {STRONG}{tool}{STRONG:#}");
        if arguments.is_empty() { head + &who } else { format!("{head}  {arguments}{who}") }
    }

    /// The rules that fired before the tool ran; of several that block only the one that decided has a reason of its own.
    fn reasons(&self, decision: &Decision, lines: &mut Vec<String>) {
        let fired = fired(decision.detail("rules_evaluated"));
        if !decision.is_allowed() && !decision.name.is_empty() {
            lines.push(self.note("", PLAIN, &decision.name, &decision.reason));
        }
        for rule in fired.iter().filter(|rule| rule.observed) {
            let reason = format!("would block: {}", rule.message.as_deref().unwrap_or_default());
            lines.push(self.note("observe", OBSERVE, &rule.name, &reason));
        }
    }

    /// What a person said.
    fn answered(&self, guarded: &Guarded<'_>) -> String {
        let who = guarded.call.approver.as_deref().unwrap_or("somebody");
        let said = match (guarded.call.answer.as_deref(), &guarded.call.reason) {
            (Some("approved"), _) => format!("{who} approved"),
            (Some("timed_out"), _) => format!("nobody answered within {} s", timeout(guarded.asked.as_ref())),
            (_, Some(reason)) => format!("{who} refused: {reason}"),
            (_, None) => format!("{who} refused"),
        };
        let (word, style) = spelled(guarded.decision.action);
        self.aside(word, style, &said)
    }

    /// What happened to the output.
    fn after(&self, guarded: &Guarded<'_>, lines: &mut Vec<String>) {
        let Some((conclusion, seen)) = &guarded.end else { return };
        if !conclusion.success {
            lines.push(self.aside("failed", WARN, &excerpt(seen)));
        }
        let (redacted, suppressed) = (flag(conclusion, "redacted"), flag(conclusion, "suppressed"));
        let fired = fired(conclusion.detail("rules_evaluated"));
        let (word, style) = match (suppressed, redacted) {
            (true, _) => ("suppress", OUTPUT),
            (_, true) => ("redact", OUTPUT),
            _ => ("warn", WARN),
        };
        for (index, rule) in fired.iter().enumerate() {
            let message = rule.message.as_deref().unwrap_or_default();
            if rule.observed {
                lines.push(self.note("observe", OBSERVE, &rule.name, message));
                continue;
            }
            // A warning is shown as the agent gets it.
            let warning = conclusion.warnings.get(index).filter(|_| conclusion.replacement.is_none());
            let said = warning.map_or(message, |warning| warning.trim_start_matches(['⚠', '\u{fe0f}', ' ']));
            lines.push(self.note(word, style, &rule.name, said));
        }
        if redacted && !suppressed {
            lines.push(self.aside("", PLAIN, &format!("→ {}", excerpt(seen))));
        }
    }

    /// What the session has counted so far.
    pub fn counters(&self, counters: &Counters) -> String {
        format!("{FAINT}     · · ·     {}{FAINT:#}", counted(counters))
    }

    /// A word, a rule, and its reason, on as many lines as it takes.
    fn note(&self, word: &str, style: Style, rule: &str, reason: &str) -> String {
        let text = format!("{rule} — {}", one_line(reason));
        let text = self.block(word, style, &text);
        text.replacen(rule, &format!("{RULE}{rule}{RULE:#}"), 1)
    }

    /// A word, and a text in one line.
    fn aside(&self, word: &str, style: Style, text: &str) -> String {
        self.block(word, style, &cut(text, self.width.saturating_sub(INDENT)))
    }

    fn block(&self, word: &str, style: Style, text: &str) -> String {
        let indent = " ".repeat(INDENT);
        let lines = wrap(text, self.width.saturating_sub(INDENT));
        let rest = lines.join(&format!("\n{indent}"));
        format!("     {style}{word:<8}{style:#}  {rest}")
    }
}

/// In words.
pub fn counted(counters: &Counters) -> String {
    let Counters { attempts, execs, consec_fail } = counters;
    let failures = if *consec_fail == 1 { "failure" } else { "failures" };
    format!("session: {attempts} calls tried, {execs} run, {consec_fail} {failures} in a row")
}

fn spelled(action: Action) -> (&'static str, Style) {
    match action {
        Action::Allow => ("allow", ALLOW),
        // Found also without colours.
        Action::Block => ("BLOCK", BLOCK),
        Action::Ask => ("ask", ASK),
    }
}

fn person(principal: &Principal) -> String {
    let name = principal.user_id.as_deref().unwrap_or("somebody");
    principal.role.as_ref().map_or_else(|| name.to_owned(), |role| format!("{name}, {role}"))
}

fn timeout(asked: Option<&Decision>) -> Value {
    let approval = asked.and_then(|asked| asked.approval.as_deref());
    let approval: Value = approval.and_then(|approval| serde_json::from_str(approval).ok()).unwrap_or_default();
    approval.get("timeout").cloned().unwrap_or_default()
}

/// One line of what the agent saw: the one in which something was redacted, or the first.
fn excerpt(seen: &str) -> String {
    let text = serde_json::from_str::<String>(seen).unwrap_or_else(|_| seen.to_owned());
    let line = text.lines().find(|line| line.contains(MARK)).or_else(|| text.lines().next());
    one_line(line.unwrap_or_default())
}

/// Lines broken between words only: names and paths stay whole where they fit.
fn wrap(text: &str, width: usize) -> Vec<std::borrow::Cow<'_, str>> {
    let options = Options::new(width);
    textwrap::wrap(text, options.word_separator(WordSeparator::AsciiSpace).word_splitter(WordSplitter::NoHyphenation))
}

/// No wider than `room` columns.
pub fn cut(text: &str, room: usize) -> String {
    if display_width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if display_width(&short) + display_width(c.encode_utf8(&mut [0; 4])) + 1 > room {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_columns_not_by_bytes() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("数据库", 5), "数据…");
        assert_eq!(cut("éééé", 4), "éééé");
        assert_eq!(cut("abcd", 0), "…");
    }

    #[test]
    fn long_reasons_go_on_under_their_beginning() {
        let note = Page::of_width(40).note("warn", PLAIN, "rule", "a reason that is longer than the page is wide");
        let lines: Vec<_> = note.lines().collect();
        assert!(lines.len() > 1);
        assert!(lines[1..].iter().all(|line| line.starts_with(&" ".repeat(INDENT)) && display_width(line) <= 40));
    }

    #[test]
    fn the_line_with_the_redaction_is_the_one_shown() {
        assert_eq!(excerpt(r#""a\nb=[REDACTED]\nc""#), "b=[REDACTED]");
        assert_eq!(excerpt(r#"{"rows": [1.0]}"#), r#"{"rows": [1.0]}"#);
        assert_eq!(excerpt(r#""a\u001b[2J""#), r"a\u{1b}[2J", "no escape reaches the terminal");
    }
}
