//! Tables of engine.md §10 and appendix A.8.

use super::*;
use crate::json::Tape;

fn value(json: &str) -> String {
    let tape = Tape::read(json).unwrap();
    let mut out = String::new();
    Redactor::default().value(&mut out, tape.root());
    assert!(Tape::read(&out).is_ok(), "{out}");
    out
}

fn command(text: &str) -> String {
    Redactor::default().command(text).into_owned()
}

#[test]
fn commands_of_the_appendix() {
    for (text, expected) in [
        ("export API_KEY=abc", "export API_KEY=[REDACTED]"),
        ("export FOO_TOKEN=\"a b\"", "export FOO_TOKEN=[REDACTED]"),
        ("export api_key=abc", "export api_key=[REDACTED]"),
        ("API_KEY=abc cmd", "API_KEY=[REDACTED] cmd"),
        ("EXPORT KEY=1", "EXPORT KEY=[REDACTED]"),
        ("mysql -psecret", "mysql -p[REDACTED]"),
        ("mysql -p secret", "mysql -p [REDACTED]"),
        ("mkdir -p /a/b", "mkdir -p /a/b"),
        ("docker run -p 80:80", "docker run -p 80:80"),
        ("x -prune", "x -prune"),
        ("--no-password x", "--no-password x"),
        ("--password=x y", "--password=[REDACTED] y"),
        ("--password x", "--password [REDACTED]"),
        ("https://u:p@h/x", "https://u:[REDACTED]@h/x"),
        ("https://u:p@h/x@y", "https://u:[REDACTED]@h/x@y"),
        ("http://u.x:p@h", "http://u.x:[REDACTED]@h"),
        ("https://tok@h", "https://tok@h"),
    ] {
        assert_eq!(command(text), expected, "{text}");
        assert_eq!(command(expected), expected);
    }
}

