//! What identity providers send that the RFCs would refuse, and how it is
//! read. Every quirk stands here, with the client it was seen from; under the
//! policy `strict` none applies.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Map, Value, json};

use crate::scim::filter::{CompareOp, Filter};
use crate::scim::patch::Op;
use crate::scim::policy::{Interpretation, Policy, UnknownAttributes};
use crate::scim::schema::{Attribute, Type};

macro_rules! tolerances {
    ($($(#[doc = $who:literal])+ $tolerance:ident = $name:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Tolerance {
            $($(#[doc = $who])+ $tolerance,)+
        }

        impl Tolerance {
            pub const ALL: &[Self] = &[$(Self::$tolerance,)+];

            /// As the log has it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$tolerance => $name,)+
                }
            }
        }
    };
}

tolerances! {
    /// Entra ID sends `Add`, `Replace` and `Remove` for what RFC 7644 s3.5.2 spells
    /// in lower case.
    OpInAnyCase = "opInAnyCase",
    /// A `path` of `""` for none, from clients that write every member of an
    /// operation.
    EmptyPath = "emptyPath",
    /// Entra ID, under its flag, sends `"name.givenName"` and
    /// `"urn:...:User:employeeNumber"` for the names of members of a value.
    PathAsName = "pathAsName",
    /// Entra ID sends `"active": "False"` unless its tenant URL carries a feature
    /// flag; OneLogin's templates make strings of booleans.
    BooleanAsString = "booleanAsString",
    /// OneLogin sends `emails` as one object instead of an array of one.
    SingleValueForArray = "singleValueForArray",
    /// Entra ID sends a manager as `"<id>"` where the schema wants
    /// `{"value": "<id>"}`.
    StringForComplex = "stringForComplex",
    /// Entra ID clears a manager with `""` or `{"value": ""}`.
    EmptyValueClears = "emptyValueClears",
    /// Entra ID and JumpCloud send the members to remove as the `value` of a remove
    /// whose path is `members`, a form that RFC 7644 s3.5.2.2 does not have.
    RemoveWithValue = "removeWithValue",
    /// `{"members": [...]}` for that value, in the tests of Ping's SDK.
    WrappedValue = "wrappedValue",
    /// RFC 7643 s4.2 requires no part of a member, so a client may name one by its
    /// `$ref` alone.
    MemberByReference = "memberByReference",
    /// Entra ID sets `phoneNumbers[type eq "mobile"].value` on a user that has no
    /// mobile number, where RFC 7644 s3.5.2.3 asks for `noTarget`.
    ElementMade = "elementMade",
    /// Entra ID sends `department` of no schema and OneLogin `manager.managerId`. RFC
    /// 7644 s3.3 leaves it to the server.
    UnknownAttributeIgnored = "unknownAttributeIgnored",
    /// Okta sends a group's own `id` along with what it replaces, and others what
    /// else they were answered. A POST or PUT may do so (RFC 7644 s3.5.1), a PATCH
    /// not.
    ReadOnlyIgnored = "readOnlyIgnored",
    /// OneLogin's template names the schema of SCIM 1.0, and scripts none.
    SchemasMissing = "schemasMissing",
    /// Bulk: `post` for `POST`. HTTP tells the two apart.
    MethodInAnyCase = "methodInAnyCase",
    /// Bulk: a POST without the `bulkId` that RFC 7644 s3.7 wants, from clients that
    /// name nothing by it.
    BulkIdMissing = "bulkIdMissing",
    /// Entra ID filters by `emails[type eq "work"].value eq "x"`, which RFC 7644
    /// knows only as the path of a PATCH.
    ValuePathCompared = "valuePathCompared",
    /// Entra ID filters by `manager eq "<id>"` without the URN that RFC 7644 s3.10
    /// wants before the attribute of an extension.
    ExtensionWithoutUrn = "extensionWithoutUrn",
    /// The same filter compares a single complex value as a whole and means its
    /// `value`.
    ComplexAsValue = "complexAsValue",
}

/// What a request has used: a bit for each.
#[derive(Debug, Default)]
pub struct Used(AtomicU32);

impl Used {
    fn note(&self, tolerance: Tolerance) {
        self.0.fetch_or(1 << tolerance as u32, Ordering::Relaxed);
    }

    pub fn names(&self) -> Vec<&'static str> {
        let used = self.0.load(Ordering::Relaxed);
        let noted = Tolerance::ALL.iter().filter(|tolerance| used & (1 << **tolerance as u32) != 0);
        noted.map(|tolerance| tolerance.name()).collect()
    }
}

