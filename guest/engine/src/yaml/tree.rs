//! Events → nodes: tags, anchors and aliases, merge keys, keys that must be unique strings, depth.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, ScalarStyle, Span as Marks, Tag};

use super::places::Places;
use super::scalar::{self, Unfit};
use super::{MAX_DEPTH, MAX_EXPANDED, MAX_NESTING, Node, Value, shown};
use crate::diagnostics::{Code, Findings, Span};

const CORE: &str = "tag:yaml.org,2002:";

/// What is built while events come in.
#[derive(Debug, Default)]
pub(super) struct Tree {
    open: Vec<Frame>,
    root: Option<Node>,
    anchors: BTreeMap<usize, Anchored>,
    names: BTreeSet<String>,
    /// Nodes copied for anchors and aliases so far.
    copied: usize,
    /// Collections open below the deepest level that is kept.
    skipping: usize,
    too_deep: bool,
}

/// A node that aliases can name.
#[derive(Debug)]
struct Anchored {
    node: Node,
    size: usize,
    height: usize,
}

/// A collection that is not closed yet.
#[derive(Debug)]
struct Frame {
    span: Span,
    anchor: usize,
    /// Its tag is not one for this kind of collection; that is reported.
    invalid: bool,
    /// Levels that count towards [`MAX_DEPTH`].
    depth: usize,
    items: Items,
}

#[derive(Debug)]
enum Items {
    /// The flag: these are operands of `all` or `any`, and their maps are no level.
    Sequence(Vec<Node>, bool),
    Mapping(Entries),
}

#[derive(Debug, Default)]
struct Entries {
    list: Vec<(Node, Node)>,
    merged: Vec<Node>,
    key: Key,
}

/// What the next node of a map is.
#[derive(Debug, Default)]
enum Key {
    /// A key.
    #[default]
    Next,
    /// The value of this key.
    Of(Node),
    /// A map, or several, to be merged.
    Merge,
    /// The value of a key that was refused.
    Refused,
}

impl Tree {
    /// The root, once everything is closed.
    pub(super) fn into_root(self) -> Option<Node> {
        if self.open.is_empty() { self.root } else { None }
    }

