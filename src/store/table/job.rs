//! A cleanup job: work that a request leaves for the sweep.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, item, text, value};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::limits::DUE;
use crate::store::table::directory::{Collection, Directory};
use crate::store::table::keys::{due_partition, due_time, stripe_of};
use crate::store::table::write_context::Writer;

/// The work for a deleted resource, by its id: its memberships are still there.
const DEPARTED: &str = "left";

/// The work for a group with a staged change, or one that is created with many members.
const STAGED: &str = "staged";

/// The state of a job after a sweep has worked on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    Done,
    /// A later sweep must take the job up again.
    Left,
}

/// The subject of a cleanup job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work<'a> {
    /// A deleted resource.
    Departed(&'a str),
    /// A group, and the number of a staged change; 0 for its creation.
    Staged(&'a str, u64),
}

impl fmt::Display for Work<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Departed(id) => write!(f, "{DEPARTED}#{id}"),
            // One job for each change: a job that all changes of a group shared would fall due
            // after the last of them, and never if there is always another.
            Self::Staged(group, epoch) => write!(f, "{STAGED}#{group}#{epoch}"),
        }
    }
}

impl<'a> Work<'a> {
    pub(crate) fn parse(sk: &'a str) -> Option<Self> {
        match sk.split_once('#')? {
            (DEPARTED, id) => Some(Self::Departed(id)),
            (STAGED, rest) => {
                let (group, epoch) = rest.split_once('#')?;
                Some(Self::Staged(group, epoch.parse().ok()?))
            }
            _ => None,
        }
    }

    pub(crate) fn id(self) -> &'a str {
        match self {
            Self::Departed(id) | Self::Staged(id, _) => id,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) pk: String,
    pub(crate) sk: String,
    /// The resource type of the job's subject.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) due: Timestamp,
    /// With `hour`, the key in the index `changes`, which finds the due jobs of all tenants.
    #[serde(default)]
    pub(crate) change_pk: String,
    #[serde(default)]
    pub(crate) hour: String,
}

impl Job {
    pub(crate) fn new(directory: Directory<'_>, work: Work<'_>, kind: &str, due: Timestamp) -> Self {
        let Key { pk, sk } = directory.job_key(work);
        let (change_pk, hour) = (due_partition(stripe_of(work.id())), due_time(due));
        Self { pk, sk, kind: kind.to_owned(), due, change_pk, hour }
    }

    /// Returns true if the index has the job under the time at which it is due.
    #[cfg(feature = "cli")]
    pub(crate) fn is_indexed(&self) -> bool {
        let stripe = Work::parse(&self.sk).map(|work| stripe_of(work.id()));
        stripe.is_some_and(|stripe| self.change_pk == due_partition(stripe))
            && self.hour == due_time(self.due)
    }

    pub(crate) fn key(&self) -> Key {
        Key { pk: self.pk.clone(), sk: self.sk.clone() }
    }

    /// Holds while no other request has put the job again with a later due time.
    pub(crate) fn is_unchanged(&self) -> Result<Expression, Error> {
        Ok(Expression::when("due = :due").value(":due", value(&self.due)?))
    }

    pub(crate) fn put_action(&self) -> Result<Action, Error> {
        Ok(Action::Put(item(self)?, Expression::default()))
    }

    /// Deletes the job, unless it was put again since it was read.
    pub(crate) async fn end(&self, directory: Directory<'_>) -> Result<(), Error> {
        directory.table.delete(self.key(), self.is_unchanged()?).await?;
        Ok(())
    }
}

impl Writer<'_> {
    pub(crate) fn job(self, work: Work<'_>) -> Job {
        let Collection { directory, kind } = self.collection;
        Job::new(directory, work, &kind.name, self.context.now + DUE)
    }

    /// Puts the job of a staged change, before its first membership is written.
    pub(crate) async fn put_staged_job(self, group: &str, epoch: u64) -> Result<(), Error> {
        let job = self.job(Work::Staged(group, epoch));
        let put = Expression::default()
            .set("#type = :type")
            .set("due = :due")
            .set("change_pk = :change_pk")
            .set("#hour = :hour")
            .value(":type", text(job.kind.as_str()))
            .value(":due", value(&job.due)?)
            .value(":change_pk", text(job.change_pk.as_str()))
            .value(":hour", text(job.hour.as_str()));
        // An update rather than a put: the mark of a sweep that has claimed the job remains.
        self.table().update(job.key(), put).await?;
        Ok(())
    }

    /// Makes the action of a creation that ends its own job. It fails once a sweep has
    /// claimed the job, because the sweep deletes the memberships.
    pub(crate) fn end_staged_job_action(self, group: &str) -> Result<Action, Error> {
        let job = self.job(Work::Staged(group, 0));
        Ok(Action::Delete(job.key(), job.is_unchanged()?.and("attribute_not_exists(claimed)")))
    }

    /// Deletes the job of a staged change that has left nothing behind.
    pub(crate) async fn drop_staged_job(self, group: &str, epoch: u64) -> Result<(), Error> {
        // Computed from the same `now` as when it was put, so that a job which another request has
        // put since then is not deleted.
        self.job(Work::Staged(group, epoch)).end(self.collection.directory).await
    }
}
