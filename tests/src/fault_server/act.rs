//! What a server may do with a connection, and with a request.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockRef;

use super::feed::Feed;

/// With a connection, before anything was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Reads requests.
    Read,
    /// Resets it.
    Reset,
    /// Reads nothing, and says nothing, until the other side goes away or the server ends.
    Hang,
    /// Says this unasked, and nothing more.
    SayAndHang(&'static [u8]),
}

/// With a request that was read.
#[derive(Clone, Debug)]
pub enum Act {
    /// Says this, and reads on.
    Say(Vec<u8>),
    /// Says this, and closes.
    SayAndClose(Vec<u8>),
    /// Says this, and resets; with nothing to say, a reset in place of an answer.
    SayAndReset(Vec<u8>),
    /// Says this in pieces of so many bytes with so much time between them, and reads on.
    Trickle(Vec<u8>, usize, Duration),
    /// Says this, and nothing more until the other side goes away.
    SayAndHang(Vec<u8>),
    /// Says the first, and then the second again and again until the other side goes away.
    SayForever(Vec<u8>, Vec<u8>),
    /// Says this, and then whatever is fed.
    Follow(Vec<u8>, Feed),
}

impl Act {
    /// False: the connection is over.
    pub(super) fn perform(self, mut socket: &TcpStream) -> bool {
        match self {
            Self::Say(bytes) => socket.write_all(&bytes).is_ok(),
            Self::SayAndClose(bytes) => {
                let _said = socket.write_all(&bytes);
                let _closed = socket.shutdown(Shutdown::Both);
                false
            }
            Self::SayAndReset(bytes) => {
                if socket.write_all(&bytes).is_ok() && !bytes.is_empty() {
                    // What was said shall arrive before the reset overtakes it.
                    std::thread::sleep(Duration::from_millis(50));
                }
                reset(socket);
                false
            }
            Self::Trickle(bytes, piece, pause) => bytes.chunks(piece.max(1)).all(|piece| {
                let said = socket.write_all(piece).is_ok();
                std::thread::sleep(pause);
                said
            }),
            Self::SayAndHang(bytes) => {
                let _said = socket.write_all(&bytes);
                hang(socket);
                false
            }
            Self::SayForever(bytes, more) => {
                let mut going = socket.write_all(&bytes).is_ok();
                while going {
                    going = socket.write_all(&more).is_ok();
                }
                false
            }
            Self::Follow(bytes, feed) => {
                if socket.write_all(&bytes).is_ok() {
                    feed.follow(socket);
                }
                feed.is_left();
                false
            }
        }
    }
}

/// When its last handle goes, the other side gets a reset.
pub(super) fn reset(socket: &TcpStream) {
    let _may_fail = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Until it is over, from whichever side; reads nothing.
pub(super) fn be_deaf(ending: &AtomicBool, socket: &TcpStream) {
    while !ending.load(Ordering::SeqCst) && !matches!(socket.take_error(), Ok(Some(_))) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Until the other side goes away.
pub(super) fn hang(mut socket: &TcpStream) {
    let mut nothing = [0; 1024];
    while socket.read(&mut nothing).is_ok_and(|read| read > 0) {}
}

/// An answer with its length.
#[must_use]
pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Act {
    let mut text = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    Act::Say(text.into_bytes())
}

/// An answer of JSON.
#[must_use]
pub fn json(status: u16, body: &str) -> Act {
    response(status, &[("Content-Type", "application/json")], body)
}

/// An answer that sends whoever asked somewhere else.
#[must_use]
pub fn redirect(to: &str) -> Act {
    response(302, &[("Location", to)], "")
}
