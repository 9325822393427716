//! The operators' page in a real browser, headless: what people see of it, and what they can do without a mouse.
//!
//! Needs Chromium (on the PATH, or named by EDICTUM_CHROMIUM) and chromedriver (EDICTUM_CHROMEDRIVER): Debian's packages
//! `chromium` and `chromium-driver`. Without them the test fails and says so. EDICTUM_SCREENSHOTS names a folder for pictures.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use edictum_tests::wire::{AGENT, OPERATOR, Serve, replace, ruleset, send};
use serde_json::{Value, json};

const HELP: &str = "this test needs Chromium and chromedriver: `apt-get install chromium chromium-driver`, or \
                    EDICTUM_CHROMIUM and EDICTUM_CHROMEDRIVER with their paths";

fn program(variable: &str, names: &[&str]) -> PathBuf {
    if let Some(named) = env::var_os(variable) {
        return named.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut there = env::split_paths(&path).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    there.find(|path| path.is_file()).unwrap_or_else(|| panic!("{HELP}"))
}

struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        let chromium = program("EDICTUM_CHROMIUM", &["chromium", "chromium-browser", "google-chrome"]);
        let mut driver = Command::new(program("EDICTUM_CHROMEDRIVER", &["chromedriver"]))
            .args(["--port=0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver does not start: {error}; {HELP}"));
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.filter_map(|line| {
            let port = line.split("successfully on port ").nth(1)?.trim_end_matches('.').to_owned();
            Some(port)
        });
        let port = port.take(1).next().unwrap_or_else(|| panic!("chromedriver does not listen; {HELP}"));
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-proxy-server".to_owned(),
            "--window-size=1200,1000".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({ "binary": chromium, "args": arguments });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let mut browser =
            Self { driver, address: format!("127.0.0.1:{port}"), session: String::new(), _profile: profile };
        let made = browser.raw("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        made["sessionId"].as_str().unwrap_or_else(|| panic!("{made}; {HELP}")).clone_into(&mut browser.session);
        browser
    }

    fn raw(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let answer = send(&self.address, method, path, &[], &body);
        answer.json()["value"].clone()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let value = self.raw("POST", &format!("/session/{}/{path}", self.session), body);
        assert!(value.get("error").is_none(), "{path}: {value}");
        value
    }

    fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// The value of a script.
    fn look(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": format!("return ({script});"), "args": [] }))
    }

    fn until(&self, script: &str) {
        let start = Instant::now();
        while self.look(script) != json!(true) {
            if start.elapsed() > Duration::from_secs(20) {
                panic!("never: {script}\n{}", self.look("document.body.innerText"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Keys as from a keyboard, to whatever has the focus.
    fn press(&self, keys: &str) {
        let strokes = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })));
        let actions = json!([{ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() }]);
        self.post("actions", &json!({ "actions": actions }));
    }

    fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    fn scheme(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    fn picture(&self, name: &str) {
        let Some(folder) = env::var_os("EDICTUM_SCREENSHOTS") else { return };
        let picture = self.raw("GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        fs::write(Path::new(&folder).join(format!("{name}.png.base64")), picture.as_str().unwrap()).unwrap();
    }

    /// What the browser complained about.
    fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let bad = entries.into_iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        bad.map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            let _ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.raw("DELETE", &path, &Value::Null);
            }));
        }
        let _ended = self.driver.kill();
        let _status = self.driver.wait();
    }
}

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// The smallest contrast between a text and what is behind it, as WCAG counts it.
const CONTRAST: &str = r"(() => {
  const parts = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const light = (color) => {
    const [r, g, b] = parts(color).slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      const alpha = parts(color)[3];
      if (alpha === undefined || alpha > 0) return color;
    }
    return 'rgb(255,255,255)';
  };
  let least = 21;
  for (const node of document.querySelectorAll('h1,h2,h3,p,td,th,button,label,input,pre,span')) {
    if (!node.offsetParent || node.disabled) continue;
    const pair = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
    least = Math.min(least, (pair[0] + 0.05) / (pair[1] + 0.05));
  }
  return least;
})()";

