//! `GET /v1/stream`: what agents are told as it happens, and, with an operator's key, what operators are told.
//!
//! Everything is told at least once, and may be told again; the truth is what `GET …/current` and `GET /v1/approvals/{id}`
//! say. Each event has an id with its time: who comes back with `Last-Event-ID` is told what happened since. Who opens a
//! stream without `policy_version`, or with another one than it should have, is told at once which ruleset is current: one
//! that was published between fetch and stream is not missed.
//!
//! | event | who is told | dialects |
//! |---|---|---|
//! | `ruleset_updated` | who follows the ruleset, or names none | superset, canonical |
//! | `contract_update` | who follows the ruleset, also by assignment | superset, console |
//! | `assignment_changed` | agents that name no ruleset | superset, console |
//! | `approval_decided`, `approval_timeout` | agents of the environment | superset, console |
//! | `decision` | agents that ask for one session (`session_id`) | superset, canonical |
//! | all of these, `approval_created`, `agents_changed` | operators | |

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Response};
use futures_util::stream;
use rusqlite::OptionalExtension as _;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::App;
use super::agents::{Agents, Connected, Presence};
use super::approvals::{Approval, settled_since};
use super::events::Filter;
use super::hub::{KEEPALIVE, Notice, frame, stream_answer};
use super::moment::{self, Moment};
use super::problem::Problem;
use super::request::{Caller, Query, is_identifier};
use super::rulesets::release::Release;
use super::settings::{Dialect, Role};

/// Clocks that were put right, and writes that were under way: what happened this much earlier is told again.
const SLACK_MS: Moment = 5_000;

/// Tags that an agent may have.
const MAX_TAGS: usize = 64;

/// `GET /v1/stream`
pub async fn open(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    query: Query,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let since = headers.get("last-event-id").and_then(|id| happened(id.to_str().ok()?));
    let listener = match caller.key.role {
        Role::Operator => Listener::operator(app, caller, since).await?,
        Role::Agent => Listener::agent(app, dialect, caller, &query, since).await?,
    };
    let body = stream::unfold(listener, |mut listener| async {
        let next = listener.next().await?;
        Some((Ok::<_, Infallible>(next), listener))
    });
    Ok(stream_answer(Body::from_stream(body)))
}

/// The time in an id of ours.
fn happened(id: &str) -> Option<Moment> {
    id.split_once('-')?.0.parse().ok()
}

/// One stream.
struct Listener {
    app: Arc<App>,
    caller: Caller,
    dialect: Dialect,
    /// None: everything, for an operator.
    follows: Option<Following>,
    /// Whose decisions are told, and how far.
    decisions: Option<(Filter, i64)>,
    notices: broadcast::Receiver<Notice>,
    log: watch::Receiver<i64>,
    /// For operators.
    crowd: Option<watch::Receiver<u64>>,
    stopping: watch::Receiver<bool>,
    queue: VecDeque<Bytes>,
    /// Numbers its events.
    told: u64,
    /// When something was last told: what happened before is known over there.
    last: Moment,
}

/// What an agent follows.
struct Following {
    agent: String,
    environment: String,
    tags: BTreeMap<String, String>,
    /// As it said.
    named: Option<String>,
    /// Whether the server chooses.
    assigned: bool,
    /// What the server chose, and told.
    chosen: Option<String>,
    /// Revisions that it has been told, by name.
    known: BTreeMap<String, String>,
    presence: Presence,
}

impl Listener {
    fn new(app: Arc<App>, dialect: Dialect, caller: Caller, follows: Option<Following>) -> Self {
        let (notices, log, stopping) = (app.hub.listen(), app.hub.log(), app.stopping.clone());
        let crowd = follows.is_none().then(|| app.hub.agents());
        Self {
            dialect,
            follows,
            decisions: None,
            notices,
            log,
            crowd,
            stopping,
            // A sign of life opens the stream: proxies pass the head on, and clients know that it stands.
            queue: VecDeque::from([KEEPALIVE]),
            told: 0,
            last: moment::now(),
            app,
            caller,
        }
    }

    async fn operator(app: Arc<App>, caller: Caller, since: Option<Moment>) -> Result<Self, Problem> {
        let mut listener = Self::new(app, Dialect::Superset, caller, None);
        listener.decisions = Some((Filter::default(), *listener.log.borrow()));
        if let Some(since) = since {
            listener.catch_up(since).await?;
        }
        Ok(listener)
    }

