//! The linguistic index of a catalog: which words may mean which tables, columns and values, and how tables join.

mod annotate;
mod comments;
mod concealed;
mod display;
mod evidence;
mod fast_map;
pub(crate) mod formulas;
mod heard;
mod initials;
mod joins;
mod prefix;
mod remarks;
mod rows;
mod shared;
mod slips;
mod stored;
mod vocabulary;

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use self::{
    display::display_columns,
    joins::Ways,
    prefix::{Prefixes, common},
    stored::Stored,
    vocabulary::weight,
};
pub(crate) use self::{
    fast_map::FastMap,
    heard::{Answerable, Heard, Hit, Kin, Plans, WordHits},
    remarks::Remark,
    shared::Shared,
    vocabulary::{MAX_WORDS, Name, Vocabulary},
};
use plinth_connections::AllowedTables;
use plinth_schema_introspect::{Catalog, Column, Relation, RelationKind, TypeClass};

use crate::{
    language::{Defined, Spoken},
    lexicon::LEXICON,
    lookup::FoundAt,
    names,
    token::normalized,
};

/// What may be asked about one database: built once for each snapshot of its schema and each allow-list, then shared.
///
/// Holds only relations that the role may read and the allow-list lets through; partitions stand behind their parent.
/// Its memory is bounded by [`MAX_VALUES`] and the size of the catalog.
#[derive(Clone, Debug)]
pub struct SchemaIndex {
    pub(crate) tables: Shared<Vec<Table>>,
    pub(crate) edges: Shared<Vec<Edge>>,
    /// For each table the positions of its edges.
    pub(crate) edges_of: Shared<Vec<Vec<usize>>>,
    /// Every way to say a table or a column.
    pub(crate) vocabulary: Shared<Vocabulary>,
    /// Which names the words of earlier questions may be words of.
    pub(crate) heard: Heard,
    /// Which questions that may be proposed can be answered.
    pub(crate) answerable: Answerable,
    /// The tables of which each row was sold for a price, in some quantity: both columns. Made when it is first asked for.
    pub(crate) sold: OnceLock<Vec<(usize, usize, usize)>>,
    /// The table of purchases and the column of what each brought, if there is one. Made likewise.
    pub(crate) purchases: OnceLock<Option<(usize, usize)>>,
    /// How tables join that were joined before.
    pub(crate) plans: Plans,
    /// The values that are known, and where each was seen.
    pub(crate) values: Shared<Stored>,
    /// From the initials of a value's words to that value; to none where several have them.
    pub(crate) initials: Shared<HashMap<String, Option<String>>>,
    /// From a stem that stands in descriptions to what is described by it.
    pub(crate) remarks: Shared<HashMap<String, Vec<Remark>>>,
    /// What is known of the ways between tables.
    ways: Ways,
    /// The same without views, where there are both. What a view says can mostly be said of the tables it reads, and joined
    /// with them it counts twice; so questions are read over tables first.
    pub(crate) base: Option<Box<SchemaIndex>>,
    /// The organization's own words.
    pub(crate) spoken: Shared<Vec<Spoken>>,
    /// Names of what is there, but not for the caller.
    pub(crate) concealed: Shared<HashSet<String>>,
    /// Whether the server knows `WITH TIES`.
    pub(crate) ties: bool,
    /// What was looked up in the database for one question: from its words (normalized) to where they stand.
    pub(crate) found: HashMap<String, Vec<FoundAt>>,
    /// Made when it is first asked for: every question has it noted.
    pub(crate) fingerprint: OnceLock<String>,
}

/// The most values that an index keeps.
pub const MAX_VALUES: usize = 200_000;

/// A table, as the language sees it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Whether its bare name finds it along the search path.
    pub(crate) bare: bool,
    /// Its words, in their base form.
    pub(crate) words: Vec<String>,
    /// Their stems.
    pub(crate) stems: Box<[Box<str>]>,
    pub(crate) columns: Vec<ColumnInfo>,
    /// Its primary key, or what takes its place.
    pub(crate) primary: Vec<usize>,
    /// Whether the primary key is declared, so that other columns follow from it.
    pub(crate) declared_key: bool,
    /// The columns that name its rows to people.
    pub(crate) display: Vec<usize>,
    pub(crate) rows: f64,
    /// What its owner wrote about it.
    pub(crate) comment: Option<String>,
    /// Whether it does little but connect others.
    pub(crate) bridge: bool,
}

