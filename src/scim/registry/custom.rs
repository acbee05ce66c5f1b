//! The documents in which an operator adds to the built-in schemas and resource types
//! (RFC 7643 s3.3, s6, s7). Nothing in them is ignored: a definition that cannot be
//! enforced is refused.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::scim::attr_path::{AttrPath, is_name};
use crate::scim::json;
use crate::scim::registry::roles::Assignable;
use crate::scim::schema::{Attribute, Mutability, Schema, Type, Uniqueness};

/// The bytes of a document. A tenant's is stored in one piece, together with its policy.
pub const MAX_BYTES: usize = 256 * 1024;

/// The attributes and sub-attributes of a document. A request goes through all of them
/// for each resource that it reads or writes.
const MAX_ATTRIBUTES: usize = 500;

/// The bytes of a name, which becomes part of the keys of indexed values.
const MAX_NAME_BYTES: usize = 64;
const MAX_URN_BYTES: usize = 256;

/// Attributes that every resource has (RFC 7643 s3.1).
const COMMON: [&str; 4] = ["id", "externalId", "meta", "schemas"];

/// The types of roles and entitlements. A tenant that declares none today may do so later.
const RESERVED_NAMES: [&str; 4] = ["Role", "Entitlement", "OktaRole", "OktaEntitlement"];

/// The endpoints of the protocol, and of roles and entitlements.
const RESERVED_ENDPOINTS: [&str; 10] = [
    "Bulk",
    "Me",
    "ResourceTypes",
    "Schemas",
    "ServiceProviderConfig",
    ".search",
    "Roles",
    "Entitlements",
    "OktaRoles",
    "OktaEntitlements",
];

/// Documents whose parts are valid. [`Registry::with`](super::Registry::with) checks that
/// they fit together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    pub(crate) schemas: Vec<Schema>,
    pub(crate) resource_types: Vec<Declaration>,
    pub(crate) roles: Option<Vec<Assignable>>,
    pub(crate) entitlements: Option<Vec<Assignable>>,
}

/// An error in a document: where it is, and what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsound(String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(default)]
    schemas: Vec<Value>,
    #[serde(default)]
    resource_types: Vec<Value>,
    roles: Option<Vec<Value>>,
    entitlements: Option<Vec<Value>>,
}

/// A schema in the form in which `/Schemas` shows it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaDocument {
    #[serde(rename = "schemas", default)]
    _schemas: Vec<String>,
    #[serde(rename = "meta", default)]
    _meta: Map<String, Value>,
    id: String,
    name: String,
    #[serde(default)]
    description: String,
    attributes: Vec<Attribute>,
}

/// A new resource type, or additions to the existing one of this name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) schema: Option<String>,
    #[serde(default)]
    pub(crate) schema_extensions: Vec<SchemaExtension>,
    #[serde(default)]
    pub(crate) unique: Vec<String>,
    #[serde(default)]
    pub(crate) look_up: Vec<String>,
    /// As `look_up`, for attributes of which a resource may have many values.
    #[serde(default)]
    pub(crate) look_up_many: Vec<String>,
    pub(crate) members: Option<String>,
    pub(crate) member_of: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaExtension {
    pub(crate) schema: String,
    #[serde(default)]
    pub(crate) required: bool,
}

