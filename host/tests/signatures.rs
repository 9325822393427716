//! Rulesets that must be signed: what is not signed by a trusted key, byte for byte, is not loaded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]

mod support;

use ed25519_compact::{KeyPair, Seed};
use edictum_host::Ruleset;
use support::{FROZEN, RULES, host};

fn signed(text: &str, key: &KeyPair) -> Ruleset {
    let signature = key.sk.sign(text, None);
    Ruleset { name: "rules.yaml".to_owned(), text: text.to_owned(), signature: Some(hex::encode(*signature)) }
}

#[test]
fn only_what_a_trusted_key_has_signed_is_loaded() {
    let host = host();
    let key = KeyPair::from_seed(Seed::new([7; 32]));
    let other = KeyPair::from_seed(Seed::new([8; 32]));
    let trusting = format!(r#"{{"verify_signatures":true,"signing_public_keys":["{}"]}}"#, hex::encode(*key.pk));
    let build =
        |ruleset: Ruleset, options: &str| pollster::block_on(host.guard("g").ruleset(ruleset).options(options).build());

    let guard = build(signed(RULES, &key), &trusting).unwrap();
    let mut tampered = signed(RULES, &key);
    tampered.text.push('\n');
    for refused in [Ruleset::new("rules.yaml", RULES), signed(RULES, &other), tampered] {
        assert_eq!(build(refused.clone(), &trusting).unwrap_err().code(), "unauthorized");
        let before = guard.policy_version();
        assert_eq!(guard.blocking().reload(vec![refused]).unwrap_err().code(), "unauthorized");
        assert_eq!(guard.policy_version(), before);
    }
    let both = [signed(RULES, &key), Ruleset::new("more.yaml", FROZEN)];
    let built = pollster::block_on(host.guard("g").rulesets(both).options(&trusting).build());
    assert_eq!(built.unwrap_err().code(), "unauthorized", "each of them");
    let keyless = build(signed(RULES, &key), r#"{"verify_signatures":true}"#);
    assert_eq!(keyless.unwrap_err().code(), "unauthorized", "nobody is trusted");
    assert!(build(Ruleset::new("rules.yaml", RULES), "{}").is_ok());
}
