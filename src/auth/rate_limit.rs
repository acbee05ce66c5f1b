//! The rate limit of a tenant: a token bucket for each tenant, in each instance of the
//! function, so that it costs no call. An empty bucket is a 429. Off unless the tenant's policy has a limit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::scim::policy::RateLimit;
use crate::store::TenantName;

/// The number of tenants whose buckets are retained. A dropped bucket starts full again.
const MAX_BUCKETS: usize = 1_000;

#[derive(Default)]
pub(crate) struct Buckets(Mutex<HashMap<TenantName, Bucket>>);

#[derive(Clone, Copy)]
struct Bucket {
    requests: f64,
    filled: Timestamp,
}

impl Buckets {
    /// Takes a request out of the tenant's bucket. An empty bucket is an error: the whole
    /// seconds until the next request.
    pub(crate) fn take(&self, tenant: &TenantName, limit: RateLimit, now: Timestamp) -> Result<(), u32> {
        let Some((per_second, burst)) = limit.limits() else {
            return Ok(());
        };
        let (per_second, burst) = (f64::from(per_second), f64::from(burst));
        // Nothing panics while it holds the lock.
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(tenant) {
            // Errs in favour of the clients: every bucket starts full again.
            buckets.clear();
        }
        let bucket = buckets.entry(tenant.clone()).or_insert(Bucket { requests: burst, filled: now });
        // Not negative: a request that started earlier may get the lock later.
        let passed = now.duration_since(bucket.filled).as_secs_f64().max(0.0);
        bucket.requests = passed.mul_add(per_second, bucket.requests).min(burst);
        bucket.filled = now;
        if bucket.requests >= 1.0 {
            bucket.requests -= 1.0;
            return Ok(());
        }
        // The bucket keeps its fraction: a client that retries too early loses nothing.
        let wait = ((1.0 - bucket.requests) / per_second).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 0")]
        let wait = wait as u32;
        Err(wait.max(1))
    }

    /// Takes more requests out of the tenant's bucket than it may hold, so that later requests
    /// wait for them: a bulk request with more operations than the burst must not be refused
    /// forever.
    pub(crate) fn charge(&self, tenant: &TenantName, requests: usize) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A tenant without a limit has no bucket.
        if let Some(bucket) = buckets.get_mut(tenant) {
            bucket.requests -= u32::try_from(requests).map_or(f64::from(u32::MAX), f64::from);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use super::{Buckets, MAX_BUCKETS};
    use crate::scim::policy::RateLimit;
    use crate::store::TenantName;

    #[test]
    fn a_burst_is_let_through_and_then_so_many_a_second() {
        let tenant = TenantName::parse("acme").unwrap();
        for (limit, at_once, in_ten_seconds) in [
            (json!({}), 1_000, 1_000),
            (json!({ "perSecond": 40 }), 40, 400),
            // A burst alone has the default rate, the least that clients ask for.
            (json!({ "burst": 100 }), 100, 250),
            (json!({ "perSecond": 1, "burst": 3 }), 3, 10),
        ] {
            let limit: RateLimit = serde_json::from_value(limit).unwrap();
            let buckets = Buckets::default();
            let start = Timestamp::UNIX_EPOCH;
            let taken = (0..1_000).filter(|_| buckets.take(&tenant, limit, start).is_ok()).count();
            assert_eq!(taken, at_once, "{limit:?}");
            let taken = (1..=1_000)
                .map(|step| start + SignedDuration::from_millis(10 * step))
                .filter(|now| buckets.take(&tenant, limit, *now).is_ok());
            assert_eq!(taken.count(), in_ten_seconds, "{limit:?}");
            let after = start + SignedDuration::from_secs(3_600);
            let taken = (0..1_000).filter(|_| buckets.take(&tenant, limit, after).is_ok()).count();
            assert_eq!(taken, at_once, "a pause of an hour is worth no more than one burst: {limit:?}");
        }
    }

    #[test]
    fn the_buckets_are_bounded_and_each_tenant_has_its_own() {
        let buckets = Buckets::default();
        let limit: RateLimit = serde_json::from_value(json!({ "perSecond": 1 })).unwrap();
        for number in 0..3 * MAX_BUCKETS {
            let tenant = TenantName::parse(&format!("t{number}")).unwrap();
            assert_eq!(buckets.take(&tenant, limit, Timestamp::UNIX_EPOCH), Ok(()));
            assert_eq!(buckets.take(&tenant, limit, Timestamp::UNIX_EPOCH), Err(1));
        }
        assert!(buckets.0.lock().unwrap().len() <= MAX_BUCKETS);
    }
}
