//! What went wrong, as the component is told. The distinction that matters: what failed while a connection was being made
//! was certainly not sent; of everything later nobody knows.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use hyper_util::client::legacy;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

/// Of a request that got no answer.
pub(super) fn of_request(error: &legacy::Error) -> Error {
    if error.is_connect() {
        return of_connection(error);
    }
    match find::<hyper::Error>(error) {
        Some(error) => of_answer(error),
        None => Error::ConnectionTerminated,
    }
}

/// Of a connection that could not be made.
fn of_connection(error: &legacy::Error) -> Error {
    if let Some(tls) = find::<rustls::Error>(error) {
        return match tls {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => Error::TlsCertificateError,
            _ => Error::TlsProtocolError,
        };
    }
    // The resolver's errors have no kind of their own.
    if causes(error).any(|cause| cause.to_string() == "dns error") {
        return Error::DnsError { rcode: None, info_code: None };
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => Error::ConnectionRefused,
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => Error::DestinationIpUnroutable,
        _ => Error::DestinationUnavailable,
    }
}

/// Of a connection that was there, before the body.
fn of_answer(error: &hyper::Error) -> Error {
    if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        Error::HttpProtocolError
    } else if error.is_timeout() {
        Error::HttpResponseTimeout
    } else {
        Error::ConnectionTerminated
    }
}

/// Of a body. One that ends too early is told apart from a connection that breaks.
pub(super) fn of_body(error: &hyper::Error) -> Error {
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(ErrorKind::UnexpectedEof) => Error::HttpResponseIncomplete,
        _ => of_answer(error),
    }
}

/// Why the bytes of a body do not come, when it is an error of ours ([`of_body`], and bounds).
pub fn code(error: &wasmtime::Error) -> Option<ErrorCode> {
    Some(match error.downcast_ref::<Error>()? {
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        _ => ErrorCode::ConnectionTerminated,
    })
}

/// The first error of this type among the causes.
fn find<'e, E: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error, its cause, and so on.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// An `io::Error` may hold another error, which it does not call its cause.
fn cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
