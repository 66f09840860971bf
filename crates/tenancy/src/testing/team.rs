use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Attribute, Cursor, Limit, OrgId, Scope, UserId};
use serde_json::json;

use super::{entry, letters};
use crate::outbox::{Letter, LetterTo, Message, OutboxStore};
use crate::team::{
    Acceptance, AttributesChange, Held, Invitation, NewInvitation, TeamError, TeamStore,
    WhichMember,
};
use crate::{
    CustomRole, Email, InvitationId, Member, MemberId, MemberRole, Role, RoleId, RoleKey, RoleName,
};

const LATER: SignedDuration = SignedDuration::from_secs(1);

fn start() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().expect("a time")
}

fn invitation(
    org: OrgId,
    by: UserId,
    email: &str,
    role: RoleKey,
    at: Timestamp,
) -> (NewInvitation, Message) {
    let email = Email::parse(email).expect("a good address");
    let id = InvitationId::new(at);
    let new = NewInvitation { id, org, email, role, invited_by: by, at };
    let letter = letter(&new);
    (new, letter)
}

fn letter(new: &NewInvitation) -> Message {
    let letter = Letter::Invitation {
        invitation: new.id,
        sending: 1,
        inviter: "ann@example.com".to_owned(),
        organization: "Ours".to_owned(),
        role: new.role.to_string(),
        expires_at: new.expires_at(),
    };
    Message::mail(new.org, new.at, &LetterTo::Address(new.email.to_string()), &letter)
}

fn acceptance(id: InvitationId, org: OrgId, at: Timestamp) -> Acceptance {
    Acceptance { invitation: id, org, new_user: UserId::new(at), member: MemberId::new(at), at }
}

/// Invites somebody and lets them come.
pub(super) async fn join(
    store: &dyn TeamStore,
    org: OrgId,
    owner: UserId,
    email: &str,
    role: Role,
) -> Member {
    let at = start();
    let (new, letter) = invitation(org, owner, email, RoleKey::BuiltIn(role), at);
    store.invite(&new, &|_| Ok(()), &entry(org, at), &letter).await.expect("invited");
    let how = acceptance(new.id, org, at);
    store.accept(&how, &|_, _| Ok(()), &entry(org, at)).await.expect("came")
}

/// What every store of members, invitations and roles promises. `ours` and `theirs` are organizations with their owners,
/// who are all of their members; `outbox` is of the same store and shows which letters were written.
pub async fn team_store_contract(
    store: &dyn TeamStore,
    outbox: &dyn OutboxStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
) {
    let mut all = store.organizations().await.expect("lists");
    let mut expected = [ours.0, theirs.0];
    all.sort_by_key(|it| it.as_uuid());
    expected.sort_by_key(|it| it.as_uuid());
    assert_eq!(all, expected);
    let carol = invitations(store, outbox, ours, theirs).await;
    members(store, &carol, ours, theirs).await;
    attributes(store, &carol, ours, theirs.0).await;
    roles(store, ours, theirs).await;
}

