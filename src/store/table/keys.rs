//! Keys: every item of the one table has a pair of strings (`pk`, `sk`).
//!
//! | item | pk | sk |
//! |---|---|---|
//! | tenant | `<t>#tenant` | `!` |
//! | token | `<t>#tenant` | `token#<kid>` |
//! | resource | `<t>#<Type>` | `<id>` |
//! | unique value | `<t>#<Type>.<attribute>` | folded value |
//! | look-up value | `<t>#<Type>.<attribute>` | folded value, `#`, id |
//! | many look-up values | `<t>#<Type>.<attribute>#many` | id |
//! | census | `<t>#census#<Type>` | `00`..`ff` |
//! | membership | `<t>#<Type>#<id>` | `<member's id>` |
//! | nesting of groups | `<t>#nesting` | `!` |
//! | cleanup job | `<t>#job` | `left#<id>`, `staged#<group id>#<number>` |
//! | audit record | `<t>#audit#<day>` | `<time>#<request id>#<place>` |
//! | list of tenants | `#tenants` | `<t>` |
//! | secret of the deployment | `#secrets` | its name |
//!
//! The index `members` has the memberships of a resource under `<t>#member#<id>`, the
//! index `changes` the resources of a type under `<t>#changed#<Type>#<stripe>` by the
//! hour of their last change, and the cleanup jobs of all tenants under `#due#<stripe>`
//! by the time at which they are due.
//!
//! A key is made only here and only from a [`TenantName`], which holds no `#`, so that
//! no input can reach a partition of another tenant, and IAM can restrict a role to one
//! tenant by `dynamodb:LeadingKeys`. All resources of a type share one partition key
//! and are ordered by their random ids: a list needs no index, and without a local
//! index DynamoDB may split the collection wherever it grows.
//!
//! Uniqueness and look-up must see a write at once, which no global index does. Their
//! rows are therefore items of the table, written in the transaction that writes the
//! resource. A row is a hint: the resource decides.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use crate::scim::attr_path::AttrPath;
use crate::scim::filter::case_fold::fold;
use crate::scim::registry::custom::{Definitions, Unsound, unsound};
use crate::scim::schema::ResourceType;
use crate::store::digest::hex;
use crate::store::dynamo::item::Key;
use crate::store::limits::MAX_KEY_VALUE_BYTES;
use crate::store::table::directory::{Collection, Directory, TenantName};
use crate::store::table::job::Work;

/// The partition that lists all tenants. No tenant has an empty name.
pub(crate) const TENANTS: &str = "#tenants";

/// The beginning of the partitions of due jobs. No tenant has an empty name.
const DUE_PARTITION: &str = "#due#";

/// Returns the key of a tenant in the list of all.
pub(crate) fn listed_tenant(tenant: &TenantName) -> Key {
    Key { pk: TENANTS.to_owned(), sk: tenant.as_str().to_owned() }
}

/// Returns the tenant of a key.
pub(crate) fn tenant_of(key: &Key) -> Option<TenantName> {
    TenantName::parse(key.pk.split_once('#')?.0)
}

/// Returns the key of a secret of the deployment.
pub(crate) fn secret_key(name: &str) -> Key {
    Key { pk: "#secrets".to_owned(), sk: name.to_owned() }
}

/// The stripes of the index `changes`. One hash key takes 1,000 write units a second, and
/// an index that throttles also throttles the writes of the table.
pub(crate) const STRIPES: u32 = 4;

/// Returns the stripe of a resource, by the first digit of its id.
pub(crate) fn stripe_of(id: &str) -> u32 {
    id.chars().next().and_then(|digit| digit.to_digit(16)).unwrap_or_default() % STRIPES
}

/// Returns a partition of the index `changes` that holds the due jobs of all tenants.
pub(crate) fn due_partition(stripe: u32) -> String {
    format!("{DUE_PARTITION}{stripe}")
}

