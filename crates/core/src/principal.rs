use crate::{KeyId, OrgId, ScopeSet, UserId};

/// Who acts, and for which organization. Made once, where a request or a job enters the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The organization whose data may be touched.
    pub org: OrgId,
    /// The person behind the call: the member who signed in, or who made the key.
    pub user: UserId,
    /// The API key that was used; `None` for a signed-in person.
    pub key: Option<KeyId>,
    /// What was granted: the role's scopes, narrowed by the key's.
    pub scopes: ScopeSet,
    /// Only connections marked as test may be used (`plinth_test_…` keys).
    pub test_only: bool,
    /// `queries:read` covers saved queries only: a viewer neither asks nor sends SQL.
    pub saved_queries_only: bool,
}
