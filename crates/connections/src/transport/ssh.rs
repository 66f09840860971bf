//! Keys as SSH writes them.

use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::{Algorithm, Fingerprint, Kdf, PrivateKey, PublicKey};

use super::{HostKey, InvalidTransport, TransportField};

/// A private key or a host key, in bytes.
const KEY_BYTES: usize = 64 << 10;

/// The most rounds that are spent on opening a private key: the file says how many, and each costs a millisecond or so.
/// `ssh-keygen` takes 16 to 24 unless told.
const ROUNDS: u32 = 512;

/// Reads a host's key: `ssh-ed25519 AAAA… comment`, a line of `known_hosts` or of `ssh-keyscan` (host names first), or
/// `SHA256:…`.
pub(super) fn host_key(text: &str) -> Result<HostKey, InvalidTransport> {
    let wrong = |problem: &str| InvalidTransport::new(TransportField::TunnelHostKey, problem);
    let form = "give the bastion's public key (`ssh-ed25519 AAAA…`, from /etc/ssh/ssh_host_ed25519_key.pub there) or its fingerprint (`SHA256:…`)";
    let text = text.trim();
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
    if text.starts_with("@cert-authority") {
        return Err(wrong("certificates of hosts are not supported; give the host's own key"));
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
    ["ssh-", "ecdsa-sha2-"].iter().any(|it| word.starts_with(it))
}

/// Whether a private key can be read and, with its passphrase, opened.
pub(super) fn check_private_key(
    key: &SecretString,
    passphrase: Option<&SecretString>,
) -> Result<(), InvalidTransport> {
    let wrong =
        |problem: &str| Err(InvalidTransport::new(TransportField::TunnelPrivateKey, problem));
    let wrong_passphrase =
        |problem: &str| Err(InvalidTransport::new(TransportField::TunnelPassphrase, problem));
    let superfluous = "the private key is not encrypted: leave the passphrase out";
    let text = key.expose_secret().trim();
    if text.len() > KEY_BYTES {
        return wrong("it is too long for a private key");
    }
    if text.starts_with("PuTTY-User-Key-File") {
        return wrong("it is PuTTY's: export it in OpenSSH's format (PuTTYgen, Conversions)");
    }
    if text.starts_with("ssh-") || text.contains("BEGIN PUBLIC KEY") {
        return wrong("it is the public key; give the private one");
    }
    if !text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
        // What clouds hand out, and what OpenSSL writes.
        if text.contains("ENCRYPTED") {
            return wrong(
                "this form of encryption is not supported: `ssh-keygen -p -f` the file writes the key anew in OpenSSH's format",
            );
        }
        let Ok(private) = PrivateKeyDer::from_pem_slice(text.as_bytes()) else {
            return wrong(
                "it is not a private key: give the whole text, from `-----BEGIN` to `-----END`, not a file's name",
            );
        };
        if ring::sign::any_supported_type(&private).is_err() {
            return wrong(
                "this kind of key cannot be used: give Ed25519, ECDSA on P-256 or P-384, or RSA of 2048 bits or more",
            );
        }
        return if passphrase.is_some() { wrong_passphrase(superfluous) } else { Ok(()) };
    }
    let Ok(parsed) = PrivateKey::from_openssh(text) else {
        return wrong("it is damaged: give the whole text, from `-----BEGIN` to `-----END`");
    };
    if !matches!(
        parsed.algorithm(),
        Algorithm::Ed25519 | Algorithm::Rsa { .. } | Algorithm::Ecdsa { .. }
    ) {
        return wrong("this kind of key cannot be used: give Ed25519, ECDSA or RSA");
    }
    match (parsed.kdf(), passphrase) {
        (Kdf::Bcrypt { rounds, .. }, Some(passphrase)) => {
            if *rounds > ROUNDS {
                return wrong(
                    "its encryption takes too many rounds: `ssh-keygen -p -a 100 -f` the file writes it with fewer",
                );
            }
            match parsed.decrypt(passphrase.expose_secret()) {
                Ok(_) => Ok(()),
                Err(_) => wrong_passphrase("it does not open the private key"),
            }
        }
        (Kdf::None, None) => Ok(()),
        (Kdf::None, Some(_)) => wrong_passphrase(superfluous),
        (_, None) => wrong_passphrase("the private key is encrypted: give its passphrase"),
        (_, Some(_)) => wrong("its encryption is not known here"),
    }
}
