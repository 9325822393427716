//! Plugins, built as their authors build them: in a copy outside of the workspace. What they depend on is built once for all
//! of them, in `target/plugins`, to which the `target` of each copy is a link.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::places::workspace;
use crate::wire;

/// The line of cargo-component that plugins are known to build with.
const CARGO_COMPONENT: &str = "0.21.";

/// A copy of a project.
#[derive(Debug)]
pub struct Copy {
    folder: TempDir,
}

impl Copy {
    /// Of a folder of the workspace, without what was built in it.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn of(project: &str) -> io::Result<Self> {
        let copy = Self { folder: tempfile::tempdir()? };
        copy_folder(&workspace().join(project), copy.path())?;
        copy.link_target()?;
        Ok(copy)
    }

    /// Nothing yet: whoever puts a project there calls [`link_target`] for it.
    ///
    /// # Errors
    /// There is no folder for it.
    pub fn empty() -> io::Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command line in it, with our `edictum-host` in front of all others.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, line: &str) -> io::Result<Output> {
        run(self.path(), line)
    }

    fn link_target(&self) -> io::Result<()> {
        link_target(self.path())
    }
}

/// Lets a project build where all the others do.
///
/// # Errors
/// The link cannot be made.
pub fn link_target(project: &Path) -> io::Result<()> {
    let target = workspace().join("target/plugins");
    fs::create_dir_all(&target)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(target, project.join("target"))?;
    #[cfg(not(unix))]
    fs::create_dir_all(project.join("target"))?;
    Ok(())
}

/// Runs a command line in a folder, with our `edictum-host` in front of all others.
///
/// # Errors
/// It cannot be started.
pub fn run(folder: &Path, line: &str) -> io::Result<Output> {
    let host = wire::program();
    let mut path = host.parent().map(Path::to_path_buf).unwrap_or_default().into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.current_dir(folder).args(["-c", line]).env("PATH", path);
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(variable);
    }
    // What our own cargo says about our own package is not to be taken for theirs.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        command.env_remove(name);
    }
    command.env_remove("CARGO_MANIFEST_DIR").env("CARGO_TERM_COLOR", "never").output()
}

/// Whether plugins can be built with cargo-component, too.
#[must_use]
pub fn has_cargo_component() -> bool {
    let version = Command::new("cargo").args(["component", "--version"]).output();
    version.is_ok_and(|output| {
        output.status.success()
            && String::from_utf8_lossy(&output.stdout).split_whitespace().any(|word| word.starts_with(CARGO_COMPONENT))
    })
}

/// A plugin of ours, built with these features; where the component is.
///
/// # Errors
/// It does not build: what cargo said.
pub fn built(project: &str, name: &str, features: &str) -> Result<PathBuf, String> {
    /// Variants of one project have the same name before they are put aside.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let copy = Copy::of(project).map_err(|error| format!("{project}: {error}"))?;
    let wit = copy.path().join("wit");
    copy_folder(&workspace().join("wit/plugin"), &wit).map_err(|error| error.to_string())?;
    if let Ok(world) = fs::read(copy.path().join("world.wit")) {
        fs::write(wit.join("world.wit"), world).map_err(|error| error.to_string())?;
    }
    let line = format!("cargo build --target wasm32-wasip2 --release --features '{features}'");
    let output = copy.run(&line).map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{project}:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let made = copy.path().join(format!("target/wasm32-wasip2/release/{name}.wasm"));
    let aside = workspace().join(format!("target/plugins/{name}-{features}.wasm"));
    fs::copy(&made, &aside).map_err(|error| format!("{}: {error}", made.display()))?;
    Ok(aside)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == "target" || name == "bindings.rs" {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
