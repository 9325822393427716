//! T28–T40: what a fetch brings, and whether it is taken.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edictum_tests::fault_server::{Received, json as says};
use edictum_tests::stand_in::{Published, public_key, signature, until};
use edictum_tests::wire::ruleset;
use serde_json::{Map, Value, json};

use crate::place::{FETCH, Place};

/// Does a start with a changed answer, and gives the error's code and message.
#[track_caller]
fn start(change: impl FnOnce(&mut Map<String, Value>), more: Value) -> Result<Value, (String, String)> {
    let place = Place::new();
    place.api.alter("rules", change);
    let opened = place.driver().answer("open_server", place.fields(more)).unwrap().result();
    assert_eq!(place.api.count(FETCH), 1, "another answer would be the same");
    if opened.is_ok() {
        assert!(place.blocks("sh") && !place.blocks("cat"));
    }
    opened.map_err(|refused| (refused.code, refused.message))
}

fn loose() -> Value {
    json!({"auto_watch": false, "verify_signatures": false, "signing_public_keys": null})
}

fn strict() -> Value {
    json!({"auto_watch": false})
}

#[track_caller]
fn fails(code: &str, says: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let (found, message) = start(change, loose()).unwrap_err();
    assert!(found == code && message.contains(says), "{found}: {message}");
}

#[test]
fn t28_every_member_that_may_hold_the_text_is_read() {
    for keep in ["yaml", "yaml_bytes"] {
        for more in [strict(), loose()] {
            let only = |body: &mut Map<String, Value>| body.retain(|name, _| name == keep || name == "signature");
            start(only, more).unwrap();
        }
    }
    let renamed = |body: &mut Map<String, Value>| {
        let text = body.remove("yaml").unwrap();
        body.remove("yaml_bytes");
        body.insert("yaml_content".to_owned(), text);
    };
    start(renamed, strict()).unwrap();
}

#[test]
fn t29_two_rulesets_in_one_answer_are_refused() {
    fails("E_INCONSISTENT", "yaml_bytes", |body| {
        body.insert("yaml_bytes".to_owned(), STANDARD.encode(ruleset("rules", "cat")).into());
    });
}

#[test]
fn t30_junk_in_base64_is_not_skipped() {
    fails("E_PROTOCOL", "base64", |body| {
        body.remove("yaml");
        let junk = format!("!!!!{}", body["yaml_bytes"].as_str().unwrap());
        body.insert("yaml_bytes".to_owned(), junk.into());
    });
}

#[test]
fn t31_a_ruleset_of_more_than_a_mebibyte_is_too_large() {
    let large = |length: usize| format!("{}# {}", ruleset("rules", "sh"), "x".repeat(length));
    let fill = 1_048_577 - large(0).len();
    fails("E_TOO_LARGE", "1 MiB", |body| {
        body.remove("yaml");
        body.insert("yaml_bytes".to_owned(), STANDARD.encode(large(fill)).into());
    });
    let fits = |body: &mut Map<String, Value>| {
        body.remove("yaml");
        body.insert("yaml_bytes".to_owned(), STANDARD.encode(large(fill - 1)).into());
    };
    start(fits, loose()).unwrap();
}

#[test]
fn t32_an_empty_ruleset_is_called_so() {
    fails("E_EMPTY_RULESET", "empty", |body| {
        body.remove("yaml");
        body.insert("yaml_bytes".to_owned(), "".into());
    });
}

#[test]
fn t33_a_ruleset_that_is_not_there_is_named() {
    let place = Place::new();
    let refused = place.refused(json!({"bundle_name": "nothing", "env": "staging"}));
    assert_eq!(refused.code, "E_RULESET_NOT_FOUND");
    assert!(refused.message.contains("`nothing`") && refused.message.contains("`staging`"), "{refused}");
    assert_eq!(
        place.api.all().iter().map(|came| came.line()).collect::<Vec<_>>(),
        ["GET /v1/rulesets/nothing/current?env=staging"]
    );
}

#[test]
fn t34_a_ruleset_without_a_signature_is_refused() {
    for nothing in [None, Some(Value::Null), Some(json!(7)), Some(json!(["x"])), Some(json!(""))] {
        let change = |body: &mut Map<String, Value>| {
            body.remove("signature");
            body.extend(nothing.clone().map(|nothing| ("signature".to_owned(), nothing)));
        };
        let (code, message) = start(change, strict()).unwrap_err();
        assert!(code == "E_SIGNATURE" && message.contains("not signed"), "{nothing:?}: {code} {message}");
    }
}

#[test]
fn t35_t36_t37_every_spelling_of_a_signature_and_a_key_is_taken() {
    let signed = signature(1, &ruleset("rules", "sh"));
    for (member, text) in [
        ("signature", hex::encode(&signed)),
        ("signature", hex::encode_upper(&signed)),
        ("signature_hex", hex::encode(&signed)),
        ("signature", URL_SAFE_NO_PAD.encode(&signed)),
        ("signature", STANDARD.encode(&signed).trim_end_matches('=').to_owned()),
    ] {
        let change = |body: &mut Map<String, Value>| {
            body.remove("signature");
            body.insert(member.to_owned(), text.as_str().into());
        };
        start(change, strict()).unwrap_or_else(|error| panic!("{member} {text}: {error:?}"));
    }
    let upper = json!({"auto_watch": false, "signing_public_keys": [public_key(1).to_uppercase()]});
    start(|_| {}, upper).unwrap();
}

