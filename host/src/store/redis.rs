//! A store on a Redis server (4.0 or newer, Valkey too), for guards on many machines. Each call of the trait is one script,
//! so it is atomic and takes one round trip. This is its layout (`meta.layout` 1); `edictum:` is the prefix, which the
//! address may change (`redis://host/0?prefix=team:`). Times are milliseconds since 1970, UTC.
//!
//! | key | type | what |
//! |---|---|---|
//! | `edictum:session:ID` | hash | a session: `v:KEY` the value of a key, `n:KEY` its version; `expires`: forgotten then, unless it has an open call; `ttl`: how long it is kept when idle. Redis itself forgets it after that time, too |
//! | `edictum:session-calls:ID` | set | keys of its open calls |
//! | `edictum:sessions` | sorted set | ids by `expires` |
//! | `edictum:call:LENGTH:GUARD:CALL` | hash | an open call: `guard` (of LENGTH bytes), `call_id`, `session`, `call`, `ticket`, `approval` (missing: none), `state` (`asking`, `allowed`), `deadline`, `claim` and `claimed_until` (0: nobody's) |
//! | `edictum:calls:GUARD` | sorted set | ids of its open calls by deadline |
//! | `edictum:due:GUARD` | sorted set | the same by the later of deadline and end of the claim |
//! | `edictum:guards` | set | guards that have open calls |
//! | `edictum:memory:OWNER` | hash | what an owner remembers: name to text |
//! | `edictum:meta` | hash | `layout`; `version`, `claim`: the last numbers given out; `epoch`: random, part of every version |
//!
//! The server must not evict keys (`maxmemory-policy noeviction`), and what it persists is what survives it. It holds calls
//! with their arguments: it is to be reached by guards alone.

#[cfg(test)]
pub(super) mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::redis::{Client, Connection, RedisError, RedisResult, Script, ScriptInvocation, Value, cmd};

use super::{CallState, Claimed, Entry, MAX_SCAN, OpenCall, Operation, Outcome, Store, StoreError, Visit};
use crate::clock::Timestamp;

/// What keys begin with unless the address says otherwise.
pub const PREFIX: &str = "edictum:";

const LAYOUT: &str = "1";

/// For each of: a new connection, its first words, a request, its answer. All of them, with a second connection, are done
/// before a guard gives its store up.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A connection that was idle for longer is tried before it is used: the server may have closed it.
const IDLE: Duration = Duration::from_secs(2);

/// Connections that are kept for later.
const KEPT: usize = 16;

/// Longest time that Redis is told to keep a session: ten years.
const MAX_TTL: Timestamp = 315_360_000_000;

/// Sessions that are looked at together when what has expired is removed.
const SWEEP: usize = 1000;

/// Due calls that are looked at, so that those with the earliest deadlines come first.
const DUE: usize = 1024;

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!($file)));)*
    };
}

scripts! {
    PERFORM = "redis/perform.lua";
    OPEN = "redis/open.lua";
    CLAIM = "redis/claim.lua";
    UPDATE = "redis/update.lua";
    CLOSE = "redis/close.lua";
    LIST = "redis/list.lua";
    EXPIRE = "redis/expire.lua";
}

/// Sessions, open calls and memories on a Redis server.
pub struct RedisStore {
    client: Client,
    prefix: String,
    /// Part of versions, should the server have none yet.
    epoch: String,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// Without the address: it may hold a password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Whether this names a Redis server, and no folder.
#[must_use]
pub fn is_address(text: &str) -> bool {
    ["redis://", "rediss://"].iter().any(|scheme| text.starts_with(scheme))
}

impl RedisStore {
    /// `address`: `redis://[[user]:password@]host[:port][/database][?prefix=…]`, with TLS `rediss://`.
    ///
    /// # Errors
    /// It is no such address, the server cannot be reached, or what is in it was laid out by a newer version. The error never
    /// says user or password.
    pub fn open(address: &str) -> Result<Self, StoreError> {
        let (address, prefix) = split(address);
        if !is_address(&address) {
            return Err(StoreError::new("the address of a Redis server begins with `redis://` or `rediss://`"));
        }
        if address.starts_with("rediss:") {
            // Another one that was installed before is as good.
            let _installed = rustls::crypto::ring::default_provider().install_default();
        }
        let client = Client::open(address.as_ref())
            .map_err(|_| StoreError::new("the address of the Redis server is not valid"))?;
        let epoch = uuid::Uuid::new_v4().simple().to_string();
        let store = Self { client, prefix, epoch, idle: Mutex::default() };
        store.with(|connection| cmd("PING").query::<()>(connection))?;
        Ok(store)
    }

