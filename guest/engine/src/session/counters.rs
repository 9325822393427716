//! Counters as they come out of a store. What is not a count is an error, never a zero.

use serde::{Deserialize, Serialize};

use crate::inquiry::{Operation, Outcome};

use super::keys;

/// The counters of a session at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The attempt being decided included.
    #[serde(rename = "a")]
    pub attempts: u64,
    /// Finished executions.
    #[serde(rename = "e")]
    pub executions: u64,
    /// Finished executions of the call's tool; only read when that tool has a limit.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<u64>,
    /// Whether the last execution failed.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub failing: bool,
}

/// What to ask a store before a decision, in one batch. `count` adds the attempt; without it the counters are read
/// again after somebody was asked.
#[must_use]
pub fn questions(session: &str, limited_tool: Option<&str>, count: bool) -> Vec<Operation> {
    let attempts = keys::attempts(session);
    let mut operations = vec![
        if count { Operation::Increment { key: attempts, amount: 1 } } else { Operation::Get(attempts) },
        Operation::Get(keys::executions(session)),
        Operation::Get(keys::failures(session)),
    ];
    operations.extend(limited_tool.map(|tool| Operation::Get(keys::tool(session, tool))));
    operations
}

impl Counters {
    /// Reads the outcomes of [`questions`].
    ///
    /// # Errors
    /// The store failed, or a value is not a count.
    pub fn read(outcomes: &[Outcome]) -> Result<Self, String> {
        let mut counts = outcomes.iter().map(count);
        let mut next = || counts.next().unwrap_or_else(|| Err("the store gave too few answers".to_owned()));
        let (attempts, executions, failures) = (next()?, next()?, next()?);
        Ok(Self {
            attempts: attempts.unwrap_or(0),
            executions: executions.unwrap_or(0),
            failing: failures.is_some(),
            tool: if outcomes.len() > 3 { Some(next()?.unwrap_or(0)) } else { None },
        })
    }
}

/// The count that a step left; none where there is no such key.
///
/// # Errors
/// As [`Counters::read`].
pub fn count(outcome: &Outcome) -> Result<Option<u64>, String> {
    match outcome {
        Outcome::Done(entry) => entry.value.as_deref().map(parse).transpose(),
        Outcome::Failed(why) => Err(why.clone()),
        Outcome::Conflict(_) | Outcome::Found(_) => Err("the store gave an answer of another kind".to_owned()),
    }
}

/// `5`, also written `5.0`; nothing else (wire.md §7.4).
fn parse(text: &str) -> Result<u64, String> {
    let digits = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).ok_or_else(|| "a counter is not a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inquiry::Entry;

    fn done(value: Option<&str>) -> Outcome {
        Outcome::Done(Entry { value: value.map(str::to_owned), version: None })
    }

    #[test]
    fn what_is_not_a_count_is_an_error() {
        for good in ["0", "5", "5.0", "18446744073709551615"] {
            assert!(count(&done(Some(good))).is_ok(), "{good}");
        }
        for bad in ["", "-1", "+1", "1e3", "5.", "5.5", "true", "null", " 5", "18446744073709551616", "٣"] {
            assert!(count(&done(Some(bad))).is_err(), "{bad}");
        }
        assert_eq!(count(&done(None)), Ok(None));
        assert!(count(&Outcome::Failed("down".to_owned())).is_err());
    }

    #[test]
    fn too_few_answers_are_an_error() {
        assert!(Counters::read(&[done(Some("1"))]).is_err());
        let counters = Counters::read(&[done(Some("3")), done(None), done(Some("1")), done(Some("2"))]).unwrap();
        assert_eq!(counters, Counters { attempts: 3, executions: 0, failing: true, tool: Some(2) });
    }
}
