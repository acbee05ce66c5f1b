//! JSON in the form that clients must send (RFC 8259, RFC 7493 s2.3): no name appears
//! twice in an object, since it is undefined which of the values counts.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::scim::number::with_kept_numbers;

/// The levels of nested objects and arrays, the outermost included: as many as can be
/// stored. A bulk request, the deepest message of the protocol, has ten.
pub const MAX_DEPTH: usize = 32;

/// The values of a text: objects, arrays, and what they hold. An object of one member is
/// 8 bytes of text and 200 of memory, so the bytes alone do not bound the memory. The
/// largest requests that clients send have far fewer: 20,000 operations of a PATCH have
/// 140,000 values, and so have 70,000 members of a group.
pub const MAX_VALUES: usize = 250_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text has the line and the column.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    #[error("more than {MAX_VALUES} values, the limit is {MAX_VALUES}")]
    TooManyValues,
}

pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let values = Cell::new(0);
    let bytes = with_kept_numbers(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
    match (Reader { depth: 0, values: &values }).deserialize(&mut deserializer) {
        Err(_) if values.get() > MAX_VALUES => Err(Error::TooManyValues),
        value => {
            let value = value?;
            deserializer.end()?;
            Ok(value)
        }
    }
}

/// A reader of the value at a depth, the number of objects and arrays around it.
#[derive(Clone, Copy)]
struct Reader<'a> {
    depth: usize,
    /// The values that were begun.
    values: &'a Cell<usize>,
}

impl Reader<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        // Before the inner value is read: `serde_json` recurses, and its own limit is 128.
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!(
                "objects and arrays are nested more than {MAX_DEPTH} levels deep"
            )));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MAX_VALUES {
            return Err(D::Error::custom(Error::TooManyValues));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        // A vector that grew has room for up to twice as many.
        array.shrink_to_fit();
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        // Collected first: a map that grows takes room for four members at once, which is 400
        // bytes for each object of one.
        let mut read = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            read.push((name, members.next_value_seed(inner)?));
        }
        let mut object = Map::with_capacity(read.len());
        for (name, value) in read {
            // `Value` itself would keep the last value of a name, and other parsers keep the
            // first. A proxy that checks the one would let the other pass.
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("an object cannot have the name {name:?} twice")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Error, MAX_DEPTH, MAX_VALUES, parse};

    #[test]
    fn a_value_is_read_as_it_was_written() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,0.1,1e300,"x","\u00e9\ud83d\ude00"],"b":{"a":{}},"A":1}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(parse(b" [] ").unwrap(), json!([]));
        let deepest = format!("{}{}", r#"{"a":["#.repeat(MAX_DEPTH / 2), "]}".repeat(MAX_DEPTH / 2));
        assert_eq!(parse(deepest.as_bytes()).unwrap(), serde_json::from_str::<Value>(&deepest).unwrap());
    }

    #[test]
    fn what_is_ambiguous_or_no_json_is_refused() {
        let deep = "[".repeat(1_000);
        for (bytes, expected) in [
            (
                &br#"{"a":1,"b":{"c":1,"c":1}}"#[..],
                "an object cannot have the name \"c\" twice at line 1 column 24",
            ),
            (b"{\"a\":1,\"\\u0061\":2}", "an object cannot have the name \"a\" twice at line 1 column 18"),
            (b"\"\xff\"", "invalid unicode code point at line 1 column 2"),
            (b"\"\\ud800\"", "unexpected end of hex escape at line 1 column 8"),
            (b"[1] 2", "trailing characters at line 1 column 5"),
            (b"", "EOF while parsing a value at line 1 column 0"),
            (deep.as_bytes(), "objects and arrays are nested more than 32 levels deep at line 1 column 33"),
        ] {
            assert_eq!(parse(bytes).unwrap_err().to_string(), expected, "{}", bytes.escape_ascii());
        }
    }

    /// The shapes that take the most memory for each byte.
    #[test]
    fn values_are_counted_in_every_shape() {
        let list =
            |element: &str, count: usize| format!("[{}{element}]", format!("{element},").repeat(count - 1));
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let n = MAX_VALUES - 1;
        for (at, beyond) in [
            (list("0", n), list("0", n + 1)),
            (list("{}", n), list("{}", n + 1)),
            (list("[]", n), list("[]", n + 1)),
            (list(r#"{"a":0}"#, n / 2), list(r#"{"a":0}"#, n / 2 + 1)),
            (list("[0]", n / 2), list("[0]", n / 2 + 1)),
            (list("[[[0]]]", n / 4), list("[[[0]]]", n / 4 + 1)),
            (object(n), object(n + 1)),
        ] {
            assert!(parse(at.as_bytes()).is_ok());
            assert!(matches!(parse(beyond.as_bytes()), Err(Error::TooManyValues)));
        }
    }
}
