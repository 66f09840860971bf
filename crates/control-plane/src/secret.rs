use secrecy::SecretString;

/// Letters and digits only: nothing in a URL has to be escaped.
const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// A new password for a role: 24 characters, about 139 bits.
///
/// # Errors
///
/// If the system has no randomness.
pub fn role_password() -> Result<SecretString, getrandom::Error> {
    let mut text = String::with_capacity(24);
    while text.len() < 24 {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)?;
        // Without the bytes at the end that would make some letters likelier than others.
        let fair = 256 / ALPHABET.len() * ALPHABET.len();
        let good = bytes.iter().map(|it| usize::from(*it)).filter(|it| *it < fair);
        text.extend(good.map(|it| char::from(ALPHABET[it % ALPHABET.len()])).take(24 - text.len()));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn passwords_need_no_escaping_and_differ() {
        let (one, two) = (role_password().unwrap(), role_password().unwrap());
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert_eq!(one.expose_secret().len(), 24);
        assert!(one.expose_secret().bytes().all(|it| it.is_ascii_alphanumeric()));
    }
}
