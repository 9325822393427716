//! Deciding. Each step is a pure function of the policy, the texts handed in and what has been answered so far: it
//! either finishes or says what it must know, and is then run again with more known. Nothing is kept in between but the
//! ticket, a text in the host's hands, so that any instance can do the next step.
//!
//! * [`begin`] counts the attempt and decides; [`settle`] goes on when a person has answered; both judge with [`judge`];
//! * [`finish`] looks at what the tool returned ([`postconditions`]);
//! * [`evaluate`] is the dry run; [`fault`] decides when something around the engine broke; [`operate`] reads and sets
//!   counters;
//! * [`ticket`] is what is known of a call, [`ask`] turns what is not into questions and answers into knowledge.
//!
//! Source of the rules: engine.md §8, §11.

pub mod ask;
pub mod begin;
pub mod evaluate;
pub mod fault;
pub mod finish;
pub mod gates;
pub mod judge;
pub mod operate;
pub mod postconditions;
pub mod settle;
pub mod ticket;