    async fn agent(
        app: Arc<App>,
        dialect: Dialect,
        caller: Caller,
        query: &Query,
        since: Option<Moment>,
    ) -> Result<Self, Problem> {
        if dialect == Dialect::Console && query.get("env").is_none() {
            return Err(Problem::invalid(json!(["query", "env"]), "field required"));
        }
        let environment = caller.environment(query.get("env"))?;
        let named = query.get("bundle_name").map(ToOwned::to_owned);
        if named.as_deref().is_some_and(|name| !is_identifier(name)) {
            return Err(Problem::invalid(json!(["query", "bundle_name"]), "not the name of a ruleset"));
        }
        let agent = caller.agent.clone().unwrap_or_else(|| "unknown".to_owned());
        let tags = tags(query);
        let chosen = chosen_before(&app, &environment, &agent).await?;
        // Once assigned, the public SDK names its ruleset when it comes back.
        let assigned = named.is_none() || named == chosen;
        let policy_version = query.get("policy_version").map(ToOwned::to_owned);
        let presence = Agents::enter(
            &app,
            Connected {
                agent_id: agent.clone(),
                environment: environment.clone(),
                bundle_name: named.clone(),
                assigned,
                policy_version: policy_version.clone(),
                tags: tags.clone(),
                since: moment::now(),
            },
        );
        let session = query.get("session_id").map(|session| Filter::session(&environment, session));
        let mut known = BTreeMap::new();
        if let (Some(name), Some(revision)) = (&named, policy_version) {
            known.insert(name.clone(), revision);
        }
        let chosen = named.clone().filter(|_| assigned);
        let follows = Following { agent, environment, tags, named, assigned, chosen, known, presence };
        let mut listener = Self::new(app, dialect, caller, Some(follows));
        listener.decisions = session.map(|filter| (filter, *listener.log.borrow()));
        listener.reassign().await?;
        listener.all_rulesets();
        if let Some(since) = since {
            listener.catch_up(since).await?;
        }
        Ok(listener)
    }

    /// The next piece of the body. None: the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.queue.pop_front() {
                return Some(bytes);
            }
            if *self.stopping.borrow() || !self.app.keys.knows(&self.caller.key) {
                return None;
            }
            self.tell_decisions().await.ok()?;
            if !self.queue.is_empty() {
                continue;
            }
            let wants_log = self.decisions.is_some();
            tokio::select! {
                _ = self.stopping.changed() => {}
                notice = self.notices.recv() => match notice {
                    Ok(notice) => self.hear(notice).await.ok()?,
                    Err(RecvError::Lagged(_)) => {
                        let since = self.last - SLACK_MS;
                        self.reassign().await.ok()?;
                        self.all_rulesets();
                        self.catch_up(since).await.ok()?;
                    }
                    Err(RecvError::Closed) => return None,
                },
                changed = self.log.changed(), if wants_log => changed.ok()?,
                () = crowd_changed(&mut self.crowd) => self.tell("agents_changed", &json!({})),
                () = tokio::time::sleep(self.app.settings.keepalive) => self.queue.push_back(KEEPALIVE),
            }
        }
    }

    async fn hear(&mut self, notice: Notice) -> Result<(), Problem> {
        match notice {
            Notice::Ruleset(name) => {
                // What was assigned before it was there can be told now.
                self.reassign().await?;
                self.ruleset(&name);
            }
            Notice::Assignments => self.reassign().await?,
            Notice::Asked(approval) if self.follows.is_none() => self.approval(&approval),
            Notice::Asked(_) => {}
            Notice::Settled(approval) => self.approval(&approval),
        }
        Ok(())
    }

    fn tell(&mut self, name: &str, data: &Value) {
        let id = self.id();
        self.queue.push_back(frame(Some(name), Some(&id), &data.to_string()));
    }

    fn id(&mut self) -> String {
        self.told += 1;
        self.last = moment::now();
        format!("{}-{}", self.last, self.told)
    }

    fn approval(&mut self, approval: &Approval) {
        let concerns = match &self.follows {
            None => true,
            Some(follows) => self.dialect != Dialect::Canonical && follows.environment == approval.environment,
        };
        if concerns {
            let (name, data) = approval.news(self.dialect);
            self.tell(name, &data);
        }
    }

    fn all_rulesets(&mut self) {
        let environment = self.follows.as_ref().map(|follows| follows.environment.clone());
        let releases = environment.map(|environment| self.app.rulesets.of_environment(&environment));
        for release in releases.unwrap_or_default() {
            self.release(&release);
        }
    }

    fn ruleset(&mut self, name: &str) {
        match &self.follows {
            None => {
                let releases = self.app.rulesets.all();
                for release in releases.iter().filter(|release| release.name == name) {
                    self.tell("ruleset_updated", &Value::Object(release.summary()));
                }
            }
            Some(follows) => {
                if let Some(release) = self.app.rulesets.current(name, &follows.environment) {
                    self.release(&release);
                }
            }
        }
    }

    /// Tells an agent about a ruleset, unless it follows another one or knows.
    fn release(&mut self, release: &Arc<Release>) {
        let Some(follows) = &mut self.follows else { return };
        let wanted = follows.chosen.as_ref().or(follows.named.as_ref());
        let followed = wanted == Some(&release.name);
        // Who names none may be one that looks for itself.
        let concerns = followed || follows.named.is_none();
        if !concerns || follows.known.get(&release.name) == Some(&release.revision) {
            return;
        }
        follows.known.insert(release.name.clone(), release.revision.clone());
        let frames = release.frames(self.dialect, followed);
        if !frames.is_empty() {
            // An id before the name of an event counts for it; the frames are the same for all.
            let id = format!("id: {}\n", self.id());
            self.queue.extend([Bytes::from(id), frames]);
        }
    }

    /// Tells an agent what it is assigned, when that is something else than before.
    async fn reassign(&mut self) -> Result<(), Problem> {
        let dialect = self.dialect;
        let Some(follows) = &mut self.follows else { return Ok(()) };
        if !follows.assigned || dialect == Dialect::Canonical {
            return Ok(());
        }
        let (name, source) = {
            let assignments = self.app.rulesets.assignments.read().unwrap_or_else(PoisonError::into_inner);
            let there = |name: &str| self.app.rulesets.current(name, &follows.environment).is_some();
            match assignments.resolve(&follows.agent, &follows.environment, &follows.tags, there) {
                Some(assigned) => (Some(assigned.ruleset.to_owned()), assigned.source),
                None => (None, "none"),
            }
        };
        if name == follows.chosen {
            return Ok(());
        }
        // An agent that names its ruleset keeps it when no rule speaks of it.
        if name.is_none() && follows.named.is_some() {
            return Ok(());
        }
        if let Some(name) = &name {
            // The fetch that follows gets the text: it need not be told as well.
            if let Some(release) = self.app.rulesets.current(name, &follows.environment) {
                follows.known.insert(name.clone(), release.revision.clone());
            }
            follows.presence.follows(name);
        }
        follows.chosen.clone_from(&name);
        let (environment, agent) = (follows.environment.clone(), follows.agent.clone());
        let data = json!({ "type": "assignment_changed", "agent_id": agent, "bundle_name": name, "source": source });
        choose(&self.app, environment, agent, name).await?;
        self.tell("assignment_changed", &data);
        Ok(())
    }

    /// Approvals that were settled since then. (Rulesets are told by what the agent knows.)
    async fn catch_up(&mut self, since: Moment) -> Result<(), Problem> {
        let environment = self.follows.as_ref().map(|follows| follows.environment.clone());
        for approval in settled_since(&self.app, environment, since - SLACK_MS).await? {
            self.approval(&approval);
        }
        Ok(())
    }

    async fn tell_decisions(&mut self) -> Result<(), Problem> {
        let upto = *self.log.borrow_and_update();
        let Some((filter, after)) = &mut self.decisions else { return Ok(()) };
        if upto <= *after || self.dialect == Dialect::Console {
            return Ok(());
        }
        let events = filter.next(&self.app, *after).await?;
        // Nothing of ours among the rest.
        *after = events.last().map_or(upto, |event| event.seq);
        for event in events {
            let id = self.id();
            self.queue.push_back(frame(Some("decision"), Some(&id), event.event.get()));
        }
        Ok(())
    }
}

