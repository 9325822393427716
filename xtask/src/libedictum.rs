//! libedictum, the host for programs that call C: the library and its header, for C programs in `target/libedictum`, and for
//! the Go module beside its sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Outcome, answer, cargo_building, name, root, run, step, target};
use crate::{End, component};

/// Where the Go module looks for it.
const GO: &str = "examples/go/lib";

const HEADER: &str = "host/libedictum/include/edictum.h";

/// Builds everything that it is made of, and puts it where it is looked for. `release`: small and fast, and slow to build.
pub fn build(release: bool) -> Outcome<PathBuf> {
    component::build()?;
    step("libedictum (the first time, wasmtime takes some minutes)");
    let profile = if release { "dist" } else { "ci" };
    // Without `--package`, as the host: wasmtime is built once.
    run(cargo_building("build", &["--profile", profile, "--lib"]))?;
    let built = target().join(profile).join(library());
    let folder = target().join("libedictum");
    for folder in [&folder, &root().join(GO)] {
        fs::create_dir_all(folder).map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
        replace(&built, &folder.join(library()))?;
        replace(&root().join(HEADER), &folder.join("edictum.h"))?;
    }
    Ok(folder)
}

/// Its name here.
pub fn library() -> String {
    format!("{}edictum{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// A library in use cannot be written over, but it can be replaced. What has not changed stays, so that nothing is linked anew.
fn replace(from: &Path, to: &Path) -> Outcome<()> {
    let trouble = |error| format!("cannot copy `{}` to `{}`: {error}", from.display(), to.display());
    let bytes = fs::read(from).map_err(trouble)?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let fresh = to.with_extension("new");
    fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, to)).map_err(trouble)
}

/// Writes the header from the library's sources, or says whether it is current.
pub fn header(check: bool) -> Outcome<End> {
    let mut generator = cargo_building("run", &["--quiet", "--locked", "--manifest-path"]);
    generator.arg(root().join("host/libedictum/header/Cargo.toml")).arg("--").arg(root().join("host/libedictum/src"));
    let shown = name(&generator);
    let made = printed(generator).ok_or_else(|| format!("`{shown}` failed"))?;
    let path = root().join(HEADER);
    if fs::read_to_string(&path).is_ok_and(|there| there == made) {
        return Ok(End::Good);
    }
    if check {
        eprintln!("`{HEADER}` is not what host/libedictum says; `cargo xtask header` writes it");
        return Ok(End::Findings);
    }
    fs::write(&path, made).map_err(|error| format!("cannot write `{HEADER}`: {error}"))?;
    step(&format!("header: wrote {HEADER}"));
    Ok(End::Good)
}

/// As [`answer`], to the last line feed.
fn printed(command: Command) -> Option<String> {
    answer(command).map(|text| text + "\n")
}
