//! Keys: every item of the one table has a string pair (`pk`, `sk`).
//!
//! | item | pk | sk |
//! |---|---|---|
//! | tenant | `<t>#tenant` | `!` |
//! | token | `<t>#tenant` | `token#<kid>` |
//! | resource | `<t>#<Type>` | `<id>` |
//! | unique value | `<t>#<Type>.<attribute>` | folded value |
//! | look-up value | `<t>#<Type>.<attribute>` | folded value, `#`, id |
//! | census | `<t>#census#<Type>` | `00`..`3f` |
//! | membership | `<t>#<Type>#<id>` | `<member's id>` |
//! | nesting of groups | `<t>#nesting` | `!` |
//! | job | `<t>#job` | `<work>#<id>` |
//! | audit record | `<t>#audit#<day>` | `<time>#<request id>#<place>` |
//! | list of tenants | `#tenants` | `<t>` |
//!
//! The index `members` has the memberships of a resource under `<t>#member#<id>`.
//!
//! A key is made only here and only from a [`TenantName`], which holds no `#`, so
//! that no input can reach a partition of another tenant, and IAM can hold a
//! role to one by `dynamodb:LeadingKeys`. All resources of a type are one
//! partition key in the order of their random ids: a list needs no index, and
//! without a local index DynamoDB may split the collection wherever it grows.
//!
//! Uniqueness and look-up have to see a write at once, which no global index
//! does. So they are items of the table, written in the transaction that writes
//! the resource. An item found this way is a hint: the resource decides.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::scim::attr_path::AttrPath;
use crate::scim::filter::case_fold::fold;
use crate::scim::resource::{Attributes, get};
use crate::scim::schema::{Place, ResourceType, Target};

/// Name of a tenant: 1 to 32 lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantName(String);

impl TenantName {
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    pub(crate) fn tenant(tenant: &TenantName) -> Self {
        Self { pk: format!("{}#tenant", tenant.0), sk: "!".to_owned() }
    }

    pub(crate) fn token(tenant: &TenantName, kid: &str) -> Self {
        Self { pk: format!("{}#tenant", tenant.0), sk: format!("token#{kid}") }
    }

    pub(crate) fn resource(tenant: &TenantName, kind: &ResourceType, id: &str) -> Self {
        Self { pk: resources(tenant, kind), sk: id.to_owned() }
    }

    pub(crate) fn unique(tenant: &TenantName, kind: &ResourceType, path: &AttrPath, value: &str) -> Self {
        Self { pk: values(tenant, kind, path), sk: value_key(kind, path, value) }
    }

    pub(crate) fn census(tenant: &TenantName, kind: &ResourceType, row: u16) -> Self {
        Self { pk: census(tenant, kind), sk: format!("{row:02x}") }
    }

    pub(crate) fn member(tenant: &TenantName, kind: &ResourceType, id: &str, member: &str) -> Self {
        Self { pk: members(tenant, kind, id), sk: member.to_owned() }
    }

    pub(crate) fn of_type(tenant: &TenantName, name: &str, id: &str) -> Self {
        Self { pk: format!("{}#{name}", tenant.0), sk: id.to_owned() }
    }

    pub(crate) fn nesting(tenant: &TenantName) -> Self {
        Self { pk: format!("{}#nesting", tenant.0), sk: "!".to_owned() }
    }

    pub(crate) fn job(tenant: &TenantName, work: &str, id: &str) -> Self {
        Self { pk: jobs(tenant), sk: format!("{work}#{id}") }
    }

    pub(crate) fn audit(tenant: &TenantName, time: Timestamp, request_id: &str, place: usize) -> Self {
        let day = TimeZone::UTC.to_datetime(time).date();
        Self { pk: Self::audits(tenant, day), sk: format!("{time:.3}#{request_id}#{place:04}") }
    }

    /// The partition of a day, by UTC.
    pub(crate) fn audits(tenant: &TenantName, day: Date) -> String {
        format!("{}#audit#{day}", tenant.0)
    }

    pub(crate) fn listed_tenant(tenant: &TenantName) -> Self {
        Self { pk: TENANTS.to_owned(), sk: tenant.0.clone() }
    }

    pub(crate) fn of(item: &HashMap<String, AttributeValue>) -> Option<Self> {
        let text = |name| item.get(name)?.as_s().ok().cloned();
        Some(Self { pk: text("pk")?, sk: text("sk")? })
    }

    pub(crate) fn into_map(self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk)),
            ("sk".to_owned(), AttributeValue::S(self.sk)),
        ])
    }
}

/// The partition that lists the tenants. No tenant has an empty name.
pub(crate) const TENANTS: &str = "#tenants";

/// What the partitions of a tenant begin with, and of no other.
#[cfg(feature = "cli")]
pub(crate) fn partitions(tenant: &TenantName) -> String {
    format!("{}#", tenant.0)
}

