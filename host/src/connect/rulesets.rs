//! Rules from a server: one task for each source. It takes the steps that the component asks for, moves the bytes of the
//! stream, and swaps a verified ruleset in for everybody at once: written down first, compiled beside the old rules in
//! every decider, then swapped, and only then reported.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::Server;
use crate::callback::{Callbacks, Observer, Trouble};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::guard::{Recipe, Ruleset, after, load};
use crate::host::Host;
use crate::lanes::{ConnectOptions, Release, RulesetSource, SourceStep, StreamOrder, StreamRequest};
use crate::policy::PolicyCell;
use crate::store::Store;

/// Under this owner the memory of sources is in a store.
const OWNER: &str = "edictum-server";

/// How long a source may need for an answer about its health.
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);

/// Milliseconds until a step is tried again whose instance ended abnormally.
const RETRY_MS: Timestamp = 1_000;

/// Most bytes of the stream that the component takes at a time.
const MAX_PART: usize = 16 * 1024;

/// Parts of the stream that wait to be read.
const STREAM_BACKLOG: usize = 16;

/// What tells sources apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceKey {
    pub server: Server,
    /// Options of the source (JSON).
    pub options: String,
}

/// Where rulesets come from. Its task ends with the last guard that follows it.
pub(crate) struct Source {
    commands: mpsc::UnboundedSender<Command>,
    task: AbortHandle,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells a guard of its first rules.
type Reply = oneshot::Sender<Result<Arc<Group>, Error>>;

enum Command {
    Follow(Box<Follower>, Reply),
    Health(oneshot::Sender<String>),
    /// Fetch again, although nobody watches.
    Refresh(oneshot::Sender<Result<String, Error>>),
}

/// A guard that wants rules.
#[derive(Clone)]
struct Follower {
    recipe: Recipe,
    callbacks: Callbacks,
    /// Gone with the guard.
    told: Weak<Observer<Trouble>>,
}

/// Guards that always have the same policy: what they make of a ruleset is the same.
pub(crate) struct Group {
    key: String,
    recipe: Recipe,
    callbacks: Callbacks,
    pub policy: Arc<PolicyCell>,
}

/// A guard's part in a source.
pub(crate) struct Followed {
    pub source: Arc<Source>,
    /// The rules change without being asked to.
    pub watched: bool,
    /// Kept while the guard lives: the source forgets groups without guards.
    pub group: Arc<Group>,
    /// The same for who is told of errors.
    _told: Option<Arc<Observer<Trouble>>>,
}

/// Rules for a guard, from a source that others may follow already.
///
/// # Errors
/// The start has failed: no assignment, no such ruleset, one that does not load, a credential that is refused, …
pub(crate) async fn follow(
    host: &Host,
    address: &Server,
    key: &SourceKey,
    opening: Opening,
    recipe: Recipe,
    callbacks: Callbacks,
) -> Result<Followed, Error> {
    let told = callbacks.on_error.clone().map(Arc::new);
    let follower = Follower { recipe, callbacks, told: told.as_ref().map_or_else(Weak::new, Arc::downgrade) };
    let watched = opening.watched;
    let sources = &host.inner.connections.sources;
    loop {
        let source = sources.shared(key, || Source::start(host, address, opening.clone()));
        let (reply, followed) = oneshot::channel();
        let command = Command::Follow(Box::new(follower.clone()), reply);
        if source.commands.send(command).is_ok()
            && let Ok(followed) = followed.await
        {
            return Ok(Followed { source, watched, group: followed?, _told: told });
        }
        // Its start had failed before this guard came: it gets a start of its own.
        sources.forget(key, &source);
    }
}

/// How a source begins.
#[derive(Clone)]
pub(crate) struct Opening {
    pub endpoint: ConnectOptions,
    pub options: String,
    pub watched: bool,
    /// Where its memory is kept.
    pub store: Arc<dyn Store>,
    /// Under this name.
    pub memory_name: String,
}

impl Source {
    fn start(host: &Host, address: &Server, opening: Opening) -> Arc<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let task = run(host.clone(), address.clone(), opening, received);
        let task = host.runtime().spawn(task).abort_handle();
        Arc::new(Self { commands, task })
    }