#[test]
fn what_commands_give_away_is_found_in_every_form() {
    for (text, expected) in [
        // Assignments.
        ("TOKEN=a&b next", "TOKEN=[REDACTED] next"),
        ("token+=abc", "token+=[REDACTED]"),
        ("java -Dpassword=x -jar a", "java -Dpassword=[REDACTED] -jar a"),
        ("docker run -eTOKEN=x -e DB_PASS=y i", "docker run -eTOKEN=[REDACTED] -e DB_PASS=[REDACTED] i"),
        ("docker run '-eTOKEN=x y' i", "docker run '-eTOKEN=[REDACTED]' i"),
        ("export MYAPPTOKEN2=x", "export MYAPPTOKEN2=[REDACTED]"),
        ("PGPASSWORD=x psql", "PGPASSWORD=[REDACTED] psql"),
        ("TOKEN='a b'c d", "TOKEN=[REDACTED] d"),
        ("TOKEN=\"a b", "TOKEN=[REDACTED]"),
        ("TOKEN=\"a b\nls", "TOKEN=[REDACTED]\nls"),
        ("TOKEN=a\\ b c", "TOKEN=[REDACTED] c"),
        ("https://h/p?token=abc&page=2#x", "https://h/p?token=[REDACTED]&page=2#x"),
        ("curl 'https://h/p?page=2&api_key=abc' -v", "curl 'https://h/p?page=2&api_key=[REDACTED]' -v"),
        ("password = \"hunter2\"", "password = \"[REDACTED]\""),
        ("$password => 'hunter2'", "$password => '[REDACTED]'"),
        ("apiKey := `x`", "apiKey := `[REDACTED]`"),
        ("max_tokens=5 x=1 a==b key", "max_tokens=5 x=1 a==b key"),
        ("if token == other then", "if token == other then"),
        ("PASSWORD= x", "PASSWORD= x"),
        // Options.
        ("--api-key k --verbose", "--api-key [REDACTED] --verbose"),
        ("--token 'a b' x", "--token [REDACTED] x"),
        ("--secret \\\n  x y", "--secret \\\n  [REDACTED] y"),
        ("--token-file /run/x --key-name y", "--token-file /run/x --key-name y"),
        ("x--password y", "x--password y"),
        ("sudo /usr/bin/mysqldump -u root -p'a b' db", "sudo /usr/bin/mysqldump -u root -p[REDACTED] db"),
        ("docker exec db mysql -pa; mkdir -p b", "docker exec db mysql -p[REDACTED]; mkdir -p b"),
        ("sshpass -p x ssh -p 22 h", "sshpass -p [REDACTED] ssh -p [REDACTED] h"),
        ("mongosh -p x", "mongosh -p [REDACTED]"),
        ("docker login -u me -p x reg", "docker login -u me -p [REDACTED] reg"),
        ("redis-cli -a x", "redis-cli -a [REDACTED]"),
        ("sqlcmd -P x -p 1", "sqlcmd -P [REDACTED] -p 1"),
        ("curl -u me:x https://h", "curl -u me:[REDACTED] https://h"),
        ("curl -ume:x h", "curl -ume:[REDACTED] h"),
        ("curl -u 'me:x y' h", "curl -u 'me:[REDACTED]' h"),
        ("curl -u 'me:x'y h", "curl -u [REDACTED] h"),
        ("curl -u me:'x y' h", "curl -u me:[REDACTED] h"),
        ("curl --user me:x h", "curl --user me:[REDACTED] h"),
        ("curl --proxy-user=me:x h", "curl --proxy-user=me:[REDACTED] h"),
        ("docker run -u 1000:1000 i", "docker run -u 1000:1000 i"),
        ("git push -u origin main; go get -u https://x", "git push -u origin main; go get -u https://x"),
        ("[\"mysql\", \"--password\", \"x\"]", "[\"mysql\", \"--password\", \"[REDACTED]\"]"),
        ("[\\\"--password\\\", \\\"a b\\\"]", "[\\\"--password\\\", \\\"[REDACTED]\\\"]"),
        ("--password \\\"a b\\\" c", "--password \\\"[REDACTED]\\\" c"),
        // Headers and members.
        ("curl -H 'Authorization: Bearer x' h", "curl -H 'Authorization: [REDACTED]' h"),
        ("curl -HAuthorization:Basic\\ x h", "curl -HAuthorization:[REDACTED] h"),
        ("Authorization: Digest a=b, c=d\nHost: h", "Authorization: [REDACTED]\nHost: h"),
        ("-H \"X-Api-Key: x\" -H \"Accept: y\"", "-H \"X-Api-Key: [REDACTED]\" -H \"Accept: y\""),
        ("Cookie: a=b; c=d", "Cookie: [REDACTED]"),
        ("{\"password\": \"a\\\"b\", \"x\": 1}", "{\"password\": \"[REDACTED]\", \"x\": 1}"),
        ("{\\\"password\\\":\\\"a b\\\",\\\"x\\\":1}", "{\\\"password\\\":\\\"[REDACTED]\\\",\\\"x\\\":1}"),
        ("{'clientSecret': 'x', 'pin': 1234}", "{'clientSecret': '[REDACTED]', 'pin': [REDACTED]}"),
        ("{password: 'x'}", "{password: '[REDACTED]'}"),
        ("the key: it opens the door", "the key: it opens the door"),
        ("note: \"hello\"", "note: \"hello\""),
        // User information.
        ("postgres://u:p@ss@h/db", "postgres://u:[REDACTED]@h/db"),
        ("redis://:x@h", "redis://:[REDACTED]@h"),
        ("amqp://a%40b:p/w@h:5672/v", "amqp://a%40b:[REDACTED]@h:5672/v"),
        ("http://h:8080/a@b", "http://h:8080/a@b"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("https://u@h:1/x", "https://u@h:1/x"),
        ("see https://u:@h", "see https://u:@h"),
    ] {
        assert_eq!(command(text), expected, "{text}");
        assert_eq!(command(expected), expected);
        assert_eq!(Redactor::default().text(text), expected, "{text}");
    }
}

#[test]
fn secrets_are_known_by_their_look() {
    let redactor = Redactor::default();
    let (a20, a36, digits) = ("a".repeat(20), "aB3".repeat(12), "0123456789".repeat(6));
    for secret in [
        format!("sk-{a20}"),
        format!("sk-proj-{a36}"),
        "sk-ant-api03-x_y-z_x-y_z-x_y-z".to_owned(),
        format!("sk_live_{a20}"),
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        "ASIAIOSFODNN7EXAMPLE".to_owned(),
        format!("AIza{a36}"),
        format!("ghp_{a36}"),
        format!("gho_{a36}"),
        format!("github_pat_11A_{a36}"),
        "xoxb-123456789012-abc".to_owned(),
        "xoxe-1-abcdefgh".to_owned(),
        format!("glpat-{a20}"),
        format!("npm_{a36}"),
        format!("hf_{a36}"),
        format!("pypi-{digits}"),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".to_owned(),
        format!("eyJ{a20}.x"),
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----".to_owned(),
        "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3Bl".to_owned(),
    ] {
        assert_eq!(redactor.secrets(&secret), MARK, "{secret}");
        for (before, after) in [
            ("", ""),
            ("see ", ""),
            ("x=", ""),
            ("\"", ""),
            ("line\\n", ""),
            ("a%20", ""),
            ("\\x0a", ""),
            ("\\u000a", ""),
            ("é", ""),
            ("_", ""),
            (" ", "\n"),
            ("(", ") é"),
        ] {
            let text = [before, &secret, after].concat();
            let found = redactor.secrets(&text);
            let rest = if secret.contains("OPENSSH") { "" } else { after };
            assert_eq!(found, [before, MARK, rest].concat(), "{text}");
        }
    }
    assert_eq!(redactor.secrets("Bearer abcdefg1"), "Bearer [REDACTED]");
    assert_eq!(redactor.secrets("bearer  a.b-c_d~e+f/g=hijklm"), "bearer  [REDACTED]");
}

#[test]
fn what_only_resembles_a_secret_stays_readable() {
    let redactor = Redactor::default();
    for text in [
        "sk-short",
        "class=\"sk-folding-cube-some-long-name\"",
        "task-aaaaaaaaaaaaaaaaaaaaaaaa",
        "AKIA123",
        "XAKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9",
        "ghp_short",
        "xoxb-123",
        "npm_config_registry_is_a_variable",
        "the bearer of bad news, Bearer authentication",
        "----- BEGIN -----",
        "------------------------------------------------",
        "-----BEGIN",
        "b_=:-IJ",
        "",
    ] {
        assert!(matches!(redactor.secrets(text), Cow::Borrowed(_)), "{text}");
        assert!(matches!(redactor.text(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn arguments_are_redacted_by_key_and_by_value() {
    let long = "é".repeat(1001);
    let cut = format!("{}...", "é".repeat(997));
    for (json, expected) in [
        (r#"{"password":{"a":[1]},"n":1.0}"#, r#"{"password":"[REDACTED]","n":1.0}"#.to_owned()),
        (
            r#"{ "a" : [ 1e400, 12345678901234567890, null, true, {"clientSecret": null} ] }"#,
            r#"{"a":[1e400,12345678901234567890,null,true,{"clientSecret":"[REDACTED]"}]}"#.to_owned(),
        ),
        (r#"{"command":"export T_KEY=a\n"}"#, r#"{"command":"export T_KEY=[REDACTED]\n"}"#.to_owned()),
        (r#"{"a":"AKIAIOSFODNN7EXAMPLE and more"}"#, r#"{"a":"[REDACTED]"}"#.to_owned()),
        (r#"{"a":"see AKIAIOSFODNN7EXAMPLE and more"}"#, r#"{"a":"see [REDACTED] and more"}"#.to_owned()),
        (r#"{"a":"x\u0041KIAIOSFODNN7EXAMPLE \u0041KIAIOSFODNN7EXAMPLE"}"#, r#"{"a":"xAKIAIOSFODNN7EXAMPLE [REDACTED]"}"#.to_owned()),
        (r#"{"a":"\u00e9\/"}"#, r#"{"a":"\u00e9\/"}"#.to_owned()),
        (
            r#"{"AKIAIOSFODNN7EXAMPLE":1,"x AKIAIOSFODNN7EXAMPLF":{"b":2},"[REDACTED]#0":3}"#,
            r##"{"[REDACTED]#0":1,"[REDACTED]#1":{"b":2},"[REDACTED]#2":3}"##.to_owned(),
        ),
        (
            r#"{"argv":["/bin/mysql","-u","root:x","-px","--password","y z","--token-file","f","-v"]}"#,
            r#"{"argv":["/bin/mysql","-u","root:[REDACTED]","-p[REDACTED]","--password","[REDACTED]","--token-file","f","-v"]}"#.to_owned(),
        ),
        (r#"["-p","x",["mysql"],"-p","x"]"#, r#"["-p","x",["mysql"],"-p","x"]"#.to_owned()),
        (r#"["--token",5,"x"]"#, r#"["--token",5,"x"]"#.to_owned()),
        (&format!("[\"{long}\"]"), format!("[\"{cut}\"]")),
        (&format!("[\"{}\"]", &long[2..]), format!("[\"{}\"]", &long[2..])),
        (r#""password=x""#, r#""password=[REDACTED]""#.to_owned()),
        ("1.50", "1.5".to_owned()),
    ] {
        assert_eq!(value(json), expected, "{json}");
        assert_eq!(value(&expected), expected, "{expected}");
    }
}

#[test]
fn a_policy_that_does_not_look_at_values_still_looks_at_keys() {
    let off = Redactor::new(&Redaction { detect_secret_values: false, ..Redaction::default() }).unwrap();
    let text = format!(
        r#"{{"password":"x","c":"TOKEN=a","l":["--token","x"],"k":"AKIAIOSFODNN7EXAMPLE","z":"{}"}}"#,
        "z".repeat(2000)
    );
    let tape = Tape::read(&text).unwrap();
    let mut out = String::new();
    off.value(&mut out, tape.root());
    let cut = format!("{}...", "z".repeat(997));
    assert_eq!(
        out,
        format!(
            r#"{{"password":"[REDACTED]","c":"TOKEN=a","l":["--token","x"],"k":"AKIAIOSFODNN7EXAMPLE","z":"{cut}"}}"#
        )
    );
    assert_eq!(off.text("TOKEN=a"), "TOKEN=a");
    assert_eq!(off.command("TOKEN=a"), "TOKEN=[REDACTED]");
}

#[test]
fn additions_of_a_user_come_first() {
    let additions = Redaction {
        sensitive_keys: vec!["ssn".to_owned()],
        safe_keys: vec!["public_key".to_owned()],
        patterns: vec![(r"(cust)-\d+".to_owned(), r"\1-[ID]".to_owned())],
        detect_secret_values: true,
    };
    let redactor = Redactor::new(&additions).unwrap();
    let tape = Tape::read(r#"{"SSN":1,"publicKey":"k","x":"cust-12 TOKEN=cust-3","token":2}"#).unwrap();
    let mut out = String::new();
    redactor.value(&mut out, tape.root());
    assert_eq!(out, r#"{"SSN":"[REDACTED]","publicKey":"k","x":"cust-[ID] TOKEN=[REDACTED]","token":"[REDACTED]"}"#);
    assert_eq!(redactor.text("cust-1"), "cust-[ID]");
    assert!(
        Redactor::new(&Redaction { patterns: vec![("(".to_owned(), String::new())], ..Redaction::default() }).is_err()
    );
}

/// Would take hours if anything were looked at again and again.
#[test]
fn no_text_takes_more_than_linear_time() {
    let redactor = Redactor::default();
    for piece in [
        "-",
        "=",
        ":",
        "://",
        "a=",
        "eyJ-",
        "eyJaaaaaaaaaaaaaaaaaaaaaaa-",
        "-eyJaaaaaaaaaaaaaaaaaaaaaa_",
        "sk-",
        "a:",
        "://a:b",
        "://u:",
        " -p",
        "mysql -p ",
        "\"",
        "\\",
        "\\\"",
        "token=\"",
        "\"token\":\"",
        "token:\\\"",
        "-----BEGIN A-----",
        "-----BEGIN ",
        "b",
        "bearer ",
        " -u ",
        " -u a",
        " --token",
        "--token ",
        "token = ",
        "a b=",
        "\"a\" =",
        "AKIA",
        "I",
        "J",
        "_",
        "gh",
        "é=",
        "x-key: ",
        "'x-key: ",
        "?token=",
        "@",
        "\\n",
        "%",
        "Authorization:'",
    ] {
        let text = piece.repeat(400_000 / piece.len());
        let once = redactor.text(&text).into_owned();
        assert_eq!(redactor.text(&once), once, "{piece}");
        let json = Tape::read_owned(crate::json::write::strings([&text])).unwrap();
        let mut out = String::new();
        redactor.value(&mut out, json.root());
        assert!(out.len() <= 4 * MAX_STRING + 16, "{piece}");
    }
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of which every pattern is made, and what could come between them.
    const PIECES: &[&str] = &[
        "sk-",
        "AKIA",
        "ASIA",
        "AIza",
        "eyJ",
        "ghp_",
        "github_pat_",
        "xoxb-",
        "xoxe.",
        "glpat-",
        "npm_",
        "hf_",
        "sk_live_",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "-----END ",
        "-----",
        "Bearer ",
        "bearer\t",
        "aaaaaaaaaaaaaaaaaaaa",
        "A1B2C3D4E5F6G7H8I9J0",
        "0123456789",
        ".",
        ".eyJ",
        "password",
        "token",
        "API_KEY",
        "export ",
        "--password",
        "--token",
        "--no-password",
        "--user",
        "-u",
        "-p",
        "-P",
        " ",
        "  ",
        "\t",
        "\n",
        "\"",
        "'",
        "`",
        "\\",
        "\\\"",
        "\\n",
        "=",
        "==",
        "=>",
        ":",
        "://",
        "@",
        "/",
        "?",
        "&",
        "#",
        ",",
        ";",
        "|",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "mysql",
        "mysql ",
        "login ",
        "user:pass",
        "u",
        "x",
        "é",
        "\u{a0}",
        "%20",
        "\\u000a",
        "Authorization",
        "X-Api-Key",
        "Cookie",
        "[REDACTED]",
        "[REDA",
        "...",
        "max_tokens",
        "1234",
        "-",
        "_",
        "$",
        "sqlcmd ",
    ];

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat())
    }

    fn long_text() -> impl Strategy<Value = String> {
        (text(), 940_usize..1010, text(), text())
            .prop_map(|(a, filler, b, c)| [a, "z ".repeat(filler / 2), b, c].concat())
    }

    /// Secrets of every family, with random bodies.
    fn secret() -> impl Strategy<Value = String> {
        prop_oneof![
            "sk-[a-zA-Z0-9]{20,48}",
            "sk-(proj|ant-api03|or-v1)-[a-zA-Z0-9_]{8}[A-Z0-9][a-zA-Z0-9_-]{20,60}",
            "(AKIA|ASIA)[A-Z0-9]{16}",
            "eyJ[a-zA-Z0-9_-]{20,60}\\.[a-zA-Z0-9_-]{10,40}\\.[a-zA-Z0-9_-]{10,40}",
            "gh[pousr]_[a-zA-Z0-9]{36}",
            "github_pat_[a-zA-Z0-9]{22}_[a-zA-Z0-9]{40}",
            "xox[abeprs]-[a-zA-Z0-9-]{10,40}",
            "glpat-[a-zA-Z0-9_-]{20}",
            "AIza[a-zA-Z0-9_-]{35}",
            "sk_live_[a-zA-Z0-9]{24}",
            "npm_[a-zA-Z0-9]{36}",
            "hf_[a-zA-Z0-9]{34}",
            "-----BEGIN (RSA |EC |OPENSSH |)PRIVATE KEY-----\n[a-zA-Z0-9+/=\n]{20,80}\n-----END (RSA |EC |OPENSSH |)PRIVATE KEY-----",
        ]
    }

    /// What commands give away: text before it, the secret, text after it.
    fn given_away() -> impl Strategy<Value = (String, String, String)> {
        let plain = "[a-zA-Z0-9!%+_.^~@-]{6,20}";
        let with_spaces = "[a-zA-Z0-9 !%+/_.^~@&;-]{6,20}";
        prop_oneof![
            ("(export |)[A-Z]{2,6}_(KEY|TOKEN|SECRET|PASSWORD|PASS)=", plain, Just(" x".to_owned())),
            ("(api_key|dbPassword|client-secret)='", with_spaces, Just("' x".to_owned())),
            ("--(token|api-key|password|secret)(=|  ?)", plain, Just(" x".to_owned())),
            ("--(token|api-key|password|secret)(=| )\"", with_spaces, Just("\" x".to_owned())),
            ("mysql -u me -p ?", "[a-zA-Z0-9]{6,20}", Just(" x".to_owned())),
            ("sshpass -p ?'", "[a-zA-Z0-9 ]{6,20}", Just("' x".to_owned())),
            ("curl -u ?[a-z]{2,5}:", "[a-zA-Z0-9!%+_.^~@-]{6,20}", Just(" x".to_owned())),
            (
                "(postgres|https)://[a-z.]{1,8}:",
                "[a-zA-Z!%+_.^~/-][a-zA-Z0-9!%+_.^~/-]{1,9}[a-z]{6}",
                Just("@host/x".to_owned())
            ),
            ("-H 'Authorization: (Bearer |Basic |)", with_spaces, Just("' x".to_owned())),
            ("\\{\"x\": 1, \"(password|accessToken)\": ?\"", with_spaces, Just("\", \"y\": 2}".to_owned())),
            ("\\?a=1&(token|api_key)=", "[a-zA-Z0-9%.+_-]{6,20}", Just("&b=2".to_owned())),
        ]
        .prop_map(|(before, secret, after)| (before, secret, after))
    }

    fn separator() -> impl Strategy<Value = &'static str> {
        prop::sample::select(&[" ", "\n", "\t", "(", "é ", ": ", " , ", "\\n", "%3D", "|"][..])
    }

    fn redacted(json: &str) -> String {
        value(json)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn redacting_twice_changes_nothing(text in prop_oneof![text(), long_text(), any::<String>()]) {
            let redactor = Redactor::default();
            for redact in [Redactor::text, Redactor::secrets, Redactor::command] {
                let once = redact(&redactor, &text).into_owned();
                prop_assert_eq!(redact(&redactor, &once), once.as_str());
            }
            let json = crate::json::write::strings([&text, "--token", &text]);
            let once = redacted(&json);
            prop_assert_eq!(redacted(&once), once.as_str());
        }

        #[test]
        fn no_planted_secret_survives(
            secret in secret(), before in "[a-z0-9 ]{0,40}", gap in separator(), after in prop_oneof![Just(String::new()), " [a-zA-Z0-9 \"'=:-]{0,40}"],
            place in 0_usize..4,
        ) {
            let text = [&before, gap, &secret, &after].concat();
            let redactor = Redactor::default();
            prop_assert!(!redactor.secrets(&text).contains(&secret), "{}", text);
            prop_assert!(!redactor.text(&text).contains(&secret), "{}", text);
            let string = crate::json::write::strings([&text]);
            let string = &string[1..string.len() - 1];
            let json = match place {
                0 => format!("{{\"a\":{string}}}"),
                1 => format!("{{\"a\":[1,{{\"b\":[{string}]}}]}}"),
                2 => format!("{{{string}:1,\"b\":2}}"),
                _ => format!("[[{string},{string}]]"),
            };
            prop_assert!(!redacted(&json).contains(&secret.replace('\n', "\\n")), "{}", json);
        }

        #[test]
        fn no_command_gives_a_secret_away((before, secret, after) in given_away(), first in "([a-z]{2,6} |)", last in "( [a-z]{2,6}|)") {
            let text = format!("{first}{before}{secret}{after}{last}");
            let found = Redactor::default().command(&text).into_owned();
            for part in secret.split(' ').filter(|part| part.len() > 3) {
                prop_assert!(!found.contains(part), "{} -> {}", text, found);
            }
            prop_assert!(found.contains(MARK));
        }

        #[test]
        fn values_keep_their_shape(words in prop::collection::vec(text(), 0..5)) {
            let json = crate::json::write::strings(&words);
            let out = redacted(&json);
            let tape = Tape::read(&out).unwrap();
            prop_assert_eq!(tape.root().as_list().unwrap().len(), words.len());
            for word in tape.root().as_list().unwrap().iter() {
                prop_assert!(word.as_str().unwrap().chars().count() <= MAX_STRING.max(MARK.len()));
            }
        }
    }
}
