use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use plinth_connections::MasterKey;
use secrecy::{ExposeSecret as _, SecretString};

use super::folder::{hex, make_private, write_secret_once};

/// The master key that the operator gives.
///
/// # Errors
///
/// If it is not 32 bytes in hex or base64, or plainly not random.
pub(crate) fn given(text: &SecretString) -> anyhow::Result<MasterKey> {
    let text = text.expose_secret().trim();
    let bytes = unhex(text)
        .or_else(|| base64::engine::general_purpose::STANDARD.decode(text).ok())
        .or_else(|| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok());
    let advice = "PLINTH_MASTER_KEY must be 32 random bytes as 64 hex digits or base64; make one with `openssl rand -hex 32`";
    let Some(bytes) = bytes else { bail!(advice) };
    MasterKey::new(&bytes).context(advice)
}

/// The master key of a data folder; made when the folder is new.
///
/// # Errors
///
/// If it cannot be read or written, or holds something else.
pub(crate) fn of_folder(data_dir: &Path) -> anyhow::Result<MasterKey> {
    let folder = data_dir.join("keys");
    let file = folder.join("master.key");
    if let Some(key) = read(&file)? {
        return Ok(key);
    }
    make_private(&folder)?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|err| anyhow::anyhow!("the system has no randomness: {err}"))?;
    // A server and a command beside it may both find the folder new. Whoever writes second takes the other's key: what
    // is sealed with a key that is in no file could never be opened again.
    write_secret_once(&file, format!("{}\n", hex(&bytes)).as_bytes())?;
    read(&file)?.with_context(|| format!("cannot read {}", file.display()))
}

/// The key in the file; `None` if there is no such file.
fn read(file: &Path) -> anyhow::Result<Option<MasterKey>> {
    match fs::read_to_string(file) {
        Ok(text) => given(&text.into())
            .map(Some)
            .with_context(|| format!("{} holds no master key", file.display())),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_key_whoever_finds_it_new() {
        let folder = std::env::temp_dir().join(format!("plinth-keys-{}", std::process::id()));
        let first = of_folder(&folder).expect("made");
        let file = folder.join("keys/master.key");
        let kept = fs::read_to_string(&file).expect("there");
        // As if another process had looked before the file was there.
        let is_written = write_secret_once(&file, b"another key").expect("asked");
        let second = of_folder(&folder).expect("read");
        let left: Vec<_> = fs::read_dir(folder.join("keys")).expect("there").collect();
        let after = fs::read_to_string(&file).expect("there");
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!((is_written, after, left.len()), (false, kept, 1));
        assert_eq!(first.derive("test").as_slice(), second.derive("test").as_slice());
    }

    #[test]
    fn hex_and_base64_are_taken_and_weak_keys_are_not() {
        let hex = "7d1f0a9b3c5e8842c6d1e0f94b7a38255a6c9e13f7d80b24916e3fa5c8d2074b";
        assert!(given(&hex.to_owned().into()).is_ok());
        let base64 = base64::engine::general_purpose::STANDARD.encode(unhex(hex).expect("hex"));
        assert!(given(&base64.into()).is_ok());
        for weak in
            ["", "secret", &"0".repeat(64), &"ab".repeat(32), "changeme-changeme-changeme-changeme"]
        {
            assert!(given(&weak.to_owned().into()).is_err(), "{weak}");
        }
    }
}
