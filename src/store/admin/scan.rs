//! Every item of a tenant, wherever it is. A scan reads the items of all other tenants
//! too, so it is for the operator's command, and the function has no permission for it.

use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;

use crate::store::dynamo::item::{Item, text};
use crate::store::error::Error;
use crate::store::table::directory::Directory;

/// A scan of the table for the items of one tenant.
pub(crate) struct Scan {
    request: ScanFluentBuilder,
    start: Option<Item>,
    is_done: bool,
}

impl Directory<'_> {
    /// Scans strongly consistent and in no order, for these attributes alone if any are
    /// named.
    pub(crate) fn scan(self, attributes: Option<&str>) -> Scan {
        let request = self
            .table
            .client
            .scan()
            .table_name(&self.table.name)
            .consistent_read(true)
            .filter_expression("begins_with(pk, :partitions)")
            .expression_attribute_values(":partitions", text(self.partitions()))
            .set_projection_expression(attributes.map(str::to_owned));
        Scan { request, start: None, is_done: false }
    }
}

impl Scan {
    /// Reads the next page; `None` after the last one.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Vec<Item>>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let request = self.request.clone().set_exclusive_start_key(self.start.take());
        let answer = request.send().await.map_err(|error| Error::sdk("Scan", &error))?;
        self.start = answer.last_evaluated_key;
        self.is_done = self.start.is_none();
        Ok(Some(answer.items.unwrap_or_default()))
    }
}