impl Definitions {
    pub fn parse(text: &str) -> Result<Self, Unsound> {
        if text.len() > MAX_BYTES {
            return Err(unsound(format!("{} bytes, the limit is {MAX_BYTES}", text.len())));
        }
        let not_json = |error: serde_json::Error| unsound(error.to_string());
        let document = json::parse(text.as_bytes()).map_err(|error| unsound(error.to_string()))?;
        // Serde would also read an array, as the values of the fields in their order.
        if !document.is_object() {
            return Err(unsound(
                "the document must be an object with schemas, resourceTypes, roles or entitlements",
            ));
        }
        let Document { schemas, resource_types, roles, entitlements } =
            serde_json::from_value(document).map_err(not_json)?;
        let schemas: Vec<SchemaDocument> = each("schema", "id", schemas)?;
        let schemas: Vec<Schema> = schemas.into_iter().map(SchemaDocument::into_schema).collect();
        let resource_types: Vec<Declaration> = each("resource type", "name", resource_types)?;
        let roles = roles.map(|roles| each("role", "value", roles)).transpose()?;
        let entitlements = entitlements.map(|all| each("entitlement", "value", all)).transpose()?;
        for schema in &schemas {
            check_schema(schema).map_err(|error| unsound(format!("schema {}: {error}", schema.id)))?;
        }
        for kind in &resource_types {
            check_type(kind).map_err(|error| unsound(format!("resource type {}: {error}", kind.name)))?;
        }
        // After the checks of each part, which name the part that is wrong.
        let size = |attributes: &[Attribute]| -> usize {
            attributes.iter().map(|attribute| 1 + attribute.sub_attributes.len()).sum()
        };
        let attributes: usize = schemas.iter().map(|schema| size(&schema.attributes)).sum();
        if attributes > MAX_ATTRIBUTES {
            return Err(unsound(format!("{attributes} attributes, the limit is {MAX_ATTRIBUTES}")));
        }
        Ok(Self { schemas, resource_types, roles, entitlements })
    }

    /// Returns the names of the resource types that are declared or extended.
    pub fn type_names(&self) -> impl Iterator<Item = &str> {
        self.resource_types.iter().map(|kind| kind.name.as_str())
    }

    /// Adds the definitions of another document.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.schemas.extend(other.schemas);
        self.resource_types.extend(other.resource_types);
        for (all, others) in [(&mut self.roles, other.roles), (&mut self.entitlements, other.entitlements)] {
            if let Some(others) = others {
                all.get_or_insert_default().extend(others);
            }
        }
        self
    }
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsound {}

pub(crate) fn unsound(text: impl Into<String>) -> Unsound {
    Unsound(text.into())
}

fn each<T: DeserializeOwned>(what: &str, name: &str, values: Vec<Value>) -> Result<Vec<T>, Unsound> {
    // One by one rather than as an array, so that an error can name the element.
    let read = |(index, value): (usize, Value)| {
        let named = value.get(name).and_then(Value::as_str).map(str::to_owned);
        let named = named.unwrap_or_else(|| format!("number {}", index + 1));
        serde_json::from_value(value).map_err(|error| unsound(format!("{what} {named}: {error}")))
    };
    values.into_iter().enumerate().map(read).collect()
}

impl SchemaDocument {
    /// Adds the default of each characteristic that the document omits (RFC 7643 s2.2).
    fn into_schema(self) -> Schema {
        fn add_defaults(attributes: &mut [Attribute]) {
            for attribute in attributes {
                if attribute.kind != Type::Complex {
                    attribute.case_exact = Some(attribute.is_case_exact());
                    attribute.uniqueness.get_or_insert(Uniqueness::None);
                }
                add_defaults(&mut attribute.sub_attributes);
            }
        }
        let Self { id, name, description, mut attributes, .. } = self;
        add_defaults(&mut attributes);
        Schema { id, name, description, attributes }
    }
}

fn check_schema(schema: &Schema) -> Result<(), String> {
    // The id is also a prefix of paths. `urn:x:a b` would be an id, but no filter could
    // name an attribute by it, so the path parser decides.
    let is_attribute_of = |path: &AttrPath| path.schema.as_deref() == Some(&schema.id) && path.sub.is_none();
    if !schema.id.to_ascii_lowercase().starts_with("urn:")
        || schema.id.len() > MAX_URN_BYTES
        || !format!("{}:x", schema.id).parse::<AttrPath>().is_ok_and(|path| is_attribute_of(&path))
    {
        return Err(format!(
            "the id must be a URN of up to {MAX_URN_BYTES} bytes, such as urn:example:params:scim:schemas:extension:acme:2.0:User"
        ));
    }
    if schema.name.is_empty() {
        return Err("the name cannot be empty".to_owned());
    }
    if schema.attributes.is_empty() {
        return Err("attributes cannot be empty".to_owned());
    }
    if let Some(common) = schema
        .attributes
        .iter()
        .find(|attribute| COMMON.iter().any(|common| common.eq_ignore_ascii_case(&attribute.name)))
    {
        return Err(format!(
            "{} is an attribute of every resource (RFC 7643 s3.1): remove it, or choose another name",
            common.name
        ));
    }
    check_attributes("", &schema.attributes)
}

