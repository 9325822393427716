//! Commands: the vectors of engine.md A.6.

use super::*;

#[test]
fn commands_follow_the_vectors() {
    let listed = Given::default().commands(&["ls", "cat", "echo", "git", "/bin/ls"]);
    let within = project();
    let both = |command: &str, with_list: &Verdict, with_paths: &Verdict| {
        let arguments = args("command", command);
        assert_eq!(listed.judge(&arguments), *with_list, "{command:?} with a list");
        assert_eq!(within.judge(&arguments), *with_paths, "{command:?} with paths");
    };
    let inside = Verdict::Inside;
    for command in [
        "ls",
        "ls -la",
        "\"ls\" x",
        "'ls' x",
        "l\"s\"",
        "\\ls",
        "  ls  ",
        "ls *",
        "ls {a,b}",
        "ls \"unclosed",
        "git push",
        "",
        "  ",
        "''",
        "\u{a0}ls\u{a0}",
    ] {
        both(command, &inside, &inside);
    }
    // Nobody can say what a variable holds (§6.1).
    both("ls $HOME", &inside, &outside(UnknowablePath));
    both("/bin/ls", &inside, &outside(Path));
    for command in ["./ls", "rm", "LS", "FOO=1 ls", "env ls", "sudo ls", "(ls)", "!ls", "time ls"] {
        both(command, &outside(Command), &inside);
    }
    for command in [
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
        "ls \"a;b\"",
    ] {
        both(command, &outside(Chained), &outside(Chained));
        assert_eq!(Given::default().domains(&["*"], &[]).judge(&args("command", command)), outside(Chained));
    }
    for command in [
        "cat /etc/passwd",
        "cat </etc/passwd",
        "cat < /etc/passwd",
        "echo x > /etc/p",
        "echo x>/etc/p",
        "cat ../../etc/passwd",
        "cat ..",
    ] {
        both(command, &inside, &outside(Path));
    }
    both("cat ~/.ssh/id_rsa", &inside, &outside(UnknowablePath));
    for command in ["tar --file=/etc/x", "curl -d @/etc/passwd", "tar -C/etc", "tar -xf a -C ..", "dd if=/etc/x"] {
        both(command, &outside(Command), &outside(Path));
    }
    for value in ["5", "[\"ls\"]", "{\"a\":1}", "true", "0", "[]", "false"] {
        let arguments = format!("{{\"command\":{value}}}");
        for rule in [&listed, &within, &Given::default().domains(&["*"], &[])] {
            assert_eq!(rule.judge(&arguments), outside(CommandNotText), "{value}");
        }
    }
    for arguments in ["{}", r#"{"command":null}"#] {
        assert_eq!(listed.judge(arguments), Verdict::Inside);
        assert_eq!(within.judge(arguments), Verdict::Inside);
    }
}