impl Table {
    /// Whether that column alone is its key.
    pub(crate) fn is_keyed_by(&self, column: usize) -> bool {
        self.primary == [column]
    }
}

/// A column, as the language sees it.
#[derive(Clone, Debug)]
pub(crate) struct ColumnInfo {
    pub(crate) name: String,
    pub(crate) class: TypeClass,
    pub(crate) type_name: String,
    /// Its words, in their base form, short forms expanded.
    pub(crate) words: Vec<String>,
    /// Stems of them that are none of them.
    pub(crate) stems: Box<[Box<str>]>,
    pub(crate) nullable: bool,
    pub(crate) primary: bool,
    /// Whether it refers to another table.
    pub(crate) foreign: bool,
    pub(crate) unique: bool,
    /// Values: labels of an enum, or samples.
    pub(crate) values: Vec<String>,
    /// Whether those are all.
    pub(crate) complete: bool,
    /// The key of a document that it is, where it is no column of its own.
    pub(crate) key: Option<String>,
    /// What it is, if the database does not have it but the organization's language.
    pub(crate) defined: Option<Box<Defined>>,
    /// What is written about it.
    pub(crate) comment: Option<String>,
}

impl ColumnInfo {
    /// Whether it identifies rows and means nothing else.
    pub(crate) fn is_id(&self) -> bool {
        (self.primary || self.foreign)
            && self.class.is_numeric()
            && !self.words.iter().any(|it| it == "year")
            || self.words.last().is_some_and(|it| it == "id" || it == "uuid")
            || self.class == TypeClass::Uuid
    }

    /// Whether it says in which state a row is: by its name, or because most of its labels are what was done.
    pub(crate) fn is_state(&self) -> bool {
        let called = |it: &String| matches!(it.as_str(), "status" | "state" | "stage" | "phase");
        let done = self.values.iter().filter(|it| it.ends_with("ed")).count();
        self.complete
            && (self.words.iter().any(called) || done > 1 && done * 2 >= self.values.len())
    }

    pub(crate) fn has_word(&self, stem: &str) -> bool {
        self.words.iter().any(|it| it == stem) || self.stems.iter().any(|it| **it == *stem)
    }
}

/// A way to join two tables.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) from_columns: Vec<usize>,
    pub(crate) to: usize,
    pub(crate) to_columns: Vec<usize>,
    /// Whether the database declares it, or its values bear it out; others are guessed by names.
    pub(crate) declared: bool,
}

impl Edge {
    /// The columns on the side of `table`, the other table, and the columns there.
    pub(crate) fn seen_from(&self, table: usize) -> (&[usize], usize, &[usize]) {
        if self.from == table {
            (&self.from_columns, self.to, &self.to_columns)
        } else {
            (&self.to_columns, self.from, &self.from_columns)
        }
    }
}

impl SchemaIndex {
    /// Builds the index of what of that catalog may be asked about.
    pub fn build(catalog: &Catalog, allowed: &AllowedTables) -> Self {
        let (views, mut relations): (Vec<&Relation>, Vec<&Relation>) = catalog
            .relations
            .iter()
            .map(AsRef::as_ref)
            .filter(|it: &&Relation| {
                it.readable && it.partition_of.is_none() && allowed.allows(&it.schema, &it.name)
            })
            .partition(|it| matches!(it.kind, RelationKind::View | RelationKind::MaterializedView));
        if views.is_empty() || relations.is_empty() {
            relations.extend(views);
            let mut index = Self::of(catalog, &relations);
            index.conceal(catalog, allowed);
            return index;
        }
        // The same positions in both: base tables stand first.
        let base = Self::of(catalog, &relations);
        relations.extend(views);
        let mut index = Self { base: Some(Box::new(base)), ..Self::of(catalog, &relations) };
        index.conceal(catalog, allowed);
        index
    }

