//! The schemas and resource types that a tenant is served. In reading order:
//!
//! - this file: [`Registry`], the built-in documents together with an operator's, under
//!   the policy of the tenant;
//! - [`custom`]: the documents of an operator, read and checked;
//! - [`roles`]: the roles and entitlements that an operator declares;
//! - [`discovery`]: the registry as clients see it;
//! - `*.json`: the built-in documents.

pub mod custom;
pub mod discovery;
pub mod roles;

use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use self::custom::{Declaration, Definitions, Unsound, is_unique, unsound};
use self::roles::{AssignableKind, Assignables, Declared};
use crate::scim::attr_path::AttrPath;
use crate::scim::policy::{GroupNames, Mutable, Policy, UserGroups};
use crate::scim::schema::{
    Attribute, Extension, Mutability, OtherIndex, OtherUse, Place, Reference, ResourceType, Returned, Schema,
    Target, Type, Uniqueness,
};

#[derive(Debug, Clone)]
pub struct Registry {
    pub schemas: Vec<Arc<Schema>>,
    /// The types whose resources are stored.
    pub resource_types: Vec<Arc<ResourceType>>,
    /// Roles and entitlements, if the operator has declared any.
    pub assignables: Vec<Assignables>,
    /// The types whose resources the operator declares.
    pub declared: Vec<Declared>,
}

/// The attribute of `ServiceProviderConfig` that a draft adds to it.
pub(crate) const ROLES_AND_ENTITLEMENTS: &str = "RolesAndEntitlements";

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The built-in documents.
struct BuiltIn {
    common: Arc<Schema>,
    /// The common attributes of declared resources, which have no history.
    common_of_declared: Arc<Schema>,
    definitions: Definitions,
}

static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(|| {
    fn read<'a, T: Deserialize<'a>>(text: &'a str) -> T {
        serde_json::from_str(text)
            .unwrap_or_else(|error| unreachable!("the documents of src/scim/registry are tested: {error}"))
    }
    BuiltIn {
        common: Arc::new(read(include_str!("common.json"))),
        common_of_declared: Arc::new(without_history(read(include_str!("common.json")))),
        definitions: Definitions {
            schemas: vec![
                read(include_str!("user.json")),
                read(include_str!("enterprise_user.json")),
                read(include_str!("group.json")),
                read(include_str!("service_provider_config.json")),
                read(include_str!("resource_type.json")),
                read(include_str!("schema.json")),
            ],
            resource_types: read(include_str!("resource_types.json")),
            ..Definitions::default()
        },
    }
});

impl Registry {
    /// Builds the registry of a tenant without definitions of its own.
    pub fn new(policy: &Policy) -> Self {
        Self::with(policy, &Definitions::default())
            .unwrap_or_else(|error| unreachable!("the documents of src/scim/registry are tested: {error}"))
    }

    /// Builds the registry of a tenant, with the additions of these definitions.
    pub fn with(policy: &Policy, more: &Definitions) -> Result<Self, Unsound> {
        let BuiltIn { common, common_of_declared, definitions } = &*BUILT_IN;
        let mut schemas: Vec<Arc<Schema>> = Vec::new();
        for schema in definitions.schemas.iter().chain(&more.schemas) {
            let mut schema = schema.clone();
            apply(policy, &mut schema);
            if more.roles.is_none() && more.entitlements.is_none() {
                // `ServiceProviderConfig` shows it together with roles or entitlements only.
                schema.attributes.retain(|attribute| attribute.name != ROLES_AND_ENTITLEMENTS);
            }
            add_schema(&mut schemas, Arc::new(schema))?;
        }
        let mut declarations = definitions.resource_types.clone();
        for declaration in &more.resource_types {
            let error = |error: String| unsound(format!("resource type {}: {error}", declaration.name));
            declare(&mut declarations, declaration).map_err(error)?;
        }
        let stored: Vec<String> = declarations.iter().map(|declaration| declaration.name.clone()).collect();
        let resource_types = declarations
            .into_iter()
            .map(|mut declaration| {
                declaration.apply(policy);
                let name = declaration.name.clone();
                let kind = declaration.into_resource_type(common, &schemas);
                let kind = kind.map(|kind| ResourceType { references: references(&kind, &stored), ..kind });
                kind.map(Arc::new).map_err(|error| unsound(format!("resource type {name}: {error}")))
            })
            .collect::<Result<_, _>>()?;
        let mut assignables = Vec::new();
        let kinds = [(AssignableKind::Role, &more.roles), (AssignableKind::Entitlement, &more.entitlements)];
        for (kind, all) in kinds {
            if let Some(all) = all {
                assignables.push(Assignables::new(kind, all).map_err(unsound)?);
            }
        }
        let declared: Vec<Declared> =
            assignables.iter().flat_map(|assignables| assignables.declared(common_of_declared)).collect();
        for schema in roles::schemas(&declared) {
            add_schema(&mut schemas, schema)?;
        }
        Ok(Self { schemas, resource_types, assignables, declared })
    }

