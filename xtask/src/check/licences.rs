//! Every package's licence is one that a product under Apache-2.0 can be given away with.

use super::Report;
use super::graph::Graph;

/// Licences that ask for no more than credit, or (MPL) for the source of the files themselves.
const ALLOWED: [&str; 17] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PostgreSQL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(super) fn check(graph: &Graph) -> Report {
    let mut faults = Vec::new();
    for package in &graph.packages {
        let name = format!("{} {}", package.name, package.version);
        match package.licence.as_deref() {
            None => faults.push(format!("{name} names no licence: read it, then decide")),
            Some(licence) => match Expression::parse(licence) {
                Ok(expression) if expression.is_allowed() => {}
                Ok(_) => faults.push(format!("{name} is under {licence}")),
                Err(why) => faults.push(format!("{name}: `{licence}` is no licence ({why})")),
            },
        }
    }
    Report { subject: format!("{} packages", graph.packages.len()), faults, ..Report::default() }
}

/// An SPDX licence expression.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    /// One licence, with its exception if it has one.
    Licence(String),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Expression {
    /// Reads an expression. AND binds tighter than OR; `/` is how OR was written before SPDX came into use.
    fn parse(text: &str) -> Result<Self, String> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut words = words.as_slice();
        let expression = Self::any(&mut words)?;
        match words.first() {
            None => Ok(expression),
            Some(word) => Err(format!("unexpected `{word}`")),
        }
    }

    fn any(words: &mut &[&str]) -> Result<Self, String> {
        let mut parts = vec![Self::all(words)?];
        while take(words, "OR") {
            parts.push(Self::all(words)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Self::Any(parts) })
    }

    fn all(words: &mut &[&str]) -> Result<Self, String> {
        let mut parts = vec![Self::one(words)?];
        while take(words, "AND") {
            parts.push(Self::one(words)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Self::All(parts) })
    }

    fn one(words: &mut &[&str]) -> Result<Self, String> {
        if take(words, "(") {
            let inner = Self::any(words)?;
            return if take(words, ")") { Ok(inner) } else { Err("a `(` is not closed".into()) };
        }
        let mut licence = name(words)?.to_owned();
        if take(words, "WITH") {
            licence = format!("{licence} WITH {}", name(words)?);
        }
        Ok(Self::Licence(licence))
    }

    fn is_allowed(&self) -> bool {
        match self {
            Self::Licence(licence) => ALLOWED.contains(&licence.as_str()),
            Self::All(parts) => parts.iter().all(Self::is_allowed),
            Self::Any(parts) => parts.iter().any(Self::is_allowed),
        }
    }
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    let taken = *first == word;
    if taken {
        *words = rest;
    }
    taken
}

fn name<'a>(words: &mut &[&'a str]) -> Result<&'a str, String> {
    let Some((&first, rest)) = words.split_first() else {
        return Err("a licence is missing at the end".into());
    };
    if ["AND", "OR", "WITH", "(", ")"].contains(&first) {
        return Err(format!("a licence is missing before `{first}`"));
    }
    *words = rest;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::super::graph::Package;
    use super::*;

    fn allowed(text: &str) -> bool {
        Expression::parse(text).unwrap().is_allowed()
    }

    #[test]
    fn of_alternatives_one_is_enough() {
        assert!(allowed("MIT"));
        assert!(allowed("GPL-3.0-only OR MIT"));
        assert!(allowed("LGPL-3.0-or-later/Apache-2.0"));
        assert!(!allowed("GPL-2.0-only OR AGPL-3.0-only"));
    }

    #[test]
    fn of_what_is_joined_each_must_be_allowed() {
        assert!(allowed("Apache-2.0 AND ISC"));
        assert!(!allowed("MIT AND GPL-3.0-only"));
        assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!allowed("(MIT OR Apache-2.0) AND OpenSSL"));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert!(allowed("MIT OR Apache-2.0 AND GPL-3.0-only"));
        assert!(!allowed("(MIT OR Apache-2.0) AND GPL-3.0-only"));
        assert!(!allowed("GPL-3.0-only AND MIT OR GPL-2.0-only AND ISC"));
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        assert!(allowed("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"));
        assert!(!allowed("GPL-2.0-only WITH Classpath-exception-2.0"));
        assert!(!allowed("MIT WITH Made-up-exception"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT Apache-2.0", "MIT WITH", "()"] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_package_without_a_good_licence_is_a_fault() {
        let package = |name: &str, licence: Option<&str>| Package {
            name: name.to_owned(),
            version: "1.0.0".into(),
            licence: licence.map(str::to_owned),
            wanted_by: [].into(),
        };
        let packages = vec![
            package("good", Some("MIT OR Apache-2.0")),
            package("viral", Some("GPL-3.0-only")),
            package("silent", None),
            package("broken", Some("see LICENSE")),
        ];
        let faults = check(&Graph { packages, ..Graph::default() }).faults;
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert_eq!(faults[0], "viral 1.0.0 is under GPL-3.0-only");
    }
}
