//! From the rows of the catalogs to a [`Catalog`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use plinth_core::FastMap;
use plinth_queries::RawRow;
use plinth_schema_introspect::{
    Catalog, Column, Generation, PartitionKey, PartitionStrategy, Relation, RelationKind, Schema,
    TypeClass,
};

use super::comments::{Class, Comments};
use super::fields::{Fields, Unreadable};
use super::types::TypeBook;
use super::{constraints, objects};

/// What is asked first, so that it can be put together while the server still works on the rest.
#[derive(Default)]
pub(super) struct Basics {
    pub(super) session: Vec<RawRow>,
    pub(super) search_path: Vec<RawRow>,
    pub(super) schemas: Vec<RawRow>,
    pub(super) relations: Vec<RawRow>,
    pub(super) types: Vec<RawRow>,
    pub(super) enum_labels: Vec<RawRow>,
    pub(super) columns: Vec<RawRow>,
}

/// What else the catalogs answered, in the order in which it is asked.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) constraints: Vec<RawRow>,
    pub(super) indexes: Vec<RawRow>,
    pub(super) comments: Vec<RawRow>,
    pub(super) parents: Vec<RawRow>,
    pub(super) functions: Vec<RawRow>,
    pub(super) operators: Vec<RawRow>,
    pub(super) casts: Vec<RawRow>,
    pub(super) members: Vec<RawRow>,
    pub(super) reads: Vec<RawRow>,
    pub(super) servers: Vec<RawRow>,
    pub(super) sequences: Vec<RawRow>,
    pub(super) defaults: Vec<RawRow>,
    pub(super) definitions: Vec<RawRow>,
    pub(super) constraint_definitions: Vec<RawRow>,
    pub(super) domain_checks: Vec<RawRow>,
    pub(super) index_definitions: Vec<RawRow>,
    pub(super) partition_bounds: Vec<RawRow>,
    pub(super) partition_keys: Vec<RawRow>,
    pub(super) function_texts: Vec<RawRow>,
}

/// Relations of a catalog that is known.
#[derive(Default)]
pub(super) struct Known(Vec<Arc<Relation>>);

impl Known {
    /// Those that these constraints refer to. In one pass over all: an index would cost more.
    pub(super) fn of(catalog: &Catalog, constraints: &[RawRow]) -> Result<Self, Unreadable> {
        let mut targets: BTreeSet<u32> = BTreeSet::new();
        for row in constraints {
            let mut fields = Fields::of(row);
            for _ in 0..5 {
                fields.optional_text()?;
            }
            targets.insert(fields.number()?);
        }
        // A constraint that refers to nothing refers to 0.
        targets.remove(&0);
        if targets.is_empty() {
            return Ok(Self::default());
        }
        let known = catalog.relations.iter().filter(|it| targets.contains(&it.oid));
        Ok(Self(known.cloned().collect()))
    }

    fn get(&self, oid: u32) -> Option<&Relation> {
        self.0.iter().map(|it| &**it).find(|it| it.oid == oid)
    }
}

/// A catalog being put together: what was read, still by oid and number.
pub(super) struct Draft {
    /// All but its relations.
    pub(super) catalog: Catalog,
    pub(super) relations: Vec<Relation>,
    pub(super) types: TypeBook,
    /// Whether the role may read `pg_statistic`, which as a rule is a superuser's right.
    pub(super) reads_statistics: bool,
    /// Where a relation stands in `relations`.
    at: FastMap<u32, usize>,
    /// Beside each schema of the catalog.
    pub(super) schema_oids: Vec<u32>,
    /// Relations outside of this draft that one in it may refer to.
    known: Known,
    /// Of the only relation: whether it has pages; `None` if it was not asked for.
    pub(super) has_pages: Option<bool>,
    /// Whether a reference was left out because nothing is known of where it points.
    pub(super) dangling: bool,
    /// Columns (by relation and number) with a collation that is not the default one.
    collations: Vec<(usize, i16, u32)>,
    /// For each relation, beside each of its columns: the number in the table, and the type's modifier.
    numbers: Vec<Vec<(i16, i32)>>,
    copies: Copies,
}

