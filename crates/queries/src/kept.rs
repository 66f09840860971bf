//! Answers that are kept for a while, in memory: for whoever asks the same again and takes an answer of some age.
//!
//! **Invariant:** an answer is given out again only for exactly the statement that would be sent: after policies rewrote it,
//! with every value that is bound, those of the caller's attributes among them, over the same state of the schema and of the
//! connection. Callers whom different policies bind never share one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use plinth_connections::{ConnectionId, Opened};
use plinth_core::{Clock, OrgId};
use plinth_schema_introspect::SnapshotId;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::knowledge::Knowledge;
use crate::policies::Shape;
use crate::{CutOff, RawRow, ResultColumn, Rows, RunError, RunLimits, Statement};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The largest answer that is kept, in bytes and rows.
    pub(crate) one: (usize, usize),
    /// What is kept for one organization, in bytes and rows.
    pub(crate) org: (usize, usize),
    /// What is kept for all, in bytes and rows.
    pub(crate) all: (usize, usize),
}

impl Default for Bounds {
    fn default() -> Self {
        Self { one: (4 << 20, 50_000), org: (16 << 20, 200_000), all: (64 << 20, 1_000_000) }
    }
}

impl Bounds {
    /// How many bytes a result may take, as the database sends it, so that it is kept whatever comes; it has at most so many rows,
    /// and no more than are kept.
    fn bytes_of(self, rows: u64) -> u64 {
        let (bytes, most_rows) = self.one;
        let rows = usize::try_from(rows).unwrap_or(usize::MAX).min(most_rows);
        bytes.saturating_sub(ANSWER_BYTES + rows * ROW_BYTES).max(1) as u64
    }
}

/// What a row takes beside its bytes, and an answer beside its rows, about.
const ROW_BYTES: usize = 48;
const ANSWER_BYTES: usize = 1024;

/// How many rows are given out at once.
const BATCH: usize = 1_000;

/// What tells answers apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    org: OrgId,
    connection: ConnectionId,
    version: i64,
    snapshot: SnapshotId,
    shape: Shape,
    /// Of the statement as it is sent, and of how far it may go.
    statement: [u8; 32],
}

impl Key {
    pub(crate) fn new(
        opened: &Opened,
        knowledge: &Knowledge,
        statement: &Statement,
        limits: &RunLimits,
    ) -> Self {
        let mut hash = Sha256::new();
        let mut put = |bytes: Option<&[u8]>| {
            // With its length before it, so that no two lists of texts are the same bytes.
            let length = bytes.map_or(u64::MAX, |it| it.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(bytes.unwrap_or_default());
        };
        put(Some(statement.sql.as_bytes()));
        put(Some(&(statement.parameters.len() as u64).to_be_bytes()));
        for value in &statement.parameters {
            put(value.as_deref().map(str::as_bytes));
        }
        for schema in &statement.search_path {
            put(Some(schema.as_bytes()));
        }
        // Neither the time for which it may run nor whose turn it is has a part in what comes of it.
        let RunLimits {
            rows,
            bytes,
            row_bytes,
            time: _,
            reader_time: _,
            time_zone,
            in_background: _,
        } = limits;
        put(Some(&rows.to_be_bytes()));
        put(Some(&bytes.to_be_bytes()));
        put(Some(&(*row_bytes as u64).to_be_bytes()));
        put(Some(time_zone.as_bytes()));
        Self {
            org: opened.connection.org,
            connection: opened.connection.id,
            version: opened.target.version,
            snapshot: knowledge.snapshot().id,
            shape: knowledge.shape(),
            statement: hash.finalize().into(),
        }
    }
}

/// An answer as it came.
pub(crate) struct Kept {
    columns: Vec<ResultColumn>,
    rows: Vec<RawRow>,
    cut_off: Option<CutOff>,
    made_at: Timestamp,
    size: (usize, usize),
}

impl Kept {
    /// When its rows were asked for: they are at most this old.
    pub(crate) fn made_at(&self) -> Timestamp {
        self.made_at
    }

