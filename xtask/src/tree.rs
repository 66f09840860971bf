//! The layouts of Postgres's parse nodes, read from the sources of `libpg_query` as cargo has them: what `plinth-pg-tree`
//! reads the parser's memory by.
//!
//! Three of its files say everything: Postgres's headers, how each struct lies in memory; `nodetags.h`, by which number a
//! node is known; and the functions with which `libpg_query` itself writes nodes as messages, which field becomes which. What
//! does not fit together ends with an error, and nothing is written: a field of an unknown type, an enum whose numbers have
//! gaps, a message with a field that nobody fills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace::Workspace;

/// The kinds of nodes that a SELECT, INSERT, UPDATE, DELETE, MERGE or CALL can hold before it is analysed, without those
/// that are written by hand in `plinth-pg-tree`: constants and lists.
const KINDS: &[&str] = &[
    "Alias",
    "RangeVar",
    "IntoClause",
    "GroupingFunc",
    "MergeSupportFunc",
    "NamedArgExpr",
    "BoolExpr",
    "SubLink",
    "CaseExpr",
    "CaseWhen",
    "RowExpr",
    "CoalesceExpr",
    "MinMaxExpr",
    "SQLValueFunction",
    "XmlExpr",
    "JsonFormat",
    "JsonReturning",
    "JsonValueExpr",
    "JsonIsPredicate",
    "JsonBehavior",
    "NullTest",
    "BooleanTest",
    "SetToDefault",
    "CurrentOfExpr",
    "JoinExpr",
    "TypeName",
    "ColumnRef",
    "ParamRef",
    "A_Expr",
    "TypeCast",
    "CollateClause",
    "FuncCall",
    "A_Star",
    "A_Indices",
    "A_Indirection",
    "A_ArrayExpr",
    "ResTarget",
    "MultiAssignRef",
    "SortBy",
    "WindowDef",
    "RangeSubselect",
    "RangeFunction",
    "RangeTableFunc",
    "RangeTableFuncCol",
    "RangeTableSample",
    "ColumnDef",
    "IndexElem",
    "DefElem",
    "LockingClause",
    "XmlSerialize",
    "GroupingSet",
    "WithClause",
    "InferClause",
    "OnConflictClause",
    "CTESearchClause",
    "CTECycleClause",
    "CommonTableExpr",
    "MergeWhenClause",
    "ReturningOption",
    "ReturningClause",
    "JsonOutput",
    "JsonArgument",
    "JsonFuncExpr",
    "JsonTablePathSpec",
    "JsonTable",
    "JsonTableColumn",
    "JsonKeyValue",
    "JsonParseExpr",
    "JsonScalarExpr",
    "JsonSerializeExpr",
    "JsonObjectConstructor",
    "JsonArrayConstructor",
    "JsonArrayQueryConstructor",
    "JsonAggConstructor",
    "JsonObjectAgg",
    "JsonArrayAgg",
    "RawStmt",
    "InsertStmt",
    "DeleteStmt",
    "UpdateStmt",
    "MergeStmt",
    "SelectStmt",
    "CallStmt",
];

/// The headers in which they are defined.
const HEADERS: [&str; 2] = ["primnodes.h", "parsenodes.h"];

/// The file into which their layouts are written, below the workspace's root.
pub(crate) const FILE: &str = "crates/pg-tree/src/nodes/table.rs";

/// How wide a line of the tables may get, in bytes.
const WIDTH: usize = 116;

/// What [`FILE`] should hold.
///
/// # Errors
/// If cargo does not know `pg_query`, or its sources are not as this module expects them.
pub(crate) fn table(workspace: &Workspace) -> Result<String> {
    let sources = Sources::read(&folder(workspace)?)?;
    let version = sources.version;
    let mut text = format!(
        "// Written by `cargo xtask generate` from the headers of libpg_query.\n\nuse super::*;\n\n/// The Postgres whose \
         layouts these are, as `PG_VERSION_NUM` says it.\npub(crate) const VERSION: i32 = {}_{:03};\n\nnodes! {{\n",
        version / 1000,
        version % 1000
    );
    let mut left: BTreeSet<&str> = KINDS.iter().copied().collect();
    for header in HEADERS {
        let header = sources.headers.get(header).with_context(|| format!("no {header}"))?;
        let structs = structs(header);
        for name in KINDS {
            let Some(fields) = structs.get(name) else { continue };
            left.remove(name);
            text += &sources.entry(name, fields).with_context(|| format!("reading {name}"))?;
        }
    }
    ensure!(left.is_empty(), "no header defines {left:?}");
    Ok(text + "}\n")
}

