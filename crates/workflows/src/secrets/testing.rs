//! The contract of [`CredentialStore`].

use jiff::Timestamp;
use plinth_connections::Sealed;
use plinth_core::{Limit, OrgId, UserId};
use plinth_tenancy::testing::entry;

use super::{
    Changed, CredentialError, CredentialId, CredentialKind, CredentialStore, StoredCredential,
};

/// What is kept of credentials.
///
/// # Panics
///
/// If the contract is broken.
pub async fn credential_store_contract(
    store: &dyn CredentialStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
) {
    let make = |(org, by): (OrgId, UserId)| StoredCredential {
        id: CredentialId::new(at),
        org,
        name: "crm".to_owned(),
        origin: "https://crm.example.com".to_owned(),
        kind: CredentialKind::Header("x-api-key".to_owned()),
        by,
        revision: 1,
        created_at: at,
        updated_at: at,
    };
    let sealed = |byte: u8| Sealed { key_version: 1, bytes: vec![byte; 30] };
    let (ours, theirs) = (make(us), make(them));
    store.insert(&ours, &sealed(1), 2, &entry(us.0, at)).await.expect("kept");
    let refused = store.insert(&make(us), &sealed(2), 2, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(CredentialError::NameTaken(_))));
    let refused = store.insert(&make(us), &sealed(2), 1, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(CredentialError::TooMany(1))));
    store.insert(&theirs, &sealed(3), 2, &entry(them.0, at)).await.expect("kept");
    assert_eq!(store.find(us.0, ours.id).await.expect("read"), Some(ours.clone()));
    assert_eq!(store.find(them.0, ours.id).await.expect("read"), None);
    let (found, secret) = store.named(us.0, "crm").await.expect("read").expect("there");
    assert_eq!((found, secret), (ours.clone(), sealed(1)), "everybody has their own of a name");
    assert!(!store.is_lent(us.0, ours.id).await.expect("read"), "nothing is published");
    assert_eq!(store.list(us.0, None, Limit::ONE).await.expect("read"), [ours.clone()]);

    let mut rename = |it: &mut StoredCredential| {
        "shop".clone_into(&mut it.name);
        it.revision += 1;
        Ok(Changed { entry: entry(us.0, at), secret: None })
    };
    let renamed = store.change(us.0, ours.id, &mut rename).await.expect("stored").expect("there");
    assert_eq!((renamed.name.as_str(), renamed.revision), ("shop", 2));
    let kept = store.named(us.0, "shop").await.expect("read").expect("there").1;
    assert_eq!(kept, sealed(1), "a secret that is not replaced stays");
    let mut replace =
        |_: &mut StoredCredential| Ok(Changed { entry: entry(us.0, at), secret: Some(sealed(9)) });
    store.change(us.0, ours.id, &mut replace).await.expect("stored").expect("there");
    let kept = store.named(us.0, "shop").await.expect("read").expect("there").1;
    assert_eq!(kept, sealed(9));
    let nothing = store
        .change(them.0, ours.id, &mut |_| Ok(Changed { entry: entry(them.0, at), secret: None }))
        .await;
    assert!(nothing.expect("stored").is_none());

    assert!(!store.remove(them.0, ours.id, None, &entry(them.0, at)).await.expect("stored"));
    let refused = store.remove(us.0, ours.id, Some(&[0, 99]), &entry(us.0, at)).await;
    assert!(matches!(refused, Err(CredentialError::Changed)), "{refused:?}");
    assert!(store.remove(us.0, ours.id, None, &entry(us.0, at)).await.expect("stored"));
    assert!(store.named(us.0, "shop").await.expect("read").is_none());
}