fn check_attributes(prefix: &str, attributes: &[Attribute]) -> Result<(), String> {
    for (index, attribute) in attributes.iter().enumerate() {
        let name = format!("{prefix}{}", attribute.name);
        let error = |text: &str| Err(format!("attribute {name}: {text}"));
        if !is_attribute_name(&attribute.name) {
            return error("a name must be a letter, followed by letters, digits, - and _ (RFC 7643 s2.1)");
        }
        let mut before = attributes.iter().take(index);
        if before.any(|other| other.name.eq_ignore_ascii_case(&attribute.name)) {
            return error("the name must be unique: names are compared without case");
        }
        // The prefix is empty at the top level, and never within a complex attribute.
        match (attribute.kind, prefix) {
            (Type::Complex, "") if attribute.sub_attributes.is_empty() => {
                return error("a complex attribute must have subAttributes");
            }
            (Type::Complex, "") if attribute.uniqueness.is_some_and(is_unique) => {
                return error("a complex attribute cannot be unique: choose a sub-attribute");
            }
            (Type::Complex, "") => check_attributes(&format!("{name}."), &attribute.sub_attributes)?,
            (Type::Complex, _) => return error("a sub-attribute cannot be complex (RFC 7643 s2.3.8)"),
            (_, _) if !attribute.sub_attributes.is_empty() => {
                return error("only an attribute of type complex can have subAttributes");
            }
            (Type::String | Type::Reference | Type::Binary, _) => {}
            // The index of unique values compares texts.
            (_, _) if attribute.uniqueness.is_some_and(is_unique) => {
                return error("only a string, reference or binary can be unique: set uniqueness to none");
            }
            (_, _) => {}
        }
        match attribute.mutability {
            // The value would be checked and dropped, as a password is. `returned: never` is
            // for a value that the product reads, but no client.
            Mutability::WriteOnly => {
                return error("an attribute cannot be writeOnly: use readWrite, and returned never");
            }
            Mutability::ReadOnly if attribute.required => {
                return error("a required attribute cannot be readOnly: no client could give it a value");
            }
            Mutability::ReadOnly | Mutability::ReadWrite | Mutability::Immutable => {}
        }
    }
    Ok(())
}

pub(crate) fn is_unique(uniqueness: Uniqueness) -> bool {
    match uniqueness {
        Uniqueness::None => false,
        Uniqueness::Server | Uniqueness::Global => true,
    }
}

fn check_type(kind: &Declaration) -> Result<(), String> {
    let starts_with_letter = kind.name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_with_letter
        || kind.name.len() > MAX_NAME_BYTES
        || !kind.name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return Err(format!(
            "the name must be a letter, followed by letters and digits, {MAX_NAME_BYTES} at most"
        ));
    }
    if RESERVED_NAMES.iter().any(|name| name.eq_ignore_ascii_case(&kind.name)) {
        return Err("the name is reserved: choose another".to_owned());
    }
    // `members` and `memberOf` are stored apart from a resource, by code that knows groups.
    if kind.members.is_some() || kind.member_of.is_some() {
        return Err("members and memberOf cannot be declared: only the built-in types have them".to_owned());
    }
    let Some(endpoint) = &kind.endpoint else { return Ok(()) };
    let segment = endpoint.strip_prefix('/').unwrap_or(endpoint);
    // The unreserved characters of RFC 3986: a link needs no escapes then.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if segment.is_empty() || segment.len() > MAX_NAME_BYTES || !segment.bytes().all(is_plain) {
        return Err("the endpoint must be one segment of a path, such as /Devices".to_owned());
    }
    if RESERVED_ENDPOINTS.iter().any(|name| name.eq_ignore_ascii_case(segment)) {
        return Err(format!("the endpoint /{segment} is taken: choose another"));
    }
    Ok(())
}

fn is_attribute_name(name: &str) -> bool {
    // RFC 7643 s2.1; the leading `$` is for `$ref`.
    let plain = name.strip_prefix('$').unwrap_or(name);
    name.len() <= MAX_NAME_BYTES
        && plain.starts_with(|c: char| c.is_ascii_alphabetic())
        && plain.chars().all(|c| is_name(c) && c != '$')
}
