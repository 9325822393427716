//! The components: the guest as a core module in each of its worlds, wrapped, checked, and written only when it changed (so
//! that what embeds it is not built again for nothing).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::shell::{Outcome, answer, cargo, root, run, step, target};

const TARGET: &str = "wasm32-unknown-unknown";

/// What cargo names the guest.
const MODULE: &str = "edictum_guard.wasm";

/// The line of cargo-component that this tree is known to build with.
const CARGO_COMPONENT: &str = "0.21.";

/// The worlds that the guest is built in.
#[derive(Clone, Copy)]
enum World {
    /// `edictum:guard/decider`.
    Decider,
    /// `edictum:server/guard`.
    Guard,
}

impl World {
    /// What else than the default features of the guest it takes.
    const fn features(self) -> &'static [&'static str] {
        match self {
            Self::Decider => &["--no-default-features"],
            Self::Guard => &[],
        }
    }

    /// Beginnings of the names of what it may ask its host for.
    const fn imports(self) -> &'static [&'static str] {
        match self {
            Self::Decider => &[],
            Self::Guard => &["wasi:http/", "wasi:io/", "wasi:clocks/"],
        }
    }

    /// Where cargo builds it. Both modules have the same name: in one folder each would be built again after the other.
    fn folder(self) -> PathBuf {
        match self {
            Self::Decider => target(),
            Self::Guard => target().join("guard"),
        }
    }

    /// Where the component is put.
    fn path(self) -> PathBuf {
        target().join("component").join(match self {
            Self::Decider => "edictum-decider.wasm",
            Self::Guard => "edictum-guard.wasm",
        })
    }
}

/// Builds both with cargo and wraps them here: the way of `cargo xtask build`.
pub fn build() -> Outcome<()> {
    install_target(TARGET)?;
    step("components: the guest for wasm32-unknown-unknown");
    wrap(World::Decider)?;
    wrap(World::Guard)
}

fn wrap(world: World) -> Outcome<()> {
    let path = world.folder().join(TARGET).join("release").join(MODULE);
    build_module(world)?;
    let mut module = read(&path)?;
    if Parser::is_component(&module) {
        // A hand-run `cargo component build` leaves a component there, which cargo takes for its own.
        fs::remove_file(&path).map_err(|error| format!("cannot remove `{}`: {error}", path.display()))?;
        build_module(world)?;
        module = read(&path)?;
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| format!("cannot make a component of the guest: {error:#}"))?;
    install(world, &component)
}

fn build_module(world: World) -> Outcome<()> {
    let arguments = ["--package", "edictum-guard", "--release", "--target", TARGET];
    let mut command = cargo(&["build", "--target-dir"]);
    command.arg(world.folder()).args(arguments).args(world.features());
    run(command)
}

/// Builds the decider with `cargo component build`, which wraps it itself.
pub fn with_cargo_component() -> Outcome<()> {
    install_target(TARGET)?;
    match answer(cargo(&["component", "--version"])) {
        Some(version) if fits(&version) => {}
        Some(version) => return Err(format!("needs cargo-component {CARGO_COMPONENT}x, found `{version}`")),
        None => {
            return Err("cargo-component is not installed; `cargo install cargo-component@0.21.1 --locked` does it \
                        (some minutes), `cargo xtask build` does without"
                .to_owned());
        }
    }
    step("component: the guest with cargo-component");
    // Not where cargo puts the core module: the two have the same name.
    let folder = target().join("cargo-component");
    let mut command = cargo(&["component", "build", "--package", "edictum-guard", "--release", "--target", TARGET]);
    command.args(World::Decider.features());
    command.env("CARGO_TARGET_DIR", &folder);
    run(command)?;
    install(World::Decider, &read(&folder.join(TARGET).join("release").join(MODULE))?)
}

/// Whether the cargo-component that is there is one that this tree is known to build with.
pub fn has_cargo_component() -> bool {
    answer(cargo(&["component", "--version"])).is_some_and(|version| fits(&version))
}

fn fits(version: &str) -> bool {
    version.split_whitespace().any(|word| word.starts_with(CARGO_COMPONENT))
}

/// Adds a wasm target to the toolchain in use, when it is not there: `rust-toolchain.toml` alone does not always.
pub fn install_target(target: &str) -> Outcome<()> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(root()).args(["--print", "target-libdir", "--target", target]);
    if answer(rustc).is_some_and(|folder| Path::new(&folder).is_dir()) {
        return Ok(());
    }
    step(&format!("installing the target {target}"));
    let mut rustup = Command::new("rustup");
    rustup.current_dir(root()).args(["target", "add", target]);
    run(rustup).map_err(|error| format!("the target {target} is missing and could not be installed: {error}"))
}

/// Refuses a component that asks its host for anything that its world does not have, then puts it into its place.
fn install(world: World, component: &[u8]) -> Outcome<()> {
    let path = world.path();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let imports = imports(component)?;
    let known = |import: &String| world.imports().iter().any(|known| import.starts_with(known));
    if let Some(other) = imports.iter().find(|import| !known(import)) {
        return Err(format!("{name} must not import {other}"));
    }
    if fs::read(&path).is_ok_and(|there| there == component) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(&path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, component))
        .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    let imported = if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") };
    step(&format!("{name}: {} KiB, imports {imported}", component.len() / 1024));
    Ok(())
}

/// What a component asks its host for, by name.
fn imports(component: &[u8]) -> Outcome<Vec<String>> {
    let mut imports = Vec::new();
    // Core modules inside have imports of their own, which the component answers.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| format!("the component cannot be read: {error}"))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| format!("the component cannot be read: {error}"))?;
                    imports.push(import.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_found_and_an_inner_one_is_not() {
        // (component (import "clock" (func)))
        let with = [
            0, b'a', b's', b'm', 13, 0, 1, 0, // header
            7, 5, 1, 0x40, 0, 1, 0, // type section: func() without a result
            10, 10, 1, 0, 5, b'c', b'l', b'o', b'c', b'k', 1, 0, // import section
        ];
        assert_eq!(imports(&with), Ok(vec!["clock".to_owned()]));
        // (component (core module (import "a" "b" (memory 0))))
        let within = [
            0, b'a', b's', b'm', 13, 0, 1, 0, // header
            1, 18, 0, b'a', b's', b'm', 1, 0, 0, 0, 2, 8, 1, 1, b'a', 1, b'b', 2, 0, 0, // core module
        ];
        assert_eq!(imports(&within), Ok(Vec::new()));
        assert!(imports(b"not wasm").is_err());
    }
}
