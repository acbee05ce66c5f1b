//! Plans: a filter is answered without reading everything, by values that the
//! store keeps rows for. Whatever a plan finds is checked against the whole
//! filter again, so a plan may find too much but never too little.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::scim::attr_path::AttrPath;
use crate::scim::date_time::Instant;
use crate::scim::filter::case_fold::fold;
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::member::is_id;
use crate::scim::quirks::resolve_again;
use crate::scim::schema::{Place, ResourceType, Target};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan<'a> {
    Id(&'a str),
    /// A value of one of `kind.unique`.
    Unique(&'a AttrPath, &'a str),
    /// A value of one of `kind.look_up` or `kind.look_up_many`.
    LookUp(&'a AttrPath, &'a str),
    /// The groups that have a member of this id.
    Member(&'a str),
    /// The members of the resource of this id.
    MemberOf(&'a str),
    /// The folded beginning of a value of one of `kind.unique`.
    Prefix(&'a AttrPath, String),
    ChangedSince(Timestamp),
    /// The resources that any of these finds.
    Union(Vec<Plan<'a>>),
    /// No resource of the type can match.
    Nothing,
    Scan,
}

impl<'a> Plan<'a> {
    pub fn of(filter: &'a Filter, kind: &'a ResourceType) -> Self {
        leg(filter, kind, None)
    }

    /// Orders plans by what they are likely to read.
    fn cost(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Id(_) => 1,
            Self::Unique(..) => 2,
            Self::LookUp(..) => 3,
            // No union holds a scan, so the sum does not overflow.
            Self::Union(legs) => legs.iter().map(Self::cost).sum(),
            Self::Member(_) => 100,
            Self::Prefix(..) => 1_000,
            Self::MemberOf(_) => 2_000,
            Self::ChangedSince(_) => 10_000,
            Self::Scan => usize::MAX,
        }
    }
}

/// Omits the values, which are not for a log.
impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(_) => f.write_str("id"),
            Self::Unique(path, _) | Self::LookUp(path, _) => write!(f, "{path}"),
            Self::Member(_) => f.write_str("member"),
            Self::MemberOf(_) => f.write_str("member of"),
            Self::Prefix(path, _) => write!(f, "{path} prefix"),
            Self::ChangedSince(_) => f.write_str("changes"),
            Self::Union(legs) => {
                for (n, leg) in legs.iter().enumerate() {
                    write!(f, "{}{leg}", if n == 0 { "" } else { " or " })?;
                }
                Ok(())
            }
            Self::Nothing => f.write_str("nothing"),
            Self::Scan => f.write_str("scan"),
        }
    }
}

/// `within` is the multi-valued attribute whose elements a filter in brackets
/// is about.
fn leg<'a>(filter: &'a Filter, kind: &'a ResourceType, within: Option<Place<'a>>) -> Plan<'a> {
    match filter {
        // In brackets a path is relative to the attribute, so it would seem absent here.
        filter if within.is_none() && is_of_absent(filter, kind) => Plan::Nothing,
        Filter::Compare { path, op, value: Value::String(value) } => {
            let place = match within {
                None => attribute(kind, path),
                Some(place) => {
                    place.attribute.sub_attribute(&path.attr).map(|sub| Place { sub: Some(sub), ..place })
                }
            };
            place.map_or(Plan::Scan, |place| comparison(kind, place, *op, value))
        }
        Filter::Element { path, filter } => match (within, attribute(kind, path)) {
            (None, Some(place)) => leg(filter, kind, Some(place)),
            _ => Plan::Scan,
        },
        // Every leg of an `and` finds all that the whole does.
        Filter::All(legs) => {
            legs.iter().map(|filter| leg(filter, kind, within)).min_by_key(Plan::cost).unwrap_or(Plan::Scan)
        }
        Filter::Any(legs) => {
            let mut legs: Vec<Plan<'a>> = legs.iter().map(|filter| leg(filter, kind, within)).collect();
            legs.retain(|leg| *leg != Plan::Nothing);
            if legs.contains(&Plan::Scan) {
                return Plan::Scan;
            }
            if legs.len() > 1 { Plan::Union(legs) } else { legs.pop().unwrap_or(Plan::Nothing) }
        }
        Filter::Compare { .. } | Filter::Present(_) | Filter::Not(_) => Plan::Scan,
    }
}

/// Returns true if this is a condition on an attribute that the type does not have, and
/// one that fails for what is absent.
fn is_of_absent(filter: &Filter, kind: &ResourceType) -> bool {
    // An absent attribute equals null (RFC 7643 s2.5), so `eq null` and `ne "x"` hold for it.
    let (path, fails) = match filter {
        Filter::Compare { path, op: CompareOp::Ne, value } => (path, value.is_null()),
        Filter::Compare { path, op: CompareOp::Eq, value } => (path, !value.is_null()),
        Filter::Present(path) | Filter::Element { path, .. } | Filter::Compare { path, .. } => (path, true),
        Filter::Not(_) | Filter::All(_) | Filter::Any(_) => return false,
    };
    fails && resolve_again(kind, path).is_none()
}

