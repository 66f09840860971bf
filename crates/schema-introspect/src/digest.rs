use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io::{BufWriter, Write as _};
use std::sync::{Arc, OnceLock};

use plinth_core::FastMap;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{Catalog, CatalogPatch, Column, ForeignKey, Relation, UserFunction, UserType};

/// What a schema says, in 32 bytes: two catalogs have the same digest if nothing differs between them but what changes
/// without anybody changing the schema (estimates, sizes, sampled values, oids). SHA-256 over everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StructureDigest([u8; 32]);

impl StructureDigest {
    /// For the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Catalog {
    /// Its structure's digest. Costs about as much as writing the catalog out as JSON, but for what is remembered of
    /// relations that were there before.
    pub fn structure_digest(&self) -> StructureDigest {
        let mut out = BufWriter::with_capacity(1 << 16, Hasher(Sha256::new()));
        // Each struct is taken apart in full: whoever adds a field decides here whether it is structure.
        let Self {
            // What an older version could not read yet is not a change of the schema.
            revision: _,
            server_version_num,
            database,
            comment,
            role,
            search_path,
            schemas,
            relations,
            types,
            functions,
            operators,
            casts,
            sequences,
            // Of the server's rows, not of what they say.
            fingerprint: _,
            digests,
        } = self;
        feed(&mut out, &(server_version_num, database, comment, role, search_path, schemas));
        // As a rule all that needs them is remembered.
        let names = OnceCell::new();
        let names = || names.get_or_init(|| self.names());
        let known = digests.0.get_or_init(|| {
            let digested = |it: &Arc<Relation>| (it.oid, (it.clone(), of_relation(it, names())));
            Known { whole: Arc::new(relations.iter().map(digested).collect()), ..Known::default() }
        });
        for it in relations {
            let digest = match known.get(it.oid) {
                Some((of, digest)) if Arc::ptr_eq(of, it) => *digest,
                _ => of_relation(it, names()),
            };
            out.write_all(&digest).expect("writing to memory does not fail");
        }
        for it in types {
            let UserType {
                oid: _,
                schema,
                name,
                kind,
                array_oid: _,
                delimiter,
                extension,
                comment,
            } = it;
            feed(&mut out, &(schema, name, kind, delimiter, extension, comment));
        }
        for it in functions {
            let UserFunction {
                oid: _,
                schema,
                name,
                kind,
                arguments,
                returns,
                volatility,
                extension,
                language,
                signature,
                result,
                security_definer,
                executable,
                comment,
            } = it;
            feed(&mut out, &(schema, name, kind, arguments, returns, volatility, extension));
            feed(&mut out, &(language, signature, result, security_definer, executable, comment));
        }
        feed(&mut out, &(operators, casts));
        for it in sequences {
            let owner = it.owner.as_ref().map(|(table, column)| (names().get(table), column));
            let plain = crate::Sequence { owner: None, ..it.clone() };
            feed(&mut out, &(plain, owner));
        }
        let hasher = out.into_inner().map_err(std::io::IntoInnerError::into_error);
        StructureDigest(hasher.expect("writing to memory does not fail").0.finalize().into())
    }
}

/// A relation with its digest.
type Digested = (Arc<Relation>, [u8; 32]);

/// The digests of a catalog's relations by their oids, remembered. Each stands beside the relation it is of, which therefore cannot be
/// changed in its place: whoever changes it changes a copy, of which nothing is remembered.
#[derive(Default)]
pub struct Digests(OnceLock<Known>);

/// By oid. Those of a whole catalog are shared by all that are made from it by patches.
#[derive(Clone, Default)]
struct Known {
    whole: Arc<FastMap<u32, Digested>>,
    since: FastMap<u32, Digested>,
}

impl Known {
    fn get(&self, oid: u32) -> Option<&Digested> {
        self.since.get(&oid).or_else(|| self.whole.get(&oid))
    }

    /// The names of what these relations refer to, which may be one of them. All others are known under the names that they
    /// have: where one is gone or renamed, nothing is.
    fn names_around<'a>(&'a self, relations: &'a [Arc<Relation>]) -> Names<'a> {
        let wanted: BTreeSet<u32> = relations.iter().flat_map(|it| references(it)).collect();
        let now = |oid: u32| relations.iter().find(|it| it.oid == oid);
        let find = |oid: u32| now(oid).or_else(|| self.get(oid).map(|it| &it.0));
        wanted.into_iter().filter_map(|oid| find(oid).map(|it| named(it))).collect()
    }
}

impl Digests {
    /// For the catalog that the patch makes of this one: of all relations that stay, unless a name that others may refer
    /// to is gone.
    pub(crate) fn of_unchanged(&self, catalog: &Catalog, patch: &CatalogPatch) -> Self {
        let Some(known) = self.0.get() else { return Self::default() };
        let renamed = |it: &Arc<Relation>| match known.get(it.oid) {
            Some((before, _)) => (&before.schema, &before.name) != (&it.schema, &it.name),
            // Something may refer to it by a number that had no name yet.
            None => catalog.relations.iter().any(|other| refers(other, it.oid)),
        };
        if !patch.removed.is_empty() || patch.relations.iter().any(renamed) {
            return Self::default();
        }
        let mut known = known.clone();
        let names = known.names_around(&patch.relations);
        let digests: Vec<_> = patch.relations.iter().map(|it| of_relation(it, &names)).collect();
        for (it, digest) in patch.relations.iter().zip(digests) {
            known.since.insert(it.oid, (it.clone(), digest));
        }
        Self(OnceLock::from(known))
    }
}