    /// Reads one value of a session as it is now, beside whoever uses the store: the session is not kept alive by it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn peek(&self, session: &str, key: &str) -> Result<Option<String>, StoreError> {
        let (session, field) = (self.key_of("session", session), format!("v:{key}"));
        self.with(|connection| cmd("HGET").arg(session).arg(field).query(connection))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn key_of(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }

    fn call_key(&self, guard: &str, call_id: &str) -> String {
        format!("{}call:{}:{guard}:{call_id}", self.prefix, guard.len())
    }

    /// A connection for one request. After a failure it is given up: an answer that comes late belongs to nobody.
    fn with<T>(&self, request: impl FnOnce(&mut Connection) -> RedisResult<T>) -> Result<T, StoreError> {
        let mut connection = self.connection()?;
        let result = request(&mut connection).map_err(|error| failed(&error))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push((connection, Instant::now()));
        }
        Ok(result)
    }

    fn connection(&self) -> Result<Connection, StoreError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some((mut connection, since)) = kept {
            if since.elapsed() < IDLE || cmd("PING").query::<()>(&mut connection).is_ok() {
                return Ok(connection);
            }
            // The others were idle for longer.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.connect().map_err(|error| failed(&error))?
    }

    fn connect(&self) -> RedisResult<Result<Connection, StoreError>> {
        let mut connection = self.client.get_connection_with_timeout(TIMEOUT)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_write_timeout(Some(TIMEOUT))?;
        let meta = self.key("meta");
        let (_, layout): (bool, String) = ::redis::pipe()
            .cmd("HSETNX")
            .arg(&meta)
            .arg("layout")
            .arg(LAYOUT)
            .cmd("HGET")
            .arg(&meta)
            .arg("layout")
            .query(&mut connection)?;
        if layout == LAYOUT {
            return Ok(Ok(connection));
        }
        let message = format!("the server has layout {layout}, this version reads {LAYOUT}");
        Ok(Err(StoreError::new(message)))
    }

    fn run(&self, script: &ScriptInvocation<'_>) -> Result<Value, StoreError> {
        self.with(|connection| script.invoke(connection))
    }

    fn flag(&self, script: &ScriptInvocation<'_>) -> Result<bool, StoreError> {
        match self.run(script)? {
            Value::Int(flag) => Ok(flag == 1),
            _ => Err(strange()),
        }
    }
}

/// The address as Redis knows it, and the prefix of keys.
fn split(address: &str) -> (Cow<'_, str>, String) {
    let Some((place, query)) = address.split_once('?') else { return (address.into(), PREFIX.to_owned()) };
    let mut prefix = PREFIX.to_owned();
    let mut rest = String::new();
    for parameter in query.split('&') {
        if let Some(named) = parameter.strip_prefix("prefix=") {
            prefix = named.to_owned();
        } else {
            rest.push(if rest.is_empty() { '?' } else { '&' });
            rest.push_str(parameter);
        }
    }
    (format!("{place}{rest}").into(), prefix)
}

/// What kind of trouble it is. What a server says besides may quote a password, a key or a value.
fn failed(error: &RedisError) -> StoreError {
    let what = match error.code() {
        _ if error.is_timeout() => "no answer in time".to_owned(),
        _ if error.is_connection_refusal() => "the connection is refused".to_owned(),
        _ if error.is_connection_dropped() => "the connection is lost".to_owned(),
        Some(code) => format!("it says {code}"),
        None => error.category().to_owned(),
    };
    StoreError::new(format!("the Redis server: {what}"))
}

fn strange() -> StoreError {
    StoreError::new("the Redis server: an answer that is none")
}

fn text(value: Value) -> Result<String, StoreError> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| strange()),
        Value::SimpleString(text) => Ok(text),
        Value::Int(number) => Ok(number.to_string()),
        _ => Err(strange()),
    }
}

fn optional(value: Value) -> Result<Option<String>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        value => text(value).map(Some),
    }
}

fn items(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(strange()),
    }
}

fn pairs(values: impl IntoIterator<Item = Value>) -> Result<Vec<(String, String)>, StoreError> {
    let mut values = values.into_iter();
    let mut pairs = Vec::new();
    while let Some(name) = values.next() {
        pairs.push((text(name)?, text(values.next().ok_or_else(strange)?)?));
    }
    Ok(pairs)
}

fn outcome(value: Value) -> Result<Outcome, StoreError> {
    let mut values = items(value)?.into_iter();
    let mut next = || values.next().ok_or_else(strange);
    match text(next()?)?.as_str() {
        "done" => Ok(Outcome::Done(Entry { value: optional(next()?)?, version: optional(next()?)? })),
        "conflict" => Ok(Outcome::Conflict(Entry { value: optional(next()?)?, version: optional(next()?)? })),
        "failed" => Ok(Outcome::Failed(text(next()?)?)),
        "found" => {
            let mut found = pairs(values)?;
            found.sort();
            let all = found.len() <= MAX_SCAN;
            Ok(if all { Outcome::Found(found) } else { Outcome::Failed("too many keys".to_owned()) })
        }
        _ => Err(strange()),
    }
}