/// Returns the due time of a job as the index sorts it: to the second, so that all have the
/// same length.
pub(crate) fn due_time(due: Timestamp) -> String {
    due.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Directory<'_> {
    /// Returns the beginning of every partition key of this tenant, and of no other.
    #[cfg(feature = "cli")]
    pub(crate) fn partitions(self) -> String {
        format!("{}#", self.tenant.as_str())
    }

    /// Every other partition key begins with this.
    fn partition(self, rest: impl std::fmt::Display) -> String {
        format!("{}#{rest}", self.tenant.as_str())
    }

    pub(crate) fn tenant_key(self) -> Key {
        Key { pk: self.partition("tenant"), sk: "!".to_owned() }
    }

    /// Returns the key of a token; of an empty key id, the beginning of all.
    pub(crate) fn token_key(self, kid: &str) -> Key {
        Key { pk: self.partition("tenant"), sk: format!("token#{kid}") }
    }

    /// Returns the key of a resource of the type with this name.
    pub(crate) fn resource_key(self, kind: &str, id: &str) -> Key {
        Key { pk: self.partition(kind), sk: id.to_owned() }
    }

    pub(crate) fn nesting_key(self) -> Key {
        Key { pk: self.partition("nesting"), sk: "!".to_owned() }
    }

    pub(crate) fn jobs_partition(self) -> String {
        self.partition("job")
    }

    pub(crate) fn job_key(self, work: Work<'_>) -> Key {
        Key { pk: self.jobs_partition(), sk: work.to_string() }
    }

    /// Returns the partition of a day, by UTC.
    pub(crate) fn audit_partition(self, day: Date) -> String {
        self.partition(format_args!("audit#{day}"))
    }

    pub(crate) fn audit_key(self, time: Timestamp, request_id: &str, place: usize) -> Key {
        let day = TimeZone::UTC.to_datetime(time).date();
        Key { pk: self.audit_partition(day), sk: format!("{time:.3}#{request_id}#{place:04}") }
    }

    /// Returns the partition of the index `members` that holds the memberships of a
    /// resource.
    pub(crate) fn member_partition(self, member: &str) -> String {
        self.partition(format_args!("member#{member}"))
    }

    /// Returns the partition that holds the members of a group of the type with this name.
    pub(crate) fn memberships_partition(self, kind: &str, group: &str) -> String {
        self.partition(format_args!("{kind}#{group}"))
    }

    /// Returns the group whose members a partition holds.
    pub(crate) fn group_at<'k, 'p>(
        self,
        kinds: &[&'k ResourceType],
        partition: &'p str,
    ) -> Option<(&'k ResourceType, &'p str)> {
        let (name, id) = partition.strip_prefix(self.tenant.as_str())?.strip_prefix('#')?.split_once('#')?;
        Some((kinds.iter().find(|kind| kind.name == name)?, id))
    }
}

impl Collection<'_> {
    /// Returns the partition that holds every resource of the type.
    pub(crate) fn partition(self) -> String {
        self.directory.partition(&self.kind.name)
    }

    pub(crate) fn key(self, id: &str) -> Key {
        Key { pk: self.partition(), sk: id.to_owned() }
    }

    pub(crate) fn census_partition(self) -> String {
        self.directory.partition(format_args!("census#{}", self.kind.name))
    }

    pub(crate) fn census_key(self, row: u16) -> Key {
        Key { pk: self.census_partition(), sk: format!("{row:02x}") }
    }

    /// Returns a partition of the index `changes` that holds resources of the type.
    pub(crate) fn changes_partition(self, stripe: u32) -> String {
        self.directory.partition(format_args!("changed#{}#{stripe}", self.kind.name))
    }

    /// Returns the partition that holds the members of a group.
    pub(crate) fn members_partition(self, group: &str) -> String {
        self.directory.memberships_partition(&self.kind.name, group)
    }

    pub(crate) fn membership_key(self, group: &str, member: &str) -> Key {
        Key { pk: self.members_partition(group), sk: member.to_owned() }
    }

    /// Returns the partition of the rows of one attribute. That of `emails.value` ends in
    /// `emails`.
    pub(crate) fn values_partition(self, path: &AttrPath) -> String {
        let mut path = path.clone();
        path.sub = path.sub.filter(|sub| sub != "value");
        self.directory.partition(format_args!("{}.{path}", self.kind.name))
    }

    /// Returns the partition of the resources whose values of an attribute are too many for
    /// rows of their own. No key of a value can be in it.
    pub(crate) fn many_partition(self, path: &AttrPath) -> String {
        format!("{}#many", self.values_partition(path))
    }

    /// Returns every partition of rows.
    #[cfg(feature = "cli")]
    pub(crate) fn row_partitions(self) -> impl Iterator<Item = String> {
        let kinds = [Some(self.kind), self.kind.other.as_ref().map(|other| &*other.kind)];
        kinds.into_iter().flatten().flat_map(move |kind| {
            let many = kind.look_up_many.iter().map(move |path| self.many_partition(path));
            kind.index_paths().map(move |path| self.values_partition(path)).chain(many)
        })
    }

    pub(crate) fn unique_key(self, path: &AttrPath, value: &str) -> Key {
        Key { pk: self.values_partition(path), sk: value_key(self.kind, path, value) }
    }

    /// Returns the key of a look-up row but for the id at its end.
    pub(crate) fn look_up_key(self, path: &AttrPath, value: &str) -> Key {
        Key { pk: self.values_partition(path), sk: format!("{}#", value_key(self.kind, path, value)) }
    }
}

/// Names that take the place of a resource type in the keys of other items.
const RESERVED: [&str; 7] = ["audit", "census", "changed", "job", "member", "nesting", "tenant"];

/// Refuses a resource type that would share its partition with other items.
pub fn check_type_names(definitions: &Definitions) -> Result<(), Unsound> {
    let is_reserved = |name: &&str| RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name));
    match definitions.type_names().find(is_reserved) {
        Some(name) => Err(unsound(format!("resource type {name}: the name is reserved: choose another"))),
        None => Ok(()),
    }
}

/// Returns true if values of the top-level attribute of this name have index rows.
pub(crate) fn has_rows(kind: &ResourceType, name: &str) -> bool {
    let kinds = [Some(kind), kind.other.as_ref().map(|other| &*other.kind)];
    let mut paths = kinds.into_iter().flatten().flat_map(ResourceType::index_paths);
    paths.any(|path| path.schema.is_none() && path.attr == name)
}

fn value_key(kind: &ResourceType, path: &AttrPath, value: &str) -> String {
    let folded = if kind.is_case_exact(path) { value.to_owned() } else { fold(value) };
    match folded.split_at_checked(folded.floor_char_boundary(MAX_KEY_VALUE_BYTES)) {
        // The hash keeps two long values with the same beginning apart.
        Some((beginning, rest)) if !rest.is_empty() => {
            format!("{beginning}~{}", hex(&Sha256::digest(folded.as_bytes())))
        }
        _ => folded,
    }
}