/// Where cargo keeps the sources of `pg_query`.
fn folder(workspace: &Workspace) -> Result<PathBuf> {
    let metadata = workspace.metadata(&[])?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let package = packages.iter().find(|it| it["name"] == "pg_query").context("no pg_query")?;
    let manifest = package["manifest_path"].as_str().context("pg_query lies nowhere")?;
    Ok(Path::new(manifest).parent().context("a manifest lies in a folder")?.to_owned())
}

/// One field of a struct in C.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: String,
    /// Without `struct` and the star.
    of: String,
    is_pointer: bool,
}

/// What a field of a message in Rust is.
#[derive(Debug)]
struct MessageField {
    /// As Rust writes it: `r#type`.
    name: String,
    /// The enum in Rust whose numbers it holds.
    enumeration: Option<String>,
}

struct Sources {
    headers: BTreeMap<String, String>,
    /// `PG_VERSION_NUM`.
    version: u32,
    /// The number of each kind of node.
    tags: BTreeMap<String, u32>,
    /// What is written of each kind in C: how, and the words behind.
    writers: BTreeMap<String, Vec<Vec<String>>>,
    /// The variant of `Node` for each kind in C, and the type of its message.
    variants: BTreeMap<String, (String, String)>,
    /// The fields of each message in Rust.
    messages: BTreeMap<String, Vec<MessageField>>,
    /// Enums in C whose numbers are 0, 1, 2, …
    plain_enums: BTreeSet<String>,
}

impl Sources {
    fn read(folder: &Path) -> Result<Self> {
        let read = |path: &str| {
            let path = folder.join(path);
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let nodes = "libpg_query/src/postgres/include/nodes";
        let mut headers = BTreeMap::new();
        for name in ["nodes.h", "parsenodes.h", "primnodes.h", "lockoptions.h"] {
            headers.insert(name.to_owned(), without_comments(&read(&format!("{nodes}/{name}"))?));
        }
        let version = read("libpg_query/pg_query.h")?;
        let version = between(&version, "#define PG_VERSION_NUM ", "\n").context("no version")?;
        let protobuf = read("src/protobuf.rs")?;
        let types = variants(&protobuf);
        let mut all = BTreeMap::new();
        for line in read("libpg_query/src/include/pg_query_outfuncs_conds.c")?.lines() {
            let Some(it) = between(line, "OUT_NODE(", ")") else { continue };
            let parts: Vec<&str> = it.split(", ").collect();
            let [_, _, _, _, kind, field] = parts[..] else { bail!("{line}") };
            let variant = camel(field);
            if let Some(of) = types.get(&variant) {
                all.insert(kind.to_owned(), (variant, of.clone()));
            }
        }
        Ok(Self {
            version: version.trim().parse().context("the version is a number")?,
            tags: tags(&read(&format!("{nodes}/nodetags.h"))?),
            writers: writers(&read("libpg_query/src/include/pg_query_outfuncs_defs.c")?),
            variants: all,
            messages: messages(&protobuf),
            plain_enums: headers.values().flat_map(|it| plain_enums(it)).collect(),
            headers,
        })
    }

    /// One entry of the table: `SelectStmt, 141, SelectStmt(SelectStmt) { … }`.
    fn entry(&self, kind: &str, fields: &[Field]) -> Result<String> {
        let tag = self.tags.get(kind).context("it has no tag")?;
        let (variant, message) = match self.variants.get(kind) {
            Some((variant, message)) => (variant.as_str(), message.as_str()),
            None => bail!("it is no variant of a node"),
        };
        let written = self.writers.get(kind).context("nobody writes it")?;
        let own = self.messages.get(message).context("it has no message")?;
        let (first, fields) = fields.split_first().context("it has no fields")?;
        ensure!(matches!(first.of.as_str(), "NodeTag" | "Expr"), "it begins with {first:?}");
        let mut unset: BTreeSet<&str> = own.iter().map(|it| it.name.as_str()).collect();
        let mut entries = Vec::new();
        for field in fields {
            let writer = written.iter().find(|it| it.last() == Some(&field.name));
            let Some(writer) = writer else {
                entries.push(format!("_{}: {}", snake(&field.name), self.unsent(field)?));
                continue;
            };
            let name = raw(&snake(&field.name));
            let target = own.iter().find(|it| it.name == name);
            let target = target.with_context(|| format!("the message has no {name}"))?;
            unset.remove(name.as_str());
            let how = self.sent(field, writer, target)?;
            entries.push(format!("{name} = {how}"));
        }
        for line in written {
            let last = line.last().context("a line has words")?;
            ensure!(fields.iter().any(|it| it.name == *last), "{last} is written, and is no field");
        }
        let name = kind.replace('_', "");
        let mut text = format!("    {name}, {tag}, {variant}({message}) {{");
        text += &wrapped(&entries);
        if !unset.is_empty() {
            let unset: Vec<_> = unset.into_iter().collect();
            write!(text, "; {}", unset.join(", "))?;
        }
        text += " }\n";
        Ok(text)
    }

    /// How a field becomes one of the message.
    fn sent(&self, field: &Field, writer: &[String], target: &MessageField) -> Result<String> {
        let of = field.of.as_str();
        Ok(match (writer[0].as_str(), field.is_pointer) {
            ("LIST", true) if of == "List" => String::from("list"),
            ("NODE_PTR", true) => String::from("node"),
            ("SPECIFIC_NODE_PTR", true) if KINDS.contains(&of) => {
                format!("one({})", of.replace('_', ""))
            }
            // What only the server's analysis makes.
            ("SPECIFIC_NODE_PTR", true) => String::from("absent"),
            ("STRING", true) if of == "char" => String::from("text"),
            ("CHAR", false) if of == "char" => String::from("letter"),
            ("BOOL", false) if of == "bool" => String::from("flag"),
            ("ENUM", false) => {
                ensure!(self.plain_enums.contains(of), "the enum {of} has gaps");
                let of = target.enumeration.as_ref().context("the message holds no enum")?;
                format!("choice({of})")
            }
            ("INT" | "UINT", false) => {
                format!("number({})", number(of).with_context(|| format!("{field:?}"))?)
            }
            (writer, _) => bail!("{writer} of {field:?} is not known"),
        })
    }

    /// What a field that is not sent takes in memory.
    fn unsent(&self, field: &Field) -> Result<&'static str> {
        if field.is_pointer {
            return Ok("Absent");
        }
        match field.of.as_str() {
            "bool" | "char" => Ok("u8"),
            of if self.plain_enums.contains(of) => Ok("u32"),
            of => number(of).with_context(|| format!("{field:?}")),
        }
    }
}