/// How much text may still be copied to several columns. A server that wants to hurt could name one huge expression or
/// type for very many; real ones stay far below.
struct Copies {
    bytes_left: usize,
}

impl Copies {
    fn afford(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(self.bytes_left);
        left.is_some()
    }
}

impl Draft {
    /// Schemas, relations and columns, without the names of types, which may have to be asked for.
    pub(super) fn begin(basics: &Basics) -> Result<Self, Unreadable> {
        let mut catalog = Catalog { revision: Catalog::REVISION, ..Catalog::default() };
        let mut session = Fields::of(basics.session.first().ok_or(Unreadable)?);
        catalog.server_version_num = session.number()?;
        catalog.database = session.owned()?;
        catalog.role = session.owned()?;
        let reads_statistics = session.flag()?;
        catalog.comment = session.optional_text()?.map(Cow::into_owned);
        for row in &basics.search_path {
            let schema = Fields::of(row).owned()?;
            if schema != "pg_catalog" {
                catalog.search_path.push(schema);
            }
        }
        let mut types = TypeBook::default();
        types.add(&basics.types, &catalog.search_path, true)?;
        types.add_labels(&basics.enum_labels)?;

        let mut draft = Self {
            catalog,
            relations: Vec::new(),
            types,
            reads_statistics,
            at: FastMap::default(),
            schema_oids: Vec::new(),
            known: Known::default(),
            has_pages: None,
            dangling: false,
            collations: Vec::new(),
            numbers: Vec::new(),
            copies: Copies { bytes_left: 64 << 20 },
        };
        let schemas = draft.schemas(&basics.schemas)?;
        draft.relations(&basics.relations, &schemas)?;
        draft.columns(&basics.columns)?;
        draft.schema_oids = schemas.into_iter().map(|it| it.0).collect();
        Ok(draft)
    }

    /// The oids and places of the schemas, in the order of [`Catalog::schemas`].
    fn schemas(&mut self, rows: &[RawRow]) -> Result<Vec<(u32, usize)>, Unreadable> {
        let mut schemas = Vec::with_capacity(rows.len());
        for row in rows {
            let mut fields = Fields::of(row);
            let oid: u32 = fields.number()?;
            schemas.push((
                oid,
                Schema { name: fields.name()?, comment: None, usable: fields.flag()? },
            ));
        }
        schemas.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        let oids = schemas.iter().enumerate().map(|(at, it)| (it.0, at)).collect();
        self.catalog.schemas = schemas.into_iter().map(|it| it.1).collect();
        Ok(oids)
    }

    fn relations(&mut self, rows: &[RawRow], schemas: &[(u32, usize)]) -> Result<(), Unreadable> {
        let schemas: FastMap<u32, usize> = schemas.iter().copied().collect();
        let mut relations = Vec::with_capacity(rows.len());
        for row in rows {
            let mut fields = Fields::of(row);
            let oid = fields.number()?;
            // Made in a system schema by somebody with the right to: not ours to show.
            let Some(at) = schemas.get(&fields.number()?) else { continue };
            let schema = &self.catalog.schemas[*at];
            let name = fields.owned()?;
            let kind = match fields.letter()? {
                'p' => RelationKind::PartitionedTable,
                'v' => RelationKind::View,
                'm' => RelationKind::MaterializedView,
                'f' => RelationKind::ForeignTable,
                _ => RelationKind::Table,
            };
            let estimate: f64 = fields.number()?;
            // Where it is a partition its parent's oid follows.
            let partition = fields.flag()?;
            relations.push(Relation {
                oid,
                schema: schema.name.clone(),
                name,
                kind,
                readable: fields.flag()? && schema.usable,
                estimated_rows: (estimate >= 0.0
                    && estimate.is_finite()
                    && kind != RelationKind::View)
                    .then_some(estimate),
                partition_of: partition.then_some(0),
                row_security: fields.flag()?,
                ..Relation::default()
            });
        }
        relations.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        self.at = relations.iter().enumerate().map(|(at, it)| (it.oid, at)).collect();
        self.numbers = vec![Vec::new(); relations.len()];
        self.relations = relations;
        Ok(())
    }

