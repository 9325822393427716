//! Questions to people: asked by agents, answered by operators, given up when their time is over. An approval has one end
//! and keeps it: whoever comes second is told how it ended. It is over at its moment, whenever somebody looks.
//!
//! | method and path | who | what |
//! |---|---|---|
//! | `POST /v1/approvals` | agents | asks; 201 with the record |
//! | `GET /v1/approvals/{id}` | agents | the record, to poll |
//! | `GET /v1/approvals` | operators | records, the latest first (`status`, `env`, `agent_id`, `before`, `limit`) |
//! | `POST /v1/approvals/{id}/decide` | operators | `{"approved", "reason"?, "decided_via"?}`; 409 when it has ended |

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{Response, StatusCode};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::App;
use super::hub::Notice;
use super::moment::{self, Moment};
use super::problem::Problem;
use super::rate::Class;
use super::request::{Caller, Part, Query, answer, json_body, reference};
use super::sessions::{answered, remember};
use super::settings::{Dialect, MAX_BODY, MAX_MESSAGE, MAX_NAME, MAX_PAGE, MAX_REASON, MAX_WAIT, MAX_WAIT_CONSOLE};

/// Wakes the task that gives up approvals, when there is a new one.
pub type Wakeup = Notify;

/// Seconds that one waits who says nothing.
const DEFAULT_WAIT: f64 = 300.0;

/// A system clock that is put right is noticed this late.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

const COLUMNS: &str = "id, environment, agent_id, session_id, tool_name, tool_args, message, timeout_ms, timeout_action, \
                       decision_source, contract_name, status, decided_by, decision_reason, decided_via, decided_ms, \
                       created_ms, expires_ms";

/// How it is with an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody has answered yet.
    Pending,
    /// Somebody said yes.
    Approved,
    /// Somebody said no.
    Rejected,
    /// Nobody answered in time.
    TimedOut,
}

impl Status {
    /// As edictum-api says it, and as it is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
        }
    }

    /// As this dialect says it.
    pub fn word_in(self, dialect: Dialect) -> &'static str {
        match (dialect, self) {
            (Dialect::Console, Self::Rejected) => "denied",
            (Dialect::Console, Self::TimedOut) => "timeout",
            (_, status) => status.word(),
        }
    }

    fn read(word: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Approved, Self::Rejected, Self::TimedOut];
        all.into_iter().find(|status| status.word() == word || status.word_in(Dialect::Console) == word)
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Approval {
    pub id: String,
    pub environment: String,
    pub agent_id: String,
    session_id: Option<String>,
    pub tool_name: String,
    /// A JSON object or null, as it came.
    tool_args: String,
    message: String,
    timeout_ms: i64,
    timeout_action: String,
    decision_source: Option<String>,
    contract_name: Option<String>,
    pub status: Status,
    pub decided_by: Option<String>,
    decision_reason: Option<String>,
    decided_via: Option<String>,
    decided: Option<Moment>,
    created: Moment,
    expires: Moment,
}

