//! An authorization server: its keys, the tokens that it signs, and the settings of a tenant that
//! trusts it.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use scim_lambda::store::{self, Keys, Oauth};
use serde_json::{Value, json};

use crate::support::directory::Directory;

pub(crate) const ISSUER: &str = "https://login.example.com/acme";

/// A key that a server signs with.
pub(crate) struct Signer {
    kid: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
}

impl Signer {
    pub(crate) fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let key = match algorithm {
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
                EncodingKey::from_ec_der(pair.as_ref())
            }
            Algorithm::EdDSA => {
                EncodingKey::from_ed_der(Ed25519KeyPair::generate_pkcs8v1(&random).unwrap().as_ref())
            }
            _ => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
                // PKCS #8 is PKCS #1 behind a header of 26 bytes.
                EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])
            }
        };
        Self { kid, algorithm, key }
    }

    pub(crate) fn public(&self) -> Jwk {
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        key.common.key_id = Some(self.kid.to_owned());
        key
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(Header::new(self.algorithm), claims)
    }

    pub(crate) fn sign_with(&self, header: Header, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..header };
        encode(&header, claims, &self.key).unwrap()
    }
}

pub(crate) fn settings(keys: Keys) -> Oauth {
    Oauth {
        issuer: ISSUER.to_owned(),
        audience: "api://scim".to_owned(),
        keys,
        clients: Vec::new(),
        subjects: vec!["okta".to_owned()],
        scope: None,
        max_age: None,
        algorithms: store::Algorithm::ALL.to_vec(),
    }
}

pub(crate) fn pasted(signers: &[&Signer]) -> Keys {
    let keys = signers.iter().map(|signer| signer.public()).collect();
    Keys::Jwks(serde_json::to_string(&JwkSet { keys }).unwrap())
}

/// Returns the claims of a token that is valid for an hour.
pub(crate) fn claims(directory: &Directory) -> Value {
    let now = directory.now().as_second();
    json!({ "iss": ISSUER, "aud": "api://scim", "sub": "okta", "iat": now, "nbf": now, "exp": now + 3_600 })
}

pub(crate) fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

pub(crate) fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}
