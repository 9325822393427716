//! What a plugin's instance lives in: a store of its own with a cap of memory, and WASI without anything behind it. There
//! are clocks and randomness; files, addresses and variables only as far as they were granted.

use std::net::SocketAddr;
use std::path::PathBuf;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::output::Output;

/// The most that a plugin may hand over in one call, in bytes: an answer, or what it gives to WASI.
pub(super) const MAX_ANSWER: usize = 8 << 20;

/// The most randomness that it may ask for at once, in bytes.
const MAX_RANDOM: u64 = 1 << 20;

/// The most WASI resources (streams, timers, sockets) that it may hold.
const MAX_RESOURCES: usize = 1024;

/// What an element of a table costs the host, in bytes.
const TABLE_ELEMENT: usize = 16;

/// What a plugin may reach besides its own memory. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Folders.
    pub folders: Vec<Folder>,
    /// Addresses that it may connect to by TCP. Names are not looked up for it.
    pub connect: Vec<SocketAddr>,
}

/// A folder that a plugin may look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub host: PathBuf,
    /// Its path as the plugin sees it.
    pub plugin: String,
    /// Whether the plugin may also write there.
    pub write: bool,
}

/// What belongs to one instance.
pub(super) struct Sandbox {
    wasi: WasiCtx,
    resources: ResourceTable,
    /// Bytes of memory that it may have, and has.
    cap: usize,
    memory: usize,
    /// It asked for more than it may have.
    pub overran: bool,
    pub stdout: Output,
    pub stderr: Output,
}

impl Sandbox {
    /// A store with this cap of memory, in bytes, and these grants.
    pub fn store(engine: &Engine, cap: usize, grants: &Grants) -> wasmtime::Result<Store<Self>> {
        let (stdout, stderr) = (Output::default(), Output::default());
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(stdout.clone()).stderr(stderr.clone()).envs(&grants.environment).max_random_size(MAX_RANDOM);
        for folder in &grants.folders {
            let perms = if folder.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            wasi.preopened_dir(&folder.host, &folder.plugin, perms)?;
        }
        let granted = grants.connect.clone();
        wasi.allow_udp(false).allow_tcp(!granted.is_empty()).socket_addr_check(move |address, usage| {
            let may = match usage {
                SocketAddrUse::TcpConnect => granted.contains(&address),
                // What the system does by itself before it connects.
                SocketAddrUse::TcpBind => !granted.is_empty() && address.ip().is_unspecified() && address.port() == 0,
                _ => false,
            };
            Box::pin(async move { may })
        });
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        let sandbox = Self { wasi: wasi.build(), resources, cap, memory: 0, overran: false, stdout, stderr };
        let mut store = Store::new(engine, sandbox);
        store.limiter(|sandbox| sandbox);
        store.set_hostcall_fuel(MAX_ANSWER);
        Ok(store)
    }

    /// Bytes of memory that it may have.
    pub fn cap(&self) -> usize {
        self.cap
    }

    /// Whether it has so much memory that the next call might fail for it.
    pub fn is_bloated(&self) -> bool {
        self.memory > self.cap / 4 * 3
    }
}

/// Everything that plugins can link to: `wasi:cli` and what belongs to it, but no HTTP.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl Sandbox {
    fn grow(&mut self, by: usize) -> bool {
        let memory = self.memory.saturating_add(by);
        let fits = memory <= self.cap;
        self.overran |= !fits;
        if fits {
            self.memory = memory;
        }
        fits
    }
}

impl ResourceLimiter for Sandbox {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT)))
    }
}
