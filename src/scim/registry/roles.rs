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
                members: None,
                member_of: None,
                is_declared: true,
                common: Arc::clone(common),
            };
            let resources = self.all.values().map(|assignable| Resource {
                id: assignable.value.clone(),
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
                None if value.is_empty() => return error("each must have a value".to_owned()),
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
