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

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use crate::scim::attr_path::AttrPath;
use crate::scim::error::{Error, Result};
use crate::scim::filter::compare::{Compared, Predicate, Test, invalid, is_present, refuse_hidden};
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::quirks::{self, Leeway, Tolerance};
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, Place, ResourceType, Target, Type};
use crate::scim::work::{Exhausted, Work};

/// A filter bound to the resources of one type.
#[derive(Debug)]
pub struct Matcher<'a> {
    kind: &'a ResourceType,
    columns: Vec<Column<'a>>,
    tree: Tree<Condition<'a>>,
}

/// A value filter, the part in the brackets of `emails[type eq "work"]`.
#[derive(Debug)]
pub struct ElementMatcher<'a> {
    parts: Parts<'a>,
    tree: Tree<Member>,
}

#[derive(Debug)]
enum Tree<L> {
    All(Vec<Tree<L>>),
    Any(Vec<Tree<L>>),
    Not(Box<Tree<L>>),
    Leaf(L),
}

/// An attribute that conditions look at. It is read once per resource, however many they
/// are.
#[derive(Debug)]
struct Column<'a> {
    place: Place<'a>,
    parts: Parts<'a>,
}

/// The parts of an element that conditions look at, each once: sub-attributes, or `None`
/// for the element as a whole.
#[derive(Debug, Default)]
struct Parts<'a>(Vec<Option<&'a Attribute>>);

#[derive(Debug)]
enum Condition<'a> {
    /// A condition on an attribute that no resource of the type can have, and its result.
    Absent(bool),
    /// The presence of an extension, by its URN.
    Extension(&'a str),
    /// A condition on any element of a column.
    Values(usize, Member),
    /// A value filter that any element of a column satisfies.
    Element(usize, Tree<Member>),
}

/// A condition on one of the [`Parts`] of an element.
#[derive(Debug)]
struct Member {
    part: usize,
    /// Set for `primary`, which is false where an element does not have it (RFC 7643 s2.4).
    is_primary: bool,
    test: Test,
}

/// The values of one part of an element: none, one, or those of a multi-valued
/// sub-attribute.
type Cell<'v> = Vec<Compared<'v>>;

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
        let mut columns = Vec::new();
        let tree = Tree::bind(filter, &mut |path, predicate| scope.bind(path, predicate, &mut columns))?;
        Ok(Self { kind, columns, tree })
    }

    /// Returns true if the filter holds for a resource.
    pub fn matches(&self, resource: &Resource, work: &Work) -> Result<bool, Exhausted> {
        let values: Vec<Option<Cow<'_, Value>>> =
            self.columns.iter().map(|column| resource.get(self.kind, &column.place)).collect();
        let columns = values.iter().zip(&self.columns);
        let rows: Vec<Vec<Vec<Cell<'_>>>> =
            columns.map(|(value, column)| column.parts.rows(value.as_deref())).collect();
        let rows = |column: usize| rows.get(column).map(Vec::as_slice).unwrap_or_default();
        let holds = self.tree.holds(&mut |condition| match condition {
            Condition::Absent(holds) => *holds,
            Condition::Extension(urn) => resource.attributes.get(*urn).is_some_and(is_present),
            Condition::Values(column, member) => match rows(*column) {
                // An empty array has no element that could match, but `ne` holds for it.
                [] => member.test.accepts(None, work),
                rows => rows.iter().any(|row| member.holds(row, work)),
            },
            Condition::Element(column, tree) => {
                rows(*column).iter().any(|row| tree.holds(&mut |member| member.holds(row, work)))
            }
        });
        work.check().map(|()| holds)
    }
}

impl<'a> ElementMatcher<'a> {
    pub fn new(filter: &Filter, attribute: &'a Attribute, leeway: Leeway<'_>) -> Result<Self> {
        let mut parts = Parts::default();
        let tree = Tree::of_elements(filter, attribute, leeway, &mut parts)?;
        Ok(Self { parts, tree })
    }

    /// Returns true if the filter selects an element.
    pub fn matches(&self, element: &Value, work: &Work) -> Result<bool, Exhausted> {
        let row = self.parts.row(element);
        let holds = self.tree.holds(&mut |member| member.holds(&row, work));
        work.check().map(|()| holds)
    }
}

