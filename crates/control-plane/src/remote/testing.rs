//! The contract of [`RemoteStore`].

use jiff::{SignedDuration, Timestamp};
use plinth_connections::Sealed;
use plinth_core::{Cursor, Limit, OrgId, UserId};
use plinth_tenancy::AuditEntry;
use serde_json::json;
use uuid::Uuid;

use super::{
    ChangedRemote, Intended, OAuthClient, Remote, RemoteError, RemoteId, RemoteIntent,
    RemoteIntentId, RemoteProject, RemoteStore,
};
use crate::{ProjectFilter, ProjectId};

fn entry(org: OrgId, at: Timestamp) -> AuditEntry {
    AuditEntry::of_plinth(org, at, "operator", "test.changed")
}

/// What is kept of remotes and their projects.
///
/// # Panics
///
/// If the contract is broken.
pub async fn remote_store_contract(
    store: &dyn RemoteStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
) {
    let make = |(org, by): (OrgId, UserId)| Remote {
        id: RemoteId::new(at),
        org,
        name: "lab".to_owned(),
        base_url: super::NEON.to_owned(),
        org_there: Some("org-quiet-lake-1".to_owned()),
        region: None,
        oauth: Some(OAuthClient {
            issuer: super::NEON_ISSUER.to_owned(),
            authorize_url: format!("{}/oauth2/auth", super::NEON_ISSUER),
            token_url: format!("{}/oauth2/token", super::NEON_ISSUER),
            revoke_url: None,
            client_id: "plinth".to_owned(),
            scopes: vec!["openid".to_owned()],
        }),
        account: Some("ann@example.com".to_owned()),
        by,
        revision: 1,
        created_at: at,
        updated_at: at,
    };
    let sealed = |byte: u8| Sealed { key_version: 1, bytes: vec![byte; 30] };
    let (ours, theirs) = (make(us), make(them));
    store.insert(&ours, &sealed(1), 2, &entry(us.0, at)).await.expect("kept");
    let refused = store.insert(&make(us), &sealed(2), 2, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(RemoteError::NameTaken(_))), "{refused:?}");
    let refused = store.insert(&make(us), &sealed(2), 1, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(RemoteError::TooMany(1))), "{refused:?}");
    store.insert(&theirs, &sealed(3), 2, &entry(them.0, at)).await.expect("kept");
    assert_eq!(store.find(us.0, ours.id).await.expect("read"), Some(ours.clone()));
    assert_eq!(store.find(them.0, ours.id).await.expect("read"), None);
    assert_eq!(store.named(us.0, "lab").await.expect("read"), Some(ours.clone()));
    assert_eq!(
        store.list(us.0, None, Limit::ONE).await.expect("read"),
        std::slice::from_ref(&ours)
    );
    assert_eq!(store.secret(us.0, ours.id).await.expect("read"), Some(sealed(1)));
    assert_eq!(store.secret(them.0, ours.id).await.expect("read"), None);

    let mut decide = |it: &mut Remote| {
        "plant".clone_into(&mut it.name);
        it.region = Some("aws-eu-central-1".to_owned());
        it.revision += 1;
        Ok(ChangedRemote { entry: entry(us.0, at), secret: None })
    };
    let changed = store.change(us.0, ours.id, &mut decide).await.expect("stored").expect("there");
    assert_eq!((changed.name.as_str(), changed.revision), ("plant", 2));
    assert_eq!(store.find(us.0, ours.id).await.expect("read"), Some(changed));
    assert_eq!(store.secret(us.0, ours.id).await.expect("read"), Some(sealed(1)), "it stays");
    let mut replace =
        |_: &mut Remote| Ok(ChangedRemote { entry: entry(us.0, at), secret: Some(sealed(9)) });
    store.change(us.0, ours.id, &mut replace).await.expect("stored").expect("there");
    assert_eq!(store.secret(us.0, ours.id).await.expect("read"), Some(sealed(9)));
    let mut foreign = |_: &mut Remote| Ok(ChangedRemote { entry: entry(them.0, at), secret: None });
    assert!(store.change(them.0, ours.id, &mut foreign).await.expect("stored").is_none());

    // One server renews its token, until it has put another in its place.
    let lease = SignedDuration::from_secs(30);
    assert!(store.lease_renewal(us.0, ours.id, lease).await.expect("stored"));
    assert!(!store.lease_renewal(us.0, ours.id, lease).await.expect("stored"));
    assert!(!store.lease_renewal(them.0, ours.id, lease).await.expect("stored"));
    store.end_renewal(us.0, ours.id).await.expect("stored");
    assert!(store.lease_renewal(us.0, ours.id, lease).await.expect("stored"));
    assert!(
        !store.swap_secret(us.0, ours.id, &sealed(1), &sealed(5)).await.expect("stored"),
        "it is another"
    );
    assert!(!store.swap_secret(them.0, ours.id, &sealed(9), &sealed(5)).await.expect("stored"));
    assert!(store.swap_secret(us.0, ours.id, &sealed(9), &sealed(5)).await.expect("stored"));
    assert_eq!(store.secret(us.0, ours.id).await.expect("read"), Some(sealed(5)));
    assert!(
        !store.lease_renewal(us.0, ours.id, lease).await.expect("stored"),
        "a swap may be somebody else's"
    );
    store.end_renewal(us.0, ours.id).await.expect("stored");

    projects(store, (us, &ours), (them, &theirs), at).await;
    intents(store, (us, &ours), (them, &theirs), at).await;

    let away = store.remove(them.0, ours.id, &entry(them.0, at)).await.expect("stored");
    assert!(!away, "it is somebody else's");
    assert!(store.remove(us.0, ours.id, &entry(us.0, at)).await.expect("stored"));
    assert_eq!(store.find(us.0, ours.id).await.expect("read"), None);
    assert!(store.find(them.0, theirs.id).await.expect("read").is_some());
}