/// What the policy of a tenant lets pass, and where it is noted that it did. What
/// is read never depends on what is noted.
#[derive(Clone, Copy, Debug)]
pub struct Leeway<'a> {
    interpretation: Interpretation,
    unknown: UnknownAttributes,
    used: Option<&'a Used>,
}

impl<'a> Leeway<'a> {
    pub fn of(policy: &Policy) -> Self {
        Self { interpretation: policy.interpretation, unknown: policy.unknown_attributes(), used: None }
    }

    #[must_use]
    pub fn noted_in(self, used: &'a Used) -> Self {
        Self { used: Some(used), ..self }
    }

    /// Whether this passes; to be asked only where nothing else is in its way.
    pub fn tolerates(self, tolerance: Tolerance) -> bool {
        let passes = match (tolerance, self.unknown, self.interpretation) {
            (Tolerance::UnknownAttributeIgnored, unknown, _) => unknown == UnknownAttributes::Ignore,
            (_, _, interpretation) => interpretation == Interpretation::Tolerant,
        };
        if let Some(used) = self.used.filter(|_| passes) {
            used.note(tolerance);
        }
        passes
    }
}

impl Default for Leeway<'_> {
    fn default() -> Self {
        Self::of(&Policy::default())
    }
}

const OPS: [(&str, Op); 3] = [("add", Op::Add), ("remove", Op::Remove), ("replace", Op::Replace)];

pub fn op(text: &str, leeway: Leeway<'_>) -> Option<Op> {
    let (name, op) = OPS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text))?;
    (name == text || leeway.tolerates(Tolerance::OpInAnyCase)).then_some(op)
}

pub fn boolean(text: &str, leeway: Leeway<'_>) -> Option<bool> {
    let known = [("true", true), ("false", false)];
    let (_, value) = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text))?;
    leeway.tolerates(Tolerance::BooleanAsString).then_some(value)
}

/// Of an attribute with several values that was sent with one.
pub fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        one => std::slice::from_ref(one),
    }
}

pub fn complex(attribute: &Attribute, value: &Value, leeway: Leeway<'_>) -> Option<Map<String, Value>> {
    attribute.sub_attribute("value").filter(|_| value.is_string())?;
    let object = || Map::from_iter([("value".to_owned(), value.clone())]);
    leeway.tolerates(Tolerance::StringForComplex).then(object)
}

pub fn is_cleared(attribute: &Attribute, object: &Map<String, Value>, leeway: Leeway<'_>) -> bool {
    let value = object.iter().find(|(name, _)| name.eq_ignore_ascii_case("value"));
    !attribute.multi_valued
        && value.is_some_and(|(_, value)| value == "")
        && leeway.tolerates(Tolerance::EmptyValueClears)
}

/// Those to remove.
pub fn removed<'v>(attribute: &Attribute, value: &'v Value, leeway: Leeway<'_>) -> &'v [Value] {
    let wrapped = value
        .as_object()
        .and_then(|object| object.iter().find(|(name, _)| name.eq_ignore_ascii_case(&attribute.name)))
        .filter(|_| leeway.tolerates(Tolerance::WrappedValue));
    elements(wrapped.map_or(value, |(_, inner)| inner))
}

/// The id and the resource type that a reference ends in.
pub fn referred(reference: &str) -> Option<(&str, &'static str)> {
    let (path, id) = reference.rsplit_once('/')?;
    let endpoint = path.rsplit('/').next()?;
    [("Users", "User"), ("Groups", "Group")]
        .into_iter()
        .find_map(|(name, kind)| name.eq_ignore_ascii_case(endpoint).then_some((id, kind)))
}

/// The element that the filter describes, to be added. `replace` makes one only for
/// values that the schema suggests, so that a mistyped `type` is still reported.
pub fn element(
    op: Op,
    attribute: &Attribute,
    filter: &Filter,
    leeway: Leeway<'_>,
) -> Option<Map<String, Value>> {
    let Filter::Compare { path, op: CompareOp::Eq, value } = filter else {
        return None;
    };
    let sub = attribute.sub_attribute(&path.attr)?;
    let value = match value {
        Value::String(text) if sub.kind == Type::Boolean => json!(boolean(text, leeway)?),
        Value::Null => return None,
        value => value.clone(),
    };
    let suggested = match &value {
        Value::String(text) => sub.canonical_values.iter().any(|known| known.eq_ignore_ascii_case(text)),
        Value::Bool(primary) => *primary && sub.name == "primary",
        _ => false,
    };
    (suggested || op == Op::Add).then(|| Map::from_iter([(sub.name.clone(), value)]))
}
