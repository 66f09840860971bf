//! What the queue counts of runs whose workers die.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{OrgId, UserId};

use super::{advance, done, ended, enqueue, limits, put};
use crate::{Advance, Attempt, RunQueue, RunState, Then, WorkflowStore};

/// How often a run was lost in a row, with nothing stored in between. `pass` moves the database's clock.
///
/// # Panics
///
/// If the contract is broken.
pub async fn losses_contract(
    store: &dyn WorkflowStore,
    queue: &dyn RunQueue,
    us: (OrgId, UserId),
    at: Timestamp,
    pass: impl Fn(SignedDuration),
) {
    let id = put(store, us, "deadly", at, 10).await;
    let run = enqueue(store, us.0, id, at).await;
    let take = async || queue.take(&limits(1)).await.expect("taken").runs.remove(0);
    let lose = async |times: usize| {
        let mut counted = Vec::new();
        for _ in 0..times {
            pass(SignedDuration::from_secs(4));
            counted.push(take().await.losses);
        }
        counted
    };
    assert_eq!(take().await.losses, 0);
    assert_eq!(lose(3).await, [1, 2, 3]);
    // What is given back, or put back without a try, was not lost; that it was lost before is not forgotten by it.
    pass(SignedDuration::from_secs(4));
    let taken = take().await;
    let held = [(run, taken.fence)];
    assert_eq!(queue.keep(&held, Duration::ZERO).await.expect("kept"), [run]);
    let taken = take().await;
    assert_eq!(taken.losses, 4);
    let wait = advance(&taken, None, Then::Again { pause: Duration::from_secs(1) });
    assert_eq!(queue.advance(us.0, &[wait]).await.expect("stored"), [true]);
    pass(SignedDuration::from_secs(2));
    assert_eq!(take().await.losses, 4);
    assert_eq!(lose(1).await, [5]);

    // With a step, and with a try, it is another matter.
    pass(SignedDuration::from_secs(4));
    let taken = take().await;
    let step = advance(&taken, Some(done(0, at)), Then::Continue);
    assert_eq!(queue.advance(us.0, &[step]).await.expect("stored"), [true]);
    assert_eq!(lose(2).await, [1, 2]);
    pass(SignedDuration::from_secs(4));
    let taken = take().await;
    let attempt = Attempt {
        position: 1,
        number: 1,
        succeeded: Some(false),
        request: None,
        response: None,
        error: None,
        started_at: at,
        ended_at: Some(at),
    };
    let again = advance(&taken, None, Then::Again { pause: Duration::ZERO });
    let again = Advance { attempt: Some(attempt), ..again };
    assert_eq!(queue.advance(us.0, &[again]).await.expect("stored"), [true]);
    assert_eq!(take().await.losses, 0);
    assert_eq!(lose(9).await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);

    // One that is given up is not read, and ends as any other.
    pass(SignedDuration::from_secs(4));
    let taken = take().await;
    assert!(taken.is_given_up() && taken.done.is_empty(), "{taken:?}");
    let end = Advance { stored: 1, ..advance(&taken, None, ended(RunState::Failed)) };
    assert_eq!((taken.stored, queue.advance(us.0, &[end]).await.expect("stored")), (1, vec![true]));
}
