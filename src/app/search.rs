//! Queries (RFC 7644 s3.4.2, s3.4.3; RFC 9865), of one resource type or of all.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::App;
use super::context::RequestContext;
use super::find::Leg;
use super::pages::{self, Shown};
use crate::cursor::Position;
use crate::lambda::Response;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::projection::render;
use crate::scim::query::{self, Page, Paged, Parameters, Side};
use crate::scim::schema::ResourceType;

/// A page ends early at so many bytes: Lambda lets 6 MB of answer pass, in which
/// every quote of the body takes a byte more.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Groups of a page whose members are read at the same time.
const LISTED_AT_ONCE: usize = 8;

impl App {
    pub(super) async fn list(
        &self,
        context: &RequestContext<'_>,
        kinds: &[Arc<ResourceType>],
    ) -> Result<Response> {
        let parameters = Parameters::of_url(|name| context.request.parameter(name));
        Box::pin(self.answer(context, kinds, &parameters)).await
    }

    pub(super) async fn search(
        &self,
        context: &RequestContext<'_>,
        kinds: &[Arc<ResourceType>],
    ) -> Result<Response> {
        let parameters = Parameters::of_body(&context.body(&self.config)?, context.leeway)?;
        Box::pin(self.answer(context, kinds, &parameters)).await
    }

    async fn answer(
        &self,
        context: &RequestContext<'_>,
        kinds: &[Arc<ResourceType>],
        parameters: &Parameters,
    ) -> Result<Response> {
        let query = parameters.query(context.tenant.policy.page_size, context.leeway)?;
        let legs: Vec<Leg<'_>> = kinds
            .iter()
            .map(|kind| Leg::new(kind, kinds, context, &query, parameters))
            .collect::<Result<_>>()?;
        let tenant = &context.tenant.name;
        let declared = self.declared(context, &legs, &query).await?;
        let (paged, resources) = match &query.page {
            Page::Index(start) => {
                let mut shown = match declared {
                    Some(all) => pages::from(all, start - 1, query.count),
                    None => self.by_index(tenant, &legs, &query, start - 1).await?,
                };
                let resources = self.render_page(context, &legs, &mut shown).await?;
                let total = shown.total.unwrap_or(resources.len());
                (Paged::Index { total, start_index: *start }, resources)
            }
            Page::Cursor(cursor) => {
                let key = self.config.cursor_key.as_ref().ok_or_else(|| {
                    ErrorKind::InvalidCursor.with("cursor pagination is not offered here: page by startIndex")
                })?;
                let bound = bound_to(context, kinds, parameters);
                let opened = cursor.as_ref().map(|cursor| key.open(&bound, query.count, cursor, context.now));
                let opened = opened.transpose()?;
                let mut shown = match declared {
                    Some(all) => pages::part(all, &query, opened),
                    None => self.by_cursor(tenant, &legs, &query, opened).await?,
                };
                let resources = self.render_page(context, &legs, &mut shown).await?;
                let seal = |page: Option<Side<Position>>| {
                    page.map(|page| key.seal(&bound, query.count, page, context.now)).transpose()
                };
                let (previous, next) = (seal(shown.previous)?, seal(shown.next)?);
                (Paged::Cursor { total: shown.total, previous, next }, resources)
            }
        };
        Ok(Response::json(200, &query::response(paged, resources)))
    }

    /// Renders as much as one answer holds. What is left is on the next page, or on
    /// the previous one if this was reached from behind.
    async fn render_page(
        &self,
        context: &RequestContext<'_>,
        legs: &[Leg<'_>],
        shown: &mut Shown,
    ) -> Result<Vec<Value>> {
        let mut found = std::mem::take(&mut shown.found);
        if shown.backward {
            found.reverse();
        }
        let mut resources = Vec::with_capacity(found.len());
        let mut bytes = 0;
        let mut last: Option<Position> = None;
        let found = found.into_iter().filter_map(|one| Some((legs.get(one.leg)?, one)));
        let listed = found.map(|(leg, one)| {
            Box::pin(async move {
                let position = one.position();
                let listed = self.listed(context, leg.kind, one.resource, &leg.projection).await?;
                Ok::<_, Error>((leg, position, listed))
            })
        });
        let mut listed = stream::iter(listed.collect::<Vec<_>>()).buffered(LISTED_AT_ONCE);
        while let Some((leg, position, resource)) = listed.try_next().await? {
            let Some(resource) = resource else {
                continue;
            };
            let location = context.location(leg.kind, &resource.id);
            let rendered = render(leg.kind, &resource, &leg.projection, &location);
            bytes += rendered.to_string().len();
            if bytes > MAX_PAGE_BYTES && last.is_some() {
                if shown.backward {
                    shown.previous = last.map(Side::Before);
                } else {
                    shown.next = last.map(Side::After);
                }
                break;
            }
            last = Some(position);
            resources.push(rendered);
        }
        if shown.backward {
            resources.reverse();
        }
        Ok(resources)
    }
}

/// Everything but cursor and count that the pages of a query have in common.
fn bound_to(context: &RequestContext<'_>, kinds: &[Arc<ResourceType>], parameters: &Parameters) -> String {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    format!("{} {} {}", context.tenant.name.as_str(), kinds.join(","), parameters.fingerprint())
}
