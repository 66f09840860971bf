//! The contracts that every [`AccountStore`] and [`AttemptStore`] keeps; run them against each of them.

use jiff::{SignedDuration, Timestamp};
use plinth_core::{OrgId, SessionId, UserId};

use super::{Account, AccountStore, AttemptStore, NewPassword, Reuse, Subject};
use crate::outbox::{Letter, LetterTo, Message};
use crate::password::PasswordHash;
use crate::session::{Presented, RefreshClaim, Session};
use crate::testing::entry;
use crate::{Email, Role};

/// A new session of that person.
pub fn session(user: UserId, org: OrgId, epoch: i32, at: Timestamp) -> Session {
    Session {
        id: SessionId::new(at),
        user,
        epoch,
        app: None,
        scopes: None,
        org: Some(org),
        generation: 0,
        refreshed_at: at,
        device: "a test".to_owned(),
        address: "192.0.2.7".parse().ok(),
        created_at: at,
        last_used_at: at,
        ended_at: None,
    }
}

/// A text in the place of a hash; nobody compares with it.
fn hash(text: &str) -> PasswordHash {
    PasswordHash::from_stored(format!("$argon2id${text}"))
}

fn letter(org: OrgId, at: Timestamp) -> Message {
    let to = LetterTo::Address("ann@example.com".to_owned());
    Message::mail(org, at, &to, &Letter::PasswordChanged { at })
}

/// What every store promises. Ann, with that address, owns the one organization, Bob the other; they have done nothing.
pub async fn account_store_contract(
    store: &dyn AccountStore,
    email: &Email,
    ann: (UserId, OrgId),
    bob: (UserId, OrgId),
    at: Timestamp,
) {
    let (user, org) = ann;
    let account = async || -> Account { store.account(user).await.expect("finds").expect("there") };
    assert_eq!(store.find_user(email).await.expect("finds"), Some(user));
    let nobody = Email::parse("nobody@example.com").expect("good");
    assert_eq!(store.find_user(&nobody).await.expect("answers"), None);
    let stranger = UserId::new(at);
    assert!(store.account(stranger).await.expect("answers").is_none());
    let first = account().await;
    assert_eq!((first.user.id, &first.user.email, first.password), (user, email, None));
    let [belongs] = first.memberships.as_slice() else { panic!("one membership") };
    assert_eq!((belongs.org, &belongs.role), (org, &Role::Owner.into()));

    assert!(store.set_first_password(user, &hash("first"), at).await.expect("kept"));
    assert!(!store.set_first_password(user, &hash("other"), at).await.expect("answers"), "once");
    store.rehash(user, &hash("other"), &hash("stray")).await.expect("answers");
    assert_eq!(account().await.password, Some(hash("first")), "rehashed from what it was only");
    store.rehash(user, &hash("first"), &hash("again")).await.expect("kept");
    assert_eq!(account().await.password, Some(hash("again")));

    sessions(store, ann, bob, at).await;
    passwords(store, ann, at).await;
}

async fn sessions(
    store: &dyn AccountStore,
    (user, org): (UserId, OrgId),
    bob: (UserId, OrgId),
    at: Timestamp,
) {
    let later = at + SignedDuration::from_secs(60);
    let ours = session(user, org, 0, at);
    store.insert_session(&ours, Some(&entry(org, at))).await.expect("kept");
    let theirs = session(bob.0, bob.1, 0, at);
    store.insert_session(&theirs, None).await.expect("kept");
    let live = store.find_session(user, ours.id).await.expect("finds").expect("there");
    assert_eq!((&live.session, live.epoch, live.memberships.len()), (&ours, 0, 1));
    assert!(store.find_session(user, theirs.id).await.expect("answers").is_none(), "another's");
    assert_eq!(
        store.list_sessions(user).await.expect("lists"),
        std::slice::from_ref(&ours),
        "own ones only"
    );

    let address = "192.0.2.8".parse().ok();
    store.touch_session(user, ours.id, later, address, Some(org)).await.expect("noted");
    store.touch_session(user, theirs.id, later, address, None).await.expect("answers");
    let touched = store.find_session(user, ours.id).await.expect("finds").expect("there").session;
    assert_eq!((touched.last_used_at, touched.address), (later, address));
    let untouched = store.find_session(bob.0, theirs.id).await.expect("finds").expect("there");
    assert_eq!(untouched.session, theirs);
    let account = store.account(user).await.expect("finds").expect("there");
    assert_eq!(account.home, Some(org));

    let claim = |generation| RefreshClaim { user, session: ours.id, generation };
    let reuse = Reuse { entry: entry(org, later), letter: letter(org, later) };
    let refresh = async |generation| {
        store.refresh_session(&claim(generation), later, None, Some(&reuse)).await.expect("answers")
    };
    let (exchanged, presented) = refresh(0).await.expect("there");
    assert_eq!((exchanged.generation, presented), (1, Presented::Newest));
    let (same, presented) = refresh(0).await.expect("there");
    assert_eq!((same.generation, presented), (1, Presented::Again));
    assert_eq!(refresh(1).await.expect("there").0.generation, 2);
    let (ended, presented) = refresh(0).await.expect("there");
    assert_eq!((ended.ended_at, presented), (Some(later), Presented::Reused));
    assert_eq!(refresh(2).await.expect("there").1, Presented::Ended);
    let strange = RefreshClaim { session: theirs.id, ..claim(0) };
    let found = store.refresh_session(&strange, later, None, None).await.expect("answers");
    assert!(found.is_none(), "another's");

    assert!(!store.end_session(user, theirs.id, later, None).await.expect("answers"));
    assert!(!store.end_session(user, ours.id, later, None).await.expect("answers"), "it has ended");
    let next = session(user, org, 0, later);
    store.insert_session(&next, None).await.expect("kept");
    let ended = store.end_session(user, next.id, later, Some(&entry(org, later))).await;
    assert!(ended.expect("answers"));
    let untouched = store.find_session(bob.0, theirs.id).await.expect("finds").expect("there");
    assert!(untouched.session.is_good(untouched.epoch, later));
}