impl Approval {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            environment: row.get(1)?,
            agent_id: row.get(2)?,
            session_id: row.get(3)?,
            tool_name: row.get(4)?,
            tool_args: row.get(5)?,
            message: row.get(6)?,
            timeout_ms: row.get(7)?,
            timeout_action: row.get(8)?,
            decision_source: row.get(9)?,
            contract_name: row.get(10)?,
            status: Status::read(&row.get::<_, String>(11)?).unwrap_or(Status::TimedOut),
            decided_by: row.get(12)?,
            decision_reason: row.get(13)?,
            decided_via: row.get(14)?,
            decided: row.get(15)?,
            created: row.get(16)?,
            expires: row.get(17)?,
        })
    }

    /// As it is at this moment: the task that gives up approvals may be late.
    fn at(mut self, now: Moment) -> Self {
        if self.status == Status::Pending && self.expires <= now {
            self.status = Status::TimedOut;
            self.decided = Some(self.expires);
            self.decided_via = Some("system".to_owned());
        }
        self
    }

    /// As it looks on the wire. The arguments are the text that they came in.
    pub fn record(&self, dialect: Dialect) -> Box<RawValue> {
        #[expect(clippy::cast_precision_loss, reason = "a month of milliseconds")]
        let seconds = |ms: i64| if ms % 1_000 == 0 { ms.into() } else { Value::from(ms as f64 / 1_000.0) };
        let old = if self.timeout_action == "allow" { "allow" } else { "deny" };
        let record = Record {
            id: &self.id,
            status: self.status.word_in(dialect),
            agent_id: &self.agent_id,
            session_id: self.session_id.as_deref(),
            tool_name: &self.tool_name,
            tool_args: serde_json::from_str(&self.tool_args).unwrap_or(RawValue::NULL),
            message: &self.message,
            env: &self.environment,
            timeout: (dialect != Dialect::Console).then(|| seconds(self.timeout_ms)),
            timeout_seconds: seconds(self.timeout_ms),
            timeout_action: (dialect != Dialect::Console).then_some(&*self.timeout_action),
            timeout_effect: (dialect != Dialect::Canonical).then_some(old),
            decision_source: self.decision_source.as_deref(),
            contract_name: self.contract_name.as_deref(),
            decided_by: self.decided_by.as_deref(),
            decided_at: self.decided.map(moment::text),
            decision_reason: self.decision_reason.as_deref(),
            decided_via: self.decided_via.as_deref(),
            created_at: moment::text(self.created),
            expires_at: moment::text(self.expires),
        };
        // Texts and numbers: nothing in it can fail to serialize.
        serde_json::value::to_raw_value(&record).unwrap_or_default()
    }

    /// The record, and the arguments as the text that they are: who decides must see them as the tool gets them, and numbers
    /// beyond a browser's would be others.
    fn for_people(&self) -> String {
        let record = self.record(Dialect::Superset);
        let open = record.get().strip_suffix('}').unwrap_or_default();
        format!("{open},\"tool_args_text\":{}}}", Value::from(self.tool_args.as_str()))
    }

    /// What the stream says about it, in the words of the dialect: the name of the event, and its data.
    pub fn news(&self, dialect: Dialect) -> (&'static str, Value) {
        let status = self.status.word_in(dialect);
        match self.status {
            Status::Pending => (
                "approval_created",
                json!({ "approval_id": self.id, "agent_id": self.agent_id, "tool_name": self.tool_name }),
            ),
            Status::TimedOut => (
                "approval_timeout",
                json!({
                    "approval_id": self.id, "agent_id": self.agent_id, "tool_name": self.tool_name, "status": status,
                }),
            ),
            Status::Approved | Status::Rejected => {
                ("approval_decided", json!({ "approval_id": self.id, "status": status, "decided_by": self.decided_by }))
            }
        }
    }
}

#[derive(Serialize)]
struct Record<'a> {
    id: &'a str,
    status: &'static str,
    agent_id: &'a str,
    session_id: Option<&'a str>,
    tool_name: &'a str,
    tool_args: &'a RawValue,
    message: &'a str,
    env: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Value>,
    timeout_seconds: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_effect: Option<&'a str>,
    decision_source: Option<&'a str>,
    contract_name: Option<&'a str>,
    decided_by: Option<&'a str>,
    decided_at: Option<String>,
    decision_reason: Option<&'a str>,
    decided_via: Option<&'a str>,
    created_at: String,
    expires_at: String,
}

#[derive(Deserialize)]
struct Wanted {
    tool_name: String,
    tool_args: Option<Box<RawValue>>,
    message: String,
    timeout: Option<f64>,
    timeout_action: Option<String>,
    timeout_effect: Option<String>,
    session_id: Option<String>,
    decision_source: Option<String>,
    contract_name: Option<String>,
}

