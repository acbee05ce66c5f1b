//! The elements of an attribute that a filter looks at. The store keeps `members`
//! apart from their group, and most filters ask for one of them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::scim::attr_path::AttrPath;
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::quirks::resolve_again;
use crate::scim::schema::{Place, ResourceType, Target};

/// A resource with no more than these elements matches where the whole does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberScope {
    Nothing,
    /// The elements with these values.
    These(Vec<String>),
    All,
}

impl MemberScope {
    /// Returns the elements that `filter` looks at of the attribute with this name.
    pub fn of(filter: &Filter, kind: &ResourceType, name: &str) -> Self {
        let mut values = BTreeSet::new();
        match collect(filter, kind, name, &mut values) {
            None => Self::All,
            Some(()) if values.is_empty() => Self::Nothing,
            Some(()) => Self::These(values.into_iter().map(str::to_owned).collect()),
        }
    }
}

/// `None` where all elements are looked at.
fn collect<'f>(
    filter: &'f Filter,
    kind: &ResourceType,
    name: &str,
    values: &mut BTreeSet<&'f str>,
) -> Option<()> {
    match filter {
        Filter::All(legs) | Filter::Any(legs) => {
            // Each leg is evaluated on the same resource, so an `and`, too, needs the members that
            // any of its legs looks at.
            legs.iter().try_for_each(|leg| collect(leg, kind, name, values))
        }
        // A negation looks at the same members: `not (members eq "u")` asks about `u` alone.
        Filter::Not(inner) => collect(inner, kind, name, values),
        Filter::Present(path) | Filter::Compare { path, .. } | Filter::Element { path, .. } => {
            let Some(place) = place(kind, path).filter(|place| place.attribute.name == name) else {
                return Some(());
            };
            values.extend(match filter {
                Filter::Element { filter, .. } if place.sub.is_none() => selected(filter)?,
                Filter::Compare { op: CompareOp::Eq, value: Value::String(value), .. }
                    if place.sub.is_none_or(|sub| sub.name == "value") =>
                {
                    vec![value.as_str()]
                }
                // Every other condition may hold for any member, or for the lack of one.
                _ => return None,
            });
            Some(())
        }
    }
}

/// Returns values among which is that of every element that a filter in brackets selects;
/// `None` if there is no such list.
fn selected(filter: &Filter) -> Option<Vec<&str>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Eq, value: Value::String(value) } => {
            path.attr.eq_ignore_ascii_case("value").then(|| vec![value.as_str()])
        }
        // In brackets one element must satisfy all legs, so the values of one leg are enough.
        Filter::All(legs) => legs.iter().filter_map(selected).min_by_key(Vec::len),
        Filter::Any(legs) => legs.iter().map(selected).collect::<Option<Vec<_>>>().map(|legs| legs.concat()),
        Filter::Compare { .. } | Filter::Present(_) | Filter::Not(_) | Filter::Element { .. } => None,
    }
}

fn place<'a>(kind: &'a ResourceType, path: &AttrPath) -> Option<Place<'a>> {
    match resolve_again(kind, path)? {
        Target::Attribute(place) if place.extension.is_none() => Some(place),
        Target::Attribute(_) | Target::Core | Target::Extension(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::MemberScope;
    use crate::scim::filter::Filter;
    use crate::scim::policy::Policy;
    use crate::scim::registry::Registry;

    #[test]
    fn a_filter_looks_at_these_members() {
        let registry = Registry::new(&Policy::default());
        let group = registry.resource_type("Group").unwrap();
        for (text, expected) in [
            (r#"displayName eq "x" and id eq "g""#, MemberScope::Nothing),
            (r#"userName eq "x""#, MemberScope::Nothing),
            (r#"members eq "u""#, these(&["u"])),
            (r#"MEMBERS.Value eq "u""#, these(&["u"])),
            (r#"members[value eq "u"]"#, these(&["u"])),
            (r#"urn:ietf:params:scim:schemas:core:2.0:Group:members.value eq "u""#, these(&["u"])),
            (r#"id eq "g" and members eq "u""#, these(&["u"])),
            (r#"not (members eq "u")"#, these(&["u"])),
            (r#"members eq "u2" or members.value eq "u1" or members[value eq "u2"]"#, these(&["u1", "u2"])),
            (r#"members[value eq "u" and type eq "Group"]"#, these(&["u"])),
            (r#"members[value eq "u" and (type eq "Group" or display pr)]"#, these(&["u"])),
            (r#"members[value eq "u1" or value eq "u2"]"#, these(&["u1", "u2"])),
            (r#"members[(value eq "u1" or value eq "u2") and value eq "u1"]"#, these(&["u1"])),
            (r#"members[value eq "u" and not (value eq "v")]"#, these(&["u"])),
            (r#"members[value eq "u" or type eq "Group"]"#, MemberScope::All),
            (r#"members[not (value eq "u")]"#, MemberScope::All),
            (r#"members[type eq "User"]"#, MemberScope::All),
            (r#"members[value sw "u"]"#, MemberScope::All),
            (r#"members.type eq "User""#, MemberScope::All),
            (r#"members ne "u""#, MemberScope::All),
            ("members eq null", MemberScope::All),
            (r#"members sw "u""#, MemberScope::All),
            ("members pr", MemberScope::All),
            ("not (members pr)", MemberScope::All),
            (r#"members eq "u" or members.display eq "x""#, MemberScope::All),
        ] {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(MemberScope::of(&filter, group, "members"), expected, "{text}");
        }
        let filter: Filter = r#"groups[value eq "g"] and userName pr"#.parse().unwrap();
        assert_eq!(
            MemberScope::of(&filter, registry.resource_type("User").unwrap(), "groups"),
            these(&["g"])
        );
    }

    fn these(values: &[&str]) -> MemberScope {
        MemberScope::These(values.iter().map(|value| (*value).to_owned()).collect())
    }
}
