//! The policy of a tenant: its answers to the questions that the protocol leaves open.

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
    pub user_name_characters: UserNameCharacters,
    pub user_groups: UserGroups,
    pub password: Passwords,
    pub group_names: GroupNames,
    pub unknown_members: UnknownMembers,
    pub unknown_managers: UnknownManagers,
    pub member_display: MemberDisplay,
    pub unknown_roles: UnknownRoles,
    pub group_cycles: GroupCycles,
    pub patch_answer: PatchAnswer,
    pub mass_removal: MassRemoval,
    pub page_size: PageSize,
    pub rate_limit: RateLimit,
}

impl Policy {
    pub fn unknown_attributes(&self) -> UnknownAttributes {
        // The default follows from `interpretation`, so that `strict` alone is strict.
        self.unknown_attributes.unwrap_or(match self.interpretation {
            Interpretation::Tolerant => UnknownAttributes::Ignore,
            Interpretation::Strict => UnknownAttributes::Refuse,
        })
    }

    /// Returns the settings that schemas and resource types depend on, and the default of all others.
    #[must_use]
    pub fn of_schemas(&self) -> Self {
        let Self { user_name, user_groups, group_names, .. } = *self;
        Self { user_name, user_groups, group_names, ..Self::default() }
    }

    /// Reads a setting in the form `KEY=VALUE`.
    pub fn parse_setting(text: &str) -> Result<(String, String), String> {
        let (key, value) = text.split_once('=').ok_or("a setting must be KEY=VALUE")?;
        let setting = (key.to_owned(), value.to_owned());
        // Tried on the default policy, so that a mistake is reported before any tenant is read.
        Self::default().with(std::slice::from_ref(&setting)).map_err(|error| error.to_string())?;
        Ok(setting)
    }

    /// Returns the policy with these settings changed. A dot leads to a setting within
    /// another, as in `pageSize.max`.
    pub fn with(&self, settings: &[(String, String)]) -> serde_json::Result<Self> {
        // By way of JSON: names, spellings of values and bounds are those of `Deserialize`, and
        // a new setting needs no code here.
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
            // Numbers and null are JSON. Words such as `tolerant` are not, and mean themselves.
            *place = serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into());
        }
        serde_json::from_value(changed)
    }
}

/// The reading of requests that the RFCs would refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interpretation {
    /// The known deviations of identity providers are understood (`quirks`).
    #[default]
    Tolerant,
    Strict,
}

/// The treatment of attributes that are in no schema of the resource. RFC 7644 leaves
/// it to the server.
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

/// The characters of a new `userName`. A directory may have names from before that look
/// like others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UserNameCharacters {
    #[default]
    Safe,
    Any,
}

/// The answers that show the `groups` of a user, which cost reads of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UserGroups {
    /// Every answer that shows users, as RFC 7643 s8.7.1 declares the attribute.
    #[default]
    Default,
    /// Those to a request that asks for them by `attributes`.
    Request,
}

/// The treatment of a `password` that a client sends. None is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Passwords {
    #[default]
    Ignore,
    /// An administrator learns from the error that passwords are not synchronized.
    Refuse,
}

/// The uniqueness of a group's `displayName`. RFC 7643 s4.2 requires none, but Entra ID
/// expects 409 for a second group of the same name, and Okta finds groups by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupNames {
    #[default]
    Unique,
    Free,
}

/// The treatment of a member whose id no resource has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownMembers {
    #[default]
    Refuse,
    Accept,
}

/// The treatment of a `manager` whose id no user has, and of every other attribute that
/// refers to a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownManagers {
    /// Identity providers name managers whom they create later.
    #[default]
    Accept,
    Refuse,
}

/// The `display` of a member in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberDisplay {
    /// As it was when the member was added.
    #[default]
    Stored,
    /// The present name of the member, which costs a read of each.
    Resolve,
}

/// The treatment of a role or an entitlement that the operator has not declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownRoles {
    #[default]
    Accept,
    Refuse,
}

/// The treatment of a group that would be a member of itself, through other groups.
/// RFC 7644 s3.7.1 has an example of that, but a product that follows the members of
/// such groups does not terminate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupCycles {
    #[default]
    Refuse,
    Accept,
}

/// The answer to a PATCH. RFC 7644 s3.5.2 allows 200 with the resource, or 204.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PatchAnswer {
    /// 200 for users. 204 for groups, since an answer would require reading all members.
    #[default]
    Default,
    Representation,
}

/// The members that one request may remove from a group. A client whose own directory
/// was emptied by mistake would otherwise empty all groups here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct MassRemoval {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<usize>,
    /// The share of the members before the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

impl MassRemoval {
    pub fn is_limited(self) -> bool {
        self != Self::default()
    }

