//! Names and classes of types.

use std::borrow::Cow;
use std::collections::BTreeSet;

use plinth_core::FastMap;
use plinth_queries::{RawRow, Shape, UserTypes, type_name};
use plinth_schema_introspect::{Attribute, DomainCheck, TypeClass, UserType, UserTypeKind};

use super::comments::{Class, Comments};
use super::fields::{Fields, Unreadable};
use super::queries::FIRST_USER_OID;

/// Every type of the database that was read, besides the built-in ones.
#[derive(Debug, Default)]
pub(super) struct TypeBook {
    entries: FastMap<u32, Entry>,
    names: UserTypes,
    labels: FastMap<u32, Vec<String>>,
    /// By the relation that keeps them.
    fields: FastMap<u32, Vec<Field>>,
    domain_checks: FastMap<u32, Vec<DomainCheck>>,
    /// Names with a modifier that only the server can print.
    modified: FastMap<(u32, i32), String>,
    /// What was asked for before: most columns are of a handful of types.
    known: FastMap<(u32, i32), Described>,
}

#[derive(Debug)]
struct Entry {
    schema: String,
    name: String,
    /// `typtype`: `b`, `c`, `d`, `e`, `m`, `p`, `r`.
    kind: char,
    category: char,
    base: u32,
    base_modifier: i32,
    not_null: bool,
    checked: bool,
    array: u32,
    delimiter: char,
    /// Whether the catalog lists it.
    listed: bool,
    /// The relation that keeps its fields, 0 if it has none.
    relation: u32,
    default: Option<String>,
}

/// A field of a row type.
#[derive(Debug)]
struct Field {
    number: i16,
    name: String,
    type_oid: u32,
    modifier: i32,
}

/// What a column or function has to know of its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) class: TypeClass,
    pub(super) not_null: bool,
}

impl TypeBook {
    /// Adds the rows of [`types`](super::queries::types) (`listed`) or [`OTHER_TYPES`](super::queries::OTHER_TYPES).
    pub(super) fn add(
        &mut self,
        rows: &[RawRow],
        search_path: &[String],
        listed: bool,
    ) -> Result<(), Unreadable> {
        for row in rows {
            let mut fields = Fields::of(row);
            let oid: u32 = fields.number()?;
            let (schema, name) = (fields.name()?, fields.name()?);
            let (kind, category) = (fields.letter()?, fields.letter()?);
            let array: u32 = fields.number()?;
            let delimiter = fields.letter()?;
            let entry = Entry {
                schema,
                name,
                kind,
                category,
                base: fields.number()?,
                base_modifier: fields.number()?,
                not_null: fields.flag()?,
                checked: fields.flag()?,
                array,
                delimiter,
                listed,
                relation: fields.number()?,
                default: fields.optional_text()?.map(Cow::into_owned),
            };
            let delimiter = u8::try_from(delimiter).unwrap_or(b',');
            let element = if listed { 0 } else { fields.number()? };
            let shape = match entry.kind {
                _ if element != 0 => Shape::Array { element, delimiter },
                'd' => Shape::Domain { base: entry.base },
                _ => Shape::Scalar,
            };
            if array != 0 {
                self.names.insert(array, Shape::Array { element: oid, delimiter }, None, "");
            }
            self.names.insert(oid, shape, None, "");
            self.entries.insert(oid, entry);
        }
        self.name_all(search_path);
        Ok(())
    }

    /// Names need their schema where another type of that name is found first.
    fn name_all(&mut self, search_path: &[String]) {
        let mut first: FastMap<&str, usize> = FastMap::default();
        let place = |it: &Entry| search_path.iter().position(|schema| *schema == it.schema);
        for entry in self.entries.values() {
            if let Some(place) = place(entry) {
                let at = first.entry(&entry.name).or_insert(place);
                *at = place.min(*at);
            }
        }
        for (oid, entry) in &self.entries {
            let visible =
                place(entry).is_some_and(|it| first.get(entry.name.as_str()) == Some(&it));
            let schema = (!visible).then_some(entry.schema.as_str());
            let shape = self.names.shape(*oid).unwrap_or(Shape::Scalar);
            self.names.insert(*oid, shape, schema, &entry.name);
        }
    }

    pub(super) fn add_labels(&mut self, rows: &[RawRow]) -> Result<(), Unreadable> {
        for row in rows {
            let mut fields = Fields::of(row);
            self.labels.entry(fields.number()?).or_default().push(fields.owned()?);
        }
        Ok(())
    }

    /// Adds a field of the row type whose fields the relation of that oid keeps.
    pub(super) fn add_attribute(
        &mut self,
        relation: u32,
        number: i16,
        name: String,
        (type_oid, modifier): (u32, i32),
    ) {
        let field = Field { number, name, type_oid, modifier };
        self.fields.entry(relation).or_default().push(field);
    }

    pub(super) fn add_domain_checks(&mut self, rows: &[RawRow]) -> Result<(), Unreadable> {
        for row in rows {
            let mut fields = Fields::of(row);
            let (oid, name) = (fields.number()?, fields.owned()?);
            let Some(definition) = fields.optional_text()? else { continue };
            let check = DomainCheck { name, definition: definition.into_owned() };
            self.domain_checks.entry(oid).or_default().push(check);
        }
        Ok(())
    }

    pub(super) fn add_modified(&mut self, rows: &[RawRow]) -> Result<(), Unreadable> {
        for row in rows {
            let mut fields = Fields::of(row);
            let key = (fields.number()?, fields.number()?);
            if let Some(name) = fields.optional_text()? {
                self.modified.insert(key, name.into_owned());
            }
        }
        Ok(())
    }

