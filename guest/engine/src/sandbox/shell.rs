//! A command's text to words, the way a POSIX shell splits it (engine.md §6.3, §6.4), and whether it may run more than
//! one thing. Nothing is expanded: a word only says whether a shell would.

use std::iter::Peekable;
use std::str::CharIndices;

/// One word of a command, quotes and backslashes undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// What the program gets, when nothing is expanded.
    pub(super) text: String,
    /// It is the file of a redirection.
    pub(super) redirect: bool,
    /// A shell would put a variable's value into it.
    pub(super) variable: bool,
    /// A shell would make file names of it: `*`, `?`, `[`, `{`, `(`.
    pub(super) pattern: bool,
    /// A quote or backslash stands before its first character, so that `~` is only a character.
    pub(super) quoted: bool,
}

/// What is around a command is not part of it: Unicode white space as Python trims it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// White space of Python's `str.split`.
pub(super) fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char)
}

/// Whether a trimmed command may run more than its first word says, or begins with a redirection. Quotes do not matter:
/// a shell within the command may see them undone.
pub(super) fn is_chained(command: &str) -> bool {
    let mut previous = ' ';
    for char in command.chars() {
        let chains = matches!(
            (previous, char),
            ('$', '(' | '{' | '\'') | ('<' | '>', '(') | ('<', '<') | (_, ';' | '|' | '&' | '\n' | '\r' | '`')
        );
        if chains {
            return true;
        }
        previous = char;
    }
    command.starts_with('<') || command.trim_start_matches(char::is_numeric).starts_with('>')
}

/// The words of a command, empty ones left out. Text whose quotes do not close is split at white space instead.
pub(super) fn words(command: &str) -> impl Iterator<Item = Word> + '_ {
    let closed = quotes_close(command);
    let mut posix = closed.then(|| Posix::new(command));
    let mut plain = (!closed).then(|| command.split(is_space).flat_map(plain_words));
    std::iter::from_fn(move || match (&mut posix, &mut plain) {
        (Some(words), _) => words.next(),
        (None, Some(words)) => words.next(),
        (None, None) => None,
    })
    .filter_map(|mut word| {
        strip_operator(&mut word);
        (!word.text.is_empty()).then_some(word)
    })
}

/// A redirection at the start of a word whose operator was quoted: the reference takes it off all the same.
fn strip_operator(word: &mut Word) {
    if !word.text.contains(['<', '>']) {
        return;
    }
    let text = word.text.as_str();
    let after_digits = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let rest = after_digits
        .strip_prefix(">>")
        .or_else(|| after_digits.strip_prefix('>'))
        .or_else(|| text.strip_prefix("<<"))
        .or_else(|| text.strip_prefix('<'));
    if let Some(rest) = rest {
        word.text = rest.to_owned();
    }
}

fn quotes_close(command: &str) -> bool {
    let mut chars = command.chars();
    while let Some(char) = chars.next() {
        let closed = match char {
            '\\' => chars.next().is_some(),
            '\'' => chars.any(|char| char == '\''),
            '"' => loop {
                match chars.next() {
                    None => break false,
                    Some('"') => break true,
                    Some('\\') => {
                        // Escapes only `"` and itself; before anything else it is a character, which is passed over here
                        // because neither of the two follows.
                        if chars.next().is_none() {
                            break false;
                        }
                    }
                    Some(_) => {}
                }
            },
            _ => true,
        };
        if !closed {
            return false;
        }
    }
    true
}

/// The fallback: quotes stay where they are but at the ends, and everything may be expanded.
fn plain_words(piece: &str) -> impl Iterator<Item = Word> + '_ {
    let inner = piece.trim_matches(['"', '\'']);
    inner.split(['<', '>']).enumerate().map(|(index, text)| Word {
        text: text.to_owned(),
        redirect: index > 0,
        variable: text.contains('$'),
        pattern: text.contains(is_pattern),
        quoted: false,
    })
}

