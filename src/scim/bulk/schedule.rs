//! The order in which the operations of a bulk request may be carried out (RFC 7644
//! s3.7).
//!
//! As many as possible run at the same time, as long as the result is that of running
//! them one by one. An operation waits
//! * until the resources exist that it refers to by `bulkId`, no matter whether
//!   earlier or later operations create them; if it changes one of them, until that
//!   creation is over,
//! * for each earlier operation that touches the same resource or claims the same
//!   unique value.
//!
//! Where operations wait for each other in a circle (s3.7.1), one of them creates its
//! resource without the references that cannot be resolved yet, and adds them later.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::scim::attr_path::AttrPath;
use crate::scim::bulk::bulk_id;
use crate::scim::bulk::{Bulk, Method, Operation};
use crate::scim::message::member;
use crate::scim::registry::Registry;
use crate::scim::schema::ResourceType;

/// The next piece of work, with the number of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The operation as it was sent.
    Whole(usize),
    /// The creation of a resource without attributes that refer to a missing one.
    Create(usize),
    /// The addition of those attributes.
    Link(usize),
}

/// A dependency graph of the operations.
#[derive(Debug)]
pub struct Schedule {
    nodes: Vec<Node>,
    ready: BTreeSet<usize>,
}

#[derive(Debug, Default)]
struct Node {
    state: State,
    creates: bool,
    /// The number of resources that it refers to and that do not exist yet.
    missing: usize,
    /// The number of operations that must be over before it.
    waits_for: usize,
    /// The operations that refer to the resource that it creates.
    referrers: Vec<usize>,
    /// The later operations that wait for it.
    followers: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    Running,
    /// The resource was created, and its references wait.
    Created,
    Done,
}

/// An object that operations compete for.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Object<'a> {
    /// A resource, by its id in lower case.
    Resource(&'a str),
    /// The resource that the operation of this number creates.
    Created(usize),
    /// A unique value: resource type, attribute, value.
    Value(&'a str, &'a AttrPath, String),
    /// All the unique values of a resource type.
    Values(&'a str),
}

/// The mode in which an operation uses an object. Operations of the same mode may run
/// at the same time, unless they change the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Change,
    Refer,
    Claim,
    Release,
}

impl Schedule {
    pub fn new(bulk: &Bulk, registry: &Registry) -> Self {
        let targets: HashSet<String> = bulk.operations.iter().filter_map(target).collect();
        let uses = Uses { targets: &targets, creators: &bulk.creators(), registry };
        let mut nodes: Vec<Node> = Vec::with_capacity(bulk.operations.len());
        nodes.resize_with(bulk.operations.len(), Node::default);
        let mut accesses: HashMap<Object<'_>, Vec<(usize, Access)>> = HashMap::new();
        for (index, operation) in bulk.operations.iter().enumerate() {
            let referred = uses.referred(operation);
            for creator in &referred {
                if let Some(creator) = nodes.get_mut(*creator) {
                    creator.referrers.push(index);
                }
            }
            // A set: two operations may share several objects, and one of them is done once.
            let mut before = BTreeSet::new();
            for (object, access) in uses.of(operation, &referred) {
                // Until the creation is over, not only until the resource exists: a link that
                // follows later would undo the change.
                if let (Object::Created(creator), Access::Change) = (&object, access) {
                    before.insert(*creator);
                }
                let others = accesses.entry(object).or_default();
                let rivals = others.iter().filter(|(_, other)| *other != access || access == Access::Change);
                before.extend(rivals.map(|(other, _)| *other).filter(|other| *other != index));
                others.push((index, access));
            }
            for other in &before {
                if let Some(other) = nodes.get_mut(*other) {
                    other.followers.push(index);
                }
            }
            if let Some(node) = nodes.get_mut(index) {
                (node.missing, node.waits_for, node.creates) =
                    (referred.len(), before.len(), operation.creates());
            }
        }
        let mut schedule = Self { nodes, ready: BTreeSet::new() };
        for index in 0..schedule.nodes.len() {
            schedule.consider(index);
        }
        schedule
    }

