//! What the world of a group is made of: tools, arguments and the values that rules and calls share, so that rules fire.
//!
//! Everything here lies where both engines are meant to agree: no text that only one of them takes for a secret, a path or
//! an address. What lies beyond is in `territory`.

use crate::differential::datum::Datum;
use crate::differential::random::Random;

/// What kind of arguments a tool takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A path.
    File,
    /// A command line.
    Command,
    /// An address.
    Address,
    /// Anything else.
    Data,
}

/// A tool.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub profile: Profile,
}

/// All tools.
pub const TOOLS: &[Tool] = &[
    Tool { name: "Read", profile: Profile::File },
    Tool { name: "Write", profile: Profile::File },
    Tool { name: "Edit", profile: Profile::File },
    Tool { name: "Grep", profile: Profile::File },
    Tool { name: "list_dir", profile: Profile::File },
    Tool { name: "Bash", profile: Profile::Command },
    Tool { name: "run_command", profile: Profile::Command },
    Tool { name: "fetch_url", profile: Profile::Address },
    Tool { name: "browse", profile: Profile::Address },
    Tool { name: "db_query", profile: Profile::Data },
    Tool { name: "send_email", profile: Profile::Data },
    Tool { name: "mcp_github_create", profile: Profile::Data },
    Tool { name: "deploy service", profile: Profile::Data },
    Tool { name: "工具:调用", profile: Profile::Data },
    Tool { name: "a[b", profile: Profile::Data },
];

/// Globs that match some of them.
pub const GLOBS: &[&str] = &[
    "*", "mcp_*", "R*", "?ead", "[RW]*", "[!B]*", "*_*", "*e*", "工*", "a[b", "B?sh", "[a-z]*", "nothing*", "*:*",
    "Read",
];

/// An argument of any tool, and values it may have.
#[derive(Clone, Debug)]
pub struct Field {
    /// Path below `args`.
    pub path: &'static str,
    /// Values that calls use and operands are made from.
    pub samples: Vec<Datum>,
}

const FIELDS: &[&str] =
    &["title", "count", "size", "flag", "items", "opts.level", "opts.deep.x", "body", "note", "größe", "a-b", "x_y"];

const WORDS: &[&str] = &[
    "alpha",
    "beta",
    "draft 7",
    "delete users",
    "SELECT 1",
    "DROP TABLE users",
    "ünïcode",
    "日本語テスト",
    "emoji 😀 here",
    "line one\nline two",
    " leading and trailing ",
    "true",
    "42",
    "it's",
    "say \"hi\"",
    "{args.title}",
    "a{b}c",
    "ΑΒΓ",
    "straße",
    "STRASSE",
    "id-2024-17",
    "user_17@example",
    "x",
    "end.\n",
    "a|b (c) [d] ^$ *+?",
    "100%",
];

const OUTPUTS: &[&str] = &[
    "ok",
    "done: 3 rows",
    "SSN 123-45-6789 and 987-65-4321",
    "mail bob@example.com, alice@example.org",
    "card 4111-1111",
    "日本語の結果 id-77",
    "first\nsecond line\nthird",
    "internal use only",
    "Error rate 5",
    "nothing to see",
    "x-ab y-cd",
];

/// What a tool says when it failed.
pub const FAILURES: &[&str] = &["Error: boom", "error: no such file", "FATAL: out of luck", "fatal:", "ERROR:x"];

/// Paths that calls name; `@SCRATCH@` is a folder of the test's with links in it.
pub const PATHS: &[&str] = &[
    "/workspace/a.txt",
    "/workspace/src/main.rs",
    "/workspace",
    "/workspace/",
    "/workspace//b/./c",
    "/workspace/../etc/passwd",
    "/workspace/x/../y",
    "/workspaces/a",
    "/workspace/private/notes",
    "/etc/passwd",
    "/srv/data/été.txt",
    "/srv/data/private",
    "relative/file.txt",
    "//workspace/z",
    "/bin/ls",
    "@SCRATCH@/w/plain",
    "@SCRATCH@/w/inside/x",
    "@SCRATCH@/w/outside/x",
    "@SCRATCH@/w/outside/../x",
    "@SCRATCH@/w/dangling",
    "@SCRATCH@/w/chain/x",
    "@SCRATCH@/w/missing/../../elsewhere",
    "/",
];

/// Boundaries that rules draw.
pub const BOUNDARIES: &[&str] =
    &["/workspace", "/workspace/", "/srv/data", "@SCRATCH@/w", "@SCRATCH@", "/", "workspace", "/etc"];

/// Boundaries inside those.
pub const INNER: &[&str] = &["/workspace/private", "/srv/data/private", "@SCRATCH@/w/inside", "/etc"];

/// Commands that both engines read alike, under any sandbox.
pub const COMMANDS: &[&str] = &[
    "ls",
    "ls -la",
    "ls -la /workspace",
    "cat /workspace/a.txt",
    "cat /etc/passwd",
    "git status",
    "git push origin main",
    "git log --oneline",
    "echo hi",
    "echo \"a;b\"",
    "rm -rf /workspace/tmp",
    "rm -r /",
    "ls; rm x",
    "ls && rm x",
    "ls | wc -l",
    "ls\nrm x",
    "\"ls\" x",
    "l\"s\" -l",
    "\\ls",
    "'' ls",
    "ls \"unclosed",
    "LS",
    "sudo ls",
    "(ls)",
    "time ls",
    "grep x notes.txt",
    "python3 run.py",
    "  ls  ",
    "",
    "   ",
    "''",
    "/bin/ls",
    "git  status",
    "curl https://api.example.com/v1",
    "curl https://evil.com/x https://api.example.com/",
    "echo日本",
    "echo done > /workspace/out.txt",
    "cat x >> /etc/motd",
    "echo x 2>&1",
    "cat <<EOF",
    "npm test",
];

