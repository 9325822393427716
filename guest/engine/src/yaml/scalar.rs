//! What a plain scalar means: the YAML 1.1 tables of engine.md §1.7. Quoted scalars are strings and never come here.

use num_bigint::BigInt;

use super::Value;

/// Longest number that is read. Above it Python refuses too, and the arithmetic would not be worth an answer.
const MAX_NUMBER: usize = 4300;

/// A scalar that looks like something and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// For the message: what is wrong with it.
    pub(super) what: String,
}

fn unfit(what: impl Into<String>) -> Unfit {
    Unfit { what: what.into() }
}

/// A resolved scalar, and whether its text does not show what it is (`no`, `017`, `1:30`).
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) value: Value,
    pub(super) disguised: bool,
}

fn plainly(value: Value) -> Resolved {
    Resolved { value, disguised: false }
}

/// Resolves a plain scalar without a tag.
pub(super) fn plain(text: &str) -> Result<Resolved, Unfit> {
    // The first character decides, as in the reference; most scalars are words and end here.
    match text.bytes().next() {
        None => return Ok(plainly(Value::Null)),
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => {
            if let Some(number) = number(text)? {
                return Ok(number);
            }
            if is_timestamp(text) {
                return timestamp(text);
            }
        }
        Some(b'~' | b'n' | b'N') if is_null(text) => return Ok(plainly(Value::Null)),
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => {
            if let Some(flag) = boolean(text) {
                let disguised = !matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE");
                return Ok(Resolved { value: Value::Bool(flag), disguised });
            }
        }
        Some(b'=') if text == "=" => return Err(unfit("a lone `=` has a meaning of its own in YAML")),
        Some(b'<') if text == "<<" => return Err(unfit("`<<` is only for keys that merge a map")),
        _ => {}
    }
    Ok(plainly(Value::String(text.to_owned())))
}

/// Resolves a scalar with one of the accepted tags, whatever its quotes. None: no such tag.
pub(super) fn tagged(tag: &str, text: &str) -> Option<Result<Value, Unfit>> {
    let of = |kind: &str| unfit(format!("it does not fit its tag `!!{kind}`"));
    Some(match tag {
        "str" => Ok(Value::String(text.to_owned())),
        "null" => Ok(Value::Null),
        "bool" => boolean(&text.to_ascii_lowercase()).map(Value::Bool).ok_or_else(|| of("bool")),
        "int" => match number(text) {
            Ok(Some(Resolved { value: value @ Value::Int(_), .. })) => Ok(value),
            Ok(_) => Err(of("int")),
            Err(unfit) => Err(unfit),
        },
        "float" => match number(text) {
            Ok(Some(Resolved { value: value @ Value::Float(_), .. })) => Ok(value),
            Ok(Some(Resolved { value: Value::Int(decimal), .. })) => {
                decimal.parse().map(Value::Float).map_err(|_| of("float"))
            }
            Ok(_) => exponent_only(text).map(Value::Float).ok_or_else(|| of("float")),
            Err(unfit) => Err(unfit),
        },
        // Not accepted; but when the text does not even fit, that is the better finding (engine.md §1.4 row 3).
        "timestamp" if !is_timestamp(text) => Err(of("timestamp")),
        _ => return None,
    })
}

fn is_null(text: &str) -> bool {
    matches!(text, "~" | "null" | "Null" | "NULL")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// `1e3`, which is a string unless it is tagged.
fn exponent_only(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    (digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && text.len() <= MAX_NUMBER
        && text.bytes().all(allowed))
    .then(|| text.parse().ok())
    .flatten()
}

fn number(text: &str) -> Result<Option<Resolved>, Unfit> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or("")),
        Some(b'+') => (false, text.get(1..).unwrap_or("")),
        _ => (false, text),
    };
    let Some(shape) = shape(digits, digits.len() == text.len()) else { return Ok(None) };
    if text.len() > MAX_NUMBER {
        return Err(unfit(format!("a number of more than {MAX_NUMBER} characters")));
    }
    let plain: String = digits.chars().filter(|digit| *digit != '_').collect();
    let disguised =
        matches!(shape, Shape::Octal | Shape::Hex | Shape::Binary | Shape::Sexagesimal | Shape::SexagesimalFloat);
    let value = match shape {
        Shape::Decimal => integer(negative, plain.parse().ok()),
        Shape::Octal => integer(negative, BigInt::parse_bytes(plain.as_bytes(), 8)),
        Shape::Hex => integer(negative, radix(&plain, 16)),
        Shape::Binary => integer(negative, radix(&plain, 2)),
        Shape::Sexagesimal => integer(negative, Some(sexagesimal(&plain))),
        Shape::Float => plain.parse().ok().map(|float: f64| Value::Float(signed(negative, float))),
        Shape::SexagesimalFloat => Some(Value::Float(signed(negative, sexagesimal_float(&plain)))),
        Shape::Infinity => Some(Value::Float(signed(negative, f64::INFINITY))),
        Shape::NaN => Some(Value::Float(f64::NAN)),
    };
    match value {
        Some(value) => Ok(Some(Resolved { value, disguised })),
        None => Err(unfit("it begins like a number and has no digits")),
    }
}