    fn of(catalog: &Catalog, relations: &[&Relation]) -> Self {
        let prefixes = Prefixes::of(relations);
        let mut known: HashSet<String> = HashSet::new();
        for relation in relations {
            let words = names::split(&relation.name[prefixes.cut(relation)..], &known);
            for word in words {
                if word.len() > 3 {
                    known.insert(LEXICON.lemma(&word));
                    known.insert(word);
                }
            }
        }
        let mut index = Self {
            tables: Shared::default(),
            edges: Shared::default(),
            edges_of: Shared::default(),
            vocabulary: Shared::default(),
            heard: Heard::default(),
            answerable: Answerable::default(),
            sold: OnceLock::new(),
            purchases: OnceLock::new(),
            plans: Plans::default(),
            values: Shared::default(),
            initials: Shared::default(),
            remarks: Shared::default(),
            ways: Ways::default(),
            base: None,
            spoken: Shared::default(),
            concealed: Shared::default(),
            ties: catalog.server_version_num >= 130_000,
            found: HashMap::new(),
            fingerprint: OnceLock::new(),
        };
        for relation in relations {
            let cut = prefixes.cut(relation);
            let bare = catalog.resolve(&relation.name).is_some_and(|it| it.oid == relation.oid);
            index.add_table(relation, cut, bare, &known);
        }
        index.add_declared_edges(relations);
        index.infer_edges();
        index.weigh_edges(relations);
        let mut edges_of: Vec<Vec<usize>> = vec![Vec::new(); index.tables.len()];
        for (at, it) in index.edges.iter().enumerate() {
            edges_of[it.from].push(at);
            if it.to != it.from {
                edges_of[it.to].push(at);
            }
        }
        index.edges_of = edges_of.into();
        index.mark_foreign();
        index.add_acquisition();
        index.add_singular();
        index.add_remarks();
        index.ways = Ways::between(index.tables.len());
        index.add_values();
        index.add_initials();
        index
    }

