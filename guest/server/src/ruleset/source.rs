//! A source of verified rulesets: fetches, reconciles, keeps the stream, and gives releases. It starts once (named, assigned
//! by the server, or from its memory while the server is away), and from the first enforced ruleset on it never ends: trouble
//! becomes a notice, a later attempt, and `health`.
//!
//! Whoever drives it makes the requests of [`RulesetSource::next_request`], brings the answers, and takes the
//! [`SourceStep`]; the bytes of the stream go to [`RulesetSource::stream_data`] as they come.

use edictum_engine::json::write::Object;
use serde::Deserialize;

use super::acceptance::Conditions;
use super::body::Body;
use super::fetch::{Fetch, POLL_MS};
use super::hint::{Changed, Hint};
use super::memory::{Kept, Memory};
use super::step::{Release, SourceStep, StreamRequest};
use crate::clock::Steady;
use crate::endpoint::{Endpoint, Generation, read_options};
use crate::error::{Code, Error, Result};
use crate::jitter::Jitter;
use crate::notice::Notice;
use crate::outcome::{self, Failed};
use crate::path::{Path, check_name};
use crate::request::{Method, Request};
use crate::response::{Answer, Response};
use crate::retry::{Progress, Safety, Trouble};
use crate::stream::connection::{ANSWER_MS, Connection, IDLE_MS, Status};
use crate::stream::sse::{Item, Parser};

/// Longest wait for the first ruleset that the server assigns.
pub const ASSIGNMENT_MS: u64 = 30_000;

/// So many approvals wait to be told of; more are found by polling.
const MAX_WAKES: usize = 16_384;

/// So many notices of one step.
const MAX_NOTICES: usize = 32;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    bundle_name: Option<String>,
    auto_watch: bool,
    verify_signatures: bool,
    signing_public_keys: Vec<String>,
    offline_start: bool,
    check_name: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bundle_name: None,
            auto_watch: true,
            verify_signatures: false,
            signing_public_keys: Vec::new(),
            offline_start: true,
            check_name: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    /// No ruleset is enforced yet; with a limit in server-assigned mode.
    Starting {
        until: Option<u64>,
    },
    Running,
    Failed,
}

/// See the module.
#[derive(Debug)]
pub struct RulesetSource {
    endpoint: Endpoint,
    clock: Steady,
    jitter: Jitter,
    conditions: Conditions,
    assigned_mode: bool,
    auto_watch: bool,
    offline_start: bool,
    phase: Phase,
    /// What is fetched; none: nothing is assigned yet.
    name: Option<String>,
    /// What the fetch on its way asked for.
    fetching: Option<String>,
    fetch: Fetch,
    connection: Connection,
    parser: Parser,
    memory: Memory,
    memory_changed: bool,
    release: Option<Release>,
    /// The last release that was given and not rejected.
    given: Option<String>,
    /// A release that does not load, and why; it is not given again.
    rejected: Option<(String, Error)>,
    enforced: Option<String>,
    /// An older ruleset than one seen before: the server must say so twice.
    confirming: Option<String>,
    /// When the server last said that what was given is current; time of the caller's clock.
    confirmed_at: Option<u64>,
    from_memory: bool,
    wakes: Vec<String>,
    notices: Vec<Notice>,
    failed: Option<Error>,
    last_error: Option<Error>,
    stream_error: Option<Error>,
}

