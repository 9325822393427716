//! The Python host: an environment below `target/` with what its package needs, from the registry by pip.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::shell::{Outcome, root, run, step, target};

/// Where the package is.
pub fn folder() -> PathBuf {
    root().join("examples").join("python")
}

/// The interpreter of the environment; made, or brought up to date, when it is not what the package asks for.
pub fn interpreter() -> Outcome<PathBuf> {
    let environment = target().join("python");
    let python = environment.join("bin").join("python");
    let manifest = folder().join("pyproject.toml");
    let asked =
        fs::read_to_string(&manifest).map_err(|error| format!("cannot read `{}`: {error}", manifest.display()))?;
    let wanted = requirements(&asked);
    if wanted.is_empty() {
        return Err(format!("`{}` names no dependencies", manifest.display()));
    }
    // Written last: an installation that was interrupted has none.
    let mark = environment.join("installed");
    if python.exists() && fs::read_to_string(&mark).is_ok_and(|there| there == wanted.join("\n")) {
        return Ok(python);
    }
    step("python: the package's dependencies");
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&environment);
    run(make).map_err(|error| format!("the Python host needs Python 3.10 with `venv`: {error}"))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(&wanted);
    run(install)?;
    fs::write(&mark, wanted.join("\n")).map_err(|error| format!("cannot write `{}`: {error}", mark.display()))?;
    Ok(python)
}

/// What `dependencies` and the extra `test` of a manifest ask for.
fn requirements(manifest: &str) -> Vec<String> {
    let mut wanted = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        inside |= line.starts_with("dependencies = [") || line.starts_with("test = [");
        if inside {
            wanted.extend(line.split('"').skip(1).step_by(2).map(ToOwned::to_owned));
            inside = !line.ends_with(']');
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_those_of_the_package_and_of_its_tests() {
        let manifest = "name = \"x\"\ndependencies = [\n    # \n    \"a>=1,<2\",\n]\n[o]\ntest = [\"b\", \"c>1\"]\nother = [\"d\"]\n";
        assert_eq!(requirements(manifest), ["a>=1,<2", "b", "c>1"]);
    }
}
