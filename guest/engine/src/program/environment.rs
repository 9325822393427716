//! What the text of an environment variable stands for: bool, integer, float, or itself (engine.md §3.2, appendix A.3).

use crate::json::{Builder, Literal};

/// Python refuses to read integers with more digits, and they become floats.
const MAX_DIGITS: usize = 4300;

/// Coerces the text of a variable. Only ASCII digits count, and `nan` stays a text, which could never be equal to itself
/// otherwise.
pub(super) fn coerce(text: &str) -> Literal {
    let mut builder = Builder::new();
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        builder.bool(text.eq_ignore_ascii_case("true"));
    } else if let Some(decimal) = integer(text) {
        builder.integer(&decimal);
    } else if let Some(float) = float(text) {
        builder.float(float);
    } else {
        builder.string(text);
    }
    builder.finish()
}

/// What Python's `int` takes, as plain decimal text.
fn integer(text: &str) -> Option<String> {
    let (negative, digits) = signed(trim(text));
    let digits = digit_groups(digits)?;
    if digits.len() > MAX_DIGITS {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    Some(match digits {
        "" => "0".to_owned(),
        _ if negative => format!("-{digits}"),
        _ => digits.to_owned(),
    })
}

/// What Python's `float` takes, except for NaN.
fn float(text: &str) -> Option<f64> {
    let (negative, rest) = signed(trim(text));
    let size = if rest.eq_ignore_ascii_case("inf") || rest.eq_ignore_ascii_case("infinity") {
        f64::INFINITY
    } else {
        let (number, exponent) = match rest.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, Some(exponent)),
            None => (rest, None),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let part = |digits: &str| if digits.is_empty() { Some(String::new()) } else { digit_groups(digits) };
        let mut plain = format!("{}.{}", part(whole)?, part(fraction)?);
        if let Some(exponent) = exponent {
            let (negative, digits) = signed(exponent);
            plain.push_str(if negative { "e-" } else { "e" });
            plain.push_str(&digit_groups(digits)?);
        }
        plain.parse().ok()?
    };
    Some(if negative { -size } else { size })
}

/// Digits with single underscores between them, without the underscores.
fn digit_groups(text: &str) -> Option<String> {
    let well_formed = text.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    well_formed.then(|| text.replace('_', ""))
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// What `int` and `float` ignore around a number. It is not what `\s` matches: U+001C to U+001F are no part of it.
fn trim(text: &str) -> &str {
    text.trim_matches(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Number, Value};

    #[test]
    fn appendix_vectors_hold() {
        for text in ["true", "TRUE", "tRuE"] {
            assert_eq!(coerce(text).root().as_bool(), Some(true), "{text}");
        }
        assert_eq!(coerce("false").root().as_bool(), Some(false));
        let strings = " true|yes|on|null||1,000|0x10|0b1|1__0|_1|1_|nan|NaN|-nan|٣|1_.5|._5|.|e3|1e|1e_3|- 5|+-5|1 0|inf1|\u{1c}5";
        for text in strings.split('|') {
            assert_eq!(coerce(text).root().as_str(), Some(text), "{text}");
        }
        for (text, expected) in [
            ("1", "1"),
            ("0", "0"),
            ("-0", "0"),
            ("-1", "-1"),
            ("+5", "5"),
            ("010", "10"),
            ("1_000", "1000"),
            (" 5 ", "5"),
            ("5\n", "5"),
            ("\u{b}5\u{a0}", "5"),
            ("-007", "-7"),
            ("999999999999999999999999999999", "999999999999999999999999999999"),
        ] {
            assert_eq!(coerce(text).text(), expected, "{text}");
            assert!(matches!(coerce(text).root(), Value::Number(Number::Int(_) | Number::Big(_))), "{text}");
        }
        for (text, expected) in [
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_0.5", 10.5),
            ("1.0", 1.0),
            ("-1E-1_0", -1e-10),
            ("inf", f64::INFINITY),
            ("Infinity", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("1e999", f64::INFINITY),
        ] {
            let literal = coerce(text);
            let Value::Number(Number::Float(float)) = literal.root() else { panic!("{text}") };
            assert_eq!(float.to_bits(), f64::to_bits(expected), "{text}");
        }
        let long = "9".repeat(MAX_DIGITS + 1);
        assert!(matches!(coerce(&long).root(), Value::Number(Number::Float(float)) if float.is_infinite()));
    }
}