    fn add_table(&mut self, relation: &Relation, cut: usize, bare: bool, known: &HashSet<String>) {
        let table = self.tables.len();
        let raw = names::split(&relation.name[cut..], known);
        let words = expand(&raw);
        let readable: Vec<&Column> = relation.columns.iter().filter(|it| it.readable).collect();
        let positions: Vec<usize> =
            relation.columns.iter().enumerate().filter(|it| it.1.readable).map(|it| it.0).collect();
        let column_names: Vec<&str> = readable.iter().map(|it| it.name.as_str()).collect();
        let prefix = names::common_prefix(&column_names);
        let mut columns = Vec::new();
        for (at, column) in readable.iter().enumerate() {
            let cut = if prefix > 0
                && column.name.len() > prefix
                && column.name[..prefix].eq_ignore_ascii_case(&common(&column_names, prefix))
            {
                prefix
            } else {
                0
            };
            let whole = expand(&names::split(&column.name, known));
            let short = expand(&names::split(&column.name[cut..], known));
            let position = positions[at];
            // `rid`, `pid`: a letter and "id"
            let lettered = column.name.len() == 3
                && column.name.to_lowercase().ends_with("id")
                && matches!(column.class, TypeClass::Integer | TypeClass::Text);
            let (whole, short) = if lettered {
                (vec!["id".to_owned()], vec!["id".to_owned()])
            } else {
                (whole, short)
            };
            let own = if cut > 0 { &short } else { &whole };
            let info = ColumnInfo {
                name: column.name.clone(),
                class: column.class,
                type_name: column.type_name.clone(),
                words: own.clone(),
                stems: stems(own),
                nullable: column.nullable,
                primary: if relation.primary_key().is_empty() {
                    relation
                        .keys
                        .iter()
                        .find(|it| it.columns.len() == 1)
                        .is_some_and(|it| it.columns == [position])
                } else {
                    relation.primary_key().contains(&position)
                },
                foreign: false,
                unique: relation.keys.iter().any(|it| it.columns == [position]),
                values: if column.class == TypeClass::Json {
                    // those are of its keys
                    Vec::new()
                } else if column.enum_values.is_empty() {
                    column.samples.as_ref().map(|it| it.values.clone()).unwrap_or_default()
                } else {
                    column.enum_values.clone()
                },
                complete: !column.enum_values.is_empty()
                    || column.samples.as_ref().is_some_and(|it| it.complete),
                key: None,
                defined: None,
                comment: column.comment.clone(),
            };
            let info = match (&column.comment, column.class) {
                (Some(comment), TypeClass::Array) if info.values.is_empty() => {
                    ColumnInfo { values: comments::listed(comment), ..info }
                }
                _ => info,
            };
            columns.push(info);
            // what is written about a reference speaks of what it refers to
            let refers = relation.foreign_keys.iter().any(|it| it.columns == [position]);
            let comment = column.comment.as_deref().filter(|_| !refers);
            // `launch date` where a date is called `launch`: the noun only says what kind of thing it is
            let kind = match column.class {
                _ if refers => None,
                TypeClass::Date | TypeClass::Timestamp => Some("date"),
                // `phone number`, where it is called `telephone`
                TypeClass::Text
                    if short.last().is_some_and(|it| {
                        matches!(it.as_str(), "phone" | "telephone" | "mobile" | "fax" | "cell")
                    }) =>
                {
                    Some("number")
                }
                TypeClass::Text => Some("name"),
                _ => None,
            };
            self.name_column(table, at, &words, &whole, &short, kind, comment);
            if column.class.is_numeric() {
                self.name_length(table, at, &words, &short);
            }
        }
        self.add_keys(table, &readable, &words, &mut columns, known);
        self.add_formulas(table, &readable, &words, relation.comment.as_deref(), &mut columns);
        let key = relation
            .keys
            .iter()
            .find(|it| it.primary)
            .or_else(|| relation.keys.iter().find(|it| it.columns.len() == 1))
            .map_or(&[][..], |it| it.columns.as_slice());
        let primary =
            key.iter().filter_map(|it| positions.iter().position(|at| at == it)).collect();
        self.name_table(table, &words, &raw, relation.comment.as_deref());
        if cut > 0 {
            // what begins many names may say something all the same: `customer_notes` beside `customer_addresses`
            let whole = expand(&names::split(&relation.name, known));
            self.add_name(table, None, &whole, 0.95, false);
        }
        let mut info = Table {
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            bare,
            stems: words.iter().map(|it| LEXICON.stem(it).into_boxed_str()).collect(),
            words,
            columns,
            primary,
            declared_key: !relation.primary_key().is_empty(),
            display: Vec::new(),
            rows: relation.estimated_rows.unwrap_or(0.0),
            comment: relation.comment.clone(),
            bridge: false,
        };
        info.display = display_columns(&info);
        self.tables.push(info);
    }

    fn name_table(
        &mut self,
        table: usize,
        words: &[String],
        raw: &[String],
        comment: Option<&str>,
    ) {
        self.add_name(table, None, words, 1.0, false);
        // written as one word, as the table is: `salespersons`
        let glued = raw.concat();
        if raw.len() > 1
            && let Some(id) = self.vocabulary.last()
        {
            for form in [LEXICON.lemma(&glued), glued] {
                self.vocabulary.glue(&form, id);
            }
        }
        let lemmas: Vec<String> = raw.iter().map(|it| LEXICON.lemma(it)).collect();
        if lemmas != words {
            self.add_name(table, None, &lemmas, 0.95, false);
        }
        // a prefix that sorts tables (`ref_`, `tbl_`, `dim_`) says nothing to people
        if words.len() > 1
            && matches!(raw[0].as_str(), "ref" | "tbl" | "dim" | "fact" | "t" | "tb" | "lookup")
        {
            self.add_name(table, None, &words[1..], 0.95, false);
        }
        if let Some(comment) = comment {
            let said = comment_words(comment);
            // `Lines of orders` are lines, not orders
            if !said.is_empty() && said.len() <= 3 && !comments::relates(comment) {
                self.add_name(table, None, &said, 0.85, false);
            }
            let head = comments::head(comment);
            if !head.is_empty() && head != said && head != words {
                self.add_name(table, None, &head, 0.8, false);
            }
            // `Product categories, a tree`: categories; where a table holds something else of products, so is that said
            if let [kind, thing] = head.as_slice()
                && kind != thing
                && !words.contains(thing)
                && !LEXICON.is_light(thing)
            {
                self.add_name(table, None, std::slice::from_ref(thing), HEAD, false);
            }
        }
    }

