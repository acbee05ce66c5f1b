//! Cursors (RFC 9865): the position where a page ended or began, encrypted so that a
//! client can neither read nor forge one, and bound to the query that it came from.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::query::{CURSOR_TIMEOUT, Side};
use crate::store::query::Position;
use crate::store::{Secret, SecretRecord, Store};

#[derive(Serialize, Deserialize)]
struct Sealed {
    page: Side<Position>,
    count: usize,
    expires: Timestamp,
}

/// The longest time for which an instance seals with a key that was replaced.
const KEYS_TIME: SignedDuration = SignedDuration::from_mins(5);

/// The keys of the deployment, the same in every instance of the function. They are read when
/// a request needs them, because most do not.
#[derive(Default)]
pub struct Cursors(Mutex<Option<Keys>>);

#[derive(Clone)]
struct Keys {
    read: Timestamp,
    current: Key,
    previous: Option<Key>,
}

#[derive(Clone)]
struct Key([u8; 32]);

/// The request that a cursor is sealed or opened for.
pub struct Bound<'a> {
    /// Everything that must be the same for the other page: tenant, endpoint, filter, order
    /// and attributes.
    pub query: &'a str,
    pub count: usize,
    pub now: Timestamp,
}

impl Cursors {
    /// Encrypts a cursor.
    pub async fn seal(&self, store: &Store, bound: &Bound<'_>, page: Side<Position>) -> Result<String> {
        let keys = self.keys(store, bound.now, KEYS_TIME).await?;
        let expires = bound.now.saturating_add(CURSOR_TIMEOUT).unwrap_or(Timestamp::MAX);
        let sealed = Sealed { page, count: bound.count, expires };
        let text = serde_json::to_vec(&sealed).ok().and_then(|bytes| keys.current.seal(bound.query, bytes));
        text.ok_or_else(|| ErrorKind::Internal.with("a cursor cannot be created"))
    }

    /// Decrypts a cursor of the same query and count.
    pub async fn open(&self, store: &Store, bound: &Bound<'_>, cursor: &str) -> Result<Side<Position>> {
        let keys = self.keys(store, bound.now, KEYS_TIME).await?;
        let mut opened = keys.unseal(bound.query, cursor);
        // Another instance may know of a rotation already.
        if opened.is_none() && keys.read < bound.now {
            opened = self.keys(store, bound.now, SignedDuration::ZERO).await?.unseal(bound.query, cursor);
        }
        let sealed = opened.ok_or_else(|| refused(ErrorKind::InvalidCursor))?;
        if sealed.expires <= bound.now {
            return Err(refused(ErrorKind::ExpiredCursor));
        }
        if sealed.count != bound.count {
            return Err(ErrorKind::InvalidCount.with("count must be the same for every page of a query"));
        }
        Ok(sealed.page)
    }

    /// Returns keys that were read at most `age` ago.
    async fn keys(&self, store: &Store, now: Timestamp, age: SignedDuration) -> Result<Keys> {
        // The lock is held during the read, so that other requests wait for the same keys.
        let mut known = self.0.lock().await;
        if let Some(keys) = known.as_ref().filter(|keys| now.duration_since(keys.read) <= age) {
            return Ok(keys.clone());
        }
        let SecretRecord { current, previous, .. } = store.cursor_secret_or_new(now).await?;
        // Later, all that the previous key has sealed has expired.
        let end =
            current.created.saturating_add(CURSOR_TIMEOUT).and_then(|end| end.saturating_add(KEYS_TIME));
        let previous = previous.filter(|_| end.is_ok_and(|end| now < end));
        let keys = Keys { read: now, current: Key::of(&current), previous: previous.as_ref().map(Key::of) };
        Ok(known.insert(keys).clone())
    }
}

impl Keys {
    fn unseal(&self, query: &str, cursor: &str) -> Option<Sealed> {
        let keys = [Some(&self.current), self.previous.as_ref()];
        let plain = keys.into_iter().flatten().find_map(|key| key.open(query, cursor))?;
        serde_json::from_slice(&plain).ok()
    }
}

impl Key {
    fn of(secret: &Secret) -> Self {
        // A plain hash is enough: the text is random, not a password that could be guessed.
        Self(Sha256::digest(secret.plain.as_bytes()).into())
    }

    fn aead(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).ok()
    }

    fn seal(&self, query: &str, mut bytes: Vec<u8>) -> Option<String> {
        // The query is authenticated but not part of the cursor: a filter may have 16 KB, and
        // a cursor is part of a URL.
        let nonce = self.aead()?.seal_in_place_append_tag(Aad::from(query), &mut bytes).ok()?;
        bytes.extend_from_slice(nonce.as_ref());
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn open(&self, query: &str, cursor: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let nonce = bytes.split_off(bytes.len().checked_sub(NONCE_LEN)?);
        let nonce = Nonce::try_assume_unique_for_key(&nonce).ok()?;
        let plain = self.aead()?.open_in_place(nonce, Aad::from(query), &mut bytes).ok()?;
        Some(plain.to_vec())
    }
}

fn refused(kind: ErrorKind) -> Error {
    // The same text for every reason: the client can only start again, and a forger learns
    // nothing.
    kind.with("the cursor is invalid or has expired: restart from the first page")
}
