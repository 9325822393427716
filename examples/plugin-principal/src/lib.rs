//! Says whose call it is: the agent's program puts a signed token into an argument, and this plugin verifies it and looks the
//! person up in a directory.
//!
//! [`resolve`] is what it does; `plugin` is how it is asked, and only there in wasm; [`token`] makes and verifies tokens,
//! [`directory`] knows people and keys. No token, where the configuration wants one, is an error, and so is anything about a
//! token that is not in order: the call is blocked.

pub mod directory;
#[cfg(target_family = "wasm")]
mod plugin;
pub mod token;

use directory::Directory;
use serde_json::Value;

/// The principal of a call at a moment, in seconds since 1970 (JSON, or nobody).
///
/// # Errors
/// The token is missing or not in order. Errors never quote it.
pub fn resolve(directory: &Directory, tool: &str, arguments: &str, now: u64) -> Result<Option<String>, String> {
    let arguments: Value = serde_json::from_str(arguments).map_err(|_| "the arguments are not JSON".to_owned())?;
    let token = match arguments.get(&directory.argument) {
        None | Some(Value::Null) => return directory.nobody(),
        Some(Value::String(token)) => token,
        Some(_) => return Err(format!("`{}` is not a text", directory.argument)),
    };
    let grant = token::verify(token, |key| directory.key(key))?;
    if grant.exp <= now {
        return Err(format!("the token of `{}` has expired", grant.sub));
    }
    if grant.exp - now > directory.longest_s {
        return Err(format!("the token of `{}` is valid for too long", grant.sub));
    }
    if !grant.tools.is_empty() && !grant.tools.iter().any(|allowed| allowed == tool) {
        return Err(format!("the token of `{}` is not for `{tool}`", grant.sub));
    }
    directory.principal(&grant).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use token::Grant;

    const NOW: u64 = 1_800_000_000;

    fn directory(more: &str) -> Directory {
        let text = include_str!("../directory.json");
        let text = text.replacen('{', &format!("{{{more}"), 1);
        Directory::read(&text).unwrap()
    }

    fn token(sub: &str, exp: u64, tools: &[&str]) -> String {
        let directory = directory("");
        let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        token::sign(&Grant { sub: sub.to_owned(), exp, tools }, "2026-a", directory.key("2026-a").unwrap()).unwrap()
    }

    fn resolved(directory: &Directory, tool: &str, token: &str) -> Result<Option<Value>, String> {
        let arguments = serde_json::json!({ "auth_token": token, "command": "ls" }).to_string();
        let principal = resolve(directory, tool, &arguments, NOW)?;
        Ok(principal.map(|principal| serde_json::from_str(&principal).unwrap()))
    }

    #[test]
    fn a_person_of_the_directory() {
        let principal = resolved(&directory(""), "Bash", &token("alice", NOW + 60, &[])).unwrap().unwrap();
        assert_eq!(principal["user_id"], "alice");
        assert_eq!(principal["role"], "sre");
        assert_eq!(principal["claims"]["team"], "payments");
        assert_eq!(principal["claims"]["on_call"], true);
    }

    #[test]
    fn what_is_not_in_order_is_an_error_and_quotes_no_token() {
        let forged = |change: fn(&mut Vec<u8>)| {
            let mut forged = token("alice", NOW + 60, &[]).into_bytes();
            change(&mut forged);
            String::from_utf8(forged).unwrap()
        };
        let cases = [
            ("", "not a token"),
            ("et1", "not a token"),
            ("et1.2026-a.e30", "not a token"),
            ("et2.2026-a.e30.AAAA", "not a token"),
            ("et1.other.e30.AAAA", "unknown key"),
            ("et1.2026-a.e30.AAAA", "signature"),
            ("et1.2026-a.e30.", "signature"),
            (&forged(|token| token[20] ^= 1), "signature"),
            (&forged(|token| token.truncate(token.len() - 1)), "signature"),
            (&token("alice", NOW, &[]), "expired"),
            (&token("alice", 1, &[]), "expired"),
            (&token("alice", NOW + 1_000_000_000_000, &[]), "too long"),
            (&token("alice", NOW + 60, &["Read"]), "not for `Bash`"),
            (&token("mallory", NOW + 60, &[]), "nobody is called `mallory`"),
            (&token("", NOW + 60, &[]), "nobody is called ``"),
        ];
        for (token, expected) in cases {
            let error = resolved(&directory(""), "Bash", token).unwrap_err();
            assert!(error.contains(expected), "{token}: {error}");
            assert!(token.len() < 10 || !error.contains(token), "{error}");
        }
        assert!(resolve(&directory(""), "Bash", r#"{"auth_token": 1}"#, NOW).is_err());
    }

    #[test]
    fn a_token_may_be_for_some_tools_only() {
        let token = token("bob", NOW + 60, &["Read", "Bash"]);
        assert_eq!(resolved(&directory(""), "Bash", &token).unwrap().unwrap()["role"], "intern");
        assert!(resolved(&directory(""), "Write", &token).is_err());
    }

    #[test]
    fn without_a_token_the_configuration_decides() {
        let without = |more: &str| resolve(&directory(more), "Bash", "{}", NOW);
        assert!(without("").unwrap_err().contains("`auth_token`"));
        assert_eq!(without(r#""without_token": "nobody","#), Ok(None));
        let guest = without(r#""without_token": {"role": "guest"},"#).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&guest).unwrap()["role"], "guest");
        assert_eq!(
            resolve(&directory(r#""without_token": "nobody","#), "Bash", r#"{"auth_token":null}"#, NOW),
            Ok(None)
        );
    }

    /// The calls of the README are made with tokens of its own key, which end in 2100.
    #[test]
    fn the_tokens_of_the_example_are_the_ones_it_says() {
        let calls = include_str!("../calls.jsonl");
        let grants = [("alice", &[][..]), ("bob", &["Read"][..])];
        for (sub, tools) in grants {
            let token = token(sub, 4_102_444_800, tools);
            assert!(calls.contains(&token), "{sub}: {token}");
        }
    }
}
