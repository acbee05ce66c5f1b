//! The census counts the resources of a type by the first twelve bits of their ids: 256
//! rows of 16 counters, written by the transactions that create and delete. Its sum is
//! the exact total, and its prefix sums give the id at which a page begins, so that page
//! 1,000 costs what page 1 costs.

use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Item, number};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::table::directory::Collection;

/// Counters of one row. Of an id's twelve bits, the first eight choose the row and the
/// others the counter.
const COUNTERS: u16 = 16;

/// The counters in the order of the ids that they count.
pub(crate) struct Census(Vec<(u16, usize)>);

/// Returns the row and the counter of an id.
pub(crate) fn counter_of(id: &str) -> (u16, u16) {
    // Ids are UUIDs that the store made, so the first three digits exist.
    let prefix = id.get(..3).and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or_default();
    (prefix / COUNTERS, prefix % COUNTERS)
}

pub(crate) fn counter_name(counter: u16) -> String {
    format!("c{counter:x}")
}

impl Collection<'_> {
    /// Makes the action that counts a resource as created (1) or deleted (-1).
    pub(crate) fn count_action(self, id: &str, change: i8) -> Action {
        // Transactions on one item conflict. Random ids spread creations over 256 rows.
        let (row, counter) = counter_of(id);
        let count = Expression::default()
            .add("#counter :change")
            .name("#counter", counter_name(counter))
            .value(":change", number(change));
        Action::Update(self.census_key(row), count)
    }

    /// Returns the number of resources of the type.
    pub async fn total(self) -> Result<usize, Error> {
        Ok(self.census().await?.total())
    }

    pub(crate) async fn census(self) -> Result<Census, Error> {
        // 256 rows of 16 counters are about 40 kB, which is one page.
        // Eventually consistent, at half the price: a total is out of date once it is shown.
        let rows = self.table().query(self.census_partition()).next_page().await?;
        Ok(Census::read(&rows.unwrap_or_default()))
    }
}

impl Census {
    fn read(rows: &[Item]) -> Self {
        let mut counters: Vec<(u16, usize)> = rows
            .iter()
            .filter_map(|item| {
                let row = u16::from_str_radix(item.get("sk")?.as_s().ok()?, 16).ok()?;
                Some((row, item))
            })
            .flat_map(|(row, item)| {
                (0..COUNTERS).filter_map(move |counter| {
                    let count = item.get(&counter_name(counter))?.as_n().ok()?.parse().ok()?;
                    Some((row * COUNTERS + counter, count))
                })
            })
            .collect();
        counters.sort_unstable();
        Self(counters)
    }

    pub(crate) fn total(&self) -> usize {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Returns the id prefix of the resource at this place (from 0), and how many
    /// resources with that prefix come before it.
    pub(crate) fn find(&self, place: usize) -> Option<(String, usize)> {
        let mut before = 0;
        for (prefix, count) in &self.0 {
            if place < before + count {
                return Some((format!("{prefix:03x}"), place - before));
            }
            before += count;
        }
        None
    }
}