impl<'a> Column<'a> {
    /// Returns the column of a whole attribute. It is added if no condition looked at the
    /// attribute before.
    fn of<'c>(place: Place<'a>, columns: &'c mut Vec<Self>) -> (usize, &'c mut Parts<'a>) {
        let place = Place { sub: None, ..place };
        let known = columns.iter().position(|column| {
            std::ptr::eq(column.place.attribute, place.attribute) && column.place.extension == place.extension
        });
        let index = known.unwrap_or(columns.len());
        if known.is_none() {
            columns.push(Self { place, parts: Parts::default() });
        }
        match columns.get_mut(index) {
            Some(column) => (index, &mut column.parts),
            None => unreachable!("found or added above"),
        }
    }
}

impl<'a> Parts<'a> {
    fn index(&mut self, part: Option<&'a Attribute>) -> usize {
        let is_same = |known: Option<&Attribute>| match (known, part) {
            (Some(known), Some(part)) => std::ptr::eq(known, part),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.0.iter().position(|known| is_same(*known)).unwrap_or_else(|| {
            self.0.push(part);
            self.0.len() - 1
        })
    }

    fn rows<'v>(&self, value: Option<&'v Value>) -> Vec<Vec<Cell<'v>>> {
        value.map(quirks::elements).unwrap_or_default().iter().map(|element| self.row(element)).collect()
    }

    fn row<'v>(&self, element: &'v Value) -> Vec<Cell<'v>> {
        let cell = |part: Option<&Attribute>| match part {
            Some(sub) => element.get(&sub.name).map(quirks::elements).unwrap_or_default(),
            None => std::slice::from_ref(element),
        };
        self.0.iter().map(|part| cell(*part).iter().map(Compared::new).collect()).collect()
    }
}

impl Member {
    fn new<'a>(part: Option<&'a Attribute>, test: Test, parts: &mut Parts<'a>) -> Self {
        Self { part: parts.index(part), is_primary: part.is_some_and(|part| part.name == "primary"), test }
    }

    fn holds(&self, row: &[Cell<'_>], work: &Work) -> bool {
        match row.get(self.part).map(Vec::as_slice).unwrap_or_default() {
            [] if self.is_primary && !matches!(self.test, Test::Present) => {
                self.test.accepts(Some(&Compared::new(&Value::Bool(false))), work)
            }
            [] => self.test.accepts(None, work),
            values => values.iter().any(|value| self.test.accepts(Some(value), work)),
        }
    }
}

