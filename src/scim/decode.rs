//! The attributes that a client sent, read against the schema: names in the schema's
//! spelling, values of the schema's types, nothing that the client cannot write.
//! Values themselves are kept as sent.

use serde_json::{Map, Value};

use crate::scim::attr_path::{AttrPath, split_where};
use crate::scim::date_time::Instant;
use crate::scim::equality::{is_equal, joined};
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::member::Member;
use crate::scim::message;
use crate::scim::number::storable;
use crate::scim::policy::Passwords;
use crate::scim::quirks::{self, Leeway, Tolerance};
use crate::scim::reference;
use crate::scim::resource::{Attributes, get, get_mut};
use crate::scim::schema::{Attribute, Mutability, Place, ResourceType, Schema, Target, Type};

/// A reader of the attributes of one resource type.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub kind: &'a ResourceType,
    pub leeway: Leeway<'a>,
}

impl<'a> Reader<'a> {
    pub fn new(kind: &'a ResourceType, leeway: Leeway<'a>) -> Self {
        Self { kind, leeway }
    }

    /// Reads the body of a POST or PUT (RFC 7644 s3.3, s3.5.1).
    pub fn resource(&self, body: &Value) -> Result<Attributes> {
        let Value::Object(members) = body else {
            return Err(ErrorKind::InvalidSyntax.with("the body must be a JSON object"));
        };
        message::check_schema(body, &self.kind.schema.id, self.leeway)?;
        let mut attributes = Attributes::new();
        self.object(&mut attributes, None, members)?;
        check_required(self.kind, &attributes, ErrorKind::InvalidValue)?;
        check_values(self.kind, &attributes)?;
        Ok(attributes)
    }

    /// Reads the body of a POST, and adds the values that a new resource has without it.
    pub fn new_resource(&self, body: &Value) -> Result<Attributes> {
        let mut attributes = self.resource(body)?;
        // Stored rather than assumed, so that a filter finds the user by it.
        if self.omits_active(&attributes) {
            attributes.insert("active".to_owned(), true.into());
        }
        Ok(attributes)
    }

    /// Keeps whether a user is active if the body of a PUT does not say it. An omitted attribute
    /// is not asserted (RFC 7644 s3.5.1), and this one must neither let a user in again nor
    /// hide it from a filter.
    pub fn keep_active(&self, old: &Attributes, new: &mut Attributes) {
        if let Some(active) = old.get("active").filter(|_| self.omits_active(new)) {
            new.insert("active".to_owned(), active.clone());
        }
    }

    pub fn omits_active(&self, new: &Attributes) -> bool {
        self.kind.name == "User" && !new.contains_key("active")
    }

