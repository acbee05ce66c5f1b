//! An update with its condition, names and values. The same expression serves a
//! single call and an action of a transaction.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// Clauses are written as DynamoDB writes them. A name that DynamoDB reserves is
/// written `#name` and stands for the attribute `name`, unless [`Expression::name`]
/// says otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expression {
    sets: Vec<String>,
    adds: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

/// The parts of an expression as the SDK takes them; `None` where DynamoDB refuses an
/// empty one.
pub(crate) struct Rendered {
    pub(crate) update: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) names: Option<HashMap<String, String>>,
    pub(crate) values: Option<HashMap<String, AttributeValue>>,
}

impl Expression {
    /// Begins an expression that applies where `condition` holds.
    pub(crate) fn when(condition: impl Into<String>) -> Self {
        Self::default().and(condition)
    }

    /// Adds a condition. All conditions of an expression must hold.
    pub(crate) fn and(mut self, condition: impl Into<String>) -> Self {
        self.conditions.push(condition.into());
        self
    }

    pub(crate) fn set(mut self, clause: impl Into<String>) -> Self {
        self.sets.push(clause.into());
        self
    }

    pub(crate) fn add(mut self, clause: impl Into<String>) -> Self {
        self.adds.push(clause.into());
        self
    }

    pub(crate) fn remove(mut self, path: impl Into<String>) -> Self {
        self.removes.push(path.into());
        self
    }

    pub(crate) fn name(mut self, placeholder: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.names.insert(placeholder.into(), attribute.into());
        self
    }

    pub(crate) fn value(mut self, placeholder: impl Into<String>, value: AttributeValue) -> Self {
        self.values.insert(placeholder.into(), value);
        self
    }

    pub(crate) fn render(self) -> Rendered {
        let clause = |verb: &str, clauses: &[String]| {
            (!clauses.is_empty()).then(|| format!("{verb} {}", clauses.join(", ")))
        };
        let clauses: Vec<String> =
            [clause("SET", &self.sets), clause("ADD", &self.adds), clause("REMOVE", &self.removes)]
                .into_iter()
                .flatten()
                .collect();
        let update = (!clauses.is_empty()).then(|| clauses.join(" "));
        let condition = (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "));
        let mut names = HashMap::new();
        // DynamoDB refuses a name that no clause uses, so names come from the clauses.
        for placeholder in update.iter().chain(&condition).flat_map(|text| placeholders(text)) {
            let attribute =
                self.names.get(placeholder).map_or(placeholder.trim_start_matches('#'), String::as_str);
            names.insert(placeholder.to_owned(), attribute.to_owned());
        }
        Rendered {
            update,
            condition,
            names: (!names.is_empty()).then_some(names),
            values: (!self.values.is_empty()).then_some(self.values),
        }
    }
}

/// Returns each `#name` of a clause.
fn placeholders(clause: &str) -> impl Iterator<Item = &str> {
    let is_outside = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '#');
    clause.split(is_outside).filter(|word| word.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::Expression;
    use crate::store::dynamo::item::number;

    #[test]
    fn names_are_those_that_the_clauses_use() {
        let rendered = Expression::when("#version = :seen")
            .and("attribute_not_exists(#a0)")
            .name("#a0", "active")
            .name("#unused", "unused")
            .set("#resource.#a0 = :a0")
            .remove("roster.staged")
            .add("c00 :one")
            .value(":seen", number(1))
            .render();
        assert_eq!(
            rendered.update.as_deref(),
            Some("SET #resource.#a0 = :a0 ADD c00 :one REMOVE roster.staged")
        );
        assert_eq!(rendered.condition.as_deref(), Some("#version = :seen AND attribute_not_exists(#a0)"));
        let mut names: Vec<_> = rendered.names.unwrap().into_iter().collect();
        names.sort();
        let expected = [("#a0", "active"), ("#resource", "resource"), ("#version", "version")];
        assert_eq!(names, expected.map(|(name, attribute)| (name.to_owned(), attribute.to_owned())));
        let none = Expression::default().render();
        assert!(
            none.update.is_none()
                && none.condition.is_none()
                && none.names.is_none()
                && none.values.is_none()
        );
    }
}
