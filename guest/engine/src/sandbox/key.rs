//! What the name of an argument says about its value. Names are compared without case, `_` and `-`, so that `filePath`,
//! `file_path` and `FILE-PATH` are one (engine.md §6.1, §6.5).

/// Longest name that means anything, in bytes without `_` and `-`.
const LONGEST: usize = 16;

/// The meaning of a key for the values below it, down to the next key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent properties of a name; `uri` has two of them")]
pub(super) struct Key {
    /// Its strings are paths, relative ones too.
    pub(super) path: bool,
    /// Its strings are directories that a command runs in; also `path`.
    pub(super) directory: bool,
    /// Its strings are commands.
    pub(super) command: bool,
    /// It is `command` itself, whose value must be a text.
    pub(super) main_command: bool,
    /// Its strings are single arguments of a program.
    pub(super) argument: bool,
    /// Its strings are prose or code, which may begin like a path.
    pub(super) prose: bool,
    /// Its strings are URLs or hosts, with or without a scheme.
    pub(super) address: bool,
}

impl Key {
    /// The meaning of a name.
    pub(super) fn of(name: &str) -> Self {
        let mut buffer = [0; LONGEST];
        let Some(plain) = plain(name, &mut buffer) else { return Self::default() };
        let none = Self::default();
        match plain {
            b"cwd" | b"workdir" | b"workingdirectory" => Self { path: true, directory: true, ..none },
            b"path" | b"paths" | b"filepath" | b"directory" | b"dir" | b"folder" | b"target" | b"destination"
            | b"source" | b"src" | b"dst" | b"file" | b"files" | b"filename" | b"root" | b"base" | b"output"
            | b"outputpath" | b"inputpath" | b"oldpath" | b"newpath" => Self { path: true, ..none },
            b"uri" => Self { path: true, address: true, ..none },
            b"command" => Self { command: true, main_command: true, ..none },
            b"cmd" | b"script" | b"bashcommand" | b"shell" => Self { command: true, ..none },
            b"args" | b"argv" | b"arguments" | b"flags" | b"options" => Self { argument: true, ..none },
            b"content" | b"newstring" | b"oldstring" | b"newstr" | b"oldstr" | b"filetext" | b"text" | b"body"
            | b"message" | b"description" | b"query" | b"prompt" => Self { prose: true, ..none },
            b"url" | b"urls" | b"uris" | b"endpoint" | b"endpoints" | b"href" | b"hrefs" | b"link" | b"links"
            | b"host" | b"hosts" | b"hostname" | b"hostnames" | b"domain" | b"domains" => {
                Self { address: true, ..none }
            }
            _ => none,
        }
    }
}

/// The name in lower case without `_` and `-`; none when it is longer than any that means something.
fn plain<'b>(name: &str, buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !matches!(byte, b'_' | b'-')) {
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    buffer.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_name_mean_the_same() {
        for name in ["file_path", "filePath", "FILE-PATH", "filepath", "__file__path__"] {
            assert!(Key::of(name).path, "{name}");
        }
        for name in ["cwd", "workdir", "working_directory", "workingDirectory"] {
            assert!(Key::of(name).path && Key::of(name).directory, "{name}");
        }
        for name in ["command", "cmd", "script", "bash_command", "bashCommand", "shell"] {
            assert!(Key::of(name).command, "{name}");
        }
        for name in ["content", "new_string", "old_str", "file_text", "prompt"] {
            assert!(Key::of(name).prose, "{name}");
        }
        assert!(Key::of("uri").path && Key::of("uri").address);
        for name in ["", "p", "pathname_of_something_long", "größe", "argsx", "_"] {
            assert_eq!(Key::of(name), Key::default(), "{name}");
        }
    }
}
