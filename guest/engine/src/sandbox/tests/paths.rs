//! Paths: every spelling and every place in a call where one may hide, and what is no path.

use super::*;

#[test]
fn paths_cannot_leave_by_spelling() {
    for path in [
        W,
        "/home/user/project/",
        "/home/user/project//a",
        "//home/user/project/a",
        "/home/user/project/./a",
        "/home/user/project/sub/..",
        "/home/user/project/missing/../a",
        "a",
        "./a",
        "sub/../a",
        "file:///home/user/project/a",
        "file://localhost/home/user/project/a",
        "/home/user/project/100%",
        "/home/user/project/%41",
        "/home/user/project/...",
        "/home/user/project/a b",
    ] {
        assert_eq!(project().judge(&args("path", path)), Verdict::Inside, "{path}");
    }
    for path in [
        "/home/user/project/../x",
        "/home/user/project/..",
        "/home/user/project/missing/../../out",
        "/home/user/projects",
        "/home/user",
        "/",
        "../x",
        "..",
        "/home/user/project/%2e%2e/x",
        "/home/user/project/%252e%252e/x",
        "/home/user/project/%25252e%25252e/x",
        "/home/user/project/..%2fx",
        r"/home/user/project/..\x",
        r"..\x",
        "/home/user/project/..%5cx",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "FILE:///etc/passwd",
        "%2fetc%2fpasswd",
        "/HOME/user/project/a",
        "file:///home/user/project/%2e%2e/x",
        "file:///home/user/project/a?/../../x",
        "/home/user/project /a",
    ] {
        assert_eq!(project().judge(&args("path", path)), outside(Path), "{path}");
    }
    for path in ["~", "~/x", "~root/x", "a\tb", "a%00b", "a\u{7f}", "%2525252e", "%c0%ae%c0%ae/x", "file://host/x"] {
        assert_eq!(project().judge(&args("path", path)), outside(UnknowablePath), "{path}");
    }
    assert_eq!(project().judge(&args("path", "")), Verdict::Inside);
    assert_eq!(Given::within(&["/"]).judge(&args("path", "/etc/passwd")), Verdict::Inside);
    assert_eq!(project().home("/home/user").judge(&args("path", "~/.ssh/x")), outside(Path));
    assert_eq!(project().home("/home/user").judge(&args("path", "~/project/x")), Verdict::Inside);
    let excluded = project().not_within(&["secrets"]);
    for path in ["secrets", "a/../secrets/x", "%73ecrets/x", r"a\..\secrets", "file:secrets/x"] {
        let verdict = excluded.judge(&args("path", path));
        assert!(matches!(verdict, Verdict::Outside(ExcludedPath | Path)), "{path}: {verdict:?}");
    }
    assert_eq!(excluded.judge(&args("path", "secretsx")), Verdict::Inside);
}

