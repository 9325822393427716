//! Which agents are connected: for people to look at, never for a decision.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde_json::{Value, json};

use super::App;
use super::hub::Hub;
use super::moment::{self, Moment};
use super::problem::Problem;
use super::request::{Caller, Query, ok};
use super::settings::MAX_PAGE;

/// An agent with an open stream.
#[derive(Clone, Debug)]
pub struct Connected {
    /// As it calls itself.
    pub agent_id: String,
    /// Of its key.
    pub environment: String,
    /// The ruleset it follows.
    pub bundle_name: Option<String>,
    /// Whether the server chose that ruleset.
    pub assigned: bool,
    /// The revision that it says it enforces; most agents do not say.
    pub policy_version: Option<String>,
    /// What it says about itself.
    pub tags: BTreeMap<String, String>,
    /// Since when.
    pub since: Moment,
}

/// All of them, by the number of their stream.
#[derive(Default)]
pub struct Agents {
    connected: Mutex<(u64, BTreeMap<u64, Connected>)>,
}

/// Takes its agent off the list when it is dropped.
pub struct Presence {
    app: Arc<App>,
    number: u64,
}

impl Agents {
    /// Puts one on the list.
    pub fn enter(app: &Arc<App>, agent: Connected) -> Presence {
        let number = {
            let mut connected = app.agents.connected();
            connected.0 += 1;
            let number = connected.0;
            connected.1.insert(number, agent);
            number
        };
        app.hub.agents_changed();
        Presence { app: Arc::clone(app), number }
    }

    /// What agents say in their events that they enforce: of one that follows a push it is the only word.
    pub fn enforce(&self, hub: &Hub, environment: &str, enforced: &BTreeMap<String, String>) {
        let mut changed = false;
        for agent in self.connected().1.values_mut().filter(|agent| agent.environment == environment) {
            if let Some(revision) = enforced.get(&agent.agent_id)
                && agent.policy_version.as_ref() != Some(revision)
            {
                agent.policy_version = Some(revision.clone());
                changed = true;
            }
        }
        if changed {
            hub.agents_changed();
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.connected().1.len()
    }

    fn connected(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Connected>)> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// It follows another ruleset now.
    pub fn follows(&self, bundle_name: &str) {
        if let Some(agent) = self.app.agents.connected().1.get_mut(&self.number) {
            agent.bundle_name = Some(bundle_name.to_owned());
        }
        self.app.hub.agents_changed();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.app.agents.connected().1.remove(&self.number);
        self.app.hub.agents_changed();
    }
}

/// `GET /v1/agents`: who is connected, the latest first. `behind`: it says it enforces another revision than it should.
pub async fn list(State(app): State<Arc<App>>, caller: Caller, query: Query) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let most = usize::try_from(query.limit(MAX_PAGE, MAX_PAGE)?).unwrap_or(MAX_PAGE);
    let environment = query.get("env");
    let (total, agents): (usize, Vec<Connected>) = {
        let connected = app.agents.connected();
        let wanted = |agent: &&Connected| environment.is_none_or(|wanted| agent.environment == wanted);
        let total = connected.1.values().filter(wanted).count();
        (total, connected.1.values().rev().filter(wanted).take(most).cloned().collect())
    };
    let agents: Vec<Value> = agents.iter().map(|agent| record(&app, agent)).collect();
    Ok(ok(&json!({ "total": total, "agents": agents })))
}

fn record(app: &App, agent: &Connected) -> Value {
    let current = agent.bundle_name.as_deref().and_then(|name| app.rulesets.current(name, &agent.environment));
    let behind = match (&agent.policy_version, &current) {
        (Some(reported), Some(release)) => Some(*reported != release.revision),
        _ => None,
    };
    json!({
        "agent_id": agent.agent_id,
        "environment": agent.environment,
        "bundle_name": agent.bundle_name,
        "assigned": agent.assigned,
        "policy_version": agent.policy_version,
        "behind": behind,
        "tags": agent.tags,
        "connected_at": moment::text(agent.since),
    })
}
