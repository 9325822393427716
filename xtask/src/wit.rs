//! The interface packages in `wit/`: reads them as every tool does, finds items without documentation or `@since`, and keeps
//! `docs/wit.md` current. [`page`](mod@page) writes the page.

mod page;

use std::fs;
use std::path::Path;

use wit_parser::{Docs, InterfaceId, PackageId, Resolve, Stability, Type, TypeDef, TypeDefKind, TypeOwner, WorldItem};

use crate::End;
use crate::shell::{Outcome, root, step};

/// WASI interfaces that the server package uses, in the order in which they use one another.
const BORROWED: [&str; 3] = ["deps/io.wit", "deps/clocks.wit", "deps/http.wit"];

/// Our packages, in the order in which they use one another.
const OURS: [&str; 3] = ["guard", "plugin", "server"];

const PAGE: &str = "docs/wit.md";

/// Writes the page, or says whether it is current.
pub fn page(check: bool) -> Outcome<End> {
    let (resolve, packages) = read(&root().join("wit"))?;
    let bare = bare(&resolve, &packages);
    if !bare.is_empty() {
        return Err(format!("the packages are not documented: {}", bare.join(", ")));
    }
    let page = page::write(&resolve, &packages);
    let path = root().join(PAGE);
    if fs::read_to_string(&path).is_ok_and(|there| there == page) {
        return Ok(End::Good);
    }
    if check {
        eprintln!("`{PAGE}` is not what wit/ says; `cargo xtask wit-doc` writes it");
        return Ok(End::Findings);
    }
    let folder = path.parent().unwrap_or(&path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, page))
        .map_err(|error| format!("cannot write `{PAGE}`: {error}"))?;
    step(&format!("wit-doc: wrote {PAGE}"));
    Ok(End::Good)
}

/// Reads all packages below a folder into one.
fn read(wit: &Path) -> Outcome<(Resolve, Vec<PackageId>)> {
    let mut resolve = Resolve::default();
    for file in BORROWED {
        resolve.push_file(wit.join(file)).map_err(|error| format!("wit/{file}: {error:#}"))?;
    }
    let mut packages = Vec::new();
    for folder in OURS {
        let (package, _) = resolve.push_dir(wit.join(folder)).map_err(|error| format!("wit/{folder}: {error:#}"))?;
        packages.push(package);
    }
    Ok((resolve, packages))
}

/// Items that lack documentation or `@since`, by path.
fn bare(resolve: &Resolve, packages: &[PackageId]) -> Vec<String> {
    let mut found = Bare { list: Vec::new() };
    for &id_of_package in packages {
        let Some(package) = resolve.packages.get(id_of_package) else { continue };
        let name = package.name.to_string();
        found.documented(&name, &package.docs);
        for &interface in package.interfaces.values() {
            found.interface(resolve, &name, interface);
        }
        for (world_name, &world) in &package.worlds {
            let Some(world) = resolve.worlds.get(world) else { continue };
            let path = format!("{name}/{world_name}");
            found.item(&path, &world.docs, &world.stability);
            for (key, item) in &world.exports {
                // Only what this package has written: what an included world has is drawn in bare.
                if let WorldItem::Interface { id, stability, docs, .. } = item
                    && resolve.interfaces.get(*id).is_some_and(|interface| interface.package == Some(id_of_package))
                {
                    found.item(&format!("{path}: {}", resolve.name_world_key(key)), docs, stability);
                }
            }
        }
    }
    found.list
}

struct Bare {
    list: Vec<String>,
}