/// Ends with a member who came by an invitation.
async fn invitations(
    store: &dyn TeamStore,
    outbox: &dyn OutboxStore,
    (org, owner): (OrgId, UserId),
    theirs: (OrgId, UserId),
) -> Member {
    let at = start();
    let may = |_: &MemberRole| Ok(());
    let may_not = |_: &MemberRole| Err(TeamError::Escalation);
    let note = entry(org, at);

    let (carol, mail) =
        invitation(org, owner, "carol@example.com", RoleKey::BuiltIn(Role::Editor), at);
    let refused = store.invite(&carol, &may_not, &note, &mail).await;
    assert!(matches!(refused, Err(TeamError::Escalation)));
    let mine = invitation(org, owner, "ann@example.com", RoleKey::BuiltIn(Role::Viewer), at);
    let member = store.invite(&mine.0, &may, &note, &mine.1).await;
    assert!(matches!(member, Err(TeamError::AlreadyMember(_))));
    let odd = RoleKey::Custom(RoleId::new(at));
    let unknown = invitation(org, owner, "dan@example.com", odd, at);
    let unknown = store.invite(&unknown.0, &may, &note, &unknown.1).await;
    assert!(matches!(unknown, Err(TeamError::UnknownRole(_))));
    assert!(letters(outbox).await.is_empty(), "nobody was invited");

    let kept = store.invite(&carol, &may, &note, &mail).await.expect("invited");
    assert_eq!((kept.sending, kept.expires_at), (1, carol.expires_at()));
    assert_eq!(letters(outbox).await, ["invitation"]);
    let again =
        invitation(org, owner, "carol@example.com", RoleKey::BuiltIn(Role::Viewer), at + LATER);
    let again = store.invite(&again.0, &may, &note, &again.1).await;
    assert!(matches!(again, Err(TeamError::AlreadyInvited(_))));
    let theirs_too =
        invitation(theirs.0, theirs.1, "carol@example.com", RoleKey::BuiltIn(Role::Viewer), at);
    let by_them = entry(theirs.0, at);
    let elsewhere = store.invite(&theirs_too.0, &may, &by_them, &theirs_too.1).await;
    let elsewhere = elsewhere.expect("another organization's are its own");
    letters(outbox).await;

    assert_eq!(store.invitation(org, kept.id).await.expect("finds"), Some(kept.clone()));
    assert_eq!(store.invitation(theirs.0, kept.id).await.expect("answers"), None);
    assert_eq!(store.find_invitation(kept.id).await.expect("finds"), Some(org));
    let nowhere = store.find_invitation(InvitationId::new(at)).await.expect("answers");
    assert_eq!(nowhere, None);

    // Sent again, which somebody else's organization cannot do.
    let renew = |old: &Invitation| {
        let again = old.sent_again(owner, at + LATER);
        Ok((again, entry(old.org, at + LATER), letter(&carol)))
    };
    let other = store.resend(theirs.0, kept.id, &renew).await.expect("answers");
    assert_eq!(other, None);
    let refused = store.resend(org, kept.id, &|_| Err(TeamError::Escalation)).await;
    assert!(matches!(refused, Err(TeamError::Escalation)));
    assert!(letters(outbox).await.is_empty(), "nothing was sent");
    let sent = store.resend(org, kept.id, &renew).await.expect("sent").expect("there");
    assert_eq!((sent.sending, sent.sent_at), (2, at + LATER));
    assert_eq!(store.invitation(org, kept.id).await.expect("finds"), Some(sent.clone()));
    assert_eq!(letters(outbox).await, ["invitation"]);

    // Coming by it, once.
    let how = acceptance(kept.id, org, at + LATER);
    let elsewhere_id = Acceptance { org: theirs.0, ..how.clone() };
    let confused = store.accept(&elsewhere_id, &|_, _| Ok(()), &by_them).await;
    assert!(matches!(confused, Err(TeamError::NotGood)), "it is not that organization's");
    let refused = store.accept(&how, &|_, _| Err(TeamError::NotGood), &note).await;
    assert!(matches!(refused, Err(TeamError::NotGood)));
    let judge = |found: &Invitation, inviter: &MemberRole| {
        assert_eq!((found, inviter), (&sent, &Role::Owner.into()));
        Ok(())
    };
    let came = store.accept(&how, &judge, &note).await.expect("came");
    assert_eq!((came.id, came.user), (how.member, how.new_user));
    assert_eq!((came.email.as_str(), &came.role), ("carol@example.com", &Role::Editor.into()));
    let twice = store.accept(&how, &|_, _| Ok(()), &note).await;
    assert!(matches!(twice, Err(TeamError::NotGood)), "it is used up");
    let how = acceptance(elsewhere.id, theirs.0, at + LATER);
    let second = store.accept(&how, &|_, _| Ok(()), &by_them).await.expect("came");
    assert_eq!(second.user, came.user, "the same person");

    // Taken back, and swept away.
    let (dan, mail) = invitation(org, owner, "dan@example.com", RoleKey::BuiltIn(Role::Viewer), at);
    store.invite(&dan, &may, &note, &mail).await.expect("invited");
    let (eve, mail) =
        invitation(org, owner, "eve@example.com", RoleKey::BuiltIn(Role::Viewer), at + LATER);
    store.invite(&eve, &may, &note, &mail).await.expect("invited");
    let ids = |found: Vec<Invitation>| found.into_iter().map(|it| it.id).collect::<Vec<_>>();
    let all = store.invitations(org, None, Limit::default()).await.expect("lists");
    assert_eq!(ids(all), [eve.id, dan.id], "newest first");
    let after = Cursor { created_at: at + LATER, id: eve.id.as_uuid() };
    let rest = store.invitations(org, Some(after), Limit::default()).await.expect("lists");
    assert_eq!(ids(rest), [dan.id]);
    assert!(!store.revoke(theirs.0, dan.id, &may, &by_them).await.expect("answers"));
    let refused = store.revoke(org, dan.id, &may_not, &note).await;
    assert!(matches!(refused, Err(TeamError::Escalation)));
    assert!(store.revoke(org, dan.id, &may, &note).await.expect("taken back"));
    assert!(!store.revoke(org, dan.id, &may, &note).await.expect("answers"), "once");
    let expired = eve.expires_at() + LATER;
    let at_the_end = store.sweep_invitations(org, eve.expires_at()).await.expect("swept");
    assert_eq!(at_the_end, 0, "not before its time");
    let (anew, mail) =
        invitation(org, owner, "eve@example.com", RoleKey::BuiltIn(Role::Editor), expired);
    store.invite(&anew, &may, &note, &mail).await.expect("takes the expired one's place");
    let all = store.invitations(org, None, Limit::default()).await.expect("lists");
    assert_eq!(ids(all), [anew.id]);
    let swept = store.sweep_invitations(theirs.0, anew.expires_at() + LATER).await;
    assert_eq!(swept.expect("swept"), 0, "another organization's stay");
    let swept = store.sweep_invitations(org, anew.expires_at() + LATER).await;
    assert_eq!(swept.expect("swept"), 1);
    letters(outbox).await;
    came
}

