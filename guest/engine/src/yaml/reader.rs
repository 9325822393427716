//! Reads a document in slices: the parser's events go into the tree, its errors become findings.

use std::collections::BTreeSet;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScanError};

use super::input::Text;
use super::places::Places;
use super::repair::{self, Repair};
use super::screen::screen;
use super::tree::Tree;
use super::{MAX_BYTES, Node, shown};
use crate::diagnostics::{Code, Diagnostic, Findings, Span};

/// Reads one document in slices.
///
/// The text is owned, so that a reader can be kept between two slices.
#[derive(Debug)]
pub struct Reader {
    document: String,
    pass: Pass,
    /// Findings about what was repaired; they outlive the pass that made them.
    repaired: Findings,
    padded: BTreeSet<usize>,
    /// Bytes that may still be read again.
    budget: usize,
    done: bool,
}

/// One reading from the start of the (repaired) text.
#[derive(Debug)]
struct Pass {
    text: Arc<str>,
    parser: Parser<'static, Text>,
    places: Places,
    tree: Tree,
    findings: Findings,
    documents: usize,
    fatal: bool,
}

impl Reader {
    /// For a document of at most [`MAX_BYTES`]. No work is done here yet.
    #[must_use]
    pub fn new(document: &str, text: impl Into<Arc<str>>) -> Self {
        Self::with_cap(document, text, MAX_BYTES)
    }

    /// For a document of at most `cap` bytes: files that are no policy, as test fixtures, may be larger.
    #[must_use]
    pub fn with_cap(document: &str, text: impl Into<Arc<str>>, cap: usize) -> Self {
        let text = text.into();
        let mut repaired = Findings::of(document);
        let done = !screen(&text, cap, &mut repaired);
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => Arc::from(rest),
            None => text,
        };
        let mut pass = Pass::new(document, text, BTreeSet::new());
        pass.fatal = done;
        Self { document: document.to_owned(), pass, repaired, padded: BTreeSet::new(), budget: repair::BUDGET, done }
    }

    /// Reads about so many nodes more; true when there is nothing left to read.
    pub fn advance(&mut self, nodes: usize) -> bool {
        for _ in 0..nodes {
            if self.done {
                break;
            }
            self.step();
        }
        self.done
    }

    /// The root and everything that was found.
    ///
    /// No root and no error: there is no content. No root and errors: the text could not be read to its end. A root and
    /// errors: what is wrong in it is [`super::Value::Invalid`], and what holds it can be looked at further.
    #[must_use]
    pub fn finish(mut self) -> (Option<Node>, Vec<Diagnostic>) {
        while !self.advance(usize::MAX) {}
        let root = if self.pass.fatal { None } else { self.pass.tree.into_root() };
        self.repaired.extend(self.pass.findings.into_list());
        (root, self.repaired.into_list())
    }

    fn step(&mut self) {
        let pass = &mut self.pass;
        match pass.parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => self.done = true,
            Some(Ok((Event::DocumentStart(_), marks))) => {
                pass.documents += 1;
                if pass.documents > 1 {
                    let span = pass.places.span(marks.start, marks.end);
                    pass.findings
                        .error(Code::YamlMultiDoc, span, "expected a single document, and another one begins here")
                        .help("put it into a file of its own, or remove the `---`");
                    self.done = true;
                }
            }
            Some(Ok((event, marks))) => pass.tree.accept(event, marks, &mut pass.places, &mut pass.findings),
            Some(Err(error)) => {
                if !self.repair(&error) {
                    self.pass.report(&error);
                    self.done = true;
                }
            }
        }
    }

    /// Begins again with a repaired text; false when nothing can be done.
    fn repair(&mut self, error: &ScanError) -> bool {
        let byte = self.pass.places.byte(*error.marker());
        let Some(repair) = repair::repair(error, byte, &self.pass.text) else { return false };
        let Some((text, lines)) = repair::apply(&repair, &self.pass.text, &self.padded) else { return false };
        let Some(budget) = self.budget.checked_sub(text.len()) else { return false };
        self.budget = budget;
        if let Repair::Escapes(escapes) = repair {
            self.report_escapes(&escapes);
        }
        self.padded.extend(lines);
        self.pass = Pass::new(&self.document, Arc::from(text), self.padded.clone());
        true
    }

    /// `escapes` ascend.
    fn report_escapes(&mut self, escapes: &[(usize, &str)]) {
        let (mut line, mut column, mut before) = (1, 0, ' ');
        let mut escapes = escapes.iter().peekable();
        for (byte, character) in self.pass.text.char_indices() {
            if self.repaired.is_full() {
                break;
            }
            if let Some((_, what)) = escapes.next_if(|(at, _)| *at == byte) {
                let span = self.pass.places.span(Marker::new(0, line, column), Marker::new(0, line, column + 2));
                let (line, column) = (span.line, span.column);
                let written = shown(&self.pass.places.rest(byte).chars().take(2).collect::<String>());
                let message =
                    format!("YAML parse error at line {line}, column {column}: {written} in double quotes: {what}");
                self.repaired.error(Code::YamlSyntax, span, message).help(
                    "use single quotes, in which a backslash is only a backslash, as regular expressions want it",
                );
            }
            column += 1;
            if matches!(character, '\n' | '\r') {
                line += usize::from(character == '\r' || before != '\r');
                column = 0;
            }
            before = character;
        }
    }
}

impl Pass {
    fn new(document: &str, text: Arc<str>, padded: BTreeSet<usize>) -> Self {
        Self {
            parser: Parser::new(Text::new(Arc::clone(&text))),
            places: Places::new(Arc::clone(&text), padded),
            text,
            tree: Tree::default(),
            findings: Findings::of(document),
            documents: 0,
            fatal: false,
        }
    }

    fn report(&mut self, error: &ScanError) {
        self.fatal = true;
        let (line, column) = self.places.place(*error.marker());
        let span = Span { line, column, end_line: line, end_column: column + 1 };
        let (code, help) = advice(error.info());
        let what = match code {
            Code::YamlDepth => "nested too deep",
            Code::YamlAlias => "the alias names no anchor",
            _ => error.info(),
        };
        let message = match code {
            Code::YamlSyntax => format!("YAML parse error at line {line}, column {column}: {what}"),
            _ => what.to_owned(),
        };
        let finding = self.findings.error(code, span, message);
        if !help.is_empty() {
            finding.help(help);
        }
    }
}

/// Code and help for an error of the parser's.
fn advice(info: &str) -> (Code, &'static str) {
    match info {
        "recursion limit exceeded" => (Code::YamlDepth, "a ruleset needs about ten levels"),
        "while parsing node, found unknown anchor" => {
            (Code::YamlAlias, "a text that begins with `*` must be quoted; an anchor must stand before its alias")
        }
        "mapping values are not allowed in this context" => {
            (Code::YamlSyntax, "quote a text that holds `: `, and check the indentation")
        }
        "while parsing a block mapping, did not find expected key"
        | "while parsing a block collection, did not find expected '-' indicator" => {
            (Code::YamlSyntax, "check the indentation: what belongs together begins in one column")
        }
        _ if info.starts_with("invalid indentation") => {
            (Code::YamlSyntax, "indent this line further than the line that it belongs to")
        }
        "while scanning a quoted scalar, found unexpected end of stream" => (Code::YamlSyntax, "close the quote"),
        _ if info.starts_with("unexpected character") => {
            (Code::YamlSyntax, "a text that begins with this character must be quoted")
        }
        _ if info.contains("tab") => (Code::YamlSyntax, "use spaces"),
        _ => (Code::YamlSyntax, ""),
    }
}