    fn name_column(
        &mut self,
        table: usize,
        column: usize,
        table_words: &[String],
        whole: &[String],
        short: &[String],
        kind: Option<&str>,
        comment: Option<&str>,
    ) {
        self.add_name(table, Some(column), whole, 1.0, false);
        if short != whole {
            self.add_name(table, Some(column), short, 0.98, false);
        }
        // `student.student_name` is its name; `student name` may mean `student.name`
        let mut bare = short;
        let starts =
            |it: &[String]| it.len() > table_words.len() && it[..table_words.len()] == *table_words;
        if starts(whole) {
            bare = &whole[table_words.len()..];
            self.add_name(table, Some(column), bare, 0.97, false);
        } else if table_words.len() > 1
            && whole.len() > 1
            && table_words.contains(&whole[0])
            && whole[0] != "id"
        {
            // part of the table's words: `department_store.store_name`
            let skip = whole.iter().take_while(|it| table_words.contains(it)).count();
            if skip < whole.len() {
                bare = &whole[skip..];
                self.add_name(table, Some(column), bare, 0.93, false);
            }
        }
        if !table_words.is_empty() && !starts(whole) {
            let mut with: Vec<String> = table_words.to_vec();
            with.extend(bare.iter().cloned());
            self.add_name(table, Some(column), &with, 1.0, true);
        } else if table_words.len() > 1 {
            let mut with: Vec<String> = table_words[table_words.len() - 1..].to_vec();
            with.extend(bare.iter().cloned());
            self.add_name(table, Some(column), &with, 0.97, true);
        }
        let last = bare.last().map_or("", String::as_str);
        if let Some(kind) = kind
            && bare.len() < 3
            && !says_kind(last)
        {
            let mut with: Vec<String> = bare.to_vec();
            with.push(kind.to_owned());
            self.add_name(table, Some(column), &with, KIND, false);
        }
        if let Some(comment) = comment {
            let mut said = comment_words(comment);
            // `the title of the publication`, of publications: its title
            if said.len() > table_words.len() && said.ends_with(table_words) {
                said.truncate(said.len() - table_words.len());
            }
            // `Where the order was placed` tells what happened: no name
            let tells = comments::tells(comment) && kind != Some("date");
            if !said.is_empty() && said.len() <= 6 && said != whole && !tells {
                self.add_name(table, Some(column), &said, 0.8, false);
            }
        }
    }

    pub(crate) fn add_name(
        &mut self,
        table: usize,
        column: Option<usize>,
        words: &[String],
        quality: f64,
        with_table: bool,
    ) {
        self.vocabulary.add(table, column, words, quality, with_table);
        self.forget();
    }

    /// Forgets what was kept of questions: what they are answered from has changed.
    pub(crate) fn forget(&mut self) {
        self.heard = Heard::default();
        self.answerable = Answerable::default();
        (self.sold, self.purchases) = (OnceLock::new(), OnceLock::new());
    }

    /// Words that are so small a part of a column's name that they would not be taken for it: `date` of `date_payment_made`.
    /// Those that stand in no other column of the table say more.
    fn add_singular(&mut self) {
        let mut found: Vec<(usize, usize, String, f64)> = Vec::new();
        for (table, info) in self.tables.iter().enumerate() {
            for (column, it) in info.columns.iter().enumerate() {
                if it.words.len() < 2 || it.foreign || it.words.len() > 5 {
                    continue;
                }
                let sum: f64 = it.words.iter().map(|it| weight(it)).sum();
                for word in &it.words {
                    let verb = word.ends_with("ed") || word.ends_with("ing");
                    let slight = weight(word) / sum < PLURAL;
                    let telling = word.len() > 2
                        && word != "id"
                        && !verb
                        && !LEXICON.is_stop(word)
                        && !LEXICON.is_light(word);
                    let times = info.columns.iter().filter(|it| it.words.contains(word)).count();
                    if slight && telling && !info.words.contains(word) {
                        let quality = if times == 1 { SINGULAR } else { PLURAL };
                        found.push((table, column, word.clone(), quality));
                    }
                }
            }
        }
        for (table, column, word, quality) in found {
            self.add_name(table, Some(column), &[word], quality, false);
        }
    }

