//! The schemas and resource types that one tenant is served: the documents of
//! `schema/`, adjusted by the tenant's policy.

use std::sync::Arc;

use serde::Deserialize;

use super::path::AttrPath;
use super::policy::{GroupNames, Mutable, Policy};
use super::schema::{Extension, Mutability, ResourceType, Schema, Uniqueness};

#[derive(Debug, Clone)]
pub struct Catalogue {
    pub schemas: Vec<Arc<Schema>>,
    pub resource_types: Vec<Arc<ResourceType>>,
}

/// A resource type as `schema/resource_types.json` declares it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Declaration {
    name: String,
    endpoint: String,
    description: String,
    schema: String,
    schema_extensions: Vec<SchemaExtension>,
    unique: Vec<String>,
    look_up: Vec<String>,
    members: Option<String>,
    member_of: Option<String>,
}

#[derive(Deserialize)]
struct SchemaExtension {
    schema: String,
    required: bool,
}

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

const COMMON: &str = include_str!("schema/common.json");
const SCHEMAS: [&str; 6] = [
    include_str!("schema/user.json"),
    include_str!("schema/enterprise_user.json"),
    include_str!("schema/group.json"),
    include_str!("schema/service_provider_config.json"),
    include_str!("schema/resource_type.json"),
    include_str!("schema/schema.json"),
];
const RESOURCE_TYPES: &str = include_str!("schema/resource_types.json");

impl Catalogue {
    pub fn new(policy: &Policy) -> Self {
        Self::read(policy, RESOURCE_TYPES)
            .unwrap_or_else(|error| unreachable!("the documents of src/scim/schema are tested: {error}"))
    }

    /// With resource types of these declarations, over the schemas of `schema/`.
    pub fn read(policy: &Policy, resource_types: &str) -> Result<Self, String> {
        Self::with_schemas(policy, &[], resource_types)
    }

    /// The same with more schemas to declare them over.
    pub fn with_schemas(policy: &Policy, more: &[&str], resource_types: &str) -> Result<Self, String> {
        let common: Arc<Schema> = Arc::new(parse(COMMON)?);
        let mut schemas = Vec::with_capacity(SCHEMAS.len() + more.len());
        for text in SCHEMAS.iter().chain(more) {
            let mut schema: Schema = parse(text)?;
            apply(policy, &mut schema);
            schemas.push(Arc::new(schema));
        }
        let mut declarations: Vec<Declaration> = parse(resource_types)?;
        for declaration in &mut declarations {
            declaration.apply(policy);
        }
        let resource_types = declarations
            .into_iter()
            .map(|declaration| declaration.into_resource_type(&common, &schemas).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self { schemas, resource_types })
    }

    pub fn resource_type(&self, name: &str) -> Option<&Arc<ResourceType>> {
        self.resource_types.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }

    /// `endpoint` is the first segment of a path below the base, without its slash.
    pub fn at(&self, endpoint: &str) -> Option<&Arc<ResourceType>> {
        self.resource_types.iter().find(|kind| kind.endpoint.eq_ignore_ascii_case(endpoint))
    }

    pub fn schema(&self, urn: &str) -> Option<&Arc<Schema>> {
        self.schemas.iter().find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }
}

/// A tenant whose product keys its data by `userName` can forbid renames, and one
/// whose groups have their names from several sources can let them be equal.
/// `/Schemas` must say so.
fn apply(policy: &Policy, schema: &mut Schema) {
    for attribute in &mut schema.attributes {
        match (schema.id.as_str(), attribute.name.as_str()) {
            (USER, "userName") if policy.user_name == Mutable::Immutable => {
                attribute.mutability = Mutability::Immutable;
            }
            (GROUP, "displayName") if policy.group_names == GroupNames::Free => {
                attribute.uniqueness = Some(Uniqueness::None);
            }
            _ => {}
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Declaration {
    fn apply(&mut self, policy: &Policy) {
        if self.schema == GROUP && policy.group_names == GroupNames::Free {
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
            schemas
                .iter()
                .find(|schema| schema.id == urn)
                .cloned()
                .ok_or_else(|| format!("{}: no schema {urn}", self.name))
        };
        let extensions = self
            .schema_extensions
            .iter()
            .map(|extension| {
                Ok(Extension { schema: schema(&extension.schema)?, required: extension.required })
            })
            .collect::<Result<_, String>>()?;
        let kind = ResourceType {
            schema: schema(&self.schema)?,
            extensions,
            unique: paths(&self.unique)?,
            look_up: paths(&self.look_up)?,
            members: self.members,
            member_of: self.member_of,
            name: self.name,
            endpoint: self.endpoint,
            description: self.description,
            common: Arc::clone(common),
        };
        if let Some(path) = kind.unique.iter().chain(&kind.look_up).find(|path| kind.resolve(path).is_none())
        {
            return Err(format!("{}: no attribute {path}", kind.name));
        }
        let apart = kind.members.iter().chain(&kind.member_of);
        match apart.into_iter().find(|name| kind.schema.attribute(name).is_none_or(|a| !a.multi_valued)) {
            Some(name) => Err(format!("{}: no multi-valued attribute {name}", kind.name)),
            None => Ok(kind),
        }
    }
}

fn paths(texts: &[String]) -> Result<Vec<AttrPath>, String> {
    texts.iter().map(|text| text.parse().map_err(|error| format!("{text}: {error}"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Catalogue, GROUP};
    use crate::scim::policy::{GroupNames, Policy};

    #[test]
    fn names_of_groups_are_unique_or_looked_up() {
        for (group_names, uniqueness, unique, look_up) in [
            (GroupNames::Unique, "server", vec!["displayName"], vec!["externalId"]),
            (GroupNames::Free, "none", vec![], vec!["externalId", "displayName"]),
        ] {
            let policy = Policy { group_names, ..Policy::default() };
            let catalogue = Catalogue::new(&policy);
            let group = catalogue.resource_type("Group").unwrap();
            let texts = |paths: &[_]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!((texts(&group.unique), texts(&group.look_up)), (owned(unique), owned(look_up)));
            let said = json!(catalogue.schema(GROUP).unwrap().attribute("displayName").unwrap().uniqueness);
            assert_eq!(said, uniqueness);
        }
    }

    fn owned(texts: Vec<&str>) -> Vec<String> {
        texts.into_iter().map(str::to_owned).collect()
    }
}
