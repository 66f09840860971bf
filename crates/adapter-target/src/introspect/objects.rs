//! Functions, operators and casts of a database's own, and to which extension they belong.

use std::collections::{BTreeSet, HashMap};

use plinth_queries::RawRow;
use plinth_schema_introspect::{Catalog, FunctionKind, UserCast, UserFunction, UserOperator};

use super::assemble::Answers;
use super::fields::{Fields, Unreadable};
use super::types::TypeBook;

/// Fills types, functions, operators and casts.
pub(super) fn fill(
    catalog: &mut Catalog,
    types: &TypeBook,
    answers: &Answers,
) -> Result<(), Unreadable> {
    let mut members: HashMap<String, HashMap<u32, String>> = HashMap::new();
    for row in &answers.members {
        let mut fields = Fields::of(row);
        let class = fields.owned()?;
        members.entry(class).or_default().insert(fields.number()?, fields.name()?);
    }
    let mut members = |class: &str| members.remove(class).unwrap_or_default();
    catalog.types = types.listed(&members("pg_type"));
    functions(catalog, types, &answers.functions, &members("pg_proc"))?;
    operators(catalog, &answers.operators, &members("pg_operator"))?;
    casts(catalog, types, &answers.casts, &members("pg_cast"))
}

fn functions(
    catalog: &mut Catalog,
    types: &TypeBook,
    rows: &[RawRow],
    extensions: &HashMap<u32, String>,
) -> Result<(), Unreadable> {
    for row in rows {
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
        catalog.functions.push(UserFunction {
            oid,
            schema,
            name,
            kind,
            arguments,
            returns,
            volatility,
            extension,
            language: String::new(),
            signature: String::new(),
            result: None,
            security_definer: false,
            executable: true,
            comment: None,
        });
    }
    let key = |it: &UserFunction| (it.schema.clone(), it.name.clone(), it.arguments.clone());
    catalog.functions.sort_by_cached_key(key);
    Ok(())
}

fn operators(
    catalog: &mut Catalog,
    rows: &[RawRow],
    extensions: &HashMap<u32, String>,
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
    extensions: &HashMap<u32, String>,
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
