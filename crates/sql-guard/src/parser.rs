//! The thread on which Postgres's parser runs.
//!
//! There is one, for two reasons:
//!
//! - `libpg_query` can be built so that it points the process's standard error at a pipe while it parses, and back again
//!   afterwards. Two at once would each restore what the other had put there, and standard error would stay closed for good.
//!   The linked one is not built so; with one thread that need not be known.
//! - Going down the tree takes some 20 kB of stack for each level in a debug build: fifty nested calls overflow the two
//!   megabytes that threads usually have, and an overflow ends the process. Here there is room for many times the depth at
//!   which reading the tree stops by itself.

use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// For each of the decoder's hundred levels more than half a megabyte. The system gives memory as it is touched.
const STACK_BYTES: usize = 64 * 1024 * 1024;

type Job = Box<dyn FnOnce() + Send>;

static QUEUE: Mutex<Option<Sender<Job>>> = Mutex::new(None);

/// Runs a job on the parser's thread and waits for what it answers; `None` if the thread cannot be started or the job
/// panicked.
pub(crate) fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, answered) = sync_channel(1);
    // Whoever asked waits for the answer, so that sending it cannot fail.
    let job: Job = Box::new(move || drop(answer.send(job())));
    queue()?.send(job).ok()?;
    let answer = answered.recv().ok();
    if answer.is_none() {
        // The thread has ended with the job that panicked; the next one starts another.
        *QUEUE.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
    answer
}

fn queue() -> Option<Sender<Job>> {
    let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(queue) = queue.as_ref() {
        return Some(queue.clone());
    }
    let (jobs, waiting) = channel::<Job>();
    let work = move || waiting.into_iter().for_each(|job| job());
    thread::Builder::new()
        .name(String::from("sql-parser"))
        .stack_size(STACK_BYTES)
        .spawn(work)
        .ok()?;
    *queue = Some(jobs.clone());
    Some(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_panics_takes_no_other_with_it() {
        assert_eq!(run(|| 1), Some(1));
        let failed: Option<i32> = run(|| panic!("on purpose"));
        assert_eq!(failed, None);
        assert_eq!(run(|| 2), Some(2));
    }
}
