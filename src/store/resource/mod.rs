//! Reading and writing one resource, of any type.

pub(crate) mod actions;
pub(crate) mod update;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::scim::error::Result as ScimResult;
use crate::scim::etag::{Precondition, Version};
use crate::scim::member::Member;
use crate::scim::policy::Policy;
use crate::scim::resource::{Attributes, Resource};
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction::{self, Outcome};
use crate::store::error::Error;
use crate::store::group::initial::Enrolled;
use crate::store::resource::actions::{not_owned, taken};
use crate::store::resource::update::{Written, is_expressible};
use crate::store::table::audit_trail::AuditTrail;
use crate::store::table::keys::{self, IndexKeys, Key, TenantName};
use crate::store::table::resource_item::{ResourceItem, check_size, hour};
use crate::store::table::visibility::Visibility;

/// Rows of unique and look-up values that a resource may have, and that one change
/// may put and delete: a transaction holds 100 actions, and others beside these.
pub const MAX_INDEX_ROWS: usize = 96;

/// One write: who asks, for which type, and when.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    pub tenant: &'a TenantName,
    pub kind: &'a ResourceType,
    pub policy: &'a Policy,
    pub now: Timestamp,
    /// Where it is noted that it happened.
    pub trail: &'a AuditTrail,
}

/// A change of one resource.
pub struct Change<'a> {
    /// The whole change as one conditional write, where it can be told without
    /// the present state.
    pub unseen: Option<Unseen<'a>>,
    /// The attributes after the change, from those before; `None` if there is
    /// nothing to change. Called again for each state that the resource is found
    /// in, until a write meets the state that it was made from.
    pub apply: Apply<'a>,
}

pub type Apply<'a> = &'a (dyn Fn(&Attributes) -> ScimResult<Option<Attributes>> + Sync);

pub enum Unseen<'a> {
    /// These attributes in the place of all others.
    Replace(&'a Attributes),
    /// These values, of attributes that have no index rows.
    Set(Vec<(&'a str, &'a Value)>),
}

impl Store {
    pub async fn get(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        id: &str,
    ) -> Result<Option<Resource>, Error> {
        if !is_id(id) {
            return Ok(None);
        }
        Ok(self.read(Key::resource(tenant, kind, id)).await?.map(ResourceItem::into_resource))
    }

