//! Every way to say a table or a column, and for each word the names that it stands in.
//!
//! A large schema has some hundred thousand of them, most made of the same few thousand words: words are kept once and known
//! by number, and the words of all names lie in one list.

use std::hash::BuildHasher;

use super::fast_map::FastMap;
use super::slips::Slips;
use crate::lexicon::LEXICON;

/// A word, by its number in a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WordId(u32);

/// A word of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameWord {
    /// Its base form.
    pub(crate) lemma: WordId,
    pub(crate) stem: WordId,
    /// How much it matters; those of a name sum up to 1.
    pub(crate) weight: f64,
}

/// One way to say a table or a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    table: u32,
    /// One more than its position; zero for the table itself.
    column: u32,
    /// Where its words begin in the list of all.
    from: u32,
    count: u8,
    /// Whether it begins with the table's words.
    pub(crate) with_table: bool,
    /// How good this way is, 1 for the name itself.
    pub(crate) quality: f64,
}

impl Name {
    pub(crate) fn table(&self) -> usize {
        self.table as usize
    }

    pub(crate) fn column(&self) -> Option<usize> {
        self.column.checked_sub(1).map(|it| it as usize)
    }

    /// How many words it has.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.count)
    }
}

/// Where a word stands: in which name, and at which position there.
pub(crate) type Posting = (u32, u8);

/// The most words of a name; what is longer nobody says.
pub(crate) const MAX_WORDS: usize = 8;

/// No further name.
const NONE: u32 = u32::MAX;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    names: Vec<Name>,
    words: Vec<NameWord>,
    texts: Vec<Box<str>>,
    ids: FastMap<Box<str>, u32>,
    /// For each word the names that have a word of that stem, in their order.
    by_stem: Vec<Vec<Posting>>,
    /// For each word the names that have it, where its stem is another.
    by_lemma: Vec<Vec<Posting>>,
    /// From the hash of a name's words, written as one, to the last name that is written so …
    joined: FastMap<u64, u32>,
    /// … and from each name to the one before.
    before: Vec<u32>,
    /// Names that are written as one word where they stand.
    glued: FastMap<Box<str>, Vec<u32>>,
    slips: Slips,
}

impl Vocabulary {
    /// Adds a way to say a table or a column, and gives its number; `None` if it has too many words or none.
    pub(crate) fn add(
        &mut self,
        table: usize,
        column: Option<usize>,
        words: &[String],
        quality: f64,
        with_table: bool,
    ) -> Option<u32> {
        if words.is_empty() || words.len() > MAX_WORDS {
            return None;
        }
        let id = u32::try_from(self.names.len()).ok()?;
        let position = |it: usize| u32::try_from(it).ok();
        let name = Name {
            table: position(table)?,
            column: column.map_or(Some(0), |it| position(it + 1))?,
            from: position(self.words.len())?,
            count: u8::try_from(words.len()).ok()?,
            with_table,
            quality,
        };
        let mut weights: Vec<f64> = words.iter().map(|it| weight(it)).collect();
        // `staff_members` are staff
        if words.len() > 1 && words.last().is_some_and(|it| it == "member") {
            weights[words.len() - 1] = 0.45;
        }
        if weights.iter().all(|it| *it < 0.5) {
            weights.fill(1.0);
        }
        let sum: f64 = weights.iter().sum();
        for ((at, word), weight) in (0_u8..).zip(words).zip(weights) {
            let lemma = self.intern(word);
            let stem = self.intern(&LEXICON.stem(word));
            let all = &mut self.by_stem[stem.0 as usize];
            if all.is_empty() {
                self.slips.add_stem(&self.texts[stem.0 as usize], stem.0);
            }
            all.push((id, at));
            // a letter or a digit is itself, whatever its stem
            if lemma != stem {
                let all = &mut self.by_lemma[lemma.0 as usize];
                if all.is_empty() {
                    self.slips.add_lemma(word, lemma.0);
                }
                all.push((id, at));
            }
            self.words.push(NameWord { lemma, stem, weight: weight / sum });
        }
        let mut before = NONE;
        if words.len() > 1 || words[0].len() > 5 {
            let hash = self.hash_of(&words.concat());
            before = self.joined.insert(hash, id).unwrap_or(NONE);
        }
        self.before.push(before);
        self.names.push(name);
        Some(id)
    }

    /// Adds a form in which a name is written as one word.
    pub(crate) fn glue(&mut self, form: &str, name: u32) {
        if !self.written_as(form).contains(&name) {
            self.glued.entry(form.into()).or_default().push(name);
        }
    }

    /// Makes nothing of those names.
    pub(crate) fn silence(&mut self, gone: impl Fn(&Name) -> bool) {
        self.names.iter_mut().filter(|it| gone(it)).for_each(|it| it.quality = 0.0);
    }

    fn intern(&mut self, word: &str) -> WordId {
        if let Some(&id) = self.ids.get(word) {
            return WordId(id);
        }
        let id = u32::try_from(self.texts.len()).unwrap_or(NONE);
        self.texts.push(word.into());
        self.ids.insert(word.into(), id);
        self.by_stem.push(Vec::new());
        self.by_lemma.push(Vec::new());
        WordId(id)
    }

