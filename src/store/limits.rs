//! Every limit of the store, with its reason.

use std::time::Duration;

use jiff::SignedDuration;

/// Bytes of a resource's JSON. DynamoDB stores 400 KB per item. The JSON of the
/// attributes is never shorter than the size that DynamoDB computes for them; the
/// remaining 10 KB are for the keys and numbers of the item.
pub const MAX_RESOURCE_BYTES: usize = 390 * 1024;

/// Actions of one DynamoDB transaction.
pub(crate) const MAX_ACTIONS: usize = 100;

/// Unique and look-up rows that a resource may have, and that one change may add and
/// remove: a transaction holds 100 actions, and up to four of them are not rows.
pub(crate) const MAX_INDEX_ROWS: usize = 96;

/// Look-up rows for the values of roles, entitlements and the like, all attributes of a
/// resource together. A change that exchanges all of them leaves a third of the moves for
/// the other attributes. With more values, one row leads to the resource.
pub(crate) const MAX_MANY_ROWS: usize = 32;

/// Keys of one `BatchGetItem`.
pub(crate) const MAX_KEYS: usize = 100;

/// Statements of one `BatchExecuteStatement`.
pub(crate) const MAX_STATEMENTS: usize = 25;

/// Operands of one `IN` in a condition.
pub(crate) const MAX_OPERANDS: usize = 100;

/// Attributes that a blind write may set. An expression of DynamoDB has at most 4 KB, and
/// each attribute takes about 40 bytes of it.
pub(crate) const MAX_BLIND_VALUES: usize = 20;

/// Bytes of each value that a blind write sets. Such a write does not measure the resource,
/// so the growth of all attributes of a type must fit between the limit of the store and
/// that of DynamoDB.
pub(crate) const MAX_BLIND_VALUE_BYTES: usize = 256;

/// Batches in flight at the same time.
pub(crate) const BATCHES_AT_ONCE: usize = 16;

/// Bytes of a value within a key. A sort key may have 1,024 bytes, and an id follows
/// the value.
pub(crate) const MAX_KEY_VALUE_BYTES: usize = 900;

/// Bytes of a member's id. DynamoDB accepts no empty key and none over 1,024 bytes.
pub(crate) const MAX_MEMBER_ID_BYTES: usize = 256;

/// Members that one request may add and remove: what a request can write in its time, if
/// the memberships of a group are in one partition, which takes 1,000 write units a second.
pub(crate) const MAX_STAGED: usize = 15_000;

/// Members of one group that are read at once: about 15 MB of items.
pub const MAX_MEMBERS_READ: u64 = 100_000;

/// Members that are in memory at once for changes of groups: those of one group of the
/// largest size. The operations of a bulk request wait for each other.
pub(crate) const MAX_MEMBERS_COMPARED: usize = 100_000;

/// Members that fit one page of 1 MB.
pub(crate) const MEMBERS_OF_A_PAGE: u64 = 4_000;

/// Reads of a group that changes while its members are read. After that it is shown
/// as it was found.
pub(crate) const MAX_GROUP_READS: usize = 3;

/// Groups of one user that are shown.
pub const MAX_GROUPS_OF_A_MEMBER: usize = 1_000;

/// Groups that one page shows, counted with each of its users: about 4 MiB of answer.
pub(crate) const MAX_GROUPS_OF_A_PAGE: usize = 20_000;

/// Groups that are followed down to find a cycle.
pub(crate) const MAX_NESTED_GROUPS: usize = 1_000;

/// Index rows that lead to resources. More resources are found as fast by a scan.
pub(crate) const MAX_HITS: usize = 1_000;

/// Resources of which a filter needs more than their own item.
pub(crate) const MAX_COMPLETED: usize = 1_000;

/// Memberships that one filter asks for, by group and member: 100 batches.
pub(crate) const MAX_MEMBERSHIPS: usize = 10_000;

/// Resources that are completed at the same time.
pub(crate) const COMPLETED_AT_ONCE: usize = 16;

/// Resources that are sorted in memory: about 10 MB.
pub(crate) const MAX_SORTED: usize = 10_000;

