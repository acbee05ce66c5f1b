//! The members of an event that matter, taken apart tolerantly: one odd member must not
//! make a whole event unreadable, which would be an error of the function.
//!
//! A scalar counts by its text and everything else as absent. Other members are skipped
//! while the event is read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// An event of any kind.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) detail_type: Text,
    pub(super) http_method: Text,
    pub(super) path: Text,
    pub(super) resource: Text,
    pub(super) raw_path: Text,
    pub(super) raw_query_string: Text,
    pub(super) headers: Pairs,
    pub(super) multi_value_headers: Pairs,
    pub(super) query: Pairs,
    pub(super) multi_value_query: Pairs,
    pub(super) context: Context,
    /// `None` if the event has none.
    pub(super) body: Option<Text>,
    pub(super) is_base64_encoded: Text,
}

/// The `requestContext` of an event.
#[derive(Default)]
pub(super) struct Context {
    pub(super) path: Text,
    pub(super) stage: Text,
    pub(super) domain_name: Text,
    pub(super) request_id: Text,
    pub(super) http: Http,
    pub(super) identity: Http,
    /// True for an event of an Application Load Balancer.
    pub(super) is_load_balancer: bool,
}

/// The `http` of a `requestContext`, or its `identity` for a REST API.
#[derive(Default)]
pub(super) struct Http {
    pub(super) method: Text,
    pub(super) path: Text,
    pub(super) source_ip: Text,
}

/// A scalar by its text.
#[derive(Default)]
pub(super) struct Text(pub(super) Option<String>);

/// Names and values. A name with an array of values occurs once for each.
#[derive(Default)]
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

struct Values(Vec<String>);

impl Default for Values {
    fn default() -> Self {
        // Empty, not absent: an `If-Match` that was dropped would make a conditional request
        // unconditional. An empty one is refused.
        Self(vec![String::new()])
    }
}

/// A type that any JSON can be read as. A form that it does not expect is its default.
trait Lenient: Default {
    fn of_text(_text: String) -> Self {
        Self::default()
    }

    fn of_array<'de, A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn of_object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

impl Lenient for Text {
    fn of_text(text: String) -> Self {
        Self(Some(text))
    }
}

impl Lenient for Values {
    fn of_text(text: String) -> Self {
        Self(vec![text])
    }

    fn of_array<'de, A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        let mut values = Vec::new();
        while let Some(Text(text)) = elements.next_element()? {
            values.push(text.unwrap_or_default());
        }
        Ok(Self(values))
    }
}

impl Lenient for Pairs {
    fn of_object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut pairs = Vec::new();
        while let Some((name, Values(values))) = members.next_entry::<String, _>()? {
            pairs.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        Ok(Self(pairs))
    }
}

impl Lenient for Http {
    fn of_object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut http = Self::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "method" => http.method = members.next_value()?,
                "path" => http.path = members.next_value()?,
                "sourceIp" => http.source_ip = members.next_value()?,
                _ => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        Ok(http)
    }
}

impl Lenient for Context {
    fn of_object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut context = Self::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "path" => context.path = members.next_value()?,
                "stage" => context.stage = members.next_value()?,
                "domainName" => context.domain_name = members.next_value()?,
                "requestId" => context.request_id = members.next_value()?,
                "http" => context.http = members.next_value()?,
                "identity" => context.identity = members.next_value()?,
                other => {
                    context.is_load_balancer |= other == "elb";
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(context)
    }
}

impl Lenient for Fields {
    fn of_object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut fields = Self::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "detail-type" => fields.detail_type = members.next_value()?,
                "httpMethod" => fields.http_method = members.next_value()?,
                "path" => fields.path = members.next_value()?,
                "resource" => fields.resource = members.next_value()?,
                "rawPath" => fields.raw_path = members.next_value()?,
                "rawQueryString" => fields.raw_query_string = members.next_value()?,
                "headers" => fields.headers = members.next_value()?,
                "multiValueHeaders" => fields.multi_value_headers = members.next_value()?,
                "queryStringParameters" => fields.query = members.next_value()?,
                "multiValueQueryStringParameters" => fields.multi_value_query = members.next_value()?,
                "requestContext" => fields.context = members.next_value()?,
                // `Option` distinguishes null from what is no text.
                "body" => fields.body = members.next_value()?,
                "isBase64Encoded" => fields.is_base64_encoded = members.next_value()?,
                _ => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        Ok(fields)
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: Lenient> Visitor<'de> for LenientVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::of_text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<T, E> {
        Ok(T::of_text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok(T::of_text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<T, E> {
        Ok(T::of_text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<T, E> {
        Ok(T::of_text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<T, E> {
        Ok(T::of_text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<T, A::Error> {
        T::of_array(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::of_object(members)
    }
}

macro_rules! deserialize_leniently {
    ($($type:ty),*) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(LenientVisitor(PhantomData))
            }
        })*
    };
}

deserialize_leniently!(Fields, Context, Http, Pairs, Text, Values);
