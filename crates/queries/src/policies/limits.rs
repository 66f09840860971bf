use std::sync::Arc;

use plinth_connections::TableName;
use plinth_sql_guard::PolicyParameter;

use super::{Policy, PolicyId, Viewer};
use crate::QueryError;

/// What holds for one caller on one connection.
#[derive(Clone)]
pub(crate) struct Limits {
    /// The policies that bind them, by id.
    pub(crate) policies: Arc<[Arc<Policy>]>,
    /// Who they are; `None` if nothing binds anybody here.
    pub(crate) viewer: Option<Arc<Viewer>>,
    /// The connection's key for hashes, inner and outer.
    pub(super) paddings: Option<Arc<[String; 2]>>,
}

/// What tells apart callers who see different things: the policies that bind them, as they are written now.
pub(crate) type Shape = Vec<(PolicyId, i64)>;

impl Limits {
    /// Those of nobody.
    pub(crate) fn none() -> Self {
        Self { policies: Arc::from([]), viewer: None, paddings: None }
    }

    /// Whether they see everything that the connection allows.
    pub(crate) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Whether callers of that shape see the same as this one.
    pub(crate) fn is_of(&self, shape: &Shape) -> bool {
        self.policies.len() == shape.len()
            && self.policies.iter().zip(shape).all(|(it, of)| (it.id, it.revision) == *of)
    }

    pub(crate) fn shape(&self) -> Shape {
        self.policies.iter().map(|it| (it.id, it.revision)).collect()
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
                let held = self.viewer.as_ref().and_then(|it| it.attribute(name));
                match held {
                    Some(it) if it.of() == *of => Ok(Some(it.to_parameter())),
                    held => Err(QueryError::Attribute {
                        name: name.clone(),
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
