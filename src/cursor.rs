//! Cursors (RFC 9865): where a page ended or began, sealed so that a client can
//! neither read nor make one, and bound to the query that it came from.

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

/// The length of the text of a key.
const MIN_KEY_BYTES: usize = 32;

/// The key of configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// Makes a key of any random text that is long enough to hold 128 bits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() >= MIN_KEY_BYTES).then(|| Self(Sha256::digest(text.as_bytes()).into()))
    }

    fn aead(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).ok()
    }

    /// `query` names everything that must be the same for the other page:
    /// tenant, endpoint, filter, order and attributes.
    pub fn seal(&self, query: &str, count: usize, page: Side<Position>, now: Timestamp) -> Result<String> {
        let sealed =
            Sealed { page, count, expires: now.saturating_add(CURSOR_TIMEOUT).unwrap_or(Timestamp::MAX) };
        let internal = || ErrorKind::Internal.with("no cursor could be made");
        let mut bytes = serde_json::to_vec(&sealed).map_err(|_| internal())?;
        let aead = self.aead().ok_or_else(internal)?;
        let nonce = aead.seal_in_place_append_tag(Aad::from(query), &mut bytes).map_err(|_| internal())?;
        bytes.extend_from_slice(nonce.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn open(&self, query: &str, count: usize, cursor: &str, now: Timestamp) -> Result<Side<Position>> {
        let sealed = self.unseal(query, cursor).ok_or_else(|| refused(ErrorKind::InvalidCursor))?;
        if sealed.expires <= now {
            return Err(refused(ErrorKind::ExpiredCursor));
        }
        if sealed.count != count {
            return Err(ErrorKind::InvalidCount.with("count has to be the same for every page of a query"));
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

/// Prints no key, because a configuration may be logged.
impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey")
    }
}

/// The one error for every problem of a cursor.
fn refused(kind: ErrorKind) -> Error {
    kind.with("the cursor is not valid, or not any more: begin again with an empty cursor")
}