async fn passwords(store: &dyn AccountStore, (user, org): (UserId, OrgId), at: Timestamp) {
    let good = async |id: SessionId| {
        let live = store.find_session(user, id).await.expect("finds").expect("there");
        live.session.is_good(live.epoch, at)
    };
    let (here, there) = (session(user, org, 0, at), session(user, org, 0, at));
    for it in [&here, &there] {
        store.insert_session(it, None).await.expect("kept");
    }
    let new =
        NewPassword { user, hash: hash("new"), at, epoch: 0, reset: None, keep: Some(here.id) };
    let stale = NewPassword { epoch: 7, ..new.clone() };
    assert!(!store.set_password(&stale, None, None).await.expect("answers"));
    assert!(good(there.id).await, "nothing has changed");
    let (left, told) = (entry(org, at), letter(org, at));
    assert!(store.set_password(&new, Some(&left), Some(&told)).await.expect("kept"));
    assert!(good(here.id).await && !good(there.id).await);
    assert!(!store.set_password(&new, None, None).await.expect("answers"), "of an older epoch");
    // Who signed in with the old password in this very moment has an older epoch.
    let late = session(user, org, 0, at);
    store.insert_session(&late, None).await.expect("kept");
    assert!(!good(late.id).await);

    let expires_at = at + SignedDuration::from_hours(1);
    let send = |_| Some(letter(org, at));
    let left = entry(org, at);
    let one = store.start_reset(user, expires_at, &send, Some(&left)).await.expect("counted");
    let two = store.start_reset(user, expires_at, &|_| None, None).await.expect("counted");
    assert_eq!(two, one + 1);
    let account = store.account(user).await.expect("finds").expect("there");
    assert_eq!((account.reset, account.epoch), ((two, Some(expires_at)), 1));
    let by_link = |number, at| NewPassword {
        hash: hash("by link"),
        at,
        epoch: 1,
        reset: Some(number),
        keep: None,
        ..new.clone()
    };
    for (number, at, why) in [(one, at, "an older link"), (two, expires_at, "too late")] {
        assert!(
            !store.set_password(&by_link(number, at), None, None).await.expect("answers"),
            "{why}"
        );
    }
    assert!(store.set_password(&by_link(two, at), None, None).await.expect("kept"));
    let again = NewPassword { epoch: 2, ..by_link(two, at) };
    assert!(!store.set_password(&again, None, None).await.expect("answers"), "it was used");
    assert!(!good(here.id).await, "a link keeps none");

    let last = session(user, org, 2, at);
    store.insert_session(&last, None).await.expect("kept");
    assert!(good(last.id).await);
    store.end_sessions(user, at, Some(&entry(org, at))).await.expect("ended");
    assert!(!good(last.id).await);
    store.note(&entry(org, at)).await.expect("written");
}

/// What every store of counts promises. It is empty.
pub async fn attempt_store_contract(store: &dyn AttemptStore, at: Timestamp) {
    let window = SignedDuration::from_mins(15);
    let subject = |byte, limit| Subject { hash: [byte; 32], limit };
    let both = [subject(2, 2), subject(1, 4)];
    let begin =
        async |subjects: &[Subject], at| store.begin(subjects, at, window).await.expect("counts");
    assert_eq!(begin(&both, at).await, None);
    assert_eq!(begin(&both, at).await, None);
    let later = at + SignedDuration::from_secs(10);
    let refused = begin(&both, later).await.expect("one too many");
    assert_eq!((refused.until, refused.is_first), (at + window, true));
    assert!(!begin(&both, later).await.expect("still").is_first);
    // The second has had four by now, and the fifth is its own.
    assert!(begin(&both[1..], later).await.expect("one too many").is_first);

    assert_eq!(begin(&both, at + window).await, None, "a new count");
    store.succeeded(&both).await.expect("taken back");
    for _ in 0..2 {
        assert_eq!(begin(&both, at + window).await, None, "the first was forgotten");
    }
    store.sweep(at + window).await.expect("swept");
    assert!(begin(&both[..1], at + window).await.is_some(), "a count that goes on is kept");
    store.sweep(at + window + SignedDuration::from_secs(1)).await.expect("swept");
    assert_eq!(begin(&both[..1], at + window).await, None);
}
