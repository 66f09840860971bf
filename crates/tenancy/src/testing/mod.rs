//! The contracts that every store of people and organizations keeps; run them against each of them.

mod organizations;
mod team;

pub use organizations::organization_store_contract;
pub use team::team_store_contract;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Cursor, KeyId, Limit, OrgId, UserId};

use crate::{
    ApiKey, AuditEntry, Email, FoundingError, InvalidKey, KeyChange, KeyKind, KeyLimits, KeyScope,
    KeySecret, NewOwner, Organization, OrganizationName, Role, TenancyStore, TimeZoneName, User,
};

/// An organization as a test needs it, with the text of its owner's key.
pub fn owner(name: &str, email: &str, at: Timestamp) -> (NewOwner, KeySecret) {
    let secret = KeySecret::generate(KeyKind::Live).expect("randomness");
    let (org, user) = (OrgId::new(at), UserId::new(at));
    let new = NewOwner {
        organization: Organization::new(
            org,
            OrganizationName::parse(name).expect("a good name"),
            TimeZoneName::utc(),
            at,
        ),
        user: User {
            id: user,
            email: Email::parse(email).expect("a good address"),
            created_at: at,
        },
        key: key(org, user, "first", &secret, at),
        hash: secret.hash(),
    };
    (new, secret)
}

/// What a test's change leaves in the trail.
pub fn entry(org: OrgId, at: Timestamp) -> AuditEntry {
    AuditEntry::of_plinth(org, at, "operator", "test.changed")
}

fn key(org: OrgId, user: UserId, name: &str, secret: &KeySecret, at: Timestamp) -> ApiKey {
    ApiKey {
        id: KeyId::new(at),
        org,
        user,
        name: name.to_owned(),
        kind: KeyKind::Live,
        scope: KeyScope::Full,
        hint: secret.hint(),
        created_at: at,
        expires_at: Some(at + SignedDuration::from_hours(24)),
        revoked_at: None,
        last_used_at: None,
        limits: KeyLimits { per_minute: Some(7), per_day: None },
        project: None,
    }
}

