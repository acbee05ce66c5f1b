//! The text of a token, `scim_<tenant>_<key id>_<secret>`, and the random digits in it.

use crate::store::TenantName;

/// A parsed token, not yet checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub tenant: TenantName,
    pub kid: &'a str,
    pub secret: &'a str,
}

impl<'a> Token<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        // From the left: names of tenants and key ids have no underscore, but a secret may.
        let (tenant, rest) = text.strip_prefix("scim_")?.split_once('_')?;
        let (kid, secret) = rest.split_once('_')?;
        let fits = |part: &str, most: usize| {
            (1..=most).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        (fits(kid, 32) && fits(secret, 128)).then_some(())?;
        Some(Self { tenant: TenantName::parse(tenant)?, kid, secret })
    }
}

#[cfg(feature = "cli")]
/// Returns this number of random bytes in hexadecimal digits.
pub fn digits(bytes: usize) -> Result<String, getrandom::Error> {
    use std::fmt::Write;

    let mut random = vec![0; bytes];
    // The generator of the operating system: the digits become secrets of tokens.
    getrandom::fill(&mut random)?;
    Ok(random.iter().fold(String::with_capacity(2 * bytes), |mut digits, byte| {
        // Writing to a `String` cannot fail.
        let _infallible = write!(digits, "{byte:02x}");
        digits
    }))
}
