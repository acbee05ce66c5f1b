//! Deviations of identity providers from the RFCs, and how they are read.
//!
//! Each deviation has its name here, with the client that it was seen from. Code
//! that reads one asks [`Leeway::tolerates`]; under the policy `strict` none is
//! tolerated.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::scim::attr_path::AttrPath;
use crate::scim::policy::{Interpretation, Passwords, Policy, UnknownAttributes};
use crate::scim::schema::{Attribute, Mutability, ResourceType, Target, Type};

// A macro, so that a deviation cannot lack its source, its name in the log or its
// place in `ALL`.
macro_rules! tolerances {
    ($($(#[doc = $who:literal])+ $tolerance:ident = $name:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Tolerance {
            $($(#[doc = $who])+ $tolerance,)+
        }

        impl Tolerance {
            pub const ALL: &[Self] = &[$(Self::$tolerance,)+];

            /// Returns the name that the log shows.
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
    /// A `path` of `""` in the place of no path, from clients that write every member
    /// of an operation.
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
    /// RFC 7643 s4.2 requires no sub-attribute of a member, so a client may name one
    /// by its `$ref` alone.
    MemberByReference = "memberByReference",
    /// Entra ID sets `phoneNumbers[type eq "mobile"].value` on a user that has no
    /// mobile number, where RFC 7644 s3.5.2.3 asks for `noTarget`.
    ElementMade = "elementMade",
    /// OneLogin sends `manager.managerId` and Entra ID a path of attributes that only its
    /// own directory has. RFC 7644 s3.3 leaves unknown attributes to the server.
    UnknownAttributeIgnored = "unknownAttributeIgnored",
    /// Okta sends a group's own `id` with every replacement, and other clients echo
    /// more of the answer that they got. RFC 7644 s3.5.1 allows that in a POST or PUT,
    /// but not in a PATCH.
    ReadOnlyIgnored = "readOnlyIgnored",
    /// OneLogin's template names the schema of SCIM 1.0, and scripts none.
    SchemasMissing = "schemasMissing",
    /// Bulk: `post` for `POST`. HTTP tells the two apart.
    MethodInAnyCase = "methodInAnyCase",
    /// Bulk: a POST without the `bulkId` that RFC 7644 s3.7 requires, from clients
    /// that refer to no resource by it.
    BulkIdMissing = "bulkIdMissing",
    /// Entra ID filters by `emails[type eq "work"].value eq "x"`, which RFC 7644
    /// knows only as the path of a PATCH.
    ValuePathCompared = "valuePathCompared",
    /// Entra ID filters by `manager eq "<id>"`, and creates users with a top-level
    /// `department`, without the URN that RFC 7644 s3.10 wants before the attribute of an
    /// extension. The name means the attribute of the one extension that has it, if the
    /// core schema has none.
    ExtensionWithoutUrn = "extensionWithoutUrn",
    /// The same filter compares a complex attribute as a whole and means its `value`.
    ComplexAsValue = "complexAsValue",
    /// `urn:...:User.employeeNumber`, with a dot in the place of the last colon of RFC
    /// 7644 s3.10, from mappings written by hand.
    DotAfterUrn = "dotAfterUrn",
    /// `{"urn:...:core:2.0:User": {"title": "Dr."}}`, from clients that write the core schema
    /// like an extension.
    CoreAsExtension = "coreAsExtension",
    /// Entra ID removes `manager[value eq "<id>"]`. RFC 7644 s3.5.2 knows value filters of
    /// multi-valued attributes alone; this one is read as an array of one.
    FilterOfSingleValue = "filterOfSingleValue",
    /// `"Operations": []`, from clients that found nothing to change. RFC 7644 s3.5.2 wants
    /// at least one operation.
    NoOperations = "noOperations",
}

/// Names of ignored attributes that the log shows, and the characters of each.
const IGNORED_NAMES: usize = 8;
const IGNORED_CHARS: usize = 80;

/// The tolerances that a request has used, one bit each, and the attributes that it
/// named in vain.
#[derive(Debug, Default)]
pub struct Used {
    tolerances: AtomicU32,
    ignored: Mutex<BTreeSet<String>>,
}

impl Used {
    fn note(&self, tolerance: Tolerance) {
        self.tolerances.fetch_or(1 << tolerance as u32, Ordering::Relaxed);
    }

    fn note_ignored(&self, name: &str) {
        let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        if ignored.len() < IGNORED_NAMES {
            // A client chooses the name, and must not be able to begin a new line of the log.
            let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
            ignored.insert(name.chars().take(IGNORED_CHARS).map(printable).collect());
        }
    }

    /// Returns the names of attributes that were ignored, the first few.
    pub fn ignored(&self) -> Vec<String> {
        let ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        ignored.iter().cloned().collect()
    }

    pub fn names(&self) -> Vec<&'static str> {
        let used = self.tolerances.load(Ordering::Relaxed);
        let noted = Tolerance::ALL.iter().filter(|tolerance| used & (1 << **tolerance as u32) != 0);
        noted.map(|tolerance| tolerance.name()).collect()
    }
}

/// The tolerances of a tenant's policy, and the place where their use is noted.
/// Noting has no influence on how a request is read.
#[derive(Clone, Copy, Debug)]
pub struct Leeway<'a> {
    interpretation: Interpretation,
    unknown: UnknownAttributes,
    passwords: Passwords,
    used: Option<&'a Used>,
}

impl<'a> Leeway<'a> {
    pub fn of(policy: &Policy) -> Self {
        Self {
            interpretation: policy.interpretation,
            unknown: policy.unknown_attributes(),
            passwords: policy.password,
            used: None,
        }
    }

    #[must_use]
    pub fn noted_in(self, used: &'a Used) -> Self {
        Self { used: Some(used), ..self }
    }

    pub fn passwords(self) -> Passwords {
        self.passwords
    }

    /// Returns true if the policy tolerates this, and notes that it was used.
    pub fn tolerates(self, tolerance: Tolerance) -> bool {
        // Asking is using: callers must ask last, when every other condition of the
        // deviation holds. Otherwise the log names deviations that no request had.
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

impl Leeway<'_> {
    /// Returns true if the policy ignores unknown attributes, and notes that it ignored the
    /// one of this name.
    pub fn ignores(self, name: &str) -> bool {
        let ignores = self.tolerates(Tolerance::UnknownAttributeIgnored);
        if let Some(used) = self.used.filter(|_| ignores) {
            used.note_ignored(name);
        }
        ignores
    }
}

/// Resolves a name of a request, wherever it appears: in a body, a path, a filter, an order
/// or a list of attributes.
pub fn resolve<'a>(kind: &'a ResourceType, path: &AttrPath, leeway: Leeway<'_>) -> Option<Target<'a>> {
    let (target, deviation) = meant(kind, path)?;
    deviation.is_none_or(|deviation| leeway.tolerates(deviation)).then_some(target)
}

/// Resolves a name that [`resolve`] has accepted before.
pub fn resolve_again<'a>(kind: &'a ResourceType, path: &AttrPath) -> Option<Target<'a>> {
    meant(kind, path).map(|(target, _)| target)
}

/// Returns what a name means, and the tolerance that its form takes.
fn meant<'a>(kind: &'a ResourceType, path: &AttrPath) -> Option<(Target<'a>, Option<Tolerance>)> {
    // The core schema goes first, so that adding an extension cannot change the meaning of
    // a name that had one.
    match (kind.resolve(path), path) {
        (Some(Target::Core), _) => Some((Target::Core, Some(Tolerance::CoreAsExtension))),
        (Some(target), _) => Some((target, None)),
        (None, AttrPath { schema: None, .. }) => {
            let mut found = kind
                .extensions
                .iter()
                .filter_map(|extension| extension.schema.target(Some(&extension.schema.id), path));
            match (found.next(), found.next()) {
                (Some(only), None) => Some((only, Some(Tolerance::ExtensionWithoutUrn))),
                // Of two extensions with the name, either may be meant.
                (Some(_), Some(_)) | (None, _) => None,
            }
        }
        // The last colon was taken for the end of the URN, and so the dot for that of the name.
        (None, AttrPath { schema: Some(urn), attr, sub: Some(sub) }) => {
            let schema = Some(format!("{urn}:{attr}"));
            let path = AttrPath { schema, attr: sub.clone(), sub: None };
            kind.resolve(&path).map(|target| (target, Some(Tolerance::DotAfterUrn)))
        }
        (None, _) => None,
    }
}

impl Default for Leeway<'_> {
    fn default() -> Self {
        Self::of(&Policy::default())
    }
}