    /// Resolves the name of a member of a body, or of the object of a schema. Returns
    /// `None` for an unknown name that the policy ignores.
    pub fn resolve(&self, schema: Option<&Schema>, key: &str) -> Result<Option<Target<'a>>> {
        let path = match schema {
            None => key.parse::<AttrPath>(),
            Some(schema) => format!("{}:{key}", schema.id).parse(),
        };
        let is_name = path.is_ok();
        let target = path.ok().and_then(|path| quirks::resolve(self.kind, &path, self.leeway));
        let target = target.filter(|target| match target {
            // A URN with colons is the proper key of an extension. For an attribute, both
            // forms are Entra ID's.
            Target::Attribute(_) if key.contains(['.', ':']) => self.leeway.tolerates(Tolerance::PathAsName),
            Target::Attribute(_) | Target::Core | Target::Extension(_) => true,
        });
        // A path is not the name of an attribute that only the client knows: it says which
        // value is meant, and ignoring it would lose that value.
        if !is_name && self.is_path(key) {
            return Err(ErrorKind::InvalidSyntax.with(format!(
                "{} cannot be the name of a member: send the attribute with its sub-attributes as an object",
                excerpt(key)
            )));
        }
        if target.is_none() && !self.leeway.ignores(key) {
            return Err(ErrorKind::InvalidSyntax.with(format!(
                "{} is not an attribute of {}: remove it or correct its name",
                excerpt(key),
                schema.map_or(&self.kind.name, |schema| &schema.id)
            )));
        }
        Ok(target)
    }

    /// Returns true for a text that begins with the name of an attribute or of a schema.
    fn is_path(&self, key: &str) -> bool {
        let (before, _) = split_where(key, |c| c == '[');
        let urn = before.rsplit_once(':').map_or(0, |(urn, _)| urn.len() + 1);
        let name = before.get(urn..).and_then(|name| name.split('.').next()).map_or(0, str::len);
        let path = before.get(..urn + name).map(str::parse::<AttrPath>);
        path.and_then(Result::ok).is_some_and(|path| quirks::resolve_again(self.kind, &path).is_some())
    }

    /// Reads the members of a body, or of the object of a schema.
    fn object(
        &self,
        attributes: &mut Attributes,
        schema: Option<&Schema>,
        members: &Map<String, Value>,
    ) -> Result<()> {
        for (key, value) in members {
            let (schema, value) = match self.resolve(schema, key)? {
                Some(Target::Core) => (self.kind.schema.as_ref(), value),
                Some(Target::Extension(schema)) => (schema, value),
                Some(Target::Attribute(place)) => {
                    self.assign(attributes, &place, value)?;
                    continue;
                }
                None => continue,
            };
            match value {
                Value::Null => {}
                Value::Object(members) => self.object(attributes, Some(schema), members)?,
                _ => return Err(wrong_type(&schema.id, "an object")),
            }
        }
        Ok(())
    }

    fn assign(&self, attributes: &mut Attributes, place: &Place<'_>, value: &Value) -> Result<()> {
        // RFC 7644 s3.3: read-only attributes in a body are ignored. Clients PUT the whole
        // answer of their GET, `id` and `meta` included.
        if is_read_only(place) {
            return Ok(());
        }
        if place.sub.is_some() && place.attribute.multi_valued {
            return Err(ErrorKind::InvalidValue.with(format!(
                "{} is multi-valued: send an array of objects, not {}",
                place.attribute.name,
                label(place)
            )));
        }
        let Some(value) = self.value(place, value)? else {
            return Ok(());
        };
        let object = object_at(attributes, place.extension);
        let name = &place.attribute.name;
        let previous = match place.sub {
            None => object.insert(name.clone(), value),
            Some(sub) => match object.entry(name.as_str()).or_insert_with(|| Map::new().into()) {
                Value::Object(object) => object.insert(sub.name.clone(), value),
                other => Some(std::mem::take(other)),
            },
        };
        // The JSON reader refuses a name that appears twice. Here the two differ in case
        // (`userName`, `username`) or in form (`name`, `name.givenName`).
        match previous {
            None => Ok(()),
            // `department` with and without its URN, both from one mapping.
            Some(previous) if place.sub.is_none() && object.get(name) == Some(&previous) => Ok(()),
            Some(_) => Err(ErrorKind::InvalidSyntax.with(format!("{} cannot be given twice", label(place)))),
        }
    }

    /// Reads the value for a place. Returns `None` if it leaves the place unassigned
    /// (RFC 7643 s2.5), or is write-only.
    pub fn value(&self, place: &Place<'_>, value: &Value) -> Result<Option<Value>> {
        if self.is_members(place) && !value.is_null() {
            return self.members_of_group(place, value);
        }
        let mut value = self.read(&label(place), place.leaf(), value)?;
        if let Some(Value::Object(object)) = &mut value {
            reference::without_ref(self.kind, place, object);
        }
        Ok(value)
    }

    /// Reads one element of a multi-valued attribute.
    pub fn element(&self, place: &Place<'_>, value: &Value) -> Result<Option<Value>> {
        Ok(match self.read_one(&label(place), place.leaf(), value)? {
            Some(Value::Object(member)) if self.is_members(place) => self.without_ref(member),
            element => element,
        })
    }

    fn members_of_group(&self, place: &Place<'_>, value: &Value) -> Result<Option<Value>> {
        if !value.is_array() && !self.leeway.tolerates(Tolerance::SingleValueForArray) {
            return Err(wrong_type(&label(place), array_of(place.leaf())));
        }
        let mut elements = Vec::new();
        for element in quirks::elements(value) {
            // Empty elements are dropped elsewhere. Here `[{}]`, the work of a broken mapping,
            // would become `[]` and empty the group, so it must fail as a member without id.
            let element = self.element(place, element)?.unwrap_or_default();
            Member::read(&element)?;
            elements.push(element);
        }
        Ok((!elements.is_empty()).then_some(Value::Array(elements)))
    }

    /// Removes `$ref` from a member, which follows from the rest of it.
    fn without_ref(&self, mut member: Map<String, Value>) -> Option<Value> {
        let reference = member.shift_remove("$ref");
        let reference = reference.as_ref().and_then(Value::as_str);
        if let Some((id, kind)) = reference.and_then(quirks::referred)
            && !member.contains_key("value")
            && self.leeway.tolerates(Tolerance::MemberByReference)
        {
            member.insert("value".to_owned(), id.into());
            member.entry("type").or_insert_with(|| kind.into());
        }
        (!member.is_empty()).then_some(Value::Object(member))
    }

    fn is_members(&self, place: &Place<'_>) -> bool {
        place.sub.is_none() && self.kind.is_members(place.attribute)
    }

    /// Reads the changes of a single complex value: `null` for each sub-attribute that
    /// becomes unassigned, or `None` if the whole value does.
    pub fn members(&self, place: &Place<'_>, value: &Value) -> Result<Option<Map<String, Value>>> {
        if value.is_null() {
            return Ok(None);
        }
        let mut object = self.complex(&label(place), place.leaf(), value)?;
        if let Some(object) = &mut object {
            reference::without_ref(self.kind, place, object);
        }
        Ok(object)
    }

    fn read(&self, name: &str, attribute: &Attribute, value: &Value) -> Result<Option<Value>> {
        if value.is_null() {
            return Ok(None);
        }
        if !attribute.multi_valued {
            return self.read_one(name, attribute, value);
        }
        if !value.is_array() && !self.leeway.tolerates(Tolerance::SingleValueForArray) {
            return Err(wrong_type(name, array_of(attribute)));
        }
        let mut elements = Vec::new();
        for element in quirks::elements(value) {
            elements.extend(self.read_one(name, attribute, element)?);
        }
        let elements = joined(attribute, elements);
        check_primary(name, elements.iter().filter(|element| is_primary(element)).count())?;
        Ok((!elements.is_empty()).then_some(Value::Array(elements)))
    }

    fn read_one(&self, name: &str, attribute: &Attribute, value: &Value) -> Result<Option<Value>> {
        if value.is_null() {
            return Ok(None);
        }
        let (fits, expected) = match attribute.kind {
            Type::Complex => {
                let mut object = self.complex(name, attribute, value)?.unwrap_or_default();
                object.retain(|_, value| !value.is_null());
                return Ok((!object.is_empty()).then_some(Value::Object(object)));
            }
            Type::Boolean => {
                let text = value.as_str();
                if let Some(boolean) = text.and_then(|text| quirks::boolean(text, self.leeway)) {
                    return Ok(Some(boolean.into()));
                }
                (value.is_boolean(), "true or false")
            }
            Type::String | Type::Reference => (value.is_string(), "a string"),
            Type::Decimal => {
                let Value::Number(number) = value else { return Err(wrong_type(name, "a number")) };
                return storable(number).map(|number| Some(number.into())).ok_or_else(|| {
                    wrong_type(name, "a number of at most 17 digits between 1e-130 and 9.99e125")
                });
            }
            Type::Integer => match value.as_f64() {
                Some(beyond) if value.is_f64() && beyond.abs() >= 1e18 => (false, "an integer of 64 bits"),
                _ => (value.is_i64() || value.is_u64(), "an integer"),
            },
            Type::DateTime => {
                let is_date_time = value.as_str().and_then(Instant::parse).is_some();
                (is_date_time, "a date and time such as 2026-01-31T09:30:00Z")
            }
            Type::Binary => (value.as_str().is_some_and(is_base64), "a base64 string"),
        };
        if !fits {
            return Err(wrong_type(name, expected));
        }
        let bytes = value.as_str().map_or(0, str::len);
        // The limit is asked for last: it takes a search, and few values come near it.
        if bytes > MAX_INDEXED_BYTES && bytes > self.longest(attribute) {
            return Err(ErrorKind::InvalidValue
                .with(format!("{name} has {bytes} bytes, the limit is {}", self.longest(attribute))));
        }
        if attribute.mutability != Mutability::WriteOnly {
            return Ok(Some(value.clone()));
        }
        // A write-only value is checked and dropped. The service compares no passwords,
        // and so it keeps none.
        match self.leeway.passwords() {
            Passwords::Ignore => Ok(None),
            Passwords::Refuse => Err(ErrorKind::InvalidValue.with(format!(
                "{name} cannot be set, because it would not be stored: turn off its synchronization"
            ))),
        }
    }

    /// Returns the bytes that a value of the attribute may have.
    fn longest(&self, attribute: &Attribute) -> usize {
        let mut indexed = self.kind.unique.iter().chain(&self.kind.look_up);
        let is_indexed = indexed.any(|path| match self.kind.resolve(path) {
            Some(Target::Attribute(place)) => std::ptr::eq(place.leaf(), attribute),
            Some(Target::Core | Target::Extension(_)) | None => false,
        });
        if is_indexed { MAX_INDEXED_BYTES } else { MAX_TEXT_BYTES }
    }

    /// Reads a complex value, with `null` for each sub-attribute that is unassigned.
    /// Returns `None` if the value as a whole is.
    fn complex(
        &self,
        name: &str,
        attribute: &Attribute,
        value: &Value,
    ) -> Result<Option<Map<String, Value>>> {
        let wrapped;
        let members = match value {
            Value::Object(members) => members,
            other => {
                wrapped = quirks::complex(attribute, other, self.leeway).ok_or_else(|| {
                    wrong_type(name, if attribute.multi_valued { array_of(attribute) } else { "an object" })
                })?;
                &wrapped
            }
        };
        if quirks::is_cleared(attribute, members, self.leeway) {
            return Ok(None);
        }
        let mut object = Map::new();
        for (key, value) in members {
            let Some(sub) = attribute.sub_attribute(key) else {
                if !self.leeway.ignores(&format!("{name}.{}", excerpt(key))) {
                    return Err(ErrorKind::InvalidSyntax
                        .with(format!("{name} has no sub-attribute {}", excerpt(key))));
                }
                continue;
            };
            // Not an error even in a PATCH: a client that sends a manager back includes the
            // `displayName` that it was shown.
            if sub.mutability == Mutability::ReadOnly {
                continue;
            }
            let value = self.read(&format!("{name}.{}", sub.name), sub, value)?.unwrap_or_default();
            if object.insert(sub.name.clone(), value).is_some() {
                return Err(
                    ErrorKind::InvalidSyntax.with(format!("{name}.{} cannot be given twice", sub.name))
                );
            }
        }
        Ok(Some(object))
    }
}

