//! A command of `exec(...)` as the words a program is started with, split the way POSIX shells and Python's
//! `shlex.split` do it. Nothing is expanded: there is no shell, so `;`, `|`, `$` and `*` are characters like any other.

/// The words of a command; none: a quote does not close, or a backslash ends it.
#[must_use]
pub fn split(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        plain => word.push(plain),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            // Before anything else a backslash is a character.
                            other => word.extend(['\\', other]),
                        },
                        plain => word.push(plain),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_those_of_the_reference() {
        for (command, words) in [
            ("ls -l", &["ls", "-l"] as &[&str]),
            ("  a\t b\n", &["a", "b"]),
            ("a 'b c' \"d e\"f", &["a", "b c", "d ef"]),
            (r#"a "b\"c\\d\e""#, &["a", r#"b"c\d\e"#]),
            (r"a\ b \\", &["a b", r"\"]),
            ("a '' \"\"", &["a", "", ""]),
            ("a # b; c | $D *", &["a", "#", "b;", "c", "|", "$D", "*"]),
            ("", &[]),
        ] {
            assert_eq!(split(command).unwrap(), words, "{command}");
        }
    }

    #[test]
    fn an_open_quote_is_no_command() {
        for command in ["a 'b", "a \"b", "a \\", "\"a\\"] {
            assert_eq!(split(command), None, "{command}");
        }
    }
}
