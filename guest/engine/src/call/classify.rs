//! What a shell command does, by its words (engine.md §2.4). It only ever errs towards `irreversible`; it selects what post
//! rules do, and is no boundary (sandbox rules are).

use crate::documents::ruleset::SideEffect;

/// Whatever holds one of these, or `#{`, may run something else, or write somewhere. The longer operators of the
/// specification (`<(`, `>>`, `&&`, `${` …) all hold one of these.
const fn is_operator(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'$' | b'>' | b'|' | b';' | b'`' | b'&' | b'<')
}

/// The operators of the reference, which lets a lone `&` and `<` pass.
#[cfg(test)]
const REFERENCE_OPERATORS: [&str; 11] = ["\n", "\r", "<(", "<<", "$", ">", "|", ";", "&&", "`", "#{"];

/// Commands that look and do not touch, as long as their options say nothing else.
const READERS: [&str; 20] = [
    "ls", "cat", "head", "tail", "wc", "find", "grep", "rg", "echo", "pwd", "whoami", "date", "which", "file", "stat",
    "du", "df", "tree", "less", "more",
];

/// The same for `git`, by its second word.
const GIT_READERS: [&str; 7] = ["status", "log", "diff", "show", "branch", "remote", "tag"];

/// Options with which `git branch` and `git tag` list, so that further words are patterns and not new names.
const GIT_LISTING: [&str; 8] =
    ["--list", "--contains", "--no-contains", "--merged", "--no-merged", "--points-at", "--sort", "--format"];

/// Options with which they change something; `git` takes any unambiguous beginning of them.
const GIT_CHANGING: [&str; 9] = [
    "--delete",
    "--force",
    "--move",
    "--copy",
    "--set-upstream-to",
    "--unset-upstream",
    "--edit-description",
    "--create-reflog",
    "--local-user",
];

/// `read` when nothing in the command can change anything, as far as its words tell.
#[must_use]
pub fn command(text: &str) -> SideEffect {
    // ASCII only: to a shell any other space is part of a word.
    let text = text.trim_ascii();
    if text.is_empty() {
        return SideEffect::Read;
    }
    if text.bytes().any(is_operator) || text.contains("#{") {
        return SideEffect::Irreversible;
    }
    match reader(text) {
        Some((reader, options)) if !changes(reader, options) => SideEffect::Read,
        _ => SideEffect::Irreversible,
    }
}

/// The reference's own answer, with its known holes (`find . -delete` reads).
#[cfg(test)]
fn reference(text: &str) -> SideEffect {
    // Python's spaces are those of Unicode and four separators.
    let text = text.trim_matches(|char: char| char.is_whitespace() || matches!(char, '\u{1c}'..='\u{1f}'));
    let operator = || REFERENCE_OPERATORS.iter().any(|operator| text.contains(operator));
    if text.is_empty() || (!operator() && reader(text).is_some()) { SideEffect::Read } else { SideEffect::Irreversible }
}

