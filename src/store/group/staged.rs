//! A change of more members than one transaction holds, still all or nothing.
//!
//! 1. A job is put, so that nothing is forgotten if the process dies.
//! 2. The group is marked: from here on nobody else changes it.
//! 3. The memberships are written in conditional batches, tagged with the number
//!    of the change. Under the mark they do not count.
//! 4. One transaction on the group commits: from here on they do.
//!
//! Whoever finds a mark that is older than its lease aborts the change by one
//! write of the group, which makes all its tags void for good, those that a dead
//! process has still to write included.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use jiff::SignedDuration;

use crate::store::Store;
use crate::store::dynamo::batch::Statement;
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction::Outcome;
use crate::store::error::{Error, held};
use crate::store::group::change::Edits;
use crate::store::group::edits::joins;
use crate::store::resource::Write;
use crate::store::resource::actions::{Joins, MARKED, SEEN, UNMARKED, not_owned, taken};
use crate::store::table::keys::Key;
use crate::store::table::membership::{Membership, ResolvedMember};
use crate::store::table::resource_item::{ResourceItem, attribute_value, number};
use crate::store::table::visibility::{Staged, Tags, Visibility};

const OPERATION: &str = "UpdateItem";

/// Members that one request may add and remove.
pub(crate) const MAX_STAGED: usize = 20_000;

/// A request ends after 25 s, and so does its staged change.
const LEASE: SignedDuration = SignedDuration::from_secs(30);

/// What is still to be written of a membership, and how it was found.
#[derive(Clone)]
enum Touching {
    Add(ResolvedMember, Option<Tags>),
    Remove(String, Tags),
}

/// How many memberships came and went.
#[derive(Clone, Copy, Default)]
pub(crate) struct Moved {
    pub(crate) added: usize,
    pub(crate) removed: usize,
}

impl Store {
    pub(crate) async fn change_staged(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        edits: &Edits,
        write_id: &str,
    ) -> Result<bool, Error> {
        let group = Key::resource(write.tenant, write.kind, &seen.sk);
        let only_job = self.put_staged(write, &seen.sk).await?;
        let Some(visibility) = self.mark(write, seen, write_id).await? else {
            return Ok(false);
        };
        let committed = match self.stage(&group, write, &visibility, edits).await {
            Ok(moved) if moved.added + moved.removed == 0 && edits.attributes.is_none() => {
                return self.abort(group, &visibility).await.map(|_| true);
            }
            Ok(moved) => {
                let nest = joins(write, edits).nest;
                let count = |members: usize| i64::try_from(members).unwrap_or(i64::MAX);
                let joins = Joins { members: count(moved.added) - count(moved.removed), nest };
                self.commit(write, seen, edits, joins, write_id).await
            }
            Err(error) => Err(error),
        };
        match committed {
            Ok(true) => {
                if only_job
                    && edits.deletes.is_empty()
                    && visibility.aborted.is_empty()
                    && let Err(error) = self.drop_staged(write, &seen.sk).await
                {
                    tracing::warn!(%error, "a job that has nothing to do is left to the sweep");
                }
                Ok(true)
            }
            // Nobody should have to wait for the lease to end.
            failed => {
                if let Err(error) = self.abort(group, &visibility).await {
                    tracing::warn!(%error, "a staged change is left to its lease");
                }
                failed
            }
        }
    }

    async fn commit(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        edits: &Edits,
        joins: Joins,
        write_id: &str,
    ) -> Result<bool, Error> {
        let (rows, gained) = self.moved_rows(write, seen, edits)?;
        let mut actions = vec![self.revision(write, seen, edits, joins, write_id, MARKED)?];
        let first = 1 + rows.len();
        actions.extend(rows);
        if let Some(nesting) = edits.nesting {
            actions.push(self.nest(write.tenant, nesting)?);
        }
        match self.transact(actions, &mut Retry::new(&*self.jitter)).await? {
            Outcome::Done => {
                edits.note(write, seen, true);
                Ok(true)
            }
            Outcome::Failed { action: 0, old: None, .. } => Err(Error::NotFound),
            Outcome::Failed { action, old, .. } if (1..first).contains(&action) => {
                Err(match gained.unique.len() {
                    unique if action <= unique => taken(write.kind, &gained, action, old.as_ref()),
                    _ => not_owned(action),
                })
            }
            Outcome::Failed { .. } => Ok(false),
        }
    }