/// Returns the object that holds the attributes of an extension, or of the resource.
pub fn object_at<'a>(attributes: &'a mut Attributes, extension: Option<&str>) -> &'a mut Map<String, Value> {
    let Some(urn) = extension else {
        return attributes;
    };
    let slot = attributes.entry(urn).or_insert_with(|| Map::new().into());
    if !slot.is_object() {
        *slot = Map::new().into();
    }
    match slot {
        Value::Object(object) => object,
        _ => unreachable!("made an object above"),
    }
}

/// Returns the name of a place as a client would write it, for error texts.
pub fn label(place: &Place<'_>) -> String {
    let mut label = match place.extension {
        Some(urn) => format!("{urn}:{}", place.attribute.name),
        None => place.attribute.name.clone(),
    };
    if let Some(sub) = place.sub {
        label.push('.');
        label.push_str(&sub.name);
    }
    label
}

pub fn is_read_only(place: &Place<'_>) -> bool {
    place.attribute.mutability == Mutability::ReadOnly || place.leaf().mutability == Mutability::ReadOnly
}

/// Shortens a client's text for a message, and keeps it on one line.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut excerpt: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        excerpt.push('…');
    }
    excerpt
}

/// Refuses more than one primary value (RFC 7643 s2.4).
pub fn check_primary(name: &str, primaries: usize) -> Result<()> {
    if primaries > 1 {
        return Err(
            ErrorKind::InvalidValue.with(format!("{name} has {primaries} primary values, the limit is 1"))
        );
    }
    Ok(())
}

