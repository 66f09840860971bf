//! Names and texts as SQL writes them.

/// Words of the language that cannot stand as a name everywhere without quotes.
const WORDS: &str = " all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean \
both case cast char character check coalesce collate collation column concurrently constraint create cross current_catalog \
current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc \
distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group grouping \
having ilike in initially inner inout int integer intersect interval into is isnull join json json_array json_arrayagg \
json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value lateral leading least \
left like limit localtime localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric \
offset on only or order out outer overlaps overlay placing position precision primary real references returning right row \
select session_user setof similar smallint some substring symmetric system_user table tablesample then time timestamp to \
trailing treat trim true union unique user using values varchar variadic verbose when where window with xmlattributes \
xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";

/// A name, in quotes where it needs them.
pub(super) fn name(name: &str) -> String {
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|it| it.is_ascii_lowercase() || it == '_');
    let plain = begins
        && letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
        && !WORDS.contains(&format!(" {name} "));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A name with its schema.
pub(super) fn qualified(schema: &str, own: &str) -> String {
    format!("{}.{}", name(schema), name(own))
}

/// A text, as a constant. Where it has backslashes, in the form in which they mean the same under every setting.
pub(super) fn text(text: &str) -> String {
    let text = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\"))
    } else {
        format!("'{text}'")
    }
}

/// A comment for whoever reads the statements; a line break in it ends nothing.
pub(super) fn remark(text: &str) -> String {
    format!("-- {}", text.replace(|it: char| it.is_control(), " "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_names_go_without_quotes() {
        for plain in ["orders", "order_items2", "_x", "name", "type", "date"] {
            assert_eq!(name(plain), plain);
        }
        for odd in ["Orders", "order", "user", "2nd", "a b", "", "é", "a$b", "select"] {
            assert_eq!(name(odd), format!("\"{odd}\""));
        }
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text("a\\'b"), "E'a\\\\''b'");
    }

    proptest! {
        #[test]
        fn a_remark_is_one_line(words in "\\PC{0,20}[\\r\\n\\x0b]?\\PC{0,20}") {
            prop_assert_eq!(remark(&words).lines().count(), 1);
        }
    }
}