/// `POST /v1/approvals`
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let environment = caller.environment(query.get("env"))?;
    let agent_id = caller.agent_or_key();
    app.rates.take(Class::Approvals, &format!("{} {agent_id}", caller.key.prefix))?;
    let reference = reference(request.headers())?;
    let wanted: Wanted = json_body(request, MAX_BODY).await?;
    let approval = wanted.approval(dialect, environment, agent_id)?;
    let scope = format!("approval {} {}", caller.key.prefix, approval.agent_id);
    let (approval, fresh) = app
        .database
        .write(move |connection| {
            if let Some(reference) = &reference
                && let Some(id) = answered(connection, &scope, reference)?
                && let Some(first) = find(connection, &id)?
            {
                return Ok((first, false));
            }
            insert(connection, &approval)?;
            if let Some(reference) = &reference {
                remember(connection, &scope, reference, &approval.id, approval.created)?;
            }
            Ok((approval, true))
        })
        .await?;
    if fresh {
        app.approvals.notify_one();
        app.hub.tell(Notice::Asked(Arc::new(approval.clone())));
    }
    Ok(answer(StatusCode::CREATED, approval.at(moment::now()).record(dialect).get().to_owned()))
}

impl Wanted {
    fn approval(self, dialect: Dialect, environment: String, agent_id: String) -> Result<Approval, Problem> {
        let wrong = |name: &str, message: String| Err(Problem::invalid(json!(["body", name]), message));
        let names = [
            ("tool_name", Some(&self.tool_name)),
            ("session_id", self.session_id.as_ref()),
            ("decision_source", self.decision_source.as_ref()),
            ("contract_name", self.contract_name.as_ref()),
        ];
        for (name, value) in names {
            // A session's id may be as long as its keys.
            let most = if name == "session_id" { super::settings::MAX_KEY } else { MAX_NAME };
            if value.is_some_and(|value| value.is_empty() || value.chars().nth(most).is_some()) {
                return wrong(name, format!("not 1 to {most} characters"));
            }
        }
        if self.message.chars().nth(MAX_MESSAGE).is_some() {
            return wrong("message", format!("longer than {MAX_MESSAGE} characters"));
        }
        let tool_args = self.tool_args.as_ref().map_or("null", |args| args.get());
        if !(tool_args.starts_with('{') || tool_args == "null") {
            return wrong("tool_args", "not an object".to_owned());
        }
        let most = if dialect == Dialect::Console { MAX_WAIT_CONSOLE } else { MAX_WAIT };
        let timeout = self.timeout.unwrap_or(DEFAULT_WAIT);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        if !(timeout > 0.0 && timeout <= most as f64) {
            return wrong("timeout", format!("not more than 0 and at most {most} seconds"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded")]
        let timeout_ms = (timeout * 1_000.0).ceil() as i64;
        let effect = if dialect == Dialect::Canonical { None } else { self.timeout_effect.as_deref() };
        let timeout_action = match (self.timeout_action.as_deref(), effect) {
            (None, None) | (Some("block"), None | Some("deny")) | (None, Some("deny")) => "block",
            (Some("allow"), None | Some("allow")) | (None, Some("allow")) => "allow",
            _ => return wrong("timeout_action", "must be `block` or `allow`".to_owned()),
        };
        let now = moment::now();
        Ok(Approval {
            id: uuid::Uuid::new_v4().to_string(),
            environment,
            agent_id,
            session_id: self.session_id,
            tool_name: self.tool_name,
            tool_args: tool_args.to_owned(),
            message: self.message,
            timeout_ms,
            timeout_action: timeout_action.to_owned(),
            decision_source: self.decision_source,
            contract_name: self.contract_name,
            status: Status::Pending,
            decided_by: None,
            decision_reason: None,
            decided_via: None,
            decided: None,
            created: now,
            expires: now + timeout_ms,
        })
    }
}

fn insert(connection: &Connection, approval: &Approval) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO approval (id, environment, agent_id, session_id, tool_name, tool_args, message, timeout_ms,
             timeout_action, decision_source, contract_name, status, created_ms, expires_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'pending', ?12, ?13)",
    )?;
    let values = (
        &approval.id,
        &approval.environment,
        &approval.agent_id,
        &approval.session_id,
        &approval.tool_name,
        &approval.tool_args,
        &approval.message,
        approval.timeout_ms,
        &approval.timeout_action,
        &approval.decision_source,
        &approval.contract_name,
        approval.created,
        approval.expires,
    );
    statement.execute(values).map(drop)
}

fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Approval>> {
    let sql = format!("SELECT {COLUMNS} FROM approval WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], Approval::read).optional()
}

fn missing() -> Problem {
    Problem::not_found("there is no such approval")
}

/// `GET /v1/approvals/{id}`
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    Part(id): Part,
) -> Result<Response<Body>, Problem> {
    let found = app.database.read(move |connection| find(connection, &id)).await?;
    let may_see = |approval: &Approval| caller.operator().is_ok() || approval.environment == caller.key.name;
    let approval = found.filter(may_see).ok_or_else(missing)?;
    Ok(answer(StatusCode::OK, approval.at(moment::now()).record(dialect).get().to_owned()))
}

/// `GET /v1/approvals`
pub async fn list(State(app): State<Arc<App>>, caller: Caller, query: Query) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let limit = query.limit(100, MAX_PAGE)?;
    let wrong = || Problem::invalid(json!(["query", "status"]), "must be pending, approved, rejected or timed_out");
    let status = query.get("status").map(|word| Status::read(word).ok_or_else(wrong)).transpose()?;
    let (environment, agent) = (query.get("env").map(str::to_owned), query.get("agent_id").map(str::to_owned));
    let wrong = || Problem::invalid(json!(["query", "before"]), "not a time of RFC 3339");
    let before = query.get("before").map(|text| moment::parse(text).ok_or_else(wrong)).transpose()?;
    let now = moment::now();
    let found = app.database.read(move |connection| {
        let sql = format!(
            "SELECT {COLUMNS} FROM approval
             WHERE (?1 IS NULL OR ?1 = CASE WHEN status = 'pending' AND expires_ms <= ?6 THEN 'timed_out' ELSE status END)
                 AND (?2 IS NULL OR environment = ?2) AND (?3 IS NULL OR agent_id = ?3)
                 AND (?4 IS NULL OR created_ms < ?4)
             ORDER BY created_ms DESC, id LIMIT ?5"
        );
        let values = (status.map(Status::word), environment, agent, before, limit, now);
        connection.prepare_cached(&sql)?.query_map(values, Approval::read)?.collect::<rusqlite::Result<Vec<_>>>()
    });
    let records = found.await?.into_iter().map(|approval| approval.at(now).for_people());
    let records: Vec<String> = records.collect();
    Ok(answer(StatusCode::OK, format!("{{\"approvals\":[{}]}}", records.join(","))))
}

