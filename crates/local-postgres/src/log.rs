use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Size at which a log moves to `<log>.1`; so both take at most twice this, and what comes within
/// one look.
const LIMIT_BYTES: u64 = 8 << 20;

/// How much of a log goes into an error.
const TAIL_BYTES: u64 = 4 << 10;

/// Opens a log to append to it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Moves the log away once it is large. A server that writes to it meanwhile goes on at its new
/// beginning, because it appends; what it writes between our copy and our cut is lost, which we
/// take for a log.
pub(crate) fn limit(path: &Path) -> io::Result<()> {
    limit_to(path, LIMIT_BYTES)
}

fn limit_to(path: &Path, limit_bytes: u64) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(err),
    };
    let size = file.metadata()?.len();
    if size <= limit_bytes {
        return Ok(());
    }
    let mut older =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(older(path))?;
    file.seek(SeekFrom::Start(size - limit_bytes))?;
    io::copy(&mut (&file).take(limit_bytes), &mut older)?;
    older.flush()?;
    file.set_len(0)
}

fn older(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}

/// The last lines that were written after `from_byte`.
pub(crate) fn tail(path: &Path, from_byte: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(TAIL_BYTES).max(from_byte);
        file.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) if text.is_empty() => "(nothing was written)".to_owned(),
        Ok(text) => String::from_utf8_lossy(&text).trim_end().to_owned(),
        Err(err) => format!("(it cannot be read: {err})"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_large_log_is_moved_away_and_its_writer_goes_on() {
        let path = std::env::temp_dir().join(format!("plinth-log-{}", std::process::id()));
        let mut writer = open(&path).unwrap();
        writer.write_all(b"first\nsecond\n").unwrap();
        limit_to(&path, 7).unwrap();
        writer.write_all(b"third\n").unwrap();
        let (now, before) =
            (fs::read_to_string(&path).unwrap(), fs::read_to_string(older(&path)).unwrap());
        fs::remove_file(&path).unwrap();
        fs::remove_file(older(&path)).unwrap();
        assert_eq!((now.as_str(), before.as_str()), ("third\n", "second\n"));
    }
}