async fn members(
    store: &dyn TeamStore,
    carol: &Member,
    (org, owner): (OrgId, UserId),
    theirs: (OrgId, UserId),
) {
    let at = start();
    let note = entry(org, at);
    let limit = Limit::default();
    let all = store.members(org, None, limit).await.expect("lists");
    let users: Vec<_> = all.iter().map(|it| it.user).collect();
    assert_eq!(users, [carol.user, owner], "newest first");
    assert_eq!(all[0], *carol);
    let after = Cursor { created_at: carol.joined_at, id: carol.id.as_uuid() };
    let rest = store.members(org, Some(after), limit).await.expect("lists");
    assert_eq!(rest, [all[1].clone()]);
    for which in [WhichMember::Id(carol.id), WhichMember::User(carol.user)] {
        let found = store.member(org, which).await.expect("finds");
        assert_eq!(found.as_ref(), Some(carol));
    }
    let other = store.member(theirs.0, WhichMember::Id(carol.id)).await.expect("answers");
    assert_eq!(other, None);

    let viewer = RoleKey::BuiltIn(Role::Viewer);
    let judge = |member: &Member, role: Option<&MemberRole>| {
        assert_eq!((member.id, role), (carol.id, Some(&Role::Viewer.into())));
        Ok(())
    };
    let by_them = entry(theirs.0, at);
    let other = store.change_role(theirs.0, carol.id, viewer, &judge, &by_them).await;
    assert!(other.expect("answers").is_none());
    let may_not = |_: &Member, _: Option<&MemberRole>| Err(TeamError::OwnerStays);
    let refused = store.change_role(org, carol.id, viewer, &may_not, &note).await;
    assert!(matches!(refused, Err(TeamError::OwnerStays)));
    let unknown = RoleKey::Custom(RoleId::new(at));
    let unknown = store.change_role(org, carol.id, unknown, &judge, &note).await;
    assert!(matches!(unknown, Err(TeamError::UnknownRole(_))));
    let changed = store.change_role(org, carol.id, viewer, &judge, &note).await;
    assert_eq!(changed.expect("changed").expect("there").role, Role::Viewer.into());

    let may = |_: &Member, _: Option<&MemberRole>| Ok(());
    let which = WhichMember::User(carol.user);
    let refused = store.remove_member(org, which, &may_not, &note).await;
    assert!(matches!(refused, Err(TeamError::OwnerStays)));
    let elsewhere = store.member(theirs.0, which).await.expect("finds").expect("there too");
    let gone = store.remove_member(theirs.0, which, &may, &by_them).await.expect("removed");
    assert_eq!(gone, Some(elsewhere));
    let twice = store.remove_member(theirs.0, which, &may, &by_them).await.expect("answers");
    assert_eq!(twice, None);
    assert!(store.member(org, which).await.expect("finds").is_some(), "they stay in the other");
}

async fn attributes(
    store: &dyn TeamStore,
    carol: &Member,
    (org, owner): (OrgId, UserId),
    theirs: OrgId,
) {
    let at = start();
    let note = entry(org, at);
    let may = |_: &Member, _: Option<&MemberRole>| Ok(());
    let none = store.attributes(org, carol.id).await.expect("answers").expect("a member");
    assert_eq!((none.attributes.len(), none.revision), (0, 0));
    assert_eq!(store.attributes(theirs, carol.id).await.expect("answers"), None);
    let north = Attribute::parse("text".parse().expect("a type"), json!("north")).expect("a text");
    let change = |expected: Option<Vec<i64>>| AttributesChange {
        attributes: BTreeMap::from([("region".to_owned(), north.clone())]),
        expected,
        by: owner,
        at,
    };
    let which = WhichMember::Id(carol.id);
    let refuse = |_: &Member, _: Option<&MemberRole>| Err(TeamError::Escalation);
    let refused = store.set_attributes(org, which, &change(None), &refuse, &note).await;
    assert!(matches!(refused, Err(TeamError::Escalation)));
    let early = store.set_attributes(org, which, &change(Some(vec![1])), &may, &note).await;
    assert!(matches!(early, Err(TeamError::AttributesChanged)));
    let set = store.set_attributes(org, which, &change(Some(vec![0])), &may, &note).await;
    let set = set.expect("set").expect("a member");
    assert_eq!((&set.attributes["region"], set.revision), (&north, 1));
    assert_eq!(store.attributes(org, carol.id).await.expect("answers"), Some(set));
    let late = store.set_attributes(org, which, &change(Some(vec![0])), &may, &note).await;
    assert!(matches!(late, Err(TeamError::AttributesChanged)));
    let other = store.set_attributes(theirs, which, &change(None), &may, &entry(theirs, at)).await;
    assert_eq!(other.expect("answers"), None);
}

