//! Plugins: operators, selectors, hooks, a success check, a principal resolver and audit sinks as components of other
//! people's (`wit/plugin`). A plugin is never part of the engine. Each instance has a store of its own with a cap of memory,
//! a deadline for each call, and neither files, nor network, nor environment unless they were granted.
//!
//! A plugin that traps, takes too long or takes too much loses that instance and has not answered that one question: the
//! call is judged as with any callback that failed, and the reason names the plugin. Other calls go on beside it.
//!
//! | open next | for |
//! |---|---|
//! | [`settings`] | a plugin and its limits as JSON, as in the driver and on the command line |
//! | [`surface`] | which interfaces a component exports |
//! | [`sandbox`] | what an instance can reach |
//! | [`instance`], [`instances`] | one of them, and all of a plugin |
//! | [`register`] | which questions of the engine go to which plugin |
//! | [`delivery`] | the decision log on its way to a plugin |

mod bindings;
mod delivery;
mod instance;
mod instances;
mod output;
mod register;
mod sandbox;
mod settings;
mod surface;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

pub use self::sandbox::{Folder, Grants};
pub use self::settings::PluginSettings;
pub use self::surface::Interface;

pub(crate) use self::delivery::Delivery;
pub(crate) use self::register::register;

use self::bindings::plugin_info::Manifest;
use self::instance::{Instance, Recipe};
use self::instances::Instances;
use self::surface::Surface;
use crate::component::{self, ComponentSource};
use crate::error::Error;
use crate::guard::HookPlace;
use crate::host::Host;

/// The largest file that is taken for a plugin, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// The most operators, selectors or hooks that one plugin may have.
const MAX_NAMES: usize = 1000;

/// The longest name that a plugin may say, in bytes.
const MAX_NAME: usize = 256;

/// A plugin that was loaded. Cheap to clone; guards that are given the same one share its instances.
#[derive(Clone)]
pub struct Plugin {
    instances: Arc<Instances>,
    interfaces: Arc<[Interface]>,
    host: Host,
}

/// A plugin that is to be loaded.
#[derive(Clone)]
#[must_use = "a builder loads nothing until `load` is called"]
pub struct PluginBuilder {
    host: Host,
    source: Source,
    configuration: String,
    limits: Limits,
    grants: Grants,
}

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Bytes(String, Arc<[u8]>),
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    memory: usize,
    deadline: Duration,
    instances: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        Self { memory: 64 << 20, deadline: Duration::from_secs(1), instances: cores.max(4) }
    }
}

impl Host {
    /// A plugin from a file.
    pub fn plugin(&self, path: impl AsRef<Path>) -> PluginBuilder {
        PluginBuilder::new(self.clone(), Source::File(path.as_ref().to_path_buf()))
    }

    /// A plugin from bytes at hand; `name` is what errors call it until it says its own.
    pub fn plugin_bytes(&self, name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> PluginBuilder {
        PluginBuilder::new(self.clone(), Source::Bytes(name.into(), bytes.into()))
    }
}

impl PluginBuilder {
    fn new(host: Host, source: Source) -> Self {
        let (limits, grants) = (Limits::default(), Grants::default());
        Self { host, source, configuration: "null".to_owned(), limits, grants }
    }

    /// What the plugin is told when it is loaded (JSON); default `null`.
    pub fn configuration(mut self, configuration: impl Into<String>) -> Self {
        self.configuration = configuration.into();
        self
    }

    /// Bytes of memory for each instance; default 64 MiB.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.limits.memory = bytes;
        self
    }