    fn columns(&mut self, rows: &[RawRow]) -> Result<(), Unreadable> {
        let usable: FastMap<&str, bool> =
            self.catalog.schemas.iter().map(|it| (it.name.as_str(), it.usable)).collect();
        let usable: Vec<bool> =
            self.relations.iter().map(|it| usable[it.schema.as_str()]).collect();
        // Whether every column was granted by itself.
        let mut granted = vec![true; usable.len()];
        for row in rows {
            let mut fields = Fields::of(row);
            let oid: u32 = fields.number()?;
            let number: i16 = fields.number()?;
            let name = fields.owned()?;
            let type_oid = fields.number()?;
            let modifier = fields.number()?;
            let Some(at) = self.at.get(&oid).copied() else {
                // A row type's, if anything's.
                self.types.add_attribute(oid, number, name, (type_oid, modifier));
                continue;
            };
            let relation = &mut self.relations[at];
            let not_null = fields.flag()?;
            let generation = match fields.optional_letter()? {
                None => None,
                Some('a') => Some(Generation::IdentityAlways),
                Some('d') => Some(Generation::IdentityByDefault),
                Some('v') => Some(Generation::Virtual),
                Some(_) => Some(Generation::Stored),
            };
            // Zero is for types that know no order of letters; the type `name` sorts by bytes (950) of its own accord.
            if let Some(collation) = fields.optional_number::<u32>()?
                && collation != 0
                && (type_oid, collation) != (19, 950)
            {
                self.collations.push((at, number, collation));
            }
            let readable = relation.readable || (usable[at] && fields.flag()?);
            granted[at] &= readable;
            relation.columns.push(Column {
                name,
                type_name: String::new(),
                type_oid,
                class: TypeClass::Other,
                nullable: !not_null,
                generated: generation.is_some(),
                generation,
                readable,
                ..Column::default()
            });
            self.numbers[at].push((number, modifier));
        }
        for (at, relation) in self.relations.iter_mut().enumerate() {
            relation.readable |= granted[at] && !relation.columns.is_empty();
            relation.columns.shrink_to_fit();
            let numbers = &mut self.numbers[at];
            if !numbers.is_sorted() {
                let mut order: Vec<usize> = (0..numbers.len()).collect();
                order.sort_by_key(|it| numbers[*it]);
                *numbers = order.iter().map(|it| numbers[*it]).collect();
                let mut columns: Vec<_> =
                    std::mem::take(&mut relation.columns).into_iter().map(Some).collect();
                relation.columns = order.iter().filter_map(|it| columns[*it].take()).collect();
            }
            relation.gaps = gaps(numbers);
        }
        Ok(())
    }

    /// Tells what the relations around the ones of this draft are.
    pub(super) fn know(&mut self, known: Known) {
        self.known = known;
    }

    /// The oids of collations whose names are needed.
    pub(super) fn collations(&self) -> BTreeSet<u32> {
        self.collations.iter().map(|it| it.2).collect()
    }

    pub(super) fn name_collations(&mut self, rows: &[RawRow]) -> Result<(), Unreadable> {
        let mut names: FastMap<u32, String> = FastMap::default();
        for row in rows {
            let mut fields = Fields::of(row);
            names.insert(fields.number()?, fields.name()?);
        }
        for (at, number, collation) in std::mem::take(&mut self.collations) {
            if let Some(column) = self.column(at, number) {
                self.relations[at].columns[column].collation = names.get(&collation).cloned();
            }
        }
        Ok(())
    }

    /// Those on schemas, relations and columns are taken out.
    fn comment(&mut self, comments: &mut Comments) {
        for (oid, schema) in self.schema_oids.iter().zip(&mut self.catalog.schemas) {
            schema.comment = comments.take(Class::Schema, *oid);
        }
        for (relation, numbers) in self.relations.iter_mut().zip(&self.numbers) {
            let Some(of_relation) = comments.relations.remove(&relation.oid) else { continue };
            for (number, comment) in of_relation {
                match numbers.binary_search_by_key(&number, |it| it.0) {
                    Ok(column) => relation.columns[column].comment = Some(comment),
                    Err(_) if number == 0 => relation.comment = Some(comment),
                    Err(_) => {}
                }
            }
        }
    }

