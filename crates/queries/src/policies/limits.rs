use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plinth_connections::TableName;
use plinth_core::{Attribute, UserId};
use plinth_sql_guard::{Approved, PolicyParameter, Predicate};

use super::{Policy, PolicyId, Viewer};
use crate::QueryError;

/// What the attributes of a link are called in statements, so that those of whoever a statement runs as are others. No
/// attribute's own name has a dot.
const OF_LINK: &str = "link.";

/// Attributes that somebody locked into a link: who looks through it sees what satisfies, beside everything that binds whoever a
/// statement runs as, each policy that reads one of them, asked with these values.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrowing {
    /// Who made the link: their attributes count where it has none of a name.
    pub by: UserId,
    /// Values by name.
    pub attributes: BTreeMap<String, Attribute>,
    /// Those that have to reach a statement; one that they do not reach is not run.
    pub must: BTreeSet<String>,
}

impl Narrowing {
    /// The link's attributes among what a statement binds.
    fn reached(&self, bound: &[PolicyParameter]) -> BTreeSet<String> {
        let own = |it: &PolicyParameter| match it {
            PolicyParameter::Attribute { name, .. } => {
                let name = name.strip_prefix(OF_LINK)?;
                self.attributes.contains_key(name).then(|| name.to_owned())
            }
            PolicyParameter::HashInner | PolicyParameter::HashOuter => None,
        };
        bound.iter().filter_map(own).collect()
    }
}

/// What a link adds to what binds somebody.
#[derive(Clone)]
pub(super) struct OfLink {
    /// The policies that read an attribute of it, by id, whomever they bind.
    pub(super) policies: Arc<[Arc<Policy>]>,
    /// Who made it, with its attributes in the place of theirs; `None` if they are no member any more.
    pub(super) viewer: Option<Arc<Viewer>>,
}

/// The name by which a link's attribute stands in a statement.
pub(super) fn of_link(name: &str) -> String {
    format!("{OF_LINK}{name}")
}

/// What holds for one caller on one connection.
#[derive(Clone)]
pub(crate) struct Limits {
    /// The policies that bind them, by id.
    pub(crate) policies: Arc<[Arc<Policy>]>,
    /// Who they are; `None` if nothing binds anybody here.
    pub(crate) viewer: Option<Arc<Viewer>>,
    /// The connection's key for hashes, inner and outer.
    pub(super) paddings: Option<Arc<[String; 2]>>,
    /// What a link adds; `None` if they look through none, or no policy reads an attribute of it.
    pub(super) link: Option<OfLink>,
}

/// What tells apart callers who see different things: the policies that bind them, as they are written now. Those that a link
/// adds have negative revisions.
pub(crate) type Shape = Vec<(PolicyId, i64)>;

impl Limits {
    /// Those of nobody.
    pub(crate) fn none() -> Self {
        Self { policies: Arc::from([]), viewer: None, paddings: None, link: None }
    }

    /// Whether they see everything that the connection allows.
    pub(crate) fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.link.is_none()
    }

    /// What of a link reaches a statement: its attributes, and each of them once more with every policy through which it does. So
    /// one table's policy cannot stand in for another's that is no more.
    pub(crate) fn reached(&self, by: &Narrowing, approved: &Approved) -> BTreeSet<String> {
        let mut reached = by.reached(&approved.bound);
        for it in self.by_link().iter().filter(|it| approved.restricted.contains(&it.table)) {
            let Some(Ok(rows)) = it.rows.as_deref().map(Predicate::parse) else { continue };
            let own = rows.attributes().filter(|it| by.attributes.contains_key(it.0));
            reached.extend(own.map(|of| format!("{} {}", of.0, it.id)));
        }
        reached
    }

    /// The policies that a link adds.
    pub(super) fn by_link(&self) -> &[Arc<Policy>] {
        self.link.as_ref().map_or(&[], |it| &it.policies)
    }

    fn signs(&self) -> impl Iterator<Item = (PolicyId, i64)> + '_ {
        let own = self.policies.iter().map(|it| (it.id, it.revision));
        own.chain(self.by_link().iter().map(|it| (it.id, !it.revision)))
    }

    /// Whether callers of that shape see the same as this one.
    pub(crate) fn is_of(&self, shape: &Shape) -> bool {
        self.signs().eq(shape.iter().copied())
    }

    pub(crate) fn shape(&self) -> Shape {
        self.signs().collect()
    }

    /// The values that a rewritten statement needs.
    ///
    /// # Errors
    ///
    /// [`QueryError::Attribute`] if the caller lacks one, or has it as another type.
    pub(crate) fn bind(
        &self,
        bound: &[PolicyParameter],
        restricted: &[TableName],
    ) -> Result<Vec<Option<String>>, QueryError> {
        let value = |it: &PolicyParameter| match it {
            PolicyParameter::HashInner => Ok(self.padding(0)),
            PolicyParameter::HashOuter => Ok(self.padding(1)),
            PolicyParameter::Attribute { name, of } => {
                let link = self.link.as_ref();
                let (viewer, name) = match name.strip_prefix(OF_LINK) {
                    Some(name) => (link.and_then(|it| it.viewer.as_ref()), name),
                    None => (self.viewer.as_ref(), name.as_str()),
                };
                let held = viewer.and_then(|it| it.attribute(name));
                match held {
                    Some(it) if it.of() == *of => Ok(Some(it.to_parameter())),
                    held => Err(QueryError::Attribute {
                        name: name.to_owned(),
                        needed: *of,
                        held: held.map(|it| it.of()),
                        tables: restricted.iter().map(ToString::to_string).collect(),
                    }),
                }
            }
        };
        bound.iter().map(value).collect()
    }

    fn padding(&self, at: usize) -> Option<String> {
        self.paddings.as_ref().and_then(|it| it.get(at)).cloned()
    }
}
