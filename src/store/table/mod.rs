//! The items of the table, and the handles that bind them to a tenant.
//!
//! * `directory`: the tenant, bound once, and the resources of one type.
//! * `keys`: every key, made only here.
//! * `resource_item`: the item of a resource, and its next version.
//! * `index_rows`: unique and look-up values, kept as items.
//! * `census`: counters of the resources of a type.
//! * `membership`: one item per member of a group.
//! * `visibility`: which memberships count.
//! * `lock`: the mark that a staged change sets on its group.
//! * `job`: a cleanup job.
//! * `tenant_record`: a tenant and its tokens.
//! * `registries`: the schemas of tenants, shared by those that are served the same.
//! * `write_context`: the policy, time and audit trail of a write.
//! * `audit_trail`: the changes that a request made.
//! * `precondition`: `If-Match` and `If-None-Match` as the condition of a write.
//! * `names`: the names of resources, read without the rest of them.
//! * `pending_edit`: the loop that observes, attempts and resolves conflicts.
//! * `definition`: the table itself, for the emulator.

pub(crate) mod audit_trail;
pub(crate) mod census;
#[cfg(feature = "local")]
mod definition;
pub(crate) mod directory;
pub(crate) mod index_rows;
pub(crate) mod job;
pub(crate) mod keys;
pub(crate) mod lock;
pub(crate) mod membership;
pub(crate) mod names;
pub(crate) mod pending_edit;
mod precondition;
pub(crate) mod registries;
pub(crate) mod resource_item;
pub(crate) mod tenant_record;
pub(crate) mod visibility;
pub(crate) mod write_context;
