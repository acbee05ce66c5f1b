//! In which order the operations of a bulk request may happen (RFC 7644 s3.7).
//!
//! As many as possible at once, so long as what comes of it is what would come of
//! one after the other. An operation waits
//! * until the resources exist that it names by their `bulkId`, be they created by
//!   operations before it or after it,
//! * for each operation before it which touches the same resource, or claims the
//!   same unique value.
//!
//! Where operations wait for each other in a circle (s3.7.1), one of them creates
//! its resource without what it cannot name yet, and adds that later.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::scim::bulk::bulk_id;
use crate::scim::bulk::{Bulk, Method, Operation};
use crate::scim::message::member;
use crate::scim::registry::Registry;
use crate::scim::schema::ResourceType;

/// What is to be done next; the number is that of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Whole(usize),
    /// The resource alone, without attributes that name what does not exist yet.
    Create(usize),
    /// Those attributes.
    Link(usize),
}

#[derive(Debug)]
pub struct Schedule {
    entries: Vec<Entry>,
    ready: BTreeSet<usize>,
}

#[derive(Debug, Default)]
struct Entry {
    state: State,
    creates: bool,
    /// How many resources it names that do not exist yet.
    names: usize,
    /// How many operations before it are not done.
    follows: usize,
    /// Who names the resource that it creates.
    named_by: Vec<usize>,
    followed_by: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    UnderWay,
    /// Has created its resource, and what is missing in it waits.
    Created,
    Done,
}

/// What an operation touches; two that touch the same are kept in order.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Thing {
    Resource(String),
    /// The resource that the operation of this number creates.
    Created(usize),
    /// A unique value: resource type, attribute, value.
    Value(String, String, String),
    /// All the unique values of a resource type.
    Values(String),
}

/// How it touches it. Operations that do the same may do it at once, unless they
/// change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    Changes,
    Names,
    Claims,
    Frees,
}

impl Schedule {
    pub fn new(bulk: &Bulk, registry: &Registry) -> Self {
        let creators = bulk.creators();
        let targets: HashSet<String> = bulk.operations.iter().filter_map(target).collect();
        let mut entries: Vec<Entry> = Vec::with_capacity(bulk.operations.len());
        entries.resize_with(bulk.operations.len(), Entry::default);
        let mut touched: HashMap<Thing, Vec<(usize, Touch)>> = HashMap::new();
        for (index, operation) in bulk.operations.iter().enumerate() {
            let named = names(operation, &creators);
            for creator in &named {
                if let Some(creator) = entries.get_mut(*creator) {
                    creator.named_by.push(index);
                }
            }
            let mut follows = BTreeSet::new();
            for (thing, touch) in touches(operation, &named, &targets, &creators, registry) {
                let others = touched.entry(thing).or_default();
                let before = others.iter().filter(|(_, other)| *other != touch || touch == Touch::Changes);
                follows.extend(before.map(|(other, _)| *other).filter(|other| *other != index));
                others.push((index, touch));
            }
            for before in &follows {
                if let Some(before) = entries.get_mut(*before) {
                    before.followed_by.push(index);
                }
            }
            if let Some(entry) = entries.get_mut(index) {
                (entry.names, entry.follows, entry.creates) =
                    (named.len(), follows.len(), operation.creates());
            }
        }
        let mut schedule = Self { entries, ready: BTreeSet::new() };
        for index in 0..schedule.entries.len() {
            schedule.consider(index);
        }
        schedule
    }

    /// The first that can be begun. `idle` says that nothing is under way: then
    /// there is always something, until all is done.
    pub fn next(&mut self, idle: bool) -> Option<Step> {
        let index = self.ready.pop_first();
        let entry = index.and_then(|index| Some((index, self.entries.get_mut(index)?)));
        let step = match entry {
            Some((index, Entry { state: State::Created, .. })) => Some(Step::Link(index)),
            Some((index, _)) => Some(Step::Whole(index)),
            None if idle => self.way_out(),
            None => None,
        }?;
        let (Step::Whole(index) | Step::Create(index) | Step::Link(index)) = step;
        self.entries.get_mut(index)?.state = State::UnderWay;
        Some(step)
    }

    /// All wait for each other. A circle of names is broken where nothing is to be
    /// followed; to follow is given up before a resource is created in two steps
    /// out of its order.
    fn way_out(&self) -> Option<Step> {
        let waiting = || self.entries.iter().enumerate().filter(|(_, entry)| entry.state == State::Waiting);
        let circular = |leads: bool| {
            let mut creators = waiting().filter(|(_, entry)| entry.creates && (!leads || entry.follows == 0));
            creators.find(|(index, _)| self.names_itself(*index)).map(|(index, _)| Step::Create(index))
        };
        let nameable = || waiting().find(|(_, entry)| entry.names == 0).map(|(index, _)| Step::Whole(index));
        circular(true).or_else(nameable).or_else(|| circular(false))
    }

    /// Directly or through others.
    fn names_itself(&self, index: usize) -> bool {
        let mut visited = HashSet::new();
        let mut next = vec![index];
        while let Some(entry) = next.pop().and_then(|index| self.entries.get(index)) {
            for by in &entry.named_by {
                if *by == index {
                    return true;
                }
                if visited.insert(*by) {
                    next.push(*by);
                }
            }
        }
        false
    }

