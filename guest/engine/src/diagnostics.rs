//! Findings about documents: stable codes, places, help. All findings of all documents come in one list.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document does not load.
    Error,
    /// It loads, and most likely does not do what its author meant.
    Warning,
    /// It loads; there is a better way to say it.
    Hint,
}

/// A place in a document: lines and columns count from 1, columns in code points; all 0 for the whole document. The end
/// is the place after the last character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// Column after the last character.
    pub end_column: u32,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable, as in `E_UNKNOWN_FIELD` (engine.md §1.4).
    pub code: Code,
    /// For people: lower case, no final period, names the path (`rules[0].then.action: must be one of block, ask`).
    pub message: String,
    /// Name of the document.
    pub document: String,
    /// Where.
    #[serde(flatten)]
    pub span: Span,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Stable codes of findings. New ones may be added; none changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text that users see and match on.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// Larger than 1 MiB.
    DocTooLarge = "E_DOC_TOO_LARGE",
    /// Not YAML.
    YamlSyntax = "E_YAML_SYNTAX",
    /// A scalar that resolves to nothing (`2024-13-01`).
    YamlScalar = "E_YAML_SCALAR",
    /// More than one document in a file.
    YamlMultiDoc = "E_YAML_MULTI_DOC",
    /// The same key twice in one map.
    YamlDupKey = "E_YAML_DUP_KEY",
    /// A key that is not a string.
    YamlKey = "E_YAML_KEY",
    /// A tag that is not accepted.
    YamlTag = "E_YAML_TAG",
    /// Too deep.
    YamlDepth = "E_YAML_DEPTH",
    /// An alias to itself, to nothing, or too many nodes after expansion.
    YamlAlias = "E_YAML_ALIAS",
    /// The root is not a map.
    DocNotMap = "E_DOC_NOT_MAP",
    /// No content at all.
    DocEmpty = "E_DOC_EMPTY",
    /// A key that does not exist there.
    UnknownField = "E_UNKNOWN_FIELD",
    /// A required key is missing.
    MissingField = "E_MISSING_FIELD",
    /// Wrong type.
    Type = "E_TYPE",
    /// Not one of the permitted values.
    Enum = "E_ENUM",
    /// A number below its least value.
    Range = "E_RANGE",
    /// A name or id with characters it may not have.
    Pattern = "E_PATTERN",
    /// A text above its cap.
    TooLong = "E_TOO_LONG",
    /// A list, map or text that must not be empty.
    Empty = "E_EMPTY",
    /// An expression that is not a map with exactly one key.
    ExprShape = "E_EXPR_SHAPE",
    /// Expressions nested too deep.
    ExprDepth = "E_EXPR_DEPTH",
    /// Two rules with one id.
    DupRuleId = "E_DUP_RULE_ID",
    /// Not a regular expression.
    RegexSyntax = "E_REGEX_SYNTAX",
    /// A regular expression that cannot be matched in linear time with Python's meaning.
    RegexUnsupported = "E_REGEX_UNSUPPORTED",
    /// The output of a call in a rule that runs before it.
    PreOutputSelector = "E_PRE_OUTPUT_SELECTOR",
    /// A sandbox key without the one it depends on.
    SandboxDep = "E_SANDBOX_DEP",
    /// A boundary that cannot be a path.
    SandboxPath = "E_SANDBOX_PATH",
    /// An entry of `allows.commands` that can never match.
    SandboxCommand = "E_SANDBOX_COMMAND",
    /// No such operator.
    UnknownOperator = "E_UNKNOWN_OPERATOR",
    /// No such selector.
    UnknownSelector = "E_UNKNOWN_SELECTOR",
    /// A metadata key that decisions use themselves.
    ReservedMetadata = "E_RESERVED_METADATA",
    /// Two spellings of one key that disagree.
    Conflict = "E_CONFLICT",
    /// `extends` names nothing that is known.
    ExtendsUnresolved = "E_EXTENDS_UNRESOLVED",
    /// `extends` leads back to where it began, or on for too long.
    ExtendsCycle = "E_EXTENDS_CYCLE",
    /// More findings than are shown.
    TooManyFindings = "E_TOO_MANY_FINDINGS",
    /// The options are not what they should be.
    Option = "E_OPTION",
    /// A workflow condition that is not one.
    WfCondition = "E_WF_CONDITION",
    /// A workflow names a stage that it does not have.
    WfUnknownStage = "E_WF_UNKNOWN_STAGE",
    /// Two stages with one id.
    WfDupStage = "E_WF_DUP_STAGE",
    /// `exec(...)` without the opt-in.
    WfExecDisabled = "E_WF_EXEC_DISABLED",
    /// A pattern that most likely has one backslash too many.
    LintBackslash = "W_DOUBLE_BACKSLASH",
    /// An operand that YAML reads as something else than it looks like.
    LintOperand = "W_OPERAND_TYPE",
    /// `not_in` or `not_equals` without a companion that catches the missing field.
    LintMissingField = "W_MISSING_FIELD_PASSES",
    /// A mode that reaches further than it seems.
    LintMode = "W_MODE",
    /// A later file weakens a rule of an earlier one.
    LintWeakened = "W_WEAKENED",
    /// A glob that matches more or less than it looks like.
    LintGlob = "W_GLOB",
    /// A workflow that stops to restrict anything at some point.
    LintWorkflow = "W_WORKFLOW",
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Collects findings while a document is read; what comes out is in the order of documents and places.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Diagnostic>,
    document: String,
    /// How many were made after the list was full, and the worst of them.
    dropped: usize,
    worst_dropped: Option<Severity>,
}