pub fn is_primary(element: &Value) -> bool {
    element.get("primary") == Some(&Value::Bool(true))
}

/// Checks that every required attribute has a value that is not empty (RFC 7643
/// s2.2).
pub fn check_required(kind: &ResourceType, attributes: &Attributes, error: ErrorKind) -> Result<()> {
    // The kind differs: a create that lacks the attribute has an invalid value, a PATCH
    // that removes it violates its mutability (RFC 7644 s3.5.2.2).
    let missing = |name: String| Err(error.with(format!("{name} is required and cannot be empty")));
    for extension in &kind.extensions {
        if extension.required && !attributes.contains_key(&extension.schema.id) {
            return missing(extension.schema.id.clone());
        }
    }
    for place in kind.places() {
        if place.extension.is_some_and(|urn| !attributes.contains_key(urn)) {
            continue;
        }
        let value = get(attributes, &place);
        if is_missing(place.attribute, value) {
            return missing(label(&place));
        }
        for element in value.map(quirks::elements).unwrap_or_default() {
            for sub in &place.attribute.sub_attributes {
                if is_missing(sub, element.get(&sub.name)) {
                    return missing(label(&Place { sub: Some(sub), ..place }));
                }
            }
        }
    }
    Ok(())
}

/// The bytes of one text. Longer ones are documents rather than attributes, and every
/// condition of a filter on them costs time.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The bytes of a text by which resources are found: names, addresses and ids, of which the
/// longest are URLs.
const MAX_INDEXED_BYTES: usize = 4 * 1024;

