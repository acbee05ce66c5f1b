//! Random digits that cannot be guessed.

use std::fmt::Write;

/// Returns this number of random bytes in hexadecimal digits.
pub fn digits(bytes: usize) -> Result<String, getrandom::Error> {
    let mut random = vec![0; bytes];
    // The generator of the operating system: the digits become secrets of tokens.
    getrandom::fill(&mut random)?;
    Ok(random.iter().fold(String::with_capacity(2 * bytes), |mut digits, byte| {
        // Writing to a `String` cannot fail.
        let _infallible = write!(digits, "{byte:02x}");
        digits
    }))
}
