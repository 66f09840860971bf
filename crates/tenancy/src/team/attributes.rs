use std::collections::BTreeMap;

use jiff::Timestamp;
use plinth_core::{
    AdminAll, Attribute, AttributeName, InvalidAttribute, MAX_ATTRIBUTES, Permit, TeamRead,
    TeamWrite, UserId,
};
use serde_json::{Value, json};

use super::{Member, MemberId, Team, TeamError, WhichMember};
use crate::{AuditEntry, Grantor};

/// What an organization says of a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberAttributes {
    /// By name.
    pub attributes: BTreeMap<String, Attribute>,
    /// Grows with each change; 0 if none was ever set.
    pub revision: i64,
}

/// What is to be said of a member from now on.
#[derive(Clone, Debug)]
pub struct AttributesChange {
    /// All of them, by name.
    pub attributes: BTreeMap<String, Attribute>,
    /// The revisions that the caller may have read; `None` if it does not matter.
    pub expected: Option<Vec<i64>>,
    /// By whom.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
}

/// Reads attributes as callers send them.
///
/// # Errors
///
/// [`TeamError::Attribute`] for a name that is none, or that everybody has by themselves; a value that does not fit its type;
/// too many.
pub fn parse_attributes(
    sent: impl IntoIterator<Item = (String, String, Value)>,
) -> Result<BTreeMap<String, Attribute>, TeamError> {
    let mut attributes = BTreeMap::new();
    for (name, of, value) in sent {
        let name = AttributeName::parse(&name)?;
        if name.is_built_in() {
            let message = format!("every member has `{name}` by themselves; choose another name");
            return Err(InvalidAttribute(message).into());
        }
        let parsed = of.parse().and_then(|of| Attribute::parse(of, value));
        let attribute = parsed.map_err(|it| InvalidAttribute(format!("{name}: {it}")))?;
        attributes.insert(name.as_str().to_owned(), attribute);
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(InvalidAttribute(format!("a member has at most {MAX_ATTRIBUTES}")).into());
    }
    Ok(attributes)
}

impl Team {
    /// What the organization says of a member.
    ///
    /// # Errors
    ///
    /// [`TeamError::MemberNotFound`].
    pub async fn attributes(
        &self,
        permit: &Permit<TeamRead>,
        id: MemberId,
    ) -> Result<MemberAttributes, TeamError> {
        let found = self.store.attributes(permit.org(), id).await?;
        found.ok_or(TeamError::MemberNotFound(id))
    }

    /// Says it anew; what was said before goes. Policies go by it within a second.
    ///
    /// # Errors
    ///
    /// - [`TeamError::MemberNotFound`].
    /// - [`TeamError::AttributesChanged`] if they are not as expected; nothing changes.
    /// - [`TeamError::Escalation`] if the member is above the caller, or the caller themselves without the scope `admin`:
    ///   nobody else lets themselves see more.
    pub async fn set_attributes(
        &self,
        permit: &Permit<TeamWrite>,
        id: MemberId,
        attributes: BTreeMap<String, Attribute>,
        expected: Option<&[i64]>,
    ) -> Result<MemberAttributes, TeamError> {
        let caller = permit.principal();
        let grantor = Grantor::of(caller);
        let may_help_self = Permit::<AdminAll>::check(caller).is_ok();
        let judge = |member: &Member, _: Option<&crate::MemberRole>| {
            let is_self = member.user == caller.user;
            if !grantor.reaches(&member.role) || (is_self && !may_help_self) {
                return Err(TeamError::Escalation);
            }
            Ok(())
        };
        let at = self.clock.now();
        let told: BTreeMap<_, _> =
            attributes.iter().map(|(name, it)| (name, it.to_json())).collect();
        let entry = AuditEntry::of(caller, at, "member.attributes_changed")
            .on("member", id)
            .with(json!({ "attributes": told }));
        let change = AttributesChange {
            attributes,
            expected: expected.map(<[i64]>::to_vec),
            by: permit.user(),
            at,
        };
        let which = WhichMember::Id(id);
        let set = self.store.set_attributes(permit.org(), which, &change, &judge, &entry).await?;
        set.ok_or(TeamError::MemberNotFound(id))
    }
}
