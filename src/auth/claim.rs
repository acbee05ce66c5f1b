//! The bearer token that a request presents, before it is checked: all of it is a client's text.

use crate::auth::jwt;
use crate::auth::token::Token;
use crate::lambda::Request;
use crate::route::Location;
use crate::store::TenantName;

pub struct Claim<'a> {
    pub(super) bearer: Bearer<'a>,
    /// The tenant that the URL names.
    pub(super) url_tenant: Option<TenantName>,
    /// True if the segment of `url_tenant` may be the stage of the API.
    pub(super) may_be_stage: bool,
}

pub(super) enum Bearer<'a> {
    Missing,
    Malformed,
    /// A token of our own.
    Token(Token<'a>),
    Jwt(&'a str),
}

impl<'a> Claim<'a> {
    pub fn of(request: &'a Request, location: &Location) -> Self {
        let bearer = match request.header("authorization").next().and_then(bearer) {
            None => Bearer::Missing,
            Some(text) => match Token::parse(text) {
                Some(token) => Bearer::Token(token),
                None if jwt::is_jwt(text) => Bearer::Jwt(text),
                None => Bearer::Malformed,
            },
        };
        let first = location.prefix.split('/').nth(1);
        let stage = request.stage.as_deref();
        Self {
            bearer,
            url_tenant: location.tenant().and_then(TenantName::parse),
            may_be_stage: first == stage && first == location.tenant(),
        }
    }

    /// Returns the tenant that the request is for, if the token is what it claims to be.
    pub fn tenant(&self) -> Option<&TenantName> {
        match &self.bearer {
            Bearer::Token(token) => Some(&token.tenant),
            Bearer::Missing | Bearer::Malformed | Bearer::Jwt(_) => self.url_tenant.as_ref(),
        }
    }

    pub fn key_id(&self) -> Option<String> {
        match &self.bearer {
            Bearer::Token(token) => Some(token.kid.to_owned()),
            Bearer::Jwt(text) => jwt::key_id(text),
            Bearer::Missing | Bearer::Malformed => None,
        }
    }
}

/// Returns the text after the scheme (RFC 6750 s2.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    // The scheme is case-insensitive (RFC 9110 s11.1).
    scheme.eq_ignore_ascii_case("Bearer").then_some(token.trim())
}
