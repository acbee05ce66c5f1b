//! Filters against resources (RFC 7644 s3.4.2.2). Names, operators and values are
//! checked once, when a filter is bound to the schema; matching cannot fail.
//!
//! Where the RFC is silent:
//! - a multi-valued attribute matches when one of its elements does, for `ne` too:
//!   `emails.type ne "work"` matches an element that is not of type work,
//!   `not (emails.type eq "work")` a resource without such an element;
//! - `ne` holds for what is absent, every other comparison fails;
//! - `eq null` means absent, `ne null` present;
//! - a complex attribute that is compared as a whole means its `value`:
//!   `emails co "x"` in the RFC's examples, `manager eq "id"` from Entra ID.

use std::sync::Arc;

use serde_json::Value;

use crate::scim::attr_path::AttrPath;
use crate::scim::error::{Error, Result};
use crate::scim::filter::compare::{Predicate, Test, invalid, is_present, refuse_hidden};
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::quirks::{Leeway, Tolerance};
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, Place, ResourceType, Target, Type};

/// A filter bound to the resources of one type.
#[derive(Debug)]
pub struct Matcher<'a> {
    kind: &'a ResourceType,
    tree: Tree<Condition<'a>>,
}

/// A value filter, the part in the brackets of `emails[type eq "work"]`.
#[derive(Debug)]
pub struct ElementMatcher<'a> {
    tree: Tree<Member<'a>>,
}

#[derive(Debug)]
enum Tree<L> {
    All(Vec<Tree<L>>),
    Any(Vec<Tree<L>>),
    Not(Box<Tree<L>>),
    Leaf(L),
}

#[derive(Debug)]
enum Condition<'a> {
    /// A condition on an attribute that no resource of the type can have, and its result.
    Absent(bool),
    /// The presence of an extension, by its URN.
    Extension(&'a str),
    Values(Place<'a>, Test),
    Element(Place<'a>, ElementMatcher<'a>),
}

/// A condition on a sub-attribute; `sub` is `None` if the elements are simple values.
#[derive(Debug)]
struct Member<'a> {
    sub: Option<&'a Attribute>,
    test: Test,
}

/// The resource types of a query: the filter is bound to `kind`, one of `kinds`.
#[derive(Clone, Copy)]
struct Scope<'a, 'k> {
    kind: &'a ResourceType,
    kinds: &'k [Arc<ResourceType>],
    leeway: Leeway<'k>,
}

impl<'a> Matcher<'a> {
    pub fn new(filter: &Filter, kind: &'a ResourceType) -> Result<Self> {
        Self::among(filter, kind, &[], Leeway::default())
    }

    /// Binds a filter of a query of several types. An attribute that another type has,
    /// but not `kind`, is absent (s3.4.2.1).
    pub fn among(
        filter: &Filter,
        kind: &'a ResourceType,
        kinds: &[Arc<ResourceType>],
        leeway: Leeway<'_>,
    ) -> Result<Self> {
        let scope = Scope { kind, kinds, leeway };
        let tree = Tree::bind(filter, &|path, predicate| scope.bind(path, predicate))?;
        Ok(Self { kind, tree })
    }

    pub fn matches(&self, resource: &Resource) -> bool {
        self.tree.holds(&|condition| condition.holds(self.kind, resource))
    }
}

impl<'a> ElementMatcher<'a> {
    pub fn new(filter: &Filter, attribute: &'a Attribute, leeway: Leeway<'_>) -> Result<Self> {
        if attribute.sub_attributes.is_empty() && !attribute.multi_valued {
            return Err(invalid(format!("{} has no sub-attributes: omit the brackets", attribute.name)));
        }
        let tree = Tree::bind(filter, &|path, predicate| Member::bind(attribute, path, predicate, leeway))?;
        Ok(Self { tree })
    }

    pub fn matches(&self, element: &Value) -> bool {
        self.tree.holds(&|member| member.test.accepts(value_at(element, member.sub)))
    }
}

