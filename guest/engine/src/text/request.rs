//! Reads requests of the text form. What is read here was written by a host; what is passed through was not, and is left
//! to the engine.

use std::borrow::Cow;

use crate::inquiry::{
    Answer, ApprovalOutcome, ApprovalVerdict, CommandResult, Entry, Link, Outcome, ToolOutcome, Verdict,
};
use crate::json::Json;

use super::members::{Members, items, members, string};

/// A request that is not one: the caller's mistake, never a decision.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Stable.
    pub code: &'static str,
    /// Names the member; holds nothing of what was in it.
    pub message: String,
}

/// Not an object with the right members.
const REQUEST: &str = "E_REQUEST";
/// A ticket that no step gave.
const TICKET: &str = "E_TICKET";

type Read<T> = Result<T, Malformed>;

fn malformed<T>(message: impl Into<String>) -> Read<T> {
    Err(Malformed { code: REQUEST, message: message.into() })
}

/// A request whose members are taken one by one.
#[derive(Debug)]
pub struct Request<'t> {
    members: Members<'t>,
}

impl<'t> Request<'t> {
    /// Cuts the text.
    pub fn read(text: &'t str) -> Read<Self> {
        match members(text) {
            Ok(members) => Ok(Self { members }),
            Err(error) => malformed(format!("request: {error}")),
        }
    }

    /// A member's text, when it is there.
    pub fn optional_raw(&mut self, name: &str) -> Option<&'t str> {
        let place = self.members.iter().position(|(there, _)| there == name)?;
        Some(self.members.swap_remove(place).1)
    }

    /// A member's text.
    pub fn raw(&mut self, name: &str) -> Read<&'t str> {
        match self.optional_raw(name) {
            Some(raw) => Ok(raw),
            None => malformed(format!("request: the member `{name}` is missing")),
        }
    }

    fn read_member<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&'t str) -> Option<T>) -> Read<T> {
        match read(self.raw(name)?) {
            Some(value) => Ok(value),
            None => malformed(format!("request: `{name}` must be {expected}")),
        }
    }

    /// The time, in milliseconds since 1970.
    pub fn now(&mut self) -> Read<u64> {
        self.read_member("now", "an integer of milliseconds since 1970", integer)
    }

    /// What became of an `ask`.
    pub fn approval(&mut self) -> Read<ApprovalOutcome> {
        self.read_member("approval", "an approval outcome", approval)
    }

    /// What the tool returned.
    pub fn outcome(&mut self) -> Read<ToolOutcome> {
        self.read_member("outcome", "an object with `output` and, where known, `success`", outcome)
    }

    /// What the host answers.
    pub fn answers(&mut self) -> Read<Vec<Answer>> {
        let answers = items(self.raw("answers")?).ok();
        let Some(answers) = answers else { return malformed("request: `answers` must be a list") };
        answers
            .into_iter()
            .enumerate()
            .map(|(place, raw)| match answer(raw) {
                Some(answer) => Ok(answer),
                None => malformed(format!("request: `answers[{place}]` is not an answer")),
            })
            .collect()
    }

    /// Refuses members that the call does not have: a host that means something by them would be misunderstood.
    pub fn end(self) -> Read<()> {
        match self.members.first() {
            Some((name, _)) => malformed(format!("request: unknown member `{name}`")),
            None => Ok(()),
        }
    }
}

/// Which step a ticket goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// `resume-evaluate`
    Evaluate,
    /// `resume-begin`, also after `settle`
    Begin,
    /// `resume-finish`
    Finish,
    /// `resume-operate`
    Operate,
}

impl Resumed {
    /// Tells it by the ticket's `step`.
    pub fn of(ticket: &str) -> Read<Self> {
        let members = members(ticket).unwrap_or_default();
        let step = members.iter().find(|(name, _)| name == "step").and_then(|(_, raw)| string(raw));
        match step.as_deref() {
            Some("evaluate") => Ok(Self::Evaluate),
            Some("begin" | "settle") => Ok(Self::Begin),
            Some("finish") => Ok(Self::Finish),
            Some("operate") => Ok(Self::Operate),
            _ => Err(Malformed {
                code: TICKET,
                message: "request: `ticket` is not one that waits for answers".to_owned(),
            }),
        }
    }
}

/// The only member of an object.
fn only(raw: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut members = members(raw).ok()?;
    let only = members.pop()?;
    members.is_empty().then_some(only)
}

fn text(raw: &str) -> Option<String> {
    string(raw).map(Cow::into_owned)
}

/// A string; null counts as none.
fn optional_text(raw: &str) -> Option<Option<String>> {
    if raw == "null" { Some(None) } else { text(raw).map(Some) }
}

fn integer<N: std::str::FromStr>(raw: &str) -> Option<N> {
    raw.parse().ok()
}

fn boolean(raw: &str) -> Option<bool> {
    raw.parse().ok()
}

