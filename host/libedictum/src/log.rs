//! What the library has to say about itself.

use std::ffi::c_void;
use std::io;
use std::sync::Arc;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::answer::{Answer, Given, Problem, Status};
use crate::boundary::answering;
use crate::callback::{Notice, Release, UserData};
use crate::text::Text;

#[derive(Clone)]
struct Lines {
    function: unsafe extern "C" fn(*mut c_void, Text),
    user_data: Arc<UserData>,
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        // SAFETY: the program's function with the program's pointer; the text outlives the call.
        unsafe { (self.function)(self.user_data.pointer, Text::of(line.trim_end())) };
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Where the library's own log goes, for the whole process, once; else nowhere. `level`: `error`, `warn`, `info`, `debug` or
/// `trace`. `function` gets lines, from any thread, not as JSON. `CONFLICT`: it has been set before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_log(
    level: Text,
    function: Notice,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    let user_data = Arc::new(UserData { pointer: user_data, release });
    let work = || {
        // SAFETY: the caller promises a text for the time of the call.
        let level: LevelFilter = unsafe { level.need("level") }?
            .parse()
            .map_err(|_| Problem::argument("`level` is none of error, warn, info, debug, trace"))?;
        let function = function.ok_or_else(|| Problem::argument("the function is missing"))?;
        let lines = Lines { function, user_data };
        let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(lines);
        log.try_init().map_err(|_| edictum_host::Error::Conflict("the log has been set before".to_owned()))?;
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}
