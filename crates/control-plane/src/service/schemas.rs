use std::time::Duration;

use plinth_core::{Permit, ProjectsRead};
use similar::TextDiff;

use super::branches::in_history;
use super::{ControlPlane, LOOK_EVERY};
use crate::{Answer, BranchId, ControlPlaneError, Inquiry, Point, ProjectId, SqlName, Tree};

/// How long somebody waits for a node's answer: a point of the past has to be recovered first.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);

/// A database of a branch as of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaOf {
    /// The branch.
    pub branch: BranchId,
    /// The database.
    pub database: String,
    /// As of when.
    pub point: Point,
}

impl ControlPlane {
    /// The definitions of a database as SQL.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no such branch or database; [`ControlPlaneError::Missing`] if the node has
    /// no `pg_dump`; [`crate::Rule::OutOfHistory`] for a point that is not in the branch's history.
    pub async fn schema(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
        of: &SchemaOf,
    ) -> Result<String, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        self.ask(&tree, of, |database, point| Inquiry::Schema { database, point }).await
    }

    /// The tables of a database with columns and constraints, as a JSON array.
    ///
    /// # Errors
    ///
    /// As for [`ControlPlane::schema`], without a need for `pg_dump`.
    pub async fn tables(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
        of: &SchemaOf,
    ) -> Result<String, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        self.ask(&tree, of, |database, point| Inquiry::Tables { database, point }).await
    }

    /// How the definitions of two branches differ, as a unified diff that leads from `base` to `of`; empty if they do not.
    /// Without a base it is the branch's parent as it is now.
    ///
    /// # Errors
    ///
    /// As for [`ControlPlane::schema`]; [`ControlPlaneError::Invalid`] if no base is named and the branch has no parent.
    pub async fn compare_schema(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
        of: &SchemaOf,
        base: Option<BranchId>,
        base_point: Point,
    ) -> Result<String, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        let branch = tree.branch(&of.branch).ok_or(ControlPlaneError::NotFound("branch"))?;
        let base = base.or_else(|| branch.parent.clone()).ok_or_else(|| {
            let rule = "the branch has no parent: name the branch to compare it with";
            ControlPlaneError::invalid("base_branch_id", rule)
        })?;
        let base = SchemaOf { branch: base, database: of.database.clone(), point: base_point };
        let make = |database, point| Inquiry::Schema { database, point };
        let (old, new) = tokio::try_join!(self.ask(&tree, &base, make), self.ask(&tree, of, make))?;
        Ok(unified(&of.database, &old, &new))
    }

    /// Asks the project's node, and waits for what it says.
    async fn ask(
        &self,
        tree: &Tree,
        of: &SchemaOf,
        make: impl FnOnce(SqlName, Point) -> Inquiry,
    ) -> Result<String, ControlPlaneError> {
        let branch = tree.branch(&of.branch).ok_or(ControlPlaneError::NotFound("branch"))?;
        Tree::must_be_ready(branch)?;
        in_history(tree, branch, of.point, self.clock.now())?;
        let database = SqlName::database(&of.database);
        let database = database.map_err(|_| ControlPlaneError::NotFound("database"))?;
        // One of the past may be gone by now.
        if of.point == Point::Head && tree.database(&branch.id, &database).is_none() {
            return Err(ControlPlaneError::NotFound("database"));
        }
        self.node_of(&tree.project.node).await?;
        let org = tree.project.org;
        let inquiry = make(database, of.point);
        let id = self.store.ask(org, &tree.project.id, &branch.id, &inquiry).await?;
        let deadline = tokio::time::Instant::now() + ANSWER_LIMIT;
        loop {
            match self.store.fetch_answer(org, id).await? {
                Some(Answer::Found(text)) => return Ok(text),
                Some(Answer::Refused(text)) => return Err(ControlPlaneError::Failed(text)),
                Some(Answer::Missing(text)) => return Err(ControlPlaneError::Missing(text)),
                None if tokio::time::Instant::now() > deadline => {
                    self.store.forget_inquiry(org, id).await?;
                    let text = "the node did not answer in time; try again".to_owned();
                    return Err(ControlPlaneError::Node(text));
                }
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// What leads from one text to another, with the database's name in its head; empty if they are the same.
fn unified(database: &str, old: &str, new: &str) -> String {
    let names = (format!("a/{database}"), format!("b/{database}"));
    let diff = TextDiff::configure().timeout(Duration::from_secs(5)).diff_lines(old, new);
    diff.unified_diff().context_radius(3).header(&names.0, &names.1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_leads_from_the_base_to_the_branch() {
        let (old, new) = ("a\nb\nc\n", "a\nb\nnew\nc\n");
        let said = unified("shop", old, new);
        assert_eq!(said, "--- a/shop\n+++ b/shop\n@@ -1,3 +1,4 @@\n a\n b\n+new\n c\n");
        assert_eq!(unified("shop", old, old), "");
    }
}