    /// Checks a request that removes `removed` of `members` members.
    pub fn check(self, removed: usize, members: usize) -> Result<(), Error> {
        let percent = |limit: u8| removed.saturating_mul(100) > members.saturating_mul(limit.into());
        let (limit, setting) = match self {
            // A single removal is no mass removal, even of the only member.
            _ if removed <= 1 => return Ok(()),
            Self { members: Some(limit), .. } if removed > limit => (format!("{limit} members"), "members"),
            Self { percent: Some(limit), .. } if percent(limit) => (format!("{limit} percent"), "percent"),
            Self { .. } => return Ok(()),
        };
        // Not `tooMany`, which RFC 7644 Table 9 has for queries.
        Err(ErrorKind::InvalidValue.with(format!(
            "the request removes {removed} of {members} members, the limit is {limit}: \
             send smaller requests, or ask the operator to raise the policy massRemoval.{setting}"
        )))
    }
}

/// The requests per second of a limit that sets only `burst`. Entra ID requires at least
/// this many of an endpoint.
pub const REQUESTS_PER_SECOND: u32 = 25;

/// The requests of a tenant that one instance of the function accepts: per second, and
/// at once after a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RateLimit {
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<NonZeroU32>,
}

impl RateLimit {
    /// Returns the requests per second and at once, or `None` for no limit.
    pub fn limits(self) -> Option<(u32, u32)> {
        if self == Self::default() {
            return None;
        }
        let per_second = self.per_second.map_or(REQUESTS_PER_SECOND, NonZeroU32::get);
        Some((per_second, self.burst.map_or(per_second, NonZeroU32::get)))
    }
}

/// The resources of a page, unless the policy says otherwise: some 200 kB of users.
pub const PAGE_SIZE: usize = 100;

/// The most that a policy can set. All resources of a page are read before the answer is
/// limited to 4 MiB, and 500 of the largest resources are 200 MB.
pub const MAX_PAGE_SIZE: usize = 500;

/// The resources of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PageSize {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "page_size")]
    default: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "page_size")]
    max: Option<usize>,
}

impl PageSize {
    /// Returns the size of a page if the client sends no `count`.
    pub fn default(self) -> usize {
        // The two are set one by one, so the default may be left above a new maximum.
        self.default.unwrap_or(PAGE_SIZE).min(self.max())
    }

    /// Returns the largest page. A greater `count` is lowered to it (RFC 7644 s3.4.2.4).
    pub fn max(self) -> usize {
        self.max.unwrap_or(PAGE_SIZE)
    }
}

fn page_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let size = Option::<Number>::deserialize(deserializer)?;
    let in_bounds = |size: Number| {
        let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=MAX_PAGE_SIZE).contains(size)).ok_or_else(|| {
            D::Error::custom(format_args!("a page size must be an integer from 1 to {MAX_PAGE_SIZE}"))
        })
    };
    size.map(in_bounds).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        GroupCycles, GroupNames, MassRemoval, MemberDisplay, PatchAnswer, Policy, UnknownManagers,
        UnknownMembers, UnknownRoles, UserGroups,
    };

    #[test]
    fn a_policy_that_was_kept_before_a_setting_existed_has_its_default() {
        let kept = json!({ "interpretation": "tolerant", "userName": "readWrite" });
        assert_eq!(serde_json::from_value::<Policy>(kept).unwrap(), Policy::default());
    }

    #[test]
    fn a_policy_is_written_in_camel_case() {
        let set = Policy {
            user_groups: UserGroups::Request,
            group_names: GroupNames::Free,
            unknown_members: UnknownMembers::Accept,
            unknown_managers: UnknownManagers::Refuse,
            member_display: MemberDisplay::Resolve,
            unknown_roles: UnknownRoles::Refuse,
            group_cycles: GroupCycles::Accept,
            patch_answer: PatchAnswer::Representation,
            mass_removal: MassRemoval { members: Some(100), percent: None },
            ..Policy::default()
        };
        let written = json!({
            "interpretation": "tolerant", "userName": "readWrite", "userNameCharacters": "safe",
            "userGroups": "request", "password": "ignore", "groupNames": "free",
            "unknownMembers": "accept", "unknownManagers": "refuse", "memberDisplay": "resolve",
            "unknownRoles": "refuse", "groupCycles": "accept",
            "patchAnswer": "representation", "massRemoval": { "members": 100 }, "pageSize": {},
            "rateLimit": {},
        });
        assert_eq!(serde_json::to_value(&set).unwrap(), written);
        assert_eq!(serde_json::from_value::<Policy>(written).unwrap(), set);
        assert_eq!(serde_json::to_value(Policy::default()).unwrap()["massRemoval"], json!({}));
    }

    #[test]
    fn a_mass_removal_is_refused_beyond_its_limits() {
        let number = "the request removes 101 of 1000 members, the limit is 100 members: \
            send smaller requests, or ask the operator to raise the policy massRemoval.members";
        let share = "the request removes 2 of 3 members, the limit is 50 percent: \
            send smaller requests, or ask the operator to raise the policy massRemoval.percent";
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
