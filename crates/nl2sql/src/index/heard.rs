//! Which names the words of questions may be words of, kept while an index lives: one question is linked many times over
//! (as it stands, inside each shape, for what is proposed instead), and people ask in the same words.

use std::sync::{Arc, Mutex, PoisonError};

use super::fast_map::FastMap;
use crate::{join::JoinPlan, link::NameLink, work};

/// That a word may be one of a name's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) name: u32,
    /// Its position there.
    pub(crate) at: u8,
    /// How alike they are.
    pub(crate) score: f64,
}

/// By which words names were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kin {
    /// By the word itself, or one of the product's own lists.
    #[default]
    Own,
    /// By one that is near to it in general dictionaries.
    Near,
    /// By one that is less near.
    Loose,
}

/// The names that one word may be a word of, in their order.
#[derive(Debug, Default)]
pub(crate) struct WordHits {
    hits: Vec<Hit>,
    kin: Kin,
}

impl WordHits {
    /// Brings hits in the order of the names; each position of a name keeps the best of its own.
    pub(crate) fn new(mut hits: Vec<Hit>) -> Self {
        // Sorting keeps the order of what is said of one name.
        hits.sort_by_key(|it| it.name);
        let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
        for hit in hits {
            let own = kept.iter_mut().rev().take_while(|it| it.name == hit.name);
            match own.into_iter().find(|it| it.at == hit.at) {
                Some(it) => it.score = it.score.max(hit.score),
                None => kept.push(hit),
            }
        }
        kept.shrink_to_fit();
        Self { hits: kept, kin: Kin::Own }
    }

    /// The same, found by such words.
    pub(crate) fn by(self, kin: Kin) -> Self {
        Self { kin, ..self }
    }

    /// By which words they were found.
    pub(crate) fn kin(&self) -> Kin {
        self.kin
    }

    pub(crate) fn len(&self) -> usize {
        self.hits.len()
    }

    /// Where in that name the word may stand.
    pub(crate) fn of(&self, name: u32) -> &[Hit] {
        let from = self.hits.partition_point(|it| it.name < name);
        let count = self.hits[from..].iter().take_while(|it| it.name == name).count();
        &self.hits[from..from + count]
    }

    /// The names, each with where the word may stand in it.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = &[Hit]> {
        self.hits.chunk_by(|a, b| a.name == b.name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hit> {
        self.hits.iter()
    }
}

/// The most hits that are kept of all words together: some megabytes.
const MAX_HITS: usize = 200_000;

/// The most words of which hits are kept.
const MAX_WORDS: usize = 2_000;

/// See the module. Clones share what is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    words: FastMap<Box<str>, Arc<WordHits>>,
    hits: usize,
    spans: FastMap<Box<str>, (Arc<[NameLink]>, u64)>,
}

/// The most spans of words of which it is kept what they may name.
const MAX_SPANS: usize = 2_000;

impl Heard {
    /// The hits of a word, found out by `find` where they are not known.
    pub(crate) fn hits(&self, word: &str, find: impl FnOnce() -> WordHits) -> Arc<WordHits> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().words.get(word) {
            return known.clone();
        }
        let found = Arc::new(find());
        // a word of more than all may have is not worth what is kept of the others
        if found.len() > MAX_HITS {
            return found;
        }
        let mut kept = lock();
        if kept.words.len() >= MAX_WORDS || kept.hits + found.len() > MAX_HITS {
            *kept = Kept::default();
        }
        if kept.words.insert(word.into(), found.clone()).is_none() {
            kept.hits += found.len();
        }
        found
    }

    /// What some words may name, with all that decides it in `said`; found out by `find` where it is not known.
    pub(crate) fn links(
        &self,
        said: &str,
        find: impl FnOnce() -> Vec<NameLink>,
    ) -> Arc<[NameLink]> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().spans.get(said).cloned();
        if let Some((links, steps)) = known {
            work::note(usize::try_from(steps).unwrap_or(usize::MAX));
            return links;
        }
        let before = work::done();
        let links: Arc<[NameLink]> = find().into();
        let mut kept = lock();
        if kept.spans.len() >= MAX_SPANS {
            kept.spans.clear();
        }
        kept.spans.insert(said.into(), (links.clone(), work::done() - before));
        links
    }
}