    /// Returns the first step that can be begun. If nothing is running (`idle`), there
    /// is one until all operations are done.
    pub fn next(&mut self, idle: bool) -> Option<Step> {
        let index = self.ready.pop_first();
        let node = index.and_then(|index| Some((index, self.nodes.get_mut(index)?)));
        let step = match node {
            Some((index, Node { state: State::Created, .. })) => Some(Step::Link(index)),
            Some((index, _)) => Some(Step::Whole(index)),
            // Only when idle: a running operation may still resolve what others wait for.
            None if idle => self.break_circle(),
            None => None,
        }?;
        let (Step::Whole(index) | Step::Create(index) | Step::Link(index)) = step;
        self.nodes.get_mut(index)?.state = State::Running;
        Some(step)
    }

    /// Returns a step for the case that all operations wait for each other.
    fn break_circle(&self) -> Option<Step> {
        let waiting = || self.nodes.iter().enumerate().filter(|(_, node)| node.state == State::Waiting);
        let circular = |in_order: bool| {
            let mut creators =
                waiting().filter(|(_, node)| node.creates && (!in_order || node.waits_for == 0));
            creators.find(|(index, _)| self.refers_to_itself(*index)).map(|(index, _)| Step::Create(index))
        };
        let resolved = || waiting().find(|(_, node)| node.missing == 0).map(|(index, _)| Step::Whole(index));
        // From the least harm to the greatest: a creation in two steps in its turn, then a
        // whole operation out of its turn, then a creation in two steps out of its turn.
        circular(true).or_else(resolved).or_else(|| circular(false))
    }

    /// Returns true if the operation refers to its own resource, directly or through
    /// others.
    fn refers_to_itself(&self, index: usize) -> bool {
        let mut visited = HashSet::new();
        let mut next = vec![index];
        while let Some(node) = next.pop().and_then(|index| self.nodes.get(index)) {
            for referrer in &node.referrers {
                if *referrer == index {
                    return true;
                }
                if visited.insert(*referrer) {
                    next.push(*referrer);
                }
            }
        }
        false
    }

    /// Notes that the resource of a [`Step::Create`] exists.
    pub fn created(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.state = State::Created;
            self.release_referrers(index);
            self.consider(index);
        }
    }

    /// Notes that an operation is over, successfully or not.
    pub fn done(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        node.state = State::Done;
        let followers = std::mem::take(&mut node.followers);
        // After a failure, too: the referrers then fail by themselves, with an error that
        // names the `bulkId`. Left waiting, they would never be answered.
        self.release_referrers(index);
        for follower in followers {
            if let Some(node) = self.nodes.get_mut(follower) {
                // Saturating: `break_circle` may have begun a follower that still waited.
                node.waits_for = node.waits_for.saturating_sub(1);
            }
            self.consider(follower);
        }
    }

    /// Schedules an operation again, after all earlier ones. Returns false if those are
    /// done.
    pub fn requeue(&mut self, index: usize) -> bool {
        let mut earlier = 0;
        for node in self.nodes.iter_mut().take(index).filter(|node| node.state != State::Done) {
            // It may follow some of them already, and must wait for each of them once.
            if !node.followers.contains(&index) {
                node.followers.push(index);
            }
            earlier += 1;
        }
        if let Some(node) = self.nodes.get_mut(index).filter(|_| earlier > 0) {
            (node.state, node.waits_for) = (State::Waiting, earlier);
        }
        earlier > 0
    }

    fn release_referrers(&mut self, index: usize) {
        let referrers = self.nodes.get_mut(index).map(|node| std::mem::take(&mut node.referrers));
        for referrer in referrers.unwrap_or_default() {
            if let Some(node) = self.nodes.get_mut(referrer) {
                node.missing = node.missing.saturating_sub(1);
            }
            self.consider(referrer);
        }
    }

    fn consider(&mut self, index: usize) {
        let is_ready = self.nodes.get(index).is_some_and(|node| match node.state {
            State::Waiting => node.missing == 0 && node.waits_for == 0,
            // Its turn came before it created the resource: earlier operations do not count.
            State::Created => node.missing == 0,
            State::Running | State::Done => false,
        });
        if is_ready {
            self.ready.insert(index);
        }
    }
}