/// The type in Rust of a number in C.
fn number(of: &str) -> Option<&'static str> {
    Some(match of {
        "int" | "int32" | "ParseLoc" => "i32",
        "int16" | "AttrNumber" => "i16",
        "uint32" | "Oid" | "Index" | "bits32" => "u32",
        _ => return None,
    })
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end)?.0)
}

fn without_comments(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("/*") {
        plain += before;
        plain.push(' ');
        rest = behind.split_once("*/").map_or("", |it| it.1);
    }
    plain + rest
}

/// Every struct of a header that is one of [`KINDS`].
fn structs(header: &str) -> BTreeMap<&str, Vec<Field>> {
    let mut structs = BTreeMap::new();
    for definition in header.split("typedef struct ").skip(1) {
        let Some((name, rest)) = definition.split_once('{') else { continue };
        let name = name.trim();
        if !KINDS.contains(&name) {
            continue;
        }
        let body = rest.split_once("\n}").map_or(rest, |it| it.0);
        structs.insert(name, body_of(body));
    }
    structs
}

fn body_of(body: &str) -> Vec<Field> {
    let mut plain = String::new();
    for line in body.lines() {
        // `pg_node_attr(…)` says nothing of the layout; it stands before a semicolon, or alone.
        match line.split_once("pg_node_attr(") {
            Some((before, _)) if before.trim().is_empty() => {}
            Some((before, _)) => plain = plain + before + ";",
            None => plain += line,
        }
        plain.push(' ');
    }
    let fields = plain.split(';').map(str::trim).filter(|it| !it.is_empty());
    fields
        .map(|it| {
            let is_pointer = it.contains('*');
            let it = it.replace('*', " ");
            let mut words = it.split_whitespace().filter(|it| !matches!(*it, "struct" | "const"));
            let of = words.next().unwrap_or_default().to_owned();
            // A second name in one declaration would be a word too many.
            let name = words.collect::<Vec<_>>().join(" ");
            Field { name, of, is_pointer }
        })
        .collect()
}

/// The enums that count from 0 on.
fn plain_enums(header: &str) -> Vec<String> {
    let mut plain = Vec::new();
    for definition in header.split("typedef enum ").skip(1) {
        let Some((name, rest)) = definition.split_once('{') else { continue };
        let body = rest.split_once('}').map_or(rest, |it| it.0);
        let counts = body.split(',').map(str::trim).filter(|it| !it.is_empty()).enumerate();
        let mut counts = counts.filter_map(|(at, it)| Some((at, it.split_once('=')?.1)));
        if counts.all(|(at, value)| value.trim() == at.to_string()) {
            plain.push(name.trim().to_owned());
        }
    }
    plain
}

