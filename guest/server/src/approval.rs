//! People (ServerApprovalBackend): what is asked ([`request`]), what the server says about it ([`answer`]), how often it is
//! asked ([`pace`]), and the life of each request from its creation to its end ([`queue`]).

pub mod answer;
pub mod pace;
pub mod queue;
pub mod request;