/// The reader that a command begins with, and the rest. Exactly one space ends a name.
fn reader(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    if READERS.contains(&word) {
        return Some((word, rest));
    }
    let (second, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    (word == "git" && GIT_READERS.contains(&second)).then_some((second, rest))
}

/// Whether the options make a reader write, delete or run something.
fn changes(reader: &str, options: &str) -> bool {
    // A shell takes quotes away and opens braces; `-del"ete"` and `{-delete,}` are `-delete`.
    let options: String = options.chars().filter(|char| !matches!(char, '"' | '\'' | '\\')).collect();
    let braces = options.contains('{') && (options.contains(',') || options.contains(".."));
    let mut words = options.split_ascii_whitespace();
    let any = |test: fn(&str) -> bool| options.split_ascii_whitespace().any(test);
    match reader {
        "find" => {
            braces || any(|word| ["-delete", "-exec", "-ok", "-fprint", "-fls"].iter().any(|o| word.starts_with(o)))
        }
        "rg" => braces || any(|word| matches!(long(word), "--pre" | "--hostname-bin")),
        "tree" => braces || any(|word| short(word, "oR")),
        "less" => braces || any(|word| word.starts_with('+') || short(word, "oO") || long(word) == "--log-file"),
        "file" => braces || any(|word| short(word, "C") || long(word) == "--compile"),
        "date" => {
            let number = |word: &str| word.starts_with(|char: char| char.is_ascii_digit()) && !word.contains('-');
            braces || any(|word| short(word, "s") || begins("--set", word)) || words.any(number)
        }
        "status" | "log" | "diff" | "show" => braces || any(|word| begins("--output", word)),
        "remote" => {
            braces || words.find(|word| !word.starts_with('-')).is_some_and(|word| !matches!(word, "show" | "get-url"))
        }
        "branch" => braces || any(changes_refs) || any(|word| short(word, "dDmMcCfu")) || names_ref(&options),
        "tag" => braces || any(changes_refs) || any(|word| short(word, "dasufmFe")) || names_ref(&options),
        _ => false,
    }
}

/// A long option without its value.
fn long(word: &str) -> &str {
    word.split_once('=').map_or(word, |(option, _)| option)
}

/// Whether a word is the beginning of this long option.
fn begins(option: &str, word: &str) -> bool {
    let word = long(word);
    word.len() > 2 && option.starts_with(word)
}

/// Whether a word is a cluster of short options with one of these.
fn short(word: &str, letters: &str) -> bool {
    word.strip_prefix('-').is_some_and(|cluster| !cluster.starts_with('-') && cluster.contains(|c| letters.contains(c)))
}

fn changes_refs(word: &str) -> bool {
    GIT_CHANGING.iter().any(|option| begins(option, word))
}

/// Whether `git branch` or `git tag` is given a name to make.
fn names_ref(options: &str) -> bool {
    let listing = |word: &str| short(word, "l") || GIT_LISTING.contains(&long(word));
    !options.split_ascii_whitespace().any(listing)
        && options.split_ascii_whitespace().any(|word| !word.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix A.4: both agree.
    const READ: &[&str] = &[
        "",
        "  ",
        "ls",
        "ls -la",
        "git status",
        "echo hi",
        "grep x y",
        "ls ~",
        "ls *",
        "ls (x)",
        "echo hi #x",
        " ls ",
        "git branch",
        "git branch -a",
        "git branch -vv",
        "git branch --list x",
        "git tag",
        "git tag -l v*",
        "git remote",
        "git remote -v",
        "git remote show origin",
        "git log --oneline",
        "date",
        "date +%s",
        "date -d 2020-01-01",
        "find . -name x",
        "rg --pretty x",
        "tree -a",
        "less f",
        "more f",
        "git show HEAD@{1}",
    ];
    const IRREVERSIBLE: &[&str] = &[
        "LS",
        "lsx",
        "ls\t-la",
        "git",
        "git  status",
        "sort x",
        "env",
        "printenv",
        "echo \"a;b\"",
        "cat a\nrm b",
        "echo $HOME",
        "cat f && rm x",
        "cat f || x",
        "cat >f",
        "cat f | sh",
        "cat <<x",
        "diff <(x)",
        "echo `x`",
        "echo #{x}",
        "a\rb",
        "rm x",
        "git push",
        "git statusx",
        "/bin/ls",
        "FOO=1 ls",
        "sudo ls",
    ];
    /// Holes of the reference (engine.md §2.4), and forms of them.
    const HOLES: &[&str] = &[
        "cat f & rm x",
        "cat <x",
        "find . -delete",
        "find . -exec rm {} +",
        "find . -execdir x",
        "find . -ok x",
        "find . -okdir x",
        "find . -fprint f",
        "find . -fprintf f x",
        "find . -fls f",
        "find . -del\"ete\"",
        "find . '-delete'",
        "find . -del\\ete",
        "find . {-delete,x}",
        "git branch -D x",
        "git branch -d x",
        "git branch -m a b",
        "git branch -M b",
        "git branch -f a",
        "git branch --delete x",
        "git branch --del x",
        "git branch --force x",
        "git branch -rd x",
        "git branch --move x",
        "git branch -u o/x",
        "git branch new",
        "git tag -d x",
        "git tag v1",
        "git tag -f v1",
        "git tag -am x v1",
        "git remote add x y",
        "git remote remove x",
        "git remote rename a b",
        "git remote set-url a b",
        "git remote -v add x y",
        "git remote rm x",
        "date -s x",
        "date --set=x",
        "date --se x",
        "date 010203042030",
        "tree -o f",
        "tree -ao f",
        "git log --output=x",
        "git diff --output x",
        "git show --outp=x",
        "rg --pre x y",
        "rg --pre=x y",
        "less +!x f",
        "less -oOut f",
        "file -C -m x",
        "\u{a0}ls",
    ];

    #[test]
    fn commands_that_look_are_told_from_commands_that_touch() {
        for text in READ {
            assert_eq!(command(text), SideEffect::Read, "{text:?}");
            assert_eq!(reference(text), SideEffect::Read, "{text:?}");
        }
        for text in IRREVERSIBLE {
            assert_eq!(command(text), SideEffect::Irreversible, "{text:?}");
            assert_eq!(reference(text), SideEffect::Irreversible, "{text:?}");
        }
    }

    #[test]
    fn the_holes_of_the_reference_are_closed() {
        for text in HOLES {
            assert_eq!(command(text), SideEffect::Irreversible, "{text:?}");
            assert_eq!(reference(text), SideEffect::Read, "{text:?}");
        }
    }

    #[test]
    fn ours_never_reads_where_the_reference_does_not() {
        for first in READERS.iter().map(|word| (*word).to_owned()).chain(GIT_READERS.map(|word| format!("git {word}")))
        {
            for rest in ["", " ", " -x", " a b", "  --o", "\tx", " é", " \u{1f}"] {
                let text = format!("{first}{rest}");
                if command(&text) == SideEffect::Read {
                    assert_eq!(reference(&text), SideEffect::Read, "{text:?}");
                }
            }
        }
    }
}