    /// Its rows, once more.
    pub(crate) fn replay(self: &Arc<Self>) -> Replay {
        Replay { kept: self.clone(), at: 0 }
    }
}

/// Rows that were kept.
pub(crate) struct Replay {
    kept: Arc<Kept>,
    at: usize,
}

#[async_trait]
impl Rows for Replay {
    fn columns(&self) -> &[ResultColumn] {
        &self.kept.columns
    }

    async fn next(&mut self) -> Result<Vec<RawRow>, RunError> {
        let end = self.kept.rows.len().min(self.at + BATCH);
        let some = self.kept.rows[self.at..end].to_vec();
        self.at = end;
        Ok(some)
    }

    fn cut_off(&self) -> Option<CutOff> {
        self.kept.cut_off
    }
}

/// Rows of which some have been fetched already.
struct Begun {
    fetched: std::vec::IntoIter<Vec<RawRow>>,
    rest: Box<dyn Rows>,
}

#[async_trait]
impl Rows for Begun {
    fn columns(&self) -> &[ResultColumn] {
        self.rest.columns()
    }

    async fn next(&mut self) -> Result<Vec<RawRow>, RunError> {
        match self.fetched.next() {
            Some(some) => Ok(some),
            None => self.rest.next().await,
        }
    }

    fn cut_off(&self) -> Option<CutOff> {
        self.rest.cut_off()
    }
}

/// Rows of a run that has less time than the caller said, because some went by before it: they are told of what they said.
pub(crate) struct Hurried {
    pub(crate) rows: Box<dyn Rows>,
    pub(crate) said: Duration,
}

impl Hurried {
    /// The failure, with the limit that the caller said.
    pub(crate) fn told(err: RunError, said: Duration) -> RunError {
        if matches!(err, RunError::TimedOut(_)) { RunError::TimedOut(said) } else { err }
    }
}

#[async_trait]
impl Rows for Hurried {
    fn columns(&self) -> &[ResultColumn] {
        self.rows.columns()
    }

    async fn next(&mut self) -> Result<Vec<RawRow>, RunError> {
        self.rows.next().await.map_err(|err| Self::told(err, self.said))
    }

    fn cut_off(&self) -> Option<CutOff> {
        self.rows.cut_off()
    }
}

/// How a run ended that others wait for.
#[derive(Clone)]
enum Ended {
    Kept(Arc<Kept>),
    Failed(RunError),
    TooLarge,
}

/// What is kept, and what runs to be.
#[derive(Default)]
pub(crate) struct KeptAnswers {
    state: Mutex<State>,
    bounds: Bounds,
}

#[derive(Default)]
struct State {
    held: HashMap<Key, Held>,
    /// By when they were last used, longest ago first.
    order: BTreeMap<u64, Key>,
    uses: u64,
    all: (usize, usize),
    orgs: HashMap<OrgId, (usize, usize)>,
    running: HashMap<Key, (Timestamp, watch::Receiver<Option<Ended>>)>,
}

struct Held {
    kept: Arc<Kept>,
    used: u64,
}

/// What somebody gets who asks.
pub(crate) enum Claim {
    /// An answer that is young enough.
    Kept(Arc<Kept>),
    /// The run that was waited for failed.
    Failed(RunError),
    /// It was waited for as long as the one who asks would have it run.
    Late,
    /// It has to be run, and is too large to be kept or was begun too long ago to be waited for.
    Alone,
    /// It has to be run, and others wait for it meanwhile.
    Ours(Ticket),
}

impl KeptAnswers {
    #[cfg(test)]
    fn within(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// See [`Bounds::bytes_of`].
    pub(crate) fn bytes_of(&self, rows: u64) -> u64 {
        self.bounds.bytes_of(rows)
    }

    /// An answer that is younger, or what to do for one. Of many who ask at once one is told to run it; the others wait for it as
    /// long as they have time `left`, of which their waiting is taken.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        key: &Key,
        max_age: Duration,
        left: &mut Duration,
        clock: &dyn Clock,
    ) -> Claim {
        loop {
            let now = clock.now();
            let is_young = |made_at: Timestamp| {
                let age = Duration::try_from(now.duration_since(made_at)).unwrap_or_default();
                age < max_age
            };
            let mut receiver = {
                let mut state = self.state.lock().expect("not poisoned");
                if let Some(kept) = state.touch(key)
                    && is_young(kept.made_at)
                {
                    return Claim::Kept(kept);
                }
                match state.running.get(key) {
                    Some((since, receiver)) if is_young(*since) => receiver.clone(),
                    Some(_) => return Claim::Alone,
                    None => {
                        let (sender, receiver) = watch::channel(None);
                        state.running.insert(key.clone(), (now, receiver));
                        return Claim::Ours(Ticket {
                            answers: self.clone(),
                            key: key.clone(),
                            sender,
                        });
                    }
                }
            };
            let since = Instant::now();
            let ended = tokio::time::timeout(*left, receiver.wait_for(Option::is_some)).await;
            let ended = ended.map(|it| it.map(|it| it.clone()));
            *left = left.saturating_sub(since.elapsed());
            match ended {
                Err(_) => return Claim::Late,
                Ok(Ok(Some(Ended::Kept(kept)))) => return Claim::Kept(kept),
                Ok(Ok(Some(Ended::Failed(err)))) => return Claim::Failed(err),
                Ok(Ok(Some(Ended::TooLarge))) => return Claim::Alone,
                // Whoever ran it hung up, had less time than it takes, or could not begin: the next one tries.
                Ok(Ok(None) | Err(_)) => {}
            }
        }
    }

