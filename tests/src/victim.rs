//! A driver with one open guard, for tests that attack it: what it must still do afterwards, and how much memory it may
//! have taken.

use serde_json::{Map, Value, json};

use crate::driver::{Answer, Driver};

/// The most memory that any attack may make a driver take, in bytes. A bound against unbounded growth, not a target: hosts
/// in other languages need some hundred megabytes for a call of 16 MiB.
pub const MAX_MEMORY: u64 = 1 << 30;

/// The guard that tests attack.
pub const GUARD: &str = "victim";

/// A ruleset that blocks the tool `Bash` when its command contains `needle`.
pub const RULES: &str = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: victim}\ndefaults: {mode: enforce}\nrules:\n  - {id: needle, type: pre, tool: Bash, when: {args.command: {contains: needle}}, then: {action: block, message: found the needle}}\n";

/// A driver under attack.
#[derive(Debug)]
pub struct Victim {
    driver: Driver,
}

impl Victim {
    /// With a guard of [`RULES`].
    ///
    /// # Panics
    /// When the driver does not start or the guard does not open: then no attack can be judged.
    #[must_use]
    pub fn start() -> Self {
        Self::with(json!({ "rulesets": [{ "name": "victim", "yaml": RULES }] }))
    }

    /// With a guard of these members of `open`.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn with(members: Value) -> Self {
        let victim = Self { driver: or_panic(Driver::start()) };
        let opened = victim.ask("open", members);
        assert!(opened.refusal().is_none(), "the guard does not open: {}", opened.line());
        victim
    }

    /// The driver itself.
    #[must_use]
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// An operation on the guard.
    ///
    /// # Panics
    /// When there is no answer: that is what attacks must not achieve.
    #[must_use]
    pub fn ask(&self, op: &str, members: Value) -> Answer {
        let mut members = if let Value::Object(members) = members { members } else { Map::new() };
        members.entry("guard").or_insert_with(|| GUARD.into());
        or_panic(self.driver.answer(op, Value::Object(members)))
    }

    /// `begin` of a call given as JSON text.
    ///
    /// # Panics
    /// As [`Self::ask`].
    #[must_use]
    pub fn begin(&self, call: &str) -> Answer {
        let guard = Value::from(GUARD).to_string();
        let sent = self.driver.send_raw("begin", &[("guard", &guard), ("session_id", "\"s\""), ("call", call)]);
        or_panic(self.driver.wait(&sent))
    }

    /// It still decides, rightly, and took no more than [`MAX_MEMORY`].
    ///
    /// # Panics
    /// When not.
    pub fn is_unharmed(&self) {
        let blocked = self.ask("evaluate", json!({ "call": { "tool": "Bash", "args": { "command": "a needle" } } }));
        assert_eq!(member(&blocked, "decision"), "block", "{}", blocked.line());
        let allowed = self.ask("evaluate", json!({ "call": { "tool": "Bash", "args": { "command": "hay" } } }));
        assert_eq!(member(&allowed, "decision"), "allow", "{}", allowed.line());
        self.is_bounded();
    }

    /// It took no more than [`MAX_MEMORY`].
    ///
    /// # Panics
    /// When it did.
    pub fn is_bounded(&self) {
        assert!(self.driver.is_alive(), "the driver is gone:\n{}", self.driver.stderr());
        if let Some(peak) = self.driver.peak_memory() {
            assert!(peak <= MAX_MEMORY, "it took {} MiB", peak >> 20);
        }
    }
}

/// A text member of the result; "" when there is none.
#[must_use]
pub fn member(answer: &Answer, name: &str) -> String {
    answer.result().ok().and_then(|result| result[name].as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

/// The code of the refusal; "" when there is none.
#[must_use]
pub fn code(answer: &Answer) -> &str {
    answer.refusal().map_or("", |refusal| refusal.code.as_str())
}

#[expect(clippy::panic, reason = "the tests that use this fail by panicking")]
fn or_panic<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