/// First words that rules allow.
pub const FIRST_WORDS: &[&str] = &["ls", "cat", "git", "echo", "/bin/ls", "rm", "curl", "python3", "grep"];

/// Addresses that calls name.
pub const ADDRESSES: &[&str] = &[
    "https://api.example.com/v1",
    "https://api.example.com",
    "http://sub.example.org:8080/x?y=1#z",
    "HTTPS://API.Example.com/",
    "https://evil.com/",
    "https://sub.evil.com/a",
    "https://example.com/redirect?to=evil",
    "wss://stream.example.org/s",
    "ftp://files.example.net/a.txt",
    "https://[::1]/x",
    "https://10.0.0.1/latest",
    "http://localhost:3000/",
];

/// Globs of hosts.
pub const HOSTS: &[&str] =
    &["api.example.com", "*.example.org", "*.example.com", "evil.com", "*.evil.com", "*", "localhost", "10.*", "::1"];

/// Variables of the environment.
pub const VARIABLES: &[(&str, &str)] = &[
    ("STAGE", "prod"),
    ("LIMIT", "10"),
    ("FLAG", "TRUE"),
    ("RATIO", "1.5"),
    ("PADDED", " 5 "),
    ("EMPTY", ""),
    ("HEX", "0x10"),
    ("GROUPED", "1_000"),
    ("DOTTED.NAME", "off"),
    ("ZEROS", "007"),
    ("EXPONENT", "1e3"),
    ("HUGE", "123456789012345678901234567890"),
];

/// Environments.
pub const ENVIRONMENTS: &[&str] = &["production", "staging", "dev", "Production", "テスト"];

/// Text of a few words; sometimes long.
pub fn text(random: &mut Random) -> String {
    let mut text = random.word(WORDS).to_owned();
    if random.percent(6) {
        text = text.repeat(random.between(2, 60));
    }
    if random.permille(8) {
        text = "long ".repeat(random.between(300, 1_900));
    }
    text
}

/// An integer, small or enormous.
pub fn integer(random: &mut Random) -> Datum {
    const BIG: &[&str] = &[
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "18446744073709551616",
        "100000000000000000000",
        "-123456789012345678901234567890",
    ];
    if random.percent(12) {
        Datum::Int(random.word(BIG).to_owned())
    } else {
        Datum::from(*random.one(&[0, 1, -1, 2, 3, 5, 7, 10, 42, 100, 1_000, -17]))
    }
}

/// A float.
pub fn float(random: &mut Random) -> Datum {
    const FLOATS: &[&str] = &[
        "0.0",
        "1.0",
        "0.5",
        "1.5",
        "-2.75",
        "42.0",
        "0.1",
        "1e3",
        "1.0e22",
        "2.5e-7",
        "9007199254740992.0",
        "123456789012345680.0",
        "1e16",
        "0.0001",
        "0.00001",
        "-0.0",
        "3.141592653589793",
    ];
    Datum::Float(random.word(FLOATS).to_owned())
}

/// A value of any type.
pub fn any(random: &mut Random, depth: usize) -> Datum {
    match random.below(if depth == 0 { 9 } else { 12 }) {
        0..=3 => text(random).into(),
        4 | 5 => integer(random),
        6 => float(random),
        7 => random.percent(50).into(),
        8 => Datum::Null,
        9 | 10 => Datum::list((0..random.below(4)).map(|_| any(random, depth - 1)).collect::<Vec<_>>()),
        _ => {
            const KEYS: &[&str] = &["k", "level", "größe", "n"];
            let mut map = Datum::map([]);
            for _ in 0..random.below(3) {
                map.set(random.word(KEYS), any(random, depth - 1));
            }
            map
        }
    }
}

/// What a tool may return.
pub fn output(random: &mut Random) -> String {
    let mut output = random.word(OUTPUTS).to_owned();
    if random.percent(8) {
        output = vec![output; random.between(2, 40)].join(" / ");
    }
    output
}

/// Fields of a group.
pub fn fields(random: &mut Random) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for _ in 0..random.between(3, 6) {
        let path = random.word(FIELDS);
        if fields.iter().any(|field| field.path == path) {
            continue;
        }
        let samples = (0..random.between(2, 4)).map(|_| match path {
            "title" | "body" | "note" => text(random).into(),
            "count" | "size" | "opts.level" if random.percent(85) => {
                if random.percent(75) {
                    integer(random)
                } else {
                    float(random)
                }
            }
            "flag" if random.percent(80) => random.percent(50).into(),
            "items" if random.percent(70) => {
                Datum::list((0..random.below(4)).map(|_| any(random, 1)).collect::<Vec<_>>())
            }
            _ => any(random, 1),
        });
        let samples = samples.collect();
        fields.push(Field { path, samples });
    }
    fields
}