#[test]
fn paths_are_found_wherever_they_hide() {
    for arguments in [
        r#"{"filename":"../x"}"#,
        r#"{"File-Path":"/etc/x"}"#,
        r#"{"outputPath":"../x"}"#,
        r#"{"anything":"/etc/x"}"#,
        r#"{"anything":"../x"}"#,
        r#"{"anything":".."}"#,
        r#"{"anything":"a/../../x"}"#,
        r#"{"anything":"file:///etc/x"}"#,
        r#"{"anything":"%2fetc/x"}"#,
        r#"{"a":[{"b":["/etc/x"]}]}"#,
        r#"{"files":["ok","../x"]}"#,
        r#"{"edits":[{"file_path":"/etc/x"}]}"#,
        r#"{"files":{"/etc/x":"text"}}"#,
        r#"{"files":{"../x/y":"text"}}"#,
        r#"{"cwd":"/etc"}"#,
        r#"{"uri":"file:///etc/x"}"#,
        r#"{"uri":"unix:///etc/x"}"#,
        r#"{"path":"https://../../../x"}"#,
        r#"{"args":["--file=/etc/x"]}"#,
        r#"{"args":["-C.."]}"#,
        r#"{"args":["-rf /etc"]}"#,
        r#"{"path":" /etc/x"}"#,
        r#"{"anything":" /etc/x"}"#,
        r#"{"content":"/etc/x"}"#,
        r#"{"cmd":"cat /etc/x"}"#,
        r#"{"script":"cat ../x"}"#,
        r#"{"bashCommand":"cat a:/etc/x"}"#,
        r#"{"server":{"command":"cat /etc/x"}}"#,
        r#"{"command":"sh -c 'cat /etc/x'"}"#,
        r#"{"command":"sh '-ccat /etc/x'"}"#,
        r#"{"command":"eval 'cat ../x'"}"#,
        r#"{"command":"cat a/b","cwd":"/etc"}"#,
        r#"{"command":"cat \"/etc/x\""}"#,
        r#"{"command":"cat /et\\c/x"}"#,
        r#"{"command":"cat '/etc/x"}"#,
        r#"{"command":"cat x\\ y/../../z"}"#,
        r#"{"command":"docker run -v /etc:/x"}"#,
        r#"{"command":"docker run -v ..:/home/user/project/x"}"#,
        r#"{"command":"env -u X --chdir=.. ls"}"#,
        r#"{"command":"curl file:///etc/x"}"#,
        r#"{"path":"x","cwd":"/home/user/project/a","other":"../../x"}"#,
    ] {
        let verdict = project().judge(arguments);
        assert_eq!(verdict, outside(Path), "{arguments}");
    }
    for arguments in [
        r#"{"command":"cat $HOME/x"}"#,
        r#"{"command":"cat \"$HOME/x\""}"#,
        r#"{"command":"cat /et?/passwd"}"#,
        r#"{"command":"cat a/*"}"#,
        r#"{"command":"cat ../{a,b}"}"#,
        r#"{"command":"cat ~root/x"}"#,
        r#"{"command":"cat 'unclosed $x"}"#,
    ] {
        assert_eq!(project().judge(arguments), outside(UnknowablePath), "{arguments}");
    }
    // The inner shell sees a substitution that the outer text hides.
    assert_eq!(project().judge(r#"{"command":"sh -c $\\(cat\\ x\\)"}"#), outside(Chained));
    assert_eq!(project().judge(r#"{"cmd":"ls; rm"}"#), outside(Chained));
}

#[test]
fn what_is_no_path_stays_out_of_it() {
    for arguments in [
        "{}",
        r#"{"url":"https://api.example.com/../data"}"#,
        r#"{"uri":"https://a.com/x"}"#,
        r#"{"pattern":"a/b","glob":"src/**","count":5,"flag":true,"none":null}"#,
        r#"{"regex":"\\bfoo\\d+"}"#,
        r#"{"file_path":"a.py","content":"/* code */ ../x","new_string":"~/x","old_string":".."}"#,
        r#"{"files":[{"path":"a","content":"/etc/x"}]}"#,
        r#"{"command":"curl https://a.com/x?y=*#z"}"#,
        r#"{"command":"git commit -m 'a/b: fix $x'"}"#,
        r#"{"command":"git show HEAD~1:src/a"}"#,
        r#"{"command":"cat node_modules/@types/node/index.d.ts"}"#,
        r#"{"command":"grep --include='*.py' -r foo ."}"#,
        r#"{"command":"cat a","cwd":"sub"}"#,
        r#"{"command":"cat ../a","cwd":"/home/user/project/sub"}"#,
        r#"{"command":"cat src/a","working_directory":"/home/user/project"}"#,
    ] {
        assert_eq!(project().judge(arguments), Verdict::Inside, "{arguments}");
    }
    // Without a working directory of its own, the call's counts for commands only.
    let elsewhere = Given::within(&[W]);
    assert_eq!(elsewhere.judge(r#"{"command":"cat src/a","workdir":"/home/user/project"}"#), Verdict::Inside);
    assert_eq!(elsewhere.judge(r#"{"file":"src/a","workdir":"/home/user/project"}"#), outside(Path));
    assert_eq!(project().home("/home/user/project").judge(r#"{"command":"cat ~/a"}"#), Verdict::Inside);
}