impl Bare {
    fn documented(&mut self, path: &str, docs: &Docs) {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            self.list.push(format!("`{path}` has no documentation"));
        }
    }

    fn since(&mut self, path: &str, stability: &Stability) {
        if !stability.is_stable() {
            self.list.push(format!("`{path}` has no @since"));
        }
    }

    fn item(&mut self, path: &str, docs: &Docs, stability: &Stability) {
        self.documented(path, docs);
        self.since(path, stability);
    }

    fn interface(&mut self, resolve: &Resolve, package: &str, id: InterfaceId) {
        let Some(interface) = resolve.interfaces.get(id) else { return };
        let path = format!("{package}/{}", interface.name.as_deref().unwrap_or_default());
        self.item(&path, &interface.docs, &interface.stability);
        for (name, &id) in &interface.types {
            let Some(definition) = resolve.types.get(id) else { continue };
            let path = format!("{path}.{name}");
            self.since(&path, &definition.stability);
            if used_from(resolve, definition).is_none() {
                self.documented(&path, &definition.docs);
                self.parts(&path, &definition.kind);
            }
        }
        for (name, function) in &interface.functions {
            self.item(&format!("{path}.{name}"), &function.docs, &function.stability);
        }
    }

    fn parts(&mut self, path: &str, kind: &TypeDefKind) {
        for (name, docs) in parts(kind) {
            self.documented(&format!("{path}.{name}"), docs);
        }
    }
}

/// Fields or cases of a type.
fn parts(kind: &TypeDefKind) -> Vec<(&str, &Docs)> {
    match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| (&*field.name, &field.docs)).collect(),
        TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| (&*case.name, &case.docs)).collect(),
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| (&*case.name, &case.docs)).collect(),
        TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| (&*flag.name, &flag.docs)).collect(),
        _ => Vec::new(),
    }
}

/// The interface that a `use`d type comes from; none for a type of its own.
fn used_from(resolve: &Resolve, definition: &TypeDef) -> Option<InterfaceId> {
    let TypeDefKind::Type(Type::Id(original)) = definition.kind else { return None };
    match (resolve.types.get(original)?.owner, definition.owner) {
        (TypeOwner::Interface(there), TypeOwner::Interface(here)) if there != here => Some(there),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_has_documentation_and_since() {
        let (resolve, packages) = read(&root().join("wit")).unwrap();
        assert_eq!(bare(&resolve, &packages), Vec::<String>::new());
    }

    #[test]
    fn the_page_is_current() {
        let (resolve, packages) = read(&root().join("wit")).unwrap();
        let page = fs::read_to_string(root().join(PAGE)).unwrap();
        assert!(page == page::write(&resolve, &packages), "run `cargo xtask wit-doc`");
    }

    #[test]
    fn the_decider_imports_nothing_and_the_guard_only_wasi() {
        let (resolve, packages) = read(&root().join("wit")).unwrap();
        let imports = |package: usize, world: &str| {
            let world = resolve.packages[packages[package]].worlds[world];
            let keys = resolve.worlds[world].imports.keys();
            keys.map(|key| resolve.name_world_key(key)).filter(|name| !name.starts_with("wasi:")).collect::<Vec<_>>()
        };
        let decider = resolve.packages[packages[0]].worlds["decider"];
        assert!(resolve.worlds[decider].imports.is_empty());
        // A world that exports `api` draws in the interfaces whose types it uses; the decider exports them too.
        assert_eq!(imports(2, "guard"), Vec::<String>::new());
    }

    #[test]
    fn what_is_bare_is_found() {
        let mut resolve = Resolve::default();
        let text = "package a:b@1.0.0;\n/// Here.\n@since(version = 1.0.0)\ninterface i {\n  record r { f: u8 }\n  \
                    /// Said.\n  run: func();\n  @since(version = 1.0.0)\n  walk: func();\n}\nworld w { export i; }\n";
        let package = resolve.push_str("a.wit", text).unwrap();
        let expected = [
            "`a:b@1.0.0` has no documentation",
            "`a:b@1.0.0/i.r` has no @since",
            "`a:b@1.0.0/i.r` has no documentation",
            "`a:b@1.0.0/i.r.f` has no documentation",
            "`a:b@1.0.0/i.run` has no @since",
            "`a:b@1.0.0/i.walk` has no documentation",
            "`a:b@1.0.0/w` has no documentation",
            "`a:b@1.0.0/w` has no @since",
            "`a:b@1.0.0/w: a:b/i@1.0.0` has no documentation",
            "`a:b@1.0.0/w: a:b/i@1.0.0` has no @since",
        ];
        assert_eq!(bare(&resolve, &[package]), expected);
    }
}