/// The data by which the objects of an operation are found.
struct Uses<'a> {
    /// The resources that the paths of the request name.
    targets: &'a HashSet<String>,
    creators: &'a HashMap<&'a str, usize>,
    registry: &'a Registry,
}

impl<'a> Uses<'a> {
    /// Returns the operations that create the resources that this one refers to.
    fn referred(&self, operation: &Operation) -> BTreeSet<usize> {
        let Ok(request) = &operation.request else { return BTreeSet::new() };
        let named = bulk_id::named(&request.path, &request.data);
        named.iter().filter_map(|bulk_id| self.creator(bulk_id)).collect()
    }

    fn creator(&self, bulk_id: &str) -> Option<usize> {
        self.creators.get(bulk_id).copied()
    }

    fn of(&self, operation: &Operation, referred: &BTreeSet<usize>) -> Vec<(Object<'a>, Access)> {
        let Ok(request) = &operation.request else { return Vec::new() };
        let target = target(operation).and_then(|id| self.targets.get(&id)).map(String::as_str);
        let bulk_id = target.and_then(|_| bulk_id::named(&request.path, &Value::Null).pop());
        let created = bulk_id.and_then(|bulk_id| self.creator(&bulk_id));
        let mut uses: Vec<(Object<'a>, Access)> = Vec::new();
        let others = referred.iter().filter(|creator| Some(**creator) != created);
        uses.extend(others.map(|creator| (Object::Created(*creator), Access::Refer)));
        match (created, target) {
            (Some(created), _) => uses.push((Object::Created(created), Access::Change)),
            (None, Some(target)) => uses.push((Object::Resource(target), Access::Change)),
            (None, None) => {}
        }
        let mut mentioned = HashSet::new();
        mentions(&request.data, self.targets, &mut mentioned);
        mentioned.retain(|id| Some(*id) != target);
        uses.extend(mentioned.into_iter().map(|id| (Object::Resource(id), Access::Refer)));
        let endpoint = request.path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let Some(kind) = self.registry.at(endpoint) else { return uses };
        match request.method {
            Method::Post | Method::Put => {
                uses.push((Object::Values(&kind.name), Access::Claim));
                let values = claims(kind, &request.data);
                uses.extend(values.into_iter().map(|value| (value, Access::Change)));
            }
            // Only the directory knows which values a deletion releases, so it is kept in
            // order with every claim of its type.
            Method::Delete => uses.push((Object::Values(&kind.name), Access::Release)),
            // A PATCH may claim a value, too, but seldom does. If it loses to an earlier
            // operation that is still running, it is requeued.
            Method::Patch => {}
        }
        uses
    }
}

/// Returns the resource that an operation names in its path.
fn target(operation: &Operation) -> Option<String> {
    let request = operation.request.as_ref().ok().filter(|request| request.method != Method::Post)?;
    request.path.trim_end_matches('/').rsplit('/').next().map(str::to_ascii_lowercase)
}

/// Finds the `targets` that the texts of a value mention.
fn mentions<'a>(value: &Value, targets: &'a HashSet<String>, found: &mut HashSet<&'a str>) {
    match value {
        // Word by word, since an id may be within a filter or at the end of a URI. A text
        // that holds one by chance costs an unnecessary wait, and nothing else.
        Value::String(text) => {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            found
                .extend(words.filter_map(|word| targets.get(&word.to_ascii_lowercase()).map(String::as_str)));
        }
        Value::Array(elements) => elements.iter().for_each(|element| mentions(element, targets, found)),
        Value::Object(members) => members.values().for_each(|value| mentions(value, targets, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the unique values that a resource has as it was sent.
fn claims<'a>(kind: &'a ResourceType, data: &Value) -> Vec<Object<'a>> {
    let unique = kind.unique.iter().filter_map(|path| {
        let object = match &path.schema {
            Some(urn) => member(data, urn)?,
            None => data,
        };
        // Lower case is not all of `fold`, so two equal values may seem different here. The
        // later operation then fails by the earlier one's value, and is requeued.
        let value = member(object, &path.attr)?.as_str()?;
        Some(Object::Value(&kind.name, path, value.to_lowercase()))
    });
    unique.collect()
}