    fn keep(&self, key: &Key, kept: &Arc<Kept>) {
        let mut state = self.state.lock().expect("not poisoned");
        state.forget(key);
        let (one, all) = (self.bounds.org, self.bounds.all);
        let with = |held: (usize, usize)| (held.0 + kept.size.0, held.1 + kept.size.1);
        let exceeds =
            |held: (usize, usize), most: (usize, usize)| held.0 > most.0 || held.1 > most.1;
        loop {
            let ours = state.orgs.get(&key.org).copied().unwrap_or_default();
            let victim = if exceeds(with(ours), one) {
                state.order.values().find(|it| it.org == key.org).cloned()
            } else if exceeds(with(state.all), all) {
                state.order.values().next().cloned()
            } else {
                break;
            };
            let Some(victim) = victim else { return };
            state.forget(&victim);
        }
        state.put(key, kept);
    }
}

impl State {
    /// What is held, as used now.
    fn touch(&mut self, key: &Key) -> Option<Arc<Kept>> {
        let held = self.held.get_mut(key)?;
        self.order.remove(&held.used);
        self.uses += 1;
        held.used = self.uses;
        self.order.insert(self.uses, key.clone());
        Some(held.kept.clone())
    }

    fn put(&mut self, key: &Key, kept: &Arc<Kept>) {
        self.uses += 1;
        self.order.insert(self.uses, key.clone());
        self.held.insert(key.clone(), Held { kept: kept.clone(), used: self.uses });
        let org = self.orgs.entry(key.org).or_default();
        for sum in [&mut self.all, org] {
            sum.0 += kept.size.0;
            sum.1 += kept.size.1;
        }
    }

