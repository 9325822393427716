//! The driver protocol (docs/driver.md) in this process: for languages that want the guard with texts alone.

use std::ffi::c_void;
use std::io;

use crate::answer::{Answer, Given, Problem, Status};
use crate::boundary::{answering, enter};
use crate::callback::{Notice, Release, UserData};
use crate::host::{self, Host};
use crate::text::Text;

/// Guards by name, and who gets the answers. May be used by any number of threads; requests are taken one after another.
pub struct Driver(edictum_host::driver::Driver);

struct Answers {
    function: unsafe extern "C" fn(*mut c_void, Text),
    user_data: UserData,
}

impl io::Write for Answers {
    /// Whole lines come in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(line).map_err(io::Error::other)?;
        // SAFETY: the program's function with the program's pointer; the text outlives the call.
        unsafe { (self.function)(self.user_data.pointer, Text::of(text.trim_end())) };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a driver in this host. `function` gets every answer, one at a time, on any thread; it must not make requests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_driver_new(
    host: *const Host,
    function: Notice,
    user_data: *mut c_void,
    release: Release,
    driver: *mut *mut Driver,
    answer: *mut Answer,
) -> Status {
    let user_data = UserData { pointer: user_data, release };
    let work = || {
        // SAFETY: the caller promises a host for the time of the call.
        let host = unsafe { host::borrowed(host) }?;
        let function = function.ok_or_else(|| Problem::argument("the function is missing"))?;
        if driver.is_null() {
            return Err(Problem::argument("`driver` is missing"));
        }
        let made = edictum_host::driver::Driver::new(&host.host, Answers { function, user_data });
        // SAFETY: not NULL, and the caller promises room for a pointer.
        unsafe { driver.write(Box::into_raw(Box::new(Driver(made)))) };
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

/// Carries out a request, one JSON object. It has been answered when this returns; but for requests that wait for a person, or
/// say `parallel`: those are answered when they are done. `OK` also when the answer says that it was refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_driver_request(driver: *const Driver, line: Text, answer: *mut Answer) -> Status {
    let work = || {
        // SAFETY: the caller promises a driver and a text for the time of the call.
        let (driver, line) = unsafe { (driver.as_ref(), line.need("line")?) };
        let Driver(driver) = driver.ok_or_else(|| Problem::argument("`driver` is missing"))?;
        driver.request(line.to_owned());
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

/// Waits for what is under way, closes all its guards, and frees it, when no call with it is under way. NULL is nothing to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_driver_free(driver: *mut Driver) {
    enter((), || {
        if !driver.is_null() {
            // SAFETY: made by `Box::into_raw`, and the caller promises to free it once.
            let Driver(driver) = *unsafe { Box::from_raw(driver) };
            driver.close();
        }
    });
}
