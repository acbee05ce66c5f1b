//! A cleanup job: work that a request leaves for the sweep.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::dynamo::client::Written;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, item, text, value};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::limits::DUE;
use crate::store::table::directory::Directory;
use crate::store::table::write_context::Writer;

/// The work for a deleted resource, by its id: its memberships are still there.
pub(crate) const DEPARTED: &str = "left";

/// The work for a group with a staged change, or one that is created with many members.
pub(crate) const STAGED: &str = "staged";

/// The state of a job after a sweep has worked on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    Done,
    /// A later sweep must take the job up again.
    Left,
}

/// The result of putting a job under a name that may be in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutJob {
    New,
    /// The job of an earlier request, whose work is left.
    Existing,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) pk: String,
    pub(crate) sk: String,
    /// The resource type of the job's subject.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) due: Timestamp,
}

impl Job {
    pub(crate) fn new(
        directory: Directory<'_>,
        work: &str,
        (kind, id): (&str, &str),
        due: Timestamp,
    ) -> Self {
        let Key { pk, sk } = directory.job_key(work, id);
        Self { pk, sk, kind: kind.to_owned(), due }
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
    pub(crate) fn job(self, work: &str, id: &str) -> Job {
        let subject = (self.collection.kind.name.as_str(), id);
        Job::new(self.collection.directory, work, subject, self.context.now + DUE)
    }

    /// Puts the job of a staged change, before its first membership is written. One job
    /// is enough for all staged changes of a group; it is due after the last.
    pub(crate) async fn put_staged_job(self, id: &str) -> Result<PutJob, Error> {
        let job = self.job(STAGED, id);
        let put = Expression::default()
            .set("#type = :type")
            .set("due = :due")
            .value(":type", text(job.kind.as_str()))
            .value(":due", value(&job.due)?);
        // An update rather than a put: the mark of a sweep that has claimed the job remains.
        let (Written::Applied(before) | Written::Conflict(before)) =
            self.table().update(job.key(), put).await?;
        let existed = before.is_some_and(|before| before.contains_key("due"));
        Ok(if existed { PutJob::Existing } else { PutJob::New })
    }

    /// Makes the action of a creation that ends its own job. It fails once a sweep has
    /// claimed the job, because the sweep deletes the memberships.
    pub(crate) fn end_staged_job_action(self, id: &str) -> Result<Action, Error> {
        let job = self.job(STAGED, id);
        Ok(Action::Delete(job.key(), job.is_unchanged()?.and("attribute_not_exists(claimed)")))
    }

    /// Deletes the job of a staged change that has left nothing behind.
    pub(crate) async fn drop_staged_job(self, id: &str) -> Result<(), Error> {
        // Computed from the same `now` as when it was put, so that a job which another request has
        // put since then is not deleted.
        self.job(STAGED, id).end(self.collection.directory).await
    }
}