    fn forget(&mut self, key: &Key) {
        let Some(held) = self.held.remove(key) else { return };
        self.order.remove(&held.used);
        let size = held.kept.size;
        self.all = (self.all.0 - size.0, self.all.1 - size.1);
        if let Some(org) = self.orgs.get_mut(&key.org) {
            *org = (org.0 - size.0, org.1 - size.1);
            if *org == (0, 0) {
                self.orgs.remove(&key.org);
            }
        }
    }
}

/// The right, and the duty, to run what others wait for. Dropping it lets the next one try.
pub(crate) struct Ticket {
    answers: Arc<KeptAnswers>,
    key: Key,
    sender: watch::Sender<Option<Ended>>,
}

impl Ticket {
    /// Fetches rows up to the largest answer that is kept, keeps them if these are all, and gives them out.
    ///
    /// They are fetched before anybody gets one: whoever waits for them must not wait for a slow reader.
    ///
    /// # Errors
    ///
    /// The run's own, which those who wait get too, as [`Ticket::fail`] tells it.
    pub(crate) async fn gather(
        self,
        mut rows: Box<dyn Rows>,
        made_at: Timestamp,
    ) -> Result<Box<dyn Rows>, RunError> {
        let (most_bytes, most_rows) = self.answers.bounds.one;
        let mut fetched: Vec<Vec<RawRow>> = Vec::new();
        let (mut bytes, mut count) = (ANSWER_BYTES, 0);
        loop {
            let some = match rows.next().await {
                Ok(some) => some,
                Err(err) => {
                    self.fail(&err);
                    return Err(err);
                }
            };
            if some.is_empty() {
                break;
            }
            count += some.len();
            bytes += some.iter().map(|it| it.size_bytes() + ROW_BYTES).sum::<usize>();
            fetched.push(some);
            if bytes > most_bytes || count > most_rows {
                self.end(Ended::TooLarge);
                return Ok(Box::new(Begun { fetched: fetched.into_iter(), rest: rows }));
            }
        }
        let kept = Arc::new(Kept {
            columns: rows.columns().to_vec(),
            rows: copied(&fetched),
            cut_off: rows.cut_off(),
            made_at,
            size: (bytes, count),
        });
        self.answers.keep(&self.key, &kept);
        self.end(Ended::Kept(kept.clone()));
        Ok(Box::new(kept.replay()))
    }

    /// Tells those who wait that it failed; not of an end that was whoever ran it's own, by their limit or their word.
    pub(crate) fn fail(&self, err: &RunError) {
        match err {
            RunError::TimedOut(_) | RunError::Cancelled => {}
            RunError::Connection(_)
            | RunError::Database(_)
            | RunError::RowTooLarge { .. }
            | RunError::Busy => self.end(Ended::Failed(err.clone())),
        }
    }