    /// As the component says it (JSON); none: it does not answer.
    pub async fn health(&self, host: &Host) -> Option<String> {
        let (reply, health) = oneshot::channel();
        self.commands.send(Command::Health(reply)).ok()?;
        host.within(HEALTH_PATIENCE, health).await?.ok()
    }

    /// Fetches now, and gives the revision that is enforced then.
    pub async fn refresh(&self) -> Result<String, Error> {
        let (reply, refreshed) = oneshot::channel();
        self.commands.send(Command::Refresh(reply)).map_err(|_| Error::Closed)?;
        refreshed.await.map_err(|_| Error::Closed)?
    }
}

/// The life of a source.
async fn run(host: Host, address: Server, opening: Opening, mut commands: mpsc::UnboundedReceiver<Command>) {
    let memory = recall(&opening).await;
    let lane = RulesetSource::open(host.lanes(), &opening.endpoint, &opening.options, memory).await;
    let lane = match lane {
        Ok(lane) => Arc::new(lane),
        Err(error) => return refuse(&mut commands, &error).await,
    };
    let mut task = Task {
        host,
        address,
        opening,
        lane,
        current: None,
        groups: Vec::new(),
        told: Vec::new(),
        waiting: Vec::new(),
        refreshing: None,
        stream: None,
    };
    loop {
        let now = task.now();
        let next = match task.lane.step(now).await {
            Ok(step) => match task.take(step).await {
                Ok(next) => next,
                Err(failed) => return task.fail(&failed, commands).await,
            },
            Err(error) => {
                task.tell("lane_failed", &error.to_string());
                Some(now + RETRY_MS)
            }
        };
        if !task.wait(next, &mut commands).await {
            return;
        }
    }
}

/// Tells the first who asked why there is no source; who comes later makes a new one.
async fn refuse(commands: &mut mpsc::UnboundedReceiver<Command>, error: &Error) {
    commands.close();
    while let Some(command) = commands.recv().await {
        if let Command::Follow(_, reply) = command {
            let _ = reply.send(Err(error.again()));
        }
    }
}

/// What the source wanted to remember. A store that cannot be read is like an empty one: what follows is verified again.
async fn recall(opening: &Opening) -> Option<String> {
    let (store, name) = (Arc::clone(&opening.store), opening.memory_name.clone());
    let memory = tokio::task::spawn_blocking(move || store.memory(OWNER, &name)).await;
    match memory {
        Ok(Ok(memory)) => memory,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the memory of a ruleset source cannot be read");
            None
        }
        Err(_) => None,
    }
}

struct Task {
    host: Host,
    address: Server,
    opening: Opening,
    lane: Arc<RulesetSource>,
    /// What is enforced.
    current: Option<Release>,
    groups: Vec<Weak<Group>>,
    told: Vec<Weak<Observer<Trouble>>>,
    /// Guards that wait for their first rules.
    waiting: Vec<(Follower, Reply)>,
    refreshing: Option<oneshot::Sender<Result<String, Error>>>,
    stream: Option<Streaming>,
}

impl Task {
    fn now(&self) -> Timestamp {
        self.host.clock().now()
    }

    /// Does what a step says. The error: the start has failed.
    async fn take(&mut self, step: SourceStep) -> Result<Option<Timestamp>, Error> {
        for notice in &step.notices {
            if let Some(trouble) = super::notice(notice) {
                self.report(&trouble);
            }
        }
        if let Some(memory) = step.memory {
            self.keep(memory).await;
        }
        if !step.wake_approvals.is_empty()
            && let Some(approvals) = self.host.inner.connections.approvals.find(&self.address)
        {
            approvals.wake(step.wake_approvals);
        }
        let mut next = step.next;
        if let Some(release) = step.release {
            self.apply(release).await;
            // Reporting it may make something due.
            next = Some(self.now());
        }
        match step.connection {
            StreamOrder::Keep => {}
            StreamOrder::Close => self.stream = None,
            StreamOrder::Open => self.open_stream().await,
        }
        match step.failed {
            None => Ok(next),
            Some(failed) => Err(Error::Refused(failed)),
        }
    }

