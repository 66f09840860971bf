//! Keys, references, conditions and indexes of relations.

use plinth_core::FastMap;
use plinth_queries::RawRow;
use plinth_schema_introspect::{
    Check, Deferral, Exclusion, ForeignKey, Index, Key, ReferenceAction,
};

use super::assemble::{Answers, Draft};
use super::comments::{Class, Comments};
use super::fields::{Fields, Unreadable};

/// Of which constraint an index is a part.
enum Behind {
    /// The key at that position of the relation's keys.
    Key(usize),
    Exclusion,
}

/// Fills keys, references, conditions and indexes, sorted: the primary key first, then by name.
pub(super) fn fill(
    draft: &mut Draft,
    answers: &Answers,
    comments: &mut Comments,
) -> Result<(), Unreadable> {
    let behind = constraints(draft, answers, comments)?;
    indexes(draft, answers, comments, &behind)?;
    for relation in &mut draft.relations {
        relation.keys.sort_by(|a, b| (b.primary, &a.name).cmp(&(a.primary, &b.name)));
        relation.foreign_keys.sort_by(|a, b| a.name.cmp(&b.name));
        relation.checks.sort_by(|a, b| a.name.cmp(&b.name));
        relation.exclusions.sort_by(|a, b| a.name.cmp(&b.name));
        relation.indexes.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(())
}

/// Texts by oid.
pub(super) fn texts(rows: &[RawRow]) -> Result<FastMap<u32, String>, Unreadable> {
    let mut texts = FastMap::default();
    texts.reserve(rows.len());
    for row in rows {
        let mut fields = Fields::of(row);
        let oid = fields.number()?;
        // Dropped a moment ago: null.
        if let Some(text) = fields.optional_text()? {
            texts.insert(oid, text.into_owned());
        }
    }
    Ok(texts)
}

/// Gives back the indexes behind constraints, by oid.
fn constraints(
    draft: &mut Draft,
    answers: &Answers,
    comments: &mut Comments,
) -> Result<FastMap<u32, Behind>, Unreadable> {
    let mut definitions = texts(&answers.constraint_definitions)?;
    let mut owners: FastMap<u32, u32> = FastMap::default();
    owners.reserve(answers.constraints.len());
    for row in &answers.constraints {
        let mut fields = Fields::of(row);
        owners.insert(fields.number()?, fields.number()?);
    }
    let mut behind = FastMap::default();
    for row in &answers.constraints {
        let mut fields = Fields::of(row);
        let oid: u32 = fields.number()?;
        let owner: u32 = fields.number()?;
        let Some(at) = draft.position(owner) else { continue };
        let (kind, name) = (fields.letter()?, fields.owned()?);
        let numbers: Vec<i16> = fields.numbers()?;
        let target: u32 = fields.number()?;
        let target_numbers: Vec<i16> = fields.numbers()?;
        let parent: u32 = fields.number()?;
        let index: u32 = fields.number()?;
        let traits = Traits::read(fields.optional_text()?.as_deref())?;
        let delete_numbers: Vec<i16> = fields.numbers()?;
        let comment = comments.take(Class::Constraint, oid);
        let columns = draft.positions(at, &numbers);
        match (kind, columns) {
            ('c' | 'x', _) => {
                let Some(definition) = definitions.remove(&oid) else { continue };
                // Whole-row references and expressions have numbers of no column.
                let columns = numbers.iter().filter_map(|it| draft.column(at, *it)).collect();
                let relation = &mut draft.relations[at];
                if kind == 'c' {
                    let not_valid = traits.not_valid;
                    relation.checks.push(Check { name, definition, columns, not_valid, comment });
                } else {
                    behind.insert(index, Behind::Exclusion);
                    relation.exclusions.push(Exclusion { name, definition, columns, comment });
                }
            }
            // A reference to a partitioned table is kept once more for each of its partitions.
            ('f', _) if owners.get(&parent) == Some(&owner) => {}
            ('f', Some(columns)) => {
                let Some(target_columns) = draft.target_positions(target, &target_numbers) else {
                    draft.dangling = true;
                    continue;
                };
                let on_delete_columns = draft.positions(at, &delete_numbers).unwrap_or_default();
                draft.relations[at].foreign_keys.push(ForeignKey {
                    name,
                    columns,
                    target,
                    target_columns,
                    on_delete: traits.on_delete,
                    on_update: traits.on_update,
                    on_delete_columns,
                    match_full: traits.match_full,
                    deferral: traits.deferral,
                    not_valid: traits.not_valid,
                    comment,
                });
            }
            ('p' | 'u', Some(columns)) => {
                let keys = &mut draft.relations[at].keys;
                behind.insert(index, Behind::Key(keys.len()));
                keys.push(Key {
                    name,
                    columns,
                    primary: kind == 'p',
                    include: Vec::new(),
                    nulls_not_distinct: false,
                    deferral: traits.deferral,
                    comment,
                });
            }
            _ => {}
        }
    }
    Ok(behind)
}

/// What makes a constraint unlike most.
#[derive(Default)]
struct Traits {
    on_update: ReferenceAction,
    on_delete: ReferenceAction,
    match_full: bool,
    deferral: Deferral,
    not_valid: bool,
}

impl Traits {
    /// Reads the six letters of [`queries::constraints`](super::queries::constraints).
    fn read(letters: Option<&str>) -> Result<Self, Unreadable> {
        let Some(letters) = letters else { return Ok(Self::default()) };
        let &[update, delete, matched, deferrable, deferred, valid] = letters.as_bytes() else {
            // Constraints that are no references have blanks where a reference has letters.
            return Err(Unreadable);
        };
        let action = |letter| match letter {
            b'r' => ReferenceAction::Restrict,
            b'c' => ReferenceAction::Cascade,
            b'n' => ReferenceAction::SetNull,
            b'd' => ReferenceAction::SetDefault,
            _ => ReferenceAction::NoAction,
        };
        Ok(Self {
            on_update: action(update),
            on_delete: action(delete),
            match_full: matched == b'f',
            deferral: match (deferrable, deferred) {
                (b't', b't') => Deferral::Deferred,
                (b't', _) => Deferral::Deferrable,
                _ => Deferral::None,
            },
            not_valid: valid == b'f',
        })
    }
}

fn indexes(
    draft: &mut Draft,
    answers: &Answers,
    comments: &mut Comments,
    behind: &FastMap<u32, Behind>,
) -> Result<(), Unreadable> {
    let mut definitions = texts(&answers.index_definitions)?;
    for row in &answers.indexes {
        let mut fields = Fields::of(row);
        let oid: u32 = fields.number()?;
        let Some(at) = draft.position(fields.number()?) else { continue };
        let (name, method) = (fields.owned()?, fields.owned()?);
        let (unique, valid, nulls_not_distinct) = (fields.flag()?, fields.flag()?, fields.flag()?);
        let mut numbers: Vec<i16> = fields.numbers()?;
        // What comes after the key is only carried along (`INCLUDE`).
        let carried = numbers.split_off(numbers.len().min(fields.number()?));
        let positions = |numbers: &[i16]| -> Vec<usize> {
            numbers.iter().filter_map(|it| draft.column(at, *it)).collect()
        };
        let (columns, include) = (positions(&numbers), positions(&carried));
        let relation = &mut draft.relations[at];
        match behind.get(&oid) {
            Some(Behind::Exclusion) => {}
            Some(Behind::Key(key)) => {
                if let Some(key) = relation.keys.get_mut(*key) {
                    key.include = include;
                    key.nulls_not_distinct = nulls_not_distinct;
                }
            }
            None => relation.indexes.push(Index {
                name,
                columns,
                unique,
                method,
                include,
                definition: definitions.remove(&oid),
                invalid: !valid,
                comment: comments.take(Class::Relation, oid),
            }),
        }
    }
    Ok(())
}
