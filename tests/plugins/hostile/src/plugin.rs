//! The plugin itself.

mod bindings {
    #[cfg(feature = "everything")]
    wit_bindgen::generate!({ path: "wit", world: "plugin" });
    #[cfg(not(feature = "everything"))]
    wit_bindgen::generate!({ path: "wit", world: "hostile" });
}

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bindings::exports::edictum::plugin;
use plugin::plugin_info::{Hook, Manifest};
use serde_json::Value;

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

static CONFIGURATION: OnceLock<Value> = OnceLock::new();

fn configured(name: &str) -> Value {
    CONFIGURATION.get().and_then(|configuration| configuration.get(name)).cloned().unwrap_or_default()
}

fn names(name: &str) -> Vec<String> {
    let names = configured(name);
    names.as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

impl plugin::plugin_info::Guest for Plugin {
    fn describe(configuration: String) -> Result<Manifest, String> {
        let configuration = serde_json::from_str(&configuration).map_err(|error| error.to_string())?;
        let _first = CONFIGURATION.set(configuration);
        if let Some(mode) = configured("describe").as_str() {
            act(mode, "")?;
        }
        let hooks = names("hooks").into_iter();
        let hooks = hooks.map(|name| Hook { name, tools: "*".to_owned(), before: true, after: true });
        Ok(Manifest {
            name: configured("name").as_str().unwrap_or("hostile").to_owned(),
            version: "0.1.0".to_owned(),
            operators: names("operators"),
            selectors: names("selectors"),
            hooks: hooks.collect(),
        })
    }
}

impl plugin::operators::Guest for Plugin {
    fn apply(_name: String, value: String, operand: String) -> Result<bool, String> {
        act(&text(&operand), &text(&value))
    }
}

impl plugin::selectors::Guest for Plugin {
    fn resolve(_prefix: String, call: String) -> Result<String, String> {
        match mode(&call).as_str() {
            "large" => Ok(format!(r#"{{"found":"{}"}}"#, "x".repeat(9 << 20))),
            "text" => Ok(r#""not an object""#.to_owned()),
            "garbage" => Ok("{".to_owned()),
            mode => act(mode, "").map(|holds| format!(r#"{{"found":{holds}}}"#)),
        }
    }
}

impl plugin::hooks::Guest for Plugin {
    fn before(_name: String, call: String) -> Result<plugin::hooks::Verdict, String> {
        Ok(match mode(&call).as_str() {
            "skip" => plugin::hooks::Verdict::Skip,
            mode => match act(mode, "")? {
                true => plugin::hooks::Verdict::Pass,
                false => plugin::hooks::Verdict::Refuse("not so".to_owned()),
            },
        })
    }

    fn after(_name: String, _call: String, output: String) -> Result<(), String> {
        act(&text(&output), "").map(drop)
    }
}

#[cfg(feature = "everything")]
impl plugin::success_check::Guest for Plugin {
    fn succeeded(_tool: String, output: String) -> Result<bool, String> {
        act(&text(&output), "")
    }
}

#[cfg(feature = "everything")]
impl plugin::principal_resolver::Guest for Plugin {
    fn resolve(tool: String, arguments: String) -> Result<Option<String>, String> {
        let arguments: Value = serde_json::from_str(&arguments).map_err(|error| error.to_string())?;
        match arguments.get("who").and_then(Value::as_str) {
            None => Ok(None),
            Some("text") => Ok(Some(r#""somebody""#.to_owned())),
            Some(role) if role.starts_with('!') => act(&role[1..], "").map(|_| None),
            Some(role) => Ok(Some(format!(r#"{{"role":"{role}","claims":{{"tool":"{tool}"}}}}"#))),
        }
    }
}

/// Appends to a file in a folder that has to be granted. Fails the first time, and traps the second.
#[cfg(feature = "everything")]
impl plugin::audit_sink::Guest for Plugin {
    fn emit(events: Vec<String>) -> Result<(), String> {
        use std::io::Write as _;

        let counter = "/log/tries";
        let tries: u32 = std::fs::read_to_string(counter).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        std::fs::write(counter, (tries + 1).to_string()).map_err(|error| error.to_string())?;
        match tries {
            0 => return Err("not now".to_owned()),
            1 => panic!("told to"),
            _ => {}
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open("/log/events.jsonl");
        let mut file = file.map_err(|error| error.to_string())?;
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        file.write_all(lines.as_bytes()).map_err(|error| error.to_string())
    }
}

fn text(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_default()
}

/// The argument `mode` of a call.
fn mode(call: &str) -> String {
    let call: Value = serde_json::from_str(call).unwrap_or_default();
    call.pointer("/args/mode").and_then(Value::as_str).unwrap_or("holds").to_owned()
}

/// Calls of this instance.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Does what it is told to. Whether something could be reached is the answer.
fn act(mode: &str, value: &str) -> Result<bool, String> {
    CALLS.fetch_add(1, Ordering::Relaxed);
    match mode {
        "holds" => Ok(true),
        "holds not" => Ok(false),
        "fail" => Err("told to fail\nwith two lines".to_owned()),
        "fail at length" => Err("x".repeat(1 << 20)),
        "trap" => panic!("told to panic"),
        "exit" => std::process::exit(0),
        "recurse" => Ok(recurse(1) == 0),
        "loop" => loop {
            std::hint::black_box(());
        },
        "sleep" => {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(true)
        }
        "slow" => {
            std::thread::sleep(Duration::from_millis(300));
            Ok(true)
        }
        "hog" => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            while kept.len() < 4096 {
                kept.push(vec![1; 1 << 20]);
            }
            Ok(std::hint::black_box(kept).is_empty())
        }
        "print" => {
            for _ in 0..2_000 {
                println!("{}", "spam".repeat(250));
            }
            Ok(true)
        }
        "print a line" => {
            println!("a line of the plugin's");
            Ok(true)
        }
        "connect" => Ok(std::net::TcpStream::connect(value).is_ok()),
        "bind" => Ok(std::net::TcpListener::bind("127.0.0.1:0").is_ok()),
        "datagram" => Ok(std::net::UdpSocket::bind("127.0.0.1:0").is_ok()),
        "read" => Ok(std::fs::read(value).is_ok()),
        "write" => Ok(std::fs::write(value, "x").is_ok()),
        "list" => Ok(std::fs::read_dir("/").is_ok()),
        "environment" => Ok(std::env::vars().next().is_some() || std::env::args().next().is_some()),
        "variable" => Ok(std::env::var(value).is_ok_and(|value| !value.is_empty())),
        "clock" => Ok(std::time::SystemTime::now() > std::time::UNIX_EPOCH),
        other => Err(format!("there is no mode `{other}`")),
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box([depth; 64])[0] + recurse(depth + 1)
}
