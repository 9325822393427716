//! `edictum-host keygen`, `sign` and `verify`: Ed25519 signatures of rulesets.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use edictum_host::Error;
use edictum_host::serve::{Signer, generate_signing_key};
use serde_json::json;

use super::{End, Trouble, say, start};

/// Makes a key pair for signing rulesets
///
/// The file gets the secret part and is readable by its owner only; the public part is printed, for `signing_public_key` of
/// guards.
#[derive(Args)]
#[command(after_help = "\
Exit code 2 when the file is there already (--force writes over it) or cannot be written.

Examples:
  $ edictum-host keygen -o signing.key
  $ edictum-host keygen -o signing.key --json | jq -r .public_key")]
pub struct Keygen {
    /// Where the secret part goes
    #[arg(short, long, value_name = "FILE", default_value = "signing.key")]
    output: PathBuf,
    /// Writes over a key that is there: rulesets signed with it must be signed again
    #[arg(long)]
    force: bool,
    /// Prints `{"public_key", "file"}`
    #[arg(long)]
    json: bool,
}

impl Keygen {
    pub fn run(self) -> Result<End, Trouble> {
        let (text, signer) = generate_signing_key().map_err(|error| Trouble::Usage(error.to_string()))?;
        write_private(&self.output, &text, self.force)?;
        let (key, file) = (signer.public_key(), self.output.display().to_string());
        if self.json {
            say(&json!({ "public_key": key, "file": file }).to_string())?;
        } else {
            say(&format!("public key: {key}"))?;
            say(&format!("secret key: in `{file}`, readable by you only"))?;
        }
        Ok(End::Good)
    }
}

fn write_private(path: &Path, text: &str, force: bool) -> Result<(), Trouble> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    if force && path.exists() {
        fs::remove_file(path).map_err(Trouble::io(format!("cannot remove `{}`", path.display())))?;
    }
    let written =
        options.open(path).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(Trouble::io(format!("cannot write `{}`", path.display())))
}

/// Signs a ruleset: the exact bytes of the file, and nothing else
#[derive(Args)]
#[command(after_help = "\
Prints the signature (base64), and nothing else. Exit code 2 when key or file cannot be read.

Examples:
  $ edictum-host sign rules.yaml --key signing.key > rules.yaml.sig
  $ edictum-host rulesets push rules.yaml --signature @rules.yaml.sig")]
pub struct Sign {
    /// The ruleset
    file: PathBuf,
    /// The secret key, made by `keygen`
    #[arg(short, long, value_name = "FILE")]
    key: PathBuf,
    /// Prints 128 hex digits instead
    #[arg(long)]
    hex: bool,
    /// Prints `{"signature", "signature_hex", "public_key"}`
    #[arg(long)]
    json: bool,
}

impl Sign {
    pub fn run(self) -> Result<End, Trouble> {
        let text = fs::read_to_string(&self.file).map_err(Trouble::unread(&self.file))?;
        let (signature, key) = signature(&self.key, &text)?;
        let in_hex = hex::encode(signature);
        let in_base64 = base64(signature);
        if self.json {
            let line = json!({ "signature": in_base64, "signature_hex": in_hex, "public_key": key });
            say(&line.to_string())?;
        } else {
            say(if self.hex { &in_hex } else { &in_base64 })?;
        }
        Ok(End::Good)
    }
}

/// A signature by the key in a file, and its public key.
pub fn signature(key: &Path, text: &str) -> Result<([u8; 64], String), Trouble> {
    let signer = Signer::read(key).map_err(|error| Trouble::Usage(error.to_string()))?;
    Ok((signer.sign(text), signer.public_key()))
}

fn base64(signature: [u8; 64]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(signature)
}

/// Says whether a trusted key signed a ruleset
///
/// The signature is taken from FILE.sig when none is given.
#[derive(Args)]
#[command(after_help = "\
Exit code 0 when one of the keys signed exactly these bytes, 1 when none did, 2 when there is no signature or no key.

Examples:
  $ edictum-host verify rules.yaml --public-key 3d4017c3…
  $ edictum-host verify rules.yaml --signature dGhpcyBpcyBub3Qg… --public-key 3d4017c3… --public-key d75a9801…")]
pub struct Verify {
    /// The ruleset
    file: PathBuf,
    /// Base64 or hex, or `@FILE` with that
    #[arg(short, long, value_name = "SIGNATURE")]
    signature: Option<String>,
    /// A trusted key: 64 hex digits (repeatable)
    #[arg(short, long = "public-key", required = true, value_name = "HEX")]
    public_keys: Vec<String>,
    /// Prints `{"verified", "public_key"}`
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self) -> Result<End, Trouble> {
        let text = fs::read_to_string(&self.file).map_err(Trouble::unread(&self.file))?;
        let beside = PathBuf::from(format!("{}.sig", self.file.display()));
        let signature = match self.signature {
            Some(given) => from_file(&given)?,
            None => fs::read_to_string(&beside).map_err(Trouble::unread(&beside))?.trim().to_owned(),
        };
        let host = start()?;
        let (end, key) = match host.block_on(host.verify(&text, &signature, &self.public_keys)) {
            Ok(key) => (End::Good, Some(key)),
            Err(Error::Unauthorized(_)) => (End::Found, None),
            Err(Error::Argument(message)) => return Err(Trouble::Usage(message)),
            Err(error) => return Err(error.into()),
        };
        if self.json {
            say(&json!({ "verified": key.is_some(), "public_key": key }).to_string())?;
        } else {
            say(&key.map_or_else(
                || "none of these keys signed this file as it is".to_owned(),
                |key| format!("signed by {key}"),
            ))?;
        }
        Ok(end)
    }
}

/// A text, or `@FILE` with it.
pub fn from_file(given: &str) -> Result<String, Trouble> {
    match given.strip_prefix('@') {
        Some(path) => Ok(fs::read_to_string(path).map_err(Trouble::unread(Path::new(path)))?.trim().to_owned()),
        None => Ok(given.to_owned()),
    }
}