impl<L> Tree<L> {
    fn bind(filter: &Filter, leaf: &mut impl FnMut(&AttrPath, Predicate<'_>) -> Result<L>) -> Result<Self> {
        match filter {
            Filter::All(legs) => Self::legs(legs, leaf).map(Self::All),
            Filter::Any(legs) => Self::legs(legs, leaf).map(Self::Any),
            Filter::Not(inner) => Ok(Self::Not(Box::new(Self::bind(inner, leaf)?))),
            // Null is no value (RFC 7643 s2.5), so comparing with it can only ask for presence.
            Filter::Present(path) | Filter::Compare { path, op: CompareOp::Ne, value: Value::Null } => {
                leaf(path, Predicate::Present).map(Self::Leaf)
            }
            Filter::Compare { path, op: CompareOp::Eq, value: Value::Null } => {
                Ok(Self::Not(Box::new(leaf(path, Predicate::Present).map(Self::Leaf)?)))
            }
            Filter::Compare { path, op, value } => leaf(path, Predicate::Compare(*op, value)).map(Self::Leaf),
            Filter::Element { path, filter } => leaf(path, Predicate::Element(filter)).map(Self::Leaf),
        }
    }

    /// Binds the legs of an `and` or `or`. Of equal ones, the first is enough.
    fn legs(
        legs: &[Filter],
        leaf: &mut impl FnMut(&AttrPath, Predicate<'_>) -> Result<L>,
    ) -> Result<Vec<Self>> {
        let mut known = HashSet::new();
        let distinct = legs.iter().filter(|leg| known.insert(leg.to_string()));
        distinct.map(|leg| Self::bind(leg, leaf)).collect()
    }

    fn holds(&self, leaf: &mut impl FnMut(&L) -> bool) -> bool {
        match self {
            Self::All(legs) => legs.iter().all(|leg| leg.holds(leaf)),
            Self::Any(legs) => legs.iter().any(|leg| leg.holds(leaf)),
            Self::Not(inner) => !inner.holds(leaf),
            Self::Leaf(condition) => leaf(condition),
        }
    }
}

impl Tree<Member> {
    /// Binds a value filter to the elements of an attribute.
    fn of_elements<'a>(
        filter: &Filter,
        attribute: &'a Attribute,
        leeway: Leeway<'_>,
        parts: &mut Parts<'a>,
    ) -> Result<Self> {
        if attribute.sub_attributes.is_empty() && !attribute.multi_valued {
            return Err(invalid(format!("{} has no sub-attributes: omit the brackets", attribute.name)));
        }
        Self::bind(filter, &mut |path, predicate| {
            let (part, test) = bind_member(attribute, path, predicate, leeway)?;
            Ok(Member::new(part, test, parts))
        })
    }
}

impl<'a> Scope<'a, '_> {
    fn bind(
        self,
        path: &AttrPath,
        predicate: Predicate<'_>,
        columns: &mut Vec<Column<'a>>,
    ) -> Result<Condition<'a>> {
        let Self { kind, kinds, leeway } = self;
        let place = match quirks::resolve(kind, path, leeway) {
            Some(Target::Attribute(place)) => place,
            None if self.is_of_another_type(path) => {
                return Ok(Condition::Absent(matches!(predicate, Predicate::Compare(CompareOp::Ne, _))));
            }
            None => return Err(unknown(kind, kinds, path)),
            Some(Target::Extension(schema)) if matches!(predicate, Predicate::Present) => {
                return Ok(Condition::Extension(&schema.id));
            }
            Some(Target::Core | Target::Extension(_)) => {
                return Err(invalid(format!("{path} is a schema: compare one of its attributes")));
            }
        };
        // Before the sub-attribute: `returned: never` of a complex attribute covers its parts.
        refuse_hidden(&place.attribute.name, place.attribute)?;
        let place = match (predicate, place.leaf().kind) {
            (Predicate::Element(filter), _) if place.sub.is_none() => {
                let (column, parts) = Column::of(place, columns);
                return Tree::of_elements(filter, place.attribute, leeway, parts)
                    .map(|tree| Condition::Element(column, tree));
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
        let test = Test::bind(&name, place.leaf(), predicate, leeway)?;
        let (column, parts) = Column::of(place, columns);
        Ok(Condition::Values(column, Member::new(place.sub, test, parts)))
    }

    fn is_of_another_type(self, path: &AttrPath) -> bool {
        self.kinds.iter().any(|other| quirks::resolve(other, path, self.leeway).is_some())
    }
}

/// Binds a condition of a value filter. The part is `None` if the elements are simple values.
fn bind_member<'a>(
    attribute: &'a Attribute,
    path: &AttrPath,
    predicate: Predicate<'_>,
    leeway: Leeway<'_>,
) -> Result<(Option<&'a Attribute>, Test)> {
    let name = &attribute.name;
    if path.schema.is_some() || path.sub.is_some() {
        return Err(invalid(format!("{name}[{path}]: a sub-attribute in brackets must be its name alone")));
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
    Ok((sub, test))
}

fn name(place: &Place<'_>) -> String {
    let attribute = &place.attribute.name;
    place.sub.map_or_else(|| attribute.clone(), |sub| format!("{attribute}.{}", sub.name))
}

fn unknown(kind: &ResourceType, kinds: &[Arc<ResourceType>], path: &AttrPath) -> Error {
    // A misspelled sub-attribute of a known attribute is answered with those that exist.
    let whole = AttrPath { sub: None, ..path.clone() };
    let mut wholes = std::iter::once(kind).chain(kinds.iter().map(Arc::as_ref));
    let whole = wholes.find_map(|kind| quirks::resolve_again(kind, &whole));
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
    use crate::scim::work::Work;

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
            assert_eq!(matcher.matches(&matching, &Work::default()), Ok(true), "{filter}: {matching}");
            assert_eq!(matcher.matches(&other, &Work::default()), Ok(false), "{filter}: {other}");
        }
        let attribute = attribute(json!({ "name": "values", "type": "string" }));
        let error =
            ElementMatcher::new(&"type pr".parse().unwrap(), &attribute, Leeway::default()).unwrap_err();
        assert_eq!(error.detail, "values has no sub-attribute type: compare values itself");
    }
}
