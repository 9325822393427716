//! Which paths a text may hold that is not known to be one: any argument's value, or a word of a command with paths
//! glued to it, as in `--file=/x`, `-o/x`, `@/x`, `host:/x` (engine.md §6.1). Finds them; does not judge them.

use super::spelling::{climbs, decoded, file_url, url_scheme};

/// What separates a path from what it is glued to.
const GLUE: [char; 4] = ['=', '@', ':', ','];

/// Whether any value that looks so is a path, whatever its key.
pub(super) fn looks_like_path(text: &str) -> bool {
    let plain = |text: &str| {
        text.starts_with(['/', '~'])
            || text.starts_with("./")
            || text.starts_with("../")
            || text == ".."
            || text.ends_with("/..")
            || text.contains("/../")
            || file_url(text).is_some()
    };
    let text = text.trim_start();
    if url_scheme(text).is_some() {
        return file_url(text).is_some();
    }
    // An encoded path is looked at once decoded; deeper encodings are found when it is spelled out.
    plain(text) || (text.contains('%') && decoded(text).is_ok_and(|text| text.is_some_and(|text| plain(&text))))
}

/// What a URL of another scheme than `file` may lead to on this machine, when a text is one: `Some(None)` for nothing.
/// Without a host, or with `..`, a tool may take it for a path.
pub(super) fn path_of_url(text: &str) -> Option<Option<&str>> {
    if file_url(text).is_some() {
        return Some(Some(text));
    }
    let rest = text.get(url_scheme(text)?..)?;
    if climbs(text) {
        return Some(Some(text));
    }
    Some(rest.starts_with('/').then_some(rest))
}

/// Gives every path that a word may hold to `found`. `bare`: whether any `/` makes it one, as in a command's words.
pub(super) fn operands<'w>(word: &'w str, bare: bool, mut found: impl FnMut(&'w str)) {
    let Some(option) = word.strip_prefix('-') else {
        glued(word, bare, &mut found);
        return;
    };
    if let Some(long) = option.strip_prefix('-')
        && let Some((name, value)) = long.split_once('=')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        glued(value, bare, &mut found);
        return;
    }
    let mut value = option.chars();
    value.next();
    glued(value.as_str().trim_start_matches('='), bare, &mut found);
}

/// The text itself, what follows the first of each separator, and what stands between two.
fn glued<'w>(text: &'w str, bare: bool, found: &mut impl FnMut(&'w str)) {
    let mut seen = [false; GLUE.len()];
    let mut start = 0;
    // A part of a name with `/` before it, as in `node_modules/@types/node`, must look like a path by itself.
    let mut behind_slash = false;
    loop {
        let rest = text.get(start..).unwrap_or("");
        if let Some(path) = path_of_url(rest) {
            path.into_iter().for_each(found);
            return;
        }
        let length = rest.find(GLUE).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(length);
        let counts = |part: &str| {
            looks_like_path(part) || (bare && !behind_slash && part.contains('/') && !part.contains("://"))
        };
        let before = text.get(..start).and_then(|before| before.chars().next_back());
        let first_of_kind = match before.and_then(|glue| GLUE.iter().position(|known| *known == glue)) {
            None => true,
            Some(kind) => seen.get_mut(kind).is_some_and(|seen| !std::mem::replace(seen, true)),
        };
        if first_of_kind && !tail.is_empty() && counts(rest) {
            found(rest);
        }
        if counts(piece) {
            found(piece);
        }
        behind_slash |= piece.contains('/');
        if tail.is_empty() {
            return;
        }
        start += length + 1;
    }
}

