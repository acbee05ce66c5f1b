//! The description of the service for clients (RFC 7644 s4, RFC 7643 s5-s7).

use serde_json::{Value, json};

use crate::scim::policy::PageSize;
use crate::scim::query::CURSOR_TIMEOUT;
use crate::scim::registry::roles::AssignableKind;
use crate::scim::registry::{ROLES_AND_ENTITLEMENTS, Registry};
use crate::scim::schema::{ResourceType, Schema};

const SPC: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// The features that depend on the deployment and the tenant.
pub struct Offered<'a> {
    /// The authorization server whose access tokens are accepted.
    pub issuer: Option<&'a str>,
    pub page_size: PageSize,
    pub max_bulk_operations: usize,
    pub max_bulk_bytes: usize,
}

/// Describes the service (RFC 7643 s5, RFC 9865 s4). `base` is the URL under which the
/// client sees the endpoint.
pub fn service_provider_config(base: &str, registry: &Registry, offered: &Offered<'_>) -> Value {
    let mut config = json!({
        "schemas": [SPC],
        "patch": { "supported": true },
        "bulk": {
            "supported": true,
            "maxOperations": offered.max_bulk_operations,
            "maxPayloadSize": offered.max_bulk_bytes
        },
        "filter": { "supported": true, "maxResults": offered.page_size.max() },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "pagination": {
            "cursor": true,
            "index": true,
            // The method for clients that ask for neither: Okta and Entra ID know one only.
            "defaultPaginationMethod": "index",
            "defaultPageSize": offered.page_size.default(),
            "maxPageSize": offered.page_size.max(),
            "cursorTimeout": CURSOR_TIMEOUT.as_secs()
        },
        "authenticationSchemes": authentication_schemes(offered.issuer),
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig")
        }
    });
    if let (Some(config), Some(offered)) = (config.as_object_mut(), roles_and_entitlements(registry)) {
        config.insert(ROLES_AND_ENTITLEMENTS.to_owned(), offered);
    }
    config
}

fn authentication_schemes(issuer: Option<&str>) -> Vec<Value> {
    let own = json!({
        "type": "oauthbearertoken",
        "name": "Bearer token",
        "description": "A token that the operator of this service has issued, in the header Authorization: Bearer",
        "specUri": "https://www.rfc-editor.org/info/rfc6750",
        "primary": true
    });
    let of_issuer = |issuer| {
        json!({
            "type": "oauth2",
            "name": "OAuth 2.0 access token",
            "description": format!("An access token of {issuer}, in the header Authorization: Bearer"),
            "specUri": "https://www.rfc-editor.org/info/rfc9068"
        })
    };
    std::iter::once(own).chain(issuer.map(of_issuer)).collect()
}

/// Describes the support of draft-ietf-scim-roles-entitlements.
fn roles_and_entitlements(registry: &Registry) -> Option<Value> {
    let offered = |kind, several: &str| {
        let Some(assignables) = registry.assignables(kind) else {
            return json!({ "supported": false });
        };
        json!({
            "supported": true,
            several: true,
            "primarySupported": true,
            "typeSupported": true,
            "types": assignables.types(),
        })
    };
    // Only for tenants with roles or entitlements: a client that knows only the RFCs may
    // refuse an attribute that their schema does not have.
    registry.has_assignables().then(|| {
        json!({
            "roles": offered(AssignableKind::Role, "multipleRolesSupported"),
            "entitlements": offered(AssignableKind::Entitlement, "multipleEntitlementsSupported"),
        })
    })
}

pub fn resource_types(registry: &Registry, base: &str) -> Vec<Value> {
    registry.every_type().map(|kind| resource_type(kind, base)).collect()
}

/// Renders a resource type (RFC 7643 s6).
pub fn resource_type(kind: &ResourceType, base: &str) -> Value {
    let extensions: Vec<Value> = kind
        .extensions
        .iter()
        .map(|extension| json!({ "schema": extension.schema.id, "required": extension.required }))
        .collect();
    json!({
        "schemas": [RESOURCE_TYPE],
        "id": kind.name,
        "name": kind.name,
        "endpoint": format!("/{}", kind.endpoint),
        "description": kind.description,
        "schema": kind.schema.id,
        "schemaExtensions": extensions,
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{base}/ResourceTypes/{}", kind.name)
        }
    })
}

pub fn schemas(registry: &Registry, base: &str) -> Vec<Value> {
    registry.schemas.iter().map(|document| schema(document, base)).collect()
}

/// Renders a schema (RFC 7643 s7).
pub fn schema(document: &Schema, base: &str) -> Value {
    json!({
        "schemas": [SCHEMA],
        "id": document.id,
        "name": document.name,
        "description": document.description,
        "attributes": document.attributes,
        "meta": {
            "resourceType": "Schema",
            "location": format!("{base}/Schemas/{}", document.id)
        }
    })
}