/// What every store promises. The store is empty.
pub async fn tenancy_store_contract(store: &dyn TenancyStore) {
    let at = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    let (ours, secret) = owner("Ours", "ann@example.com", at);
    let (theirs, _) = owner("Theirs", "bob@example.com", at);
    let org = ours.organization.id;

    assert!(store.put_setup_token(&[1; 32]).await.expect("kept"));
    assert!(store.put_setup_token(&[7; 32]).await.expect("kept"), "replaced while nobody is there");
    assert!(!store.is_setup_token(&[1; 32]).await.expect("answers"), "it was replaced");
    assert!(store.is_setup_token(&[7; 32]).await.expect("answers"));
    let wrong = store.found(&ours, Some(&[1; 32]), &entry(ours.organization.id, at)).await;
    assert!(matches!(wrong, Err(FoundingError::WrongToken)));
    assert!(store.organization(org).await.expect("answers").is_none(), "nothing was kept");
    assert_eq!(
        store
            .found(&ours, Some(&[7; 32]), &entry(ours.organization.id, at))
            .await
            .expect("founded"),
        ours.user.id
    );
    assert!(!store.is_setup_token(&[7; 32]).await.expect("answers"), "it was used");
    let again = store.found(&theirs, Some(&[7; 32]), &entry(theirs.organization.id, at)).await;
    assert!(matches!(again, Err(FoundingError::WrongToken)), "a token works once");
    assert!(!store.put_setup_token(&[9; 32]).await.expect("answers"), "somebody is there");

    store
        .found(&theirs, None, &entry(theirs.organization.id, at))
        .await
        .expect("an operator needs no token");
    let (same_name, _) = owner("Ours", "eve@example.com", at);
    assert!(matches!(
        store.found(&same_name, None, &entry(same_name.organization.id, at)).await,
        Err(FoundingError::NameTaken)
    ));
    let (second, _) = owner("Second", "ann@example.com", at);
    assert_eq!(
        store.found(&second, None, &entry(second.organization.id, at)).await.expect("founded"),
        ours.user.id,
        "the same person"
    );

    assert_eq!(store.organization(org).await.expect("finds"), Some(ours.organization.clone()));

    let found = store.find_key(&secret.hash()).await.expect("finds").expect("there");
    assert_eq!((found.key, found.role), (ours.key.clone(), Role::Owner.into()));
    let unknown = KeySecret::generate(KeyKind::Live).expect("randomness");
    assert!(store.find_key(&unknown.hash()).await.expect("answers").is_none());

    let later = at + SignedDuration::from_secs(1);
    let spare = KeySecret::generate(KeyKind::Live).expect("randomness");
    let more = key(org, ours.user.id, "spare", &spare, later);
    store.insert_key(&more, &spare.hash(), &entry(org, at)).await.expect("kept");
    let limit = Limit::default();
    assert_eq!(
        store.list_keys(org, None, None, limit).await.expect("lists"),
        [more.clone(), ours.key.clone()]
    );
    let after = Cursor { created_at: later, id: more.id.as_uuid() };
    assert_eq!(
        store.list_keys(org, Some(ours.user.id), Some(after), limit).await.expect("lists"),
        std::slice::from_ref(&ours.key)
    );

    assert_eq!(store.key(org, more.id).await.expect("finds"), Some(more.clone()));
    assert_eq!(store.key(theirs.organization.id, more.id).await.expect("answers"), None);
    let nobody = UserId::new(at);
    let numbers = store.key_numbers(org).await.expect("lists");
    let different: std::collections::HashSet<i64> = numbers.iter().map(|it| it.1).collect();
    assert!(!numbers.is_empty() && different.len() == numbers.len(), "each has one of its own");
    let listed: Vec<KeyId> = numbers.iter().map(|it| it.0).collect();
    assert!(listed.contains(&ours.key.id), "{listed:?}");
    assert!(store.list_keys(org, Some(nobody), None, limit).await.expect("lists").is_empty());
    let change = KeyChange {
        name: Some("renamed".to_owned()),
        per_minute: Some(None),
        per_day: Some(Some(9)),
    };
    let decide = |key: &mut ApiKey| change.apply(key);
    for (of, by) in [(None, theirs.organization.id), (Some(nobody), org)] {
        let changed = store.change_key(by, more.id, of, &decide, &entry(by, later)).await;
        assert!(changed.expect("answers").is_none(), "another's key is none");
    }
    let refuse = |_: &mut ApiKey| Err(InvalidKey::Name);
    let refused = store.change_key(org, more.id, None, &refuse, &entry(org, later)).await;
    assert_eq!(refused.expect("answers"), Some(Err(InvalidKey::Name)));
    let mine = Some(ours.user.id);
    let changed = store.change_key(org, more.id, mine, &decide, &entry(org, later)).await;
    let changed = changed.expect("answers").expect("there").expect("good");
    assert_eq!(changed.limits, KeyLimits { per_minute: None, per_day: Some(9) });
    let found = store.find_key(&spare.hash()).await.expect("finds").expect("there");
    assert_eq!((found.key.name.as_str(), &found.key), ("renamed", &changed));
    assert!(
        !store
            .revoke_key(org, more.id, Some(nobody), later, &entry(org, later))
            .await
            .expect("answers")
    );

    store.touch_key(org, more.id, later).await.expect("noted");
    assert!(
        !store
            .revoke_key(
                theirs.organization.id,
                more.id,
                None,
                later,
                &entry(theirs.organization.id, later)
            )
            .await
            .expect("answers")
    );
    assert!(
        store.revoke_key(org, more.id, None, later, &entry(org, later)).await.expect("revoked")
    );
    assert!(
        !store.revoke_key(org, more.id, None, later, &entry(org, later)).await.expect("answers"),
        "once"
    );
    let changed = store.change_key(org, more.id, None, &decide, &entry(org, later)).await;
    assert!(changed.expect("answers").is_none(), "a revoked key stays as it is");
    let revoked = store.find_key(&spare.hash()).await.expect("finds").expect("there").key;
    assert_eq!((revoked.revoked_at, revoked.last_used_at), (Some(later), Some(later)));
    assert!(!revoked.is_valid(later));
}

/// The kinds of the letters that wait; takes them out.
async fn letters(outbox: &dyn crate::outbox::OutboxStore) -> Vec<String> {
    let lease = SignedDuration::from_mins(1);
    let mut kinds = Vec::new();
    for waiting in outbox.take(100, lease).await.expect("taken") {
        let message = waiting.message;
        kinds.push(message.payload["letter"]["kind"].as_str().expect("a letter").to_owned());
        outbox.done(message.org, message.id).await.expect("noted");
    }
    kinds
}
