//! Why there is no answer, in the words of the protocol. Only what certainly never left is "not sent": of anything else it
//! is not known if it was carried out, and it may not be made again.

use edictum_server_protocol::response::Fault;

use crate::bindings::wasi::http::types::{ErrorCode, http_error_code};
use crate::bindings::wasi::io::streams::StreamError;

/// A defect of the host: it has no answer, and no reason.
pub fn none() -> Fault {
    Fault::Lost("no answer".to_owned())
}

/// The host does not let it out: nothing has left.
pub fn refused(what: &str) -> Fault {
    Fault::NotSent(format!("{what} was refused by the host"))
}

/// An error of a whole request.
pub fn of(error: &ErrorCode) -> Fault {
    let not_sent = |why: &str| Fault::NotSent(why.to_owned());
    match error {
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) => not_sent("its name cannot be resolved"),
        ErrorCode::DestinationNotFound => not_sent("there is no such host"),
        ErrorCode::DestinationUnavailable => not_sent("its host is not available"),
        ErrorCode::DestinationIpProhibited => not_sent("its address is prohibited"),
        ErrorCode::DestinationIpUnroutable => not_sent("there is no route to its address"),
        ErrorCode::ConnectionRefused => not_sent("the connection was refused"),
        ErrorCode::ConnectionLimitReached => not_sent("there are too many connections"),
        ErrorCode::HttpRequestDenied => not_sent("the host denies the request"),
        // Hosts report these of the handshake. An alert may come after the request, too, and is not among them.
        ErrorCode::TlsProtocolError => not_sent("no TLS connection can be made"),
        ErrorCode::TlsCertificateError => not_sent("its certificate is not trusted"),
        ErrorCode::ConnectionReadTimeout | ErrorCode::ConnectionWriteTimeout | ErrorCode::HttpResponseTimeout => {
            Fault::Deadline
        }
        ErrorCode::HttpResponseIncomplete => Fault::Incomplete,
        ErrorCode::HttpResponseBodySize(_) => Fault::TooLarge,
        ErrorCode::InternalError(Some(why)) => Fault::Lost(why.clone()),
        other => Fault::Lost(words(other).to_owned()),
    }
}

/// An error of a body.
pub fn of_stream(error: StreamError) -> Fault {
    let lost = || Fault::Lost("the connection was lost".to_owned());
    let StreamError::LastOperationFailed(error) = error else { return lost() };
    match http_error_code(&error).map(|code| of(&code)) {
        // What has carried a request was sent.
        Some(Fault::NotSent(why)) => Fault::Lost(why),
        Some(fault) => fault,
        None => lost(),
    }
}

fn words(error: &ErrorCode) -> &'static str {
    match error {
        ErrorCode::ConnectionTerminated => "the connection was closed",
        ErrorCode::ConnectionTimeout => "no connection in time",
        ErrorCode::TlsAlertReceived(_) => "a TLS alert was received",
        ErrorCode::HttpProtocolError => "the answer is no HTTP",
        ErrorCode::HttpResponseHeaderSectionSize(_) | ErrorCode::HttpResponseHeaderSize(_) => {
            "the head of the answer is too large"
        }
        _ => "the request failed",
    }
}
