//! What a tenant has decided about the protocol's open questions.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    pub interpretation: Interpretation,
    pub user_name: Mutable,
}

/// How a request is read that the RFCs would refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interpretation {
    /// What identity providers are known to send is understood (`tolerance`).
    #[default]
    Tolerant,
    Strict,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutable {
    #[default]
    ReadWrite,
    Immutable,
}
