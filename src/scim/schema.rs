//! Schemas and resource types as data (RFC 7643 s6, s7). The JSON documents of
//! `registry/` say what an attribute may hold, and who may write and read it; no code
//! does.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::scim::attr_path::AttrPath;

/// A schema document (RFC 7643 s7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    pub id: String,
    pub name: String,
    pub description: String,
    pub attributes: Vec<Attribute>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attribute {
    pub name: String,
    #[serde(rename = "type", default)]
    pub kind: Type,
    #[serde(default)]
    pub multi_valued: bool,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub required: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canonical_values: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_exact: Option<bool>,
    #[serde(default)]
    pub mutability: Mutability,
    #[serde(default)]
    pub returned: Returned,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniqueness: Option<Uniqueness>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_types: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sub_attributes: Vec<Attribute>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Type {
    #[default]
    String,
    Boolean,
    Decimal,
    Integer,
    DateTime,
    Binary,
    Reference,
    Complex,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutability {
    ReadOnly,
    #[default]
    ReadWrite,
    Immutable,
    WriteOnly,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Returned {
    Always,
    Never,
    #[default]
    Default,
    Request,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Uniqueness {
    #[default]
    None,
    Server,
    Global,
}

impl Schema {
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }

    pub(crate) fn target<'a>(&'a self, extension: Option<&'a str>, path: &AttrPath) -> Option<Target<'a>> {
        let attribute = self.attribute(&path.attr)?;
        let sub = match &path.sub {
            Some(sub) => Some(attribute.sub_attribute(sub)?),
            None => None,
        };
        Some(Target::Attribute(Place { extension, attribute, sub }))
    }
}

impl Attribute {
    pub fn sub_attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.sub_attributes, name)
    }

    pub fn is_case_exact(&self) -> bool {
        // RFC 7643 s2.2: the default of `caseExact` is false. But s2.3.6 and s2.3.7 make a
        // binary value and a reference case exact.
        self.case_exact.unwrap_or(matches!(self.kind, Type::Binary | Type::Reference))
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    // RFC 7643 s2.1: attribute names are compared without regard to case.
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// A resource type: its endpoint, its schemas, and its indexed attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceType {
    pub name: String,
    pub endpoint: String,
    pub description: String,
    pub schema: Arc<Schema>,
    pub extensions: Vec<Extension>,
    /// The attributes whose values belong to one resource each.
    pub unique: Vec<AttrPath>,
    /// The attributes by which `eq` finds resources without reading all of them.
    pub look_up: Vec<AttrPath>,
    /// The attributes that are looked up, too, and of which a resource may have so many
    /// values that not every value is in an index.
    pub look_up_many: Vec<AttrPath>,
    /// The attribute whose elements are stored apart from the resource, each a reference
    /// to another resource: `members` of a group.
    pub members: Option<String>,
    /// The attribute that lists the resources of which this one is a member: `groups` of
    /// a user.
    pub member_of: Option<String>,
    /// The single-valued attributes whose `value` is the id of a stored resource: `manager`.
    pub references: Vec<Reference>,
    /// Set if the operator declares the resources, so that clients only read them.
    pub is_declared: bool,
    /// Another version of this type, whose index is being filled in or emptied.
    pub other: Option<Arc<OtherIndex>>,
    pub(crate) common: Arc<Schema>,
}

/// The index of a resource type under definitions that are not in force.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherIndex {
    pub kind: Arc<ResourceType>,
    pub use_of: OtherUse,
}

/// The way in which a write treats an index that is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherUse {
    /// Its entries are written. A unique value that another resource has is not refused.
    Kept,
    /// Its entries are written, and unique values are refused as if it were in force.
    Enforced,
    /// Its entries are removed.
    Dropped,
}

/// An indexed attribute: how it is indexed, its path, and whether case counts.
pub type IndexRule = (u8, String, bool);

/// An attribute that refers to a resource of one of these types.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    pub path: AttrPath,
    pub types: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    pub schema: Arc<Schema>,
    pub required: bool,
}

/// The part of a resource that an [`AttrPath`] names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// All attributes of the core schema.
    Core,
    /// The whole object of an extension.
    Extension(&'a Schema),
    Attribute(Place<'a>),
}

/// An attribute, and its place in a resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place<'a> {
    /// The URN of the extension whose object holds the attribute.
    pub extension: Option<&'a str>,
    pub attribute: &'a Attribute,
    pub sub: Option<&'a Attribute>,
}