    /// The position of a column by its number in the table.
    pub(super) fn column(&self, at: usize, number: i16) -> Option<usize> {
        self.numbers[at].binary_search_by_key(&number, |it| it.0).ok()
    }

    /// The positions of a relation and its column, by their names.
    pub(super) fn place(&self, schema: &str, name: &str, column: &str) -> Option<(usize, usize)> {
        let relations = &self.relations;
        let key = |it: &Relation| (it.schema.as_str(), it.name.as_str()).cmp(&(schema, name));
        let at = relations.binary_search_by(key).ok()?;
        Some((at, relations[at].column(column)?))
    }

    /// Where the relation of that oid stands.
    pub(super) fn position(&self, oid: u32) -> Option<usize> {
        self.at.get(&oid).copied()
    }

    pub(super) fn positions(&self, at: usize, numbers: &[i16]) -> Option<Vec<usize>> {
        numbers.iter().map(|it| self.column(at, *it)).collect()
    }

    /// The positions of columns of the relation of that oid, in this draft or outside.
    pub(super) fn target_positions(&self, oid: u32, numbers: &[i16]) -> Option<Vec<usize>> {
        if let Some(at) = self.position(oid) {
            return self.positions(at, numbers);
        }
        let known = self.known.get(oid)?;
        numbers.iter().map(|it| known.position(*it)).collect()
    }

    /// The types that columns, functions, casts and domains have and that are not known yet.
    pub(super) fn missing_types(&self, answers: &Answers) -> Result<BTreeSet<u32>, Unreadable> {
        let mut oids = self.types.parts();
        oids.extend(self.relations.iter().flat_map(|it| &it.columns).map(|it| it.type_oid));
        for row in &answers.functions {
            let mut fields = Fields::of(row);
            for _ in 0..4 {
                fields.optional_text()?;
            }
            oids.extend(fields.numbers::<u32>()?);
            oids.insert(fields.number()?);
        }
        for row in &answers.casts {
            let mut fields = Fields::of(row);
            fields.optional_text()?;
            oids.extend([fields.number::<u32>()?, fields.number()?]);
        }
        oids.retain(|it| !self.types.knows(*it));
        Ok(oids)
    }

    /// The types with modifiers that only the server can print.
    pub(super) fn modified_types(&self) -> BTreeSet<(u32, i32)> {
        let columns = self.relations.iter().zip(&self.numbers);
        columns
            .flat_map(|(relation, numbers)| relation.columns.iter().zip(numbers))
            .map(|(column, number)| (column.type_oid, number.1))
            .chain(self.types.modified_fields())
            .filter(|it| self.types.needs_server(it.0, it.1))
            .collect()
    }

    /// The finished catalog.
    pub(super) fn into_catalog(self) -> Catalog {
        let relations = self.relations.into_iter().map(Arc::new).collect();
        Catalog { relations, ..self.catalog }
    }

    /// Everything else, once every type is known.
    pub(super) fn complete(&mut self, answers: &Answers) -> Result<(), Unreadable> {
        for (relation, numbers) in self.relations.iter_mut().zip(&self.numbers) {
            for (column, (_, modifier)) in relation.columns.iter_mut().zip(numbers) {
                let described = self.types.describe(column.type_oid, *modifier);
                column.type_name = described.name;
                column.class = described.class;
                column.nullable &= !described.not_null;
                let labels = self.types.labels(column.type_oid);
                if self.copies.afford(labels.iter().map(String::len).sum()) {
                    column.enum_values = labels.to_vec();
                }
            }
        }
        let mut comments = Comments::read(&answers.comments)?;
        self.comment(&mut comments);
        self.defaults(&answers.defaults)?;
        self.definitions(&answers.definitions)?;
        self.parents(&answers.parents)?;
        self.partitions(answers)?;
        self.sources(answers)?;
        constraints::fill(self, answers, &mut comments)?;
        self.estimate_parents();
        objects::fill(self, answers, &mut comments)
    }