fn comparison<'a>(kind: &'a ResourceType, place: Place<'a>, op: CompareOp, value: &'a str) -> Plan<'a> {
    let is_common = |name: &str| place.extension.is_none() && place.attribute.name == name;
    let is_here = |path: &&AttrPath| attribute(kind, path).is_some_and(|indexed| is_same(&indexed, &place));
    let unique = || kind.unique.iter().find(is_here);
    let look_up = || kind.look_up.iter().chain(&kind.look_up_many).find(is_here);
    match op {
        CompareOp::Eq if is_common("id") => Plan::Id(value),
        CompareOp::Eq if kind.is_members(place.attribute) => membership(place, value, Plan::Member),
        CompareOp::Eq if kind.is_member_of(place.attribute) => membership(place, value, Plan::MemberOf),
        // An empty value has no row.
        CompareOp::Eq | CompareOp::Sw if value.is_empty() => Plan::Scan,
        CompareOp::Eq => unique()
            .map(|path| Plan::Unique(path, value))
            .or_else(|| look_up().map(|path| Plan::LookUp(path, value)))
            .unwrap_or(Plan::Scan),
        CompareOp::Sw => unique().map_or(Plan::Scan, |path| prefix(place, path, value)),
        CompareOp::Gt | CompareOp::Ge if is_common("meta") => {
            match (place.sub, Instant::parse(value).and_then(Instant::timestamp)) {
                (Some(sub), Some(since)) if sub.name == "lastModified" => Plan::ChangedSince(since),
                _ => Plan::Scan,
            }
        }
        CompareOp::Gt
        | CompareOp::Ge
        | CompareOp::Ne
        | CompareOp::Co
        | CompareOp::Ew
        | CompareOp::Lt
        | CompareOp::Le => Plan::Scan,
    }
}

fn membership<'a>(place: Place<'a>, id: &'a str, by: fn(&'a str) -> Plan<'a>) -> Plan<'a> {
    match place.sub {
        Some(sub) if sub.name != "value" => Plan::Scan,
        // No membership has such an id, and DynamoDB refuses an empty or a very long key.
        Some(_) | None if !is_id(id) => Plan::Nothing,
        Some(_) | None => by(id),
    }
}

/// Returns the plan for a prefix up to the first sigma, whose lower case depends on what
/// follows it. A long prefix takes a scan, because rows hold only so much of a value.
fn prefix<'a>(place: Place<'a>, path: &'a AttrPath, value: &str) -> Plan<'a> {
    const LONGEST: usize = 512;
    let folded = if place.leaf().is_case_exact() { value.to_owned() } else { fold(value) };
    let prefix = folded.split(['σ', 'ς']).next().unwrap_or_default().to_owned();
    if prefix.is_empty() || prefix.len() > LONGEST { Plan::Scan } else { Plan::Prefix(path, prefix) }
}

fn attribute<'a>(kind: &'a ResourceType, path: &AttrPath) -> Option<Place<'a>> {
    match resolve_again(kind, path)? {
        Target::Attribute(place) => Some(place),
        Target::Core | Target::Extension(_) => None,
    }
}

/// `emails` in a filter means `emails.value`.
fn is_same(indexed: &Place<'_>, asked: &Place<'_>) -> bool {
    let sub = asked.sub.or(asked.attribute.sub_attribute("value"));
    std::ptr::eq(indexed.attribute, asked.attribute)
        && indexed.sub.map(|sub| &sub.name) == sub.map(|sub| &sub.name)
}

#[cfg(test)]
mod tests {
    use super::Plan;
    use crate::scim::filter::Filter;
    use crate::scim::policy::Policy;
    use crate::scim::registry::Registry;

    #[test]
    fn memberships_are_found_by_the_id_of_either_side() {
        let registry = Registry::new(&Policy::default());
        let long = format!("members eq \"{}\"", "x".repeat(257));
        for (name, text, expected) in [
            ("Group", r#"members eq "u""#, Plan::Member("u")),
            ("Group", r#"Members.Value eq "u""#, Plan::Member("u")),
            ("Group", r#"members[value eq "u"]"#, Plan::Member("u")),
            ("Group", r#"members[value eq "u" and type eq "User"]"#, Plan::Member("u")),
            ("Group", r#"urn:ietf:params:scim:schemas:core:2.0:Group:members eq "u""#, Plan::Member("u")),
            ("Group", r#"members eq "u" or id eq "g""#, Plan::Union(vec![Plan::Member("u"), Plan::Id("g")])),
            ("Group", r#"id eq "g" and members eq "u""#, Plan::Id("g")),
            ("Group", r#"displayName sw "d" and members eq "u""#, Plan::Member("u")),
            ("Group", r#"members eq """#, Plan::Nothing),
            ("Group", &long, Plan::Nothing),
            ("Group", r#"members.display eq "u""#, Plan::Scan),
            ("Group", r#"members[type eq "User"]"#, Plan::Scan),
            ("Group", r#"members ne "u""#, Plan::Scan),
            ("Group", r#"members sw "u""#, Plan::Scan),
            ("Group", r#"not (members eq "u")"#, Plan::Scan),
            ("Group", "members pr", Plan::Scan),
            ("Group", r#"groups eq "g""#, Plan::Nothing),
            ("User", r#"groups eq "g""#, Plan::MemberOf("g")),
            ("User", r#"groups.value eq "g""#, Plan::MemberOf("g")),
            ("User", r#"groups[value eq "g"]"#, Plan::MemberOf("g")),
            ("User", r#"groups[type eq "direct" and value eq "g"]"#, Plan::MemberOf("g")),
            (
                "User",
                r#"externalId eq "x" and groups eq "g""#,
                Plan::LookUp(&"externalId".parse().unwrap(), "x"),
            ),
            ("User", r#"meta.lastModified gt "2026-01-31T09:30:00Z" and groups eq "g""#, Plan::MemberOf("g")),
            ("User", r#"groups.display eq "g""#, Plan::Scan),
        ] {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(Plan::of(&filter, registry.resource_type(name).unwrap()), expected, "{text}");
        }
        assert_eq!(
            Plan::Union(vec![Plan::Member("u"), Plan::MemberOf("g")]).to_string(),
            "member or member of"
        );
    }
}
