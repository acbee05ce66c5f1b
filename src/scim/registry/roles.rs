//! Roles and entitlements (draft-ietf-scim-roles-entitlements): the values that an
//! operator offers for the users of a tenant. Clients only read them, under the URNs
//! of the draft and under the URNs that Okta looks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::scim::decode::excerpt;
use crate::scim::error::{ErrorKind, Result};
use crate::scim::etag::Version;
use crate::scim::policy::UnknownRoles;
use crate::scim::quirks;
use crate::scim::resource::{Attributes, Resource};
use crate::scim::schema::{ResourceType, Schema};

/// The roles of a tenant, and its entitlements. Each query goes through all of them.
const MAX_ASSIGNABLES: usize = 1_000;

/// The bytes of a value, which is a segment of a URL.
const MAX_VALUE_BYTES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignableKind {
    Role,
    Entitlement,
}

/// A role or an entitlement as an operator declares it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assignable {
    pub value: String,
    #[serde(default)]
    display: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default = "yes")]
    supported: bool,
    #[serde(default)]
    total_assignments_permitted: Option<u64>,
    /// The values of others that it grants, too.
    #[serde(default)]
    contains: Vec<String>,
}

fn yes() -> bool {
    true
}

/// The roles of a tenant, or its entitlements.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignables {
    pub kind: AssignableKind,
    /// The declarations by their value in lower case.
    all: BTreeMap<String, Assignable>,
}

/// A resource type whose resources are declared rather than stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    pub kind: Arc<ResourceType>,
    pub assignable: AssignableKind,
    pub resources: Vec<Resource>,
}

static SCHEMAS: LazyLock<Vec<Arc<Schema>>> = LazyLock::new(|| {
    serde_json::from_str::<Vec<Schema>>(include_str!("assignables.json"))
        .unwrap_or_else(|error| unreachable!("the documents of src/scim/registry are tested: {error}"))
        .into_iter()
        .map(Arc::new)
        .collect()
});

/// The attribute `totalAssignmentsUsed`, which must be counted among the users.
pub const USED: &str = "totalAssignmentsUsed";

impl AssignableKind {
    /// Returns the name of the attribute of a user.
    pub fn attribute(self) -> &'static str {
        match self {
            Self::Role => "roles",
            Self::Entitlement => "entitlements",
        }
    }

    fn endpoint(self) -> &'static str {
        match self {
            Self::Role => "Roles",
            Self::Entitlement => "Entitlements",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Role => "Role",
            Self::Entitlement => "Entitlement",
        }
    }
}