    /// The resource of a [`Step::Create`] exists.
    pub fn created(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.state = State::Created;
            self.release_name(index);
            self.consider(index);
        }
    }

    /// The operation is over, well or not.
    pub fn done(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.state = State::Done;
        let followers = std::mem::take(&mut entry.followed_by);
        self.release_name(index);
        for follower in followers {
            if let Some(entry) = self.entries.get_mut(follower) {
                entry.follows = entry.follows.saturating_sub(1);
            }
            self.consider(follower);
        }
    }

    /// To be done once more when all before it is done; `false` if that is so.
    pub fn again(&mut self, index: usize) -> bool {
        let mut follows = 0;
        for before in self.entries.iter_mut().take(index).filter(|before| before.state != State::Done) {
            before.followed_by.push(index);
            follows += 1;
        }
        if let Some(entry) = self.entries.get_mut(index).filter(|_| follows > 0) {
            (entry.state, entry.follows) = (State::Waiting, follows);
        }
        follows > 0
    }

    fn release_name(&mut self, index: usize) {
        let waiting = self.entries.get_mut(index).map(|entry| std::mem::take(&mut entry.named_by));
        for waiting in waiting.unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(waiting) {
                entry.names = entry.names.saturating_sub(1);
            }
            self.consider(waiting);
        }
    }

    fn consider(&mut self, index: usize) {
        let is_ready = self.entries.get(index).is_some_and(|entry| match entry.state {
            State::Waiting => entry.names == 0 && entry.follows == 0,
            State::Created => entry.names == 0,
            State::UnderWay | State::Done => false,
        });
        if is_ready {
            self.ready.insert(index);
        }
    }
}

/// The operations that create what this one names.
fn names(operation: &Operation, creators: &HashMap<&str, usize>) -> BTreeSet<usize> {
    let Ok(asked) = &operation.asked else { return BTreeSet::new() };
    let named = bulk_id::named(&asked.path, &asked.data);
    named.iter().filter_map(|bulk_id| creators.get(bulk_id.as_str()).copied()).collect()
}

/// The resource that an operation names in its path.
fn target(operation: &Operation) -> Option<String> {
    let asked = operation.asked.as_ref().ok().filter(|asked| asked.method != Method::Post)?;
    asked.path.trim_end_matches('/').rsplit('/').next().map(str::to_ascii_lowercase)
}

fn touches(
    operation: &Operation,
    named: &BTreeSet<usize>,
    targets: &HashSet<String>,
    creators: &HashMap<&str, usize>,
    registry: &Registry,
) -> Vec<(Thing, Touch)> {
    let Ok(asked) = &operation.asked else { return Vec::new() };
    let target = target(operation);
    let of_bulk_id = target.as_ref().and_then(|_| bulk_id::named(&asked.path, &Value::Null).pop());
    let created = of_bulk_id.and_then(|bulk_id| creators.get(bulk_id.as_str()).copied());
    let mut touches: Vec<(Thing, Touch)> = Vec::new();
    touches.extend(
        named
            .iter()
            .filter(|creator| Some(**creator) != created)
            .map(|creator| (Thing::Created(*creator), Touch::Names)),
    );
    match (created, &target) {
        (Some(created), _) => touches.push((Thing::Created(created), Touch::Changes)),
        (None, Some(target)) => touches.push((Thing::Resource(target.clone()), Touch::Changes)),
        (None, None) => {}
    }
    let mut mentioned = HashSet::new();
    mentions(&asked.data, targets, &mut mentioned);
    mentioned.retain(|id| Some(id) != target.as_ref());
    touches.extend(mentioned.into_iter().map(|id| (Thing::Resource(id), Touch::Names)));
    let endpoint = asked.path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let Some(kind) = registry.at(endpoint) else { return touches };
    match asked.method {
        Method::Post | Method::Put => {
            touches.push((Thing::Values(kind.name.clone()), Touch::Claims));
            let values = claims(kind, &asked.data);
            touches.extend(values.into_iter().map(|value| (value, Touch::Changes)));
        }
        Method::Delete => touches.push((Thing::Values(kind.name.clone()), Touch::Frees)),
        Method::Patch => {}
    }
    touches
}

/// Those of `targets` that the texts of a value mention, wherever in them.
fn mentions(value: &Value, targets: &HashSet<String>, found: &mut HashSet<String>) {
    match value {
        Value::String(text) => {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            found.extend(words.map(str::to_ascii_lowercase).filter(|word| targets.contains(word)));
        }
        Value::Array(elements) => elements.iter().for_each(|element| mentions(element, targets, found)),
        Value::Object(members) => members.values().for_each(|value| mentions(value, targets, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The unique values of a resource as it was sent. Spelt otherwise they may still
/// be the same; then the later of two operations is done again, after the earlier.
fn claims(kind: &ResourceType, data: &Value) -> Vec<Thing> {
    let unique = kind.unique.iter().filter_map(|path| {
        let object = match &path.schema {
            Some(urn) => member(data, urn)?,
            None => data,
        };
        let value = member(object, &path.attr)?.as_str()?;
        Some(Thing::Value(kind.name.clone(), path.to_string(), value.to_lowercase()))
    });
    unique.collect()
}
