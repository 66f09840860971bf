//! How many files and sockets the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Enough for every bound that the server keeps to itself: callers, its own database, sessions on connected ones.
const WANTED: u64 = 16_384;

/// Below this, sessions on connected databases alone could use all of it up.
const NEEDED: u64 = 4096;

/// Raises the limit as far as the system lets us, up to what is wanted. Systems begin at 1,024 for the sake of old programs only.
pub(super) fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = WANTED.min(hard);
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
        }
        Ok(soft.max(wanted))
    });
    match raised {
        Ok(limit) if limit < NEEDED => {
            tracing::warn!(
                limit,
                "few files may be open: raise the limit (`LimitNOFILE` of systemd, `ulimit -Hn`) to 16384"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_and_never_lowered() {
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("readable");
        raise();
        let (after, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("readable");
        assert_eq!(after, before.max(WANTED.min(hard)));
    }
}
