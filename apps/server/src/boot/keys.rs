use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use plinth_connections::{KeySource, MasterKey, MasterKeys};
use secrecy::{ExposeSecret as _, SecretString};

use super::folder::{hex, make_private, write_secret, write_secret_once};

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

/// The keys that the operator gives: the one that wraps, and the earlier ones, separated by commas.
///
/// # Errors
///
/// As for [`given`].
pub(crate) fn all_given(
    current: &SecretString,
    previous: Option<&SecretString>,
) -> anyhow::Result<MasterKeys> {
    let previous = previous.map(|it| it.expose_secret().split(',')).into_iter().flatten();
    let previous: Vec<MasterKey> = previous
        .filter(|it| !it.trim().is_empty())
        .map(|it| given(&it.to_owned().into()).context("PLINTH_MASTER_KEY_PREVIOUS"))
        .collect::<anyhow::Result<_>>()?;
    Ok(MasterKeys::new(given(current)?, previous))
}

/// The master keys of a data folder: `master.key` wraps, each `master-….key` still opens. One is made when the folder is
/// new. Whoever holds them reads the folder again when they meet a key that they do not know.
///
/// # Errors
///
/// If one cannot be read or written, or holds something else.
pub(crate) fn of_folder(data_dir: &Path) -> anyhow::Result<MasterKeys> {
    let folder = Folder(data_dir.join("keys"));
    if read(&folder.current())?.is_none() {
        make_private(&folder.0)?;
        let new = random_key()?;
        // A server and a command beside it may both find the folder new. Whoever writes second takes the other's key:
        // what is sealed with a key that is in no file could never be opened again.
        write_secret_once(&folder.current(), new.as_bytes())?;
    }
    let (current, previous) = folder.read_all()?;
    Ok(MasterKeys::new(current, previous).with_source(folder))
}

/// Makes a new master key in a data folder; the one until now stays beside it.
///
/// # Errors
///
/// If a file cannot be read or written; the keys are then as they were, or the old one stands there twice.
pub(crate) fn replace_in_folder(data_dir: &Path) -> anyhow::Result<()> {
    let folder = Folder(data_dir.join("keys"));
    let text = fs::read(folder.current()).context("cannot read the master key")?;
    let (current, _) = folder.read_all()?;
    let kept = folder.0.join(format!("{PREFIX}{}.{EXTENSION}", current.id()));
    write_secret_once(&kept, &text)?;
    write_secret(&folder.current(), random_key()?.as_bytes())
}

const PREFIX: &str = "master-";
const EXTENSION: &str = "key";

/// The folder of the keys.
struct Folder(PathBuf);

impl Folder {
    fn current(&self) -> PathBuf {
        self.0.join("master.key")
    }

    fn read_all(&self) -> anyhow::Result<(MasterKey, Vec<MasterKey>)> {
        let file = self.current();
        let current = read(&file)?.with_context(|| format!("cannot read {}", file.display()))?;
        let mut previous = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let file = entry?.path();
            let name = file.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            let is_key = file.extension().is_some_and(|it| it == EXTENSION);
            if name.starts_with(PREFIX) && is_key {
                previous.extend(read(&file)?.filter(|it| it.id() != current.id()));
            }
        }
        Ok((current, previous))
    }
}

impl KeySource for Folder {
    fn read(&self) -> Option<(MasterKey, Vec<MasterKey>)> {
        match self.read_all() {
            Ok(keys) => Some(keys),
            Err(err) => {
                tracing::error!(error = format!("{err:#}"), "the master keys cannot be read again");
                None
            }
        }
    }
}

/// A new key as it stands in a file.
fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|err| anyhow::anyhow!("the system has no randomness: {err}"))?;
    Ok(format!("{}\n", hex(&bytes)))
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
        assert_eq!(first.ids(), second.ids());
    }

    #[test]
    fn a_replaced_key_stays_beside_the_new_one_and_is_met_without_a_restart() {
        let folder = std::env::temp_dir().join(format!("plinth-rotated-{}", std::process::id()));
        let running = of_folder(&folder).expect("made");
        let old = running.ids();
        replace_in_folder(&folder).expect("replaced");
        let started = of_folder(&folder).expect("read").ids();
        assert_eq!((started.len(), started[1]), (2, old[0]));
        running.reload();
        assert_eq!(running.ids(), started);
        replace_in_folder(&folder).expect("replaced again");
        assert_eq!(of_folder(&folder).expect("read").ids().len(), 3);
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn earlier_keys_are_a_list() {
        let key =
            |seed: u8| hex(&(0..32).map(|it: u8| it.wrapping_mul(7) ^ seed).collect::<Vec<u8>>());
        let previous = format!("{}, {},", key(1), key(2)).into();
        let keys = all_given(&key(3).into(), Some(&previous)).expect("good");
        assert_eq!(keys.ids().len(), 3);
        assert!(all_given(&key(3).into(), Some(&"secret".to_owned().into())).is_err());
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
