//! What authors of plugins do: the commands of the examples' READMEs, and a new project, each in a copy outside of the
//! workspace.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::path::Path;
use std::process::Output;

use edictum_tests::places::workspace;
use edictum_tests::workshop::{self, Copy, has_cargo_component};
use serde_json::{Value, json};

/// The command lines of a README.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("\n```console\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let lines = blocks.flat_map(str::lines);
    lines.map(|line| line.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {line}")).to_owned()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs each command of an example's README. `said`: part of a command, how it ends, and what it prints.
fn readme(example: &str, said: &[(&str, i32, &str)]) {
    let copy = Copy::of(example).unwrap();
    let commands = commands(&fs::read_to_string(copy.path().join("README.md")).unwrap());
    let with_component = has_cargo_component();
    let mut seen = vec![false; said.len()];
    let mut ran = 0;
    for line in &commands {
        let of_component = line.contains("cargo component") || line.contains("wasm32-wasip1");
        if of_component && !with_component {
            continue;
        }
        let Output { status, stdout, stderr } = copy.run(line).unwrap();
        let (stdout, stderr) = (text(&stdout), text(&stderr));
        let expected = said.iter().position(|(part, ..)| line.contains(part));
        let code = expected.map_or(0, |place| said[place].1);
        assert_eq!(status.code(), Some(code), "{line}\n{stdout}\n{stderr}");
        assert!(!stderr.contains("warning:"), "{line}\n{stderr}");
        if let Some(place) = expected {
            assert_eq!(stdout, said[place].2, "{line}\n{stderr}");
            seen[place] = true;
        }
        ran += 1;
    }
    assert!(ran >= 5, "{ran} commands");
    assert_eq!(seen, vec![true; said.len()], "{commands:#?}");
}

#[test]
fn the_readme_of_plugin_pii_says_what_works() {
    let inspected = "pii 0.1.0\n  exports    operators\n  operators  contains_pii, pii_above\n";
    readme(
        "examples/plugin-pii",
        &[
            ("plugin inspect", 0, inspected),
            ("validate", 0, "1 file can be loaded\n"),
            (
                "edictum-host run",
                1,
                "block  iban  no-accounts-by-mail  No card or account numbers by mail.\nallow  no-card\nallow  test-card\n\
                 ask  rows  no-bulk-export  These rows hold personal numbers of several people. Export them?\n",
            ),
        ],
    );
}

#[test]
fn the_readme_of_plugin_principal_says_what_works() {
    let why = "principal_resolver  The call could not be checked: it could not be determined whose call it is.\n  \
               plugin `principal`: ";
    readme(
        "examples/plugin-principal",
        &[
            ("plugin inspect", 0, "principal 0.1.0\n  exports    principal-resolver\n"),
            (
                "edictum-host run",
                1,
                &format!(
                    "allow  alice\nsucceeded  alice\nallow  bob-reads\nsucceeded  bob-reads\n\
                     block  bob-runs  {why}the token of `bob` is not for `Bash`\n\
                     block  forged  {why}the signature does not match\n\
                     block  nobody  {why}the call has no token in `auth_token`\n"
                ),
            ),
            (
                "mint",
                0,
                "et1.2026-a.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.OGlJplXgsbAoMbQrUlJb4d-xmo3hWQGoFBQYPpKEjEs\n",
            ),
        ],
    );
}

const WORLDS: [&str; 7] = [
    "operator-plugin",
    "selector-plugin",
    "hook-plugin",
    "success-plugin",
    "principal-plugin",
    "sink-plugin",
    "plugin",
];

#[test]
fn a_new_plugin_is_formatted_and_builds_at_once_in_both_ways() {
    let copy = Copy::empty().unwrap();
    for world in WORLDS {
        let name = format!("new-{world}");
        let output = copy.run(&format!("edictum-host plugin new {name} --world {world}")).unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let project = copy.path().join(&name);
        workshop::link_target(&project).unwrap();
        let run = |line: &str| {
            let output = workshop::run(&project, line).unwrap();
            assert!(output.status.success(), "{world}: {line}\n{}{}", text(&output.stdout), text(&output.stderr));
            assert!(!text(&output.stderr).contains("warning"), "{world}: {line}\n{}", text(&output.stderr));
            text(&output.stdout)
        };
        run("cargo fmt --check");
        let inspect = |target: &str| -> Value {
            let file = format!("target/{target}/release/{}.wasm", name.replace('-', "_"));
            serde_json::from_str(&run(&format!("edictum-host plugin inspect {file} --json"))).unwrap()
        };
        // The commands of its README, with and without cargo-component.
        run("cargo build --target wasm32-wasip2 --release");
        let built = inspect("wasm32-wasip2");
        assert_eq!((&built["name"], &built["version"]), (&json!(name), &json!("0.1.0")));
        assert_eq!(built["interfaces"].as_array().unwrap().len(), if world == "plugin" { 6 } else { 1 });
        if ["operator-plugin", "plugin"].contains(&world) && has_cargo_component() {
            run("cargo component build --release");
            assert_eq!(inspect("wasm32-wasip1"), built);
        }
    }
}

#[test]
fn the_readme_of_a_new_plugin_names_what_its_commands_make() {
    let copy = Copy::empty().unwrap();
    assert!(copy.run("edictum-host plugin new my-rules").unwrap().status.success());
    let readme = fs::read_to_string(copy.path().join("my-rules/README.md")).unwrap();
    assert!(!readme.contains("{{"), "{readme}");
    let commands = commands(&readme);
    assert!(commands.contains(&"cargo build --target wasm32-wasip2 --release".to_owned()), "{commands:?}");
    assert!(commands.contains(&"cargo component build --release".to_owned()), "{commands:?}");
    for target in ["wasm32-wasip2", "wasm32-wasip1"] {
        let inspect = format!("edictum-host plugin inspect target/{target}/release/my_rules.wasm");
        assert!(commands.contains(&inspect), "{commands:?}");
    }
    let ignored = fs::read_to_string(copy.path().join("my-rules/.gitignore")).unwrap();
    assert!(ignored.contains("/target\n") && ignored.contains("/src/bindings.rs\n"));
}

#[test]
fn the_sixty_seconds_of_the_page_work() {
    let page = fs::read_to_string(workspace().join("docs/plugins.md")).unwrap();
    let rules = page.split("\n```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let copy = Copy::empty().unwrap();
    let project = copy.path().join("house-rules");
    let mut ran = 0;
    // A target is installed by whoever runs the tests, and each command has a shell of its own.
    for line in commands(&page).iter().filter(|line| !line.starts_with("rustup") && !line.starts_with("cd ")) {
        let there = project.exists();
        let output = workshop::run(if there { &project } else { copy.path() }, line).unwrap();
        let code = if line.starts_with("edictum-host check") { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{line}\n{}{}", text(&output.stdout), text(&output.stderr));
        if code == 1 {
            assert!(text(&output.stdout).contains("no-rockets — No rockets by mail."), "{}", text(&output.stdout));
        }
        if !there {
            workshop::link_target(&project).unwrap();
            fs::write(project.join("rules.yaml"), rules).unwrap();
        }
        ran += 1;
    }
    assert_eq!(ran, 4);
}

#[test]
fn a_new_plugin_overwrites_nothing_and_has_a_name_that_packages_can_have() {
    let copy = Copy::empty().unwrap();
    let new = |arguments: &str| {
        let output = copy.run(&format!("edictum-host plugin new {arguments}")).unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    };
    assert_eq!(new("mine").0, 0);
    assert!(new("mine").1.contains("cannot write `mine`"));
    assert_eq!(new("other --path elsewhere").0, 0);
    assert!(copy.path().join("elsewhere/src/lib.rs").exists());
    for name in ["''", "Mine", "1st", "a--b", "-a", "a-", "a/b", "../a", "a_b", "'a b'", "ä"] {
        assert_eq!(new(&format!("--path x -- {name}")).0, 2, "{name}");
    }
    assert!(!copy.path().join("x").exists());
}

#[test]
fn the_examples_and_the_template_have_the_interfaces_of_this_repository() {
    let copy = Copy::empty().unwrap();
    assert!(copy.run("edictum-host plugin new mine").unwrap().status.success());
    let ours = workspace().join("wit/plugin");
    let examples = workspace().join("examples");
    let theirs = [copy.path().join("mine/wit"), examples.join("plugin-pii/wit"), examples.join("plugin-principal/wit")];
    let files = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for folder in theirs {
        assert_eq!(files(&folder), files(&ours), "{}", folder.display());
        for name in files(&ours) {
            assert_eq!(fs::read(folder.join(&name)).unwrap(), fs::read(ours.join(&name)).unwrap());
        }
    }
}
