//! Warnings: workflows that load and do not hold an agent where their author believes they do (engine.md §13.4).

use crate::diagnostics::{Code, Span};
use crate::documents::check::{Check, Field};
use crate::documents::path::Path;
use crate::workflow::definition::Stage;
use crate::yaml::shown;

/// Nobody enters the first stage.
pub(super) fn first_entry(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) {
    check
        .warning(Code::LintWorkflow, field.key, path, "is never looked at: a session begins in its first stage")
        .help("put it into `exit`, or put a stage before this one");
}

/// Checks are about commands, which only `Bash` has: every other tool is held against the empty text.
pub(super) fn tools(field: Field<'_>, stage: &Stage, path: &Path<'_>, check: &mut Check<'_>) {
    let Some(failing) = stage.failing_check("") else { return };
    let items = field.node.items().unwrap_or_default();
    for (place, (tool, node)) in stage.tools.iter().zip(items).enumerate() {
        if tool.glob.matches("Bash") {
            continue;
        }
        let what = format!(
            "{} never runs in this stage: only Bash has a command, and the check {} does not take an empty one",
            shown(&tool.text),
            shown(&failing.text)
        );
        check.warning(Code::LintWorkflow, node.span, &path.item(place), &what).help("give it a stage of its own");
    }
}

/// What only stages side by side show.
pub(super) fn order(stages: &[(Stage, Span)], list: &Path<'_>, check: &mut Check<'_>) {
    for (index, pair) in stages.windows(2).enumerate() {
        let [(stage, span), (next, after)] = pair else { continue };
        if stage.terminal {
            let what = format!("is never reached: {} before it is terminal", shown(&stage.id));
            check.warning(Code::LintWorkflow, *after, &list.item(index + 1), &what);
        } else if stage.wildcard() && !stage.explicit() && !next.terminal {
            check
                .warning(
                    Code::LintWorkflow,
                    *span,
                    &list.item(index),
                    "is never left by a call: its tools are globs, and nothing says when it is done",
                )
                .help("give it an `exit` gate or an `approval`");
        }
    }
    let Some((last, span)) = stages.last().filter(|(last, _)| !last.terminal && last.explicit()) else { return };
    let path = list.item(stages.len() - 1);
    if last.boundary_only() {
        check
            .warning(
                Code::LintWorkflow,
                *span,
                &path,
                "the call that gets past this last stage is allowed whatever its tool is, and so is every call after it",
            )
            .help("put a stage with the tools in question behind it, or one with `terminal: true`");
    } else {
        check
            .warning(Code::LintWorkflow, *span, &path, "when this last stage is completed, every call is allowed")
            .help("put a stage with `terminal: true` behind it, or set the option `after_completion: block`");
    }
}
