//! Every item of a tenant, or of all, wherever it is. A scan reads the items of all other
//! tenants too, so it is for the operator's command, and the function has no permission for it.

use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use futures_util::{Stream, stream};

use crate::store::dynamo::client::Table;
use crate::store::dynamo::item::{Item, text};
use crate::store::dynamo::retry::Retry;
use crate::store::error::Error;
use crate::store::table::directory::Directory;

/// Parts of the table that are read at the same time.
const SEGMENTS: i32 = 4;

/// A scan of the table, or of a part of it.
pub(crate) struct Scan {
    request: ScanFluentBuilder,
    start: Option<Item>,
    is_done: bool,
    retry: Retry,
}

impl Table {
    /// Scans strongly consistent and in no order.
    fn scan(&self) -> Scan {
        let request = self.client.scan().table_name(&self.name).consistent_read(true);
        Scan { request, start: None, is_done: false, retry: self.retry() }
    }

    /// Reads the pages of the whole table, in parallel: of one tenant, or of all.
    pub(crate) fn pages_of(
        &self,
        tenant: Option<Directory<'_>>,
    ) -> impl Stream<Item = Result<Vec<Item>, Error>> + use<> {
        let segments: Vec<_> = (0..SEGMENTS)
            .map(|segment| {
                let mut scan = self.scan().segment(segment);
                scan = if let Some(tenant) = tenant { scan.of_tenant(tenant) } else { scan };
                let pages = stream::try_unfold(scan, |mut scan| async {
                    let page = scan.next_page().await?;
                    Ok(page.map(|page| (page, scan)))
                });
                Box::pin(pages)
            })
            .collect();
        stream::select_all(segments)
    }
}

impl Directory<'_> {
    /// Scans for the items of this tenant, for these attributes alone.
    pub(crate) fn scan(self, attributes: &str) -> Scan {
        let mut scan = self.table.scan().of_tenant(self);
        scan.request = scan.request.projection_expression(attributes);
        scan
    }
}

impl Scan {
    fn of_tenant(mut self, tenant: Directory<'_>) -> Self {
        self.request = self
            .request
            .filter_expression("begins_with(pk, :partitions)")
            .expression_attribute_values(":partitions", text(tenant.partitions()));
        self
    }

    fn segment(mut self, segment: i32) -> Self {
        self.request = self.request.segment(segment).total_segments(SEGMENTS);
        self
    }

    /// Reads the next page; `None` after the last one.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Vec<Item>>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let request = self.request.clone().set_exclusive_start_key(self.start.take());
        self.retry = self.retry.renewed();
        let answer = self.retry.until_answered("Scan", || request.clone().send()).await?;
        self.start = answer.last_evaluated_key;
        self.is_done = self.start.is_none();
        Ok(Some(answer.items.unwrap_or_default()))
    }
}