fn open_call(value: Value) -> Result<OpenCall, StoreError> {
    let fields = match value {
        Value::Map(pairs) => pairs.into_iter().flat_map(|(name, value)| [name, value]).collect(),
        value => items(value)?,
    };
    let mut fields: HashMap<String, String> = pairs(fields)?.into_iter().collect();
    let mut field = |name: &str| fields.remove(name).ok_or_else(strange);
    Ok(OpenCall {
        guard: field("guard")?.into(),
        call_id: field("call_id")?.into(),
        session: field("session")?.into(),
        call: field("call")?.into(),
        ticket: field("ticket")?.into(),
        approval: field("approval").ok().map(Into::into),
        state: if field("state")? == "asking" { CallState::Asking } else { CallState::Allowed },
        deadline: field("deadline")?.parse().map_err(|_| strange())?,
    })
}

fn state(state: CallState) -> &'static str {
    match state {
        CallState::Asking => "asking",
        CallState::Allowed => "allowed",
    }
}

fn put_operation(script: &mut ScriptInvocation<'_>, operation: &Operation) {
    match operation {
        Operation::Get(key) => script.arg("get").arg(key),
        Operation::Increment(step) => script.arg("increment").arg(&step.key).arg(step.amount),
        Operation::Put(put) => match &put.expected {
            None => script.arg("put").arg(&put.key).arg(&put.value),
            Some(expected) => script.arg("replace").arg(&put.key).arg(&put.value).arg(expected),
        },
        Operation::Delete(key) => script.arg("delete").arg(key),
        Operation::Scan(prefix) => script.arg("scan").arg(prefix),
    };
}

impl Store for RedisStore {
    fn shared(&self) -> bool {
        true
    }

    fn perform(&self, visit: Visit<'_>, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        let ttl = visit.expires.saturating_sub(visit.now).clamp(1, MAX_TTL);
        // Reading a session should cost no write.
        let noticeable = (ttl / 10).min(60_000);
        let mut script = PERFORM.prepare_invoke();
        script
            .key(self.key_of("session", visit.session))
            .key(self.key_of("session-calls", visit.session))
            .key(self.key("sessions"))
            .key(self.key("meta"));
        script.arg(visit.session).arg(visit.now).arg(visit.expires).arg(ttl).arg(noticeable).arg(&self.epoch);
        operations.iter().for_each(|operation| put_operation(&mut script, operation));
        let outcomes = items(self.run(&script)?)?;
        if outcomes.len() != operations.len() {
            return Err(strange());
        }
        outcomes.into_iter().map(outcome).collect()
    }

    fn open(&self, call: &OpenCall) -> Result<bool, StoreError> {
        let mut script = OPEN.prepare_invoke();
        script
            .key(self.call_key(&call.guard, &call.call_id))
            .key(self.key_of("calls", &call.guard))
            .key(self.key_of("due", &call.guard))
            .key(self.key("guards"))
            .key(self.key_of("session-calls", &call.session))
            .key(self.key_of("session", &call.session));
        script.arg(call.guard.as_ref()).arg(call.call_id.as_ref()).arg(call.session.as_ref());
        script.arg(call.call.as_str()).arg(call.ticket.as_str()).arg(state(call.state)).arg(call.deadline);
        if let Some(approval) = &call.approval {
            script.arg(approval.as_str());
        }
        self.flag(&script)
    }

    fn find(&self, guard: &str, call_id: &str) -> Result<Option<OpenCall>, StoreError> {
        let key = self.call_key(guard, call_id);
        match self.with(|connection| cmd("HGETALL").arg(key).query(connection))? {
            Value::Array(fields) if fields.is_empty() => Ok(None),
            Value::Map(fields) if fields.is_empty() => Ok(None),
            fields => open_call(fields).map(Some),
        }
    }

    fn claim(&self, guard: &str, call_id: &str, now: Timestamp, until: Timestamp) -> Result<Claimed, StoreError> {
        let mut script = CLAIM.prepare_invoke();
        script.key(self.call_key(guard, call_id)).key(self.key_of("due", guard)).key(self.key("meta"));
        script.arg(call_id).arg(now).arg(until);
        match self.run(&script)? {
            Value::Int(0) => Ok(Claimed::Missing),
            Value::Int(_) => Ok(Claimed::Busy),
            claimed => {
                let mut claimed = items(claimed)?.into_iter();
                let (Some(claim), Some(call)) = (claimed.next(), claimed.next()) else { return Err(strange()) };
                Ok(Claimed::Yes(open_call(call)?, text(claim)?.parse().map_err(|_| strange())?))
            }
        }
    }