async fn projects(
    store: &dyn RemoteStore,
    (us, ours): ((OrgId, UserId), &Remote),
    (them, theirs): ((OrgId, UserId), &Remote),
    at: Timestamp,
) {
    let make = |id: &str, (org, by): (OrgId, UserId), remote: &Remote, at| RemoteProject {
        id: id.parse().expect("an id"),
        org,
        remote: remote.id,
        remote_name: "plant".to_owned(),
        name: format!("Shop {id}"),
        body: json!({ "id": id, "name": format!("Shop {id}") }),
        number: 0,
        by,
        created_at: at,
        deleted_at: None,
    };
    let (older, newer) = (at, at + SignedDuration::from_secs(1));
    let first = make("still-meadow-1", us, ours, older);
    let second = make("still-meadow-2", us, ours, newer);
    let foreign = make("still-meadow-1", them, theirs, older);
    for it in [&first, &second, &foreign] {
        store.keep_project(it, &entry(it.org, at)).await.expect("two may see the same one there");
    }
    let refused = store.keep_project(&first, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(RemoteError::ProjectKnown(_))), "{refused:?}");
    let not_theirs = RemoteProject { remote: ours.id, ..make("quiet-lake-3", them, theirs, at) };
    let refused = store.keep_project(&not_theirs, &entry(them.0, at)).await;
    assert!(refused.is_err(), "at somebody else's remote");

    let found = store.project(us.0, &first.id).await.expect("read").expect("there");
    assert_eq!(RemoteProject { number: 0, ..found.clone() }, first);
    let other = store.project(them.0, &second.id).await.expect("read");
    assert_eq!(other, None);

    let names = async |filter: ProjectFilter| -> Vec<String> {
        let filter = ProjectFilter { limit: filter.limit.max(1), ..filter };
        let all = store.projects(us.0, &filter).await.expect("read");
        all.iter().map(|it| it.id.to_string()).collect()
    };
    let filter = ProjectFilter { limit: 10, ..ProjectFilter::default() };
    assert_eq!(names(filter.clone()).await, ["still-meadow-2", "still-meadow-1"]);
    assert_eq!(names(ProjectFilter { limit: 1, ..filter.clone() }).await, ["still-meadow-2"]);
    let latest = store.project(us.0, &second.id).await.expect("read").expect("there");
    let number = u128::try_from(latest.number).expect("positive");
    let after = Some(Cursor { created_at: newer, id: Uuid::from_u128(number) });
    assert_eq!(names(ProjectFilter { after, ..filter.clone() }).await, ["still-meadow-1"]);
    let search = Some("shop still-meadow-1".to_owned());
    assert_eq!(names(ProjectFilter { search, ..filter.clone() }).await, ["still-meadow-1"]);
    let only = Some(first.id.clone());
    assert_eq!(names(ProjectFilter { only, ..filter.clone() }).await, ["still-meadow-1"]);

    let told = json!({ "id": "still-meadow-1", "name": "Store" });
    store.note_project(us.0, ours.id, &first.id, &told).await.expect("stored");
    let found = store.project(us.0, &first.id).await.expect("read").expect("there");
    assert_eq!((found.name.as_str(), &found.body), ("Store", &told));
    // What another remote says of it does not count.
    let elsewhere = json!({ "id": "still-meadow-1", "name": "Elsewhere" });
    store.note_project(us.0, theirs.id, &first.id, &elsewhere).await.expect("no failure");
    store.note_deletion(us.0, theirs.id, &first.id, Some(newer)).await.expect("no failure");
    let same = store.project(us.0, &first.id).await.expect("read").expect("there");
    assert_eq!((same.name.as_str(), same.deleted_at), ("Store", None));
    let unchanged = store.project(them.0, &foreign.id).await.expect("read").expect("there");
    assert_eq!(unchanged.name, foreign.name);

    let refused = store.remove(us.0, ours.id, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(RemoteError::InUse)), "{refused:?}");
    store.note_deletion(us.0, ours.id, &first.id, Some(newer)).await.expect("stored");
    assert_eq!(names(filter.clone()).await, ["still-meadow-2"]);
    let found = store.project(us.0, &first.id).await.expect("read").expect("known still");
    assert_eq!(found.deleted_at, Some(newer));
    store.keep_project(&first, &entry(us.0, at)).await.expect("it is there again");
    assert_eq!(names(filter.clone()).await.len(), 2);
    store.note_deletion(us.0, ours.id, &first.id, Some(newer)).await.expect("stored");
    assert!(
        !store
            .forget_project(them.0, theirs.id, &second.id, &entry(them.0, at))
            .await
            .expect("stored")
    );
    assert!(
        store.forget_project(us.0, ours.id, &second.id, &entry(us.0, at)).await.expect("stored")
    );
    assert_eq!(names(filter).await, Vec::<String>::new());
    let none: ProjectId = second.id;
    assert_eq!(store.project(us.0, &none).await.expect("read"), None);
    store.note(&entry(us.0, at)).await.expect("in the trail");
}