#[derive(Deserialize)]
struct Decision {
    approved: Option<bool>,
    #[serde(alias = "status")]
    decision: Option<String>,
    #[serde(alias = "decision_reason")]
    reason: Option<String>,
    decided_via: Option<String>,
}

/// `POST /v1/approvals/{id}/decide`; in the retired console `PUT /api/v1/approvals/{id}`.
pub async fn decide(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    Part(id): Part,
    request: Request,
) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let decision: Decision = json_body(request, MAX_BODY).await?;
    let wrong = |name: &str, message: &str| Problem::invalid(json!(["body", name]), message);
    let word = match decision.decision.as_deref() {
        None => None,
        Some("approve" | "approved") => Some(true),
        Some("reject" | "rejected" | "deny" | "denied") => Some(false),
        Some(_) => return Err(wrong("decision", "must be `approved` or `rejected`")),
    };
    let approved = match (decision.approved, word) {
        (Some(one), Some(other)) if one != other => {
            return Err(wrong("decision", "`approved` and `decision` contradict each other"));
        }
        (None, None) => return Err(wrong("approved", "field required")),
        (one, other) => one.or(other) == Some(true),
    };
    for (name, value, most) in
        [("reason", &decision.reason, MAX_REASON), ("decided_via", &decision.decided_via, MAX_NAME)]
    {
        if value.as_ref().is_some_and(|value| value.chars().nth(most).is_some()) {
            return Err(wrong(name, "too long"));
        }
    }
    let status = if approved { Status::Approved } else { Status::Rejected };
    let by = caller.key.name.clone();
    let via = decision.decided_via.unwrap_or_else(|| "api".to_owned());
    let (decided, there) = app
        .database
        .write(move |connection| {
            let sql = format!(
                "UPDATE approval SET status = ?2, decided_by = ?3, decision_reason = ?4, decided_via = ?5, decided_ms = ?6
                 WHERE id = ?1 AND status = 'pending' AND expires_ms > ?6 RETURNING {COLUMNS}"
            );
            let values = (&id, status.word(), by, decision.reason, via, moment::now());
            let decided = connection.prepare_cached(&sql)?.query_row(values, Approval::read).optional()?;
            Ok((decided, find(connection, &id)?))
        })
        .await?;
    let Some(approval) = decided else {
        let there = there.ok_or_else(missing)?.at(moment::now());
        let by = there.decided_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        return Err(Problem::conflict(format!("it is {}{by} already", there.status.word_in(dialect))));
    };
    let approval = Arc::new(approval);
    app.hub.tell(Notice::Settled(Arc::clone(&approval)));
    Ok(answer(StatusCode::OK, approval.record(dialect).get().to_owned()))
}