fn refers(it: &Relation, oid: u32) -> bool {
    references(it).any(|it| it == oid)
}

/// The oids of all relations that one names.
fn references(it: &Relation) -> impl Iterator<Item = u32> {
    let parents = it.partition_of.iter().chain(&it.inherits).chain(&it.reads);
    parents.chain(it.foreign_keys.iter().map(|it| &it.target)).copied()
}

impl Clone for Digests {
    /// Remembers nothing: a copy is made to be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Digests {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Digests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digests").finish_non_exhaustive()
    }
}

impl Catalog {
    /// The names of its relations and of those `more`, which may have come later.
    fn names(&self) -> Names<'_> {
        self.relations.iter().map(|it| named(it)).collect()
    }
}

fn named(it: &Relation) -> (u32, (&str, &str)) {
    (it.oid, (&it.schema, &it.name))
}

fn of_relation(it: &Relation, names: &Names<'_>) -> [u8; 32] {
    let mut out = BufWriter::with_capacity(1 << 12, Hasher(Sha256::new()));
    relation(&mut out, it, names);
    let hasher = out.into_inner().map_err(std::io::IntoInnerError::into_error);
    hasher.expect("writing to memory does not fail").0.finalize().into()
}

type Names<'a> = FastMap<u32, (&'a str, &'a str)>;
type Out = BufWriter<Hasher>;

fn relation(out: &mut Out, it: &Relation, names: &Names<'_>) {
    let Relation {
        oid: _,
        schema,
        name,
        kind,
        comment,
        readable,
        columns,
        // Of columns that are not there any more.
        gaps: _,
        keys,
        foreign_keys,
        indexes,
        checks,
        exclusions,
        inferred_keys: _,
        estimated_rows: _,
        partition_of,
        partition_bound,
        partition_key,
        inherits,
        definition,
        reads,
        server,
        row_security,
        measures: _,
    } = it;
    feed(out, &(schema, name, kind, comment, readable, keys, indexes, checks, exclusions));
    let of = partition_of.map(|it| names.get(&it));
    let parents: Vec<_> = inherits.iter().map(|it| names.get(it)).collect();
    feed(out, &(of, partition_bound, partition_key, parents, definition, server, row_security));
    // Those of the server's own catalogs have no name here and always the same number.
    let mut read: Vec<_> = reads.iter().map(|it| names.get(it)).collect();
    read.sort_unstable();
    feed(out, &read);
    for key in foreign_keys {
        feed(out, &(ForeignKey { target: 0, ..key.clone() }, names.get(&key.target)));
    }
    for it in columns {
        let Column {
            name,
            type_name,
            type_oid: _,
            class,
            nullable,
            default,
            generated,
            generation,
            collation,
            comment,
            readable,
            enum_values,
            samples: _,
            distinct: _,
        } = it;
        feed(out, &(name, type_name, class, nullable, default, generated, generation));
        feed(out, &(collation, comment, readable, enum_values));
    }
}

/// As JSON, which divides one field from the next.
fn feed(out: &mut Out, what: &impl Serialize) {
    serde_json::to_writer(&mut *out, what).expect("no map here has keys that JSON cannot write");
    out.write_all(b"\n").expect("writing to memory does not fail");
}

struct Hasher(Sha256);

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measures, Samples};

    fn catalog() -> Catalog {
        let id = Column { name: "id".to_owned(), readable: true, ..Column::default() };
        let table = |oid, name: &str| Relation {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            columns: vec![id.clone()],
            ..Relation::default()
        };
        let mut orders = table(2, "orders");
        orders.foreign_keys =
            vec![ForeignKey { target: 1, columns: vec![0], ..ForeignKey::default() }];
        let relations = [table(1, "customers"), orders].map(Arc::new).to_vec();
        Catalog { relations, ..Catalog::default() }
    }

    fn edit(catalog: &mut Catalog, at: usize) -> &mut Relation {
        Arc::make_mut(&mut catalog.relations[at])
    }

    #[test]
    fn what_changes_by_itself_leaves_the_digest_as_it_is() {
        let mut other = catalog();
        for (at, relation) in other.relations.iter_mut().map(Arc::make_mut).enumerate() {
            relation.oid += 100;
            relation.estimated_rows = Some(12.0);
            relation.measures = Some(Measures { table_bytes: 8192, ..Measures::default() });
            relation.columns[0].distinct = Some(-1.0);
            relation.columns[0].type_oid = 23 + u32::try_from(at).unwrap();
            relation.columns[0].samples =
                Some(Samples { values: vec!["a".to_owned()], complete: true });
        }
        Arc::make_mut(&mut other.relations[1]).foreign_keys[0].target = 101;
        assert_eq!(catalog().structure_digest(), other.structure_digest());
    }

    #[test]
    fn whatever_somebody_changes_gives_another_digest() {
        let changes: [fn(&mut Catalog); 8] = [
            |it| edit(it, 0).name = "clients".to_owned(),
            |it| edit(it, 0).comment = Some("Who buys.".to_owned()),
            |it| edit(it, 0).columns[0].type_name = "bigint".to_owned(),
            |it| edit(it, 0).columns[0].nullable = true,
            |it| edit(it, 0).columns[0].readable = false,
            |it| edit(it, 1).foreign_keys[0].target = 2,
            |it| edit(it, 1).partition_of = Some(1),
            |it| it.search_path = vec!["public".to_owned()],
        ];
        let mut seen = std::collections::HashSet::from([catalog().structure_digest()]);
        for change in changes {
            let mut changed = catalog();
            change(&mut changed);
            assert!(seen.insert(changed.structure_digest()));
        }
    }
}