    pub(super) fn accept(&mut self, event: Event<'_>, marks: Marks, places: &mut Places, findings: &mut Findings) {
        match event {
            Event::Scalar(text, style, anchor, tag) if self.skipping == 0 => {
                let span = scalar_span(&text, style, anchor > 0 || tag.is_some(), marks, places);
                self.refuse_tab(style, marks, places, findings);
                self.name(anchor, marks, places, findings);
                if style == ScalarStyle::Plain && tag.is_none() && text == "<<" && self.takes_key() {
                    self.set_key(Key::Merge);
                    return;
                }
                let node = scalar_node(&text, style, tag.as_deref(), span, findings);
                self.keep(anchor, &node, findings);
                self.put(node, Some(&text), findings);
            }
            Event::Alias(id) if self.skipping == 0 => {
                self.refuse_tab(ScalarStyle::Plain, marks, places, findings);
                let span = places.span(marks.start, marks.end);
                let node = self.alias(id, span, findings);
                self.put(node, None, findings);
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(Items::Sequence(Vec::new(), false), anchor, tag.as_deref(), marks, places, findings);
            }
            Event::MappingStart(anchor, tag) => {
                self.start(Items::Mapping(Entries::default()), anchor, tag.as_deref(), marks, places, findings);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(marks, places, findings),
            _ => {}
        }
    }

    fn start(
        &mut self,
        mut items: Items,
        anchor: usize,
        tag: Option<&Tag>,
        marks: Marks,
        places: &mut Places,
        findings: &mut Findings,
    ) {
        if self.skipping > 0 {
            self.skipping += 1;
            return;
        }
        let span = places.span(marks.start, marks.end);
        if !marks.is_empty() {
            self.refuse_tab(ScalarStyle::Plain, marks, places, findings);
        }
        self.name(anchor, marks, places, findings);
        let (above, operator) = self.open.last().map_or((0, false), |frame| (frame.depth, frame.is_expression()));
        if operator && let Items::Sequence(_, operands) = &mut items {
            *operands = true;
        }
        let depth = if operator { above } else { above + 1 };
        if depth > MAX_DEPTH || self.open.len() >= MAX_NESTING {
            self.report_depth(span, findings);
            self.skipping = 1;
            return;
        }
        let expected = if matches!(items, Items::Sequence(..)) { "seq" } else { "map" };
        let invalid = tag.is_some_and(|tag| !tag_fits(tag, expected, span, findings));
        self.open.push(Frame { span, anchor, invalid, depth, items });
    }

    fn end(&mut self, marks: Marks, places: &mut Places, findings: &mut Findings) {
        if self.skipping > 0 {
            self.skipping -= 1;
            if self.skipping == 0 {
                let span = places.span(marks.start, marks.start);
                self.put(Node::new(span, Value::Invalid), None, findings);
            }
            return;
        }
        let Some(frame) = self.open.pop() else { return };
        let mut span = frame.span;
        // Only a bracket of its own ends a collection where the parser says so; a block ends with its last item.
        let byte = places.byte(marks.start);
        if !marks.is_empty() && places.rest(byte).starts_with([']', '}']) {
            (span.end_line, span.end_column) = places.place(marks.start);
            span.end_column += 1;
        } else if let Some(last) = frame.items.end() {
            (span.end_line, span.end_column) = (last.end_line, last.end_column);
        }
        let value = match frame.items {
            _ if frame.invalid => Value::Invalid,
            Items::Sequence(list, _) => Value::Sequence(list),
            Items::Mapping(entries) => Value::Mapping(entries.close(findings)),
        };
        let node = Node::new(span, value);
        self.keep(frame.anchor, &node, findings);
        self.put(node, None, findings);
    }

    /// A finished node takes its place; `source` is the text of a scalar.
    fn put(&mut self, node: Node, source: Option<&str>, findings: &mut Findings) {
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut frame.items {
            Items::Sequence(list, _) => list.push(node),
            Items::Mapping(entries) => match std::mem::take(&mut entries.key) {
                Key::Next => entries.key = as_key(node, source, findings),
                Key::Of(key) => entries.list.push((key, node)),
                Key::Merge => entries.merge(node, findings),
                Key::Refused => {}
            },
        }
    }

    fn takes_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { items: Items::Mapping(Entries { key: Key::Next, .. }), .. }))
    }

    fn set_key(&mut self, to: Key) {
        if let Some(Frame { items: Items::Mapping(entries), .. }) = self.open.last_mut() {
            entries.key = to;
        }
    }

    /// Remembers a node for its aliases.
    fn keep(&mut self, anchor: usize, node: &Node, findings: &mut Findings) {
        if anchor == 0 {
            return;
        }
        let (size, height) = extent(node, MAX_EXPANDED - self.copied);
        self.copied += size;
        let node = if self.copied > MAX_EXPANDED {
            self.copied = MAX_EXPANDED;
            findings.error(Code::YamlAlias, node.span, too_many());
            Node::new(node.span, Value::Invalid)
        } else {
            node.clone()
        };
        self.anchors.insert(anchor, Anchored { node, size, height });
    }

    fn alias(&mut self, id: usize, span: Span, findings: &mut Findings) -> Node {
        let invalid = Node::new(span, Value::Invalid);
        let Some(anchored) = self.anchors.get(&id) else {
            if !self.too_deep {
                findings
                    .error(Code::YamlAlias, span, "the alias stands inside the node that it names, which has no end")
                    .help("write the value out, or move the anchor");
            }
            return invalid;
        };
        if self.copied + anchored.size > MAX_EXPANDED {
            findings.error(Code::YamlAlias, span, too_many());
            return invalid;
        }
        let depth = self.open.last().map_or(0, |frame| frame.depth);
        if depth + anchored.height > MAX_DEPTH {
            self.report_depth(span, findings);
            return invalid;
        }
        self.copied += anchored.size;
        // Findings about the copy name the alias's own place only when it is a scalar: the mistake is where the text is.
        let mut node = anchored.node.clone();
        if anchored.height == 0 {
            node.span = span;
        }
        node
    }

    fn report_depth(&mut self, span: Span, findings: &mut Findings) {
        if !std::mem::replace(&mut self.too_deep, true) {
            findings
                .error(Code::YamlDepth, span, format!("nested deeper than {MAX_DEPTH} levels"))
                .help("a ruleset needs about ten levels");
        }
    }

    /// The reference gives an error for a second anchor of one name; the parser would take the later one.
    fn name(&mut self, anchor: usize, marks: Marks, places: &mut Places, findings: &mut Findings) {
        if anchor == 0 {
            return;
        }
        let source = places.between(marks.start, marks.end);
        let name = source.split_whitespace().find_map(|word| word.strip_prefix('&')).unwrap_or("");
        if !name.is_empty() && !self.names.insert(name.to_owned()) {
            findings
                .error(
                    Code::YamlAlias,
                    places.span_of(marks.start, name),
                    format!("the anchor {} is defined twice", shown(name)),
                )
                .help("give each anchor a name of its own");
        }
    }

    /// YAML 1.1 knows no tabs between tokens; the parser lets some of them pass.
    fn refuse_tab(&self, style: ScalarStyle, marks: Marks, places: &mut Places, findings: &mut Findings) {
        if marks.is_empty() || matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return;
        }
        let byte = places.byte(marks.start);
        if places.blanks_before(byte).contains('\t') {
            let (line, column) = places.place(marks.start);
            let span = Span { line, column: column.saturating_sub(1).max(1), end_line: line, end_column: column };
            findings
                .error(
                    Code::YamlSyntax,
                    span,
                    format!("YAML parse error at line {line}, column {column}: a tab stands before this"),
                )
                .help("use spaces");
        }
    }
}