async fn roles(store: &dyn TeamStore, (org, owner): (OrgId, UserId), theirs: (OrgId, UserId)) {
    let at = start();
    let note = entry(org, at);
    let role = |org: OrgId, by: UserId, name: &str| CustomRole {
        id: RoleId::new(at),
        org,
        name: RoleName::parse(name).expect("a good name"),
        description: "For a test.".to_owned(),
        scopes: [Scope::QueriesRead].into_iter().collect(),
        saved_queries_only: true,
        created_by: by,
        created_at: at,
        updated_at: at,
    };
    let analyst = role(org, owner, "Analyst");
    store.insert_role(&analyst, 2, &note).await.expect("kept");
    let same = store.insert_role(&role(org, owner, "ANALYST"), 2, &note).await;
    assert!(matches!(same, Err(TeamError::RoleNameTaken(_))), "whatever the case of its letters");
    let by_them = entry(theirs.0, at);
    let namesake = role(theirs.0, theirs.1, "Analyst");
    store.insert_role(&namesake, 2, &by_them).await.expect("another organization's are its own");
    let zealot = role(org, owner, "Zealot");
    store.insert_role(&zealot, 2, &note).await.expect("kept");
    let third = store.insert_role(&role(org, owner, "Third"), 2, &note).await;
    assert!(matches!(third, Err(TeamError::TooManyRoles(2))));
    assert_eq!(store.roles(org).await.expect("lists"), [analyst.clone(), zealot.clone()]);
    assert_eq!(store.role(org, analyst.id).await.expect("finds"), Some(analyst.clone()));
    assert_eq!(store.role(theirs.0, analyst.id).await.expect("answers"), None);

    let rename = |name: &'static str| {
        move |old: &CustomRole| {
            Ok(CustomRole { name: RoleName::parse(name).expect("a good name"), ..old.clone() })
        }
    };
    let taken = store.change_role_itself(org, zealot.id, &rename("analyst"), &note).await;
    assert!(matches!(taken, Err(TeamError::RoleNameTaken(_))));
    let refuse = |_: &CustomRole| Err(TeamError::Escalation);
    let refused = store.change_role_itself(org, zealot.id, &refuse, &note).await;
    assert!(matches!(refused, Err(TeamError::Escalation)));
    let other = store.change_role_itself(theirs.0, zealot.id, &rename("Other"), &by_them).await;
    assert_eq!(other.expect("answers"), None);
    let changed = store.change_role_itself(org, zealot.id, &rename("Zest"), &note).await;
    assert_eq!(changed.expect("changed").expect("there").name.as_str(), "Zest");

    // Held by an invitation, then by nobody.
    let may = |_: &MemberRole| Ok(());
    let (new, mail) = invitation(org, owner, "frank@example.com", RoleKey::Custom(analyst.id), at);
    store.invite(&new, &may, &note, &mail).await.expect("invited");
    let held = store.remove_role(org, analyst.id, &may, &note).await;
    let by_one = Held { members: 0, invitations: 1 };
    assert!(matches!(held, Err(TeamError::RoleHeld(held)) if held == by_one));
    assert!(store.revoke(org, new.id, &may, &note).await.expect("taken back"));
    assert!(!store.remove_role(theirs.0, analyst.id, &may, &by_them).await.expect("answers"));
    let may_not = |_: &MemberRole| Err(TeamError::Escalation);
    let refused = store.remove_role(org, analyst.id, &may_not, &note).await;
    assert!(matches!(refused, Err(TeamError::Escalation)));
    assert!(store.remove_role(org, analyst.id, &may, &note).await.expect("removed"));
    assert!(!store.remove_role(org, analyst.id, &may, &note).await.expect("answers"), "once");
    assert_eq!(store.roles(theirs.0).await.expect("lists"), [namesake]);
}
