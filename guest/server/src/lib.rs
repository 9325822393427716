//! edictum-api as a guard sees it.
pub mod address;
pub mod approval;
pub mod clock;
pub mod credential;
pub mod endpoint;
pub mod error;
pub mod jitter;
pub mod notice;
pub mod outcome;
pub mod path;
pub mod request;
pub mod response;
pub mod retry;
pub mod ruleset;
pub mod session;
pub mod stream;
pub mod time;
