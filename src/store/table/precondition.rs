//! `If-Match` and `If-None-Match` as the condition of a write.

use crate::scim::etag::Precondition;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::number;
use crate::store::limits::MAX_OPERANDS;

impl Precondition {
    /// Returns true if a condition can express what the client demands.
    pub(crate) fn is_expressible(&self) -> bool {
        match self {
            Self::Exists => true,
            // No version matches an empty list, and DynamoDB refuses an empty `IN`.
            Self::OneOf(versions) | Self::NoneOf(versions) => (1..=MAX_OPERANDS).contains(&versions.len()),
        }
    }

    /// Adds the versions that the client demands to a write without a read. A write of an
    /// observed item needs none of them: it demands exactly the version that was compared.
    pub(crate) fn add_to(&self, expression: Expression) -> Expression {
        let (versions, operator) = match self {
            Self::Exists => return expression,
            Self::OneOf(versions) => (versions, ""),
            Self::NoneOf(versions) => (versions, "NOT "),
        };
        let names: Vec<String> = (0..versions.len()).map(|index| format!(":v{index}")).collect();
        let expression = expression.and(format!("{operator}#version IN ({})", names.join(", ")));
        names
            .into_iter()
            .zip(versions)
            .fold(expression, |expression, (name, version)| expression.value(name, number(version.0)))
    }
}