impl Assignables {
    pub(crate) fn new(kind: AssignableKind, declared: &[Assignable]) -> Result<Self, String> {
        let what = kind.attribute();
        if declared.len() > MAX_ASSIGNABLES {
            return Err(format!("{what}: {} values, the limit is {MAX_ASSIGNABLES}", declared.len()));
        }
        let mut all = BTreeMap::new();
        for assignable in declared {
            let value = &assignable.value;
            if value.is_empty() || value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
                return Err(format!(
                    "{what}: a value must have 1 to {MAX_VALUE_BYTES} bytes without control characters"
                ));
            }
            if all.insert(value.to_lowercase(), assignable.clone()).is_some() {
                return Err(format!(
                    "{what} {value}: the value must be unique: values are compared without case"
                ));
            }
        }
        let declared = Self { kind, all };
        // Once all are known, since a value may contain a later one.
        for assignable in declared.all.values() {
            let error = |error: String| Err(format!("{what} {}: {error}", assignable.value));
            for child in &assignable.contains {
                if declared.get(child).is_none() {
                    return error(format!("it cannot contain {child}, which is not declared"));
                }
            }
            if declared.containers(&assignable.value).contains(assignable.value.as_str()) {
                return error("it cannot contain itself, directly or through others".to_owned());
            }
        }
        Ok(declared)
    }

    fn get(&self, value: &str) -> Option<&Assignable> {
        self.all.get(&value.to_lowercase())
    }

    /// Returns those that contain a value directly.
    fn parents(&self, value: &str) -> impl Iterator<Item = &Assignable> + use<'_> {
        let value = value.to_lowercase();
        self.all
            .values()
            .filter(move |parent| parent.contains.iter().any(|child| child.to_lowercase() == value))
    }

    /// Returns those that contain a value, directly or through others.
    fn containers(&self, value: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&Assignable> = self.parents(value).collect();
        while let Some(container) = next.pop() {
            if found.insert(container.value.as_str()) {
                next.extend(self.parents(&container.value));
            }
        }
        found
    }

    /// Returns the values whose holders hold this one: itself, and those that contain it.
    pub fn granted_by(&self, value: &str) -> Vec<String> {
        std::iter::once(value).chain(self.containers(value)).map(str::to_owned).collect()
    }

    /// Returns the two resource types as which clients read them.
    pub(crate) fn declared(&self, common: &Arc<Schema>) -> Vec<Declared> {
        let declared = |prefix: &str, urn: &str, resource: fn(&Self, &Assignable) -> Value| {
            let schema = SCHEMAS.iter().find(|schema| schema.id == format!("{urn}:{}", self.kind.name()))?;
            let kind = ResourceType {
                name: format!("{prefix}{}", self.kind.name()),
                endpoint: format!("{prefix}{}", self.kind.endpoint()),
                description: schema.description.clone(),
                schema: Arc::clone(schema),
                extensions: Vec::new(),
                unique: Vec::new(),
                look_up: Vec::new(),
                look_up_many: Vec::new(),
                other: None,
                members: None,
                member_of: None,
                references: Vec::new(),
                is_declared: true,
                common: Arc::clone(common),
            };
            let resources = self.all.values().map(|assignable| Resource {
                id: id_of(&assignable.value),
                version: Version::FIRST,
                created: Timestamp::UNIX_EPOCH,
                last_modified: Timestamp::UNIX_EPOCH,
                attributes: with_values(resource(self, assignable)),
                derived: None,
                members: 0,
            });
            let mut resources: Vec<Resource> = resources.collect();
            // In the order of ids, as a list of stored resources is.
            resources.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            Some(Declared { kind: Arc::new(kind), assignable: self.kind, resources })
        };
        let draft = declared("", "urn:ietf:params:scim:schemas:core:2.0", Self::of_the_draft);
        let okta = declared("Okta", "urn:okta:scim:schemas:core:1.0", Self::of_okta);
        draft.into_iter().chain(okta).collect()
    }

    fn of_the_draft(&self, assignable: &Assignable) -> Value {
        // In the spelling of their own declarations, so that a client can compare them.
        let contains: Vec<&str> =
            assignable.contains.iter().filter_map(|child| Some(self.get(child)?.value.as_str())).collect();
        let parents = self.parents(&assignable.value);
        json!({
            "value": assignable.value,
            "display": assignable.display,
            "type": assignable.kind,
            "supported": assignable.supported,
            "limitedAssignmentsPermitted": assignable.total_assignments_permitted.is_some(),
            "totalAssignmentsPermitted": assignable.total_assignments_permitted,
            "containedBy": parents.map(|parent| parent.value.as_str()).collect::<Vec<_>>(),
            "contains": contains,
        })
    }

    fn of_okta(&self, assignable: &Assignable) -> Value {
        json!({
            "displayName": assignable.display.as_ref().unwrap_or(&assignable.value),
            "description": assignable.description,
            // Okta's schema of a role has no `type`.
            "type": assignable.kind.as_ref().filter(|_| self.kind == AssignableKind::Entitlement),
        })
    }

    /// Returns the types of the values, for the draft's `ServiceProviderConfig`.
    pub(crate) fn types(&self) -> BTreeSet<&str> {
        self.all.values().filter_map(|assignable| assignable.kind.as_deref()).collect()
    }

    /// Checks the values that a user is newly assigned.
    pub fn check(
        &self,
        unknown: UnknownRoles,
        before: Option<&Attributes>,
        after: &Attributes,
    ) -> Result<()> {
        if unknown == UnknownRoles::Accept {
            return Ok(());
        }
        let name = self.kind.attribute();
        let before = before.map_or(&[][..], |before| elements(before, name));
        // A value that the user has already stays valid, even if it is no longer declared:
        // otherwise no change of such a user would succeed until the role is removed.
        for element in elements(after, name).iter().filter(|element| !before.contains(element)) {
            let text = |sub: &str| element.get(sub).and_then(Value::as_str);
            let value = text("value").unwrap_or_default();
            let error = |why: String| {
                Err(ErrorKind::InvalidValue
                    .with(format!("{name}: {why}: GET /{} lists the valid values", self.kind.endpoint())))
            };
            match self.get(value) {
                None if value.is_empty() => return error("an element must have a value".to_owned()),
                None => return error(format!("{} is unknown", excerpt(value))),
                Some(found) if !found.supported => {
                    return error(format!("{} cannot be assigned: it is not supported", excerpt(value)));
                }
                Some(Assignable { kind: Some(kind), .. })
                    if text("type").is_some_and(|sent| !sent.eq_ignore_ascii_case(kind)) =>
                {
                    return error(format!(
                        "{} has the type {kind}, not {}",
                        excerpt(value),
                        excerpt(text("type").unwrap_or_default())
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl Declared {
    pub fn get(&self, id: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.id == id)
    }
}

/// Returns the id of a value: the value itself, in which `/`, `%` and `?` are escaped as `!2F`,
/// `!25` and `!3F`.
///
/// An HTTP API of API Gateway decodes the path before it passes it on, so that no encoding of
/// these in a URL arrives. A `!` that looks like an escape is one too, which keeps the ids of
/// different values apart.
fn id_of(value: &str) -> String {
    // Clients resolve segments of dots (RFC 3986 s5.2.4), and `.search` is an endpoint.
    let is_name = [".", ".."].contains(&value) || value.eq_ignore_ascii_case(".search");
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    let mut id = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let looks_escaped =
            || value.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(is_hex));
        match c {
            '/' => id.push_str("!2F"),
            '%' => id.push_str("!25"),
            '?' => id.push_str("!3F"),
            '!' if looks_escaped() => id.push_str("!21"),
            '.' if at == 0 && is_name => id.push_str("!2E"),
            c => id.push(c),
        }
    }
    id
}

/// Returns the schemas of declared types.
pub(crate) fn schemas(declared: &[Declared]) -> impl Iterator<Item = Arc<Schema>> {
    declared.iter().map(|declared| Arc::clone(&declared.kind.schema))
}

fn elements<'a>(attributes: &'a Attributes, name: &str) -> &'a [Value] {
    attributes.get(name).map(quirks::elements).unwrap_or_default()
}

/// Drops the members that have no value, as a map of attributes must.
fn with_values(value: Value) -> Attributes {
    let Value::Object(members) = value else { return Map::new() };
    members.into_iter().filter(|(_, value)| !value.is_null() && *value != json!([])).collect()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;

    use super::id_of;

    #[test]
    fn an_id_is_the_value_where_a_path_can_carry_it() {
        for value in
            ["admin", "US_TEAM-lead.1~x", "On call #1", "cn=admins,ou=x", "a!b", "a!2", "!2f", "ä!", "..."]
        {
            assert_eq!(id_of(value), value);
        }
    }

    #[test]
    fn ids_survive_being_decoded_and_are_different() {
        let values = [
            "a/b",
            "a!2Fb",
            "a!212Fb",
            "a%2Fb",
            "a%",
            "100%",
            "%25",
            "%",
            "!25",
            "?",
            "a?b=c",
            "!3F",
            ".",
            "..",
            "!2E",
            "!2E.",
            ".search",
            ".Search",
            "/",
            "//",
            "http://example.com/a?b#c",
        ];
        let mut ids: Vec<String> = values.iter().map(|value| id_of(value)).collect();
        for id in &ids {
            assert!(!id.contains(['/', '%', '?']) && !id.starts_with('.'), "{id}");
            assert_eq!(percent_decode_str(id).decode_utf8().unwrap(), id.as_str());
            // Every escape can be reversed.
            assert!(
                values.contains(&percent_decode_str(&id.replace('!', "%")).decode_utf8().unwrap().as_ref())
            );
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), values.len());
    }
}
