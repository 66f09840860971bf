//! For measuring the engine without a server: conversations of questions, and schemas under other names.

use plinth_schema_introspect::Catalog;

use crate::conversation::{FollowUp, Past};
use crate::{AskContext, CONFIDENCE_THRESHOLD, Engine, Outcome, Reading, SchemaIndex};

/// What came of a question.
#[derive(Clone, Debug)]
pub enum Asked {
    /// It was answered.
    Answered(Reading),
    /// It is one about the schema: the answer in words.
    Told(String),
    /// It was asked back, with what was said: a reading of what goes on from the answer before is not sure enough, or the
    /// question has several.
    Back(String, Option<Reading>),
    /// It was declined, with what was said.
    Declined(String),
}

impl From<Outcome> for Asked {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered(it) => Self::Answered(it),
            Outcome::NeedsClarification(it) => Self::Back(it.question, None),
            Outcome::NotAnswerable(it) => Self::Declined(it.message),
            Outcome::NotPermitted(_) => Self::Declined("not permitted".to_owned()),
            Outcome::Meta(it) => Self::Told(it.answer),
        }
    }
}

/// Questions that follow one another.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    past: Option<Past>,
}

impl Conversation {
    /// Asks the next one.
    pub fn ask(
        &mut self,
        engine: &Engine,
        question: &str,
        index: &SchemaIndex,
        context: &AskContext,
    ) -> Asked {
        self.go_on(engine, question, index, context)
            .unwrap_or_else(|| self.answered(engine.ask(question, index, context).into()))
    }

    /// What comes of the next one if it goes on from what was answered last; `None` if it stands alone, for
    /// [`answered`](Self::answered) to be told what came of it.
    pub fn go_on(
        &mut self,
        engine: &Engine,
        question: &str,
        index: &SchemaIndex,
        context: &AskContext,
    ) -> Option<Asked> {
        let past = self.past.as_ref()?;
        let asked = match engine.follow_up(question, past, index, context) {
            FollowUp::Edited(it) if it.reading.confidence >= CONFIDENCE_THRESHOLD => {
                Asked::Answered(it.reading)
            }
            FollowUp::Edited(it) => Asked::Back(it.reading.explanation.clone(), Some(it.reading)),
            FollowUp::Unclear(it) => Asked::Declined(it.message),
            FollowUp::Why | FollowUp::Back => Asked::Declined("about the answer before".to_owned()),
            FollowUp::None => return None,
        };
        Some(self.answered(asked))
    }

    /// Notes what came of a question, for the next one to go on from.
    pub fn answered(&mut self, asked: Asked) -> Asked {
        if let Asked::Answered(it) = &asked {
            self.past = Some(Past {
                query: it.query.clone(),
                confidence: it.confidence,
                assumptions: it.assumptions.clone(),
            });
        }
        asked
    }
}

/// Other names for tables and columns: a line `table other: column=other …` for each table; `#` begins a remark.
#[derive(Clone, Debug, Default)]
pub struct Names {
    tables: Vec<Renamed>,
}

#[derive(Clone, Debug)]
struct Renamed {
    own: String,
    other: String,
    /// Own and other names.
    columns: Vec<(String, String)>,
}

impl Names {
    /// Reads such lines; what has another form is passed over.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|it| !it.starts_with('#'));
        let tables = lines.filter_map(|line| {
            let (head, columns) = line.split_once(':')?;
            let (own, other) = head.split_once(' ')?;
            let columns = columns.split_whitespace().filter_map(|it| it.split_once('='));
            Some(Renamed {
                own: own.to_owned(),
                other: other.trim().to_owned(),
                columns: columns.map(|(own, other)| (own.to_owned(), other.to_owned())).collect(),
            })
        });
        Self { tables: tables.collect() }
    }

    /// That catalog under these names.
    ///
    /// # Errors
    /// What is not there to be renamed.
    pub fn rename(&self, catalog: &Catalog) -> Result<Catalog, String> {
        let mut renamed = catalog.clone();
        for table in &self.tables {
            let relation = renamed.relations.iter_mut().find(|it| it.name == table.own);
            let relation = relation.ok_or_else(|| format!("no table `{}`", table.own))?;
            let mut changed = (**relation).clone();
            changed.name.clone_from(&table.other);
            for (own, other) in &table.columns {
                let column = changed.columns.iter_mut().find(|it| it.name == *own);
                let column =
                    column.ok_or_else(|| format!("no column `{own}` in `{}`", table.own))?;
                column.name.clone_from(other);
            }
            *relation = changed.into();
        }
        Ok(renamed)
    }

    /// What is said of a schema under these names, in its own: tables, and the columns of the first one that is named.
    pub fn own_words(&self, said: &str) -> String {
        let letter = |it: char| it.is_alphanumeric() || it == '_';
        let mut of: Option<&Renamed> = None;
        let mut told = String::new();
        for part in said.split_inclusive(|it| !letter(it)) {
            let word = part.trim_end_matches(|it| !letter(it));
            let table = self.tables.iter().find(|it| it.other == word);
            of = of.or(table);
            let column = || of?.columns.iter().find(|it| it.1 == word).map(|it| it.0.as_str());
            told.push_str(table.map(|it| it.own.as_str()).or_else(column).unwrap_or(word));
            told.push_str(&part[word.len()..]);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_under_other_names_is_told_in_the_own() {
        let names = Names::parse("# remark\nboats vessels: mast=pole\ncrews teams: mast=chief\n");
        assert_eq!(
            names.own_words("vessels has 2 columns: id, pole (text)."),
            "boats has 2 columns: id, mast (text)."
        );
        assert_eq!(names.own_words("There are: teams, vessels"), "There are: crews, boats");
        assert!(names.rename(&Catalog::default()).is_err());
    }
}