fn integer(negative: bool, magnitude: Option<BigInt>) -> Option<Value> {
    magnitude.map(|magnitude| Value::Int(if negative { -magnitude } else { magnitude }.to_string()))
}

fn signed(negative: bool, float: f64) -> f64 {
    if negative { -float } else { float }
}

/// After a prefix of two characters; none when nothing but `_` followed it.
fn radix(prefixed: &str, radix: u32) -> Option<BigInt> {
    BigInt::parse_bytes(prefixed.get(2..)?.as_bytes(), radix)
}

fn sexagesimal(groups: &str) -> BigInt {
    groups.split(':').fold(BigInt::default(), |sum, group| {
        sum * 60
            + group.parse::<u32>().map_or_else(
                // Only the first group can be longer than two digits.
                |_| group.parse().unwrap_or_default(),
                BigInt::from,
            )
    })
}

fn sexagesimal_float(groups: &str) -> f64 {
    groups.split(':').fold(0.0, |sum, group| sum * 60.0 + group.parse::<f64>().unwrap_or(0.0))
}

#[derive(Clone, Copy)]
enum Shape {
    Decimal,
    Octal,
    Hex,
    Binary,
    Sexagesimal,
    Float,
    SexagesimalFloat,
    Infinity,
    NaN,
}

/// What kind of number `text` (without its sign) is written as.
fn shape(text: &str, unsigned: bool) -> Option<Shape> {
    let bytes = text.as_bytes();
    match bytes {
        [b'.', rest @ ..] => {
            return match rest {
                b"inf" | b"Inf" | b"INF" => Some(Shape::Infinity),
                b"nan" | b"NaN" | b"NAN" if unsigned => Some(Shape::NaN),
                [b'0'..=b'9', rest @ ..] if unsigned && is_exponent(after_digits(rest)) => Some(Shape::Float),
                _ => None,
            };
        }
        [b'0', b'x', rest @ ..] if all(rest, |byte| byte.is_ascii_hexdigit()) => return Some(Shape::Hex),
        [b'0', b'b', rest @ ..] if all(rest, |byte| matches!(byte, b'0' | b'1')) => return Some(Shape::Binary),
        [b'0', rest @ ..] if all(rest, |byte| matches!(byte, b'0'..=b'7')) => return Some(Shape::Octal),
        [b'0'..=b'9', ..] => {}
        _ => return None,
    }
    match after_digits(bytes) {
        [] if bytes == b"0" || bytes.first() != Some(&b'0') => Some(Shape::Decimal),
        [b'.', rest @ ..] if is_exponent(after_digits(rest)) => Some(Shape::Float),
        [b':', ..] => sexagesimal_shape(bytes),
        _ => None,
    }
}

/// At least one byte, each fitting or `_`.
fn all(bytes: &[u8], fits: impl Fn(u8) -> bool) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| *byte == b'_' || fits(*byte))
}

fn after_digits(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'_')).unwrap_or(bytes.len());
    bytes.get(end..).unwrap_or(&[])
}

