//! Values of type dateTime: xsd:dateTime with both a date and a time (RFC 7643 s2.3.5,
//! XML Schema 1.1 Part 2 s3.3.7).
//!
//! Read by hand: a reader of RFC 3339 or ISO 8601 takes forms that xsd:dateTime does not
//! have, such as `2026-01-31T09` or a decimal comma, and not all that it has.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const DAY: i64 = 24 * 60 * 60;

/// The longest year, so that every instant has a number of seconds.
const MAX_YEAR_DIGITS: usize = 9;

/// The point of time of a dateTime, from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instant {
    seconds: i64,
    /// Digits of a second beyond these are not compared.
    nanos: i32,
}

impl Instant {
    /// Reads an xsd:dateTime. UTC is assumed if the text has no offset.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, unsigned) =
            text.strip_prefix('-').map_or((false, text), |unsigned| (true, unsigned));
        let (date, time) = unsigned.split_once('T')?;
        let (time, offset) = split_offset(time)?;
        let (time_of_day, nanos) = time_of_day(time)?;
        let seconds = days(is_negative, date)? * DAY + time_of_day - offset;
        Some(Self { seconds, nanos })
    }

    /// Returns the same point of time; `None` if it is out of the range of a timestamp.
    pub fn timestamp(self) -> Option<Timestamp> {
        Timestamp::new(self.seconds, self.nanos).ok()
    }
}