impl RulesetSource {
    /// Checks options and memory. `options` is a JSON object: `bundle_name` (absent: the server assigns), `auto_watch` (true:
    /// stream and safety poll), `verify_signatures` (false), `signing_public_keys` (64 hex digits each), `offline_start` (true:
    /// with the last ruleset that was taken while the server is away), `check_name` (true: `metadata.name` of the text must be
    /// the ruleset's name). A memory that is of no use is left aside, with a notice.
    ///
    /// # Errors
    /// [`Code::Option`].
    pub fn open(endpoint: &Endpoint, options: &str, memory: Option<&str>) -> Result<Self> {
        let options: Options = read_options(options)?;
        if let Some(name) = &options.bundle_name {
            check_name("`bundle_name`", name)?;
        } else if !options.auto_watch {
            let message = "without `bundle_name` the server assigns the ruleset, and that needs `auto_watch`";
            return Err(Error::new(Code::Option, message));
        }
        let conditions = Conditions::new(options.verify_signatures, &options.signing_public_keys, options.check_name)?;
        let mut notices = Vec::new();
        if endpoint.address().is_insecure() {
            notices
                .push(Notice::warning("insecure", "plain http to another machine: the API key can be read on the way"));
        }
        let memory = match memory.map(|text| Memory::read(endpoint, text)) {
            Some(Ok(memory)) => memory,
            Some(Err(why)) => {
                notices.push(Notice::warning("memory", format!("what was kept is of no use: {why}")));
                Memory::new(endpoint)
            }
            None => Memory::new(endpoint),
        };
        let assigned_mode = options.bundle_name.is_none();
        let name = options.bundle_name.or_else(|| memory.assignment.clone().filter(|name| crate::path::is_name(name)));
        Ok(Self {
            clock: Steady::default(),
            jitter: endpoint.jitter(2),
            conditions,
            assigned_mode,
            auto_watch: options.auto_watch,
            offline_start: options.offline_start,
            phase: Phase::New,
            name,
            fetching: None,
            fetch: Fetch::default(),
            connection: Connection::new(endpoint.jitter(3)),
            parser: Parser::default(),
            memory,
            memory_changed: false,
            release: None,
            given: None,
            rejected: None,
            enforced: None,
            confirming: None,
            confirmed_at: None,
            from_memory: false,
            wakes: Vec::new(),
            notices,
            failed: None,
            last_error: None,
            stream_error: None,
            endpoint: endpoint.clone(),
        })
    }

    fn tick(&mut self, now: u64) -> u64 {
        let now = self.clock.tick(now);
        if self.phase == Phase::New {
            self.phase = Phase::Starting { until: self.assigned_mode.then(|| now.saturating_add(ASSIGNMENT_MS)) };
            if self.assigned_mode {
                self.connection.want(now);
            }
            if self.name.is_some() {
                self.fetch.want(now);
            }
        }
        if let Phase::Starting { until: Some(until) } = self.phase
            && now >= until
        {
            let why = self.last_error.as_ref().or(self.stream_error.as_ref());
            let why = why.map_or_else(String::new, |error| format!("; the last trouble was {error}"));
            let message = format!("the server assigned no ruleset to this agent within 30 s{why}");
            self.fail(Error::new(Code::NoAssignment, message));
        }
        now
    }

    /// The request that is due; none: nothing is, or one is on its way.
    pub fn next_request(&mut self, now: u64) -> Option<Request> {
        let now = self.tick(now);
        let name = self.name.clone().filter(|_| self.phase != Phase::Failed)?;
        let path = self.path(&name)?;
        if !self.fetch.begin(now) {
            return None;
        }
        let mut request = self.endpoint.request(Method::Get, &path, None);
        request.headers.push(("cache-control", "no-cache".to_owned()));
        self.fetching = Some(name);
        Some(request)
    }

    fn path(&self, name: &str) -> Option<Path> {
        let collection = match self.endpoint.generation() {
            Generation::V1 => "rulesets",
            Generation::Console => "bundles",
        };
        let path = [collection, name, "current"].iter().try_fold(self.endpoint.root(), |path, word| path.segment(word));
        // A name is 128 plain characters at most: this cannot fail.
        path.and_then(|path| path.parameter("env", self.endpoint.env())).ok()
    }

    /// The answer to the last request.
    pub fn answered(&mut self, answer: &Answer, now: u64) {
        let caller = now;
        let now = self.tick(now);
        let Some(name) = self.fetching.take().filter(|_| self.fetch.in_flight()) else { return };
        if self.name.as_ref() != Some(&name) {
            // Meanwhile another ruleset was assigned.
            self.fetch.succeeded(now, Some(now));
            return;
        }
        let reply = outcome::read(&self.endpoint, answer, Safety::Repeatable, now);
        match reply {
            Err(failed) => self.fetch_failed(&name, failed, now),
            Ok(reply) => match Body::read(&reply).and_then(|body| Ok((self.conditions.accept(&name, &body)?, body))) {
                Err(error) => self.not_accepted(error, now),
                Ok((key_id, body)) => self.fetched(&name, body, key_id, caller, now),
            },
        }
    }

