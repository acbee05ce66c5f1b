//! The item of a tenant, and that of a token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::scim::policy::Policy;
use crate::scim::registry::Registry;
use crate::scim::registry::custom::{Definitions, Unsound};
use crate::scim::schema::OtherUse;
use crate::store::digest::sha256;
use crate::store::table::keys::check_type_names;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantRecord {
    pub created: Timestamp,
    /// The time since which every request is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Timestamp>,
    pub policy: Policy,
    /// The authorization server whose access tokens are accepted besides the tenant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Oauth>,
    /// JSON of [`Definitions`]: the tenant's own schemas and resource types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definitions: Option<String>,
    /// A change of what is indexed, until it has reached every resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reindex: Option<Reindex>,
}

/// A change of the policy or the definitions that changes what is indexed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reindex {
    pub stage: Stage,
    /// The time at which the stage began. Running functions know of it a minute later.
    pub since: Timestamp,
    /// The policy and definitions that are not in force: those to come, or those before.
    pub policy: Policy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definitions: Option<String>,
}

/// The stages of a change, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Writes maintain the new index as well, and all resources are brought into it.
    Fill,
    /// New unique values are refused if they are taken, and all resources are looked at again.
    Enforce,
    /// The new index is in force. Writes still maintain the old one, and refuse what it refuses.
    Keep,
    /// The entries of the old index are removed.
    Drop,
}

impl Stage {
    fn use_of(self) -> OtherUse {
        match self {
            Self::Fill => OtherUse::Kept,
            // In `Keep`, functions that look values up by the old rules expect one owner of each.
            Self::Enforce | Self::Keep => OtherUse::Enforced,
            Self::Drop => OtherUse::Dropped,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of the secret, in hexadecimal digits. A secret holds 256 random bits, so a
    /// slow hash would protect nothing and would let a client keep the function busy.
    pub sha256: String,
    pub created: Timestamp,
    /// The time from which the token is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The time since which the token is rejected. The item is kept for a while, so that the
    /// log can name the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    #[serde(default)]
    pub scope: Scope,
    /// The id of the user that `/Me` stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The time of its last use, to the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
}

/// The requests that a token allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    #[default]
    ReadWrite,
    Read,
}

/// The authorization server of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Oauth {
    /// `iss` of every token, to the letter.
    pub issuer: String,
    /// A value of the token's `aud`. A token without one (Cognito's) needs it as `client_id`.
    pub audience: String,
    pub keys: Keys,
    /// The clients that may have requested a token; any if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
    /// The accepted values of `sub`; any if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// A text that `scope`, `scp` (Okta, Entra ID) or `roles` (Entra ID) must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The longest life of a token in seconds, from `iat` to `exp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
    pub algorithms: Vec<Algorithm>,
}

/// The source of the server's public keys (RFC 7517 s5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Keys {
    JwksUrl(String),
    /// The document itself.
    Jwks(String),
}

/// The algorithms whose keys cannot be mistaken for a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Algorithm {
    #[cfg_attr(feature = "cli", value(name = "RS256"))]
    RS256,
    #[cfg_attr(feature = "cli", value(name = "ES256"))]
    ES256,
    #[cfg_attr(feature = "cli", value(name = "EdDSA"))]
    EdDSA,
}

impl Algorithm {
    pub const ALL: [Self; 3] = [Self::RS256, Self::ES256, Self::EdDSA];
}

impl TenantRecord {
    /// Returns the schemas and resource types of the tenant: the packaged ones and its own.
    pub fn registry(&self, packaged: &Definitions) -> Result<Registry, Unsound> {
        let mut own = registry(packaged, &self.policy, self.definitions.as_deref())?;
        if let Some(Reindex { stage, policy, definitions, .. }) = &self.reindex {
            let other = registry(packaged, policy, definitions.as_deref())?;
            own.attach(&other, stage.use_of());
        }
        Ok(own)
    }

    pub fn new(created: Timestamp) -> Self {
        let (disabled, oauth, definitions, reindex) = (None, None, None, None);
        Self { created, disabled, policy: Policy::default(), oauth, definitions, reindex }
    }
}

/// Returns the schemas and resource types under a policy and a tenant's own definitions.
pub fn registry(
    packaged: &Definitions,
    policy: &Policy,
    definitions: Option<&str>,
) -> Result<Registry, Unsound> {
    let own = definitions.map_or_else(|| Ok(Definitions::default()), Definitions::parse)?;
    check_type_names(&own)?;
    Registry::with(&policy.of_schemas(), &packaged.clone().and(own))
}

impl TokenRecord {
    pub fn new(secret: &str, created: Timestamp) -> Self {
        let sha256 = sha256(secret);
        Self {
            sha256,
            created,
            expires: None,
            revoked: None,
            scope: Scope::default(),
            user: None,
            used: None,
        }
    }
}