fn too_many() -> String {
    format!("anchors and aliases stand for more than {MAX_EXPANDED} nodes")
}

impl Frame {
    /// Whether what is opened next belongs to an expression operator: such levels have a cap of their own
    /// (engine.md §1.3), so that they do not use up the general one.
    fn is_expression(&self) -> bool {
        match &self.items {
            Items::Sequence(_, operands) => *operands,
            Items::Mapping(Entries { key: Key::Of(key), .. }) => matches!(key.as_str(), Some("all" | "any" | "not")),
            Items::Mapping(_) => false,
        }
    }
}

impl Items {
    fn end(&self) -> Option<Span> {
        match self {
            Self::Sequence(list, _) => list.last().map(|node| node.span),
            Self::Mapping(entries) => entries.list.last().map(|(key, value)| later(key.span, value.span)),
        }
    }
}

/// The one that ends later: an alias's copy has the place of its anchor.
fn later(one: Span, two: Span) -> Span {
    if (two.end_line, two.end_column) > (one.end_line, one.end_column) { two } else { one }
}

impl Entries {
    fn merge(&mut self, node: Node, findings: &mut Findings) {
        let span = node.span;
        match node.value {
            Value::Mapping(_) => self.merged.push(node),
            // In a list the first map wins; among several `<<` the last one does.
            Value::Sequence(list)
                if list.iter().all(|item| matches!(item.value, Value::Mapping(_) | Value::Invalid)) =>
            {
                self.merged.extend(list.into_iter().rev().filter(|item| matches!(item.value, Value::Mapping(_))));
            }
            Value::Invalid => {}
            _ => {
                findings
                    .error(Code::YamlKey, span, "`<<` merges a map or a list of maps")
                    .help("quote it (`\"<<\"`) when an ordinary key is meant");
            }
        }
    }