    fn fetched(&mut self, name: &str, body: Body, key_id: Option<String>, caller: u64, now: u64) {
        let next = self.next_poll(now);
        if self.given.as_ref() == Some(&body.revision) {
            self.memory_changed |= self.memory.saw(name, body.version);
            self.confirmed(caller);
            self.fetch.succeeded(now, next);
            return;
        }
        if let Some((_, error)) = self.rejected.as_ref().filter(|(revision, _)| *revision == body.revision) {
            self.last_error = Some(error.clone());
            self.fetch.succeeded(now, next);
            return;
        }
        let older = body.version.zip(self.memory.highest(name)).filter(|(version, highest)| version < highest);
        if let Some((version, highest)) = older {
            if self.confirming.as_ref() != Some(&body.revision) {
                // One answer may be a stale copy; the server is asked again.
                self.confirming = Some(body.revision);
                self.fetch.succeeded(now, Some(now));
                return;
            }
            let message = format!("`{name}` goes back from version {highest} to {version}: the server says so");
            self.notice(Notice::warning("rollback", message));
        }
        if body.other_hash {
            let message = format!("the server's `revision_hash` is not the SHA-256 of `{name}`");
            self.notice(Notice::warning("revision_hash", message));
        }
        self.fetch.succeeded(now, next);
        self.confirmed(caller);
        self.from_memory = false;
        self.give(Kept::new(name, &body, caller), key_id);
    }

    fn next_poll(&mut self, now: u64) -> Option<u64> {
        self.auto_watch.then(|| now.saturating_add(self.jitter.between(POLL_MS.0, POLL_MS.1)))
    }

    fn confirmed(&mut self, caller: u64) {
        self.confirmed_at = Some(caller);
        self.from_memory = false;
        self.confirming = None;
        self.last_error = None;
    }

    fn give(&mut self, kept: Kept, key_id: Option<String>) {
        let revision = kept.body().revision;
        self.memory.saw(&kept.name, kept.version);
        self.memory.assignment = self.assigned_mode.then(|| kept.name.clone());
        let before = self.memory.release.replace(kept.clone());
        if let Some(before) = before.filter(|before| self.enforced.as_ref() == Some(&before.body().revision)) {
            self.memory.fallback = Some(before);
        }
        if !self.offline_start {
            (self.memory.release, self.memory.fallback) = (None, None);
        }
        self.memory_changed = true;
        self.given = Some(revision.clone());
        self.release = Some(Release { name: kept.name, text: kept.text, revision, version: kept.version, key_id });
    }

    /// An answer that is good, with a ruleset that is not.
    fn not_accepted(&mut self, error: Error, now: u64) {
        let next = self.next_poll(now);
        self.fetch.succeeded(now, next);
        if self.is_starting() && self.given.is_none() {
            self.fail(error);
        } else {
            self.trouble(error);
        }
    }

    fn fetch_failed(&mut self, name: &str, failed: Failed, now: u64) {
        let Failed { mut error, trouble } = failed;
        if error.code == Code::NotFound {
            error.code = Code::RulesetNotFound;
            error.message = format!("the server has no ruleset `{name}` for the environment `{}`", self.endpoint.env());
        }
        let (failures, started) = self.fetch.failures();
        if self.is_starting() && self.given.is_none() {
            if error.code == Code::Auth || (trouble == Trouble::Final && !self.assigned_mode) {
                return self.fail(error);
            }
            if trouble != Trouble::Final && self.start_from_memory(name) {
                let message = format!("started with the last ruleset that was taken: {error}");
                self.notice(Notice::warning("offline_start", message));
            } else if !self.assigned_mode {
                let progress = Progress { started, attempt: failures };
                let random = self.jitter.next();
                match self.endpoint.budget().next(progress, trouble, Safety::Repeatable, now, random) {
                    Some(at) => {
                        self.last_error = Some(error);
                        self.fetch.failed(now, Some(at));
                    }
                    None => self.fail(error),
                }
                return;
            }
        }
        // A name that is not there may be there soon: whoever assigned it is about to make it.
        let passes = if error.code == Code::RulesetNotFound { Trouble::Unknown } else { trouble };
        let at = self.fetch.after_failure(passes, now, &mut self.jitter);
        self.fetch.failed(now, Some(at));
        self.trouble(error);
    }

    fn start_from_memory(&mut self, name: &str) -> bool {
        let kept = self.memory.release.clone().filter(|kept| self.offline_start && kept.name == name);
        let Some(kept) = kept else { return false };
        match self.conditions.accept(name, &kept.body()) {
            Ok(key_id) => {
                self.confirmed_at = Some(kept.fetched_at);
                self.from_memory = true;
                let fallback = self.memory.fallback.take();
                self.give(kept, key_id);
                self.memory.fallback = fallback;
                true
            }
            Err(error) => {
                self.notice(Notice::warning("memory", format!("what was kept is not taken any more: {error}")));
                false
            }
        }
    }

    fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. })
    }

    fn fail(&mut self, error: Error) {
        self.fetch.stop();
        self.connection.stop();
        self.release = None;
        self.phase = Phase::Failed;
        self.last_error = Some(error.clone());
        self.failed = Some(error);
    }

    /// Shown in `health`; told once, until it is something else or over.
    fn trouble(&mut self, error: Error) {
        if self.last_error.as_ref() != Some(&error) {
            self.notice(Notice::of(&error));
        }
        self.last_error = Some(error);
    }

    fn notice(&mut self, notice: Notice) {
        if self.notices.len() < MAX_NOTICES && !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// What has come of everything so far. What is taken is not given again.
    pub fn take_step(&mut self, now: u64) -> SourceStep {
        let now = self.tick(now);
        let connection = self.connection.order(now);
        let limit = if let Phase::Starting { until } = self.phase { until } else { None };
        let next = [self.fetch.due().filter(|_| self.name.is_some()), self.connection.next(), limit];
        let next = next.into_iter().flatten().min().filter(|_| self.phase != Phase::Failed);
        let memory = std::mem::take(&mut self.memory_changed).then(|| self.memory.write());
        SourceStep {
            release: self.release.take(),
            connection,
            memory,
            wake_approvals: std::mem::take(&mut self.wakes),
            failed: self.failed.take(),
            notices: std::mem::take(&mut self.notices),
            next: next.map(|at| self.clock.to_caller(at)),
        }
    }

    /// The request that opens the stream; the host owns the socket.
    pub fn stream_request(&mut self, now: u64) -> StreamRequest {
        let now = self.tick(now);
        self.connection.requested(now);
        // An event that was cut off is not gone on with.
        self.parser = Parser::after(self.parser.last_id().map(str::to_owned));
        let mut parameters = vec![("env", self.endpoint.env())];
        // In server-assigned mode the server knows; a name would narrow what it says.
        parameters.extend(self.name.as_deref().filter(|_| !self.assigned_mode).map(|name| ("bundle_name", name)));
        parameters.extend(self.enforced.as_deref().map(|revision| ("policy_version", revision)));
        parameters.extend(self.endpoint.tags().map(|tags| ("tags", tags)));
        let path = self.endpoint.root().segment("stream");
        let path =
            path.and_then(|path| parameters.iter().try_fold(path, |path, (name, value)| path.parameter(name, value)));
        let path = path.unwrap_or_else(|_| self.endpoint.root());
        let mut request = self.endpoint.request(Method::Get, &path, None);
        request.headers.retain(|(name, _)| *name != "accept");
        request.headers.push(("accept", "text/event-stream".to_owned()));
        request.headers.push(("cache-control", "no-store".to_owned()));
        request.headers.extend(self.parser.last_id().map(|id| ("last-event-id", id.to_owned())));
        request.deadline_ms = ANSWER_MS;
        StreamRequest { request, idle_timeout_ms: IDLE_MS.1 }
    }

    /// The head of the stream's answer.
    pub fn stream_opened(&mut self, status: u16, headers: Vec<(String, String)>, now: u64) {
        let now = self.tick(now);
        let before = self.connection.status();
        match self.connection.opened(&self.endpoint, &Response { status, headers, body: Vec::new() }, now) {
            Ok(()) => {
                self.stream_error = None;
                // What happened while nobody listened (T58, T76).
                if before != Status::Live && self.connection.status() == Status::Live {
                    self.fetch.want(now);
                }
            }
            // Whoever waits for an assignment waits for nothing (T60).
            Err(error) if self.is_starting() && error.code == Code::Auth && self.given.is_none() => self.fail(error),
            Err(error) => {
                if self.stream_error.as_ref().is_none_or(|before| before.code != error.code) {
                    self.notice(Notice::of(&error));
                }
                self.stream_error = Some(error);
            }
        }
    }

    /// The stream's bytes as they came, cut anywhere.
    pub fn stream_data(&mut self, bytes: &[u8], now: u64) {
        let now = self.tick(now);
        if self.connection.status() != Status::Live {
            return;
        }
        self.connection.received(now);
        let mut items = Vec::new();
        self.parser.feed(bytes, &mut |item| items.push(item));
        for item in items {
            match item {
                Item::Comment => self.connection.comment(now),
                Item::Retry(wait) => self.connection.wait_at_least(wait),
                Item::Oversize => {
                    self.connection.event();
                    self.notice(Notice::warning(
                        "oversize",
                        "an event of the stream was too large; the ruleset is fetched",
                    ));
                    self.fetch.want(now);
                }
                Item::Event(event) => {
                    self.connection.event();
                    self.hint(&event.name, Hint::read(&self.endpoint, &event), now);
                }
            }
        }
    }

    fn hint(&mut self, event: &str, hint: Hint, now: u64) {
        match hint {
            Hint::None => {}
            Hint::Changed(changed) => self.changed(changed, now),
            Hint::Assigned(name) if !self.assigned_mode => {
                if self.name.as_ref() != Some(&name) {
                    let message = format!("the server assigns `{name}`, but a ruleset is named in the options");
                    self.notice(Notice::warning("assignment", message));
                }
            }
            Hint::Assigned(name) => self.assign(name, now),
            Hint::Unassigned => {
                self.notice(Notice::warning(
                    "assignment",
                    "the server assigns no ruleset any more; the last one stays",
                ));
            }
            Hint::Decided(id) => {
                if self.wakes.len() < MAX_WAKES {
                    self.wakes.push(id);
                }
            }
            Hint::Malformed(why) => {
                let event = self.endpoint.shown(event, 40);
                self.notice(Notice::warning(
                    "event",
                    format!("an event `{event}` of the stream was left aside: {why}"),
                ));
            }
        }
    }

    fn changed(&mut self, changed: Changed, now: u64) {
        match (&self.name, changed.name) {
            (Some(ours), Some(name)) if *ours != name => {
                let message = format!("an event about another ruleset was left aside: `{name}`");
                self.notice(Notice::info("event", message));
            }
            (Some(_), _) => {
                // Nothing new: it is what runs already (T64).
                let known = changed.revision.is_some() && changed.revision == self.given;
                if !known {
                    self.fetch.want(now);
                }
            }
            (None, Some(name)) if changed.assigns => self.assign(name, now),
            (None, _) => {}
        }
    }

    fn assign(&mut self, name: String, now: u64) {
        if self.name.as_ref() == Some(&name) {
            return;
        }
        self.name = Some(name);
        self.rejected = None;
        self.confirming = None;
        self.fetch.restart(now);
    }

    /// The stream has ended, for whatever reason, or could not be opened. Not for one that it was ordered to close.
    pub fn stream_closed(&mut self, now: u64) {
        let now = self.tick(now);
        self.connection.closed(now);
    }

    /// Every deciding instance now runs this revision.
    pub fn enforced(&mut self, revision: &str, now: u64) {
        let now = self.tick(now);
        if self.phase == Phase::Failed {
            return;
        }
        self.enforced = Some(revision.to_owned());
        self.phase = Phase::Running;
        if self.given.as_deref() == Some(revision) && self.memory.fallback.take().is_some() {
            self.memory_changed = true;
        }
        if self.auto_watch {
            self.connection.want(now);
        }
    }

    /// The release does not load; the old one stays. `why` is shown.
    pub fn rejected(&mut self, revision: &str, why: &str, now: u64) {
        self.tick(now);
        if self.given.as_deref() != Some(revision) || self.phase == Phase::Failed {
            return;
        }
        let why = self.endpoint.shown(why, 400);
        let error = Error::new(Code::Rejected, format!("the ruleset does not load: {why}"));
        self.rejected = Some((revision.to_owned(), error.clone()));
        self.release = None;
        self.given = None;
        self.memory.release = self.memory.fallback.take();
        self.memory_changed = true;
        if self.is_starting() {
            // What was kept before it may still do, while the server is away.
            let name = self.name.clone().filter(|_| self.from_memory);
            if !name.is_some_and(|name| self.start_from_memory(&name)) {
                self.fail(error);
            }
        } else {
            self.given.clone_from(&self.enforced);
            self.trouble(error);
        }
    }

    /// JSON: `policy_version` (what is enforced), `bundle_name`, `stream`, `last_error` (absent: all is well), `rules_age_s` (since
    /// the server last said that the rules are current; null: never), `from_memory`.
    #[must_use]
    pub fn health(&self, now: u64) -> String {
        let mut out = String::new();
        Object::write(&mut out, |health| {
            health.optional_string("policy_version", self.enforced.as_deref());
            health.optional_string("bundle_name", self.name.as_deref());
            // A stream that is open is of no use when what it announces cannot be had (T40).
            let stuck = self.connection.status() == Status::Live && self.last_error.is_some();
            let stream = if stuck { Status::Degraded } else { self.connection.status() };
            health.string("stream", stream.as_str());
            if let Some(error) = self.last_error.as_ref().or(self.stream_error.as_ref()) {
                health.string("last_error", &error.to_string());
            }
            match self.confirmed_at {
                Some(at) => health.number("rules_age_s", now.saturating_sub(at) / 1000),
                None => health.raw("rules_age_s", "null"),
            }
            health.bool("from_memory", self.from_memory);
        });
        out
    }
}

#[cfg(test)]
mod tests;
