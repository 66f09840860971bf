use async_trait::async_trait;
use jiff::SignedDuration;
use plinth_core::{OrgId, StoreError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BranchId, Point, ProjectId, SqlName, SubstrateError};

/// What a node is asked about a branch. It changes nothing, so it waits for no chain of operations and holds none up; what
/// is asked of the past is looked at in a copy that is thrown away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Inquiry {
    /// A database's definitions as SQL.
    Schema {
        /// The database.
        database: SqlName,
        /// As of when.
        point: Point,
    },
    /// Its tables with columns and constraints, as a JSON array.
    Tables {
        /// The database.
        database: SqlName,
        /// As of when.
        point: Point,
    },
}

impl Inquiry {
    /// The database that it is about, and as of when.
    pub fn about(&self) -> (&SqlName, Point) {
        match self {
            Self::Schema { database, point } | Self::Tables { database, point } => {
                (database, *point)
            }
        }
    }
}

/// What a node said to an inquiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", content = "text", rename_all = "snake_case")]
pub enum Answer {
    /// What was asked for.
    Found(String),
    /// There is no answer to it; asking again does not help.
    Refused(String),
    /// The node lacks a program; with what to install.
    Missing(String),
}

impl From<Result<String, SubstrateError>> for Answer {
    fn from(answer: Result<String, SubstrateError>) -> Self {
        match answer {
            Ok(text) => Self::Found(text),
            Err(SubstrateError::Missing(text)) => Self::Missing(text),
            Err(SubstrateError::Refused(text) | SubstrateError::Failed(text)) => {
                Self::Refused(text)
            }
        }
    }
}

/// An inquiry that a node has taken, and has to itself until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenInquiry {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
    /// The branch.
    pub branch: BranchId,
    /// What is asked.
    pub inquiry: Inquiry,
}

/// Where inquiries wait for nodes, and answers for whoever asked. Every method is one transaction.
#[async_trait]
pub trait InquiryStore: Send + Sync + 'static {
    /// Writes an inquiry down for the project's node.
    async fn ask(
        &self,
        org: OrgId,
        project: &ProjectId,
        branch: &BranchId,
        inquiry: &Inquiry,
    ) -> Result<Uuid, StoreError>;

    /// The answer, which is forgotten with this; `None` while there is none.
    async fn fetch_answer(&self, org: OrgId, id: Uuid) -> Result<Option<Answer>, StoreError>;

    /// Forgets an inquiry that nobody waits for any more.
    async fn forget_inquiry(&self, org: OrgId, id: Uuid) -> Result<(), StoreError>;

    /// Takes an inquiry about a node's projects that nobody else answers. What another process of the same node held, it
    /// holds no more; what nobody fetched for long is removed.
    async fn take_inquiry(
        &self,
        node: &str,
        instance: Uuid,
        lease: SignedDuration,
    ) -> Result<Option<TakenInquiry>, StoreError>;

    /// Writes down what a node found.
    async fn answer(&self, org: OrgId, id: Uuid, answer: &Answer) -> Result<(), StoreError>;
}
