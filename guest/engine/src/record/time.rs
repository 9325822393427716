//! Milliseconds since 1970 as ISO 8601, the way the reference prints them.

/// `2026-11-22T06:31:47.833000+00:00`; the fraction is left out when it is zero.
#[must_use]
pub fn iso8601(now_ms: u64) -> String {
    let (seconds, millis) = (now_ms / 1000, now_ms % 1000);
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, date) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}000") };
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

/// The same with `Z`: how workflow states are stamped.
#[must_use]
pub fn iso8601_z(now_ms: u64) -> String {
    let mut text = iso8601(now_ms);
    text.truncate(text.len() - "+00:00".len());
    text.push('Z');
    text
}

/// Days since 1970 to a date of the Gregorian calendar. Eras of 400 years begin on March 1, so that leap days come last.
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::iso8601;

    #[test]
    fn prints_as_the_reference_does() {
        for (now, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (951_782_400_000, "2000-02-29T00:00:00+00:00"),
            (1_795_329_107_833, "2026-11-22T06:31:47.833000+00:00"),
            (4_107_542_399_001, "2100-02-28T23:59:59.001000+00:00"),
            (4_107_542_400_000, "2100-03-01T00:00:00+00:00"),
        ] {
            assert_eq!(iso8601(now), text);
        }
    }
}