#[test]
fn t38_a_changed_byte_is_a_signature_mismatch() {
    let crlf = |body: &mut Map<String, Value>| {
        let text = ruleset("rules", "sh").replace('\n', "\r\n");
        body.insert("yaml".to_owned(), text.as_str().into());
        body.remove("yaml_bytes");
    };
    let (code, message) = start(crlf, strict()).unwrap_err();
    assert!(code == "E_SIGNATURE" && message.contains("signature mismatch"), "{code} {message}");
    let (code, _) = start(|_| {}, json!({"signing_public_keys": [public_key(2)]})).unwrap_err();
    assert_eq!(code, "E_SIGNATURE");
}

#[test]
fn another_ruleset_than_the_one_asked_for_is_refused() {
    let called = |body: &mut Map<String, Value>| {
        body.insert("name".to_owned(), "other".into());
    };
    assert_eq!(start(called, strict()).unwrap_err().0, "E_WRONG_NAME");
    let place = Place::new();
    let text = ruleset("other", "sh");
    place.api.publish("rules", &text);
    assert_eq!(place.refused(json!({})).code, "E_WRONG_NAME");
}

#[test]
fn t39_an_older_ruleset_is_taken_only_when_the_fetch_says_so_twice() {
    let place = Place::alone();
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.open_live(json!({}));
    let (old, new) = (ruleset("rules", "sh"), ruleset("rules", "rm"));
    let version = place.health()["policy_version"].clone();
    // Replayed on the stream, and well signed: a hint, no more.
    let replay = json!({
        "type": "contract_update", "bundle_name": "rules", "version": 1, "yaml_bytes": STANDARD.encode(&old),
        "signature": STANDARD.encode(signature(1, &old)), "public_key": public_key(1),
    });
    place.pass(2_000);
    place.api.push("contract_update", &replay.to_string());
    let _fetched = place.api.wait_for(FETCH, 3);
    assert!(place.blocks("rm") && !place.blocks("sh"));
    // One answer of a cache that is behind.
    let stale = Published::new("rules", &old, 1);
    place.pass(2_000);
    let fetched = place.api.count(FETCH);
    place.api.once(FETCH, says(200, &Value::Object(stale.body).to_string()));
    place.api.push("ruleset_updated", r#"{"name":"rules"}"#);
    let _asked_again = place.api.wait_for(FETCH, fetched + 2);
    assert_eq!(place.health()["policy_version"], version);
    assert!(place.blocks("rm") && !place.blocks("sh"));
    // The server really goes back.
    place.api.publish_version("rules", &old, 1);
    place.pass(2_000);
    place.api.push("ruleset_updated", r#"{"name":"rules","version":1}"#);
    until("it goes back", || place.blocks("sh"));
    assert!(!place.blocks("rm"));
    assert!(place.driver().stderr().contains("goes back from version 2 to 1") && !new.is_empty());
}

#[test]
fn t40_rotation_needs_the_new_key_and_without_it_the_old_rules_stay_visibly() {
    let rotated = |body: &mut Map<String, Value>| {
        let text = ruleset("rules", "rm");
        body.insert("yaml".to_owned(), text.as_str().into());
        body.insert("yaml_bytes".to_owned(), STANDARD.encode(&text).into());
        body.insert("signature".to_owned(), STANDARD.encode(signature(2, &text)).into());
        body.insert("version".to_owned(), 2.into());
        body.remove("revision_hash");
    };
    let (one, both) = (Place::alone(), Place::alone());
    one.open_live(json!({}));
    both.open_live(json!({"signing_public_keys": [public_key(1), public_key(2)]}));
    for place in [&one, &both] {
        place.pass(2_000);
        place.api.alter("rules", rotated);
        place.api.push("ruleset_updated", r#"{"name":"rules","version":2}"#);
    }
    until("the new key counts", || both.blocks("rm"));
    until("it is said", || one.trouble().contains("E_SIGNATURE"));
    assert_eq!(one.health()["stream"], "degraded");
    assert!(one.blocks("sh") && !one.blocks("rm"));
    assert!(one.driver().stderr().contains("E_SIGNATURE"), "whoever watches is told");
}

#[test]
fn t34_no_push_makes_an_unsigned_ruleset_enforced() {
    let place = Place::alone();
    place.open_live(json!({}));
    place.pass(2_000);
    place.api.instead(FETCH, |_: &Received| Some(says(200, &json!({"yaml": ruleset("rules", "rm")}).to_string())));
    let inline = json!({"bundle_name": "rules", "yaml_bytes": STANDARD.encode(ruleset("rules", "rm")), "version": 9});
    place.api.push("contract_update", &inline.to_string());
    until("it is said", || place.trouble().contains("E_SIGNATURE"));
    assert!(place.blocks("sh") && !place.blocks("rm"));
}