    fn hash_of(&self, text: &str) -> u64 {
        self.joined.hasher().hash_one(text)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The last name's number.
    pub(crate) fn last(&self) -> Option<u32> {
        self.names.len().checked_sub(1).and_then(|it| u32::try_from(it).ok())
    }

    pub(crate) fn name(&self, id: u32) -> &Name {
        &self.names[id as usize]
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    pub(crate) fn words(&self, name: &Name) -> &[NameWord] {
        &self.words[name.from as usize..name.from as usize + name.len()]
    }

    pub(crate) fn text(&self, word: WordId) -> &str {
        &self.texts[word.0 as usize]
    }

    /// The number of a word that stands in some name, as itself or as a stem.
    pub(crate) fn id(&self, word: &str) -> Option<WordId> {
        self.ids.get(word).copied().map(WordId)
    }

    /// Where words of that stem stand, in the order of the names.
    pub(crate) fn holding(&self, stem: &str) -> &[Posting] {
        self.id(stem).map_or(&[], |it| &self.by_stem[it.0 as usize])
    }

    /// Whether a word of that stem stands in any name.
    pub(crate) fn holds(&self, stem: &str) -> bool {
        !self.holding(stem).is_empty()
    }

    /// The names that are written so where their words are written as one, in their order.
    pub(crate) fn written_as(&self, form: &str) -> Vec<u32> {
        let mut found: Vec<u32> = self.glued.get(form).cloned().unwrap_or_default();
        let mut next = self.joined.get(&self.hash_of(form)).copied().unwrap_or(NONE);
        while next != NONE {
            let mut rest = Some(form);
            for word in self.words(self.name(next)) {
                rest = rest.and_then(|it| it.strip_prefix(self.text(word.lemma)));
            }
            if rest == Some("") {
                found.push(next);
            }
            next = self.before[next as usize];
        }
        found.sort_unstable();
        found
    }

    /// Where the names' stems stand that a word may be a slip of.
    pub(crate) fn near(&self, lemma: &str, stem: &str, limit: usize) -> Vec<&[Posting]> {
        let near = self.slips.near(lemma, stem, limit);
        near.into_iter().map(|it| self.by_stem[it as usize].as_slice()).collect()
    }

    /// The same by whole words: long endings are cut from stems, so that a slip may hide a name that its whole word shows.
    pub(crate) fn near_whole(&self, lemma: &str) -> Vec<&[Posting]> {
        let near = self.slips.near_whole(lemma);
        near.into_iter().map(|it| self.by_lemma[it as usize].as_slice()).collect()
    }

    /// Whether a name better than `quality` has a stem that is one slip away, whatever its first letter.
    pub(crate) fn is_near(&self, stem: &str, quality: f64) -> bool {
        self.slips
            .one_away(stem)
            .any(|it| self.by_stem[it as usize].iter().any(|it| self.name(it.0).quality > quality))
    }
}

/// How much a word says: those that stand in many names say little.
pub(super) fn weight(word: &str) -> f64 {
    match word {
        "id" => 0.5,
        "of" | "the" | "in" | "and" | "to" | "a" | "for" | "is" | "by" | "at" | "or" | "per" => 0.1,
        "dollar" | "usd" | "euro" | "percent" | "km" | "meter" | "metre" | "feet" | "foot"
        | "inch" | "mile" | "kg" | "lb" | "million" | "billion" | "mm" | "cm" | "mph"
        | "second" | "minute" | "gram" | "ton" | "litre" | "liter" => 0.35,
        "annual" | "yearly" | "gross" | "net" | "grand" | "list" => 0.5,
        "code" | "number" | "detail" | "description" | "name" | "value" | "info"
        | "information" => 0.45,
        "date" | "type" | "other" | "ref" | "reference" | "data" | "text" | "1" | "yn" => 0.6,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn names_are_found_by_their_words_and_written_as_one() {
        let mut all = Vocabulary::default();
        let lap = all.add(0, Some(2), &words("fastest lap"), 1.0, false).expect("short enough");
        let laps = all.add(1, None, &words("lap"), 1.0, false).expect("short enough");
        all.glue("laprows", laps);
        assert_eq!(all.holding("lap"), [(lap, 1), (laps, 0)]);
        assert!(all.holds("fastest") && !all.holds("fast"));
        assert_eq!(all.written_as("fastestlap"), [lap]);
        assert_eq!(all.written_as("laprows"), [laps]);
        assert!(all.written_as("fastestla").is_empty() && all.written_as("fastestlaps").is_empty());
        assert_eq!((all.name(lap).table(), all.name(lap).column()), (0, Some(2)));
        assert_eq!(all.name(laps).column(), None);
        let weights: f64 = all.words(all.name(lap)).iter().map(|it| it.weight).sum();
        assert!((weights - 1.0).abs() < 1e-9);
        assert_eq!(all.add(0, None, &words("a b c d e f g h i"), 1.0, false), None, "too long");
    }

    #[test]
    fn slips_are_forgiven_within_their_limits() {
        let mut all = Vocabulary::default();
        let supplier = all.add(0, None, &words("supplier"), 1.0, false).expect("short enough");
        all.add(1, None, &words("ward"), 0.5, false);
        let stem = LEXICON.stem("suplier");
        assert_eq!(all.near("suplier", &stem, 1), [&[(supplier, 0)][..]]);
        assert!(all.near("dupplier", "dupplier", 2).is_empty(), "another first letter");
        assert!(
            all.is_near("wart", 0.4) && !all.is_near("wart", 0.6) && !all.is_near("warmth", 0.4)
        );
    }
}
