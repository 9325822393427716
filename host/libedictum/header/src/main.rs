//! Prints the header of libedictum, made from its sources: `libedictum-header FOLDER_OF_SOURCES`.
//!
//! A program of its own, called by `cargo xtask libedictum`, which also checks that the header in the tree is current.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

use cbindgen::{Builder, Config, DocumentationStyle, Language, RenameRule, Style};

/// C names of what is not a function; those say their names themselves.
const TYPES: [&str; 16] = [
    "Answer", "Call", "Done", "Driver", "Guard", "Host", "Memory", "Notice", "Pending", "Question", "Release", "Reply",
    "Setup", "Sink", "Status", "Text",
];
const CONSTANTS: [&str; 8] = [
    "ABI_VERSION",
    "FLAG_OBSERVED",
    "FLAG_PASSED",
    "FLAG_POLICY_ERROR",
    "FLAG_SUCCESS",
    "TOOL_FAILED",
    "TOOL_SUCCEEDED",
    "TOOL_UNKNOWN",
];

const PREAMBLE: &str = "\
/* libedictum: Edictum Guard for programs that call C. Made from the sources of the library; do not edit.
 *
 * Texts are UTF-8 with a length; as arguments they are read during the call and not kept. Every function may be called on any
 * thread, also at the same time with the same host, guard or driver; only what frees a handle must be the last to use it. A
 * handle that a function gives is freed by the caller with the function of its type, once; handles do not need one another: a
 * guard keeps its host alive. No function throws or unwinds.
 *
 * A function that may have to wait takes `done`, `user_data` and `pending`. Without `done` it waits, on the caller's thread.
 * With `done` it ends at once when it can: then the answer is there, and `done` is not called. Else it gives
 * EDICTUM_STATUS_PENDING and sets `pending`, if that is not NULL, and `done` is called once, on another thread, possibly before
 * the function has returned. `pending` serves to give up, and is freed by the caller in any case.
 *
 * `answer` may be NULL, and then nobody sees it. Else it is freed by edictum_answer_free, except for EDICTUM_STATUS_PENDING,
 * where there is nothing in it yet. */";

fn main() -> ExitCode {
    let Some(sources) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: libedictum-header FOLDER_OF_SOURCES");
        return ExitCode::from(2);
    };
    match print(&sources) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::from(2)
        }
    }
}

fn print(sources: &PathBuf) -> Result<(), String> {
    let entries = fs::read_dir(sources).map_err(|error| format!("cannot read `{}`: {error}", sources.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    // The order of a folder is nobody's.
    files.sort();
    let builder = files.into_iter().fold(Builder::new().with_config(config()), Builder::with_src);
    let header = builder.generate().map_err(|error| error.to_string())?;
    header.write(io::stdout().lock());
    Ok(())
}

fn config() -> Config {
    let mut config = Config {
        language: Language::C,
        header: Some(PREAMBLE.to_owned()),
        include_guard: Some("EDICTUM_H".to_owned()),
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(str::to_owned).into(),
        cpp_compat: true,
        documentation_style: DocumentationStyle::C,
        style: Style::Both,
        usize_is_size_t: true,
        line_length: 120,
        ..Config::default()
    };
    config.enumeration.rename_variants = RenameRule::QualifiedScreamingSnakeCase;
    let types = TYPES.map(|name| (name.to_owned(), format!("edictum_{}", name.to_lowercase())));
    let constants = CONSTANTS.map(|name| (name.to_owned(), format!("EDICTUM_{name}")));
    config.export.rename = types.into_iter().chain(constants).collect();
    config.export.rename.insert("Verdict".to_owned(), "edictum_action".to_owned());
    config
}
