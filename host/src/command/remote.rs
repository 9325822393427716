//! A running `edictum-host serve`, as the verbs for operators see it: where it is, the key, and one request.

use std::env;
use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use clap::Args;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::Trouble;

/// Where `edictum-host serve` listens when nobody says otherwise.
pub const ADDRESS: &str = "127.0.0.1:8765";

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

/// Bytes of an answer.
const MAX_ANSWER: usize = 64 << 20;

/// Which server, and with which key.
#[derive(Args)]
pub struct Remote {
    /// The server [default: EDICTUM_URL, or http://127.0.0.1:8765]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// An operator's key; `@FILE` reads it from a file [default: EDICTUM_API_KEY]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Sends the key over plain HTTP to another machine, too
    #[arg(long)]
    allow_insecure: bool,
}

/// A server that was not asked anything yet.
pub struct Server {
    client: Client,
    base: Url,
    key: String,
}

/// What it says.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// A text for people.
    pub fn message(&self) -> String {
        let text = |name: &str| self.body.get(name).and_then(Value::as_str);
        let message = text("message").or_else(|| text("detail")).unwrap_or("it gives no reason");
        message.to_owned()
    }

    /// The body of an answer that says yes.
    pub fn good(self) -> Result<Value, Trouble> {
        match self.status {
            200..=299 => Ok(self.body),
            401 | 403 => Err(Trouble::Usage(format!(
                "the server refuses the key ({}): {}; operators' keys are given with --api-key or EDICTUM_API_KEY",
                self.status,
                self.message()
            ))),
            status => Err(Trouble::Usage(format!("the server answers {status}: {}", self.message()))),
        }
    }
}

impl Remote {
    /// One that is known, whatever the environment says.
    pub fn of(url: String, key: String) -> Self {
        Self { url: Some(url), api_key: Some(key), allow_insecure: false }
    }

    /// Looks at address and key; asks nothing.
    pub fn server(&self) -> Result<Server, Trouble> {
        let given = self.url.clone().or_else(|| env::var("EDICTUM_URL").ok());
        let given = given.unwrap_or_else(|| format!("http://{ADDRESS}"));
        let mut base = Url::parse(given.trim_end_matches('/'))
            .map_err(|error| Trouble::Usage(format!("`{given}` is not an address: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() || !base.username().is_empty() {
            return Err(Trouble::Usage(format!("`{given}` is not an address such as https://edictum.example.com")));
        }
        if base.scheme() == "http" && !is_loopback(&base) && !self.allow_insecure {
            return Err(Trouble::Usage(format!(
                "`{given}` would send the key over plain HTTP; use https, or --allow-insecure if you know the network"
            )));
        }
        base.set_query(None);
        base.set_fragment(None);
        let from_environment = || env::var("EDICTUM_API_KEY").ok().filter(|key| !key.is_empty());
        let key = match self.api_key.clone().or_else(from_environment) {
            Some(given) => secret(&given)?,
            None => {
                let message = "an operator's key is needed: --api-key or EDICTUM_API_KEY";
                return Err(Trouble::Usage(message.to_owned()));
            }
        };
        Ok(Server { client: client()?, base, key })
    }
}

/// A key, or `@FILE` with one.
pub fn secret(given: &str) -> Result<String, Trouble> {
    let key = match given.strip_prefix('@') {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(Trouble::unread(std::path::Path::new(path)))?;
            text.trim().to_owned()
        }
        None => given.to_owned(),
    };
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Trouble::Usage("a key has visible ASCII characters only, and at least one".to_owned()));
    }
    Ok(key)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

fn client() -> Result<Client, Trouble> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Somebody else's choice in this process is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
    });
    // The key goes to this server and nowhere else: no redirects, no proxy.
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .user_agent(concat!("edictum-host/", env!("CARGO_PKG_VERSION")));
    client.build().map_err(|error| Trouble::Usage(format!("no client can be made: {error}")))
}

impl Server {
    /// A request below the server's address.
    pub fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.client.request(method, url).bearer_auth(&self.key)
    }

    /// Sends it, and waits for the head of the answer.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Trouble> {
        request.send().await.map_err(|error| {
            let error = error.without_url();
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            Trouble::Usage(format!("`{}` does not answer: {cause}", self.base))
        })
    }

    /// Sends it, and waits for the whole answer.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Answer, Trouble> {
        let response = self.send(request.timeout(ANSWER)).await?;
        read(response).await
    }
}

/// The rest of an answer.
pub async fn read(mut response: Response) -> Result<Answer, Trouble> {
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    let broken = |error: reqwest::Error| Trouble::Usage(format!("the answer broke off: {}", error.without_url()));
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return Err(Trouble::Usage("the answer is too long".to_owned()));
        }
    }
    let body = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
    let body = body.map_err(|_| Trouble::Usage(format!("the server answers {status}, and not with JSON")))?;
    Ok(Answer { status, body })
}

/// What requests run on.
pub fn runtime() -> Result<Runtime, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Trouble::io("no threads can be started"))
}

/// A text of somebody else's on a terminal: without control characters, and without those that turn its direction around.
pub fn plain(text: &str) -> String {
    let turns = |character| matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |character: char| if character.is_control() || turns(character) { ' ' } else { character };
    text.chars().map(shown).collect()
}

/// A member as a text; empty when it is none.
pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, allow_insecure: bool) -> Result<Server, Trouble> {
        Remote { url: Some(url.to_owned()), api_key: Some("k".to_owned()), allow_insecure }.server()
    }

    #[test]
    fn a_key_never_goes_over_plain_http_to_another_machine() {
        for good in
            ["http://127.0.0.2:1", "http://[::1]", "http://[::ffff:127.0.0.1]", "http://LOCALHOST", "https://a.b/c/"]
        {
            assert!(server(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.1",
            "http://localhost.",
            "http://localhost@evil.com",
            "https://u@a.b",
            "ftp://127.0.0.1",
            "a.b",
            "https://",
        ] {
            assert!(server(bad, false).is_err(), "{bad}");
        }
        assert!(server("http://10.0.0.1", true).is_ok());
    }

    #[test]
    fn parts_of_a_path_cannot_leave_it() {
        let server = server("https://a.b/base/", false).unwrap();
        let request = server.request(Method::GET, &["approvals", "../../x?y#z"], &[("a", "b&c".to_owned())]);
        let url = request.build().unwrap().url().to_string();
        assert_eq!(url, "https://a.b/base/v1/approvals/..%2F..%2Fx%3Fy%23z?a=b%26c");
    }

    #[test]
    fn what_cannot_be_a_header_is_no_key() {
        for bad in ["", "k\n", "é", "a b"] {
            assert!(secret(bad).is_err(), "{bad:?}");
        }
    }
}