/// The partition that holds the members of a resource.
pub(crate) fn members(tenant: &TenantName, kind: &ResourceType, id: &str) -> String {
    format!("{}#{}#{id}", tenant.0, kind.name)
}

/// The partition of the index `members` that holds the memberships of a resource.
pub(crate) fn member_of(tenant: &TenantName, member: &str) -> String {
    format!("{}#member#{member}", tenant.0)
}

pub(crate) fn jobs(tenant: &TenantName) -> String {
    format!("{}#job", tenant.0)
}

/// The partition that holds every resource of a type.
pub(crate) fn resources(tenant: &TenantName, kind: &ResourceType) -> String {
    format!("{}#{}", tenant.0, kind.name)
}

pub(crate) fn census(tenant: &TenantName, kind: &ResourceType) -> String {
    format!("{}#census#{}", tenant.0, kind.name)
}

/// The partition of the index `changes` that holds the resources of a type.
pub(crate) fn changes(tenant: &TenantName, kind: &ResourceType) -> String {
    format!("{}#changed#{}", tenant.0, kind.name)
}

/// The partition of the rows for one attribute; `emails.value` is `emails`.
pub(crate) fn values(tenant: &TenantName, kind: &ResourceType, path: &AttrPath) -> String {
    let mut path = path.clone();
    path.sub = path.sub.filter(|sub| sub != "value");
    format!("{}#{}.{path}", tenant.0, kind.name)
}

/// Partition and beginning of the sort key of the look-up rows for a value.
pub(crate) fn look_up(tenant: &TenantName, kind: &ResourceType, path: &AttrPath, value: &str) -> Key {
    Key { pk: values(tenant, kind, path), sk: format!("{}#", value_key(kind, path, value)) }
}

/// A sort key may have 1,024 bytes, and an id comes behind the value.
const MAX_VALUE_BYTES: usize = 900;

fn value_key(kind: &ResourceType, path: &AttrPath, value: &str) -> String {
    let case_exact = match kind.resolve(path) {
        Some(Target::Attribute(place)) => place.leaf().is_case_exact(),
        Some(Target::Extension(_)) | None => true,
    };
    let folded = if case_exact { value.to_owned() } else { fold(value) };
    match folded.split_at_checked(folded.floor_char_boundary(MAX_VALUE_BYTES)) {
        Some((beginning, rest)) if !rest.is_empty() => {
            format!("{beginning}~{}", hex(&Sha256::digest(folded.as_bytes())))
        }
        _ => folded,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The rows that a resource with these attributes has beside its own item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexKeys {
    /// Each with the place in `kind.unique` of the attribute that it guards.
    pub(crate) unique: BTreeSet<(Key, usize)>,
    pub(crate) look_up: BTreeSet<Key>,
}

impl IndexKeys {
    pub(crate) fn of(tenant: &TenantName, kind: &ResourceType, id: &str, attributes: &Attributes) -> Self {
        let mut keys = Self::default();
        for (index, path) in kind.unique.iter().enumerate() {
            let made =
                texts(kind, path, attributes).map(|value| (Key::unique(tenant, kind, path, value), index));
            keys.unique.extend(made);
        }
        for path in &kind.look_up {
            keys.look_up.extend(texts(kind, path, attributes).map(|value| {
                let Key { pk, sk } = look_up(tenant, kind, path, value);
                Key { pk, sk: sk + id }
            }));
        }
        keys
    }

    pub(crate) fn len(&self) -> usize {
        self.unique.len() + self.look_up.len()
    }

    /// Those that `other` does not have.
    pub(crate) fn without(&self, other: &Self) -> Self {
        Self {
            unique: self.unique.difference(&other.unique).cloned().collect(),
            look_up: self.look_up.difference(&other.look_up).cloned().collect(),
        }
    }

    /// Stands for all the keys in the condition of a write.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for Key { pk, sk } in self.unique.iter().map(|(key, _)| key).chain(&self.look_up) {
            for part in [pk, sk] {
                hash.update(part.len().to_be_bytes());
                hash.update(part);
            }
        }
        hex(hash.finalize().get(..16).unwrap_or_default())
    }
}

/// The non-empty strings at a path; DynamoDB takes no empty key.
fn texts<'a>(
    kind: &ResourceType,
    path: &AttrPath,
    attributes: &'a Attributes,
) -> impl Iterator<Item = &'a str> {
    let (value, sub) = match kind.resolve(path) {
        Some(Target::Attribute(Place { extension, attribute, sub })) => {
            let place = Place { extension, attribute, sub: None };
            (get(attributes, &place), sub.map(|sub| sub.name.clone()))
        }
        Some(Target::Extension(_)) | None => (None, None),
    };
    let elements: &[Value] = match value {
        Some(Value::Array(elements)) => elements,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    elements
        .iter()
        .filter_map(move |element| match &sub {
            Some(sub) => element.get(sub)?.as_str(),
            None => element.as_str(),
        })
        .filter(|text| !text.is_empty())
}