fn tags(header: &str) -> BTreeMap<String, u32> {
    let lines = header.lines().filter_map(|it| it.trim().strip_prefix("T_"));
    lines
        .filter_map(|it| it.trim_end_matches(',').split_once(" = "))
        .filter_map(|(name, tag)| Some((name.to_owned(), tag.parse().ok()?)))
        .collect()
}

/// What `libpg_query` writes of each kind: the kind of each line, and its words behind the message.
fn writers(text: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut writers = BTreeMap::new();
    for function in text.split("static void\n_out").skip(1) {
        let Some(kind) = between(function, "const ", " *node") else { continue };
        let lines = function.lines().filter_map(|it| {
            let (how, rest) = it.trim().strip_prefix("WRITE_")?.split_once("_FIELD(")?;
            let words = rest.trim_end_matches(");").split(", ").map(str::to_owned);
            Some(std::iter::once(how.to_owned()).chain(words).collect())
        });
        writers.insert(kind.to_owned(), lines.collect());
    }
    writers
}

/// The type of each variant of a node in Rust.
fn variants(protobuf: &str) -> BTreeMap<String, String> {
    let Some(body) = between(protobuf, "pub enum Node {", "\n    }") else {
        return BTreeMap::new();
    };
    let plain: String = body.lines().filter(|it| !it.contains("#[")).map(str::trim).collect();
    plain
        .split("),")
        .filter_map(|it| {
            let (variant, of) = it.split_once('(')?;
            let of = of.rsplit("super::").next()?.trim_end_matches([',', '>', ')']);
            Some((variant.to_owned(), of.to_owned()))
        })
        .collect()
}

fn messages(protobuf: &str) -> BTreeMap<String, Vec<MessageField>> {
    let mut messages = BTreeMap::new();
    for definition in protobuf.split("\npub struct ").skip(1) {
        let Some((name, rest)) = definition.split_once(" {") else { continue };
        let body =
            if rest.starts_with('}') { "" } else { rest.split_once("\n}").map_or(rest, |it| it.0) };
        let mut fields = Vec::new();
        let mut enumeration = None;
        for line in body.lines().map(str::trim) {
            if let Some(it) = between(line, "enumeration = \"", "\"") {
                enumeration = Some(it.to_owned());
            }
            if let Some((name, _)) = line.strip_prefix("pub ").and_then(|it| it.split_once(':')) {
                fields
                    .push(MessageField { name: name.to_owned(), enumeration: enumeration.take() });
            }
        }
        messages.insert(name.to_owned(), fields);
    }
    messages
}

/// `a_expr` becomes `AExpr`.
fn camel(name: &str) -> String {
    let words = name.split('_').filter(|it| !it.is_empty());
    words.map(|it| it[..1].to_uppercase() + &it[1..]).collect()
}

/// `distinctClause` becomes `distinct_clause`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn raw(name: &str) -> String {
    if matches!(name, "type" | "override" | "where" | "ref") {
        return format!("r#{name}");
    }
    name.to_owned()
}

fn wrapped(entries: &[String]) -> String {
    let mut text = String::new();
    let mut width = WIDTH;
    for (at, entry) in entries.iter().enumerate() {
        if width + entry.len() + 2 > WIDTH {
            text += "\n       ";
            width = 7;
        }
        let comma = if at + 1 < entries.len() { "," } else { "" };
        text = text + " " + entry + comma;
        width += entry.len() + 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_read_field_by_field() {
        let header = without_comments(
            "typedef struct SubLink\n{\n\tpg_node_attr(custom)\n\n\tExpr\t\txpr; /* a; b */\n\tList\t   *operName \
             pg_node_attr(query_jumble_ignore);\n\tstruct Query *one;\n\tint\tid;\n} SubLink;",
        );
        let field = |name: &str, of: &str, is_pointer| Field {
            name: name.to_owned(),
            of: of.to_owned(),
            is_pointer,
        };
        let expected = vec![
            field("xpr", "Expr", false),
            field("operName", "List", true),
            field("one", "Query", true),
            field("id", "int", false),
        ];
        assert_eq!(structs(&header)["SubLink"], expected);
    }

    #[test]
    fn an_enum_with_gaps_is_not_plain() {
        let header = "typedef enum A\n{ X, Y = 1, Z } A; typedef enum B { X = 1, Y } B;";
        assert_eq!(plain_enums(header), ["A"]);
    }

    #[test]
    fn names_are_put_as_rust_has_them() {
        assert_eq!((camel("a_expr"), snake("inFromCl")), ("AExpr".into(), "in_from_cl".into()));
        assert_eq!(raw("type"), "r#type");
    }
}
