//! Keys as SSH writes them.

use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::{Fingerprint, PrivateKey, PublicKey};

use super::{HostKey, InvalidTransport, TransportField};

/// A private key or its passphrase, in bytes.
const KEY_BYTES: usize = 64 << 10;

/// Reads a host's key: `ssh-ed25519 AAAA… comment`, a line of `known_hosts` or of `ssh-keyscan` (host names first), or
/// `SHA256:…`.
pub(super) fn host_key(text: &str) -> Result<HostKey, InvalidTransport> {
    let wrong = |problem: &str| InvalidTransport::new(TransportField::TunnelHostKey, problem);
    let text = text.trim();
    let form = "give the bastion's public key (`ssh-ed25519 AAAA…`, from /etc/ssh/ssh_host_*_key.pub there) or its fingerprint (`SHA256:…`)";
    if text.is_empty() || text.len() > KEY_BYTES || text.chars().any(char::is_control) {
        return Err(wrong(&format!("one line is expected: {form}")));
    }
    if text.starts_with("SHA256:") {
        let fingerprint: Fingerprint =
            text.parse().map_err(|_| wrong("a fingerprint is `SHA256:` and 43 characters"))?;
        return Ok(HostKey::Fingerprint(fingerprint.to_string()));
    }
    if text.starts_with("MD5:") {
        return Err(wrong("MD5 fingerprints can be forged; give the one that begins with SHA256:"));
    }
    let mut words = text.split_ascii_whitespace().peekable();
    // In known_hosts the names of the host stand before the key.
    if words.peek().is_some_and(|it| !is_algorithm(it)) {
        words.next();
    }
    let (Some(algorithm), Some(key)) = (words.next(), words.next()) else {
        return Err(wrong(form));
    };
    let line = format!("{algorithm} {key}");
    PublicKey::from_openssh(&line).map_err(|_| wrong(form))?;
    Ok(HostKey::PublicKey(line))
}

fn is_algorithm(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-"].iter().any(|it| word.starts_with(it))
}

/// Whether a private key can be read and, with its passphrase, opened.
pub(super) fn check_private_key(
    key: &SecretString,
    passphrase: Option<&SecretString>,
) -> Result<(), InvalidTransport> {
    let wrong = |field, problem: &str| Err(InvalidTransport::new(field, problem));
    let field = TransportField::TunnelPrivateKey;
    let text = key.expose_secret().trim();
    if text.len() > KEY_BYTES {
        return wrong(field, "it is too long for a private key");
    }
    let Ok(parsed) = PrivateKey::from_openssh(text) else {
        return wrong(field, "it is not a private key as ssh-keygen writes it");
    };
    match (parsed.is_encrypted(), passphrase) {
        (true, None) => wrong(
            TransportField::TunnelPassphrase,
            "the private key is encrypted: give its passphrase",
        ),
        (false, Some(_)) => wrong(
            TransportField::TunnelPassphrase,
            "the private key is not encrypted: leave the passphrase out",
        ),
        (true, Some(it)) => match parsed.decrypt(it.expose_secret()) {
            Ok(_) => Ok(()),
            Err(_) => wrong(TransportField::TunnelPassphrase, "it does not open the private key"),
        },
        (false, None) => Ok(()),
    }
}