/// What was settled in this environment (none: in all) since a moment, the oldest first, for who was away.
pub async fn settled_since(app: &App, environment: Option<String>, since: Moment) -> Result<Vec<Approval>, Problem> {
    let found = app.database.read(move |connection| {
        let sql = format!(
            "SELECT {COLUMNS} FROM approval
             WHERE (?1 IS NULL OR environment = ?1) AND decided_ms >= ?2 AND status <> 'pending'
             ORDER BY decided_ms LIMIT ?3"
        );
        let most = i64::try_from(MAX_SETTLED).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(&sql)?;
        statement.query_map((environment, since, most), Approval::read)?.collect::<rusqlite::Result<Vec<_>>>()
    });
    Ok(found.await?)
}

/// Who was away for longer than it takes to settle so many polls for the others.
const MAX_SETTLED: usize = 10_000;

/// Gives up what nobody answered in time, at its moment.
pub async fn expire(app: Arc<App>) {
    loop {
        let next = app.database.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT min(expires_ms) FROM approval WHERE status = 'pending'")?;
            statement.query_row([], |row| row.get::<_, Option<Moment>>(0))
        });
        let wait = match next.await {
            Ok(Some(next)) => {
                Duration::from_millis(u64::try_from(next - moment::now()).unwrap_or(0)).min(LONGEST_SLEEP)
            }
            Ok(None) => LONGEST_SLEEP,
            Err(error) => {
                tracing::warn!(%error, "approvals that are over could not be looked for");
                Duration::from_secs(1)
            }
        };
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = app.approvals.notified() => continue,
            }
        }
        match give_up(&app).await {
            Ok(given_up) => {
                given_up.into_iter().for_each(|approval| app.hub.tell(Notice::Settled(Arc::new(approval))));
            }
            Err(problem) => {
                tracing::warn!(message = problem.message(), "approvals that are over could not be given up");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn give_up(app: &App) -> Result<Vec<Approval>, Problem> {
    let given_up = app.database.write(|connection| {
        let sql = format!(
            "UPDATE approval SET status = 'timed_out', decided_ms = expires_ms, decided_via = 'system'
             WHERE status = 'pending' AND expires_ms <= ?1 RETURNING {COLUMNS}"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        statement.query_map([moment::now()], Approval::read)?.collect::<rusqlite::Result<Vec<_>>>()
    });
    Ok(given_up.await?)
}
