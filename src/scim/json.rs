//! JSON in the form that clients must send (RFC 8259, RFC 7493 s2.3): no name appears
//! twice in an object, since it is undefined which of the values counts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::scim::number::with_kept_numbers;

/// The levels of nested objects and arrays, the outermost included: as many as can be
/// stored. A bulk request, the deepest message of the protocol, has ten.
pub const MAX_DEPTH: usize = 32;

/// Parses a body. The error has the line and the column.
pub fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    let bytes = with_kept_numbers(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
    let value = Reader { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A reader of the value at a depth, the number of objects and arrays around it.
#[derive(Clone, Copy)]
struct Reader {
    depth: usize,
}

impl Reader {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        // Before the inner value is read: `serde_json` recurses, and its own limit is 128.
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!(
                "objects and arrays are nested more than {MAX_DEPTH} levels deep"
            )));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        // `Value` itself would keep the last value of a name, and other parsers keep the
        // first. A proxy that checks the one would let the other pass.
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
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

    use super::{MAX_DEPTH, parse};

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
}
