//! stub
use crate::connect::Endpoint;
use crate::store::{Operation, Outcome};
use crate::{Document, Error, Failure, Timestamp};
pub struct Lanes;
pub struct Http;
pub struct Opened {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}
impl Opened {
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        None
    }
}
impl Lanes {
    pub fn http(&self) -> Http {
        Http
    }
}
impl Http {
    pub async fn open_stream(&self, _: StreamRequest) -> Result<Opened, Error> {
        todo!()
    }
}
pub struct StreamRequest;
#[derive(Clone)]
pub struct Release {
    pub ruleset: Document,
    pub revision: String,
}
pub enum StreamOrder {
    Keep,
    Open,
    Close,
}
pub struct SourceStep {
    pub release: Option<Release>,
    pub connection: StreamOrder,
    pub memory: Option<String>,
    pub wake_approvals: Vec<String>,
    pub failed: Option<Failure>,
    pub notices: Vec<String>,
    pub next: Option<Timestamp>,
}
pub struct RulesetSource;
impl RulesetSource {
    pub async fn open(_: &Lanes, _: &Endpoint, _: &str, _: Option<String>) -> Result<Self, Error> {
        todo!()
    }
    pub async fn step(&mut self, _: Timestamp) -> Result<SourceStep, Error> {
        todo!()
    }
    pub async fn stream_request(&mut self, _: Timestamp) -> Result<StreamRequest, Error> {
        todo!()
    }
    pub async fn stream_opened(&mut self, _: u16, _: Vec<(String, String)>, _: Timestamp) -> Result<(), Error> {
        todo!()
    }
    pub async fn stream_data(&mut self, _: Vec<u8>, _: Timestamp) -> Result<(), Error> {
        todo!()
    }
    pub async fn stream_closed(&mut self, _: Timestamp) -> Result<(), Error> {
        todo!()
    }
    pub async fn enforced(&mut self, _: &str, _: Timestamp) -> Result<(), Error> {
        todo!()
    }
    pub async fn rejected(&mut self, _: &str, _: Failure, _: Timestamp) -> Result<(), Error> {
        todo!()
    }
    pub async fn health(&mut self, _: Timestamp) -> Result<String, Error> {
        todo!()
    }
}
pub enum Performed {
    Settled(Outcome),
    Later(Timestamp),
}
pub struct SessionStore;
impl SessionStore {
    pub async fn open(_: &Lanes, _: &Endpoint, _: &str) -> Result<Self, Error> {
        todo!()
    }
    pub async fn perform(
        &mut self,
        _: Vec<Vec<Operation>>,
        _: u32,
        _: Timestamp,
    ) -> Result<Vec<Vec<Performed>>, Error> {
        todo!()
    }
}
pub struct Created {
    pub reference: String,
    pub memory: String,
}
pub struct Settled {
    pub reference: String,
    pub outcome: String,
    pub at: Timestamp,
}
pub struct ApprovalStep {
    pub created: Vec<Created>,
    pub settled: Vec<Settled>,
    pub next: Option<Timestamp>,
}
pub struct ApprovalQueue;
impl ApprovalQueue {
    pub async fn open(_: &Lanes, _: &Endpoint, _: &str) -> Result<Self, Error> {
        todo!()
    }
    pub async fn submit(&mut self, _: &str, _: &str, _: Option<&str>, _: Timestamp) -> Result<(), Error> {
        todo!()
    }
    pub async fn wake(&mut self, _: &[String], _: Timestamp) -> Result<(), Error> {
        todo!()
    }
    pub async fn forget(&mut self, _: &str) -> Result<(), Error> {
        todo!()
    }
    pub async fn step(&mut self, _: Timestamp) -> Result<ApprovalStep, Error> {
        todo!()
    }
}
