//! The built component files: what they ask their host for, and that they have what the WIT promises. `cargo xtask build`
//! makes them.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may fail so")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn built(name: &str) -> (Resolve, WorldId) {
    let path = root().join("target/component").join(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask build`", path.display()));
    match wit_component::decode(&bytes).unwrap() {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => panic!("a package, not a component"),
    }
}

/// A world of the last of these packages, each of which may use those before it.
fn promised(packages: &[&str], world: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let mut last = None;
    for package in packages {
        last = Some(resolve.push_path(root().join("wit").join(package)).unwrap().0);
    }
    let world = resolve.select_world(&[last.unwrap()], Some(world)).unwrap();
    (resolve, world)
}

fn decider() -> (Resolve, WorldId) {
    promised(&["guard"], "decider")
}

fn guard() -> (Resolve, WorldId) {
    promised(&["deps/io.wit", "deps/clocks.wit", "deps/http.wit", "guard", "server"], "guard")
}

fn imports((resolve, world): &(Resolve, WorldId)) -> Vec<String> {
    resolve.worlds[*world].imports.keys().map(|key| resolve.name_world_key(key)).collect()
}

/// Interfaces, types and functions with the names of their parameters.
fn exports((resolve, world): &(Resolve, WorldId)) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (key, item) in &resolve.worlds[*world].exports {
        let interface = resolve.name_world_key(key);
        let WorldItem::Interface { id, .. } = item else { panic!("{interface} is no interface") };
        names.extend(resolve.interfaces[*id].types.keys().map(|name| format!("{interface}.{name}")));
        for (name, function) in &resolve.interfaces[*id].functions {
            let parameters: Vec<_> = function.params.iter().map(|parameter| &*parameter.name).collect();
            names.insert(format!("{interface}.{name}({})", parameters.join(", ")));
        }
        names.insert(interface);
    }
    names
}

#[test]
fn the_decider_imports_nothing() {
    assert_eq!(imports(&built("edictum-decider.wasm")), Vec::<String>::new());
}

#[test]
fn the_guard_imports_http_and_a_clock_for_it_and_nothing_else() {
    let imports = imports(&built("edictum-guard.wasm"));
    assert!(imports.iter().any(|import| import.starts_with("wasi:http/outgoing-handler@")), "{imports:?}");
    let known = ["wasi:http/outgoing-handler@", "wasi:http/types@", "wasi:io/", "wasi:clocks/monotonic-clock@"];
    for import in &imports {
        assert!(known.iter().any(|known| import.starts_with(known)), "it imports {import}");
    }
}

#[test]
fn both_export_what_the_wit_promises() {
    let promised = exports(&decider());
    assert!(promised.contains("edictum:guard/decide@0.1.0.[method]policy.begin(self, call, now)"), "{promised:#?}");
    assert_eq!(exports(&built("edictum-decider.wasm")), promised);

    let more = exports(&guard());
    assert!(more.is_superset(&promised) && more.contains("edictum:server/api@0.1.0"), "{more:#?}");
    assert_eq!(exports(&built("edictum-guard.wasm")), more);
}
