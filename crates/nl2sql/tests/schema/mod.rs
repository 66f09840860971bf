//! Small schemas to ask about.

use plinth_schema_introspect::{
    Column, ForeignKey, Key, Relation, RelationKind, Samples, TypeClass,
};

/// `name type` columns; `*` marks the key, `>table` a reference, `=a|b` the values, `?` nullable.
pub(crate) fn relation(oid: u32, name: &str, columns: &[&str], tables: &[&str]) -> Relation {
    let mut it = Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        readable: true,
        estimated_rows: Some(100.0),
        ..Relation::default()
    };
    for (at, text) in columns.iter().enumerate() {
        let (spec, values) = text.split_once('=').map_or((*text, None), |it| (it.0, Some(it.1)));
        let (spec, target) = spec.split_once('>').map_or((spec, None), |it| (it.0, Some(it.1)));
        let nullable = spec.contains('?');
        let primary = spec.contains('*');
        let spec = spec.replace(['?', '*'], "");
        let (name, kind) = spec.split_once(' ').expect("a name and a type");
        let class = match kind.trim() {
            "integer" => TypeClass::Integer,
            "numeric" => TypeClass::Decimal,
            "boolean" => TypeClass::Boolean,
            "date" => TypeClass::Date,
            "timestamptz" => TypeClass::Timestamp,
            _ => TypeClass::Text,
        };
        if primary {
            it.keys.push(Key {
                name: format!("key_{at}"),
                columns: vec![at],
                primary: true,
                ..Key::default()
            });
        }
        if let Some(target) = target {
            let number = tables.iter().position(|it| *it == target.trim()).expect("a table");
            it.foreign_keys.push(ForeignKey {
                name: format!("reference_{at}"),
                columns: vec![at],
                target: u32::try_from(number).expect("few") + 1,
                target_columns: vec![0],
                ..ForeignKey::default()
            });
        }
        it.columns.push(Column {
            name: name.to_owned(),
            type_name: kind.trim().to_owned(),
            class,
            nullable,
            readable: true,
            samples: values.map(|it| Samples {
                values: it.split('|').map(str::to_owned).collect(),
                complete: true,
            }),
            ..Column::default()
        });
    }
    it
}
