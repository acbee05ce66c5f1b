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
use crate::scim::schema::ResourceType;
use crate::store::group::change::Apply;
use crate::store::limits::{MAX_BLIND_VALUE_BYTES, MAX_BLIND_VALUES};
use crate::store::table::keys::has_rows;

pub use self::create::{Created, Restored};

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
    /// These values of top-level attributes, which no state of the resource can refuse.
    Set(Vec<(&'a str, &'a Value)>),
}

impl Blind<'_> {
    /// Returns true if one write without a read can carry the change out.
    fn is_expressible(&self, kind: &ResourceType) -> bool {
        match self {
            Self::Replace(_) => true,
            Self::Set(sets) => {
                // The rows of a value depend on the value before it, which a blind write does
                // not know.
                let fits = |(name, value): &(&str, &Value)| {
                    !has_rows(kind, name)
                        && value.as_str().is_none_or(|text| text.len() <= MAX_BLIND_VALUE_BYTES)
                };
                sets.len() <= MAX_BLIND_VALUES && sets.iter().all(fits)
            }
        }
    }
}