    pub(crate) async fn read(&self, key: Key) -> Result<Option<ResourceItem>, Error> {
        const OPERATION: &str = "GetItem";
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Error::sdk(OPERATION, &error))?;
        answer.item.map(|item| ResourceItem::read(OPERATION, item)).transpose()
    }

    /// One transaction: the resource, its rows, one more in the census, its members.
    pub async fn create(
        &self,
        write: Write<'_>,
        attributes: Attributes,
        members: Vec<Member>,
    ) -> Result<Resource, Error> {
        let id = (self.ids)().to_string();
        let keys = checked_keys(write, &id, &attributes)?;
        let mut stored = ResourceItem {
            pk: keys::resources(write.tenant, write.kind),
            sk: id.clone(),
            version: Version::FIRST.0,
            write_id: (self.ids)().to_string(),
            previous_write_id: None,
            created: write.now,
            modified: write.now,
            index_digest: keys.digest(),
            change_pk: keys::changes(write.tenant, write.kind),
            hour: hour(write.now),
            resource: attributes,
            visibility: write.kind.members.is_some().then(Visibility::default),
        };
        let mut retry = Retry::new(&*self.jitter);
        let mut guess = true;
        let elements = loop {
            let Enrolled { actions: enrolment, elements } =
                self.enrol(write, &mut stored, &keys, &members, guess).await?;
            let mut actions = vec![self.put_new(stored.clone())?];
            actions.extend(self.put_rows(&keys, &id)?);
            actions.push(self.count(write, &id, 1)?);
            actions.extend(enrolment);
            match self.transact(actions, &mut retry).await {
                // Nobody else makes this id: if it is there, an attempt whose answer was
                // lost has won.
                Ok(Outcome::Done | Outcome::Failed { action: 0, .. }) => break elements,
                Ok(Outcome::Failed { action, old, .. }) if action <= keys.unique.len() => {
                    return Err(taken(write.kind, &keys, action, old.as_ref()));
                }
                // A member is not of the type that was guessed.
                Ok(Outcome::Failed { .. }) if guess => guess = false,
                Ok(Outcome::Failed { .. }) => {
                    return Err(Error::Busy { operation: transaction::OPERATION });
                }
                Err(error) => {
                    self.settle(error, write, &id, |there| there.map(|_| ())).await?;
                    break elements;
                }
            }
        };
        let mut resource = stored.into_resource();
        let shown = write.kind.members.as_ref().filter(|_| !elements.is_empty());
        let names = resource.attributes.keys().chain(shown).cloned().collect();
        write.note_created(&id, names);
        if let Some(name) = write.kind.members.as_ref().filter(|_| !elements.is_empty()) {
            resource.attributes.insert(name.clone(), elements.into());
        }
        Ok(resource)
    }

    /// A conditional write that another writer may win: then the change is
    /// applied to what that one left, and tried again.
    pub async fn update(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
        change: Change<'_>,
    ) -> Result<Resource, Error> {
        if !is_id(id) {
            return Err(Error::NotFound);
        }
        let write_id = (self.ids)().to_string();
        let mut retry = Retry::new(&*self.jitter);
        let mut unseen = change.unseen.filter(|_| is_expressible(precondition));
        let mut told: Option<ResourceItem> = None;
        loop {
            let was_told = told.is_some();
            let written = if let Some(unseen) = unseen.take() {
                self.write_unseen(write, id, precondition, &unseen, &write_id, &mut retry).await
            } else {
                let seen = self.seen(told.take(), write, id, &mut retry).await?;
                if !seen.is_by(&write_id) && !precondition.holds(Version(seen.version)) {
                    return Err(Error::VersionMismatch);
                }
                self.revise(write, seen, change.apply, &write_id, &mut retry).await
            };
            match written {
                Ok(Written::Done(stored)) => return Ok(stored.into_resource()),
                Ok(Written::Failed(None)) => return Err(Error::NotFound),
                Ok(Written::Failed(there)) if !was_told => told = there,
                Ok(Written::Failed(Some(_))) if retry.pause().await => {}
                Ok(Written::Failed(Some(_))) => return Err(Error::Busy { operation: "UpdateItem" }),
                Err(error) => {
                    let won = |there: Option<ResourceItem>| there.filter(|there| there.is_by(&write_id));
                    let there = self.settle(error, write, id, won).await?;
                    write.note_found(&there, &write_id);
                    return Ok(there.into_resource());
                }
            }
        }
    }

    /// Nothing is written if the write had won before, or changes nothing.
    async fn revise(
        &self,
        write: Write<'_>,
        seen: ResourceItem,
        apply: Apply<'_>,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<Written, Error> {
        if seen.is_by(write_id) {
            write.note_found(&seen, write_id);
            return Ok(Written::Done(seen));
        }
        match apply(&seen.resource)? {
            Some(attributes) => self.write_seen(write, &seen, attributes, write_id, retry).await,
            None => Ok(Written::Done(seen)),
        }
    }

    /// Deletes the resource and its rows, takes one from the census, and then takes
    /// it out of the groups that it is in. A staged change of its members is lost
    /// with it.
    pub async fn delete(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
        groups: &[&ResourceType],
    ) -> Result<(), Error> {
        self.delete_alone(write, id, precondition).await?;
        self.leave_at_once(write, groups, id).await;
        Ok(())
    }

    async fn delete_alone(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
    ) -> Result<(), Error> {
        if !is_id(id) {
            return Err(Error::NotFound);
        }
        let mut retry = Retry::new(&*self.jitter);
        let mut told = None;
        loop {
            let was_told = told.is_some();
            let seen = match told.take() {
                Some(told) => told,
                None => {
                    self.read(Key::resource(write.tenant, write.kind, id)).await?.ok_or(Error::NotFound)?
                }
            };
            if !precondition.holds(Version(seen.version)) {
                return Err(Error::VersionMismatch);
            }
            let keys = IndexKeys::of(write.tenant, write.kind, id, &seen.resource);
            let mut actions = vec![self.delete_seen(&seen)?];
            actions.extend(self.delete_rows(&keys, id)?);
            actions.push(self.count(write, id, -1)?);
            actions.push(self.put_left(write, id)?);
            match self.transact(actions, &mut retry).await {
                Ok(Outcome::Done) => {
                    write.note_deleted(id, Some(seen.version));
                    return Ok(());
                }
                Ok(Outcome::Failed { action: 0, old: None, .. }) => return Err(Error::NotFound),
                Ok(Outcome::Failed { action: 0, old: Some(there), .. }) if !was_told => {
                    told = Some(ResourceItem::read(transaction::OPERATION, there)?);
                }
                Ok(Outcome::Failed { action: 0, .. }) if retry.pause().await => {}
                Ok(Outcome::Failed { action: 0, .. }) => {
                    return Err(Error::Busy { operation: transaction::OPERATION });
                }
                Ok(Outcome::Failed { action, .. }) => return Err(not_owned(action)),
                Err(error) => {
                    self.settle(error, write, id, |there| there.is_none().then_some(())).await?;
                    write.note_deleted(id, None);
                    return Ok(());
                }
            }
        }
    }

    /// What a failed condition told is as fresh as a read. Whoever fails on it, too,
    /// is one of many: he waits, and then reads.
    async fn seen(
        &self,
        told: Option<ResourceItem>,
        write: Write<'_>,
        id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<ResourceItem, Error> {
        match told {
            Some(told) if !told.is_marked() => Ok(told),
            Some(_) | None => self.unmarked(write, id, retry).await,
        }
    }

    /// A write that ended without an answer, or in the way of others, may have won
    /// with one of its attempts. What is there now tells, if it can be read.
    pub(crate) async fn settle<T>(
        &self,
        error: Error,
        write: Write<'_>,
        id: &str,
        won: impl FnOnce(Option<ResourceItem>) -> Option<T>,
    ) -> Result<T, Error> {
        if !matches!(error, Error::Unavailable { .. } | Error::Busy { .. }) {
            return Err(error);
        }
        match self.read(Key::resource(write.tenant, write.kind, id)).await {
            Ok(there) => won(there).ok_or(error),
            Err(_) => Err(error),
        }
    }
}

/// Every id is a UUID of the store's making. No other text leads anywhere, and
/// some is no key at all: DynamoDB takes none that is empty or over 1,024 bytes.
pub(crate) fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

/// What a change gains, if it does not move too much at once.
pub(crate) fn gained(old: &IndexKeys, new: &IndexKeys) -> Result<IndexKeys, Error> {
    let gained = new.without(old);
    match gained.len() + old.without(new).len() {
        moves if moves > MAX_INDEX_ROWS => Err(Error::TooManyMoves { moves }),
        _ => Ok(gained),
    }
}

pub(crate) fn checked_keys(write: Write<'_>, id: &str, attributes: &Attributes) -> Result<IndexKeys, Error> {
    check_size(attributes)?;
    let keys = IndexKeys::of(write.tenant, write.kind, id, attributes);
    match keys.len() {
        values if values > MAX_INDEX_ROWS => Err(Error::TooManyValues { values }),
        _ => Ok(keys),
    }
}
