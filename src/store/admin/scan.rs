//! Every item of a tenant, wherever it is. This reads the whole table, the items of
//! all others, too: it is for the operator's command, and the function may not scan.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{Stream, TryStreamExt, stream};

use crate::store::Store;
use crate::store::error::Error;
use crate::store::table::keys::{TenantName, partitions};
use crate::store::table::resource_item::Item;

const OPERATION: &str = "Scan";

impl Store {
    /// Strongly consistent, in no order; with these attributes alone if any are named.
    pub(crate) fn every_item<'a>(
        &'a self,
        tenant: &TenantName,
        attributes: Option<&'a str>,
    ) -> impl Stream<Item = Result<Item, Error>> + use<'a> {
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .filter_expression("begins_with(pk, :partitions)")
            .expression_attribute_values(":partitions", AttributeValue::S(partitions(tenant)))
            .set_projection_expression(attributes.map(str::to_owned));
        let pages = stream::try_unfold(Some(None), move |start| {
            let scan = scan.clone();
            async move {
                let Some(start) = start else {
                    return Ok(None);
                };
                let answer = scan.set_exclusive_start_key(start).send().await;
                let answer = answer.map_err(|error| Error::sdk(OPERATION, &error))?;
                let items = answer.items.unwrap_or_default().into_iter().map(Ok);
                Ok::<_, Error>(Some((stream::iter(items), answer.last_evaluated_key.map(Some))))
            }
        });
        pages.try_flatten()
    }
}