#[test]
fn operators_decide_and_watch_in_a_browser_without_a_mouse_in_light_and_dark() {
    // Only `cargo xtask test` says so, and in its last lines, too.
    if env::var_os("EDICTUM_NO_BROWSER").is_some() {
        eprintln!("not run: there is no Chromium");
        return;
    }
    let browser = Browser::start();
    let folder = tempfile::tempdir().unwrap();
    let rulesets = folder.path().join("rulesets");
    fs::create_dir(&rulesets).unwrap();
    replace(&rulesets.join("rules.yaml"), &ruleset("rules", "sh"));
    let serve = Serve::start(&folder.path().join("data"), &["--rulesets", rulesets.to_str().unwrap()]);
    let ask = |message: &str| {
        let args = r#"{"to": "\u202eprod", "n": 9007199254740993}"#;
        let body =
            format!(r#"{{"tool_name": "deploy", "tool_args": {args}, "message": {}, "timeout": 600}}"#, json!(message));
        serve.agent("POST", "/v1/approvals", &body).is(201)["id"].as_str().unwrap().to_owned()
    };
    let status = |id: &str| serve.agent("GET", &format!("/v1/approvals/{id}"), "").is(200);
    let first = ask("<img src=x onerror=\"document.title='stolen'\"><script>document.title='stolen'</script>");

    let head = send(&serve.address, "GET", "/", &[], "");
    let policy = &head.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");

    // A wrong key is refused, and not kept.
    browser.open(&format!("http://{}/", serve.address));
    browser.until("document.activeElement.id === 'key'");
    browser.press(&format!("{AGENT}{ENTER}"));
    browser.until("document.getElementById('refused').textContent.includes('not an operator')");
    assert_eq!(browser.look("sessionStorage.length + localStorage.length"), 0);
    let refused = browser.complaints();
    assert!(refused.iter().all(|complaint| complaint.contains("403")), "{refused:?}");

    browser.press(&format!("{OPERATOR}{ENTER}"));
    browser.until("document.getElementById('state').textContent === 'Connected'");
    browser.until("document.querySelectorAll('#approvals li').length === 1");
    assert_eq!(browser.look("document.querySelectorAll('#approvals img, #approvals script').length"), 0);
    assert_eq!(browser.look("document.title"), "(1) Edictum");
    let args = browser.look("document.querySelector('#approvals pre').textContent");
    assert_eq!(args, r#"{"to": "\u202eprod", "n": 9007199254740993}"#, "exactly what the tool gets");
    assert_eq!(browser.look("document.querySelector('#rulesets td').textContent"), "rules");
    assert!(!browser.look("document.documentElement.outerHTML").as_str().unwrap().contains(OPERATOR));

    // News arrive by themselves.
    let second = ask("Deploy the second one?");
    browser.until("document.querySelectorAll('#approvals li').length === 2");
    let agent = serve.stream(AGENT, "/v1/stream?bundle_name=rules", &[]);
    browser.until("document.getElementById('agents').textContent.includes('test-agent')");
    let event = json!({ "events": [{ "event_id": "e", "action": "call_blocked", "agent_id": "a", "tool_name": "<b>sh</b>",
        "timestamp": "2026-11-22T06:31:47Z", "reason": "no sh" }] });
    let _kept = serve.agent("POST", "/v1/events", &event.to_string()).is(202);
    browser.until("document.querySelector('#decisions tr')?.textContent.includes('<b>sh</b>') === true");
    replace(&rulesets.join("rules.yaml"), &ruleset("rules", "curl"));
    browser.until("document.querySelectorAll('#rulesets td')[1].textContent === '2'");

    for scheme in ["light", "dark"] {
        browser.scheme(scheme);
        let contrast = browser.look(CONTRAST).as_f64().unwrap();
        assert!(contrast >= 4.5, "{scheme}: {contrast}");
        browser.picture(scheme);
    }
    let grounds = ["light", "dark"].map(|scheme| {
        browser.scheme(scheme);
        browser.look("getComputedStyle(document.body).backgroundColor")
    });
    assert_ne!(grounds[0], grounds[1]);

    // To the first `Approve` by Tab alone, and there with Enter.
    browser.look("document.getElementById('main').focus()");
    let mut reached = false;
    for _ in 0..12 {
        browser.press(TAB);
        reached = browser.look("document.activeElement.dataset.answer === 'approve'") == json!(true);
        if reached {
            break;
        }
    }
    assert!(reached, "the keyboard does not get there");
    browser.press(ENTER);
    browser.until("document.querySelectorAll('#approvals li').length === 1");
    assert_eq!(status(&first)["status"], "approved");
    // The focus is at the next question: a reason, then `Reject`.
    browser.until("document.activeElement.dataset.answer === 'approve'");
    browser.press(TAB);
    browser.look("document.querySelector('#approvals input').focus()");
    browser.press(&format!("not today{TAB}{TAB}{ENTER}"));
    browser.until("document.querySelectorAll('#approvals li').length === 0");
    let second = status(&second);
    assert_eq!(second["status"], "rejected");
    assert_eq!((&second["decision_reason"], &second["decided_via"]), (&json!("not today"), &json!("web")));
    assert_eq!(second["decided_by"], "alice");

    // The key outlives a reload, and nothing else: forgetting it ends everything.
    browser.post("refresh", &json!({}));
    browser.until("document.getElementById('state').textContent === 'Connected'");
    browser.until("document.querySelector('#decisions tr')?.textContent.includes('call_blocked') === true");
    browser.look("document.getElementById('leave').click()");
    browser.until("document.getElementById('board').hidden && document.activeElement.id === 'key'");
    assert_eq!(browser.look("sessionStorage.length + localStorage.length"), 0);
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
    drop(agent);
}