/// So many findings are kept of one document: a hostile one could have a million.
pub const MAX_FINDINGS: usize = 1_000;

impl Findings {
    /// For the document of this name.
    #[must_use]
    pub fn of(document: &str) -> Self {
        Self { document: document.to_owned(), ..Self::default() }
    }

    /// What follows is found in another document.
    pub fn enter(&mut self, document: &str) {
        if self.document != document {
            document.clone_into(&mut self.document);
        }
    }

    /// An error. `Findings::help` adds to it.
    pub fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Self {
        self.push(Severity::Error, code, span, message.into())
    }

    /// A warning.
    pub fn warning(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Self {
        self.push(Severity::Warning, code, span, message.into())
    }

    fn push(&mut self, severity: Severity, code: Code, span: Span, message: String) -> &mut Self {
        if self.is_full() {
            self.dropped += 1;
            self.worst_dropped = Some(self.worst_dropped.map_or(severity, |worst| worst.min(severity)));
            return self;
        }
        let document = self.document.clone();
        self.list.push(Diagnostic { severity, code, message, document, span, help: None });
        self
    }

    /// Help for the finding just made.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        if self.dropped == 0
            && let Some(last) = self.list.last_mut()
        {
            last.help = Some(help.into());
        }
        self
    }

    /// Findings that were made elsewhere.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Diagnostic>) {
        self.list.extend(findings);
    }

    /// Whether further findings are only counted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_FINDINGS
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.worst_dropped == Some(Severity::Error)
            || self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// How many errors there are so far.
    #[must_use]
    pub fn count_errors(&self) -> usize {
        self.list.iter().filter(|finding| finding.severity == Severity::Error).count() + self.dropped
    }

    /// The findings by place (stable for equal places).
    #[must_use]
    pub fn into_list(mut self) -> Vec<Diagnostic> {
        self.list.sort_by(|one, two| one.document.cmp(&two.document).then(one.span.cmp(&two.span)));
        if let Some(severity) = self.worst_dropped {
            let message = format!("{} more findings are not shown", self.dropped);
            let (code, document, span) = (Code::TooManyFindings, self.document, Span::default());
            self.list.push(Diagnostic { severity, code, message, document, span, help: None });
        }
        self.list
    }
}

/// Longer texts are no slip of a finger, and the comparison costs their product.
const MAX_MISSPELT: usize = 64;

/// The nearest of `known`, when one is near.
#[must_use]
pub fn nearest<'k>(unknown: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if unknown.len() > MAX_MISSPELT {
        return None;
    }
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(unknown.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

/// Help with the nearest of `known`, when one is near.
#[must_use]
pub fn did_you_mean<'k>(unknown: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(unknown, known).map(|name| format!("did you mean `{name}`?"))
}

/// Why an operation did not take place. Never used for a decision: a decision that cannot be made is a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// What kind of trouble it is.
    pub kind: FailureKind,
    /// Stable; every code belongs to one kind.
    pub code: String,
    /// For people. Holds no secret.
    pub message: String,
    /// The findings, when documents were the trouble.
    pub diagnostics: Vec<Diagnostic>,
}

/// Kinds of [`Failure`] that the engine gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The caller's mistake.
    InvalidArgument,
    /// A document does not load.
    InvalidDocument,
    /// A signature did not verify.
    Unauthorized,
    /// No such thing.
    NotFound,
    /// The store could not be asked. Nothing was done.
    Unavailable,
    /// A lost race.
    Conflict,
    /// A defect of ours.
    Internal,
}

impl Failure {
    /// A failure of the caller's.
    #[must_use]
    pub fn argument(code: &str, message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::InvalidArgument,
            code: code.to_owned(),
            message: message.into(),
            diagnostics: Vec::new(),
        }
    }

    /// Documents that do not load; code and message are those of the first error.
    #[must_use]
    pub fn documents(diagnostics: Vec<Diagnostic>) -> Self {
        let first = diagnostics.iter().find(|finding| finding.severity == Severity::Error);
        Self {
            kind: FailureKind::InvalidDocument,
            code: first.map_or("E_INTERNAL", |finding| finding.code.as_str()).to_owned(),
            message: first.map(|finding| finding.message.clone()).unwrap_or_default(),
            diagnostics,
        }
    }
}