impl<L> Tree<L> {
    fn bind(filter: &Filter, leaf: &impl Fn(&AttrPath, Predicate<'_>) -> Result<L>) -> Result<Self> {
        let legs = |legs: &[Filter]| legs.iter().map(|leg| Self::bind(leg, leaf)).collect::<Result<_>>();
        let present = |path| leaf(path, Predicate::Present).map(Self::Leaf);
        match filter {
            Filter::All(all) => legs(all).map(Self::All),
            Filter::Any(any) => legs(any).map(Self::Any),
            Filter::Not(inner) => Ok(Self::Not(Box::new(Self::bind(inner, leaf)?))),
            // Null is no value (RFC 7643 s2.5), so comparing with it can only ask for presence.
            Filter::Present(path) | Filter::Compare { path, op: CompareOp::Ne, value: Value::Null } => {
                present(path)
            }
            Filter::Compare { path, op: CompareOp::Eq, value: Value::Null } => {
                Ok(Self::Not(Box::new(present(path)?)))
            }
            Filter::Compare { path, op, value } => leaf(path, Predicate::Compare(*op, value)).map(Self::Leaf),
            Filter::Element { path, filter } => leaf(path, Predicate::Element(filter)).map(Self::Leaf),
        }
    }

    fn holds(&self, leaf: &impl Fn(&L) -> bool) -> bool {
        match self {
            Self::All(legs) => legs.iter().all(|leg| leg.holds(leaf)),
            Self::Any(legs) => legs.iter().any(|leg| leg.holds(leaf)),
            Self::Not(inner) => !inner.holds(leaf),
            Self::Leaf(condition) => leaf(condition),
        }
    }
}

impl<'a> Scope<'a, '_> {
    fn bind(self, path: &AttrPath, predicate: Predicate<'_>) -> Result<Condition<'a>> {
        let Self { kind, kinds, leeway } = self;
        let place = match resolve(kind, path).filter(|target| self.admits(path, target)) {
            Some(Target::Attribute(place)) => place,
            None if self.is_of_another_type(path) => {
                return Ok(Condition::Absent(matches!(predicate, Predicate::Compare(CompareOp::Ne, _))));
            }
            None => return Err(unknown(kind, kinds, path)),
            Some(Target::Extension(schema)) => {
                return match predicate {
                    Predicate::Present => Ok(Condition::Extension(&schema.id)),
                    Predicate::Compare(..) | Predicate::Element(_) => {
                        Err(invalid(format!("{path} is a schema: compare one of its attributes")))
                    }
                };
            }
        };
        // Before the sub-attribute: `returned: never` of a complex attribute covers its parts.
        refuse_hidden(&place.attribute.name, place.attribute)?;
        let place = match (predicate, place.leaf().kind) {
            (Predicate::Element(filter), _) if place.sub.is_none() => {
                return ElementMatcher::new(filter, place.attribute, leeway)
                    .map(|elements| Condition::Element(place, elements));
            }
            // The RFC's own examples compare `emails` for `emails.value`. A single complex
            // value in that form is Entra ID's.
            (Predicate::Compare(..), Type::Complex) => {
                let value = place.attribute.sub_attribute("value");
                let is_meant = |_: &&Attribute| {
                    place.attribute.multi_valued || leeway.tolerates(Tolerance::ComplexAsValue)
                };
                Place { sub: value.filter(is_meant), ..place }
            }
            _ => place,
        };
        let name = name(&place);
        // No resource has it: it follows from the host that a request was sent to.
        if name == "meta.location" {
            return Err(invalid("meta.location cannot be used in a filter: use id".to_owned()));
        }
        Test::bind(&name, place.leaf(), predicate, leeway).map(|test| Condition::Values(place, test))
    }

    /// Returns true unless the path lacks the URN of an extension and must have it.
    fn admits(self, path: &AttrPath, target: &Target<'_>) -> bool {
        match target {
            Target::Attribute(place) if place.extension.is_some() && path.schema.is_none() => {
                self.leeway.tolerates(Tolerance::ExtensionWithoutUrn)
            }
            Target::Attribute(_) | Target::Extension(_) => true,
        }
    }

    fn is_of_another_type(self, path: &AttrPath) -> bool {
        let mut targets = self.kinds.iter().filter_map(|other| resolve(other, path));
        targets.any(|target| self.admits(path, &target))
    }
}

impl Condition<'_> {
    fn holds(&self, kind: &ResourceType, resource: &Resource) -> bool {
        match self {
            Self::Absent(holds) => *holds,
            Self::Extension(urn) => resource.attributes.get(*urn).is_some_and(is_present),
            Self::Values(place, test) => match elements(resource.get(kind, place).as_deref()) {
                // An empty array has no element that could match, but `ne` holds for it.
                [] => test.accepts(None),
                values => values.iter().any(|value| test.accepts(value_at(value, place.sub))),
            },
            Self::Element(place, matcher) => {
                elements(resource.get(kind, place).as_deref()).iter().any(|element| matcher.matches(element))
            }
        }
    }
}

