//! Which words of names a mistyped word may be: sought among those of about its length, not among all.

use super::fast_map::FastMap;
use crate::link::distance;

/// Words by their number, with their texts: none is looked up while they are compared.
type Bucket = Vec<(u32, Box<str>)>;

/// The stems and whole words of names, by their first letter and by how many letters they have.
#[derive(Clone, Debug, Default)]
pub(super) struct Slips {
    stems: FastMap<(char, usize), Bucket>,
    lemmas: FastMap<(char, usize), Bucket>,
    /// The first letters that stems have.
    letters: Vec<char>,
}

/// Where a word belongs; `None` for one that is too short for a slip to be told from another word.
fn place(word: &str) -> Option<(char, usize)> {
    (word.len() > 3).then_some(())?;
    Some((word.chars().next()?, word.chars().count()))
}

impl Slips {
    pub(super) fn add_stem(&mut self, stem: &str, id: u32) {
        let Some(place) = place(stem) else { return };
        self.stems.entry(place).or_default().push((id, stem.into()));
        if !self.letters.contains(&place.0) {
            self.letters.push(place.0);
        }
    }

    pub(super) fn add_lemma(&mut self, lemma: &str, id: u32) {
        if let Some(place) = place(lemma) {
            self.lemmas.entry(place).or_default().push((id, lemma.into()));
        }
    }

    /// Stems with the same first letter within `limit` slips of the stem, or, if they are long, within one of the base form.
    pub(super) fn near(&self, lemma: &str, stem: &str, limit: usize) -> Vec<u32> {
        let Some(first) = stem.chars().next() else { return Vec::new() };
        let (of_stem, of_lemma) = (stem.chars().count(), lemma.chars().count());
        let least = of_stem.saturating_sub(limit).min(of_lemma.saturating_sub(1));
        let most = (of_stem + limit).max(of_lemma + 1);
        let mut found: Vec<u32> = Vec::new();
        for length in least..=most {
            let near = self.stems.get(&(first, length)).into_iter().flatten().filter(|(_, it)| {
                distance(stem, it, limit) <= limit || it.len() > 5 && distance(lemma, it, 1) <= 1
            });
            found.extend(near.map(|it| it.0));
        }
        found.sort_unstable();
        found
    }

    /// Whole words with the same first letter within one slip of the base form.
    pub(super) fn near_whole(&self, lemma: &str) -> Vec<u32> {
        let Some(first) = lemma.chars().next() else { return Vec::new() };
        let letters = lemma.chars().count();
        let mut found: Vec<u32> = Vec::new();
        for length in letters.saturating_sub(1)..=letters + 1 {
            let near = self.lemmas.get(&(first, length)).into_iter().flatten();
            let near = near.filter(|(_, it)| it.len() > 5 && distance(lemma, it, 1) <= 1);
            found.extend(near.map(|it| it.0));
        }
        found.sort_unstable();
        found
    }

    /// Stems within one slip, the first letter included.
    pub(super) fn one_away<'a>(&'a self, stem: &'a str) -> impl Iterator<Item = u32> + 'a {
        let letters = stem.chars().count();
        self.letters
            .iter()
            .flat_map(move |first| {
                (letters.saturating_sub(1)..=letters + 1)
                    .filter_map(move |length| self.stems.get(&(*first, length)))
            })
            .flatten()
            .filter(move |(_, it)| distance(stem, it, 1) <= 1)
            .map(|it| it.0)
    }
}