/// What decides how tables join: the tables with their roles, the references that are meant, the tables that are named.
pub(crate) type PlanKey = (Vec<(usize, u8)>, Vec<usize>, Vec<usize>);

/// The most plans that are kept.
const MAX_PLANS: usize = 2_000;

/// How tables join, as it was found out, with the steps that it took: one reading asks for the same plan a dozen times. Clones
/// share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plans(Arc<Mutex<FastMap<PlanKey, (Option<Arc<JoinPlan>>, u64)>>>);

impl Plans {
    /// How these tables join, found out by `find` where it is not known.
    pub(crate) fn plan(
        &self,
        key: PlanKey,
        find: impl FnOnce() -> Option<JoinPlan>,
    ) -> Option<Arc<JoinPlan>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&key).cloned();
        if let Some((plan, steps)) = known {
            work::note(usize::try_from(steps).unwrap_or(usize::MAX));
            return plan;
        }
        let before = work::done();
        let plan = find().map(Arc::new);
        let mut kept = lock();
        if kept.len() >= MAX_PLANS {
            kept.clear();
        }
        kept.insert(key, (plan.clone(), work::done() - before));
        plan
    }
}

/// The most questions of which it is kept whether they can be answered.
const MAX_QUESTIONS: usize = 500;

/// Whether questions can be answered that may be proposed instead of others, and how many steps it took to find out: the
/// same few are proposed again and again. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answerable(Arc<Mutex<FastMap<Box<str>, (bool, u64)>>>);

impl Answerable {
    /// Whether that question can be answered, found out by `find` where it is not known.
    pub(crate) fn knows(&self, question: &str, find: impl FnOnce() -> bool) -> bool {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(question).copied();
        if let Some((answer, steps)) = known {
            work::note(usize::try_from(steps).unwrap_or(usize::MAX));
            return answer;
        }
        let before = work::done();
        let answer = find();
        let mut kept = lock();
        if kept.len() >= MAX_QUESTIONS {
            kept.clear();
        }
        kept.insert(question.into(), (answer, work::done() - before));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(name: u32, at: u8, score: f64) -> Hit {
        Hit { name, at, score }
    }

    #[test]
    fn each_position_of_a_name_keeps_its_best() {
        let hits = [hit(7, 1, 0.9), hit(3, 0, 0.7), hit(7, 0, 0.7), hit(7, 1, 1.0)];
        let hits = WordHits::new(hits.to_vec());
        assert_eq!(hits.of(7), [hit(7, 1, 1.0), hit(7, 0, 0.7)]);
        assert_eq!(hits.of(3), [hit(3, 0, 0.7)]);
        assert!(hits.of(5).is_empty() && hits.of(8).is_empty());
        let names: Vec<u32> = hits.by_name().map(|it| it[0].name).collect();
        assert_eq!(names, [3, 7]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let heard = Heard::default();
        let many = |count: usize| {
            let all = (0..count).map(|it| hit(u32::try_from(it).expect("small"), 0, 1.0));
            WordHits::new(all.collect())
        };
        assert_eq!(heard.hits("order", || many(1)).len(), 1);
        assert_eq!(heard.hits("order", || panic!("it is known")).len(), 1);
        assert_eq!(heard.hits("name", || many(MAX_HITS)).len(), MAX_HITS);
        assert_eq!(heard.hits("everything", || many(MAX_HITS + 1)).len(), MAX_HITS + 1);
        let kept = heard.0.lock().expect("not poisoned");
        assert_eq!((kept.words.len(), kept.hits), (1, MAX_HITS), "the first one went");
    }
}
