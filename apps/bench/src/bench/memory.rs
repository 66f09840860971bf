//! How much memory a process takes.

use std::fs;

use anyhow::{Context as _, Result};

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Now in use.
    pub(super) resident: f64,
    /// The most that was in use since [`reset_peak`].
    pub(super) peak: f64,
}

/// Looks at a process.
///
/// # Errors
/// If it is gone, or this is no Linux.
pub(super) fn look(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let field = |name| mebibytes(&status, name).with_context(|| format!("{path} has no {name}"));
    Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// Lets the peak begin anew from what is in use now.
///
/// # Errors
/// If the process is gone, or is not ours.
pub(super) fn reset_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("writing {path}"))
}

fn mebibytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_noticed_and_forgotten() {
        let pid = std::process::id();
        let before = look(pid).unwrap();
        let block = std::hint::black_box(vec![1_u8; 64 * 1024 * 1024]);
        assert!(look(pid).unwrap().peak >= before.resident + 60.0);
        drop(block);
        reset_peak(pid).unwrap();
        assert!(look(pid).unwrap().peak < before.resident + 60.0);
    }
}