    fn defaults(&mut self, rows: &[RawRow]) -> Result<(), Unreadable> {
        for row in rows {
            let mut fields = Fields::of(row);
            let Some(expression) = fields.optional_text()? else { continue };
            for member in fields.text()?.split(' ') {
                let (relation, number) = member.split_once('.').ok_or(Unreadable)?;
                let relation: u32 = relation.parse().map_err(|_| Unreadable)?;
                let number: i16 = number.parse().map_err(|_| Unreadable)?;
                if let Some(at) = self.position(relation)
                    && let Some(column) = self.column(at, number)
                    && self.copies.afford(expression.len())
                {
                    let default = Some(expression.clone().into_owned());
                    self.relations[at].columns[column].default = default;
                }
            }
        }
        Ok(())
    }

    fn definitions(&mut self, rows: &[RawRow]) -> Result<(), Unreadable> {
        for row in rows {
            let mut fields = Fields::of(row);
            if let Some(at) = self.position(fields.number()?) {
                self.relations[at].definition = fields.optional_text()?.map(Cow::into_owned);
            }
        }
        Ok(())
    }

    fn parents(&mut self, rows: &[RawRow]) -> Result<(), Unreadable> {
        for row in rows {
            let mut fields = Fields::of(row);
            if let Some(at) = self.position(fields.number()?) {
                let relation = &mut self.relations[at];
                match relation.partition_of {
                    Some(_) => relation.partition_of = Some(fields.number()?),
                    None => relation.inherits.push(fields.number()?),
                }
            }
        }
        for relation in &mut self.relations {
            relation.partition_of = relation.partition_of.filter(|it| *it != 0);
        }
        Ok(())
    }

    fn partitions(&mut self, answers: &Answers) -> Result<(), Unreadable> {
        for row in &answers.partition_bounds {
            let mut fields = Fields::of(row);
            if let Some(at) = self.position(fields.number()?) {
                self.relations[at].partition_bound = fields.optional_text()?.map(Cow::into_owned);
            }
        }
        for row in &answers.partition_keys {
            let mut fields = Fields::of(row);
            let Some(at) = self.position(fields.number()?) else { continue };
            let strategy = match fields.letter()? {
                'h' => PartitionStrategy::Hash,
                'l' => PartitionStrategy::List,
                _ => PartitionStrategy::Range,
            };
            let definition = fields.optional_text()?.map(Cow::into_owned);
            self.relations[at].partition_key =
                definition.map(|definition| PartitionKey { strategy, definition });
        }
        Ok(())
    }

    /// Where rows come from that a relation does not keep itself.
    fn sources(&mut self, answers: &Answers) -> Result<(), Unreadable> {
        for row in &answers.reads {
            let mut fields = Fields::of(row);
            if let Some(at) = self.position(fields.number()?) {
                self.relations[at].reads.push(fields.number()?);
            }
        }
        for row in &answers.servers {
            let mut fields = Fields::of(row);
            if let Some(at) = self.position(fields.number()?) {
                self.relations[at].server = Some(fields.name()?);
            }
        }
        Ok(())
    }

    /// A parent that was never analyzed itself has as many rows as its partitions.
    fn estimate_parents(&mut self) {
        let mut sums: FastMap<u32, Option<f64>> = FastMap::default();
        for relation in &self.relations {
            if let Some(parent) = relation.partition_of
                && relation.kind != RelationKind::PartitionedTable
            {
                // Up to the topmost one; partitions are nested a few levels deep at most.
                let mut next = Some(parent);
                for _ in 0..16 {
                    let Some(oid) = next else { break };
                    let sum = sums.entry(oid).or_insert(Some(0.0));
                    *sum = sum.zip(relation.estimated_rows).map(|(a, b)| a + b);
                    next = self
                        .relations
                        .get(self.at.get(&oid).copied().unwrap_or(usize::MAX))
                        .and_then(|it| it.partition_of);
                }
            }
        }
        for relation in &mut self.relations {
            if relation.kind == RelationKind::PartitionedTable && relation.estimated_rows.is_none()
            {
                relation.estimated_rows = sums.get(&relation.oid).copied().flatten();
            }
        }
    }
}

/// The numbers that are missing before the last one.
fn gaps(numbers: &[(i16, i32)]) -> Vec<i16> {
    let mut gaps = Vec::new();
    let mut next = 1;
    for (number, _) in numbers {
        gaps.extend(next..*number);
        next = number.saturating_add(1);
    }
    gaps
}