    /// Everybody who waits is told; the source is over.
    async fn fail(mut self, error: &Error, mut commands: mpsc::UnboundedReceiver<Command>) {
        self.tell(error.code(), &error.message());
        for (_, reply) in self.waiting.drain(..) {
            let _ = reply.send(Err(error.again()));
        }
        if let Some(reply) = self.refreshing.take() {
            let _ = reply.send(Err(error.again()));
        }
        refuse(&mut commands, error).await;
    }

    /// Until the next step is due. False: nobody follows any more.
    async fn wait(&mut self, next: Option<Timestamp>, commands: &mut mpsc::UnboundedReceiver<Command>) -> bool {
        let host = self.host.clone();
        let mut due = std::pin::pin!(host.clock().wait_until(next));
        loop {
            let command = tokio::select! {
                () = &mut due => return true,
                event = streamed(&mut self.stream) => {
                    self.heard(event).await;
                    return true;
                }
                command = commands.recv() => command,
            };
            match command {
                None => return false,
                Some(Command::Follow(follower, reply)) => self.follow(*follower, reply).await,
                Some(Command::Health(reply)) => {
                    let now = self.now();
                    if let Ok(health) = self.lane.health(now).await {
                        let _ = reply.send(health);
                    }
                }
                Some(Command::Refresh(reply)) => {
                    self.refresh(reply).await;
                    return true;
                }
            }
        }
    }

    async fn follow(&mut self, follower: Follower, reply: Reply) {
        self.told.push(follower.told.clone());
        match self.current.clone() {
            None => self.waiting.push((follower, reply)),
            Some(release) => {
                let group = self.group(&release, follower).await;
                let _ = reply.send(group);
            }
        }
    }

    /// The group of this guard, made now if it is the first of its kind.
    async fn group(&mut self, release: &Release, follower: Follower) -> Result<Arc<Group>, Error> {
        let key = follower.recipe.key();
        let known = self.groups.iter().filter_map(Weak::upgrade).find(|group| group.key == key);
        if let Some(group) = known.filter(|_| self.opening.watched) {
            return Ok(group);
        }
        let policy = load(&self.host, vec![ruleset(release)], &follower.recipe, &follower.callbacks).await?;
        let policy = Arc::new(PolicyCell::new(policy));
        let group = Arc::new(Group { key, recipe: follower.recipe, callbacks: follower.callbacks, policy });
        self.groups.push(Arc::downgrade(&group));
        Ok(group)
    }

    /// Swaps a release in for everybody, or for nobody.
    async fn apply(&mut self, release: Release) {
        let applied = self.swap(&release).await;
        let now = self.now();
        let reported = match &applied {
            Ok(()) => self.lane.enforced(&release.revision, now).await,
            Err(error) => self.lane.rejected(&release.revision, error.failure(), now).await,
        };
        if let Err(error) = reported {
            self.tell("lane_failed", &error.to_string());
        }
        if let Some(reply) = self.refreshing.take() {
            let revision = release.revision.clone();
            let _ = reply.send(applied.as_ref().map(|()| revision).map_err(Error::again));
        }
        if applied.is_ok() {
            self.current = Some(release);
        }
        self.host.inner.pool.tidy();
    }

    async fn swap(&mut self, release: &Release) -> Result<(), Error> {
        self.groups.retain(|group| group.strong_count() > 0);
        self.told.retain(|told| told.strong_count() > 0);
        let groups: Vec<_> = self.groups.iter().filter_map(Weak::upgrade).collect();
        let mut policies = Vec::with_capacity(groups.len());
        for group in &groups {
            let recipe = after(&group.recipe, &group.policy.get());
            let policy = load(&self.host, vec![ruleset(release)], &recipe, &group.callbacks).await?;
            self.host.prepare_everywhere(&policy).await;
            policies.push(policy);
        }
        for (group, policy) in groups.iter().zip(policies) {
            group.policy.replace(policy);
        }
        let mut first_error = None;
        let mut begun = !groups.is_empty();
        for (follower, reply) in std::mem::take(&mut self.waiting) {
            let group = self.group(release, follower).await;
            match &group {
                Ok(_) => begun = true,
                Err(error) => first_error = first_error.or_else(|| Some(error.again())),
            }
            let _ = reply.send(group);
        }
        match first_error {
            // One guard whose own workflow does not fit is no reason against the ruleset.
            Some(error) if !begun => Err(error),
            _ => Ok(()),
        }
    }

