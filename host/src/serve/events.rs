//! The decision log: events as agents sent them, each kept once, and read by operators.
//!
//! An event is kept under its `event_id`. The public SDK gives none: then the same text is the same event, so that what is
//! sent again after a lost answer is not kept twice. A batch is kept as a whole or, when one of its events is none, not at all.
//!
//! | method and path | who | what |
//! |---|---|---|
//! | `POST /v1/events` | agents | `{"events": […]}` |
//! | `GET /v1/events` | operators | the latest first; with `after` the oldest first. Filters: `env`, `agent_id`, `session_id`, `call_id`, `action`, `tool_name`, `since`, `until` |
//! | `GET /v1/events/stream` | operators | the same, live, as `data:` frames; `Last-Event-ID` or `after` goes on where one was |

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use futures_util::stream;
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::App;
use super::hub::{KEEPALIVE, frame, stream_answer};
use super::moment::{self, Moment};
use super::problem::Problem;
use super::rate::Class;
use super::request::{Caller, Query, answer, body, unreadable};
use super::settings::{Dialect, MAX_BODY, MAX_EVENT, MAX_EVENTS, MAX_EVENTS_BODY, MAX_EVENTS_CONSOLE, MAX_PAGE};

/// Characters of an event's id.
const MAX_ID: usize = 256;

/// Rows that are read at once for a stream.
const STREAM_PAGE: i64 = 200;

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// What is looked at in an event, in all forms that clients send.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow)]
    event_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    agent_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    run_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    /// As the retired console and `edictum gate sync` call it.
    #[serde(borrow)]
    verdict: Option<Cow<'a, str>>,
    #[serde(borrow)]
    decision: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    policy_version: Option<Cow<'a, str>>,
}

struct Entry {
    event_id: String,
    agent_id: String,
    session_id: Option<String>,
    call_id: Option<String>,
    action: String,
    tool_name: Option<String>,
    time: Option<Moment>,
    policy_version: Option<String>,
    body: String,
}

/// `POST /v1/events`
pub async fn ingest(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let environment = caller.environment(query.get("env"))?;
    app.rates.take(Class::Events, &caller.key.prefix)?;
    let (bytes_limit, count_limit) = match dialect {
        Dialect::Console => (MAX_BODY, MAX_EVENTS_CONSOLE),
        Dialect::Superset | Dialect::Canonical => (MAX_EVENTS_BODY, MAX_EVENTS),
    };
    let bytes = body(request, bytes_limit).await?;
    let batch: Batch<'_> = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if batch.events.len() > count_limit || (batch.events.is_empty() && dialect == Dialect::Console) {
        let message = format!("{} events; at most {count_limit} are taken at once", batch.events.len());
        return Err(Problem::invalid(json!(["body", "events"]), message));
    }
    let sender = caller.agent_or_key();
    let rows = batch.events.iter().enumerate().map(|(index, event)| row(event, &sender, index));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let count = rows.len();
    let enforced: BTreeMap<String, String> =
        rows.iter().filter_map(|row| Some((row.agent_id.clone(), row.policy_version.clone()?))).collect();
    let of = environment.clone();
    let (accepted, last) = app
        .database
        .write(move |connection| {
            let now = moment::now();
            let mut accepted = 0;
            for row in &rows {
                accepted += insert(connection, &environment, row, now)?;
            }
            Ok((accepted, last(connection)?))
        })
        .await?;
    app.hub.logged(last);
    app.agents.enforce(&app.hub, &of, &enforced);
    Ok(match dialect {
        Dialect::Canonical => answer(StatusCode::ACCEPTED, Body::empty()),
        Dialect::Superset | Dialect::Console => {
            let status = if dialect == Dialect::Console { StatusCode::OK } else { StatusCode::ACCEPTED };
            answer(status, json!({ "accepted": accepted, "duplicates": count - accepted }).to_string())
        }
    })
}