    fn update(&self, call: &OpenCall, claim: u64) -> Result<bool, StoreError> {
        let mut script = UPDATE.prepare_invoke();
        script
            .key(self.call_key(&call.guard, &call.call_id))
            .key(self.key_of("calls", &call.guard))
            .key(self.key_of("due", &call.guard));
        script.arg(call.call_id.as_ref()).arg(claim);
        script.arg(call.call.as_str()).arg(call.ticket.as_str()).arg(state(call.state)).arg(call.deadline);
        if let Some(approval) = &call.approval {
            script.arg(approval.as_str());
        }
        self.flag(&script)
    }

    fn release(&self, guard: &str, call_id: &str, claim: u64) -> Result<(), StoreError> {
        let mut script = UPDATE.prepare_invoke();
        script.key(self.call_key(guard, call_id)).key(self.key_of("calls", guard)).key(self.key_of("due", guard));
        script.arg(call_id).arg(claim);
        self.flag(&script).map(drop)
    }

    fn close(&self, guard: &str, call_id: &str, claim: u64) -> Result<bool, StoreError> {
        let mut script = CLOSE.prepare_invoke();
        script
            .key(self.call_key(guard, call_id))
            .key(self.key_of("calls", guard))
            .key(self.key_of("due", guard))
            .key(self.key("guards"));
        script.arg(call_id).arg(claim).arg(guard).arg(self.key("session:")).arg(self.key("session-calls:"));
        self.flag(&script)
    }

    fn list(&self, guard: Option<&str>, limit: usize) -> Result<Vec<OpenCall>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut script = LIST.prepare_invoke();
        script.key(self.key("guards"));
        script.arg(limit.min(MAX_SCAN)).arg(self.key("call:")).arg(self.key("calls:"));
        if let Some(guard) = guard {
            script.arg(guard);
        }
        let calls: Result<Vec<_>, _> = items(self.run(&script)?)?.into_iter().map(open_call).collect();
        let mut calls = calls?;
        calls.sort_by(|one, two| (one.deadline, &one.call_id).cmp(&(two.deadline, &two.call_id)));
        calls.truncate(limit);
        Ok(calls)
    }

    fn due(&self, guard: &str, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        let (due, calls) = (self.key_of("due", guard), self.key_of("calls", guard));
        let found: Vec<String> = self.with(|connection| {
            cmd("ZRANGEBYSCORE").arg(due).arg("-inf").arg(now).arg("LIMIT").arg(0).arg(limit.max(DUE)).query(connection)
        })?;
        if found.len() < 2 {
            return Ok(found.into_iter().take(limit).collect());
        }
        // By deadline, and not by when a claim has ended.
        let mut pipe = ::redis::pipe();
        for call_id in &found {
            pipe.cmd("ZSCORE").arg(&calls).arg(call_id);
        }
        let deadlines: Vec<Option<f64>> = self.with(|connection| pipe.query(connection))?;
        let mut due: Vec<_> = deadlines.into_iter().zip(found).filter_map(|(at, id)| Some((at?, id))).collect();
        due.sort_by(|one, two| one.0.total_cmp(&two.0).then_with(|| one.1.cmp(&two.1)));
        due.truncate(limit);
        Ok(due.into_iter().map(|(_, call_id)| call_id).collect())
    }

    fn next_deadline(&self, guard: &str) -> Result<Option<Timestamp>, StoreError> {
        let due = self.key_of("due", guard);
        let first: Vec<(String, f64)> =
            self.with(|connection| cmd("ZRANGE").arg(due).arg(0).arg(0).arg("WITHSCORES").query(connection))?;
        // A time, which is saturated.
        Ok(first.first().map(|(_, at)| *at as Timestamp))
    }

    fn memory(&self, owner: &str, name: &str) -> Result<Option<String>, StoreError> {
        let key = self.key_of("memory", owner);
        self.with(|connection| cmd("HGET").arg(key).arg(name).query(connection))
    }

    fn remember(&self, owner: &str, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let key = self.key_of("memory", owner);
        self.with(|connection| match value {
            Some(value) => cmd("HSET").arg(key).arg(name).arg(value).query(connection),
            None => cmd("HDEL").arg(key).arg(name).query(connection),
        })
    }

    fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        let (mut removed, mut kept) = (0, 0);
        loop {
            let mut script = EXPIRE.prepare_invoke();
            script.key(self.key("sessions"));
            script.arg(now).arg(kept).arg(SWEEP).arg(self.key("session:")).arg(self.key("session-calls:"));
            let (gone, seen): (u64, u64) = self.with(|connection| script.invoke(connection))?;
            removed += gone;
            kept += seen - gone.min(seen);
            if usize::try_from(seen).unwrap_or(usize::MAX) < SWEEP {
                return Ok(removed);
            }
        }
    }
}
