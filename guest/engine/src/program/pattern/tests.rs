//! Every row of engine.md §4, and what templates and fixtures use.

use proptest::prelude::*;

use super::*;

fn search(pattern: &str) -> Pattern {
    Pattern::compile(pattern, Use::Search).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

fn replace(pattern: &str) -> Pattern {
    Pattern::compile(pattern, Use::Replace).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

fn refused(pattern: &str) -> PatternError {
    Pattern::compile(pattern, Use::Search).expect_err(pattern)
}

/// What each pattern finds, and what it does not: Python's answers.
const SEARCHES: &[(&str, &[&str], &[&str])] = &[
    // The end of the text, or before the newline there.
    ("a$", &["a", "a\n", "ba\n"], &["a\n\n", "a\nb", "ab"]),
    ("a$|b", &["a\n", "xbx"], &["ax"]),
    (r"(\s|$)x?$", &["", "\n", "ab", "x\n"], &[]),
    ("(?:a$)?b?", &["", "a\n"], &[]),
    ("^$", &["", "\n"], &["\n\n", "a"]),
    ("a$$", &["a\n"], &["ab"]),
    (r"a\Z", &["a"], &["a\n"]),
    ("(?m)^b$", &["a\nb\nc", "b", "a\nb\n"], &["ab", "b\r\nc"]),
    ("(?m)^$", &["", "a\n", "a\n\nb"], &["a"]),
    (r"(?m:^b)", &["a\nb"], &["ab"]),
    // Repetitions and literal braces.
    ("^a{,2}$", &["", "aa"], &["aaa"]),
    ("^a{,}$", &["", "aaaa"], &["b"]),
    ("^a{2,}$", &["aa", "aaa"], &["a"]),
    ("a{", &["a{"], &["a"]),
    ("a{}", &["a{}"], &["a"]),
    ("a{x}", &["a{x}"], &["ax"]),
    ("a{1,x}", &["a{1,x}"], &["a"]),
    ("a{ 1}", &["a{ 1}"], &["a"]),
    ("{", &["{"], &["}"]),
    ("}", &["}"], &["{"]),
    (":(){.*};:", &[":{ :|:& };:"], &[":(){ :|:& };:"]),
    ("^a{2}?$", &["aa"], &["a"]),
    // Sets.
    ("[[]", &["["], &["]"]),
    ("[a[b]c]", &["ac]", "[c]"], &["a", "[a]"]),
    ("^[[:alpha:]]$", &[":]", "[]", "a]"], &["b]", "a", "x"]),
    ("[a&&b]", &["&", "a", "b"], &["c"]),
    ("[a~~b]", &["~"], &["c"]),
    ("[a||b]", &["|"], &["c"]),
    ("[]a]", &["]", "a"], &["["]),
    ("[^]a]", &["b"], &["]", "a", ""]),
    ("[a-]", &["-", "a"], &["b"]),
    ("[-a]", &["-", "a"], &["b"]),
    (r"[\w-]", &["-", "a"], &["+"]),
    (r"[\d.]", &["1", "."], &["a"]),
    (r"[^\d]", &["a", "\n"], &["1", "٣"]),
    (r"[\b]", &["\u{8}"], &["b"]),
    (r"[\]]", &["]"], &["\\"]),
    ("[a-c-e]", &["-", "e", "b"], &["d"]),
    (r"[\x41-\x43]", &["B"], &["D"]),
    (r"[\1\07]", &["\u{1}", "\u{7}"], &["1", "7"]),
    // Escapes.
    (r"\0", &["\0"], &["0"]),
    (r"\01", &["\u{1}"], &["1"]),
    (r"\012", &["\n"], &["2"]),
    (r"\0123", &["\n3"], &["\n"]),
    (r"\08", &["\08"], &["\0"]),
    (r"\141", &["a"], &["1"]),
    (r"\377", &["ÿ"], &["7"]),
    (r"\x41\u00e9\U0001F600", &["Aé😀"], &["A"]),
    (r"\<a\>", &["<a>"], &["a"]),
    ("\\é", &["é"], &["e"]),
    (r#"\/\-\ \"\'\:\#\@\%\&\~\!\,\;\=\_\`"#, &["/- \"':#@%&~!,;=_`"], &[""]),
    (r"\a\f\v\r\t\n", &["\u{7}\u{c}\u{b}\r\t\n"], &["afvrtn"]),
    (r"\.\*\+\?\(\)\[\]\{\}\|\^\$\\", &[r".*+?()[]{}|^$\"], &["x"]),
    // Groups, flags, comments.
    ("a(?#x)b", &["ab"], &["a"]),
    (r"a(?#\))b", &["ab"], &["axb"]),
    ("a(?#c)*b", &["b", "aab"], &["a"]),
    ("(?P<n>a)b", &["ab"], &["b"]),
    ("(?:)*a", &["a"], &["b"]),
    ("(?:^)*a", &["ba"], &["b"]),
    ("(?i)ab", &["AB", "aB"], &["a"]),
    ("(?i)(?s)a.b", &["A\nB"], &["AB"]),
    ("(?is)a.b", &["A\nB"], &["AB"]),
    ("a(?i:b)c", &["aBc"], &["aBC", "ABc"]),
    ("(?i:a(?-i:b))", &["Ab"], &["AB"]),
    ("(?i)k", &["K", "\u{212a}"], &["x"]),
    ("(?i)s", &["ſ", "S"], &["x"]),
    ("(?i)ς", &["Σ", "σ"], &["s"]),
    ("(?i)[^a]", &["b"], &["A", "a"]),
    ("(?i)[a-c]", &["B"], &["D"]),
    ("(?ai)k", &["K"], &["\u{212a}"]),
    (r"(?a)\w", &["a", "_"], &["é"]),
    (r"(?a)\d", &["1"], &["٣"]),
    (r"(?a)\s", &[" ", "\u{b}"], &["\u{a0}", "\u{1c}"]),
    (r"(?a)a\b", &["aé", "a"], &["ab"]),
    (r"(?a:\w)\w", &["aé"], &["éa"]),
    (r"(?a)(?u:\w)", &["é"], &["-"]),
    ("(?u)é", &["é"], &["e"]),
    ("(?x) a b # c\n d [ ]", &["abd "], &["abd"]),
    ("(?x)a *", &["", "aa"], &[]),
    (r"(?x)a\ b", &["a b"], &["ab"]),
    ("(?x: a b )c d", &["abc d"], &["abcd"]),
    // Classes as Python knows them.
    (r"^\w+$", &["a²½_é", "٣"], &["e\u{301}", "‿", "a\u{200d}"]),
    (r"^\W$", &["\u{301}", "‿", "-"], &["²", "a"]),
    (r"\s", &["\u{1c}", "\u{1f}", "\u{85}", "\u{a0}", "\u{2028}", " "], &["\u{200b}", "\u{1b}", "a"]),
    (r"^\S$", &["\u{200b}", "a"], &["\u{1c}", " "]),
    (r"\d", &["5", "٣"], &["²", "½", "a"]),
    ("^.$", &["a", "\r", "\u{2028}", "a\n"], &["\n", ""]),
    ("(?s)^.$", &["\n", "a"], &["", "ab"]),
    (r"\bfoo\b", &["a foo b", "foo", "é foo."], &["food", "éfoo"]),
    (r"\B", &["ab", "--"], &["a", ""]),
    (r"\b", &["a"], &["", "--"]),
    // Look-ahead at the start.
    ("^(?!/workspace/).*", &["/etc/passwd", "", "workspace/", "/workspace"], &["/workspace/x"]),
    ("^(?=.*a)(?=.*b)(?!.*c).", &["xbya", "ab"], &["a", "b", "abc", ""]),
    (r"\A(?!a$)", &["b", "ab", ""], &["a", "a\n"]),
    ("^(?!a)b|c", &["b", "xc"], &["a", "xb"]),
    ("^(?!a)b|^(?=x)xy|z", &["b", "xy", "az"], &["ab", "x"]),
    ("(?i)^(?!A)[a-z]+$", &["Bc", "bc\n"], &["abc"]),
    ("(?:^(?!a)b)", &["b"], &["ab"]),
    ("^(?!é)", &["e"], &["é"]),
    // Linear where Python hangs.
    ("^(a+)+$", &["aaaa"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"]),
];

#[test]
fn means_what_python_means() {
    for (pattern, found, missed) in SEARCHES {
        let compiled = search(pattern);
        for text in *found {
            assert!(compiled.is_match(text), "{pattern} does not find {text:?}");
        }
        for text in *missed {
            assert!(!compiled.is_match(text), "{pattern} finds {text:?}");
        }
    }
}

#[test]
fn refuses_what_python_refuses() {
    for pattern in [
        "(?<n>a)",
        r"\z",
        r"\p{L}",
        r"\pL",
        r"\x{41}",
        r"\u{41}",
        r"\e",
        r"\c",
        r"\h",
        r"\R",
        r"\G",
        r"\K",
        r"\Q",
        r"\y",
        "a(?i)b",
        "a|(?i)b",
        "(a(?i)b)",
        "(?U)a",
        "(?R)",
        "(?-i)x",
        "(?i-:x)",
        "(?i",
        "(?iq)a",
        "a**",
        "a{1}{2}",
        "a+*",
        "^*",
        "$*",
        r"\b*",
        r"\A*",
        r"\Z?",
        r"\B+",
        "a{2}*",
        "a*?+",
        "a*++",
        "a???",
        "a{3,2}",
        "{,3}",
        "|*",
        "*",
        "(*a)",
        "(?i)*",
        "[]",
        "[^]",
        "[",
        "[a",
        "[a-",
        "[z-a]",
        r"[\d-z]",
        r"[a-\d]",
        "[a--b]",
        r"[\B]",
        r"[\Z]",
        r"[\A]",
        r"[\8]",
        r"\8",
        r"\1",
        r"(a\1)",
        r"\9a",
        "(?P<n>a)(?P<n>b)",
        "(?P<1>a)",
        "(?P<>a)",
        "(?P<n",
        "(?P=n)",
        "(?P>n)",
        "(?L)a",
        "(?L:a)",
        "(?au)a",
        "(?a)(?u)a",
        "(?i-i:a)",
        "(?-a:b)",
        "(?t:a)",
        "a)",
        "(a",
        "(?",
        "(?:",
        "(?=a",
        "(?#a",
        r"(?#\)",
        r"a\",
        r"\x4",
        r"\u12",
        r"\U00110000",
        r"\400",
        r"[\400]",
        r"\N",
        r"\Nx",
        r"\N{",
        "a{4294967295}",
        "(?(1)a)",
        "(?(0)a)",
        "(?(x)a)",
        "(?(1)a|b|c)(x)",
        "(?<a",
        "(?x) a * ?",
        r"(?<=(a)\1)",
    ] {
        let error = refused(pattern);
        assert_eq!(error.code, Code::RegexSyntax, "{pattern}: {error}");
    }
}

#[test]
fn refuses_what_cannot_be_had_in_linear_time() {
    for (pattern, construct, position) in [
        ("(?<=a)b", "look-behind", 0),
        ("x(?<!a)b", "look-behind", 1),
        ("a(?=b)", "look-ahead", 1),
        ("(?!a)b", "look-ahead", 0),
        ("(?m)^(?!a)", "look-ahead", 5),
        ("^a(?!b)", "look-ahead", 2),
        ("^(?!(?!a))", "look-ahead", 4),
        ("(?:^(?!a).)*", "look-ahead", 4),
        (r"(a)\1", "back-reference", 3),
        (r"(?P<n>a)(?P=n)", "back-reference", 8),
        (r"(a)(?(1)b|c)", "conditional", 3),
        ("(?>a)b", "atomic", 0),
        ("a*+", "possessive", 1),
        ("a++a", "possessive", 1),
        ("a?+", "possessive", 1),
        ("a{1,2}+", "possessive", 1),
        ("(x{1000}){1000}", "too large", 0),
        (r"\N{EM DASH}", "by its name", 0),
        (r"\ud800", "surrogate", 0),
        ("a$b", "`$`", 1),
        (r"(a|$)\s", "`$`", 3),
        (r"a$\Z", "`$`", 1),
        (r"a$\b", "`$`", 1),
        ("$^", "`$`", 0),
        ("(?:a$){2}", "`$`", 4),
        ("(?t)a", "flag `t`", 0),
    ] {
        let error = refused(pattern);
        assert_eq!(error.code, Code::RegexUnsupported, "{pattern}: {error}");
        assert!(error.construct.contains(construct), "{pattern}: {error}");
        assert_eq!(error.position, position, "{pattern}: {error}");
        assert!(error.help.is_some());
    }
}

#[test]
fn a_syntax_error_is_found_after_an_unsupported_construct() {
    assert_eq!(refused("(?<=a)b**").code, Code::RegexSyntax);
    assert_eq!(refused("a++[").code, Code::RegexSyntax);
}

#[test]
fn too_long_and_too_deep_patterns_are_refused() {
    assert!(Pattern::compile(&"é".repeat(MAX_PATTERN), Use::Search).is_ok());
    assert_eq!(refused(&"é".repeat(MAX_PATTERN + 1)).code, Code::RegexUnsupported);
    let deep = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(search(&deep(MAX_NESTING - 1)).is_match("a"));
    assert_eq!(refused(&deep(MAX_NESTING)).code, Code::RegexUnsupported);
    assert_eq!(refused(&deep(4_000)).code, Code::RegexUnsupported);
    assert_eq!(refused("(?:a{0,4294967294}){9}").code, Code::RegexUnsupported);
    assert_eq!(refused("(?:){4000000000}").code, Code::RegexUnsupported);
    assert!(search(r"^[\w.+-]{1,64}@[\w-]{1,255}$").is_match("é@b"));
}

#[test]
fn redaction_replaces_whole_matches() {
    for (pattern, text, expected) in [
        ("sk-[a-z]+", "x sk-abc y sk-d", "x [R] y [R]"),
        ("sk-[a-z]+$", "x sk-abc\n", "x [R]\n"),
        (r"\s+$", "a \n", "a[R]"),
        ("b|a$", "ab a\n", "a[R] [R]\n"),
        ("(a)(b)", "xabx", "x[R]x"),
        ("(?i)é", "É-é", "[R]-[R]"),
        ("^a", "aa", "[R]a"),
        (r"\ba", "aa a", "[R]a [R]"),
        ("(?m)a$", "a\na\n", "[R]\n[R]\n"),
        ("a+?", "aa", "[R][R]"),
        ("x", "abc", "abc"),
        ("a", "", ""),
    ] {
        assert_eq!(replace(pattern).replace_all(text, "[R]"), expected, "{pattern} {text:?}");
    }
    assert!(matches!(replace("x").replace_all("abc", "[R]"), Cow::Borrowed(_)));
    assert_eq!(replace("a").replace_all("a", "$0\\1"), "$0\\1");
}

#[test]
fn redaction_refuses_what_it_cannot_replace_exactly() {
    for pattern in ["x*", "", "a|", "^", r"\b", "^(?!a)b", "(?=a)a", r"a$\s*", r"(?:a$|b)+"] {
        let error = Pattern::compile(pattern, Use::Replace).expect_err(pattern);
        assert_eq!(error.code, Code::RegexUnsupported, "{pattern}");
    }
}

#[test]
fn literals_that_must_be_there_are_found() {
    for (pattern, literals, ignore_case) in [
        ("rm -rf", &["rm -rf"][..], false),
        (r"rm\s+-rf\b", &["-rf"], false),
        (r"\b(rm|mv)\s", &["mv", "rm"], false),
        ("foo$", &["foo"], false),
        ("(?i)drop table", &["drop table"], true),
        ("(?i)password", &["password", "password".replace('s', "ſ").as_str()][..1], true),
        (r"\d{3}-\d{2}", &[], false),
        (r"[\w.]+@[\w.]+", &["@"], false),
        ("a.b", &[], false),
        ("ab?c", &["ac", "abc"], false),
        ("fo+bar", &["bar"], false),
        ("(?:abc){2,}", &["abcabc"], false),
        ("a*", &[], false),
        ("(?:foo|.*)", &[], false),
        ("^(?!x)foo", &["foo"], false),
        ("é+", &["é"], false),
    ] {
        let compiled = search(pattern);
        let found = compiled.required().map(|required| (required.literals.clone(), required.ignore_case));
        if literals.is_empty() {
            assert_eq!(found, None, "{pattern}");
            continue;
        }
        let (found, folded) = found.unwrap_or_else(|| panic!("{pattern}"));
        for literal in literals {
            assert!(found.contains(&literal.as_bytes().to_vec()), "{pattern}: {found:?}");
        }
        assert_eq!(folded, ignore_case, "{pattern}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    /// Both programs of a pattern agree where both may be used, and no match goes without a required literal.
    #[test]
    fn programs_and_literals_agree(pattern in "[ab1k.$^|?*+()\\[\\]{},\\\\wsdbBZ-]{1,12}", text in "[ab1kK \\n.-]{0,8}") {
        if let Ok(pattern) = Pattern::compile(&pattern, Use::Search) {
            let found = pattern.is_match(&text);
            let unicode = Machine::build(pattern.source(), Use::Search, Alphabet::Unicode).unwrap();
            if !text.is_empty() {
                prop_assert_eq!(unicode.clauses.iter().any(|clause| clause.main.is_match(&text)), found);
            }
            if let (true, Some(required)) = (found, pattern.required()) {
                let text = if required.ignore_case { text.to_ascii_lowercase() } else { text.clone() };
                let there = |literal: &Vec<u8>| text.as_bytes().windows(literal.len()).any(|window| window == literal.as_slice());
                prop_assert!(required.literals.iter().any(there), "{:?} {:?}", pattern, required);
            }
        }
    }

    /// A text with stand-ins is matched where the text itself is, and replaced in the same places.
    #[test]
    fn stand_ins_change_no_answer(pattern in "[aké1.$^|?*+()\\[\\],\\\\wsdWSD-]{1,10}", text in "[akKé²1٣\u{a0}— \n😀ſ\u{212a}]{0,8}") {
        if let Ok(pattern) = Pattern::compile(&pattern, Use::Search) && !text.is_empty() {
            let unicode = Machine::build(pattern.source(), Use::Search, Alphabet::Unicode).unwrap();
            let found = unicode.clauses.iter().any(|clause| clause.main.is_match(&text));
            prop_assert_eq!(pattern.is_match(&text), found);
        }
        if let Ok(pattern) = Pattern::compile(&pattern, Use::Replace) {
            let unicode = Machine::build(pattern.source(), Use::Replace, Alphabet::Unicode).unwrap();
            let replaced = pattern.replace_all(&text, "R");
            prop_assert_eq!(replaced == text, !unicode.clauses[0].main.is_match(&text));
            if !pattern.source().contains('$') {
                let mut expected = String::new();
                let mut copied = 0;
                for found in unicode.clauses[0].main.find_iter(&text) {
                    expected.push_str(&text[copied..found.start()]);
                    expected.push('R');
                    copied = found.end();
                }
                expected.push_str(&text[copied..]);
                prop_assert_eq!(replaced, expected);
            }
        }
    }

    #[test]
    fn any_text_as_a_pattern_gets_an_answer(pattern in "\\PC{0,40}", text in "\\PC{0,20}") {
        if let Ok(pattern) = Pattern::compile(&pattern, Use::Search) {
            prop_assert!(pattern.search(&text).is_some());
        }
        let _ = Pattern::compile(&pattern, Use::Replace);
    }
}
