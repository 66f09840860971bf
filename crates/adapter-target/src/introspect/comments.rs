use plinth_core::FastMap;
use plinth_queries::RawRow;

use super::fields::{Fields, Unreadable};

/// What somebody wrote about things of the database, each to be taken once.
#[derive(Debug, Default)]
pub(super) struct Comments {
    /// By the oid of what `pg_class` lists (relations, indexes, sequences): on itself (0) and its columns.
    pub(super) relations: FastMap<u32, Vec<(i16, String)>>,
    others: FastMap<(Class, u32), String>,
}

/// The catalog in which a thing has its oid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// An index or a sequence, or a relation itself.
    Relation,
    Schema,
    Constraint,
    Type,
    Function,
}

impl Comments {
    pub(super) fn read(rows: &[RawRow]) -> Result<Self, Unreadable> {
        let mut comments = Self::default();
        for row in rows {
            let mut fields = Fields::of(row);
            let class: u32 = fields.number()?;
            let oid: u32 = fields.number()?;
            let number: i16 = fields.number()?;
            let text = fields.owned()?;
            let class = match class {
                1259 => {
                    comments.relations.entry(oid).or_default().push((number, text));
                    continue;
                }
                2615 => Class::Schema,
                2606 => Class::Constraint,
                1247 => Class::Type,
                1255 => Class::Function,
                _ => continue,
            };
            comments.others.insert((class, oid), text);
        }
        Ok(comments)
    }

    pub(super) fn take(&mut self, class: Class, oid: u32) -> Option<String> {
        match class {
            Class::Relation => {
                let all = self.relations.remove(&oid)?;
                all.into_iter().find(|it| it.0 == 0).map(|it| it.1)
            }
            _ => self.others.remove(&(class, oid)),
        }
    }
}