/// Returns the days from 1970 to a date.
fn days(is_negative: bool, date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() > 4 && year.starts_with('0') {
        return None;
    }
    let year = (4..=MAX_YEAR_DIGITS).contains(&year.len()).then(|| digits(year, year.len())).flatten()?;
    let year = if is_negative { -year } else { year };
    let (month, day) = (digits(month, 2)?, digits(day, 2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Counted from March, so that the leap day ends a year.
    let year = if month < 3 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days are from March of the year 0 to 1970.
    Some(year * 365 + leap_days + day_of_year - 719_468)
}

/// Returns the seconds since midnight, and the nanoseconds of the last.
fn time_of_day(time: &str) -> Option<(i64, i32)> {
    let (time, fraction) = time.split_once('.').map_or((time, None), |(time, part)| (time, Some(part)));
    let mut parts = time.split(':');
    let mut two_digits = || digits(parts.next()?, 2);
    let (hour, minute, second) = (two_digits()?, two_digits()?, two_digits()?);
    let nanos = fraction.map_or(Some(0), nanoseconds)?;
    // The end of a day is the beginning of the next one. XML Schema has no leap seconds.
    let is_end_of_day = (hour, minute, second) == (24, 0, 0)
        && fraction.is_none_or(|fraction| fraction.bytes().all(|digit| digit == b'0'));
    let is_within = hour < 24 && minute < 60 && second < 60;
    (parts.next().is_none() && (is_within || is_end_of_day))
        .then_some((hour * 3600 + minute * 60 + second, nanos))
}

fn nanoseconds(fraction: &str) -> Option<i32> {
    digits(fraction, fraction.len().max(1))?;
    let first = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    Some(first.fold(0, |nanos, digit| nanos * 10 + i32::from(digit - b'0')))
}

/// Splits the offset from a time, and returns its seconds.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some((time, sign, offset)) = [('+', 1), ('-', -1)]
        .into_iter()
        .find_map(|(character, sign)| time.split_once(character).map(|(time, offset)| (time, sign, offset)))
    else {
        return Some((time, 0));
    };
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let is_within = hours < 14 && minutes < 60 || (hours, minutes) == (14, 0);
    is_within.then_some((time, sign * (hours * 3600 + minutes * 60)))
}

/// Reads a number of exactly this many digits. Digits beyond those of a number are checked
/// alone.
fn digits(text: &str, length: usize) -> Option<i64> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| {
        text.bytes()
            .fold(0_i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::Instant;

    #[test]
    fn the_forms_of_xml_schema_are_read_and_no_others() {
        for text in [
            "2008-01-23T04:56:22Z",
            "2026-01-31T09:30:00.123+02:00",
            "2026-01-31T09:30:00",
            "2026-01-31T24:00:00Z",
            "2026-12-31T24:00:00.000",
            "2026-01-31T09:30:00-14:00",
            "2026-01-31T09:30:00+13:59",
            "2024-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "-0044-03-15T12:00:00Z",
            "12026-01-31T09:30:00Z",
            "9999-12-31T23:59:59Z",
            "2026-01-31T09:30:00.123456789012345678901234567890Z",
        ] {
            assert!(Instant::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "T",
            "2016-03-01",
            "2016-03-01T12",
            "2016-03-01T12:00",
            "12:00:00Z",
            "2016-03-01 12:00:00Z",
            "2016-03-01t12:00:00z",
            "2016-03-01T12:00:00z",
            "2016-03-01T12:00:00+0200",
            "2016-03-01T12:00:00+02",
            "2016-03-01T12:00:00+2:00",
            "2016-03-01T12:00:00+14:01",
            "2016-03-01T12:00:00+13:60",
            "2016-03-01T12:00:00+02:00[Europe/Oslo]",
            "2016-03-01T12:00:00[Europe/Oslo]",
            "2016-03-01T12:00:00,5Z",
            "2016-03-01T12:00:00.Z",
            "2016-03-01T12:00:00. 5Z",
            "2016-03-01T12:00:60Z",
            "2016-03-01T12:60:00Z",
            "2016-03-01T24:00:01Z",
            "2016-03-01T24:00:00.5Z",
            "2016-03-01T25:00:00Z",
            "2016-13-01T12:00:00Z",
            "2016-00-01T12:00:00Z",
            "2016-03-00T12:00:00Z",
            "2016-04-31T12:00:00Z",
            "2023-02-29T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "16-03-01T12:00:00Z",
            "02016-03-01T12:00:00Z",
            "+2016-03-01T12:00:00Z",
            "2016-3-1T12:00:00Z",
            "20160301T120000Z",
            "2016-W09-2T12:00:00Z",
            "2016-03-01T12:00:00ZZ",
            "2016-03-01T12:00:00 Z",
            " 2016-03-01T12:00:00Z",
            "2016-03-01T12:00:00+02:00Z",
            "２016-03-01T12:00:00Z",
            "--2016-03-01T12:00:00Z",
            "9999999999-03-01T12:00:00Z",
        ] {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
    }

    #[test]
    fn equal_instants_have_many_forms() {
        let instant = |text| Instant::parse(text).unwrap();
        for (one, other) in [
            ("2016-02-29T24:00:00Z", "2016-03-01T00:00:00Z"),
            ("2016-03-01T01:00:00+02:00", "2016-02-29T23:00:00Z"),
            ("2016-12-31T23:00:00-02:30", "2017-01-01T01:30:00Z"),
            ("2016-03-01T12:00:00", "2016-03-01T12:00:00.000Z"),
        ] {
            assert_eq!(instant(one), instant(other));
        }
        assert!(instant("-0044-03-15T12:00:00Z") < instant("0000-01-01T00:00:00Z"));
        assert!(instant("9999-12-31T23:59:59Z") < instant("10000-01-01T00:00:00Z"));
        assert!(instant("2016-03-01T12:00:00.1Z") > instant("2016-03-01T12:00:00.09Z"));
    }

    proptest! {
        #[test]
        fn a_timestamp_is_the_instant_of_its_text(seconds in -62_000_000_000_i64..253_000_000_000, nanos in 0..1_000_000_000) {
            let timestamp = Timestamp::new(seconds, nanos).unwrap();
            // Before 1970, jiff counts nanoseconds back from the next second.
            prop_assert_eq!(Instant::parse(&timestamp.to_string()).unwrap().timestamp(), Some(timestamp));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*", near in "[-0-9:.TZ+]{0,30}") {
            Instant::parse(&text);
            Instant::parse(&near);
        }
    }
}
