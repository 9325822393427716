//! The persisted state as a store gave it, and how it is written back without losing what somebody else wrote: with the
//! version it was read with; on a store without versions it is read once more first, and compared (engine.md §13.1).

use serde::{Deserialize, Serialize};

use super::definition::Workflow;
use super::state::{State, StateError};
use crate::inquiry::{Entry, Operation, Outcome};

/// How often a write may come too late before the call is blocked.
pub const MAX_RACES: u32 = 32;

/// The state of a session, as text, and how far it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// None: the session has no state yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// None: the store has no versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// When it was judged first, in milliseconds since 1970: what is written must not change when it is judged again.
    #[serde(default)]
    pub at: u64,
    /// It has been read again, and was the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    confirmed: bool,
    /// What was judged is in the store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written: bool,
    /// Writes that came too late.
    #[serde(default)]
    races: u32,
}

/// The keys that a state may lie under: ours, which is the reference's, and that of the TypeScript SDK.
fn keys(workflow: &Workflow, session: &str) -> [String; 2] {
    [workflow.state_key(session), format!("s:{session}:workflow_state__{}", workflow.name)]
}

/// What to ask a store for.
#[must_use]
pub fn questions(workflow: &Workflow, session: &str) -> Vec<Operation> {
    keys(workflow, session).into_iter().map(Operation::Get).collect()
}

/// How many outcomes [`questions`] have.
pub const QUESTIONS: usize = 2;

impl Stored {
    /// Reads the outcomes of [`questions`].
    ///
    /// # Errors
    /// The store failed.
    pub fn read(outcomes: &[Outcome]) -> Result<Self, String> {
        let [own, foreign] = outcomes else { return Err("the store gave another number of answers".to_owned()) };
        let (own, foreign) = (entry(own)?, entry(foreign)?);
        let value = own.value.clone().or_else(|| foreign.value.clone());
        Ok(Self { value, version: own.version.clone(), ..Self::default() })
    }

    /// The state.
    ///
    /// # Errors
    /// The text is none; see [`StateError`].
    pub fn state(&self, workflow: &Workflow, session: &str) -> Result<State, StateError> {
        match &self.value {
            Some(text) => State::read(workflow, session, text),
            None => Ok(State::initial(workflow, session)),
        }
    }

    /// Whether the store cannot tell a lost race by itself.
    #[must_use]
    pub const fn unversioned(&self) -> bool {
        self.version.is_none()
    }

    /// What to ask a store for next, so that it keeps `state`.
    #[must_use]
    pub fn write(&self, workflow: &Workflow, session: &str, state: &State) -> Vec<Operation> {
        if self.unversioned() && !self.confirmed {
            return questions(workflow, session);
        }
        let [key, _] = keys(workflow, session);
        vec![Operation::Put { key, value: state.write(), expected: self.version.clone() }]
    }

    /// What the store said to [`Stored::write`]: written, confirmed, or changed by somebody else, so that everything has to be
    /// decided again on what is there now.
    ///
    /// # Errors
    /// The store failed, or somebody else is always faster.
    pub fn wrote(&mut self, outcomes: &[Outcome]) -> Result<(), String> {
        let now_there = match outcomes {
            [Outcome::Done(_)] => {
                self.written = true;
                return Ok(());
            }
            [Outcome::Conflict(entry)] => {
                Self { value: entry.value.clone(), version: entry.version.clone(), ..Self::default() }
            }
            [Outcome::Failed(why)] => return Err(why.clone()),
            read => {
                let again = Self::read(read)?;
                if again.value == self.value && again.version.is_none() {
                    self.confirmed = true;
                    return Ok(());
                }
                again
            }
        };
        let races = self.races + 1;
        if races > MAX_RACES {
            return Err("others change the workflow's state all the time".to_owned());
        }
        *self = Self { races, ..now_there };
        Ok(())
    }
}

fn entry(outcome: &Outcome) -> Result<&Entry, String> {
    match outcome {
        Outcome::Done(entry) => Ok(entry),
        Outcome::Failed(why) => Err(why.clone()),
        Outcome::Conflict(_) | Outcome::Found(_) => Err("the store gave an answer of another kind".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(value: Option<&str>, version: Option<&str>) -> Entry {
        Entry { value: value.map(str::to_owned), version: version.map(str::to_owned) }
    }

    fn workflow() -> Workflow {
        Workflow { name: "w".to_owned(), version: String::new(), stages: Vec::new() }
    }

    fn state() -> State {
        State::initial(&workflow(), "s1")
    }

    #[test]
    fn a_versioned_store_is_written_with_the_version_that_was_read() {
        let nothing = Outcome::Done(there(None, Some("0")));
        let mut stored = Stored::read(&[Outcome::Done(there(Some("{}"), Some("7"))), nothing]).unwrap();
        let asked = stored.write(&workflow(), "s1", &state());
        let [Operation::Put { key, expected, .. }] = asked.as_slice() else { panic!("a put: {asked:?}") };
        assert_eq!((key.as_str(), expected.as_deref()), ("s:s1:workflow:w:state", Some("7")));
        stored.wrote(&[Outcome::Conflict(there(Some("other"), Some("8")))]).unwrap();
        assert!(!stored.written);
        let put = stored.write(&workflow(), "s1", &state());
        assert!(matches!(put.as_slice(), [Operation::Put { expected: Some(version), .. }] if version == "8"));
        stored.wrote(&[Outcome::Done(there(None, Some("9")))]).unwrap();
        assert!(stored.written);
    }

    #[test]
    fn a_store_without_versions_is_read_again_before_it_is_written() {
        let read = |value| [Outcome::Done(there(value, None)), Outcome::Done(there(None, None))];
        let mut stored = Stored::read(&read(Some("a"))).unwrap();
        assert!(matches!(stored.write(&workflow(), "s1", &state()).as_slice(), [Operation::Get(_), Operation::Get(_)]));
        stored.wrote(&read(Some("b"))).unwrap();
        assert_eq!((stored.value.as_deref(), stored.written), (Some("b"), false));
        stored.wrote(&read(Some("b"))).unwrap();
        let put = stored.write(&workflow(), "s1", &state());
        assert!(matches!(put.as_slice(), [Operation::Put { expected: None, .. }]), "{put:?}");
    }

    #[test]
    fn who_always_comes_too_late_gives_up() {
        let lost = [Outcome::Conflict(there(None, Some("1")))];
        let mut stored = Stored::default();
        for _ in 0..MAX_RACES {
            stored.wrote(&lost).unwrap();
        }
        assert!(stored.wrote(&lost).is_err());
    }

    #[test]
    fn the_state_of_the_typescript_sdk_is_read_when_there_is_none_of_ours() {
        let outcomes = [Outcome::Done(there(None, Some("0"))), Outcome::Done(there(Some("ts"), Some("4")))];
        let stored = Stored::read(&outcomes).unwrap();
        assert_eq!((stored.value.as_deref(), stored.version.as_deref()), (Some("ts"), Some("0")));
    }
}
