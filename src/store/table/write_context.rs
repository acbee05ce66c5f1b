//! The context of a write, bound to the collection that it writes to.

use jiff::Timestamp;

use crate::scim::policy::Policy;
use crate::store::dynamo::client::Table;
use crate::store::table::audit_trail::AuditTrail;
use crate::store::table::directory::Collection;

/// The circumstances of a write.
#[derive(Clone, Copy)]
pub struct WriteContext<'a> {
    pub policy: &'a Policy,
    pub now: Timestamp,
    /// Records each change once it is known to have been applied.
    pub audit: &'a AuditTrail,
}

/// Writes the resources of one type of one tenant.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    pub(crate) collection: Collection<'a>,
    pub(crate) context: WriteContext<'a>,
}

impl<'a> Writer<'a> {
    pub(crate) fn table(self) -> &'a Table {
        self.collection.table()
    }
}
