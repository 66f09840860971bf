//! Functions, operators, casts and sequences of a database's own, and to which extension they belong.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use plinth_core::FastMap;
use plinth_queries::RawRow;
use plinth_schema_introspect::{
    Catalog, FunctionKind, Sequence, UserCast, UserFunction, UserOperator,
};

use super::assemble::{Answers, Draft};
use super::comments::{Class, Comments};
use super::fields::{Fields, Unreadable};
use super::types::TypeBook;

/// Fills types, functions, operators, casts and sequences.
pub(super) fn fill(
    draft: &mut Draft,
    answers: &Answers,
    comments: &mut Comments,
) -> Result<(), Unreadable> {
    draft.types.add_domain_checks(&answers.domain_checks)?;
    sequences(draft, &answers.sequences, comments)?;
    let (catalog, types) = (&mut draft.catalog, &draft.types);
    let mut members: HashMap<String, FastMap<u32, String>> = HashMap::new();
    for row in &answers.members {
        let mut fields = Fields::of(row);
        let class = fields.owned()?;
        members.entry(class).or_default().insert(fields.number()?, fields.name()?);
    }
    let mut members = |class: &str| members.remove(class).unwrap_or_default();
    catalog.types = types.listed(&members("pg_type"), comments);
    functions(catalog, types, answers, &members("pg_proc"), comments)?;
    operators(catalog, &answers.operators, &members("pg_operator"))?;
    casts(catalog, types, &answers.casts, &members("pg_cast"))
}

fn functions(
    catalog: &mut Catalog,
    types: &TypeBook,
    answers: &Answers,
    extensions: &FastMap<u32, String>,
    comments: &mut Comments,
) -> Result<(), Unreadable> {
    let mut texts: FastMap<u32, (String, Option<String>)> = FastMap::default();
    for row in &answers.function_texts {
        let mut fields = Fields::of(row);
        let oid = fields.number()?;
        let signature = fields.optional_text()?.unwrap_or_default().into_owned();
        texts.insert(oid, (signature, fields.optional_text()?.map(Cow::into_owned)));
    }
    for row in &answers.functions {
        let mut fields = Fields::of(row);
        let oid = fields.number()?;
        let (schema, name) = (fields.name()?, fields.name()?);
        let kind = match fields.letter()? {
            'a' => FunctionKind::Aggregate,
            'w' => FunctionKind::Window,
            'p' => FunctionKind::Procedure,
            _ => FunctionKind::Function,
        };
        let arguments = fields.numbers()?.iter().map(|it| types.name(*it, -1)).collect();
        // A procedure returns nothing, which is oid 0.
        let returns = match fields.number()? {
            0 => "void".into(),
            oid => types.name(oid, -1),
        };
        let volatility = fields.letter()?;
        let extension = extensions.get(&oid).cloned();
        let (signature, result) = texts.remove(&oid).unwrap_or_default();
        catalog.functions.push(UserFunction {
            oid,
            schema,
            name,
            kind,
            arguments,
            returns,
            volatility,
            extension,
            language: fields.name()?,
            signature,
            result,
            security_definer: fields.flag()?,
            executable: fields.flag()?,
            comment: comments.take(Class::Function, oid),
        });
    }
    let key = |it: &UserFunction| (it.schema.clone(), it.name.clone(), it.arguments.clone());
    catalog.functions.sort_by_cached_key(key);
    Ok(())
}

fn operators(
    catalog: &mut Catalog,
    rows: &[RawRow],
    extensions: &FastMap<u32, String>,
) -> Result<(), Unreadable> {
    let mut operators = BTreeSet::new();
    for row in rows {
        let mut fields = Fields::of(row);
        let oid: u32 = fields.number()?;
        operators.insert((fields.owned()?, fields.owned()?, extensions.get(&oid).cloned()));
    }
    catalog.operators = operators
        .into_iter()
        .map(|(schema, name, extension)| UserOperator { schema, name, extension })
        .collect();
    Ok(())
}

fn casts(
    catalog: &mut Catalog,
    types: &TypeBook,
    rows: &[RawRow],
    extensions: &FastMap<u32, String>,
) -> Result<(), Unreadable> {
    for row in rows {
        let mut fields = Fields::of(row);
        let oid: u32 = fields.number()?;
        let source = types.name(fields.number()?, -1);
        let target = types.name(fields.number()?, -1);
        let context = fields.letter()?;
        let extension = extensions.get(&oid).cloned();
        catalog.casts.push(UserCast { source, target, context, extension });
    }
    catalog.casts.sort_by(|a, b| (&a.source, &a.target).cmp(&(&b.source, &b.target)));
    Ok(())
}

fn sequences(
    draft: &mut Draft,
    rows: &[RawRow],
    comments: &mut Comments,
) -> Result<(), Unreadable> {
    let schemas: FastMap<u32, &str> = draft
        .schema_oids
        .iter()
        .copied()
        .zip(draft.catalog.schemas.iter().map(|it| it.name.as_str()))
        .collect();
    let mut sequences = Vec::with_capacity(rows.len());
    for row in rows {
        let mut fields = Fields::of(row);
        let oid: u32 = fields.number()?;
        let Some(schema) = schemas.get(&fields.number()?) else { continue };
        let name = fields.owned()?;
        let type_name = draft.types.name(fields.number()?, -1);
        let (start, increment) = (fields.number()?, fields.number()?);
        let (minimum, maximum) = (fields.number()?, fields.number()?);
        let cycles = fields.flag()?;
        let table: Option<u32> = fields.optional_number()?;
        let column: Option<i16> = fields.optional_number()?;
        let owner = table.zip(column).and_then(|(table, number)| {
            let at = draft.position(table)?;
            let column = draft.column(at, number)?;
            Some((table, draft.relations[at].columns[column].name.clone()))
        });
        sequences.push(Sequence {
            schema: (*schema).to_owned(),
            name,
            type_name,
            start,
            increment,
            minimum,
            maximum,
            cycles,
            owner,
            comment: comments.take(Class::Relation, oid),
        });
    }
    sequences.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    draft.catalog.sequences = sequences;
    Ok(())
}