async fn crowd_changed(crowd: &mut Option<watch::Receiver<u64>>) {
    let Some(crowd) = crowd else { return std::future::pending().await };
    if crowd.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// JSON in the query; what cannot be read is as none.
fn tags(query: &Query) -> BTreeMap<String, String> {
    let read = query.get("tags").and_then(|text| serde_json::from_str::<BTreeMap<String, String>>(text).ok());
    read.filter(|tags| tags.len() <= MAX_TAGS).unwrap_or_default()
}

async fn chosen_before(app: &App, environment: &str, agent: &str) -> Result<Option<String>, Problem> {
    let (environment, agent) = (environment.to_owned(), agent.to_owned());
    let chosen = app.database.read(move |connection| {
        let mut statement =
            connection.prepare_cached("SELECT ruleset FROM assigned WHERE environment = ?1 AND agent_id = ?2")?;
        statement.query_row([environment, agent], |row| row.get(0)).optional()
    });
    Ok(chosen.await?)
}

async fn choose(app: &App, environment: String, agent: String, name: Option<String>) -> Result<(), Problem> {
    let written = app.database.write(move |connection| {
        let Some(name) = name else { return Ok(()) };
        connection
            .prepare_cached(
                "INSERT INTO assigned VALUES (?1, ?2, ?3)
                 ON CONFLICT (environment, agent_id) DO UPDATE SET ruleset = excluded.ruleset",
            )?
            .execute([environment, agent, name])
            .map(drop)
    });
    Ok(written.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_their_time_and_nothing_else_does() {
        assert_eq!(happened("1700000000000-7"), Some(1_700_000_000_000));
        for other in ["", "7", "x-1", "-", "1700000000000"] {
            assert_eq!(happened(other), None, "{other}");
        }
    }
}
