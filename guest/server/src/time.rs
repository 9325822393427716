//! Times on the wire: dates of HTTP, and how long a server asks to wait (T03, T04). Times of the guard are milliseconds
//! since 1970 and always an argument.

use crate::response::Response;

/// Longest wait that a server is granted.
pub const MAX_RETRY_AFTER_MS: u64 = 60_000;

/// `Retry-After` of an answer in milliseconds, at most [`MAX_RETRY_AFTER_MS`]: seconds, or a date. A date is held against the
/// answer's own `Date`, so that a wrong clock on either side does not matter; only without one against `now`.
#[must_use]
pub fn retry_after(response: &Response, now: u64) -> Option<u64> {
    let text = response.header("retry-after")?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1000).min(MAX_RETRY_AFTER_MS));
    }
    let until = parse_date(text)?;
    let base = response.header("date").and_then(parse_date).unwrap_or(now);
    Some(until.saturating_sub(base).min(MAX_RETRY_AFTER_MS))
}

/// Reads a date of HTTP in any of its three forms (RFC 9110, 5.6.7), as milliseconds since 1970.
#[must_use]
pub fn parse_date(text: &str) -> Option<u64> {
    let text = text.trim();
    let mut words = text.split([' ', '-', ',']).filter(|word| !word.is_empty());
    let _weekday = words.next()?;
    let second = words.next()?;
    let (day, month, year, clock);
    if second.bytes().all(|byte| byte.is_ascii_digit()) {
        // `Sun, 06 Nov 1994 08:49:37 GMT` and `Sunday, 06-Nov-94 08:49:37 GMT`
        (day, month, year, clock) = (second, words.next()?, words.next()?, words.next()?);
        if words.next()? != "GMT" {
            return None;
        }
    } else {
        // `Sun Nov  6 08:49:37 1994`
        (month, day, clock) = (second, words.next()?, words.next()?);
        year = words.next()?;
    }
    if words.next().is_some() {
        return None;
    }
    let year = match (year.len(), number(year)?) {
        (4, year) => year,
        // Two digits mean this century's first seventy years, or the end of the last one.
        (2, short) => short + if short < 70 { 2000 } else { 1900 },
        _ => return None,
    };
    let mut parts = clock.split(':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let day = number(day)?;
    let in_range = (1970..=9999).contains(&year) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if parts.next().is_some() || !in_range {
        return None;
    }
    let days = days_since_1970(year, month_number(month)?, day);
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
}

fn number(text: &str) -> Option<u64> {
    let digits = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn month_number(name: &str) -> Option<u64> {
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    names.iter().position(|known| *known == name).map(|place| place as u64 + 1)
}

/// Gregorian calendar; years begin in March, so that leap days come last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 784_111_777_000;

    fn answer(headers: &[(&str, &str)]) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response { status: 503, headers, body: Vec::new() }
    }

    #[test]
    fn all_three_forms_of_a_date_are_one_moment() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse_date(text), Some(NOW), "{text}");
        }
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(parse_date("Tue, 29 Feb 2000 12:00:00 GMT"), Some(951_825_600_000));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "soon",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn t03_seconds_are_taken_and_bounded() {
        for (text, wait) in [
            ("7", Some(7000)),
            ("0", Some(0)),
            ("3600", Some(60_000)),
            ("99999999999999999999", Some(60_000)),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(retry_after(&answer(&[("Retry-After", text)]), NOW), wait, "{text}");
        }
        assert_eq!(retry_after(&answer(&[]), NOW), None);
    }

    #[test]
    fn t04_a_date_is_held_against_the_servers_own_clock() {
        let headers = [("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        for skew in [-3_600_000, 0, 3_600_000] {
            assert_eq!(retry_after(&answer(&headers), NOW.saturating_add_signed(skew)), Some(10_000));
        }
        assert_eq!(retry_after(&answer(&headers[..1]), NOW), Some(10_000));
        assert_eq!(retry_after(&answer(&headers[..1]), NOW + 20_000), Some(0));
        assert_eq!(retry_after(&answer(&headers[..1]), 0), Some(60_000));
    }
}