const fn is_pattern(char: char) -> bool {
    matches!(char, '*' | '?' | '[' | '{' | '(' | ')')
}

/// Whether `$` before this is an expansion. `${`, `$(` and `$'` never get here.
fn names_variable(next: Option<char>) -> bool {
    next.is_some_and(|char| {
        char.is_alphanumeric() || matches!(char, '_' | '@' | '*' | '#' | '?' | '$' | '!' | '-' | '[')
    })
}

struct Posix<'c> {
    chars: Peekable<CharIndices<'c>>,
    /// The next word is the file of a redirection.
    redirect: bool,
}

impl<'c> Posix<'c> {
    fn new(command: &'c str) -> Self {
        Self { chars: command.char_indices().peekable(), redirect: false }
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, char)| *char)
    }

    fn next_char(&mut self) -> Option<char> {
        self.chars.next().map(|(_, char)| char)
    }

    fn double_quoted(&mut self, word: &mut Word) {
        while let Some(char) = self.next_char() {
            match char {
                '"' => return,
                '\\' => match self.peek() {
                    Some(escaped @ ('"' | '\\')) => {
                        self.chars.next();
                        word.text.push(escaped);
                    }
                    Some('$') => {
                        self.chars.next();
                        word.text.push_str("\\$");
                    }
                    _ => word.text.push('\\'),
                },
                '$' => {
                    word.text.push('$');
                    word.variable |= names_variable(self.peek());
                }
                _ => word.text.push(char),
            }
        }
    }

    fn operator(&mut self) {
        while matches!(self.peek(), Some('<' | '>')) {
            self.chars.next();
        }
        self.redirect = true;
    }
}