    /// Durably, before the release is used. Where that fails, a restart may take an older ruleset for new: that is said.
    async fn keep(&self, memory: String) {
        let (store, name) = (Arc::clone(&self.opening.store), self.opening.memory_name.clone());
        let kept = tokio::task::spawn_blocking(move || store.remember(OWNER, &name, Some(&memory))).await;
        let reason = match kept {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a thread of the store panicked".to_owned(),
        };
        self.tell("memory_not_kept", &format!("what is known of the server's rulesets cannot be kept: {reason}"));
    }

    async fn refresh(&mut self, reply: oneshot::Sender<Result<String, Error>>) {
        let memory = recall(&self.opening).await;
        let (endpoint, options) = (&self.opening.endpoint, &self.opening.options);
        match RulesetSource::open(self.host.lanes(), endpoint, options, memory).await {
            Ok(lane) => {
                self.lane = Arc::new(lane);
                self.refreshing = Some(reply);
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    async fn open_stream(&mut self) {
        self.stream = None;
        let now = self.now();
        match self.lane.stream_request(now).await {
            Ok(request) => self.stream = Some(Streaming::start(&self.host, Arc::clone(&self.lane), request)),
            Err(error) => self.tell("lane_failed", &error.to_string()),
        }
    }

    async fn heard(&mut self, event: StreamEvent) {
        let now = self.now();
        let told = match event {
            StreamEvent::Opened(status, headers) => self.lane.stream_opened(status, headers, now).await,
            StreamEvent::Data(bytes) => self.lane.stream_data(bytes, now).await,
            StreamEvent::Closed => {
                self.stream = None;
                self.lane.stream_closed(now).await
            }
        };
        if let Err(error) = told {
            // A new instance knows nothing of this stream.
            self.stream = None;
            self.tell("lane_failed", &error.to_string());
        }
    }

    fn tell(&self, code: &str, message: &str) {
        tracing::error!(code, "{message}");
        self.report(&Trouble { code: code.to_owned(), message: message.to_owned() });
    }

    fn report(&self, trouble: &Trouble) {
        for told in self.told.iter().filter_map(Weak::upgrade) {
            told.tell(trouble);
        }
    }
}

fn ruleset(release: &Release) -> Ruleset {
    // Its signature has been verified in the component, under the keys of the source.
    Ruleset::new(release.ruleset.name.clone(), release.ruleset.text.clone())
}

/// An open stream, or one that is being opened.
struct Streaming {
    events: mpsc::Receiver<StreamEvent>,
    task: AbortHandle,
}

enum StreamEvent {
    Opened(u16, Vec<(String, String)>),
    Data(Vec<u8>),
    Closed,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Streaming {
    fn start(host: &Host, lane: Arc<RulesetSource>, request: StreamRequest) -> Self {
        let (sender, events) = mpsc::channel(STREAM_BACKLOG);
        let task = async move {
            if let Ok(mut stream) = lane.open_stream(&request).await {
                let _ = sender.send(StreamEvent::Opened(stream.status, std::mem::take(&mut stream.headers))).await;
                while let Ok(Some(bytes)) = stream.next().await {
                    for part in bytes.chunks(MAX_PART) {
                        let _ = sender.send(StreamEvent::Data(part.to_vec())).await;
                    }
                }
            }
            let _ = sender.send(StreamEvent::Closed).await;
        };
        Self { events, task: host.runtime().spawn(task).abort_handle() }
    }
}

/// The next event; never, without a stream.
async fn streamed(stream: &mut Option<Streaming>) -> StreamEvent {
    match stream {
        Some(stream) => stream.events.recv().await.unwrap_or(StreamEvent::Closed),
        None => std::future::pending().await,
    }
}
