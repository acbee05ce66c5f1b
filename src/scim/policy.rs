//! What a tenant has decided about the protocol's open questions.

use std::num::NonZeroU32;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use crate::scim::error::{Error, ErrorKind};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    pub interpretation: Interpretation,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_attributes: Option<UnknownAttributes>,
    pub user_name: Mutable,
    pub group_names: GroupNames,
    pub unknown_members: UnknownMembers,
    pub unknown_roles: UnknownRoles,
    pub group_cycles: GroupCycles,
    pub patch_answer: PatchAnswer,
    pub mass_removal: MassRemoval,
    pub page_size: PageSize,
    pub rate_limit: RateLimit,
}

impl Policy {
    /// Unless the tenant has decided, what is read to the letter knows no others.
    pub fn unknown_attributes(&self) -> UnknownAttributes {
        self.unknown_attributes.unwrap_or(match self.interpretation {
            Interpretation::Tolerant => UnknownAttributes::Ignore,
            Interpretation::Strict => UnknownAttributes::Refuse,
        })
    }
}

impl Policy {
    /// One setting as an operator writes it, `KEY=VALUE`.
    pub fn parse_setting(text: &str) -> Result<(String, String), String> {
        let (key, value) = text.split_once('=').ok_or("there is no = in it")?;
        let setting = (key.to_owned(), value.to_owned());
        Self::default().with(std::slice::from_ref(&setting)).map_err(|error| error.to_string())?;
        Ok(setting)
    }

    /// With these settings changed. A dot leads into a policy that has settings of its
    /// own, whose values are numbers.
    pub fn with(&self, settings: &[(String, String)]) -> serde_json::Result<Self> {
        let mut changed = serde_json::to_value(self)?;
        for (key, text) in settings {
            let mut place = &mut changed;
            for name in key.split('.') {
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                place = match place {
                    Value::Object(settings) => settings.entry(name).or_insert(Value::Null),
                    other => other,
                };
            }
            *place = serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into());
        }
        serde_json::from_value(changed)
    }
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

/// What becomes of attributes that no schema of the resource has. RFC 7644 leaves it
/// to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownAttributes {
    Ignore,
    Refuse,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutable {
    #[default]
    ReadWrite,
    Immutable,
}

/// RFC 7643 s4.2 asks for no uniqueness of a group's `displayName`. Entra ID
/// wants 409 for the second, and Okta finds groups by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupNames {
    #[default]
    Unique,
    Free,
}

/// What becomes of a member whose id nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownMembers {
    #[default]
    Refuse,
    Accept,
}

/// What becomes of a role or an entitlement that is none of those that the operator
/// has declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownRoles {
    #[default]
    Accept,
    Refuse,
}

/// Whether a group may be in itself, through other groups: RFC 7644 s3.7.1 has an
/// example of that. Who follows the members of such groups down does not arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupCycles {
    #[default]
    Refuse,
    Accept,
}

/// RFC 7644 s3.5.2 leaves 200 with the resource or 204 to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PatchAnswer {
    /// 200 for users. 204 for groups, whose members would have to be read.
    #[default]
    Default,
    Representation,
}

/// How many members one request may remove from a group. A client that has lost
/// its own directory empties everybody's groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct MassRemoval {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<usize>,
    /// Of those who are members before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

impl MassRemoval {
    pub fn is_limited(self) -> bool {
        self != Self::default()
    }

    /// Whether `removed` of so many members may go. One of them always may.
    ///
    /// `tooMany` is for queries (RFC 7644 table 9); this is a value that the
    /// resource as it is does not bear.
    pub fn check(self, removed: usize, members: usize) -> Result<(), Error> {
        let percent = |limit: u8| removed.saturating_mul(100) > members.saturating_mul(limit.into());
        let (limit, setting) = match self {
            _ if removed <= 1 => return Ok(()),
            Self { members: Some(limit), .. } if removed > limit => (format!("{limit} members"), "members"),
            Self { percent: Some(limit), .. } if percent(limit) => (format!("{limit} percent"), "percent"),
            Self { .. } => return Ok(()),
        };
        Err(ErrorKind::InvalidValue.with(format!(
            "this would remove {removed} of {members} members, and one request may remove {limit}: \
             send several smaller requests, or let the operator raise the policy massRemoval.{setting}"
        )))
    }
}

/// Requests a second where a limit is set that does not say how many. Entra ID wants
/// no fewer of every endpoint.
pub const REQUESTS_PER_SECOND: u32 = 25;

/// How many requests of a tenant one instance of the function takes: so many a
/// second, and more at once after a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RateLimit {
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<NonZeroU32>,
}