    /// Merged entries first, as in the reference; a map's own keys win over them wherever they stand.
    fn close(self, findings: &mut Findings) -> Vec<(Node, Node)> {
        let own = unique(self.list, findings);
        if self.merged.is_empty() {
            return own;
        }
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut all: Vec<(Node, Node)> = Vec::new();
        let merged = self.merged.into_iter().flat_map(|node| match node.value {
            Value::Mapping(entries) => entries,
            _ => Vec::new(),
        });
        for (key, value) in merged.chain(own) {
            let name = key.as_str().unwrap_or("").to_owned();
            match places.get(&name).and_then(|place| all.get_mut(*place)) {
                Some(entry) => *entry = (key, value),
                None => {
                    places.insert(name, all.len());
                    all.push((key, value));
                }
            }
        }
        all
    }
}

/// Of two entries with one key the first stays.
fn unique(entries: Vec<(Node, Node)>, findings: &mut Findings) -> Vec<(Node, Node)> {
    let mut order: Vec<(&str, usize)> =
        entries.iter().enumerate().map(|(at, (key, _))| (key.as_str().unwrap_or(""), at)).collect();
    order.sort_unstable();
    let mut repeated = BTreeSet::new();
    let mut first: Option<(&str, usize)> = None;
    for (name, at) in order {
        match first {
            Some((previous, earlier)) if previous == name => {
                if let (Some((key, _)), Some((original, _))) = (entries.get(at), entries.get(earlier)) {
                    findings
                        .error(Code::YamlDupKey, key.span, format!("the key {} stands twice in this map", shown(name)))
                        .help(format!("the first one is on line {}", original.span.line));
                }
                repeated.insert(at);
            }
            _ => first = Some((name, at)),
        }
    }
    if repeated.is_empty() {
        return entries;
    }
    entries.into_iter().enumerate().filter(|(at, _)| !repeated.contains(at)).map(|(_, entry)| entry).collect()
}

fn as_key(node: Node, source: Option<&str>, findings: &mut Findings) -> Key {
    let kind = match &node.value {
        Value::String(_) => return Key::Of(node),
        Value::Invalid => return Key::Refused,
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a map",
        other => other.kind(),
    };
    match source {
        Some("") => findings.error(Code::YamlKey, node.span, "a key is missing before the `:`"),
        Some(text) => findings
            .error(Code::YamlKey, node.span, format!("the key {} is {kind}, and keys must be strings", shown(text)))
            .help(format!("quote it: \"{}\"", text.chars().take(40).collect::<String>())),
        None => findings.error(Code::YamlKey, node.span, format!("a key is {kind}, and keys must be strings")),
    };
    Key::Refused
}

fn scalar_node(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span, findings: &mut Findings) -> Node {
    let refuse = |findings: &mut Findings, unfit: Unfit| {
        findings
            .error(Code::YamlScalar, span, format!("{} cannot be read: {}", shown(text), unfit.what))
            .help("quote it when text is meant");
        Node::new(span, Value::Invalid)
    };
    if style == ScalarStyle::Plain
        && let Some((what, help)) = ambiguous(text)
    {
        let (line, column) = (span.line, span.column);
        let message = format!("YAML parse error at line {line}, column {column}: {what} in a text without quotes");
        findings.error(Code::YamlSyntax, span, message).help(help);
        return Node::new(span, Value::Invalid);
    }
    let Some(tag) = tag else {
        if style != ScalarStyle::Plain {
            return Node::new(span, Value::String(text.to_owned()));
        }
        return match scalar::plain(text) {
            Ok(resolved) => Node { span, value: resolved.value, disguised: resolved.disguised },
            Err(unfit) => refuse(findings, unfit),
        };
    };
    let name = full(tag);
    match name.strip_prefix(CORE).and_then(|kind| scalar::tagged(kind, text)) {
        Some(Ok(value)) => Node::new(span, value),
        Some(Err(unfit)) => refuse(findings, unfit),
        None => {
            refuse_tag(&name, "", span, findings);
            Node::new(span, Value::Invalid)
        }
    }
}

