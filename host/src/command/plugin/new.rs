//! `edictum-host plugin new`: the beginning of a plugin, as a project that builds at once.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::command::{End, Trouble, say};

/// Writes a project that builds to a plugin at once
///
/// The folder must not exist yet. The project depends on nothing of this repository: the interfaces are copied into it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  $ edictum-host plugin new house-rules
  $ edictum-host plugin new whose-call --world principal-plugin
  $ cd house-rules && cargo build --target wasm32-wasip2 --release")]
pub struct New {
    /// Its name: words of a-z and 0-9, with `-` between them
    name: String,
    /// What it will be asked
    #[arg(long, value_enum, default_value_t = World::OperatorPlugin)]
    world: World,
    /// The folder to write [default: ./NAME]
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
}

/// The worlds of `wit/plugin`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum World {
    /// Operators of rules
    OperatorPlugin,
    /// Selectors of rules and messages
    SelectorPlugin,
    /// Code before and after a tool runs
    HookPlugin,
    /// Whether a tool succeeded
    SuccessPlugin,
    /// Whose call it is
    PrincipalPlugin,
    /// A sink of the decision log
    SinkPlugin,
    /// All of them
    Plugin,
}

/// The interfaces as they are in `wit/plugin`.
const WIT: [(&str, &str); 2] = [
    ("wit/plugin.wit", include_str!("../../../../wit/plugin/plugin.wit")),
    ("wit/worlds.wit", include_str!("../../../../wit/plugin/worlds.wit")),
];

const MANIFEST: &str = include_str!("../../../templates/plugin/Cargo.toml.in");
const README: &str = include_str!("../../../templates/plugin/README.md.in");
const IGNORED: &str = include_str!("../../../templates/plugin/gitignore.in");
const HEAD: &str = include_str!("../../../templates/plugin/lib/head.rs.in");

/// The parts of `lib.rs`, by the world that has only this one.
const PARTS: [(World, &str); 6] = [
    (World::OperatorPlugin, include_str!("../../../templates/plugin/lib/operators.rs.in")),
    (World::SelectorPlugin, include_str!("../../../templates/plugin/lib/selectors.rs.in")),
    (World::HookPlugin, include_str!("../../../templates/plugin/lib/hooks.rs.in")),
    (World::SuccessPlugin, include_str!("../../../templates/plugin/lib/success-check.rs.in")),
    (World::PrincipalPlugin, include_str!("../../../templates/plugin/lib/principal-resolver.rs.in")),
    (World::SinkPlugin, include_str!("../../../templates/plugin/lib/audit-sink.rs.in")),
];

impl New {
    pub fn run(self) -> Result<End, Trouble> {
        check_name(&self.name)?;
        let folder = self.path.clone().unwrap_or_else(|| PathBuf::from(&self.name));
        let unwritten = |path: &Path| Trouble::io(format!("cannot write `{}`", path.display()));
        fs::create_dir(&folder).map_err(unwritten(&folder))?;
        for (name, text) in self.files() {
            let path = folder.join(name);
            let within = path.parent().unwrap_or(&folder);
            fs::create_dir_all(within).and_then(|()| fs::write(&path, text)).map_err(unwritten(&path))?;
        }
        say(&format!("wrote {}: `cargo build --target wasm32-wasip2 --release` builds it", folder.display()))?;
        Ok(End::Good)
    }

    fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = vec![
            ("Cargo.toml", self.filled(MANIFEST)),
            ("README.md", self.filled(README)),
            (".gitignore", IGNORED.to_owned()),
            ("src/lib.rs", self.library()),
        ];
        files.extend(WIT.map(|(name, text)| (name, text.to_owned())));
        files
    }

    fn filled(&self, text: &str) -> String {
        text.replace("{{name}}", &self.name)
            .replace("{{file}}", &self.name.replace('-', "_"))
            .replace("{{world}}", self.world.name())
    }

    fn library(&self) -> String {
        let has = |world| self.world == world || self.world == World::Plugin;
        let named = |world, name: &str| if has(world) { format!("\"{name}\".to_owned()") } else { String::new() };
        let mut library = self.filled(HEAD);
        let hook = match has(World::HookPlugin) {
            true => HOOK,
            false => "",
        };
        let values = has(World::SelectorPlugin) || has(World::SuccessPlugin);
        let json = match (values, has(World::OperatorPlugin)) {
            (true, _) => "use serde_json::{Value, from_str};\n",
            (false, true) => "use serde_json::from_str;\n",
            (false, false) => "",
        };
        let filled = [
            ("{{{imports}}}", if hook.is_empty() { "Manifest".to_owned() } else { "{Hook, Manifest}".to_owned() }),
            ("{{json}}\n", format!("{json}\n")),
            ("{{operators}}", named(World::OperatorPlugin, "has_word")),
            ("{{selectors}}", named(World::SelectorPlugin, "size")),
            ("{{hooks}}", hook.to_owned()),
        ];
        for (place, text) in filled {
            library = library.replace(place, &text);
        }
        library.extend(PARTS.iter().filter(|(world, _)| has(*world)).map(|(_, part)| *part));
        library
    }
}

/// As rustfmt breaks it.
const HOOK: &str = r#"Hook {
                name: "look".to_owned(),
                tools: "*".to_owned(),
                before: true,
                after: true,
            }"#;

impl World {
    fn name(self) -> &'static str {
        match self {
            Self::OperatorPlugin => "operator-plugin",
            Self::SelectorPlugin => "selector-plugin",
            Self::HookPlugin => "hook-plugin",
            Self::SuccessPlugin => "success-plugin",
            Self::PrincipalPlugin => "principal-plugin",
            Self::SinkPlugin => "sink-plugin",
            Self::Plugin => "plugin",
        }
    }
}

/// The name becomes one of a package and, with its package, one of the component model: words with `-` between them.
fn check_name(name: &str) -> Result<(), Trouble> {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if name.len() <= 64 && name.split('-').all(word) {
        return Ok(());
    }
    Err(Trouble::Usage(format!("`{name}` is no name for a plugin: words of a-z and 0-9, with `-` between them")))
}
