use jiff::Timestamp;
use plinth_core::{OrgId, UserId};

use super::{entry, letters};
use crate::organizations::{Changed, HandOver, OrganizationError, OrganizationStore};
use crate::outbox::{Letter, LetterTo, Message, OutboxStore};
use crate::team::{TeamStore, WhichMember};
use crate::{Member, MemberId, Organization, OrganizationName, Role, TimeZoneName};

/// What every store of organizations promises. `ours` and `theirs` are organizations with their owners, and are the only
/// ones; `team` and `outbox` are of the same store and show what became of members and letters. "Now" is later than 2026.
pub async fn organization_store_contract(
    store: &dyn OrganizationStore,
    team: &dyn TeamStore,
    outbox: &dyn OutboxStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
) {
    let at = "2026-01-02T00:00:00Z".parse::<Timestamp>().expect("a time");
    let organization = |name: &str| {
        let name = OrganizationName::parse(name).expect("a good name");
        Organization::new(OrgId::new(at), name, TimeZoneName::utc(), at)
    };
    let letter = |org: OrgId, letter: &Letter| {
        Message::mail(org, at, &LetterTo::Address("somebody@example.com".to_owned()), letter)
    };

    let third = organization("Third");
    let org = third.id;
    let owner = MemberId::new(at);
    store.create(&third, ours.1, owner, &entry(org, at)).await.expect("made");
    let member =
        team.member(org, WhichMember::User(ours.1)).await.expect("answers").expect("there");
    assert_eq!((member.id, &member.role), (owner, &Role::Owner.into()));
    let twin = organization("Third");
    let taken = store.create(&twin, ours.1, MemberId::new(at), &entry(twin.id, at)).await;
    assert!(matches!(taken, Err(OrganizationError::NameTaken(name)) if name == third.name));
    let mut all = store.organizations().await.expect("lists");
    let mut expected = vec![ours.0, theirs.0, org];
    all.sort_by_key(|it| it.as_uuid());
    expected.sort_by_key(|it| it.as_uuid());
    assert_eq!(all, expected, "what was refused is not there");

    // A change is written with its letters, or nothing is.
    let renamed = OrganizationName::parse("Renamed").expect("a good name");
    let deletion = Letter::OrganizationDeletion { organization: "Third".to_owned(), at };
    let rename = |old: &Organization| {
        Ok(Changed {
            organization: Organization { name: renamed.clone(), ..old.clone() },
            entry: entry(org, at),
            letters: vec![letter(org, &deletion)],
        })
    };
    let changed = store.change(org, &rename).await.expect("changed").expect("there");
    assert_eq!(changed, Organization { name: renamed.clone(), ..third.clone() });
    assert_eq!(letters(outbox).await, ["organization_deletion"]);
    let to_ours = |old: &Organization| {
        Ok(Changed {
            organization: Organization { name: renamed.clone(), ..old.clone() },
            entry: entry(theirs.0, at),
            letters: vec![letter(theirs.0, &deletion)],
        })
    };
    let taken = store.change(theirs.0, &to_ours).await;
    assert!(matches!(taken, Err(OrganizationError::NameTaken(_))), "one name, one organization");
    let refuse = |_: &Organization| Err(OrganizationError::NotClosing);
    let refused = store.change(org, &refuse).await;
    assert!(matches!(refused, Err(OrganizationError::NotClosing)));
    let nowhere = store.change(OrgId::new(at), &rename).await.expect("answers");
    assert_eq!(nowhere, None);
    assert!(letters(outbox).await.is_empty(), "nothing was changed");

    hand_over(store, team, outbox, theirs, ours.1).await;

    // Deleting: only once the time to think again is over.
    assert!(store.due().await.expect("lists").is_empty());
    assert!(!store.delete(org).await.expect("answers"), "nobody asked for it");
    let close = |when: Timestamp| {
        move |old: &Organization| {
            let organization = Organization { deleting_at: Some(when), ..old.clone() };
            Ok(Changed { organization, entry: entry(org, at), letters: Vec::new() })
        }
    };
    let far = "2999-01-01T00:00:00Z".parse().expect("a time");
    store.change(org, &close(far)).await.expect("changed").expect("there");
    assert!(store.due().await.expect("lists").is_empty(), "its time is not over");
    assert!(!store.delete(org).await.expect("answers"));
    store.change(org, &close(at)).await.expect("changed").expect("there");
    assert_eq!(store.due().await.expect("lists"), [org]);
    assert!(store.delete(org).await.expect("deleted"));
    assert!(!store.delete(org).await.expect("answers"), "once");
    assert!(store.due().await.expect("lists").is_empty());
    let gone = team.member(org, WhichMember::User(ours.1)).await.expect("answers");
    assert_eq!(gone, None, "everything that was its is gone");
    let mine = team.member(ours.0, WhichMember::User(ours.1)).await.expect("answers");
    assert!(mine.is_some(), "and nothing that was another's");
}

/// `other` owns another organization, and belongs to this one too for a while.
async fn hand_over(
    store: &dyn OrganizationStore,
    team: &dyn TeamStore,
    outbox: &dyn OutboxStore,
    (org, owner): (OrgId, UserId),
    other: UserId,
) {
    let at = "2026-01-02T00:00:00Z".parse::<Timestamp>().expect("a time");
    let member = super::team::join(team, org, owner, "ann@example.com", Role::Editor).await;
    assert_eq!(member.user, other, "the address is known");
    letters(outbox).await;
    let tell = |from: &Member, to: &Member| {
        let transferred = Letter::OwnershipTransferred {
            organization: "Theirs".to_owned(),
            owner: to.email.to_string(),
        };
        [from, to]
            .map(|it| {
                Message::mail(org, at, &LetterTo::Address(it.email.to_string()), &transferred)
            })
            .to_vec()
    };
    let how = |from: UserId, to: MemberId| HandOver { org, from, to, entry: entry(org, at) };
    let not_owner = store.hand_over(&how(other, member.id), &tell).await;
    assert!(matches!(not_owner, Err(OrganizationError::NotOwner)));
    let stranger = MemberId::new(at);
    let unknown = store.hand_over(&how(owner, stranger), &tell).await;
    assert!(matches!(unknown, Err(OrganizationError::MemberNotFound(it)) if it == stranger));
    let own = team.member(org, WhichMember::User(owner)).await.expect("answers").expect("there");
    let already = store.hand_over(&how(owner, own.id), &tell).await;
    assert!(matches!(already, Err(OrganizationError::AlreadyOwner)));
    assert!(letters(outbox).await.is_empty(), "nobody is told of what did not happen");

    let new = store.hand_over(&how(owner, member.id), &tell).await.expect("handed over");
    assert_eq!((new.id, &new.role), (member.id, &Role::Owner.into()));
    let old = team.member(org, WhichMember::User(owner)).await.expect("answers").expect("there");
    assert_eq!(old.role, Role::Admin.into());
    assert_eq!(letters(outbox).await, ["ownership_transferred"; 2]);
    let again = store.hand_over(&how(owner, member.id), &tell).await;
    assert!(matches!(again, Err(OrganizationError::NotOwner)), "they were it");
}
