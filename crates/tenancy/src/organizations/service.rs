use std::sync::Arc;

use jiff::SignedDuration;
use plinth_core::{
    AdminAll, Clock, Credential, Member as AnyMember, OrgId, Ownership, Permit, StoreError,
};
use serde_json::json;

use super::{Changed, HandOver, OrganizationError, OrganizationStore};
use crate::accounts::Person;
use crate::limits::Plan;
use crate::outbox::{Letter, LetterTo, Message};
use crate::{
    Accounts, AuditEntry, Member, MemberId, Organization, OrganizationName, Tenancy, TimeZoneName,
};

/// How long an owner may think again, unless the operator says otherwise.
pub const DELETION_GRACE: SignedDuration = SignedDuration::from_hours(24 * 14);

/// An organization to be made.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// What it is called.
    pub name: OrganizationName,
    /// What "today" means there.
    pub time_zone: TimeZoneName,
}

/// What is to be changed of an organization; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChange {
    /// What it is called.
    pub name: Option<OrganizationName>,
    /// What "today" means there.
    pub time_zone: Option<TimeZoneName>,
    /// See [`crate::OrganizationSettings::member_keys`].
    pub member_keys: Option<bool>,
    /// See [`crate::OrganizationSettings::plan_cost_limit`]; the inner `None` takes the limit away.
    pub plan_cost_limit: Option<Option<f64>>,
    /// See [`crate::OrganizationSettings::plan_row_limit`]; the inner `None` takes the limit away.
    pub plan_row_limit: Option<Option<u64>>,
}

/// What becomes of organizations.
#[derive(Clone)]
pub struct Organizations {
    store: Arc<dyn OrganizationStore>,
    tenancy: Tenancy,
    accounts: Accounts,
    grace: SignedDuration,
    clock: Arc<dyn Clock>,
}