    /// Time for one call; default 1 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = deadline;
        self
    }

    /// How many calls it answers at the same time; default: the number of cores, and at least 4.
    pub fn instances(mut self, instances: usize) -> Self {
        self.limits.instances = instances;
        self
    }

    /// What it may reach; default nothing.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// Compiles it (or finds its code in the cache), looks at what it exports, and asks it who it is.
    ///
    /// # Errors
    /// There is no such file, it is no plugin, it asks for something that plugins do not get, or it does not want this
    /// configuration.
    pub async fn load(self) -> Result<Plugin, Error> {
        let name = self.source.name();
        let runtime = self.host.runtime().clone();
        let here = runtime.clone();
        // Compiling takes a while, and the plugin may compute when it is asked who it is.
        let loaded = runtime.spawn_blocking(move || here.block_on(self.load_here()));
        let loaded = loaded.await.unwrap_or_else(|_| Err("a thread of the host panicked".to_owned()));
        loaded.map_err(|reason| Error::Plugin { plugin: name, reason: instances::shown(&reason) })
    }

    async fn load_here(self) -> Result<Plugin, String> {
        let Self { host, source, configuration, limits, grants } = self;
        let configuration: Box<RawValue> =
            serde_json::from_str(&configuration).map_err(|error| format!("its configuration is not JSON: {error}"))?;
        let engine = host.inner.pool.engine().clone();
        let source = ComponentSource::from_bytes(source.read()?.to_vec());
        let component = component::compile(&engine, "plugin", &source).map_err(|error| no_component(&error))?;
        let interfaces = surface::exported(&engine, &component)?;
        let component = sandbox::linker(&engine).and_then(|linker| linker.instantiate_pre(&component));
        let component =
            component.map_err(|error| format!("it asks for something that plugins do not get: {error:#}"))?;
        let surface = Surface::new(&component, &interfaces)
            .map_err(|error| format!("its functions are not those of the WIT: {error:#}"))?;
        let configuration = String::from(Box::<str>::from(configuration));
        let Limits { memory, deadline, instances } = limits;
        let recipe = Recipe { engine, component, surface, configuration, grants, memory, deadline };
        let made = Instance::make(&recipe).await.map_err(|ended| ended.to_string())?;
        let (first, manifest) = made.map_err(|why| format!("it does not want to be loaded: {why}"))?;
        check(&manifest, &interfaces)?;
        let instances = Arc::new(Instances::new(recipe, instances, first, manifest));
        Ok(Plugin { instances, interfaces: interfaces.into(), host })
    }
}

/// A core module is the mistake that is made most.
fn no_component(error: &wasmtime::Error) -> String {
    format!("it is no component, or a broken one: {error:#} (build it for wasm32-wasip2)")
}

/// What a plugin says about itself must fit to what it exports, and be fit to be shown.
fn check(manifest: &Manifest, interfaces: &[Interface]) -> Result<(), String> {
    let Manifest { name, version, operators, selectors, hooks } = manifest;
    let hooks_named = hooks.iter().flat_map(|hook| [&hook.name, &hook.tools]);
    let all = [name, version].into_iter().chain(operators).chain(selectors).chain(hooks_named);
    if let Some(unfit) = all.into_iter().find(|text| text.len() > MAX_NAME || text.chars().any(char::is_control)) {
        let shown: String = unfit.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(format!("a name that it says is too long, or has control characters: `{shown}`"));
    }
    if name.trim().is_empty() {
        return Err("it has no name".to_owned());
    }
    let parts = [
        (Interface::Operators, operators.len()),
        (Interface::Selectors, selectors.len()),
        (Interface::Hooks, hooks.len()),
    ];
    for (interface, names) in parts {
        if names > 0 && !interfaces.contains(&interface) {
            return Err(format!("it says that it has {0}, and does not export `{0}`", interface.name()));
        }
        if names > MAX_NAMES {
            return Err(format!("it has more than {MAX_NAMES} {}", interface.name()));
        }
    }
    Ok(())
}

impl Source {
    /// What errors call it before it has said its name.
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes(name, _) => name.clone(),
        }
    }

    fn read(&self) -> Result<Arc<[u8]>, String> {
        let path = match self {
            Self::Bytes(_, bytes) => return Ok(Arc::clone(bytes)),
            Self::File(path) => path,
        };
        let unread = |error: std::io::Error| format!("the file cannot be read: {error}");
        let length = std::fs::metadata(path).map_err(unread)?.len();
        if length > MAX_FILE {
            return Err(format!("the file has more than {} MiB", MAX_FILE >> 20));
        }
        Ok(std::fs::read(path).map_err(unread)?.into())
    }
}

impl Plugin {
    /// Its name, as it says itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest().name
    }

    /// Its version, as it says itself.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.manifest().version
    }

    /// The interfaces that it exports, `plugin-info` aside.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The names of its operators.
    #[must_use]
    pub fn operators(&self) -> &[String] {
        &self.manifest().operators
    }

    /// The prefixes of its selectors.
    #[must_use]
    pub fn selectors(&self) -> &[String] {
        &self.manifest().selectors
    }

    /// Its hooks, in their order.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookPlace> {
        let hooks = self.manifest().hooks.iter();
        let place = |hook: &bindings::plugin_info::Hook| HookPlace {
            name: hook.name.clone(),
            tools: hook.tools.clone(),
            before: hook.before,
            after: hook.after,
        };
        hooks.map(place).collect()
    }

    fn has(&self, interface: Interface) -> bool {
        self.interfaces.contains(&interface)
    }

    fn manifest(&self) -> &Manifest {
        self.instances.manifest()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Plugin");
        debug.field("name", &self.name()).field("version", &self.version()).field("interfaces", &self.interfaces);
        debug.finish_non_exhaustive()
    }
}