/// Nothing, or an exponent with its sign.
fn is_exponent(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b'e' | b'E', b'+' | b'-', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Groups after the first are 0–59; a point in the last one makes a float.
fn sexagesimal_shape(bytes: &[u8]) -> Option<Shape> {
    let mut groups = bytes.split(|byte| *byte == b':');
    let first = groups.next()?;
    let mut float = false;
    for group in groups {
        if float {
            return None;
        }
        let whole = match group.iter().position(|byte| *byte == b'.') {
            Some(point) => {
                float = true;
                let (whole, fraction) = group.split_at(point);
                if !after_digits(fraction.get(1..).unwrap_or(&[])).is_empty() {
                    return None;
                }
                whole
            }
            None => group,
        };
        if !matches!(whole, [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']) {
            return None;
        }
    }
    match first {
        _ if float => Some(Shape::SexagesimalFloat),
        [b'1'..=b'9', ..] => Some(Shape::Sexagesimal),
        _ => None,
    }
}

/// Year, month and day of a date; and of a timestamp whatever follows.
struct Moment<'t> {
    year: &'t str,
    month: &'t str,
    day: &'t str,
    clock: Option<Clock<'t>>,
}

struct Clock<'t> {
    hour: &'t str,
    minute: &'t str,
    second: &'t str,
    /// Sign, hours and minutes.
    zone: Option<(&'t str, &'t str)>,
}

fn is_timestamp(text: &str) -> bool {
    moment(text).is_some()
}

fn timestamp(text: &str) -> Result<Resolved, Unfit> {
    let wrong = moment(text).and_then(|moment| fault(&moment));
    match wrong {
        None => Ok(plainly(Value::Date(text.to_owned()))),
        Some(what) => Err(unfit(format!("it looks like a date or time, and {what}"))),
    }
}

/// Takes `least..=most` digits off the front.
fn digits<'t>(rest: &mut &'t str, least: usize, most: usize) -> Option<&'t str> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let taken = (count >= least).then(|| rest.get(..count)).flatten()?;
    *rest = rest.get(count..)?;
    Some(taken)
}

fn take(rest: &mut &str, prefix: char) -> Option<()> {
    *rest = rest.strip_prefix(prefix)?;
    Some(())
}

fn moment(text: &str) -> Option<Moment<'_>> {
    let mut rest = text;
    let year = digits(&mut rest, 4, 4)?;
    take(&mut rest, '-')?;
    let month = digits(&mut rest, 1, 2)?;
    take(&mut rest, '-')?;
    let day = digits(&mut rest, 1, 2)?;
    if rest.is_empty() {
        return (month.len() == 2 && day.len() == 2).then_some(Moment { year, month, day, clock: None });
    }
    if take(&mut rest, 'T').or_else(|| take(&mut rest, 't')).is_none() {
        let trimmed = rest.trim_start_matches([' ', '\t']);
        if trimmed.len() == rest.len() {
            return None;
        }
        rest = trimmed;
    }
    let hour = digits(&mut rest, 1, 2)?;
    take(&mut rest, ':')?;
    let minute = digits(&mut rest, 2, 2)?;
    take(&mut rest, ':')?;
    let second = digits(&mut rest, 2, 2)?;
    if take(&mut rest, '.').is_some() {
        rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    }
    let zone = if rest.is_empty() { None } else { zone(rest.trim_start_matches([' ', '\t']))? };
    Some(Moment { year, month, day, clock: Some(Clock { hour, minute, second, zone }) })
}

/// The outer option is whether it is a zone at all.
fn zone(text: &str) -> Option<Option<(&str, &str)>> {
    if text == "Z" {
        return Some(None);
    }
    let mut rest = text.strip_prefix(['+', '-'])?;
    let hours = digits(&mut rest, 1, 2)?;
    if rest.is_empty() {
        return Some(Some((hours, "0")));
    }
    take(&mut rest, ':')?;
    let minutes = digits(&mut rest, 2, 2)?;
    rest.is_empty().then_some(Some((hours, minutes)))
}

fn fault(moment: &Moment<'_>) -> Option<&'static str> {
    let value = |digits: &str| digits.parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (value(moment.year), value(moment.month), value(moment.day));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year == 0 {
        return Some("there is no year 0");
    }
    if !(1..=12).contains(&month) {
        return Some("there is no such month");
    }
    if !(1..=days).contains(&day) {
        return Some("there is no such day");
    }
    let clock = moment.clock.as_ref()?;
    if value(clock.hour) > 23 {
        return Some("there is no such hour");
    }
    if value(clock.minute) > 59 {
        return Some("there is no such minute");
    }
    if value(clock.second) > 59 {
        return Some("there is no such second");
    }
    let (hours, minutes) = clock.zone?;
    (value(hours) * 60 + value(minutes) >= 24 * 60).then_some("there is no such time zone")
}