impl Place<'_> {
    /// Returns the sub-attribute if there is one, or else the attribute.
    pub fn leaf(&self) -> &Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

impl ResourceType {
    pub fn resolve(&self, path: &AttrPath) -> Option<Target<'_>> {
        let urn = path.schema.as_deref().unwrap_or(&self.schema.id);
        if urn.eq_ignore_ascii_case(&self.schema.id) {
            return self.schema.target(None, path).or_else(|| self.common.target(None, path));
        }
        if let Some(schema) = self.extension(urn) {
            return schema.target(Some(&schema.id), path);
        }
        // The path of a schema itself was parsed as `<shorter URN>:<name>`: only the
        // schemas know which of its colons is the last of a URN.
        path.sub.is_none().then(|| self.schema_of(&format!("{urn}:{}", path.attr))).flatten()
    }

    /// Returns the schema of this URN.
    pub fn schema_of(&self, urn: &str) -> Option<Target<'_>> {
        if urn.eq_ignore_ascii_case(&self.schema.id) {
            return Some(Target::Core);
        }
        self.extension(urn).map(Target::Extension)
    }

    pub fn extension(&self, urn: &str) -> Option<&Schema> {
        self.extensions
            .iter()
            .map(|extension| extension.schema.as_ref())
            .find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }

    /// Returns the attributes by which `eq` finds resources: unique ones and those that are
    /// looked up.
    pub fn index_paths(&self) -> impl Iterator<Item = &AttrPath> {
        self.unique.iter().chain(&self.look_up).chain(&self.look_up_many)
    }

    /// Returns what decides which entries a resource has in the index.
    pub fn index_rules(&self) -> BTreeSet<IndexRule> {
        let rules = [&self.unique, &self.look_up, &self.look_up_many].into_iter().zip(0..);
        let rules = rules.flat_map(|(paths, how)| paths.iter().map(move |path| (how, path)));
        rules.map(|(how, path)| (how, path.to_string(), self.is_case_exact(path))).collect()
    }

    /// Returns true if the values at a path are compared with their case.
    pub fn is_case_exact(&self, path: &AttrPath) -> bool {
        match self.resolve(path) {
            Some(Target::Attribute(place)) => place.leaf().is_case_exact(),
            Some(Target::Core | Target::Extension(_)) | None => true,
        }
    }

    /// Returns true for the attribute `members`.
    pub fn is_members(&self, attribute: &Attribute) -> bool {
        self.is_named(attribute, self.members.as_deref())
    }

    /// Returns true for the attribute `member_of`.
    pub fn is_member_of(&self, attribute: &Attribute) -> bool {
        self.is_named(attribute, self.member_of.as_deref())
    }

    /// Returns true if the `$ref` of this attribute follows from its `value`, and is not stored.
    pub fn derives_ref(&self, attribute: &Attribute) -> bool {
        self.is_members(attribute) || self.is_member_of(attribute) || self.reference(attribute).is_some()
    }

    /// Returns the place of a reference of this type.
    pub fn place_of(&self, reference: &Reference) -> Option<Place<'_>> {
        match self.resolve(&reference.path)? {
            Target::Attribute(place) => Some(place),
            Target::Core | Target::Extension(_) => None,
        }
    }

    pub fn reference(&self, attribute: &Attribute) -> Option<&Reference> {
        self.references.iter().find(|reference| {
            self.place_of(reference).is_some_and(|place| std::ptr::eq(place.attribute, attribute))
        })
    }

    fn is_named(&self, attribute: &Attribute, name: Option<&str>) -> bool {
        // By identity: an extension may have an attribute of the same name.
        let named = name.and_then(|name| self.schema.attribute(name));
        named.is_some_and(|named| std::ptr::eq(named, attribute))
    }

    /// Returns every attribute of a resource, in the order of the documents.
    pub fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let extensions = self.extensions.iter().map(|extension| {
            let schema = extension.schema.as_ref();
            (Some(schema.id.as_str()), schema)
        });
        [(None, self.common.as_ref()), (None, self.schema.as_ref())].into_iter().chain(extensions).flat_map(
            |(extension, schema)| {
                schema.attributes.iter().map(move |attribute| Place { extension, attribute, sub: None })
            },
        )
    }

    /// Returns the attributes that every resource has (RFC 7643 s3.1).
    pub fn common(&self) -> &Schema {
        &self.common
    }
}
