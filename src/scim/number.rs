//! Numbers that are stored as they were sent. A JSON reader makes a float of a decimal,
//! and the directory keeps 38 digits between 1E-130 and 9.99E+125.

use std::borrow::Cow;

use serde_json::Number;

/// A number that [`storable`] refuses, in place of one that a float does not keep.
const NOT_KEPT: &[u8] = b"1e308";

/// Returns the bytes of a JSON text in which each number that would be read as another one
/// is replaced by one that no attribute accepts. Its length and the rest stay.
///
/// So a number in an attribute that is ignored does no harm, and the error of any other
/// names the attribute.
pub(crate) fn with_kept_numbers(json: &[u8]) -> Cow<'_, [u8]> {
    let mut json = Cow::Borrowed(json);
    let mut at = 0;
    while let Some((start, end)) = next_number(&json, at) {
        at = end;
        let is_kept = json.get(start..end).and_then(|number| str::from_utf8(number).ok()).is_none_or(is_kept);
        if !is_kept && let Some(number) = json.to_mut().get_mut(start..end) {
            // A number that is not kept is never shorter.
            let mark = NOT_KEPT.iter().chain(std::iter::repeat(&b' '));
            number.iter_mut().zip(mark).for_each(|(byte, mark)| *byte = *mark);
        }
    }
    json
}

/// Returns the place of the next run of characters of numbers outside strings.
fn next_number(json: &[u8], from: usize) -> Option<(usize, usize)> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let mut bytes = json.iter().enumerate().skip(from);
    loop {
        match bytes.next()? {
            (_, b'"') => {
                // The escape of a quotation mark does not end the string.
                while let (_, byte) = bytes.next()?
                    && *byte != b'"'
                {
                    if *byte == b'\\' {
                        bytes.next()?;
                    }
                }
            }
            (start, byte) if byte.is_ascii_digit() || *byte == b'-' => {
                let length = json.get(start..)?.iter().take_while(|byte| is_part(byte)).count();
                return Some((start, start + length));
            }
            _ => {}
        }
    }
}

/// Returns true unless a text is a number that is read as another one.
pub(crate) fn is_kept(text: &str) -> bool {
    // A whole number of this length is no float, and a shorter float has all of its digits.
    if text.len() <= 15 && text.bytes().all(|byte| byte != b'e' && byte != b'E') || !is_number(text) {
        return true;
    }
    if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(float) = text.parse::<f64>() else { return true };
    // As JSON, because that is how an answer shows it: two texts of the same length may be
    // equally near to a float, and libraries differ in the one that they choose.
    Number::from_f64(float).is_some_and(|shown| significand(text) == significand(&shown.to_string()))
}

/// Returns true for a number by the grammar of RFC 8259 s6. The JSON reader refuses any
/// other text by its own words.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, "0"), |parts| parts);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && digits(exponent) && (whole == "0" || !whole.starts_with('0'))
}

/// Returns the digits of a number without zeros at either end, and the power of ten of the
/// last; `None` for zero. The sign is left out, because reading keeps it.
fn significand(text: &str) -> Option<(String, i64)> {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - trimmed.len()).unwrap_or(i64::MAX);
    let fraction = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    // An exponent beyond this type is one of zero, infinity or the smallest float, and differs
    // from that of each.
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MAX);
    let power = exponent.saturating_sub(fraction).saturating_add(zeros);
    (!trimmed.is_empty()).then(|| (trimmed.to_owned(), power))
}

/// Returns a number in the form in which the directory returns it; `None` if it is out of
/// the directory's range.
pub(crate) fn storable(number: &Number) -> Option<Number> {
    match number.as_f64().filter(|_| number.is_f64()) {
        None => Some(number.clone()),
        Some(0.0) => Some(0.into()),
        Some(float) if !(1e-130..=9.99e125).contains(&float.abs()) => None,
        // `1.0` comes back as `1`, and must be equal to it.
        Some(float) => float.to_string().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Number, Value};

    use super::{is_kept, storable, with_kept_numbers};

    #[test]
    fn a_number_is_kept_or_known_not_to_be() {
        for text in [
            "0",
            "-0",
            "0.0",
            "0e999999999999999999999",
            "1",
            "1.50",
            "1E2",
            "1e+2",
            "100e-2",
            "0.1",
            "1e20",
            "1e126",
            "1e-200",
            "123456789012345",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "100000000000000000000",
            "0.12345678901234568",
            "171482344106469.62",
            "1.7976931348623157e308",
            "5e-324",
            // What is no number is left to the JSON reader.
            "01e999",
            "1.",
            "-",
            "1e",
            "1.2.3",
            "--1",
        ] {
            assert!(is_kept(text), "{text}");
        }
        for text in [
            "0.1234567890123456789",
            "18446744073709551616",
            "-9223372036854775809",
            "9007199254740993.0",
            "1e400",
            "-1e309",
            "1e-400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "0.10000000000000000001",
            "4e-324",
            "171482344106469.63",
        ] {
            assert!(!is_kept(text), "{text}");
        }
    }

    #[test]
    fn numbers_in_strings_are_no_numbers() {
        for (json, kept) in [
            (r#"{"a":1e400,"b":[-1e-400]}"#, r#"{"a":1e308,"b":[1e308  ]}"#),
            (r#"{"1e400":"1e400","\"1e400":"\\"}"#, r#"{"1e400":"1e400","\"1e400":"\\"}"#),
            (r#"["\\",1e400,"é"#, r#"["\\",1e308,"é"#),
            (r#""1e400\"#, r#""1e400\"#),
        ] {
            assert_eq!(with_kept_numbers(json.as_bytes()), kept.as_bytes(), "{json}");
        }
    }

    #[test]
    fn a_number_has_the_form_in_which_it_comes_back() {
        let number = |text: &str| text.parse::<Number>().unwrap();
        for (sent, stored) in [
            ("1.0", Some("1")),
            ("-0.0", Some("0")),
            ("1e2", Some("100")),
            ("1.5", Some("1.5")),
            ("1e-130", Some("1e-130")),
            ("9.99e125", Some("9.99e125")),
            ("1e20", Some("1e20")),
            ("-1e19", Some("-1e19")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("1e126", None),
            ("-1e126", None),
            ("9e-131", None),
            ("1e308", None),
        ] {
            assert_eq!(storable(&number(sent)), stored.map(number), "{sent}");
        }
    }

    proptest! {
        #[test]
        fn every_float_is_kept(float in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL, integer in any::<i64>()) {
            prop_assert!(is_kept(&Value::from(float).to_string()));
            prop_assert!(is_kept(&integer.to_string()));
        }

        #[test]
        fn one_digit_more_is_not_kept(float in 1.1..9.9_f64) {
            let text = format!("{float:.17}00000000001");
            prop_assert!(!is_kept(&text));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*", near in "[-0-9.eE\"\\\\ ,]{0,40}") {
            for text in [text, near] {
                prop_assert_eq!(with_kept_numbers(text.as_bytes()).len(), text.len());
            }
        }
    }
}
