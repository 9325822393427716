//! What the server says about keys. Whatever is not plainly a value, or plainly no value, is an error: a counter that is
//! read as 0 by mistake is a limit that is gone (wire.md §7.4, T83–T85).

use edictum_engine::inquiry::Entry;
use edictum_engine::json::{Map, Value};

use crate::error::Error;
use crate::outcome::{Reply, read_json};
use crate::response::Response;

/// Longest version of a key.
const MAX_VERSION: usize = 128;

/// The entry in `{"value": …}`.
///
/// # Errors
/// No such member, or a value of another type than text, number and `null`.
pub fn entry(reply: &Reply) -> Result<Entry, Error> {
    let map = reply.map()?;
    let value = map.get("value").ok_or_else(|| reply.wrong("a member `value`"))?;
    let value = text(map, "value", value).map_err(|what| reply.wrong(what))?;
    Ok(Entry { value, version: map.get("version").and_then(version) })
}

/// The sum in the answer to an increment; none: the server does not say.
///
/// # Errors
/// As [`entry`], and `null`.
pub fn sum(reply: &Reply) -> Result<Option<Entry>, Error> {
    if reply.body.is_none() {
        return Ok(None);
    }
    let entry = entry(reply)?;
    let counts = entry.value.as_ref().is_some_and(|value| !value.is_empty());
    if counts { Ok(Some(entry)) } else { Err(reply.wrong("the sum of a counter in `value`")) }
}

/// The version in the answer to a write, if there is one.
#[must_use]
pub fn written(reply: &Reply) -> Entry {
    let version = reply.map().ok().and_then(|map| version(map.get("version")?));
    Entry { value: None, version }
}

/// The entries in `{"values": {…}}`, in the order of the keys.
///
/// # Errors
/// No such map, a value of another type, or, where `all` is demanded, a key that is not in it.
pub fn entries(reply: &Reply, keys: &[&str], all: bool) -> Result<Vec<Entry>, Error> {
    let map = reply.map()?;
    let values = map.get("values").and_then(Value::as_map).ok_or_else(|| reply.wrong("a map `values`"))?;
    let versions = map.get("versions").and_then(Value::as_map);
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let value = match values.get(key) {
            Some(value) => text(values, key, value).map_err(|what| reply.wrong(what))?,
            None if all => {
                return Err(reply.wrong("each key that was asked for in `values`, with `null` where there is no value"));
            }
            None => None,
        };
        entries.push(Entry { value, version: versions.and_then(|versions| version(versions.get(key)?)) });
    }
    Ok(entries)
}

/// What is there instead, in the answer to a put that was refused; none: it does not say.
#[must_use]
pub fn conflicting(response: &Response) -> Option<Entry> {
    let tape = read_json(str::from_utf8(&response.body).ok()?).ok()?;
    let map = tape.root().as_map()?;
    let value = text(map, "value", map.get("value")?).ok()?;
    Some(Entry { value, version: map.get("version").and_then(version) })
}

/// The entry of a key that does not exist, if a 404 says that and not that nothing at all is at this address.
#[must_use]
pub fn missing(response: &Response, knows_server: bool) -> Option<Entry> {
    let tape = str::from_utf8(&response.body).ok().and_then(|body| read_json(body).ok());
    match tape.as_ref().and_then(|tape| tape.root().as_map()) {
        Some(map) => Some(Entry { value: None, version: map.get("version").and_then(version) }),
        None => (knows_server && response.media_type() != "text/html").then(Entry::default),
    }
}

/// Numbers keep the text they came in.
fn text(map: Map<'_>, key: &str, value: Value<'_>) -> Result<Option<String>, &'static str> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.to_owned())),
        Value::Number(_) => Ok(map.raw(key).map(str::to_owned)),
        _ => Err("a value that is a string, a number or `null`"),
    }
}

/// A text that can be the value of a header, or a number.
fn version(value: Value<'_>) -> Option<String> {
    let version = value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()))?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    ((1..=MAX_VERSION).contains(&version.len()) && version.bytes().all(plain)).then_some(version)
}