/// What readers of YAML 1.1 and 1.2 see differently in a plain scalar.
fn ambiguous(text: &str) -> Option<(&'static str, &'static str)> {
    if text.contains('\t') {
        return Some(("a tab", "use spaces, or quotes around the text"));
    }
    (!text.is_ascii() && text.contains(['\u{85}', '\u{2028}', '\u{2029}']))
        .then_some(("a character that ends a line for some readers", "write it as an escape in double quotes"))
}

fn full(tag: &Tag) -> String {
    format!("{}{}", tag.handle, tag.suffix)
}

fn tag_fits(tag: &Tag, expected: &str, span: Span, findings: &mut Findings) -> bool {
    let name = full(tag);
    let fits = name.strip_prefix(CORE) == Some(expected);
    if !fits {
        refuse_tag(&name, expected, span, findings);
    }
    fits
}

fn refuse_tag(name: &str, expected: &str, span: Span, findings: &mut Findings) {
    let written = name.strip_prefix(CORE).map_or_else(|| name.to_owned(), |kind| format!("!!{kind}"));
    let known = matches!(written.as_str(), "!!str" | "!!int" | "!!float" | "!!bool" | "!!null" | "!!seq" | "!!map");
    let message = match expected {
        "seq" if known => format!("the tag {} does not fit a list", shown(&written)),
        "map" if known => format!("the tag {} does not fit a map", shown(&written)),
        _ if known => format!("the tag {} does not fit a scalar", shown(&written)),
        _ => format!("the tag {} is not accepted", shown(&written)),
    };
    findings.error(Code::YamlTag, span, message).help("remove the tag; quotes are enough to make a string");
}

/// Number of nodes (no further than `most + 1`), and levels below the top one.
fn extent(node: &Node, most: usize) -> (usize, usize) {
    let mut size = 1;
    let mut height = 0;
    let mut below = |child: &Node| {
        if size <= most {
            let (more, levels) = extent(child, most - size.min(most));
            size += more;
            height = height.max(levels + 1);
        }
    };
    match &node.value {
        Value::Sequence(list) => list.iter().for_each(&mut below),
        Value::Mapping(entries) => entries.iter().for_each(|(key, value)| {
            below(key);
            below(value);
        }),
        _ => {}
    }
    (size, height)
}

/// The parser's end of a quoted scalar lies behind what follows it on the line; of a block scalar, on a later line.
fn scalar_span(text: &str, style: ScalarStyle, properties: bool, marks: Marks, places: &mut Places) -> Span {
    match style {
        ScalarStyle::Plain => places.span(marks.start, marks.end),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
            let byte = places.byte(marks.start);
            let rest = places.rest(byte);
            let quote = if style == ScalarStyle::SingleQuoted { '\'' } else { '"' };
            let opening = if properties { rest.find(quote).unwrap_or(0) } else { 0 };
            let length = opening + quoted_length(rest.get(opening..).unwrap_or(""));
            places.span_of(marks.start, rest.get(..length).unwrap_or(""))
        }
        ScalarStyle::Literal | ScalarStyle::Folded => {
            let source = places.between(marks.start, marks.end);
            let content = source.trim_end();
            if content.is_empty() && !text.is_empty() {
                return places.span(marks.start, marks.start);
            }
            places.span_of(marks.start, content)
        }
    }
}

/// Bytes of a quoted scalar, both quotes included.
pub(super) fn quoted_length(text: &str) -> usize {
    let mut characters = text.char_indices();
    let Some((_, quote)) = characters.next() else { return 0 };
    while let Some((at, character)) = characters.next() {
        if character == '\\' && quote == '"' {
            characters.next();
        } else if character == quote {
            if quote == '\'' && text.get(at + 1..).is_some_and(|rest| rest.starts_with('\'')) {
                characters.next();
                continue;
            }
            return at + quote.len_utf8();
        }
    }
    text.len()
}
