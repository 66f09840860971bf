//! What is known of English in general: base forms, short forms, words that may stand for each other, degrees of
//! adjectives. The data stands in `lexicon/`, one readable file for each kind, and names no database.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// The lexicon, parsed once for the whole process.
pub(crate) static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::parse);

/// See [`Lexicon::related`]: each stem with those nearest to it and those less near, in the order of the stems.
static RELATED: LazyLock<Vec<(&str, &str, &str)>> = LazyLock::new(|| {
    lines(include_str!("../lexicon/related.txt"))
        .filter_map(|line| {
            let (word, others) = line.split_once('=')?;
            let (near, further) = others.split_once('|')?;
            Some((word, near, further))
        })
        .collect()
});

/// What an adjective compares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Degree {
    /// Stems of words in names of what is compared, best first, each with whether "more of the adjective" means a higher value.
    pub(crate) measures: Vec<(String, bool)>,
    /// Whether the positive form alone was said (`old`, not `older` or `oldest`).
    pub(crate) form: Form,
}

/// The form of an adjective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `old`
    Positive,
    /// `older`
    Comparative,
    /// `oldest`
    Superlative,
}

/// See [`LEXICON`].
pub(crate) struct Lexicon {
    irregular: HashMap<&'static str, &'static str>,
    abbreviations: HashMap<&'static str, Vec<&'static str>>,
    synonyms: HashMap<String, Vec<String>>,
    wider: HashMap<String, Vec<String>>,
    equivalents: HashMap<String, Vec<String>>,
    /// The words of the hand-written synonyms, as they stand there.
    told: Vec<&'static str>,
    phrases: HashMap<String, Vec<Vec<String>>>,
    degrees: HashMap<&'static str, Degree>,
    stop: HashSet<&'static str>,
    light: HashSet<&'static str>,
    vocabulary: HashSet<&'static str>,
    places: HashMap<&'static str, usize>,
    place_groups: Vec<Vec<&'static str>>,
    implied: HashMap<&'static str, Vec<&'static str>>,
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

impl Lexicon {
    fn parse() -> Self {
        let irregular = lines(include_str!("../lexicon/irregular.txt"))
            .filter_map(|line| line.split_once(' '))
            .collect::<HashMap<_, _>>();
        let abbreviations = lines(include_str!("../lexicon/abbreviations.txt"))
            .filter_map(|line| line.split_once('='))
            .map(|(short, long)| (short.trim(), long.split_whitespace().collect()))
            .collect();
        let mut this = Self {
            irregular,
            abbreviations,
            synonyms: HashMap::new(),
            wider: HashMap::new(),
            equivalents: HashMap::new(),
            told: Vec::new(),
            phrases: HashMap::new(),
            degrees: HashMap::new(),
            stop: lines(include_str!("../lexicon/stop.txt"))
                .flat_map(str::split_whitespace)
                .collect(),
            light: lines(include_str!("../lexicon/light.txt"))
                .flat_map(str::split_whitespace)
                .collect(),
            vocabulary: lines(include_str!("../lexicon/vocabulary.txt"))
                .flat_map(str::split_whitespace)
                .collect(),
            places: HashMap::new(),
            place_groups: Vec::new(),
            implied: HashMap::new(),
        };
        for line in lines(include_str!("../lexicon/synonyms.txt")) {
            this.told.extend(line.split(',').map(str::trim).filter(|it| !it.contains(' ')));
            let group: Vec<Vec<String>> = line
                .split(',')
                .map(|it| it.split_whitespace().map(|word| this.stem(&this.lemma(word))).collect())
                .collect();
            for (at, left) in group.iter().enumerate() {
                for (other, right) in group.iter().enumerate() {
                    if at == other {
                        continue;
                    }
                    if let ([left], [right]) = (left.as_slice(), right.as_slice()) {
                        let entry = this.synonyms.entry(left.clone()).or_default();
                        if !entry.contains(right) {
                            entry.push(right.clone());
                        }
                    } else {
                        this.phrases.entry(left.join(" ")).or_default().push(right.clone());
                    }
                }
            }
        }
        this.told.sort_unstable();
        this.told.dedup();
        for line in lines(include_str!("../lexicon/equivalents.txt")) {
            let stems: Vec<String> =
                line.split(',').map(|it| this.stem(&this.lemma(it.trim()))).collect();
            for one in &stems {
                for other in stems.iter().filter(|it| *it != one) {
                    let synonyms = this.synonyms.entry(one.clone()).or_default();
                    if !synonyms.contains(other) {
                        synonyms.push(other.clone());
                    }
                    this.equivalents.entry(one.clone()).or_default().push(other.clone());
                }
            }
        }
        for line in lines(include_str!("../lexicon/wordnet.txt")) {
            let Some((word, others)) = line.split_once('=') else { continue };
            let word = this.stem(&this.lemma(word.trim()));
            for other in others.split(',') {
                let other = this.stem(&this.lemma(other.trim()));
                for (a, b) in [(&word, &other), (&other, &word)] {
                    let new = a != b && !this.synonyms.get(a).is_some_and(|it| it.contains(b));
                    let entry = this.wider.entry(a.clone()).or_default();
                    if new && !entry.contains(b) {
                        entry.push(b.clone());
                    }
                }
            }
        }
        for line in lines(include_str!("../lexicon/adjectives.txt")) {
            let mut parts = line.split('|').map(str::trim);
            let (Some(base), Some(forms), Some(measures)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let measures: Vec<(String, bool)> = measures
                .split_whitespace()
                .map(|it| (this.stem(&this.lemma(&it[1..])), it.starts_with('+')))
                .collect();
            let of = |form| Degree { measures: measures.clone(), form };
            this.degrees.insert(base, of(Form::Positive));
            for word in forms.split_whitespace() {
                let form = if word.ends_with("st") { Form::Superlative } else { Form::Comparative };
                this.degrees.insert(word, of(form));
            }
        }
        for line in lines(include_str!("../lexicon/places.txt")) {
            let group: Vec<&str> = line.split(',').map(str::trim).collect();
            for name in &group {
                this.places.insert(name, this.place_groups.len());
            }
            this.place_groups.push(group);
        }
        for line in lines(include_str!("../lexicon/implied.txt")) {
            if let Some((word, columns)) = line.split_once('=') {
                this.implied.insert(word.trim(), columns.split(',').map(str::trim).collect());
            }
        }
        this
    }

    /// The base form of a lower-case word: singular, infinitive.
    pub(crate) fn lemma(&self, word: &str) -> String {
        if let Some(base) = self.irregular.get(word) {
            return (*base).to_owned();
        }
        let n = word.len();
        if !word.is_ascii() || n < 4 {
            return word.to_owned();
        }
        if n > 4 && word.ends_with("ies") {
            return format!("{}y", &word[..n - 3]);
        }
        for ending in ["sses", "shes", "ches", "xes", "zzes"] {
            if word.ends_with(ending) {
                return word[..n - 2].to_owned();
            }
        }
        if word.ends_with('s') && !["ss", "us", "is"].iter().any(|it| word.ends_with(it)) {
            return word[..n - 1].to_owned();
        }
        word.to_owned()
    }

    /// What words of one family have in common: `registration`, `registered` and `register` have one stem.
    #[expect(clippy::unused_self, reason = "reads like its siblings")]
    pub(crate) fn stem(&self, lemma: &str) -> String {
        if !lemma.is_ascii() || lemma.len() < 5 {
            return lemma.to_owned();
        }
        const ENDINGS: [&str; 22] = [
            "ational", "ization", "isation", "ation", "ition", "ities", "ments", "ement", "ment",
            "ance", "ence", "ency", "ion", "ity", "ing", "ist", "ies", "al", "ed", "er", "or",
            "ly",
        ];
        // whole words that only look as if they ended so
        const WHOLE: [&str; 30] = [
            "register",
            "deliver",
            "customer",
            "transfer",
            "consider",
            "computer",
            "semester",
            "character",
            "discover",
            "remember",
            "administer",
            "chapter",
            "december",
            "november",
            "october",
            "september",
            "monitor",
            "doctor",
            "sponsor",
            "factor",
            "quarter",
            "counter",
            "browser",
            "charter",
            "shelter",
            "cluster",
            "document",
            "department",
            "apartment",
            "element",
        ];
        if WHOLE.contains(&lemma) {
            return lemma.to_owned();
        }
        for ending in ENDINGS {
            if lemma.len() >= ending.len() + 4 && lemma.ends_with(ending) {
                let mut stem = lemma[..lemma.len() - ending.len()].to_owned();
                let bytes = stem.as_bytes();
                // shipped → ship, planned → plan
                if ["ed", "ing", "er"].contains(&ending)
                    && bytes.len() > 3
                    && bytes[bytes.len() - 1] == bytes[bytes.len() - 2]
                    && !b"lse".contains(&bytes[bytes.len() - 1])
                {
                    stem.pop();
                }
                return finish(stem);
            }
        }
        return finish(lemma.to_owned());

        fn finish(mut stem: String) -> String {
            // registration and register
            if stem.ends_with("istr") {
                stem.pop();
                stem.push_str("er");
            }
            if stem.len() > 4 && (stem.ends_with('e') || stem.ends_with('y')) {
                stem.pop();
            }
            stem
        }
    }

    /// The words behind a short form in a name.
    pub(crate) fn expand(&self, word: &str) -> Option<&[&'static str]> {
        self.abbreviations.get(word).map(Vec::as_slice)
    }

    /// Stems that may stand for that stem.
    pub(crate) fn synonyms(&self, stem: &str) -> &[String] {
        self.synonyms.get(stem).map_or(&[], Vec::as_slice)
    }

    /// Whether both stems mean the same wherever they stand in a name.
    pub(crate) fn is_same(&self, stem: &str, other: &str) -> bool {
        self.equivalents.get(stem).is_some_and(|it| it.iter().any(|it| it == other))
    }

    /// Further stems that may stand for that stem, less likely so.
    pub(crate) fn wider(&self, stem: &str) -> &[String] {
        self.wider.get(stem).map_or(&[], Vec::as_slice)
    }

    /// Stems that are near that stem in general dictionaries, each with whether it is very near: a last resort.
    #[expect(clippy::unused_self, reason = "reads like its siblings")]
    pub(crate) fn related(&self, stem: &str) -> impl Iterator<Item = (&'static str, bool)> {
        let all = &*RELATED;
        let (near, further) = all
            .binary_search_by_key(&stem, |it| it.0)
            .map_or(("", ""), |at| (all[at].1, all[at].2));
        let part = |list: &'static str, near: bool| {
            list.split(',').filter(|it| !it.is_empty()).map(move |it| (it, near))
        };
        part(near, true).chain(part(further, false))
    }

