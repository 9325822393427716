//! Delivery of the decision log (ServerAuditSink): entries of the host's outbox as they go over the wire ([`entry`]), and
//! batches of them, in order, until each is acknowledged or set apart ([`delivery`]).

pub mod delivery;
pub mod entry;
