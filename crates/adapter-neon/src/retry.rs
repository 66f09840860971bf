use std::time::Duration;

use plinth_control_plane::remote::{RemoteAnswer, RemoteFault};

/// How often a call is sent at most.
const MOST_TRIES: u32 = 4;

/// The longest that a remote's word is waited for, as Neon's own clients do.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait before a call is sent again; `None` if what came is the answer. `tries` counts those that were made,
/// `left` is what remains of the time.
pub(crate) fn pause(
    came: &Result<RemoteAnswer, RemoteFault>,
    reads: bool,
    tries: u32,
    first: Duration,
    left: Duration,
) -> Option<Duration> {
    let may = match came {
        Ok(answer) => match answer.status {
            // Busy, asked too often: nothing was done.
            423 | 429 => true,
            // Who says 503 may stand in between: whether the call went through is not known.
            500 | 502..=504 => reads,
            _ => false,
        },
        Err(RemoteFault::Away(_)) => true,
        Err(RemoteFault::Unknown(_)) => reads,
        Err(RemoteFault::Forbidden(_)) => false,
    };
    if !may || tries >= MOST_TRIES {
        return None;
    }
    let told = came.as_ref().ok().and_then(|it| it.retry_after_seconds).map(Duration::from_secs);
    let usual = first * 2_u32.pow(tries.saturating_sub(1));
    let pause = told.map_or(usual, |it| it.max(usual));
    (pause <= LONGEST_PAUSE && pause < left).then_some(pause)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const LEFT: Duration = Duration::from_secs(20);

    fn answer(status: u16, after: Option<u64>) -> Result<RemoteAnswer, RemoteFault> {
        Ok(RemoteAnswer { status, body: Value::Null, retry_after_seconds: after })
    }

    #[test]
    fn what_changes_something_is_sent_again_only_where_nothing_was_done() {
        let again = |came: &_, reads| pause(came, reads, 1, FIRST, LEFT).is_some();
        for status in [423, 429] {
            assert!(again(&answer(status, None), false), "{status}");
        }
        for status in [500, 502, 503, 504] {
            assert!(!again(&answer(status, None), false), "{status}");
            assert!(again(&answer(status, None), true), "{status}");
        }
        for status in [200, 201, 204, 302, 400, 401, 404, 409, 412, 422, 501] {
            assert!(!again(&answer(status, None), true), "{status}");
        }
        let fault = |it: fn(String) -> RemoteFault| Err(it(String::new()));
        assert!(again(&fault(RemoteFault::Away), false));
        assert!(!again(&fault(RemoteFault::Unknown), false));
        assert!(again(&fault(RemoteFault::Unknown), true));
        assert!(!again(&fault(RemoteFault::Forbidden), true));
    }

    #[test]
    fn pauses_grow_and_keep_to_what_the_remote_says_and_to_the_time() {
        let wait = |tries, after, left| pause(&answer(423, after), false, tries, FIRST, left);
        assert_eq!(wait(1, None, LEFT), Some(FIRST));
        assert_eq!(wait(3, None, LEFT), Some(FIRST * 4));
        assert_eq!(wait(4, None, LEFT), None);
        assert_eq!(wait(1, Some(3), LEFT), Some(Duration::from_secs(3)));
        assert_eq!(wait(1, Some(0), LEFT), Some(FIRST));
        assert_eq!(wait(1, Some(60), LEFT), None, "whoever asked is told at once");
        assert_eq!(wait(1, Some(3), Duration::from_secs(2)), None);
    }
}