/// Resolves a path, in the extensions too if it has no URN.
pub(crate) fn resolve<'a>(kind: &'a ResourceType, path: &AttrPath) -> Option<Target<'a>> {
    // The core schema goes first, so that adding an extension cannot change the meaning
    // of a filter that worked before.
    kind.resolve(path).or_else(|| {
        let extensions = kind.extensions.iter().filter(|_| path.schema.is_none());
        extensions.into_iter().find_map(|extension| extension.schema.target(Some(&extension.schema.id), path))
    })
}

impl<'a> Member<'a> {
    fn bind(
        attribute: &'a Attribute,
        path: &AttrPath,
        predicate: Predicate<'_>,
        leeway: Leeway<'_>,
    ) -> Result<Self> {
        let name = &attribute.name;
        if path.schema.is_some() || path.sub.is_some() {
            return Err(invalid(format!(
                "{name}[{path}]: a sub-attribute in brackets must be its name alone"
            )));
        }
        let (sub, leaf) = match attribute.sub_attribute(&path.attr) {
            Some(sub) => (Some(sub), sub),
            // A simple element has no sub-attributes, but the grammar wants a name: it goes by
            // `value`, as the main part of a complex element does (RFC 7643 s2.4).
            None if attribute.sub_attributes.is_empty() && path.attr.eq_ignore_ascii_case("value") => {
                (None, attribute)
            }
            None => return Err(no_sub_attribute(attribute, &path.attr)),
        };
        let test = Test::bind(&format!("{name}.{}", path.attr), leaf, predicate, leeway)?;
        Ok(Self { sub, test })
    }
}

fn elements(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(elements)) => elements,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
}

fn value_at<'v>(element: &'v Value, sub: Option<&Attribute>) -> Option<&'v Value> {
    match sub {
        Some(sub) => element.get(&sub.name),
        None => Some(element),
    }
}

fn name(place: &Place<'_>) -> String {
    let attribute = &place.attribute.name;
    place.sub.map_or_else(|| attribute.clone(), |sub| format!("{attribute}.{}", sub.name))
}

fn unknown(kind: &ResourceType, kinds: &[Arc<ResourceType>], path: &AttrPath) -> Error {
    // A misspelled sub-attribute of a known attribute is answered with those that exist.
    let whole = AttrPath { sub: None, ..path.clone() };
    let mut wholes = std::iter::once(kind).chain(kinds.iter().map(Arc::as_ref));
    let whole = wholes.find_map(|kind| resolve(kind, &whole));
    match (&path.sub, whole) {
        (Some(sub), Some(Target::Attribute(place))) => no_sub_attribute(place.attribute, sub),
        _ if kinds.len() > 1 => {
            invalid(format!("no resource type has an attribute {path}: /Schemas lists their attributes"))
        }
        _ => invalid(format!("{} has no attribute {path}: /Schemas lists its attributes", kind.name)),
    }
}