async fn intents(
    store: &dyn RemoteStore,
    (us, ours): ((OrgId, UserId), &Remote),
    (them, theirs): ((OrgId, UserId), &Remote),
    at: Timestamp,
) {
    let make = |(org, by): (OrgId, UserId), remote: &Remote, what| RemoteIntent {
        id: RemoteIntentId::new(at),
        org,
        remote: remote.id,
        what,
        by,
        age: SignedDuration::ZERO,
    };
    let named = make(us, ours, Intended::Made { name: Some("Shop".to_owned()) });
    let unnamed = make(them, theirs, Intended::Made { name: None });
    let project = "still-meadow-1".parse().expect("an id");
    let deleted = make(us, ours, Intended::Changed { project });
    let (over, minute) = (SignedDuration::ZERO, SignedDuration::from_mins(1));
    store.begin(&named, over, &entry(us.0, at)).await.expect("kept");
    store.begin(&unnamed, over, &entry(them.0, at)).await.expect("kept");
    store.begin(&deleted, minute, &entry(us.0, at)).await.expect("kept");
    let not_theirs =
        RemoteIntent { id: RemoteIntentId::new(at), remote: ours.id, ..unnamed.clone() };
    let refused = store.begin(&not_theirs, over, &entry(them.0, at)).await;
    assert!(refused.is_err(), "at somebody else's remote");

    // What nobody looks after, of whichever organization, and each once.
    let first = store.take_intents(1, minute).await.expect("taken");
    assert_eq!(first.len(), 1);
    let second = store.take_intents(10, minute).await.expect("taken");
    let mut taken: Vec<_> = [first, second].concat();
    for it in &mut taken {
        assert!(it.age < minute, "it was begun just now");
        it.age = SignedDuration::ZERO;
    }
    taken.sort_by_key(|it| it.id);
    let mut expected = vec![named.clone(), unnamed.clone()];
    expected.sort_by_key(|it| it.id);
    assert_eq!(taken, expected);
    assert_eq!(store.take_intents(10, minute).await.expect("taken"), []);

    store.end_intent(them.0, named.id).await.expect("nothing of theirs");
    let twice = store.begin(&named, over, &entry(us.0, at)).await;
    assert!(twice.is_err(), "it is still there");
    let again = RemoteIntent { id: RemoteIntentId::new(at), ..named.clone() };
    store.begin(&again, over, &entry(us.0, at)).await.expect("kept");
    store.end_intent(us.0, again.id).await.expect("ended");
    assert_eq!(store.take_intents(10, minute).await.expect("taken"), []);
}