/// Whether the next word is a command for another shell.
pub(super) fn takes_command(word: &str) -> bool {
    let option = word.strip_prefix('-');
    matches!(word, "eval" | "--command" | "-S" | "--split-string")
        || option
            .is_some_and(|letters| letters.ends_with('c') && letters.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(word: &str, bare: bool) -> Vec<&str> {
        let mut list = Vec::new();
        operands(word, bare, |part| list.push(part));
        list
    }

    #[test]
    fn finds_paths_glued_to_options_names_and_lists() {
        for (word, expected) in [
            ("ls", &[][..]),
            ("-la", &[]),
            ("..", &[".."]),
            ("a/b", &["a/b"]),
            ("--file=/etc/x", &["/etc/x"]),
            ("--file=..", &[".."]),
            ("-o/etc/x", &["/etc/x"]),
            ("-o=/etc/x", &["/etc/x"]),
            ("-C..", &[".."]),
            ("@/etc/x", &["@/etc/x", "/etc/x"]),
            ("-d@/etc/x", &["@/etc/x", "/etc/x"]),
            ("name@/etc/x", &["name@/etc/x", "/etc/x"]),
            ("if=/dev/sda", &["if=/dev/sda", "/dev/sda"]),
            ("host:/etc/x", &["host:/etc/x", "/etc/x"]),
            ("..:/w/x", &["..:/w/x", "..", "/w/x"]),
            ("/w/a:/etc/x", &["/w/a:/etc/x", "/w/a", "/etc/x"]),
            ("--x=source=/etc,target=/x", &["source=/etc,target=/x", "/etc,target=/x", "/etc", "/x"]),
            ("x=file:///etc/x", &["file:///etc/x"]),
            ("jar:file:///etc/x!/y", &["file:///etc/x!/y"]),
            ("unix:///var/run/x", &["/var/run/x"]),
            ("https://a.com/x", &[]),
            ("https://a.com/x?y=/etc", &[]),
            ("--url=https://a.com/x", &[]),
            ("url=https://a.com/x", &[]),
            ("x://../../etc", &["x://../../etc", "//../../etc"]),
            ("xy://../../etc", &["xy://../../etc"]),
            ("node_modules/@types/node", &["node_modules/@types/node", "node_modules/"]),
            ("HEAD~1", &[]),
            ("--é/x", &["é/x"]),
            ("-é/x", &["/x"]),
        ] {
            assert_eq!(parts(word, true), expected, "{word}");
        }
        assert_eq!(parts("feature/x", false), Vec::<&str>::new());
        assert_eq!(parts("--file=/etc/x", false), ["/etc/x"]);
    }

    #[test]
    fn any_value_may_look_like_a_path() {
        for text in [
            "/x",
            "~",
            "~/x",
            "./x",
            "../x",
            "..",
            "a/../b",
            "a/..",
            "file:///x",
            "FILE:/x",
            "%2fetc",
            "%2e%2e/x",
            " /x",
        ] {
            assert!(looks_like_path(text), "{text}");
        }
        for text in ["", "x", "a/b", "x~", "https://a/../b", "...", "a..b", "%d/x", "profile:/x"] {
            assert!(!looks_like_path(text), "{text}");
        }
    }

    #[test]
    fn knows_words_that_a_command_follows() {
        for word in ["-c", "-lc", "eval", "--command"] {
            assert!(takes_command(word), "{word}");
        }
        for word in ["c", "--c", "-C", "-c1", "ls"] {
            assert!(!takes_command(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn an_absolute_path_is_found_whatever_it_is_glued_to(
            before in "(-[a-z]|--[a-z]{1,5}=|[a-z]{0,4}[=@:,])", path in "/[a-z]{1,5}(/[a-z]{1,5}){0,3}"
        ) {
            let word = format!("{before}{path}");
            prop_assert!(parts(&word, true).contains(&path.as_str()), "{word}");
        }

        #[test]
        fn work_grows_with_the_length(word in "[=@:,/a.-]{0,200}") {
            let list = parts(&word, true);
            prop_assert!(list.iter().map(|part| part.len()).sum::<usize>() <= word.len() * 6);
        }

        #[test]
        fn never_panics(word in any::<String>()) {
            let _ = parts(&word, true);
        }
    }
}