    /// Phrases (as stems) that may stand for these stems, where either has several words.
    pub(crate) fn phrases(&self, stems: &str) -> &[Vec<String>] {
        self.phrases.get(stems).map_or(&[], Vec::as_slice)
    }

    /// Words that others may stand for.
    pub(crate) fn told(&self) -> &[&'static str] {
        &self.told
    }

    /// What that word compares, if it is an adjective of degree.
    pub(crate) fn degree(&self, word: &str) -> Option<&Degree> {
        self.degrees.get(word)
    }

    /// Whether an answer that leaves it out is hardly another one.
    pub(crate) fn is_light(&self, word: &str) -> bool {
        self.light.contains(word)
    }

    /// Whether it carries no content of its own.
    pub(crate) fn is_stop(&self, word: &str) -> bool {
        self.stop.contains(word)
    }

    /// Whether it is a common word of names.
    pub(crate) fn is_vocabulary(&self, word: &str) -> bool {
        self.vocabulary.contains(word)
    }

    /// Whether somebody who types it meant it: it stands somewhere in the lexicon.
    pub(crate) fn knows(&self, word: &str, stem: &str) -> bool {
        self.is_stop(word)
            || self.is_vocabulary(word)
            || self.irregular.contains_key(word)
            || self.degrees.contains_key(word)
            || self.synonyms.contains_key(stem)
            || self.wider.contains_key(stem)
    }