/// Reads a boolean that was sent as a string.
pub fn boolean(text: &str, leeway: Leeway<'_>) -> Option<bool> {
    // Only these words: `1` or `yes` is more likely a mistake in a mapping.
    let known = [("true", true), ("false", false)];
    let (_, value) = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text))?;
    leeway.tolerates(Tolerance::BooleanAsString).then_some(value)
}

/// Returns the elements of an array, or the one value in the place of an array.
pub fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        one => std::slice::from_ref(one),
    }
}

/// Reads a string in the place of a complex value.
pub fn complex(attribute: &Attribute, value: &Value, leeway: Leeway<'_>) -> Option<Map<String, Value>> {
    attribute.sub_attribute("value").filter(|_| value.is_string())?;
    let object = || Map::from_iter([("value".to_owned(), value.clone())]);
    leeway.tolerates(Tolerance::StringForComplex).then(object)
}

/// Returns true if a complex value with an empty `value` clears the attribute.
pub fn is_cleared(attribute: &Attribute, object: &Map<String, Value>, leeway: Leeway<'_>) -> bool {
    let is_value = |name: &str| name.eq_ignore_ascii_case("value");
    // Any other part that a client can write makes the object more than a sign for nothing.
    let is_empty = |(name, value): (&String, &Value)| match attribute.sub_attribute(name) {
        // A `$ref` follows from the `value`, as a read-only part does.
        Some(sub) if sub.mutability != Mutability::ReadOnly && sub.kind != Type::Reference => {
            value == "" || value.is_null() && !is_value(name)
        }
        Some(_) | None => true,
    };
    // Not for elements of an array: `{"type": "work", "value": ""}` says something.
    !attribute.multi_valued
        && attribute.sub_attribute("value").is_some()
        && object.keys().any(|name| is_value(name))
        && object.iter().all(is_empty)
        && leeway.tolerates(Tolerance::EmptyValueClears)
}

/// Returns the values to remove, out of the `value` of a `remove`.
pub fn removed<'v>(attribute: &Attribute, value: &'v Value, leeway: Leeway<'_>) -> &'v [Value] {
    let wrapped = value
        .as_object()
        .and_then(|object| object.iter().find(|(name, _)| name.eq_ignore_ascii_case(&attribute.name)))
        .filter(|_| leeway.tolerates(Tolerance::WrappedValue));
    elements(wrapped.map_or(value, |(_, inner)| inner))
}

/// Returns the id and the resource type that a reference ends in.
pub fn referred(reference: &str) -> Option<(&str, &'static str)> {
    // The host is not compared: a client may hold references from before a domain moved.
    let (path, id) = reference.rsplit_once('/')?;
    let endpoint = path.rsplit('/').next()?;
    [("Users", "User"), ("Groups", "Group")]
        .into_iter()
        .find_map(|(name, kind)| name.eq_ignore_ascii_case(endpoint).then_some((id, kind)))
}