    fn end(&self, how: Ended) {
        // Who comes from now on finds what is kept, or tries anew.
        self.answers.state.lock().expect("not poisoned").running.remove(&self.key);
        self.sender.send_replace(Some(how));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.sender.borrow().is_none() {
            self.answers.state.lock().expect("not poisoned").running.remove(&self.key);
        }
    }
}

/// The same rows in one piece of memory: as they came they hold on to whatever they were read with.
fn copied(fetched: &[Vec<RawRow>]) -> Vec<RawRow> {
    let bytes = fetched.iter().flatten().map(RawRow::size_bytes).sum();
    let mut all = Vec::with_capacity(bytes);
    let mut ends = Vec::with_capacity(fetched.iter().map(Vec::len).sum());
    for row in fetched.iter().flatten() {
        all.extend_from_slice(row.as_bytes());
        ends.push(all.len());
    }
    let all = Bytes::from(all);
    let mut begin = 0;
    let row = |end| {
        let row = RawRow::same(all.slice(begin..end));
        begin = end;
        row
    };
    ends.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use plinth_core::ManualClock;

    use super::*;

    fn key(org: OrgId, number: u8) -> Key {
        let at = Timestamp::UNIX_EPOCH;
        Key {
            org,
            connection: ConnectionId::from_uuid(org.as_uuid()),
            version: 1,
            snapshot: SnapshotId::new(at),
            shape: Vec::new(),
            statement: [number; 32],
        }
    }

    fn row(text: &[u8]) -> RawRow {
        let mut body = 1u16.to_be_bytes().to_vec();
        body.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
        body.extend(text);
        RawRow::new(body.into()).unwrap()
    }

    /// So many rows of so many bytes, one at a time, and then a failure if there is one.
    struct Scripted(usize, usize, Option<RunError>);

    #[async_trait]
    impl Rows for Scripted {
        fn columns(&self) -> &[ResultColumn] {
            &[]
        }

        async fn next(&mut self) -> Result<Vec<RawRow>, RunError> {
            tokio::task::yield_now().await;
            if self.0 == 0 {
                return self.2.take().map_or_else(|| Ok(Vec::new()), Err);
            }
            self.0 -= 1;
            Ok(vec![row(&vec![b'x'; self.1])])
        }

        fn cut_off(&self) -> Option<CutOff> {
            None
        }
    }

    async fn count(mut rows: Box<dyn Rows>) -> usize {
        let mut count = 0;
        loop {
            let some = rows.next().await.expect("goes on");
            if some.is_empty() {
                return count;
            }
            count += some.len();
        }
    }

    fn clock() -> ManualClock {
        ManualClock::at("2026-01-01T00:00:00Z".parse().expect("a time"))
    }

    const MINUTE: Duration = Duration::from_mins(1);

    /// What somebody gets who has a minute.
    async fn claim(
        answers: &Arc<KeptAnswers>,
        key: &Key,
        max_age: Duration,
        clock: &ManualClock,
    ) -> Claim {
        answers.claim(key, max_age, &mut { MINUTE }, clock).await
    }

    async fn run(
        answers: &Arc<KeptAnswers>,
        key: &Key,
        clock: &ManualClock,
        rows: Scripted,
    ) -> bool {
        match claim(answers, key, MINUTE, clock).await {
            Claim::Ours(ticket) => {
                drop(ticket.gather(Box::new(rows), clock.now()).await);
                true
            }
            _ => false,
        }
    }

    #[tokio::test]
    async fn an_answer_is_given_out_again_until_it_is_too_old() {
        let (answers, clock) = (Arc::new(KeptAnswers::default()), clock());
        let key = key(OrgId::new(Timestamp::UNIX_EPOCH), 1);
        assert!(run(&answers, &key, &clock, Scripted(3, 10, None)).await);
        clock.advance(jiff::SignedDuration::from_secs(30));
        match claim(&answers, &key, MINUTE, &clock).await {
            Claim::Kept(kept) => assert_eq!(count(Box::new(kept.replay())).await, 3),
            _ => panic!("it is kept"),
        }
        let young = Duration::from_secs(29);
        assert!(matches!(claim(&answers, &key, young, &clock).await, Claim::Ours(_)));
        let other = Key { version: 2, ..key.clone() };
        assert!(matches!(claim(&answers, &other, MINUTE, &clock).await, Claim::Ours(_)));
        let other = Key { shape: vec![(crate::policies::PolicyId::new(clock.now()), 1)], ..key };
        assert!(matches!(claim(&answers, &other, MINUTE, &clock).await, Claim::Ours(_)));
    }

    #[tokio::test]
    async fn one_runs_for_many() {
        let (answers, clock) = (Arc::new(KeptAnswers::default()), Arc::new(clock()));
        let key = key(OrgId::new(Timestamp::UNIX_EPOCH), 1);
        let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let ask = || {
            let (answers, clock, key, runs) =
                (answers.clone(), clock.clone(), key.clone(), runs.clone());
            async move {
                match claim(&answers, &key, MINUTE, &clock).await {
                    Claim::Ours(ticket) => {
                        runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let rows =
                            ticket.gather(Box::new(Scripted(5, 10, None)), clock.now()).await;
                        count(rows.expect("runs")).await
                    }
                    Claim::Kept(kept) => count(Box::new(kept.replay())).await,
                    _ => 0,
                }
            }
        };
        let all: Vec<_> = (0..50).map(|_| tokio::spawn(ask())).collect();
        for one in all {
            assert_eq!(one.await.expect("ends"), 5);
        }
        assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn those_who_wait_learn_of_a_failure_and_go_on_when_the_one_who_ran_hung_up() {
        let (answers, clock) = (Arc::new(KeptAnswers::default()), clock());
        let key = key(OrgId::new(Timestamp::UNIX_EPOCH), 1);
        let Claim::Ours(ticket) = claim(&answers, &key, MINUTE, &clock).await else {
            panic!("first")
        };
        let waiting = claim(&answers, &key, MINUTE, &clock);
        let failing = ticket.gather(Box::new(Scripted(1, 1, Some(RunError::Busy))), clock.now());
        let (waiting, failed) = tokio::join!(waiting, failing);
        assert!(matches!(waiting, Claim::Failed(RunError::Busy)) && failed.is_err());

        let Claim::Ours(ticket) = claim(&answers, &key, MINUTE, &clock).await else {
            panic!("first")
        };
        let waiting = claim(&answers, &key, MINUTE, &clock);
        let hanging_up = async move {
            tokio::task::yield_now().await;
            drop(ticket);
        };
        let (waiting, ()) = tokio::join!(waiting, hanging_up);
        assert!(matches!(waiting, Claim::Ours(_)), "the next one tries");
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_their_own_time_or_learns_of_the_end_of_anothers() {
        let (answers, clock) = (Arc::new(KeptAnswers::default()), clock());
        let key = key(OrgId::new(Timestamp::UNIX_EPOCH), 1);
        for err in [RunError::TimedOut(MINUTE), RunError::Cancelled] {
            let Claim::Ours(ticket) = claim(&answers, &key, MINUTE, &clock).await else {
                panic!("first")
            };
            let mut left = Duration::from_millis(1);
            let waiting = answers.claim(&key, MINUTE, &mut left, &clock).await;
            assert!(matches!(waiting, Claim::Late), "it runs on, and not for this one");
            assert_eq!(left, Duration::ZERO);
            let waiting = claim(&answers, &key, MINUTE, &clock);
            let ending = ticket.gather(Box::new(Scripted(1, 1, Some(err))), clock.now());
            let (waiting, ended) = tokio::join!(waiting, ending);
            assert!(ended.is_err() && matches!(waiting, Claim::Ours(_)), "the next one tries");
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let bounds = Bounds { one: (10_000, 10), org: (5_000, 100), all: (8_000, 100) };
        let (answers, clock) = (Arc::new(KeptAnswers::within(bounds)), clock());
        let at = Timestamp::UNIX_EPOCH;
        let (ours, theirs) = (OrgId::new(at), OrgId::new(at));
        let large = key(ours, 0);
        let Claim::Ours(ticket) = claim(&answers, &large, MINUTE, &clock).await else {
            panic!("first")
        };
        let rows =
            ticket.gather(Box::new(Scripted(20, 10, None)), clock.now()).await.expect("runs");
        assert_eq!(count(rows).await, 20, "all rows come all the same");
        assert!(run(&answers, &large, &clock, Scripted(20, 10, None)).await, "it is not kept");

        for number in 1..=9 {
            assert!(run(&answers, &key_of(ours, number), &clock, Scripted(1, 1_000, None)).await);
        }
        for number in 1..=9 {
            assert!(run(&answers, &key_of(theirs, number), &clock, Scripted(1, 1_000, None)).await);
        }
        let state = answers.state.lock().unwrap();
        assert!(state.all.0 <= 8_000 && state.orgs.values().all(|it| it.0 <= 5_000));
        let sum = state
            .held
            .values()
            .fold((0, 0), |sum, it| (sum.0 + it.kept.size.0, sum.1 + it.kept.size.1));
        assert_eq!((sum, state.order.len()), (state.all, state.held.len()));
        assert!(state.running.is_empty());
        assert!(state.held.contains_key(&key_of(theirs, 9)), "the newest stays");
    }

    #[tokio::test]
    async fn what_takes_no_more_than_its_rows_may_is_kept() {
        let (answers, clock) = (Arc::new(KeptAnswers::default()), clock());
        let org = OrgId::new(Timestamp::UNIX_EPOCH);
        let head = row(b"").size_bytes();
        for (number, rows) in [(1, 1), (2, 500), (3, 2_000), (4, 50_000)] {
            let most = usize::try_from(answers.bytes_of(rows as u64)).unwrap();
            let scripted = |more| Scripted(rows, most / rows - head + more, None);
            assert!(run(&answers, &key_of(org, number), &clock, scripted(0)).await);
            let again = claim(&answers, &key_of(org, number), MINUTE, &clock).await;
            assert!(matches!(again, Claim::Kept(_)), "{rows} rows");
            // And there is no room that is left unused.
            let other = key_of(org, number + 100);
            assert!(run(&answers, &other, &clock, scripted(1)).await);
            assert!(matches!(claim(&answers, &other, MINUTE, &clock).await, Claim::Ours(_)));
        }
    }

    fn key_of(org: OrgId, number: u8) -> Key {
        Key { snapshot: SnapshotId::from_uuid(org.as_uuid()), ..key(org, number) }
    }
}
