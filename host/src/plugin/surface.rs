//! Which interfaces a component exports, found by looking at it, and how they are called. A component that exports an
//! interface of `edictum:plugin` that this host does not know, or asks for something that plugins do not get, is none.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Instance, InstancePre};
use wasmtime::{Engine, Store};

use super::bindings::{audit_sink, hooks, operators, plugin_info, principal_resolver, selectors, success_check};
use super::sandbox::Sandbox;

/// The package of the interfaces, without its version.
const PACKAGE: &str = "edictum:plugin/";

/// The version of it that this host knows. Later ones of the same series may have more interfaces, and these stay.
const VERSION: &str = "0.1.";

/// An interface that a plugin may export besides `plugin-info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interface {
    /// `operators`
    Operators,
    /// `selectors`
    Selectors,
    /// `hooks`
    Hooks,
    /// `success-check`
    SuccessCheck,
    /// `principal-resolver`
    PrincipalResolver,
    /// `audit-sink`
    AuditSink,
}

impl Interface {
    /// All of them, in the order of the WIT.
    pub const ALL: [Self; 6] =
        [Self::Operators, Self::Selectors, Self::Hooks, Self::SuccessCheck, Self::PrincipalResolver, Self::AuditSink];

    /// Its name in the WIT.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operators => "operators",
            Self::Selectors => "selectors",
            Self::Hooks => "hooks",
            Self::SuccessCheck => "success-check",
            Self::PrincipalResolver => "principal-resolver",
            Self::AuditSink => "audit-sink",
        }
    }
}

/// What a component exports of `edictum:plugin`, by its type alone: nothing is run for it.
pub(super) fn exported(engine: &Engine, component: &Component) -> Result<Vec<Interface>, String> {
    let mut described = false;
    let mut found = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        let Some(ours) = name.strip_prefix(PACKAGE) else { continue };
        let (interface, version) = ours.split_once('@').unwrap_or((ours, ""));
        let known = Interface::ALL.into_iter().find(|known| known.name() == interface);
        let is_instance = matches!(item.ty, ComponentItem::ComponentInstance(_));
        match known {
            _ if !version.starts_with(VERSION) || !is_instance => {
                return Err(format!("it exports `{name}`, and this host knows {PACKAGE}…@{VERSION}x"));
            }
            Some(known) => found.push(known),
            None if interface == "plugin-info" => described = true,
            None if interface == "types" => {}
            None => return Err(format!("it exports `{name}`, which this host does not know")),
        }
    }
    found.sort_unstable();
    match (described, found.is_empty()) {
        (false, _) => Err(format!("it exports no `{PACKAGE}plugin-info@{VERSION}x`")),
        (true, true) => Err("it exports `plugin-info` and nothing that could be asked".to_owned()),
        (true, false) => Ok(found),
    }
}

/// Where the functions are in a component.
#[derive(Clone)]
pub(super) struct Surface {
    info: plugin_info::GuestIndices,
    operators: Option<operators::GuestIndices>,
    selectors: Option<selectors::GuestIndices>,
    hooks: Option<hooks::GuestIndices>,
    success_check: Option<success_check::GuestIndices>,
    principal_resolver: Option<principal_resolver::GuestIndices>,
    audit_sink: Option<audit_sink::GuestIndices>,
}

/// The functions of one instance.
pub(super) struct Functions {
    pub info: plugin_info::Guest,
    pub operators: Option<operators::Guest>,
    pub selectors: Option<selectors::Guest>,
    pub hooks: Option<hooks::Guest>,
    pub success_check: Option<success_check::Guest>,
    pub principal_resolver: Option<principal_resolver::Guest>,
    pub audit_sink: Option<audit_sink::Guest>,
}

macro_rules! indices {
    ($interface:ident, $exported:expr, $wanted:expr, $component:expr) => {
        match $exported.contains(&$wanted) {
            true => Some($interface::GuestIndices::new($component)?),
            false => None,
        }
    };
}

macro_rules! functions {
    ($indices:expr, $store:expr, $instance:expr) => {
        $indices.as_ref().map(|indices| indices.load(&mut *$store, $instance)).transpose()?
    };
}

impl Surface {
    /// Looks up what was found to be exported.
    pub fn new(component: &InstancePre<Sandbox>, exported: &[Interface]) -> wasmtime::Result<Self> {
        Ok(Self {
            info: plugin_info::GuestIndices::new(component)?,
            operators: indices!(operators, exported, Interface::Operators, component),
            selectors: indices!(selectors, exported, Interface::Selectors, component),
            hooks: indices!(hooks, exported, Interface::Hooks, component),
            success_check: indices!(success_check, exported, Interface::SuccessCheck, component),
            principal_resolver: indices!(principal_resolver, exported, Interface::PrincipalResolver, component),
            audit_sink: indices!(audit_sink, exported, Interface::AuditSink, component),
        })
    }

    /// The functions of an instance. Fails when one has other types than the WIT says.
    pub fn load(&self, store: &mut Store<Sandbox>, instance: &Instance) -> wasmtime::Result<Functions> {
        Ok(Functions {
            info: self.info.load(&mut *store, instance)?,
            operators: functions!(self.operators, store, instance),
            selectors: functions!(self.selectors, store, instance),
            hooks: functions!(self.hooks, store, instance),
            success_check: functions!(self.success_check, store, instance),
            principal_resolver: functions!(self.principal_resolver, store, instance),
            audit_sink: functions!(self.audit_sink, store, instance),
        })
    }
}
