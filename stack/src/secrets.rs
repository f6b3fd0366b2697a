//! Generated passwords and their hashes.
//!
//! A password has 32 letters and digits, which are 190 random bits: nobody tries those out, however cheap one try is. So bcrypt runs
//! at cost 5 (about a millisecond): cAdvisor computes it anew at each scrape, and a higher cost would only heat the host.

use std::str::FromStr;

use bcrypt::{HashParts, Version};

use crate::Secret;

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const PASSWORD_CHARS: usize = 32;
/// What bcrypt reads of a password.
const MAX_PASSWORD_BYTES: usize = 72;
const COST: u32 = 5;
/// A hash beyond this cost is not ours; to verify it could take minutes.
const MAX_COST: u32 = 14;
/// Characters of a bcrypt hash.
const HASH_CHARS: usize = 60;

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
    let mut password = String::with_capacity(PASSWORD_CHARS);
    while password.len() < PASSWORD_CHARS {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes).map_err(|error| SecretError::Random(error.to_string()))?;
        // The 64 values of six bits, less the two that have no letter: each letter is as likely as any other.
        let letters = bytes
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 63)))
            .map(|letter| char::from(*letter));
        password.extend(letters.take(PASSWORD_CHARS - password.len()));
    }
    hashed(password)
}

/// The secret that is kept in the contents of [`crate::spec::password_file`] and [`crate::spec::hash_file`], as far as they go together:
/// the password stays if it is a good one, its hash if it belongs to it; what is missing or does not do is made anew.
///
/// # Errors
/// The system gives no random bytes.
pub fn recall(password_file: Option<&[u8]>, hash_file: Option<&[u8]>) -> Result<Secret, SecretError> {
    let Some(password) = password_file.and_then(good_password) else {
        return generate();
    };
    match hash_file.and_then(hash_in).filter(|hash| belongs(hash, password)) {
        Some(hash) => Ok(Secret {
            password: password.to_owned(),
            hash: hash.to_owned(),
        }),
        None => hashed(password.to_owned()),
    }
}

/// Does this bcrypt hash belong to this password?
#[must_use]
pub fn belongs(hash: &str, password: &str) -> bool {
    let cost = HashParts::from_str(hash).map_or(u32::MAX, |parts| parts.get_cost());
    cost <= MAX_COST && bcrypt::verify(password, hash).unwrap_or(false)
}

fn hashed(password: String) -> Result<Secret, SecretError> {
    let parts =
        bcrypt::hash_with_result(&password, COST).map_err(|error| SecretError::Hash(error.to_string()))?;
    Ok(Secret {
        password,
        // The form that every reader of these files knows.
        hash: parts.format_for_version(Version::TwoY),
    })
}

fn good_password(content: &[u8]) -> Option<&str> {
    let password = std::str::from_utf8(content).ok()?.trim_end_matches(['\r', '\n']);
    let good = (PASSWORD_CHARS..=MAX_PASSWORD_BYTES).contains(&password.len())
        && password.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then_some(password)
}

/// The first bcrypt hash in a file, whatever else is in it.
fn hash_in(content: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(content).ok()?;
    let start = text.find("$2")?;
    text.get(start..start + HASH_CHARS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{belongs, generate, recall};

    #[test]
    fn a_password_is_long_and_of_letters_and_digits_and_its_hash_belongs_to_it() {
        let secrets: Vec<_> = (0..8).map(|_| generate().unwrap()).collect();
        for secret in &secrets {
            assert_eq!(secret.password.len(), 32);
            assert!(secret.password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert!(secret.hash.starts_with("$2y$05$"), "{}", secret.hash);
            assert_eq!(secret.hash.len(), 60);
            assert!(belongs(&secret.hash, &secret.password));
            assert!(!belongs(&secret.hash, &secret.password[1..]));
        }
        let different: BTreeSet<_> = secrets.iter().map(|secret| &secret.password).collect();
        assert_eq!(different.len(), secrets.len());
        assert!(!format!("{:?}", secrets[0]).contains(&secrets[0].password));
    }

    #[test]
    fn what_is_kept_stays_and_what_does_not_fit_is_made_anew() {
        let kept = generate().unwrap();
        let password = kept.password.as_bytes();
        let file = format!("basic_auth_users:\n  masthead: \"{}\"\n", kept.hash);
        let again = recall(Some(password), Some(file.as_bytes())).unwrap();
        assert!(again == kept, "both stay");
        let with_newline = format!("{}\n", kept.password);
        assert!(recall(Some(with_newline.as_bytes()), Some(file.as_bytes())).unwrap() == kept);

        let other = generate().unwrap();
        let torn = &file.as_bytes()[..40];
        for hash_file in [
            None,
            Some(torn),
            Some(other.hash.as_bytes()),
            Some(&b"$2"[..]),
            Some(&[0xff; 90][..]),
        ] {
            let again = recall(Some(password), hash_file).unwrap();
            assert_eq!(again.password, kept.password, "the password stays");
            assert!(again.hash != kept.hash && belongs(&again.hash, &again.password));
        }
        for password in [
            None,
            Some(&b""[..]),
            Some(b"short"),
            Some(&[b'a'; 80]),
            Some(&[b':'; 40]),
        ] {
            let again = recall(password, Some(file.as_bytes())).unwrap();
            assert!(again.password.len() == 32 && again.password != kept.password);
            assert!(belongs(&again.hash, &again.password));
        }
    }

    #[test]
    fn a_hash_that_would_take_minutes_is_not_tried() {
        let hash = generate().unwrap().hash.replacen("$05$", "$31$", 1);
        assert!(!belongs(&hash, "x"));
        assert!(!belongs("", "") && !belongs("$2y$05$", ""));
    }
}