impl RateLimit {
    /// A second, and at once; `None` if there is no limit.
    pub fn limits(self) -> Option<(u32, u32)> {
        if self == Self::default() {
            return None;
        }
        let per_second = self.per_second.map_or(REQUESTS_PER_SECOND, NonZeroU32::get);
        Some((per_second, self.burst.map_or(per_second, NonZeroU32::get)))
    }
}

/// Resources in one answer where no policy says otherwise, whatever `count` asks
/// for: some 200 kB of users.
pub const PAGE_SIZE: usize = 100;

/// What a policy can raise it to. All resources of a page are read before the answer
/// is cut off at its 4 MiB: 500 of the largest are 200 MB.
pub const MAX_PAGE_SIZE: usize = 500;

/// How many resources are in one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PageSize {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "page_size")]
    default: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "page_size")]
    max: Option<usize>,
}

impl PageSize {
    /// For a client that asks for no `count`.
    pub fn default(self) -> usize {
        self.default.unwrap_or(PAGE_SIZE).min(self.max())
    }

    /// A greater `count` is lowered to it.
    pub fn max(self) -> usize {
        self.max.unwrap_or(PAGE_SIZE)
    }
}

fn page_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let size = Option::<Number>::deserialize(deserializer)?;
    let in_bounds = |size: Number| {
        let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=MAX_PAGE_SIZE).contains(size)).ok_or_else(|| {
            D::Error::custom(format_args!("a page size is an integer from 1 to {MAX_PAGE_SIZE}"))
        })
    };
    size.map(in_bounds).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{GroupCycles, GroupNames, MassRemoval, PatchAnswer, Policy, UnknownMembers, UnknownRoles};

    #[test]
    fn a_policy_that_was_kept_before_a_setting_existed_has_its_default() {
        let kept = json!({ "interpretation": "tolerant", "userName": "readWrite" });
        assert_eq!(serde_json::from_value::<Policy>(kept).unwrap(), Policy::default());
    }

    #[test]
    fn a_policy_is_written_in_camel_case() {
        let set = Policy {
            group_names: GroupNames::Free,
            unknown_members: UnknownMembers::Accept,
            unknown_roles: UnknownRoles::Refuse,
            group_cycles: GroupCycles::Accept,
            patch_answer: PatchAnswer::Representation,
            mass_removal: MassRemoval { members: Some(100), percent: None },
            ..Policy::default()
        };
        let written = json!({
            "interpretation": "tolerant", "userName": "readWrite", "groupNames": "free",
            "unknownMembers": "accept", "unknownRoles": "refuse", "groupCycles": "accept",
            "patchAnswer": "representation", "massRemoval": { "members": 100 }, "pageSize": {},
            "rateLimit": {},
        });
        assert_eq!(serde_json::to_value(&set).unwrap(), written);
        assert_eq!(serde_json::from_value::<Policy>(written).unwrap(), set);
        assert_eq!(serde_json::to_value(Policy::default()).unwrap()["massRemoval"], json!({}));
    }

    #[test]
    fn a_mass_removal_is_refused_beyond_its_limits() {
        let number = "this would remove 101 of 1000 members, and one request may remove 100 members: \
            send several smaller requests, or let the operator raise the policy massRemoval.members";
        let share = "this would remove 2 of 3 members, and one request may remove 50 percent: \
            send several smaller requests, or let the operator raise the policy massRemoval.percent";
        for (limits, removed, members, expected) in [
            (json!({}), 1_000_000, 1_000_000, ""),
            (json!({ "members": 100 }), 100, 1000, ""),
            (json!({ "members": 100 }), 101, 1000, number),
            (json!({ "members": 0 }), 1, 1, ""),
            (json!({ "percent": 50 }), 2, 4, ""),
            (json!({ "percent": 50 }), 2, 3, share),
            (json!({ "percent": 0 }), 1, 1, ""),
            (json!({ "percent": 100 }), 1000, 1000, ""),
            // Each limit holds by itself.
            (json!({ "members": 100, "percent": 50 }), 101, 1000, number),
            (json!({ "members": 100, "percent": 50 }), 2, 3, share),
        ] {
            let found =
                serde_json::from_value::<MassRemoval>(limits.clone()).unwrap().check(removed, members);
            let found = found.map_err(|error| error.body());
            let expected = match expected {
                "" => Ok(()),
                detail => Err((Value::from("invalidValue"), Value::from(detail))),
            };
            let told = found.map_err(|body| (body["scimType"].clone(), body["detail"].clone()));
            assert_eq!(told, expected, "{limits} {removed} {members}");
        }
    }
}
