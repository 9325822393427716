//! What can be chosen when a server starts, and the limits that cannot.

use std::path::PathBuf;
use std::time::Duration;

/// How it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// What all public SDKs understand: both forms of a ruleset, JSON acknowledgements, both vocabularies of the stream;
    /// and the retired paths below `/api/v1` beside those below `/v1`.
    #[default]
    Superset,
    /// Only what edictum-api documents: `yaml`, `ruleset_updated`, empty acknowledgements.
    Canonical,
    /// The retired console: `/api/v1`, `yaml_bytes`, `contract_update`, hex signatures. What only operators use stays below
    /// `/v1`.
    Console,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Rulesets, sessions, approvals and events of one environment.
    Agent,
    /// Everything: decides approvals, reads the decision log, publishes rulesets.
    Operator,
}

/// A key that whoever starts the server brings along. It is kept hashed, in memory only.
#[derive(Clone)]
pub struct GivenKey {
    /// Whose it is.
    pub role: Role,
    /// An agent's environment, or an operator's name.
    pub name: String,
    /// The key itself.
    pub secret: String,
}

impl std::fmt::Debug for GivenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GivenKey").field("role", &self.role).field("name", &self.name).finish_non_exhaustive()
    }
}

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// This many times …
    pub count: u32,
    /// … in this many seconds.
    pub seconds: u32,
}

/// How often which endpoints may be called. None: as often as one likes.
#[derive(Clone, Debug)]
pub struct RateSettings {
    /// Requests with events, by key.
    pub events: Option<Rate>,
    /// New approvals, by agent.
    pub approvals: Option<Rate>,
    /// Session operations, by key.
    pub sessions: Option<Rate>,
    /// Ruleset fetches, by key.
    pub rulesets: Option<Rate>,
}

impl Default for RateSettings {
    /// As the retired console had them, but for approvals, of which it allowed ten in a minute.
    fn default() -> Self {
        Self {
            events: Some(Rate { count: 10_000, seconds: 60 }),
            approvals: Some(Rate { count: 60, seconds: 60 }),
            sessions: None,
            rulesets: None,
        }
    }
}

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address and port, `127.0.0.1:0` for a free one.
    pub listen: String,
    /// The folder of the SQLite file.
    pub data: PathBuf,
    /// A folder whose rulesets are published, and published again when they change.
    pub rulesets: Option<PathBuf>,
    /// Which agents are assigned which ruleset; default `assignments.yaml` in the folder of rulesets.
    pub assignments: Option<PathBuf>,
    /// A file with the Ed25519 key that signs rulesets.
    pub signing_key: Option<PathBuf>,
    /// How it speaks.
    pub dialect: Dialect,
    /// Keys beside those that are stored.
    pub keys: Vec<GivenKey>,
    /// An options document for checking rulesets, as for a guard: names of custom operators, a registry, …
    pub options: String,
    /// How often the folder is looked at.
    pub watch_every: Duration,
    /// How long a silent stream stays silent.
    pub keepalive: Duration,
    /// How long a session's value is kept that nobody writes.
    pub session_ttl: Duration,
    /// How long events are kept; none: for ever.
    pub keep_events: Option<Duration>,
    /// How often what may be done.
    pub rates: RateSettings,
}

impl Settings {
    /// With the defaults, and this data folder.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            data: data.into(),
            rulesets: None,
            assignments: None,
            signing_key: None,
            dialect: Dialect::default(),
            keys: Vec::new(),
            options: "{}".to_owned(),
            watch_every: Duration::from_millis(500),
            keepalive: Duration::from_secs(15),
            session_ttl: Duration::from_secs(7 * 86_400),
            keep_events: None,
            rates: RateSettings::default(),
        }
    }
}

/// Bytes of a ruleset.
pub const MAX_RULESET: usize = 1 << 20;
/// Bytes of a request's body; of the retired console's as well.
pub const MAX_BODY: usize = 1 << 20;
/// Bytes of a body with a ruleset: escaped as JSON it may have grown sixfold.
pub const MAX_RULESET_BODY: usize = 8 << 20;
/// Bytes of a body with a session's value.
pub const MAX_SESSION_BODY: usize = 8 << 20;
/// Bytes of a body with events: the public SDK sends everything it has in one.
pub const MAX_EVENTS_BODY: usize = 32 << 20;
/// Events in a request; the public SDK keeps this many.
pub const MAX_EVENTS: usize = 10_000;
/// As many the retired console took.
pub const MAX_EVENTS_CONSOLE: usize = 1_000;
/// Bytes of an event.
pub const MAX_EVENT: usize = 1 << 20;
/// Bytes of a session's key.
pub const MAX_KEY: usize = 4_096;
/// Characters of a session's value.
pub const MAX_VALUE: usize = 1 << 20;
/// Keys that are read at once.
pub const MAX_BATCH: usize = 100;
/// Characters of an approval's message.
pub const MAX_MESSAGE: usize = 10_000;
/// Characters of a tool's name, and of other names in an approval.
pub const MAX_NAME: usize = 255;
/// Characters of the reason of a decision.
pub const MAX_REASON: usize = 4_096;
/// Seconds that an approval may wait: a month; a day in the retired console.
pub const MAX_WAIT: u64 = 31 * 86_400;
/// See [`MAX_WAIT`].
pub const MAX_WAIT_CONSOLE: u64 = 86_400;
/// Rows of one answer to an operator.
pub const MAX_PAGE: usize = 1_000;
/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 25_000;
/// How long an `Idempotency-Key` is remembered.
pub const REMEMBER_REQUESTS: Duration = Duration::from_secs(86_400);
/// Characters of an `Idempotency-Key`.
pub const MAX_REFERENCE: usize = 255;
/// Time for the head of a request (also of the next one on a connection that is kept: clients close theirs after 90 s at
/// most), for its body, and for what is under way when the server stops.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(120);
/// See [`HEAD_DEADLINE`].
pub const BODY_DEADLINE: Duration = Duration::from_secs(60);
/// See [`HEAD_DEADLINE`].
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);