    /// Other ways to name a place or what comes from it (`american`, `usa`, `united states`), itself included.
    pub(crate) fn place(&self, name: &str) -> &[&'static str] {
        self.places.get(name).map_or(&[], |at| self.place_groups[*at].as_slice())
    }

    /// Names of columns that a question word or a verb asks for (`when` → date, time …), best first.
    pub(crate) fn implied(&self, word: &str) -> &[&'static str] {
        self.implied.get(word).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::LEXICON;

    #[test]
    fn plurals_and_irregular_forms_have_one_base_form() {
        let base = |word| LEXICON.lemma(word);
        assert_eq!(base("cities"), "city");
        assert_eq!(base("boxes"), "box");
        assert_eq!(base("courses"), "course");
        assert_eq!(base("people"), "person");
        assert_eq!(base("status"), "status");
        assert_eq!(base("classes"), "class");
    }

    #[test]
    fn words_of_a_family_share_a_stem() {
        let stem = |word| LEXICON.stem(&LEXICON.lemma(word));
        assert_eq!(stem("registration"), stem("registered"));
        assert_eq!(stem("shipped"), stem("ships"));
        assert_eq!(stem("ranking"), stem("ranks"));
        assert_ne!(stem("order"), stem("ore"));
    }

    #[test]
    fn degrees_know_what_they_compare() {
        let oldest = LEXICON.degree("oldest").expect("an adjective");
        assert_eq!(oldest.measures[0], ("age".to_owned(), true));
        assert!(LEXICON.degree("table").is_none());
    }
}