    /// Adds to each type that `other` indexes differently its index under `other`.
    pub fn attach(&mut self, other: &Self, use_of: OtherUse) {
        for kind in &mut self.resource_types {
            let same = other.resource_types.iter().find(|same| same.name == kind.name);
            if let Some(same) = same.filter(|same| same.index_rules() != kind.index_rules()) {
                let index = OtherIndex { kind: Arc::clone(same), use_of };
                *kind = Arc::new(ResourceType { other: Some(Arc::new(index)), ..ResourceType::clone(kind) });
            }
        }
    }

    pub fn every_type(&self) -> impl Iterator<Item = &Arc<ResourceType>> {
        self.resource_types.iter().chain(self.declared.iter().map(|declared| &declared.kind))
    }

    pub fn assignables(&self, kind: AssignableKind) -> Option<&Assignables> {
        self.assignables.iter().find(|assignables| assignables.kind == kind)
    }

    pub fn has_assignables(&self) -> bool {
        !self.assignables.is_empty()
    }

    pub fn resource_type(&self, name: &str) -> Option<&Arc<ResourceType>> {
        self.every_type().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }

    /// Returns the type at an endpoint, the first segment of a path below the base.
    pub fn at(&self, endpoint: &str) -> Option<&Arc<ResourceType>> {
        self.every_type().find(|kind| kind.endpoint.eq_ignore_ascii_case(endpoint))
    }

    pub fn schema(&self, urn: &str) -> Option<&Arc<Schema>> {
        self.schemas.iter().find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }
}

fn add_schema(schemas: &mut Vec<Arc<Schema>>, schema: Arc<Schema>) -> Result<(), Unsound> {
    if schemas.iter().any(|other| other.id.eq_ignore_ascii_case(&schema.id)) {
        return Err(unsound(format!("schema {}: the id is already taken: choose another", schema.id)));
    }
    schemas.push(schema);
    Ok(())
}

/// Removes the attributes that a declared resource cannot have.
fn without_history(mut common: Schema) -> Schema {
    // Nothing records when an operator changed a document, and no client created it.
    common.attributes.retain(|attribute| attribute.name != "externalId");
    for attribute in common.attributes.iter_mut().filter(|attribute| attribute.name == "meta") {
        attribute.sub_attributes.retain(|sub| ["resourceType", "location"].contains(&sub.name.as_str()));
    }
    common
}

/// Adds a resource type, or extends the one of the same name.
fn declare(declarations: &mut Vec<Declaration>, more: &Declaration) -> Result<(), String> {
    let existing = declarations.iter_mut().find(|other| other.name.eq_ignore_ascii_case(&more.name));
    let Some(existing) = existing else {
        let segment = |kind: &Declaration| {
            kind.endpoint.as_ref().map(|text| text.trim_start_matches('/').to_lowercase())
        };
        if let Some(other) = declarations.iter().find(|other| segment(other) == segment(more)) {
            return Err(format!("the endpoint is already taken by {}: choose another", other.name));
        }
        declarations.push(more.clone());
        return Ok(());
    };
    if more.endpoint.is_some() || more.schema.is_some() || more.description.is_some() {
        return Err("the type exists: an addition to it cannot have an endpoint, a schema or a description"
            .to_owned());
    }
    existing.schema_extensions.extend(more.schema_extensions.iter().cloned());
    existing.unique.extend(more.unique.iter().cloned());
    existing.look_up.extend(more.look_up.iter().cloned());
    existing.look_up_many.extend(more.look_up_many.iter().cloned());
    Ok(())
}

/// Adjusts a schema to the policy, so that `/Schemas` shows what the tenant is served.
fn apply(policy: &Policy, schema: &mut Schema) {
    for attribute in &mut schema.attributes {
        match (schema.id.as_str(), attribute.name.as_str()) {
            // For a product that keys its data by `userName`.
            (USER, "userName") if policy.user_name == Mutable::Immutable => {
                attribute.mutability = Mutability::Immutable;
            }
            (USER, "groups") if policy.user_groups == UserGroups::Request => {
                attribute.returned = Returned::Request;
            }
            // For groups whose names come from several sources.
            (GROUP, "displayName") if policy.group_names == GroupNames::Free => {
                attribute.uniqueness = Some(Uniqueness::None);
            }
            _ => {}
        }
    }
}

impl Declaration {
    fn apply(&mut self, policy: &Policy) {
        if self.schema.as_deref() == Some(GROUP) && policy.group_names == GroupNames::Free {
            // Still indexed: Okta finds a group by its name, unique or not.
            let free = |path: &mut String| path == "displayName";
            self.look_up.extend(self.unique.extract_if(.., free));
        }
    }

