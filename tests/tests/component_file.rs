//! The built component file: it asks its host for nothing, and has what the WIT promises. `cargo xtask build` makes it.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may fail so")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem};

fn built() -> (Resolve, WorldId) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/component/edictum-decider.wasm");
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask build`", path.display()));
    match wit_component::decode(&bytes).unwrap() {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => panic!("a package, not a component"),
    }
}

fn promised() -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wit/guard")).unwrap();
    let world = resolve.select_world(&[package], Some("decider")).unwrap();
    (resolve, world)
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
fn it_imports_nothing() {
    let (resolve, world) = built();
    let imports: Vec<_> = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect();
    assert_eq!(imports, Vec::<String>::new());
}

#[test]
fn it_exports_what_the_wit_promises() {
    let promised = exports(&promised());
    assert!(promised.contains("edictum:guard/decide@0.1.0.[method]policy.begin(self, call, now)"), "{promised:#?}");
    assert_eq!(exports(&built()), promised);
}