/// The values of one attribute, except members.
pub const MAX_VALUES: usize = 1_000;

pub fn check_values(kind: &ResourceType, attributes: &Attributes) -> Result<()> {
    for place in kind.places().filter(|place| !kind.is_members(place.attribute)) {
        let values = get(attributes, &place).and_then(Value::as_array).map_or(0, Vec::len);
        if values > MAX_VALUES {
            return Err(ErrorKind::InvalidValue.with(format!(
                "{} has {values} values, the limit is {MAX_VALUES}: send fewer",
                label(&place)
            )));
        }
    }
    Ok(())
}

fn is_missing(attribute: &Attribute, value: Option<&Value>) -> bool {
    is_required(attribute) && value.is_none_or(|value| value == "")
}

pub(crate) fn is_required(attribute: &Attribute) -> bool {
    // A client cannot supply a read-only value, and a write-only one is not stored.
    attribute.required && !matches!(attribute.mutability, Mutability::ReadOnly | Mutability::WriteOnly)
}

/// Checks that no immutable attribute changes once it has a value. A value that is equal
/// but for its case matches (RFC 7644 s3.5.1), and keeps its present spelling.
pub fn keep_immutable(kind: &ResourceType, old: &Attributes, new: &mut Attributes) -> Result<()> {
    let is_immutable = |attribute: &&Attribute| attribute.mutability == Mutability::Immutable;
    for place in kind.places() {
        let Some(before) = get(old, &place) else { continue };
        if is_immutable(&place.attribute) {
            keep(&place, before, get_mut(new, &place))?;
        }
        // Sub-attributes of a single value only: an array has none. In an array it cannot be
        // known which new element came from which old one.
        let Some(after) = get_mut(new, &place).and_then(Value::as_object_mut) else { continue };
        for sub in place.attribute.sub_attributes.iter().filter(is_immutable) {
            if let Some(before) = before.get(&sub.name) {
                keep(&Place { sub: Some(sub), ..place }, before, after.get_mut(&sub.name))?;
            }
        }
    }
    Ok(())
}

