//! Cursors (RFC 9865): the position where a page ended or began, encrypted so that a
//! client can neither read nor forge one, and bound to the query that it came from.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::query::{CURSOR_TIMEOUT, Side};
use crate::store::query::Position;

#[derive(Serialize, Deserialize)]
struct Sealed {
    page: Side<Position>,
    count: usize,
    expires: Timestamp,
}

/// The bytes of the text of a key: 128 bits in hexadecimal digits.
const MIN_KEY_BYTES: usize = 32;

/// The key of the deployment, the same in every instance of the function.
#[derive(Clone, PartialEq, Eq)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// Derives the key from a random text.
    pub fn parse(text: &str) -> Option<Self> {
        // A plain hash is enough: the text is random, not a password that could be guessed.
        (text.len() >= MIN_KEY_BYTES).then(|| Self(Sha256::digest(text.as_bytes()).into()))
    }

    fn aead(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).ok()
    }

    /// Encrypts a cursor. `query` is everything that must be the same for the other page:
    /// tenant, endpoint, filter, order and attributes.
    pub fn seal(&self, query: &str, count: usize, page: Side<Position>, now: Timestamp) -> Result<String> {
        let sealed =
            Sealed { page, count, expires: now.saturating_add(CURSOR_TIMEOUT).unwrap_or(Timestamp::MAX) };
        let internal = || ErrorKind::Internal.with("a cursor cannot be created");
        let mut bytes = serde_json::to_vec(&sealed).map_err(|_| internal())?;
        let aead = self.aead().ok_or_else(internal)?;
        // The query is authenticated but not part of the cursor: a filter may have 16 KB, and
        // a cursor is part of a URL.
        let nonce = aead.seal_in_place_append_tag(Aad::from(query), &mut bytes).map_err(|_| internal())?;
        bytes.extend_from_slice(nonce.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Decrypts a cursor of the same `query` and `count`.
    pub fn open(&self, query: &str, count: usize, cursor: &str, now: Timestamp) -> Result<Side<Position>> {
        let sealed = self.unseal(query, cursor).ok_or_else(|| refused(ErrorKind::InvalidCursor))?;
        if sealed.expires <= now {
            return Err(refused(ErrorKind::ExpiredCursor));
        }
        if sealed.count != count {
            return Err(ErrorKind::InvalidCount.with("count must be the same for every page of a query"));
        }
        Ok(sealed.page)
    }

    fn unseal(&self, query: &str, cursor: &str) -> Option<Sealed> {
        let mut bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let nonce = bytes.split_off(bytes.len().checked_sub(NONCE_LEN)?);
        let nonce = Nonce::try_assume_unique_for_key(&nonce).ok()?;
        let aead = self.aead()?;
        let plain = aead.open_in_place(nonce, Aad::from(query), &mut bytes).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key: it is part of `Config`, which may be logged.
        f.write_str("CursorKey")
    }
}

fn refused(kind: ErrorKind) -> Error {
    // The same text for every reason: the client can only start again, and a forger learns
    // nothing.
    kind.with("the cursor is invalid or has expired: restart from the first page")
}
