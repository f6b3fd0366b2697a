//! Generated passwords and their hashes.

use crate::Secret;

/// No secret could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The system gives no random bytes.
    #[error("cannot make a password: the system's random source failed: {0}")]
    Random(String),
    /// bcrypt failed.
    #[error("cannot hash a password: {0}")]
    Hash(String),
}

/// A new one.
///
/// # Errors
/// The system gives no random bytes.
pub fn generate() -> Result<Secret, SecretError> {
    Err(SecretError::Random(String::new()))
}

/// The secret that is kept in the contents of [`crate::spec::password_file`] and [`crate::spec::hash_file`], as far as they go together: the
/// password stays if it is a good one, its hash if it belongs to it; what is missing or does not do is made anew.
///
/// # Errors
/// The system gives no random bytes.
pub fn recall(password_file: Option<&[u8]>, hash_file: Option<&[u8]>) -> Result<Secret, SecretError> {
    let _ = (password_file, hash_file);
    generate()
}

/// Does this bcrypt hash belong to this password?
#[must_use]
pub fn belongs(hash: &str, password: &str) -> bool {
    let _ = (hash, password);
    false
}