fn row(event: &RawValue, sender: &str, index: usize) -> Result<Entry, Problem> {
    let wrong = |name: Option<&str>, message: String| {
        let place = match name {
            Some(name) => json!(["body", "events", index, name]),
            None => json!(["body", "events", index]),
        };
        Err(Problem::invalid(place, message))
    };
    let text = event.get();
    if text.len() > MAX_EVENT {
        return wrong(None, format!("larger than {MAX_EVENT} bytes"));
    }
    if !text.starts_with('{') {
        return wrong(None, "not an object".to_owned());
    }
    let peek: Peek<'_> = match serde_json::from_str(text) {
        Ok(peek) => peek,
        Err(error) => return wrong(None, error.to_string()),
    };
    if peek.event_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_ID) {
        return wrong(Some("event_id"), format!("not 1 to {MAX_ID} bytes"));
    }
    let Some(action) = peek.action.or(peek.verdict).or(peek.decision).filter(|action| !action.is_empty()) else {
        return wrong(Some("action"), "field required".to_owned());
    };
    let owned = |text: Option<Cow<'_, str>>| text.filter(|text| !text.is_empty()).map(Cow::into_owned);
    Ok(Entry {
        event_id: owned(peek.event_id).unwrap_or_else(|| format!("sha256:{}", hex::encode(Sha256::digest(text)))),
        agent_id: owned(peek.agent_id).unwrap_or_else(|| sender.to_owned()),
        session_id: owned(peek.session_id).or_else(|| owned(peek.run_id)),
        call_id: owned(peek.call_id),
        action: action.into_owned(),
        tool_name: owned(peek.tool_name),
        time: peek.timestamp.and_then(|text| moment::parse(&text)),
        policy_version: owned(peek.policy_version),
        body: text.to_owned(),
    })
}

fn insert(connection: &Connection, environment: &str, row: &Entry, now: Moment) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO event (environment, event_id, agent_id, session_id, call_id, action, tool_name, time_ms, received_ms,
             body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (environment, event_id) DO NOTHING",
    )?;
    statement.execute((
        environment,
        &row.event_id,
        &row.agent_id,
        &row.session_id,
        &row.call_id,
        &row.action,
        &row.tool_name,
        row.time,
        now,
        &row.body,
    ))
}

/// How far the log goes.
pub fn last(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM event")?.query_row([], |row| row.get(0))
}

/// Which events somebody wants.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Columns, and the values they must have.
    equal: Vec<(&'static str, String)>,
    since: Option<Moment>,
    until: Option<Moment>,
}

impl Filter {
    fn of(query: &Query) -> Result<Self, Problem> {
        let columns = [
            ("env", "environment"),
            ("agent_id", "agent_id"),
            ("session_id", "session_id"),
            ("call_id", "call_id"),
            ("action", "action"),
            ("tool_name", "tool_name"),
            ("event_id", "event_id"),
        ];
        let equal = columns.into_iter().filter_map(|(name, column)| Some((column, query.get(name)?.to_owned())));
        let time = |name: &str| {
            let wrong = || Problem::invalid(json!(["query", name]), "not a time of RFC 3339");
            query.get(name).map(|text| moment::parse(text).ok_or_else(wrong)).transpose()
        };
        Ok(Self { equal: equal.collect(), since: time("since")?, until: time("until")? })
    }

    /// Of one session of one environment.
    pub fn session(environment: &str, session: &str) -> Self {
        let equal = vec![("environment", environment.to_owned()), ("session_id", session.to_owned())];
        Self { equal, ..Self::default() }
    }

    /// `bound`: only before or after this one.
    fn find(&self, connection: &Connection, bound: Bound, limit: i64) -> rusqlite::Result<Vec<Logged>> {
        let mut sql = "SELECT seq, environment, event_id, received_ms, body FROM event WHERE 1".to_owned();
        let mut values: Vec<&dyn ToSql> = Vec::new();
        for (column, value) in &self.equal {
            sql.push_str(&format!(" AND {column} = ?"));
            values.push(value);
        }
        // An event whose own time cannot be read is found by when it came.
        let times =
            [("coalesce(time_ms, received_ms) >= ?", &self.since), ("coalesce(time_ms, received_ms) < ?", &self.until)];
        for (condition, value) in times {
            if let Some(value) = value {
                sql.push_str(&format!(" AND {condition}"));
                values.push(value);
            }
        }
        match &bound {
            Bound::Latest => sql.push_str(" ORDER BY seq DESC"),
            Bound::Before(seq) => {
                sql.push_str(" AND seq < ? ORDER BY seq DESC");
                values.push(seq);
            }
            Bound::After(seq) => {
                sql.push_str(" AND seq > ? ORDER BY seq");
                values.push(seq);
            }
        }
        sql.push_str(" LIMIT ?");
        values.push(&limit);
        let mut statement = connection.prepare_cached(&sql)?;
        statement.query_map(values.as_slice(), Logged::read)?.collect()
    }