    /// Whether it can be named without asking the server again.
    pub(super) fn knows(&self, oid: u32) -> bool {
        self.names.shape(oid).is_some()
            || (oid < FIRST_USER_OID && type_name(oid, -1, &self.names) != "unknown")
    }

    /// Whether only the server can print it: a type of an extension with a modifier.
    pub(super) fn needs_server(&self, oid: u32, modifier: i32) -> bool {
        modifier >= 0
            && self.entries.get(&self.element(oid).unwrap_or(oid)).is_some_and(|it| it.kind == 'b')
    }

    /// As `format_type` prints it.
    pub(super) fn name(&self, oid: u32, modifier: i32) -> String {
        match self.modified.get(&(oid, modifier)) {
            Some(name) => name.clone(),
            None => type_name(oid, modifier, &self.names).into_owned(),
        }
    }

    /// The labels if it is an enum or a domain over one.
    pub(super) fn labels(&self, oid: u32) -> &[String] {
        self.labels.get(&self.base(oid)).map_or(&[], |it| it)
    }

    /// What a column of that type is, once all types are there.
    pub(super) fn describe(&mut self, oid: u32, modifier: i32) -> Described {
        if let Some(known) = self.known.get(&(oid, modifier)) {
            return known.clone();
        }
        let described = Described {
            name: self.name(oid, modifier),
            class: self.class(oid),
            not_null: self.entries.get(&oid).is_some_and(|it| it.not_null),
        };
        self.known.insert((oid, modifier), described.clone());
        described
    }

    /// What is under a domain; other types themselves.
    fn base(&self, mut oid: u32) -> u32 {
        // Postgres lets no domain be made over itself, but what comes over the wire is not to be trusted with a loop.
        for _ in 0..16 {
            match self.entries.get(&oid) {
                Some(it) if it.kind == 'd' => oid = it.base,
                _ => break,
            }
        }
        oid
    }

    fn element(&self, oid: u32) -> Option<u32> {
        match self.names.shape(oid) {
            Some(Shape::Array { element, .. }) => Some(element),
            _ => None,
        }
    }

    fn class(&self, oid: u32) -> TypeClass {
        let oid = self.base(oid);
        match oid {
            20 | 21 | 23 => return TypeClass::Integer,
            700 | 701 | 790 | 1700 => return TypeClass::Decimal,
            18 | 19 | 25 | 1042 | 1043 => return TypeClass::Text,
            16 => return TypeClass::Boolean,
            1082 => return TypeClass::Date,
            1114 | 1184 => return TypeClass::Timestamp,
            1083 | 1266 => return TypeClass::Time,
            1186 => return TypeClass::Interval,
            2950 => return TypeClass::Uuid,
            114 | 3802 => return TypeClass::Json,
            17 => return TypeClass::Binary,
            _ => {}
        }
        if self.element(oid).is_some() || type_name(oid, -1, &self.names).ends_with("[]") {
            return TypeClass::Array;
        }
        match self.entries.get(&oid) {
            Some(it) if it.kind == 'e' => TypeClass::Enum,
            // `citext`, and whatever else an extension counts among the strings.
            Some(it) if it.kind == 'b' && it.category == 'S' => TypeClass::Text,
            _ => TypeClass::Other,
        }
    }

    /// The oids of the types of which others are made: under domains, in row types.
    pub(super) fn parts(&self) -> BTreeSet<u32> {
        let bases = self.entries.values().filter(|it| it.kind == 'd').map(|it| it.base);
        let fields = self.entries.values().filter(|it| it.listed && it.kind == 'c');
        let fields = fields.filter_map(|it| self.fields.get(&it.relation)).flatten();
        bases.chain(fields.map(|it| it.type_oid)).collect()
    }

    /// Those of the fields of row types that only the server can print.
    pub(super) fn modified_fields(&self) -> impl Iterator<Item = (u32, i32)> {
        self.fields.values().flatten().map(|it| (it.type_oid, it.modifier))
    }

    fn attributes(&self, relation: u32) -> Vec<Attribute> {
        let mut fields: Vec<_> = self.fields.get(&relation).into_iter().flatten().collect();
        fields.sort_by_key(|it| it.number);
        let attribute = |it: &Field| Attribute {
            name: it.name.clone(),
            type_name: self.name(it.type_oid, it.modifier),
        };
        fields.into_iter().map(attribute).collect()
    }

    /// As the catalog lists them, sorted.
    pub(super) fn listed(
        &self,
        extensions: &FastMap<u32, String>,
        comments: &mut Comments,
    ) -> Vec<UserType> {
        let own = |it: &Entry| !it.schema.starts_with("pg_") && it.schema != "information_schema";
        let mut types: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, it)| it.listed && own(it))
            .map(|(oid, it)| UserType {
                oid: *oid,
                schema: it.schema.clone(),
                name: it.name.clone(),
                kind: match it.kind {
                    'e' => UserTypeKind::Enum { labels: self.labels(*oid).to_vec() },
                    'd' => UserTypeKind::Domain {
                        base: self.name(it.base, it.base_modifier),
                        checked: it.checked,
                        not_null: it.not_null,
                        default: it.default.clone(),
                        checks: self.domain_checks.get(oid).cloned().unwrap_or_default(),
                    },
                    'c' => UserTypeKind::Composite { attributes: self.attributes(it.relation) },
                    'r' | 'm' => UserTypeKind::Range,
                    _ => UserTypeKind::Base,
                },
                array_oid: it.array,
                delimiter: it.delimiter,
                extension: extensions.get(oid).cloned(),
                comment: comments.take(Class::Type, *oid),
            })
            .collect();
        types.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        types
    }
}
