//! How findings about documents are shown: to people with the place in the document, to machines as JSON.

use std::collections::BTreeMap;

use edictum_host::{Diagnostic, Document, Severity};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use serde_json::{Value, json};

/// As in the driver protocol.
pub fn as_json(findings: &[Diagnostic]) -> Vec<Value> {
    findings
        .iter()
        .map(|finding| {
            let mut value = json!({
                "severity": word(finding.severity),
                "code": finding.code,
                "message": finding.message,
                "document": finding.document,
                "line": finding.line,
                "column": finding.column,
                "end_line": finding.end_line,
                "end_column": finding.end_column,
            });
            if let (Some(object), Some(help)) = (value.as_object_mut(), &finding.help) {
                object.insert("help".to_owned(), help.as_str().into());
            }
            value
        })
        .collect()
}

/// For people: each finding with its place, and an empty line after it.
pub fn shown(findings: &[Diagnostic], documents: &[Document]) -> String {
    let texts: BTreeMap<&str, &str> = documents.iter().map(|document| (&*document.name, &*document.text)).collect();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::default()).with_width(width());
    let mut all = String::new();
    for finding in findings {
        let mut shown = String::new();
        let text = texts.get(finding.document.as_str()).copied();
        if handler.render_report(&mut shown, report(finding, text).as_ref()).is_ok() {
            all.push_str(shown.trim());
            all.push_str("\n\n");
        }
    }
    all
}

/// How many of each kind there are, as in `2 errors, 1 warning`.
pub fn counted(findings: &[Diagnostic]) -> String {
    let kinds = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Hint, "hint")];
    let counts = kinds.map(|(severity, word)| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{count} {word}{plural}"))
    });
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Of the terminal, where there is one.
fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(std::io::stderr());
    terminal.map_or(100, |(terminal_size::Width(width), _)| usize::from(width)).clamp(40, 120)
}

fn report(finding: &Diagnostic, text: Option<&str>) -> miette::Report {
    let severity = match finding.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
        Severity::Hint => miette::Severity::Advice,
    };
    let mut diagnostic =
        MietteDiagnostic::new(finding.message.clone()).with_code(finding.code.clone()).with_severity(severity);
    diagnostic.help = finding.help.clone();
    match text {
        Some(text) if finding.line > 0 => {
            let start = offset(text, finding.line, finding.column);
            let end = offset(text, finding.end_line, finding.end_column).max(start);
            let diagnostic = diagnostic.with_label(LabeledSpan::underline(start..end));
            miette::Report::new(diagnostic).with_source_code(NamedSource::new(&finding.document, text.to_owned()))
        }
        _ => {
            if !finding.document.is_empty() {
                diagnostic.message = format!("{}: {}", finding.document, diagnostic.message);
            }
            miette::Report::new(diagnostic)
        }
    }
}

/// Bytes before a place; lines and columns count from 1, columns in characters.
fn offset(text: &str, line: u32, column: u32) -> usize {
    let skip = usize::try_from(line.saturating_sub(1)).unwrap_or_default();
    let before: usize = text.split_inclusive('\n').take(skip).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    let column = usize::try_from(column.saturating_sub(1)).unwrap_or_default();
    before + rest.char_indices().nth(column).map_or(rest.len(), |(place, _)| place)
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Hint => "hint",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_and_shown_in_bytes() {
        let text = "aé:\n  ü: x\n";
        assert_eq!(offset(text, 1, 1), 0);
        assert_eq!(offset(text, 1, 3), 3);
        assert_eq!(offset(text, 2, 4), 5 + 4);
        assert_eq!(offset(text, 9, 9), text.len(), "a place beyond the end is the end");
        assert_eq!(offset(text, 0, 0), 0);
    }
}