    /// The next ones for a stream.
    pub async fn next(&self, app: &App, after: i64) -> Result<Vec<Logged>, Problem> {
        let filter = self.clone();
        let found = app.database.read(move |connection| filter.find(connection, Bound::After(after), STREAM_PAGE));
        Ok(found.await?)
    }
}

#[derive(Clone, Copy)]
enum Bound {
    Latest,
    Before(i64),
    After(i64),
}

/// An event of the log.
#[derive(Debug, Serialize)]
pub struct Logged {
    /// Its place in the log.
    pub seq: i64,
    environment: String,
    event_id: String,
    received_at: String,
    /// As it came.
    pub event: Box<RawValue>,
}

impl Logged {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let body: String = row.get(4)?;
        let damaged =
            |error| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(error));
        Ok(Self {
            seq: row.get(0)?,
            environment: row.get(1)?,
            event_id: row.get(2)?,
            received_at: moment::text(row.get(3)?),
            event: RawValue::from_string(body).map_err(damaged)?,
        })
    }
}

/// `GET /v1/events`
pub async fn list(State(app): State<Arc<App>>, caller: Caller, query: Query) -> Result<Response<Body>, Problem> {
    #[derive(Serialize)]
    struct Page {
        events: Vec<Logged>,
        next: Option<i64>,
    }

    caller.operator()?;
    let limit = query.limit(100, MAX_PAGE)?;
    let bound = match (query.number("before")?, query.number("after")?) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid(json!(["query", "before"]), "`before` and `after` exclude each other"));
        }
        (Some(seq), None) => Bound::Before(seq),
        (None, Some(seq)) => Bound::After(seq),
        (None, None) => Bound::Latest,
    };
    let filter = Filter::of(&query)?;
    let events = app.database.read(move |connection| filter.find(connection, bound, limit)).await?;
    let full = i64::try_from(events.len()).is_ok_and(|count| count == limit);
    let next = events.last().filter(|_| full).map(|event| event.seq);
    let page = serde_json::to_vec(&Page { events, next });
    let page = page.map_err(|_| Problem::unavailable("the events cannot be written"))?;
    Ok(answer(StatusCode::OK, page))
}

/// `GET /v1/events/stream`
pub async fn live(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let filter = Filter::of(&query)?;
    let from_header = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let log = app.hub.log();
    let after = from_header.or(query.number("after")?).unwrap_or_else(|| *log.borrow());
    let feed =
        Feed { filter, after, log, queue: VecDeque::from([KEEPALIVE]), stopping: app.stopping.clone(), caller, app };
    let body = stream::unfold(feed, |mut feed| async {
        let next = feed.next().await?;
        Some((Ok::<_, Infallible>(next), feed))
    });
    Ok(stream_answer(Body::from_stream(body)))
}

/// A live stream of events. The log on the disk is the truth; being told is only a reason to look.
struct Feed {
    app: Arc<App>,
    caller: Caller,
    filter: Filter,
    after: i64,
    log: watch::Receiver<i64>,
    queue: VecDeque<Bytes>,
    stopping: watch::Receiver<bool>,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.queue.pop_front() {
                return Some(bytes);
            }
            if *self.stopping.borrow() || !self.app.keys.knows(&self.caller.key) {
                return None;
            }
            let upto = *self.log.borrow_and_update();
            if upto > self.after {
                let events = self.filter.next(&self.app, self.after).await.ok()?;
                let more = i64::try_from(events.len()).is_ok_and(|count| count == STREAM_PAGE);
                self.after =
                    if more { events.last()?.seq } else { upto.max(events.last().map_or(0, |event| event.seq)) };
                let frames = events.iter().map(|event| frame(None, Some(&event.seq.to_string()), event.event.get()));
                self.queue.extend(frames);
                continue;
            }
            tokio::select! {
                _ = self.stopping.changed() => {}
                changed = self.log.changed() => changed.ok()?,
                () = tokio::time::sleep(self.app.settings.keepalive) => self.queue.push_back(KEEPALIVE),
            }
        }
    }
}