impl Organizations {
    /// Puts the service together. `grace` is how long an owner may think again.
    pub fn new(
        store: Arc<dyn OrganizationStore>,
        tenancy: Tenancy,
        accounts: Accounts,
        grace: SignedDuration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, tenancy, accounts, grace, clock }
    }

    /// Makes an organization, which the person owns.
    ///
    /// # Errors
    ///
    /// [`OrganizationError::NameTaken`].
    pub async fn create(
        &self,
        person: &Person,
        new: NewOrganization,
    ) -> Result<Organization, OrganizationError> {
        let now = self.clock.now();
        let organization = Organization::new(OrgId::new(now), new.name, new.time_zone, now);
        let session = Credential::Session(person.session());
        let by =
            AuditEntry::of_plinth(organization.id, now, session.kind(), "organization.created");
        let entry = AuditEntry {
            credential_id: session.id(),
            address: person.origin().address,
            request_id: person.origin().request_id.to_string(),
            ..by
        };
        let entry = entry.by(person.user()).on("organization", organization.id).with(
            json!({ "name": organization.name.as_str(), "time_zone": organization.time_zone }),
        );
        self.store.create(&organization, person.user(), MemberId::new(now), &entry).await?;
        self.accounts.forget_all(person.user());
        Ok(organization)
    }

    /// The organizations that a person belongs to, oldest membership first, also those that are being deleted.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(&self, person: &Person) -> Result<Vec<Arc<Organization>>, OrganizationError> {
        let mut all = Vec::with_capacity(person.memberships().len());
        for it in person.memberships() {
            all.push(self.tenancy.current(it.org).await?);
        }
        Ok(all)
    }

    /// The organization that the call is for, also while it is being deleted.
    ///
    /// # Errors
    ///
    /// [`OrganizationError::NotFound`] if that is another.
    pub async fn get(
        &self,
        permit: &Permit<AnyMember>,
        id: OrgId,
    ) -> Result<Organization, OrganizationError> {
        if permit.org() != id {
            return Err(OrganizationError::NotFound(id));
        }
        Ok(self.tenancy.organization(id).await?)
    }

    /// Changes name, time zone or settings.
    ///
    /// # Errors
    ///
    /// [`OrganizationError::NotFound`] if the call is for another; [`OrganizationError::NameTaken`].
    pub async fn change(
        &self,
        permit: &Permit<AdminAll>,
        id: OrgId,
        change: &OrganizationChange,
    ) -> Result<Organization, OrganizationError> {
        if permit.org() != id {
            return Err(OrganizationError::NotFound(id));
        }
        let now = self.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "organization.changed")
            .on("organization", id)
            .with(json!({
                "name": change.name.as_ref().map(OrganizationName::as_str),
                "time_zone": change.time_zone.as_ref().map(TimeZoneName::as_str),
                "member_keys": change.member_keys,
                "plan_cost_limit": change.plan_cost_limit,
                "plan_row_limit": change.plan_row_limit,
            }));
        let decide = |it: &Organization| {
            let mut organization = it.clone();
            if let Some(name) = &change.name {
                organization.name = name.clone();
            }
            if let Some(zone) = &change.time_zone {
                zone.as_str().clone_into(&mut organization.time_zone);
            }
            if let Some(allowed) = change.member_keys {
                organization.settings.member_keys = allowed;
            }
            if let Some(limit) = change.plan_cost_limit {
                organization.settings.plan_cost_limit = limit;
            }
            if let Some(limit) = change.plan_row_limit {
                organization.settings.plan_row_limit = limit;
            }
            Ok(Changed { organization, entry: entry.clone(), letters: Vec::new() })
        };
        self.apply(id, &decide).await
    }

    /// Hands the organization over to another member; the owner becomes an admin.
    ///
    /// # Errors
    ///
    /// - [`OrganizationError::NotFound`] if the call is for another organization.
    /// - [`OrganizationError::MemberNotFound`], [`OrganizationError::AlreadyOwner`].
    pub async fn hand_over(
        &self,
        permit: &Permit<Ownership>,
        id: OrgId,
        to: MemberId,
    ) -> Result<Member, OrganizationError> {
        if permit.org() != id {
            return Err(OrganizationError::NotFound(id));
        }
        let now = self.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "organization.transferred")
            .on("organization", id)
            .with(json!({ "to_member": to }));
        let name = self.tenancy.organization(id).await?.name.to_string();
        let letters = |old: &Member, new: &Member| {
            let letter = Letter::OwnershipTransferred {
                organization: name.clone(),
                owner: new.email.as_str().to_owned(),
            };
            let to = |it: &Member| LetterTo::Address(it.email.as_str().to_owned());
            [old, new].map(|it| Message::mail(id, now, &to(it), &letter)).into()
        };
        let how = HandOver { org: id, from: permit.user(), to, entry };
        let owner = self.store.hand_over(&how, &letters).await?;
        self.forget(id);
        Ok(owner)
    }

    /// Marks the organization to be deleted when the time to think again is over. Until then it is as if it were gone,
    /// but for [`Organizations::restore`]. `confirmation` is its name, typed by its owner.
    ///
    /// # Errors
    ///
    /// - [`OrganizationError::NotFound`] if the call is for another organization.
    /// - [`OrganizationError::NotConfirmed`] if `confirmation` is not its name.
    pub async fn delete(
        &self,
        permit: &Permit<Ownership>,
        id: OrgId,
        confirmation: &str,
    ) -> Result<Organization, OrganizationError> {
        if permit.org() != id {
            return Err(OrganizationError::NotFound(id));
        }
        let now = self.clock.now();
        let at = now.saturating_add(self.grace).unwrap_or(now);
        let entry = AuditEntry::of(permit.principal(), now, "organization.deletion_requested")
            .on("organization", id)
            .with(json!({ "deleting_at": at }));
        let decide = |it: &Organization| {
            if it.name.as_str() != confirmation.trim() {
                return Err(OrganizationError::NotConfirmed);
            }
            let letter = Letter::OrganizationDeletion { organization: it.name.to_string(), at };
            Ok(Changed {
                organization: Organization { deleting_at: Some(at), ..it.clone() },
                entry: entry.clone(),
                letters: vec![Message::mail(id, now, &LetterTo::Managers, &letter)],
            })
        };
        self.apply(id, &decide).await
    }

    /// Takes back that the organization shall be deleted.
    ///
    /// # Errors
    ///
    /// - [`OrganizationError::NotFound`] if the call is for another organization.
    /// - [`OrganizationError::NotClosing`] if it is not being deleted.
    pub async fn restore(
        &self,
        permit: &Permit<Ownership>,
        id: OrgId,
    ) -> Result<Organization, OrganizationError> {
        if permit.org() != id {
            return Err(OrganizationError::NotFound(id));
        }
        let entry = AuditEntry::of(permit.principal(), self.clock.now(), "organization.restored")
            .on("organization", id);
        let decide = |it: &Organization| {
            if it.deleting_at.is_none() {
                return Err(OrganizationError::NotClosing);
            }
            Ok(Changed {
                organization: Organization { deleting_at: None, ..it.clone() },
                entry: entry.clone(),
                letters: Vec::new(),
            })
        };
        self.apply(id, &decide).await
    }

    /// Every organization of the installation, for its operator.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list_all(&self) -> Result<Vec<Organization>, OrganizationError> {
        let mut all = Vec::new();
        for org in self.store.organizations().await? {
            all.push(self.tenancy.organization(org).await?);
        }
        Ok(all)
    }

    /// Says how much an organization may call, by the operator's word.
    ///
    /// # Errors
    ///
    /// [`OrganizationError::NotFound`] if there is none of that id.
    pub async fn set_plan(&self, id: OrgId, plan: Plan) -> Result<Organization, OrganizationError> {
        let now = self.clock.now();
        let rate = plan.rate();
        let entry = AuditEntry::of_plinth(id, now, "operator", "organization.plan_changed")
            .on("organization", id)
            .with(json!({
                "plan": plan.as_str(), "per_minute": rate.per_minute, "per_day": rate.per_day,
            }));
        let decide = |it: &Organization| {
            Ok(Changed {
                organization: Organization { plan, ..it.clone() },
                entry: entry.clone(),
                letters: Vec::new(),
            })
        };
        self.apply(id, &decide).await
    }

    /// Deletes for good what was marked and not restored in time; says how many organizations those were.
    ///
    /// # Errors
    ///
    /// When storage cannot say which those are. One that cannot be deleted now is tried again the next time.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let due = self.store.due().await?;
        let delete = |org| async move {
            let is_deleted = self.store.delete(org).await?;
            if is_deleted {
                tracing::info!(org.id = %org, "an organization was deleted, as its owner wished");
                self.forget(org);
            }
            Ok::<_, StoreError>(u64::from(is_deleted))
        };
        Ok(plinth_core::sweep_each("organizations to delete", due, delete).await)
    }

    async fn apply(
        &self,
        id: OrgId,
        decide: super::ChangeOrganization<'_>,
    ) -> Result<Organization, OrganizationError> {
        let changed = self.store.change(id, decide).await?;
        self.forget(id);
        changed.ok_or(OrganizationError::NotFound(id))
    }

    fn forget(&self, org: OrgId) {
        self.tenancy.forget(org);
        self.accounts.forget_organization(org);
    }
}