    /// The group with the mark of this change, or `None` if it has changed since.
    pub(crate) async fn mark(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        write_id: &str,
    ) -> Result<Option<Visibility>, Error> {
        let mut visibility = seen.visibility.clone().unwrap_or_default();
        let staged = Staged { write_id: write_id.to_owned(), until: write.now + LEASE };
        let key = Key { pk: seen.pk.clone(), sk: seen.sk.clone() };
        let marked = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .update_expression("SET roster.epoch = :next, roster.staged = :staged")
            .condition_expression(format!("{SEEN} AND {UNMARKED} AND roster.epoch = :epoch"))
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":seen", number(seen.version))
            .expression_attribute_values(":epoch", number(visibility.epoch))
            .expression_attribute_values(":next", number(visibility.epoch + 1))
            .expression_attribute_values(":staged", attribute_value(OPERATION, &staged)?)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send()
            .await;
        visibility.epoch += 1;
        visibility.staged = Some(staged);
        let Err(error) = marked else {
            return Ok(Some(visibility));
        };
        if let SdkError::ServiceError(context) = &error
            && let UpdateItemError::ConditionalCheckFailedException(failed) = context.err()
        {
            let there = failed.item.clone().map(|item| ResourceItem::read(OPERATION, item)).transpose()?;
            // An attempt whose answer was lost has set it.
            return Ok(there
                .and_then(|there| there.visibility)
                .filter(|there| there.staged == visibility.staged));
        }
        match error.code() {
            Some("TransactionConflictException") => Ok(None),
            _ => Err(Error::sdk(OPERATION, &error)),
        }
    }

    /// Makes void what the staged change of this visibility has written; `false` if it
    /// came to its end meanwhile.
    pub(crate) async fn abort(&self, group: Key, visibility: &Visibility) -> Result<bool, Error> {
        let mut aborted = visibility.aborted.clone();
        aborted.push(visibility.epoch);
        let done = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(group.into_map()))
            .update_expression("SET roster.aborted = :aborted REMOVE roster.staged")
            .condition_expression("roster.epoch = :epoch AND attribute_exists(roster.staged)")
            .expression_attribute_values(":epoch", number(visibility.epoch))
            .expression_attribute_values(":aborted", attribute_value(OPERATION, &aborted)?)
            .send()
            .await;
        held(OPERATION, done)
    }

    /// Writes the memberships of a staged change under the mark.
    pub(crate) async fn stage(
        &self,
        group: &Key,
        write: Write<'_>,
        visibility: &Visibility,
        edits: &Edits,
    ) -> Result<Moved, Error> {
        let adds = edits.puts.iter().map(|known| Touching::Add(known.clone(), None));
        let removes = edits.deletes.iter().map(|(id, tags)| Touching::Remove(id.clone(), *tags));
        let mut moved = Moved::default();
        let mut touching: Vec<Touching> = adds.chain(removes).collect();
        // Thousands of members take their time, which is none spent on waiting.
        let mut retry = None;
        loop {
            let statements = touching
                .iter()
                .map(|touching| self.touch_statement(group, write, visibility.epoch, touching))
                .collect::<Result<_, _>>()?;
            let held = self.execute(statements).await?;
            let mut failed = Vec::new();
            for (touching, held) in touching.into_iter().zip(held) {
                match (held, &touching) {
                    (false, _) => failed.push(touching),
                    (true, Touching::Add(..)) => moved.added += 1,
                    (true, Touching::Remove(..)) => moved.removed += 1,
                }
            }
            if failed.is_empty() {
                return Ok(moved);
            }
            touching = self.look_again(group, visibility, failed, &mut moved).await?;
            let retry = retry.get_or_insert_with(|| Retry::new(&*self.jitter));
            if !touching.is_empty() && !retry.pause().await {
                return Err(Error::Busy { operation: OPERATION });
            }
        }
    }

    /// Of writes whose condition did not hold: those that are still to be made.
    async fn look_again(
        &self,
        group: &Key,
        visibility: &Visibility,
        failed: Vec<Touching>,
        moved: &mut Moved,
    ) -> Result<Vec<Touching>, Error> {
        let key = |id: &str| Key { pk: format!("{}#{}", group.pk, group.sk), sk: id.to_owned() };
        let keys = failed.iter().map(|touching| key(touching.id())).collect();
        let mut found = self.items(keys).await?;
        let mut again = Vec::new();
        for touching in failed {
            let there = found.remove(&key(touching.id())).map(Membership::read).transpose()?;
            let tags = there.as_ref().map(Membership::tags);
            let shown = tags.is_some_and(|tags| visibility.shows(tags));
            match (touching, tags) {
                (Touching::Add(known, _), None) => again.push(Touching::Add(known, None)),
                // An attempt whose answer was lost has written it.
                (Touching::Add(..), Some(tags)) if tags.added_by == Some(visibility.epoch) => {
                    moved.added += 1
                }
                (Touching::Add(..), Some(_)) if shown => {}
                (Touching::Add(known, _), tags) => again.push(Touching::Add(known, tags)),
                (Touching::Remove(..), Some(tags)) if tags.removed_by == Some(visibility.epoch) => {
                    moved.removed += 1;
                }
                (Touching::Remove(id, _), Some(tags)) if shown => again.push(Touching::Remove(id, tags)),
                (Touching::Remove(..), _) => {}
            }
        }
        Ok(again)
    }

    fn touch_statement(
        &self,
        group: &Key,
        write: Write<'_>,
        epoch: u64,
        touching: &Touching,
    ) -> Result<Statement, Error> {
        let key = Key { pk: format!("{}#{}", group.pk, group.sk), sk: touching.id().to_owned() };
        Ok(match touching {
            Touching::Add(known, None) => {
                let membership = Membership::new(write.tenant, group, known.clone());
                self.insert_statement(Membership { added_by: Some(epoch), ..membership }.into_item()?)
            }
            Touching::Add(known, Some(tags)) => {
                let kind = AttributeValue::S(known.kind.clone());
                let text = r#"SET added_by = ? SET "type" = ? REMOVE removed_by"#;
                self.update_statement(key, text, vec![number(epoch), kind], *tags)
            }
            Touching::Remove(_, tags) => {
                self.update_statement(key, "SET removed_by = ?", vec![number(epoch)], *tags)
            }
        })
    }

    /// Takes the tag of an aborted removal off a membership that was found so.
    pub(crate) fn untag_statement(&self, key: Key, tags: Tags) -> Statement {
        self.update_statement(key, "REMOVE removed_by", Vec::new(), tags)
    }

    /// Of a membership that was found with these tags.
    fn update_statement(
        &self,
        key: Key,
        change: &str,
        mut parameters: Vec<AttributeValue>,
        tags: Tags,
    ) -> Statement {
        let (condition, values) = found_as(key, Some(tags));
        parameters.extend(values);
        Statement { text: format!(r#"UPDATE "{}" {change} WHERE {condition}"#, self.table), parameters }
    }

    /// With `tags`, only if the membership still has them.
    pub(crate) fn delete_statement(&self, key: Key, tags: Option<Tags>) -> Statement {
        let (condition, parameters) = found_as(key, tags);
        Statement { text: format!(r#"DELETE FROM "{}" WHERE {condition}"#, self.table), parameters }
    }
}

impl Touching {
    fn id(&self) -> &str {
        match self {
            Self::Add(known, _) => &known.id,
            Self::Remove(id, _) => id,
        }
    }
}

fn found_as(key: Key, tags: Option<Tags>) -> (String, Vec<AttributeValue>) {
    let mut condition = "pk = ? AND sk = ?".to_owned();
    let mut parameters = vec![AttributeValue::S(key.pk), AttributeValue::S(key.sk)];
    for (name, tag) in
        tags.into_iter().flat_map(|tags| [("added_by", tags.added_by), ("removed_by", tags.removed_by)])
    {
        match tag {
            Some(epoch) => {
                condition = format!("{condition} AND {name} = ?");
                parameters.push(number(epoch));
            }
            None => condition = format!("{condition} AND {name} IS MISSING"),
        }
    }
    (condition, parameters)
}