    fn into_resource_type(
        self,
        common: &Arc<Schema>,
        schemas: &[Arc<Schema>],
    ) -> Result<ResourceType, String> {
        let schema = |urn: &str| {
            let found = schemas.iter().find(|schema| schema.id.eq_ignore_ascii_case(urn));
            found.cloned().ok_or_else(|| format!("schema {urn} is not defined"))
        };
        let mut kind = ResourceType {
            schema: schema(self.schema.as_deref().ok_or("it must have a schema")?)?,
            extensions: Vec::new(),
            unique: Vec::new(),
            look_up: Vec::new(),
            look_up_many: Vec::new(),
            other: None,
            members: self.members,
            member_of: self.member_of,
            references: Vec::new(),
            is_declared: false,
            name: self.name,
            endpoint: self.endpoint.ok_or("it must have an endpoint")?.trim_start_matches('/').to_owned(),
            description: self.description.unwrap_or_default(),
            common: Arc::clone(common),
        };
        for extension in self.schema_extensions {
            let schema = schema(&extension.schema)?;
            if schema.id == kind.schema.id || kind.extension(&schema.id).is_some() {
                return Err(format!("it cannot have the schema {} twice", schema.id));
            }
            kind.extensions.push(Extension { schema, required: extension.required });
        }
        kind.unique = kind.indexed(&self.unique)?;
        // A schema may also declare an attribute unique. Either is enough, since a
        // `uniqueness` that `/Schemas` shows must be enforced.
        let by_schema: Vec<AttrPath> = kind.places().flat_map(unique_in).collect();
        for path in by_schema {
            if !kind.unique.contains(&path) {
                kind.unique.push(path);
            }
        }
        kind.look_up = kind.indexed(&self.look_up)?;
        kind.look_up.retain(|path| !kind.unique.contains(path));
        kind.look_up_many = kind.indexed(&self.look_up_many)?;
        kind.look_up_many.retain(|path| !kind.unique.contains(path) && !kind.look_up.contains(path));
        Ok(kind)
    }
}

impl ResourceType {
    /// Returns the paths of indexed attributes, in the spelling of the schema.
    fn indexed(&self, texts: &[String]) -> Result<Vec<AttrPath>, String> {
        let mut paths = Vec::new();
        for text in texts {
            let path: AttrPath = text.parse().map_err(|error| format!("{text}: {error}"))?;
            let Some(Target::Attribute(place)) = self.resolve(&path) else {
                return Err(format!("it has no attribute {text}"));
            };
            // Only texts have a form in which they are compared. `id`, `meta` and `schemas`
            // are not among the attributes of which an index is made.
            if !matches!(place.leaf().kind, Type::String | Type::Reference | Type::Binary)
                || self.common().attribute(&place.attribute.name).is_some_and(|a| a.name != "externalId")
            {
                return Err(format!("{text} cannot be indexed: choose a string, reference or binary"));
            }
            let path = path_of(&place);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

/// Returns the attributes whose `$ref` leads to a stored resource, which `value` names.
fn references(kind: &ResourceType, stored: &[String]) -> Vec<Reference> {
    let types = |place: &Place<'_>| {
        let Place { attribute, .. } = place;
        let is_other = attribute.multi_valued || kind.is_members(attribute) || kind.is_member_of(attribute);
        attribute.sub_attribute("value").filter(|_| !is_other)?;
        let named = &attribute.sub_attribute("$ref")?.reference_types;
        Some(stored.iter().filter(|name| named.contains(name)).cloned().collect::<Vec<_>>())
    };
    let found = kind.places().filter_map(|place| Some((path_of(&place), types(&place)?)));
    found.filter(|(_, types)| !types.is_empty()).map(|(path, types)| Reference { path, types }).collect()
}

fn path_of(place: &Place<'_>) -> AttrPath {
    AttrPath {
        schema: place.extension.map(str::to_owned),
        attr: place.attribute.name.clone(),
        sub: place.sub.map(|sub| sub.name.clone()),
    }
}

/// Returns the paths of an attribute and its sub-attributes that the schema declares
/// unique.
fn unique_in(place: Place<'_>) -> Vec<AttrPath> {
    let is_unique = |attribute: &&Attribute| {
        // Clients cannot write a read-only value, so none of them can claim another's.
        attribute.uniqueness.is_some_and(is_unique) && attribute.mutability != Mutability::ReadOnly
    };
    let parts = place.attribute.sub_attributes.iter().filter(is_unique);
    let parts = parts.map(|sub| path_of(&Place { sub: Some(sub), ..place }));
    Some(place.attribute).filter(is_unique).map(|_| path_of(&place)).into_iter().chain(parts).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{GROUP, Registry};
    use crate::scim::policy::{GroupNames, Policy};

    #[test]
    fn names_of_groups_are_unique_or_looked_up() {
        for (group_names, uniqueness, unique, look_up) in [
            (GroupNames::Unique, "server", vec!["displayName"], vec!["externalId"]),
            (GroupNames::Free, "none", vec![], vec!["externalId", "displayName"]),
        ] {
            let policy = Policy { group_names, ..Policy::default() };
            let registry = Registry::new(&policy);
            let group = registry.resource_type("Group").unwrap();
            let texts = |paths: &[_]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!((texts(&group.unique), texts(&group.look_up)), (owned(unique), owned(look_up)));
            let said = json!(registry.schema(GROUP).unwrap().attribute("displayName").unwrap().uniqueness);
            assert_eq!(said, uniqueness);
        }
    }

    fn owned(texts: Vec<&str>) -> Vec<String> {
        texts.into_iter().map(str::to_owned).collect()
    }
}