fn no_sub_attribute(attribute: &Attribute, sub: &str) -> Error {
    let name = &attribute.name;
    let names: Vec<&str> = attribute.sub_attributes.iter().map(|sub| sub.name.as_str()).collect();
    match names.as_slice() {
        [] => invalid(format!("{name} has no sub-attribute {sub}: compare {name} itself")),
        names => invalid(format!("{name} has no sub-attribute {sub}: it has {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ElementMatcher, Matcher};
    use crate::scim::error::ErrorKind;
    use crate::scim::policy::Policy;
    use crate::scim::quirks::Leeway;
    use crate::scim::registry::Registry;
    use crate::scim::schema::Attribute;

    #[test]
    fn a_filter_that_the_schema_does_not_bear_is_refused() {
        let registry = Registry::new(&Policy::default());
        for (text, expected) in [
            ("usernme eq \"x\"", "User has no attribute usernme: /Schemas lists its attributes"),
            ("urn:x:y:userName pr", "User has no attribute urn:x:y:userName: /Schemas lists its attributes"),
            (
                "emails.vale eq \"x\"",
                "emails has no sub-attribute vale: it has value, display, type, primary",
            ),
            ("emails[vale pr]", "emails has no sub-attribute vale: it has value, display, type, primary"),
            ("userName.value pr", "userName has no sub-attribute value: compare userName itself"),
            ("name eq \"x\"", "name is complex: compare a sub-attribute, such as name.formatted"),
            ("userName eq 5", "userName is a string: compare it with text in double quotes, not 5"),
            ("emails co true", "emails.value is a string: compare it with text in double quotes, not true"),
            ("profileUrl sw 1", "profileUrl is a reference: compare it with text in double quotes, not 1"),
            ("userName gt null", "userName is a string: compare it with text in double quotes, not null"),
            ("active eq \"yes\"", "active is a boolean: compare it with true or false, not \"yes\""),
            ("active gt true", "active is a boolean: use eq, ne or pr instead of gt"),
            ("active co \"t\"", "active is a boolean: use eq, ne or pr instead of co"),
            (
                "x509Certificates.value lt \"MII\"",
                "x509Certificates.value is binary: use eq, ne or pr instead of lt",
            ),
            (
                "x509Certificates sw \"MII\"",
                "x509Certificates.value is binary: use eq, ne or pr instead of sw",
            ),
            (
                "meta.created sw \"2026\"",
                "meta.created is a dateTime: use eq, ne, gt, ge, lt, le or pr instead of sw",
            ),
            (
                "meta.created gt \"2026-01-31\"",
                "meta.created is a dateTime: compare it with a date and time such as \"2026-01-31T09:30:00Z\", not \"2026-01-31\"",
            ),
            ("meta.location pr", "meta.location cannot be used in a filter: use id"),
            ("password pr", "password cannot be used in a filter: it is never returned"),
            ("not (Password sw \"a\")", "password cannot be used in a filter: it is never returned"),
            ("password eq null", "password cannot be used in a filter: it is never returned"),
            ("userName[value eq \"x\"]", "userName has no sub-attributes: omit the brackets"),
            ("emails.value[type pr]", "emails.value has no sub-attributes: omit the brackets"),
            (
                "emails[emails.type pr]",
                "emails[emails.type]: a sub-attribute in brackets must be its name alone",
            ),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User eq \"x\"",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User is a schema: compare one of its attributes",
            ),
        ] {
            let error =
                Matcher::new(&text.parse().unwrap(), registry.resource_type("User").unwrap()).unwrap_err();
            assert_eq!((error.kind, error.detail.as_ref()), (ErrorKind::InvalidFilter, expected), "{text}");
        }
    }

    fn attribute(mut document: Value) -> Attribute {
        let defaults = json!({
            "multiValued": true, "description": "", "required": false, "mutability": "readWrite", "returned": "default",
        });
        for (name, value) in defaults.as_object().unwrap() {
            document[name] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn simple_elements_are_their_own_value() {
        for (kind, filter, matching, other) in [
            ("string", "value eq \"A\"", json!("a"), json!("b")),
            ("string", "value gt \"a\" and not (Value ew \"c\")", json!("b"), json!("c")),
            ("integer", "value ge 10", json!(10), json!(9)),
            (
                "integer",
                "value gt 9007199254740992",
                json!(9_007_199_254_740_993_i64),
                json!(9_007_199_254_740_992_i64),
            ),
            ("decimal", "value lt 1.5", json!(1), json!(1.5)),
            ("decimal", "value eq 2", json!(2.0), json!(2.25)),
            (
                "dateTime",
                "value le \"2026-01-31T09:30:00\"",
                json!("2026-01-31T10:30:00+01:00"),
                json!("2026-01-31T09:30:00-01:00"),
            ),
            (
                "dateTime",
                "value eq \"2026-01-31T09:30:00Z\"",
                json!("2026-01-31T09:30:00.000"),
                json!("noon"),
            ),
            ("binary", "value ne \"QQ==\"", json!("qq=="), json!("QQ==")),
        ] {
            let exact = (kind == "binary").then_some(true);
            let attribute = attribute(json!({ "name": "values", "type": kind, "caseExact": exact }));
            let matcher =
                ElementMatcher::new(&filter.parse().unwrap(), &attribute, Leeway::default()).unwrap();
            assert!(matcher.matches(&matching), "{filter}: {matching}");
            assert!(!matcher.matches(&other), "{filter}: {other}");
        }
        let attribute = attribute(json!({ "name": "values", "type": "string" }));
        let error =
            ElementMatcher::new(&"type pr".parse().unwrap(), &attribute, Leeway::default()).unwrap_err();
        assert_eq!(error.detail, "values has no sub-attribute type: compare values itself");
    }
}
