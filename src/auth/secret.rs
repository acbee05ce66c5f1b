//! Random digits that cannot be guessed.

use std::fmt::Write;

/// So many random bytes in hexadecimal digits.
pub fn digits(bytes: usize) -> Result<String, getrandom::Error> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)?;
    Ok(random.iter().fold(String::with_capacity(2 * bytes), |mut digits, byte| {
        let _infallible = write!(digits, "{byte:02x}");
        digits
    }))
}
