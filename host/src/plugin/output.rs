//! What a plugin prints: kept up to a bound while it is at work, and then lines of our own log. Whatever it prints beyond
//! the bound goes nowhere, and the plugin does not notice.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The most that is kept of what a plugin prints in one call, in bytes.
const MAX_PRINTED: usize = 16 * 1024;

/// What a plugin may write at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// One of a plugin's two streams.
#[derive(Clone, Default)]
pub(super) struct Output {
    printed: Arc<Mutex<Printed>>,
}

#[derive(Default)]
struct Printed {
    text: Vec<u8>,
    cut: bool,
}

impl Output {
    /// What was printed since the last time, as a log shows it: lines without control characters.
    pub fn take(&self) -> Vec<String> {
        let Printed { text, cut } = std::mem::take(&mut *self.printed());
        let mut lines: Vec<_> = String::from_utf8_lossy(&text)
            .lines()
            .map(|line| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>())
            .filter(|line| !line.trim().is_empty())
            .collect();
        if cut {
            lines.push("… (the rest is left out)".to_owned());
        }
        lines
    }

    fn keep(&self, bytes: &[u8]) {
        let mut printed = self.printed();
        let room = MAX_PRINTED.saturating_sub(printed.text.len());
        printed.cut |= bytes.len() > room;
        printed.text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_forge_lines_of_the_log() {
        let output = Output::default();
        output.keep(b"one\x1b[2J\rtwo\n\n\xff three\n");
        assert_eq!(output.take(), ["one [2J two", "\u{fffd} three"]);
        assert_eq!(output.take(), Vec::<String>::new());
    }

    #[test]
    fn a_flood_is_cut_and_said_to_be() {
        let mut output = Output::default();
        for _ in 0..1000 {
            output.write(Bytes::from(vec![b'x'; 1000])).unwrap();
        }
        assert_eq!(output.printed().text.len(), MAX_PRINTED);
        let lines = output.take();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().any(|line| line.contains("left out")));
        assert_eq!(output.take(), Vec::<String>::new());
    }
}
