//! A moment as JavaScript's `Date.prototype.toISOString` spells it.

use std::io::Write;

/// Milliseconds from 1970 that a `Date` can be away: 100,000,000 days.
const MAX: i64 = 8_640_000_000_000_000;

const DAY: i64 = 86_400_000;

/// Appends the moment as a JSON string, `null` if no `Date` can be so far away.
pub(super) fn write(out: &mut Vec<u8>, millis: i64) {
    match text(millis) {
        Some(text) => {
            let _ = write!(out, "\"{text}\"");
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// A moment in milliseconds since 1970 as JavaScript spells it; `None` if no `Date` can be so far away.
///
/// ```
/// use sio_packet::msgpack::date;
///
/// assert_eq!(date(1_234_567_890_123).as_deref(), Some("2009-02-13T23:31:30.123Z"));
/// assert_eq!(date(i64::MAX), None);
/// ```
pub fn text(millis: i64) -> Option<String> {
    if !(-MAX..=MAX).contains(&millis) {
        return None;
    }
    let (year, month, day) = civil(millis.div_euclid(DAY));
    let time = millis.rem_euclid(DAY);
    let (hour, minute) = (time / 3_600_000, time / 60_000 % 60);
    let (second, milli) = (time / 1000 % 60, time % 1000);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        year => format!("{year:+07}"),
    };
    let day = format!("{year}-{month:02}-{day:02}");
    Some(format!(
        "{day}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
    ))
}

/// Year, month and day of the day that is so many after 1970-01-01, in the Gregorian calendar.
///
/// Counted in years that begin in March, so that the leap day is the last of its year; 400 of them
/// have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_spelled_as_javascript_does() {
        // Each as `new Date(millis).toISOString()` says it.
        for (millis, text) in [
            (0, "\"1970-01-01T00:00:00.000Z\""),
            (1, "\"1970-01-01T00:00:00.001Z\""),
            (-1, "\"1969-12-31T23:59:59.999Z\""),
            (951_782_400_000, "\"2000-02-29T00:00:00.000Z\""),
            (951_868_799_999, "\"2000-02-29T23:59:59.999Z\""),
            (4_107_542_400_000, "\"2100-03-01T00:00:00.000Z\""),
            (253_402_300_799_999, "\"9999-12-31T23:59:59.999Z\""),
            (253_402_300_800_000, "\"+010000-01-01T00:00:00.000Z\""),
            (-62_167_219_200_001, "\"-000001-12-31T23:59:59.999Z\""),
            (MAX, "\"+275760-09-13T00:00:00.000Z\""),
            (-MAX, "\"-271821-04-20T00:00:00.000Z\""),
            (MAX + 1, "null"),
            (i64::MIN, "null"),
        ] {
            let mut out = Vec::new();
            write(&mut out, millis);
            assert_eq!(String::from_utf8(out).unwrap(), text, "{millis}");
        }
    }
}
