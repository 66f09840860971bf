use jiff::{SignedDuration, Timestamp};
use plinth_core::{AllProjects, OrgId, Permit};
use plinth_tenancy::AuditEntry;
use uuid::Uuid;

use super::{ATTEMPTS, ControlPlane, at, entry, refused};
use crate::{
    Change, ChangeError, ControlPlaneError, ProjectId, Rule, Step, Transfer, TransferRequest,
};

/// For how long an offer stands where nobody says: a day.
const USUAL_SECONDS: i64 = 86_400;
/// For how long it can stand at most.
const MOST_SECONDS: i64 = 30 * 86_400;

impl ControlPlane {
    /// Offers a project to whoever is told the request's id.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Invalid`] for a time that is none; [`Rule::OwnDatabase`] for the organization's own.
    pub async fn request_transfer(
        &self,
        permit: &Permit<AllProjects>,
        project: &ProjectId,
        ttl_seconds: Option<i64>,
    ) -> Result<TransferRequest, ControlPlaneError> {
        let seconds = ttl_seconds.unwrap_or(USUAL_SECONDS);
        if !(1..=MOST_SECONDS).contains(&seconds) {
            let rule = "must be 1 to 2592000 seconds (30 days)";
            return Err(ControlPlaneError::invalid("ttl_seconds", rule));
        }
        let tree = self.tree(permit.org(), project).await?;
        if tree.project.own_team.is_some() {
            return Err(Rule::OwnDatabase.into());
        }
        let now = self.clock.now();
        let request = TransferRequest {
            // The secret of it: as good as a password.
            id: Uuid::new_v4(),
            org: permit.org(),
            project: project.clone(),
            created_by: permit.user(),
            created_at: now,
            expires_at: now + SignedDuration::from_secs(seconds),
        };
        let entry = entry(permit, now, "project.offered", "project", project, project);
        self.store.put_transfer_request(&request, &entry).await?;
        Ok(request)
    }

    /// Takes an offered project into the caller's organization. Its addresses, names and passwords stay; who was in the other
    /// organization does not see it any more.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no such offer any more; [`ControlPlaneError::Busy`] while operations of the
    /// project are under way.
    pub async fn accept_transfer(
        &self,
        permit: &Permit<AllProjects>,
        project: &ProjectId,
        request: Uuid,
    ) -> Result<(), ControlPlaneError> {
        let now = self.clock.now();
        let from = self.store.find_transfer(request, project, now).await?;
        let from = from.ok_or(ControlPlaneError::NotFound("transfer request"))?;
        if from == permit.org() {
            let rule = "the project is in this organization already";
            return Err(ControlPlaneError::invalid("org_id", rule));
        }
        self.move_to(from, permit, project, Some(request)).await
    }

    /// Gives projects of one organization to another, by somebody who may change both.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if one is not there, [`Rule::OwnDatabase`] for the organization's own; nothing happens
    /// then. [`ControlPlaneError::Busy`] while operations of one are under way: those before it have been given.
    pub async fn hand_over(
        &self,
        from: &Permit<AllProjects>,
        to: &Permit<AllProjects>,
        projects: &[ProjectId],
    ) -> Result<(), ControlPlaneError> {
        if from.org() == to.org() {
            let rule = "must be another organization";
            return Err(ControlPlaneError::invalid("destination_org_id", rule));
        }
        for project in projects {
            if self.tree(from.org(), project).await?.project.own_team.is_some() {
                return Err(Rule::OwnDatabase.into());
            }
        }
        for project in projects {
            self.move_to(from.org(), to, project, None).await?;
        }
        Ok(())
    }

    async fn move_to(
        &self,
        from: OrgId,
        to: &Permit<AllProjects>,
        project: &ProjectId,
        request: Option<Uuid>,
    ) -> Result<(), ControlPlaneError> {
        let mut attempt = 1;
        loop {
            let now = self.clock.now();
            let transfer = self.prepared(from, to, project, request, now).await?;
            match self.store.transfer(&transfer).await {
                Ok(()) => {
                    let chain = transfer.change.chain;
                    self.settled(to.org(), project, chain).await?;
                    return Ok(());
                }
                // Changed, or somebody else has taken it up: the next look tells which.
                Err(ChangeError::Changed) if attempt < ATTEMPTS => attempt += 1,
                Err(err) => return Err(refused(err, &transfer.change)),
            }
            if let Some(request) = request
                && self.store.find_transfer(request, project, now).await? != Some(from)
            {
                return Err(ControlPlaneError::NotFound("transfer request"));
            }
        }
    }

    async fn prepared(
        &self,
        from: OrgId,
        to: &Permit<AllProjects>,
        project: &ProjectId,
        request: Option<Uuid>,
        now: Timestamp,
    ) -> Result<Transfer, ControlPlaneError> {
        let mut tree = self.tree(from, project).await?;
        let revision = tree.project.revision;
        let mut passwords = Vec::new();
        for role in self.store.all_roles(from, project).await? {
            let Some(sealed) = &role.password else { continue };
            let password = self.vault.open(at(from, role.id), sealed).await?;
            passwords.push((role.id, self.vault.seal(at(to.org(), role.id), &password).await?));
        }
        // The endpoints tell the new organization of what they do.
        tree.project.org = to.org();
        let steps = tree.endpoints.iter().map(|it| Step::Reopen { endpoint: it.id.clone() });
        let received = entry(to, now, "project.received", "project", project, project);
        let change = Change {
            revision: Some(revision + 1),
            chain: Self::chain(&tree, now, steps.collect()),
            entry: Some(received),
            ..Change::of(&tree)
        };
        let given = AuditEntry::of_plinth(from, now, "transfer", "project.transferred")
            .by(to.user())
            .on("project", project)
            .with(
                serde_json::json!({ "project_id": project.as_str(), "to_organization": to.org() }),
            );
        Ok(Transfer { from, revision, request, at: now, passwords, change, entry: given })
    }
}