    fn add_values(&mut self) {
        let mut count = 0;
        for (table, info) in self.tables.iter().enumerate() {
            for (column, it) in info.columns.iter().enumerate() {
                if !it.class.is_textual() && it.class != TypeClass::Array {
                    continue;
                }
                for (value, text) in it.values.iter().enumerate() {
                    if count >= MAX_VALUES {
                        return;
                    }
                    let key = normalized(text);
                    if key.is_empty() || key.len() > 80 {
                        continue;
                    }
                    count += 1;
                    self.values.add(&key, table, column, value);
                }
                // `pending: waiting for the customer`
                let comment = it.comment.as_deref().filter(|_| it.complete).unwrap_or_default();
                for (value, meaning) in comments::explained(comment, &it.values) {
                    self.values.add(&normalized(meaning), table, column, value);
                }
            }
        }
    }

    /// Whether a table is called by that word alone, by its name, another word for that, or its description.
    pub(crate) fn is_called(&self, table: usize, stem: &str) -> bool {
        let others = LEXICON.synonyms(stem).iter().map(String::as_str);
        std::iter::once(stem).chain(others).any(|it| {
            self.vocabulary.holding(it).iter().any(|(name, _)| {
                let name = self.vocabulary.name(*name);
                name.table() == table && name.column().is_none() && name.len() == 1
            })
        })
    }

    /// The most words that a value has, of those that are sought.
    pub(crate) fn longest_value(&self) -> usize {
        let found = self.found.keys().map(|it| it.split(' ').count().min(10)).max();
        self.values.longest().max(found.unwrap_or(1))
    }

    pub(crate) fn column(&self, at: crate::logical::ColumnRef) -> &ColumnInfo {
        &self.tables[at.table].columns[at.column]
    }
}

/// How good a word is as a name that stands in one column of a table only.
const SINGULAR: f64 = 0.5;

/// The same where it stands in several.
const PLURAL: f64 = 0.4;

/// How good a name is with a noun behind it that says what kind of thing it is.
pub(crate) const KIND: f64 = 0.96;

/// How well the noun alone names what a description begins with, when it stands there with another before it.
const HEAD: f64 = 0.78;

/// Whether a name ends with what says of what kind it is.
fn says_kind(last: &str) -> bool {
    matches!(
        last,
        "" | "name"
            | "date"
            | "time"
            | "year"
            | "month"
            | "day"
            | "id"
            | "code"
            | "number"
            | "description"
            | "detail"
    )
}

/// The stems of words, without those that are among them.
pub(crate) fn stems(words: &[String]) -> Box<[Box<str>]> {
    let stems = words.iter().map(|it| LEXICON.stem(it)).filter(|it| !words.contains(it));
    stems.map(String::into_boxed_str).collect()
}

fn expand(words: &[String]) -> Vec<String> {
    words
        .iter()
        .flat_map(|word| match LEXICON.expand(word) {
            Some(long) => long.iter().map(|it| LEXICON.lemma(it)).collect(),
            None => vec![LEXICON.lemma(word)],
        })
        .collect()
}

/// The content words of a comment's first sentence.
fn comment_words(comment: &str) -> Vec<String> {
    let first = comment.split(['.', ',', ';', '(', ':']).next().unwrap_or_default();
    normalized(first)
        .split(' ')
        .filter(|it| !it.is_empty() && !LEXICON.is_stop(it))
        .map(|it| LEXICON.lemma(it))
        .collect()
}