fn keep(place: &Place<'_>, before: &Value, after: Option<&mut Value>) -> Result<()> {
    match after {
        Some(after) if is_equal(place.leaf(), before, after) => {
            after.clone_from(before);
            Ok(())
        }
        _ => Err(ErrorKind::Mutability.with(format!("{} cannot be changed once it is set", label(place)))),
    }
}

/// Names what a multi-valued attribute must be. Its elements are objected to in the same
/// words: a client that sends `["x"]` must not be sent from an array to an object and back.
fn array_of(attribute: &Attribute) -> &'static str {
    if attribute.kind == Type::Complex { "an array of objects" } else { "an array" }
}

fn wrong_type(name: &str, expected: &str) -> Error {
    ErrorKind::InvalidValue.with(format!("{name} must be {expected}"))
}

fn is_base64(text: &str) -> bool {
    // RFC 7643 s2.3.6 names both alphabets of RFC 4648, and padding is optional there. No
    // text of 4n + 1 digits is the code of any bytes.
    let digits = text.trim_end_matches('=');
    text.len() - digits.len() <= 2
        && digits.len() % 4 != 1
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Reader;
    use crate::scim::policy::Policy;
    use crate::scim::quirks::Leeway;
    use crate::scim::registry::Registry;
    use crate::scim::schema::{Attribute, Place};

    /// No document has an attribute of some of these types, but one of a
    /// tenant's own may.
    #[test]
    fn a_value_is_of_the_type_of_its_attribute_or_refused() {
        let registry = Registry::new(&Policy::default());
        let kind = registry.resource_type("User").unwrap();
        let reader = Reader::new(kind, Leeway::default());
        for (kind, fit, unfit, expected) in [
            (
                "dateTime",
                vec![
                    json!("2008-01-23T04:56:22Z"),
                    json!("2026-01-31T09:30:00.123+02:00"),
                    json!("2026-01-31T09:30:00"),
                ],
                vec![
                    json!("2026-01-31"),
                    json!("09:30:00"),
                    json!("2026-02-30T09:30:00Z"),
                    json!(""),
                    json!(7),
                ],
                "x must be a date and time such as 2026-01-31T09:30:00Z",
            ),
            (
                "integer",
                vec![json!(0), json!(-7), json!(u64::MAX)],
                vec![json!(1.5), json!("7"), json!(true), json!([7])],
                "x must be an integer",
            ),
            (
                "decimal",
                vec![json!(0), json!(-1.5), json!(1e100)],
                vec![json!("1.5"), json!(false), json!({})],
                "x must be a number",
            ),
            (
                "binary",
                vec![json!(""), json!("TWE="), json!("TWE"), json!("-_-_")],
                vec![json!("T"), json!("TW=E"), json!("T W E"), json!("TWE==="), json!(7)],
                "x must be a base64 string",
            ),
            ("reference", vec![json!("../Users/7"), json!("")], vec![json!(7)], "x must be a string"),
        ] {
            let attribute: Attribute = serde_json::from_value(json!({
                "name": "x", "type": kind, "multiValued": false, "description": "", "required": false,
                "mutability": "readWrite", "returned": "default",
            }))
            .unwrap();
            let place = Place { extension: None, attribute: &attribute, sub: None };
            for value in fit {
                assert_eq!(reader.value(&place, &value), Ok(Some(value)), "{kind}");
            }
            for value in unfit {
                let error = reader.value(&place, &value).unwrap_err();
                assert_eq!(error.body()["scimType"], "invalidValue");
                assert_eq!(error.detail, expected, "{kind} {value}");
            }
        }
    }
}