fn list<T>(raw: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    items(raw).ok()?.into_iter().map(read).collect()
}

/// `{"ok": …}` or `{"err": "why"}`.
fn result<T>(raw: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Result<T, String>> {
    match only(raw)? {
        (name, raw) if name == "ok" => read(raw).map(Ok),
        (name, raw) if name == "err" => text(raw).map(Err),
        _ => None,
    }
}

fn json(raw: &str) -> Option<Json> {
    Some(raw.to_owned())
}

fn answer(raw: &str) -> Option<Answer> {
    let (name, raw) = only(raw)?;
    Some(match &*name {
        "session" => Answer::Session(list(raw, session_outcome)?),
        "principal" => Answer::Principal(result(raw, |raw| Some((raw != "null").then(|| raw.to_owned())))?),
        "read_links" => Answer::ReadLinks(list(raw, link)?),
        "selectors" => Answer::Selectors(list(raw, |raw| result(raw, json))?),
        "operators" => Answer::Operators(list(raw, |raw| result(raw, boolean))?),
        "hooks" => Answer::Hooks(list(raw, |raw| result(raw, verdict))?),
        "command" => Answer::Command(result(raw, command_result)?),
        "failed" => Answer::Failed(text(raw)?),
        _ => return None,
    })
}

fn session_outcome(raw: &str) -> Option<Outcome> {
    let (name, raw) = only(raw)?;
    Some(match &*name {
        "done" => Outcome::Done(entry(raw)?),
        "conflict" => Outcome::Conflict(entry(raw)?),
        "found" => Outcome::Found(list(raw, |pair| {
            let [key, value] = <[String; 2]>::try_from(list(pair, text)?).ok()?;
            Some((key, value))
        })?),
        "failed" => Outcome::Failed(text(raw)?),
        _ => return None,
    })
}

fn entry(raw: &str) -> Option<Entry> {
    let mut entry = Entry::default();
    for (name, raw) in members(raw).ok()? {
        match &*name {
            "value" => entry.value = optional_text(raw)?,
            "version" => entry.version = optional_text(raw)?,
            _ => return None,
        }
    }
    Some(entry)
}

fn link(raw: &str) -> Option<Link> {
    match string(raw).as_deref() {
        Some("missing") => Some(Link::Missing),
        Some("plain") => Some(Link::Plain),
        Some("unreadable") => Some(Link::Unreadable),
        Some(_) => None,
        None => match only(raw)? {
            (name, raw) if name == "target" => text(raw).map(Link::Target),
            _ => None,
        },
    }
}

fn verdict(raw: &str) -> Option<Verdict> {
    match string(raw).as_deref() {
        Some("pass") => Some(Verdict::Pass),
        Some("skip") => Some(Verdict::Skip),
        Some(_) => None,
        None => match only(raw)? {
            (name, raw) if name == "refuse" => text(raw).map(Verdict::Refuse),
            _ => None,
        },
    }
}

fn command_result(raw: &str) -> Option<CommandResult> {
    let (mut exit_code, mut output) = (None, None);
    for (name, raw) in members(raw).ok()? {
        match &*name {
            "exit_code" => exit_code = Some(integer(raw)?),
            "output" => output = Some(text(raw)?),
            _ => return None,
        }
    }
    Some(CommandResult { exit_code: exit_code?, output: output? })
}

fn approval(raw: &str) -> Option<ApprovalOutcome> {
    let mut verdict = None;
    let (mut approval_id, mut approver, mut reason, mut decided_at, mut decided_via) = (None, None, None, None, None);
    for (name, raw) in members(raw).ok()? {
        match &*name {
            "verdict" => {
                verdict = Some(match &*string(raw)? {
                    "approved" => ApprovalVerdict::Approved,
                    "rejected" => ApprovalVerdict::Rejected,
                    "timed_out" => ApprovalVerdict::TimedOut,
                    "unreachable" => ApprovalVerdict::Unreachable,
                    _ => return None,
                });
            }
            "approval_id" => approval_id = optional_text(raw)?,
            "approver" => approver = optional_text(raw)?,
            "reason" => reason = optional_text(raw)?,
            "decided_at" => decided_at = optional_text(raw)?,
            "decided_via" => decided_via = optional_text(raw)?,
            _ => return None,
        }
    }
    Some(ApprovalOutcome { verdict: verdict?, approval_id, approver, reason, decided_at, decided_via })
}

fn outcome(raw: &str) -> Option<ToolOutcome> {
    let (mut output, mut success) = (None, None);
    for (name, raw) in members(raw).ok()? {
        match &*name {
            "output" => output = Some(raw.to_owned()),
            "success" if raw == "null" => {}
            "success" => success = Some(boolean(raw)?),
            _ => return None,
        }
    }
    Some(ToolOutcome { output: output?, success })
}