impl Iterator for Posix<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let mut word = Word::default();
        let mut begun = false;
        while let Some(char) = self.peek() {
            match char {
                ' ' | '\t' | '\r' | '\n' => {
                    if begun {
                        break;
                    }
                    self.chars.next();
                    continue;
                }
                '<' | '>' => {
                    // Digits right before it are the number of a file.
                    let number = begun && !word.quoted && word.text.bytes().all(|byte| byte.is_ascii_digit());
                    if begun && !number {
                        break;
                    }
                    self.operator();
                    word = Word::default();
                    begun = false;
                    continue;
                }
                _ => {}
            }
            self.chars.next();
            let first = !begun;
            begun = true;
            match char {
                '\'' | '"' | '\\' => word.quoted |= first,
                _ => {}
            }
            match char {
                '\'' => word.text.extend(self.chars.by_ref().map(|(_, char)| char).take_while(|char| *char != '\'')),
                '"' => self.double_quoted(&mut word),
                '\\' => word.text.extend(self.next_char()),
                '$' => {
                    word.text.push('$');
                    word.variable |= names_variable(self.peek());
                }
                _ => {
                    word.text.push(char);
                    word.pattern |= is_pattern(char);
                }
            }
        }
        begun.then(|| {
            word.redirect = std::mem::take(&mut self.redirect);
            word
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(command: &str) -> Vec<String> {
        words(command).map(|word| word.text).collect()
    }

    #[test]
    fn undoes_quotes_like_a_shell() {
        for (command, expected) in [
            ("", &[][..]),
            ("''", &[]),
            ("ls -la", &["ls", "-la"]),
            ("\"ls\" x", &["ls", "x"]),
            ("l\"s\"", &["ls"]),
            ("\\ls", &["ls"]),
            ("'' ls", &["ls"]),
            ("  ls\t\tx ", &["ls", "x"]),
            ("a'b c'\"d e\"", &["ab cd e"]),
            ("\"a\\\"b\\\\c\\d\"", &["a\"b\\c\\d"]),
            ("'a\\'b", &["a\\b"]),
            ("a\\ b", &["a b"]),
            ("ls \u{a0}x", &["ls", "\u{a0}x"]),
            ("ls \"unclosed", &["ls", "unclosed"]),
            ("a\\", &["a\\"]),
            ("it's x", &["it's", "x"]),
            ("ls # x", &["ls", "#", "x"]),
        ] {
            assert_eq!(texts(command), expected, "{command}");
        }
    }

    #[test]
    fn splits_redirections_off_wherever_they_stand() {
        for (command, expected, redirects) in [
            ("echo x>/etc/p", &["echo", "x", "/etc/p"][..], &[false, false, true][..]),
            ("echo x > /etc/p", &["echo", "x", "/etc/p"], &[false, false, true]),
            ("echo x 2>>/etc/p", &["echo", "x", "/etc/p"], &[false, false, true]),
            ("echo x2>p", &["echo", "x2", "p"], &[false, false, true]),
            ("cat </etc/p x", &["cat", "/etc/p", "x"], &[false, true, false]),
            ("cat <>p", &["cat", "p"], &[false, true]),
            ("ls>a>b", &["ls", "a", "b"], &[false, true, true]),
            ("'>ls'", &["ls"], &[false]),
            ("a'>'b", &["a>b"], &[false]),
            ("ls >", &["ls"], &[false]),
            ("\"x>/etc/p", &["x", "/etc/p"], &[false, true]),
        ] {
            assert_eq!(texts(command), expected, "{command}");
            assert_eq!(words(command).map(|word| word.redirect).collect::<Vec<_>>(), redirects, "{command}");
        }
    }

    #[test]
    fn knows_what_a_shell_would_expand() {
        for (command, variable, pattern) in [
            ("$HOME", true, false),
            ("\"$HOME/x\"", true, false),
            ("a$1", true, false),
            ("'$HOME'", false, false),
            ("\\$HOME", false, false),
            ("\"\\$HOME\"", false, false),
            ("foo$", false, false),
            ("$\"x\"", false, false),
            ("*", false, true),
            ("'*'", false, false),
            ("\"a?b\"", false, false),
            ("\\*", false, false),
            ("{a,b}", false, true),
            ("/et?/x", false, true),
            ("/et[c]", false, true),
            ("'a\"$b", true, false),
        ] {
            let word = words(command).next().unwrap();
            assert_eq!((word.variable, word.pattern), (variable, pattern), "{command}");
        }
    }

    #[test]
    fn knows_what_may_run_more_than_one_thing() {
        let chained = [
            "ls;rm",
            "ls && rm",
            "ls | rm",
            "ls & rm",
            "ls\nrm",
            "ls\rrm",
            "ls `x`",
            "ls $(x)",
            "ls ${x}",
            "ls $((1))",
            "ls $'a'",
            "ls <(x)",
            "ls >(x)",
            "ls <<EOF",
            "ls <<<x",
            "ls 2>&1",
            ">f ls",
            "2>f ls",
            ">>f ls",
            "<f ls",
            "ls \"a;b\"",
            "'a|b'",
        ];
        for command in chained {
            assert!(is_chained(command), "{command}");
        }
        let single = [
            "ls", "ls $HOME", "ls *", "ls {a,b}", "ls > f", "ls 2>f", "ls >>f", "cat < f", "$\"x\"", "(ls)", "1<f ls",
            "", "'>ls'",
        ];
        for command in single {
            assert!(!is_chained(command), "{command}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(command in any::<String>()) {
            let _ = is_chained(trim(&command));
            let total: usize = words(&command).map(|word| word.text.len()).sum();
            prop_assert!(total <= command.len());
        }

        #[test]
        fn quoting_hides_nothing(text in "[a-z /\\\\.$*~<>'\"]{1,20}") {
            let quoted = format!("cat '{}'", text.replace('\'', "'\\''"));
            let mut expected = Word { text, ..Word::default() };
            strip_operator(&mut expected);
            prop_assume!(!expected.text.is_empty());
            prop_assert_eq!(texts(&quoted), ["cat".to_owned(), expected.text]);
        }
    }
}