/// Rows of a unique attribute that are read for a page in its order, about 100 bytes
/// each: a page is found by reading all rows before it.
pub(crate) const MAX_IN_ORDER: usize = 20_000;

/// Pages of 1 MB that a scan reads in each of its four ranges: 12 MB of resources,
/// about 12,000 users, in the time of three reads.
pub(crate) const PAGES_OF_A_RANGE: usize = 3;

/// Resources that a scan can read at most: a resource without attributes takes 300 bytes.
pub(crate) const MAX_SCANNED: usize = 4 * PAGES_OF_A_RANGE * 1024 * 1024 / 300;

/// Pages of 1 MB that are read for one page of a list under cursor pagination.
pub(crate) const PAGES_OF_A_STRETCH: usize = 3;

/// Bytes of memory for the resources that a query finds: as much as 12,000 usual users
/// take, which is what a scan reads.
pub(crate) const MAX_FOUND_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of memory for the resources of one page, at which it ends early. The answer, of
/// at most 4 MiB, is made of them.
pub(crate) const MAX_PAGE_WEIGHT: usize = 24 * 1024 * 1024;

/// Resources that are read first, before their size is known: 16 of the largest.
pub(crate) const FIRST_KEYS: usize = 16;

/// The first pause after a conflict, or for lack of capacity; each further pause may be twice
/// as long. Of many writers of one resource, the last is as fast with a short longest pause as
/// it can be.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(20);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Time for all retries of one write. API Gateway gives up after 29 s, and a client
/// that has waited 8 s is better served by an answer. There is no limit on the number
/// of tries: of 24 writers of one resource the last may lose 23 races.
pub(crate) const RETRY_BUDGET: Duration = Duration::from_secs(8);

/// Time that a staged change has, from the beginning of its request.
pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(30);

/// The longest time of a request. What is left of the lease is for clocks that differ. With
/// a greater difference a staged change may be aborted before its request has ended, which
/// then begins it again.
pub const MAX_REQUEST_TIME: Duration = Duration::from_secs(28);

/// Aborted staged changes that a group may have. Conditions on its memberships name them
/// all, within `MAX_OPERANDS`. Each is forgotten two and a half minutes after it began.
pub(crate) const MAX_ABORTED: usize = 90;

/// Time from a request to its cleanup job. The function ends after 29 s, an index may be a
/// second behind, and clocks may differ by two minutes: each by one from the time.
pub(crate) const DUE: SignedDuration = SignedDuration::from_secs(150);

/// Time after the end of a lease at which a check reports the lock. The job is due two minutes
/// after the lease, and several sweeps have begun by then.
#[cfg(feature = "cli")]
pub(crate) const OVERDUE: SignedDuration = SignedDuration::from_mins(10);

/// Groups that a deleted resource leaves at the same time.
pub(crate) const GROUPS_AT_ONCE: usize = 16;

/// Time that the request which deletes a resource takes to remove its memberships.
/// The cleanup job does the rest.
pub(crate) const LEAVE_TIME: Duration = Duration::from_secs(5);

/// Members of one group that are asked for their deletion one by one, a read unit each. More
/// members than these are compared with all deletions that are in progress.
pub(crate) const MAX_ASKED: usize = 20;

/// Time after which every resource whose deletion was in progress when a group grew has left
/// the group: that of a job, and two sweeps.
pub(crate) const UNSETTLED: SignedDuration = SignedDuration::from_mins(10);

/// Due jobs that are read at once of each stripe.
pub(crate) const DUE_AT_ONCE: usize = 250;

/// Memberships that one round of a cleanup job reads.
pub(crate) const ROUND: usize = 1_000;

/// Rounds of one cleanup job in one sweep. Memberships that a staged change has locked
/// remain for the next sweep.
pub(crate) const ROUNDS: usize = 10;

/// The least time between two records of the use of a token.
pub(crate) const USE_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// The time for which a revoked token is known as such.
pub(crate) const REVOKED_TIME: SignedDuration = SignedDuration::from_hours(90 * 24);

/// `Retry-After` in seconds. An integer, because Okta reads nothing else.
pub const RETRY_AFTER: u32 = 2;
