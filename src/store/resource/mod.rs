//! Writing one resource, of any type.
//!
//! * `create`: the resource, its rows, its count and its members by one transaction.
//! * `update`: a blind write where the change allows one, else read, modify, write.
//! * `delete`: the resource, its rows and its count; memberships follow.

mod create;
mod delete;
mod update;

use serde_json::Value;

use crate::scim::resource::Attributes;
use crate::store::group::change::Apply;

pub use self::create::Created;

/// A change of one resource.
pub struct Change<'a> {
    /// The whole change as one conditional write, where it does not depend on the
    /// present state.
    pub blind: Option<Blind<'a>>,
    pub apply: Apply<'a>,
}

/// A change that can be written without a read.
pub enum Blind<'a> {
    /// These attributes in place of all others.
    Replace(&'a Attributes),
    /// These values of attributes that have no index rows.
    Set(Vec<(&'a str, &'a Value)>),
}
