//! Texts that cross the boundary: UTF-8 with a length, no zero at the end.

use std::ptr;

use crate::answer::Problem;

/// A text, or none. As an argument it is read during the call and not kept; in an answer it lives as long as the answer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    /// UTF-8, without a zero at its end. NULL: there is none.
    pub bytes: *const u8,
    /// Bytes.
    pub length: usize,
}

impl Text {
    /// No text.
    pub(crate) const NONE: Self = Self { bytes: ptr::null(), length: 0 };

    /// As long as `text` lives.
    pub(crate) fn of(text: &str) -> Self {
        Self { bytes: text.as_ptr(), length: text.len() }
    }

    /// The text, if there is one. `what` is what errors call it.
    pub(crate) unsafe fn read<'t>(self, what: &str) -> Result<Option<&'t str>, Problem> {
        if self.bytes.is_null() {
            return Ok(None);
        }
        if self.length > isize::MAX as usize {
            return Err(Problem::argument(format!("`{what}` has an impossible length")));
        }
        // SAFETY: the caller promises `length` bytes there for the time of the call, and the length has been looked at.
        let bytes = unsafe { std::slice::from_raw_parts(self.bytes, self.length) };
        std::str::from_utf8(bytes).map(Some).map_err(|_| Problem::argument(format!("`{what}` is not UTF-8")))
    }

    /// The text, which has to be there.
    pub(crate) unsafe fn need<'t>(self, what: &str) -> Result<&'t str, Problem> {
        // SAFETY: as the caller's.
        unsafe { self.read(what) }?.ok_or_else(|| Problem::argument(format!("`{what}` is missing")))
    }
}
