//! The contract of [`EventStore`].

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Limit, OrgId, UserId};
use plinth_tenancy::testing::entry;

use super::{
    Backlog, Delivery, DeliveryId, DeliveryState, EventError, EventKind, EventStore, Failing,
    HappenedId, Next, SendLimits, Subscription, SubscriptionId, Try,
};

fn subscription((org, by): (OrgId, UserId), at: Timestamp) -> Subscription {
    Subscription {
        id: SubscriptionId::new(at),
        org,
        url: "https://events.example.com/plinth".to_owned(),
        description: String::new(),
        kinds: vec![EventKind::MemberAdded, EventKind::SchemaChanged],
        enabled: true,
        ended_why: None,
        secret_number: 1,
        previous_until: None,
        failing: None,
        by,
        revision: 1,
        created_at: at,
        updated_at: at,
    }
}

fn delivery(to: SubscriptionId, at: Timestamp) -> Delivery {
    Delivery {
        id: DeliveryId::new(at),
        subscription: to,
        happened: HappenedId::new(at),
        kind: EventKind::Ping,
        body: "{ \"type\": \"ping\" }".to_owned(),
        state: DeliveryState::Waiting,
        tries: 0,
        due_at: Some(at),
        created_at: at,
        ended_at: None,
    }
}

fn tried(number: i32, at: Timestamp) -> Try {
    let error = Some("nobody was there".to_owned());
    Try { number, status: None, response: None, error, duration_ms: 3, at }
}

/// What is kept of subscriptions, and what senders rely on. `pass` moves the database's clock, which stands at `at`.
///
/// # Panics
///
/// If the contract is broken.
pub async fn event_store_contract(
    store: &dyn EventStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
    pass: impl Fn(SignedDuration),
) {
    let lease = Duration::from_mins(1);
    let (ours, theirs) = (subscription(us, at), subscription(them, at));
    store.insert(&ours, 1, &entry(us.0, at)).await.expect("kept");
    let more = subscription(us, at);
    let refused = store.insert(&more, 1, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(EventError::TooMany(1))));
    store.insert(&theirs, 1, &entry(them.0, at)).await.expect("kept");
    assert_eq!(store.find(us.0, ours.id).await.expect("read"), Some(ours.clone()));
    assert_eq!(store.find(them.0, ours.id).await.expect("read"), None);
    assert_eq!(store.list(us.0, None, Limit::ONE).await.expect("read"), [ours.clone()]);

    // Whatever waits for one makes no other wait, and each is taken by one.
    for _ in 0..9 {
        store.put(us.0, &delivery(ours.id, at), &entry(us.0, at)).await.expect("kept");
    }
    let one = delivery(theirs.id, at);
    store.put(them.0, &one, &entry(them.0, at)).await.expect("kept");
    let limits = |most, per_subscription, per_org| SendLimits { most, per_subscription, per_org };
    let all = limits(50, 50, 50);
    let taken = store.take(limits(50, 4, 8), lease).await.expect("taken");
    assert_eq!(taken.len(), 5, "four of ours, and theirs");
    let found = taken.iter().find(|it| it.delivery.id == one.id).expect("it has its turn");
    assert_eq!((found.delivery.tries, &found.delivery.body), (1, &one.body));
    let none = store.take(limits(50, 4, 8), lease).await.expect("taken");
    assert!(none.is_empty(), "those under way fill the subscription's places");
    let two = store.take(limits(50, 50, 6), lease).await.expect("taken");
    assert_eq!(two.len(), 2, "and the organization's");
    let again = [two, store.take(all, lease).await.expect("taken")].concat();
    let ids: BTreeSet<_> = taken.iter().chain(&again).map(|it| it.delivery.id).collect();
    assert_eq!((again.len(), ids.len()), (5, 10));

    // A lease that is over makes it free; what the older worker says then is not written.
    pass(SignedDuration::from_secs(61));
    let second = store.take(all, lease).await.expect("taken");
    assert_eq!(second.len(), 10);
    let late = store.conclude(them.0, one.id, &tried(1, at), &Next::Delivered).await;
    assert!(!late.expect("written"));
    let other = store.conclude(us.0, one.id, &tried(2, at), &Next::Delivered).await;
    assert!(!other.expect("written"), "another organization's");
    let pause = Next::Again(SignedDuration::from_secs(30));
    assert!(store.conclude(them.0, one.id, &tried(2, at), &pause).await.expect("written"));
    assert!(store.take(all, lease).await.expect("taken").is_empty());
    pass(SignedDuration::from_secs(31));
    let third = store.take(all, lease).await.expect("taken");
    assert_eq!(third.iter().map(|it| it.delivery.id).collect::<Vec<_>>(), [one.id]);
    assert!(
        store.conclude(them.0, one.id, &tried(3, at), &Next::Delivered).await.expect("written")
    );
    let (kept, tries) = store.delivery(them.0, one.id).await.expect("read").expect("there");
    assert_eq!((kept.state, kept.due_at), (DeliveryState::Delivered, None));
    assert_eq!(tries, [tried(2, at), tried(3, at)]);
    assert!(store.delivery(us.0, one.id).await.expect("read").is_none());

    // A receiver that wants no more gets no more.
    let first = second.iter().find(|it| it.subscription.id == ours.id).expect("there").delivery.id;
    let ended = Next::Ended("it wants no more");
    assert!(store.conclude(us.0, first, &tried(2, at), &ended).await.expect("written"));
    let disabled = store.find(us.0, ours.id).await.expect("read").expect("there");
    assert_eq!(
        (disabled.enabled, disabled.ended_why.as_deref()),
        (false, Some("it wants no more"))
    );
    pass(SignedDuration::from_mins(5));
    assert!(store.take(all, lease).await.expect("taken").is_empty());
    let mut enable = |it: &mut Subscription| {
        it.enabled = true;
        it.ended_why = None;
        it.secret_number += 1;
        Ok(entry(us.0, at))
    };
    let changed = store.change(us.0, ours.id, &mut enable).await.expect("stored").expect("there");
    assert_eq!((changed.enabled, changed.secret_number), (true, 2));
    let nothing = store.change(them.0, ours.id, &mut |_| Ok(entry(them.0, at))).await;
    assert!(nothing.expect("stored").is_none());
    assert_eq!(store.take(all, lease).await.expect("taken").len(), 8);

    let listed = store.deliveries(us.0, ours.id, None, Limit::default()).await.expect("read");
    assert_eq!(listed.len(), 9);
    assert!(
        store.deliveries(them.0, ours.id, None, Limit::default()).await.expect("read").is_empty()
    );
    // Of the eight that wait still, which are tried just now, none goes.
    assert_eq!(store.sweep(us.0, SignedDuration::from_hours(1)).await.expect("swept"), 0);
    assert_eq!(store.sweep(us.0, SignedDuration::from_mins(1)).await.expect("swept"), 1);

    // What waits for too long is given up, and what is too much, the oldest first; what is being tried is left.
    let limits = |age, count| Backlog { age, too_old: "too old", count, too_many: "too many" };
    let day = SignedDuration::from_hours(24);
    let none = store.give_up(us.0, &limits(SignedDuration::ZERO, 0)).await.expect("done");
    assert_eq!(none, 0, "all are tried just now");
    pass(SignedDuration::from_mins(2));
    let later = at + SignedDuration::from_mins(5);
    let newest = delivery(ours.id, later);
    store.put(us.0, &newest, &entry(us.0, later)).await.expect("kept");
    assert_eq!(store.waiting().await.expect("read"), [us.0]);
    assert_eq!(store.give_up(them.0, &limits(SignedDuration::ZERO, 0)).await.expect("done"), 0);
    assert_eq!(store.give_up(us.0, &limits(day, 9)).await.expect("done"), 0);
    assert_eq!(store.give_up(us.0, &limits(day, 3)).await.expect("done"), 6);
    assert_eq!(
        store.give_up(us.0, &limits(SignedDuration::from_mins(6), 3)).await.expect("done"),
        2
    );
    let (kept, tries) = store.delivery(us.0, newest.id).await.expect("read").expect("there");
    assert_eq!((kept.state, tries.len()), (DeliveryState::Waiting, 0));
    let listed = store.deliveries(us.0, ours.id, None, Limit::default()).await.expect("read");
    let mut reasons = Vec::new();
    for it in listed.iter().filter(|it| it.state == DeliveryState::Failed) {
        let (kept, tries) = store.delivery(us.0, it.id).await.expect("read").expect("there");
        let last = tries.last().expect("there is a reason");
        assert_eq!((kept.due_at, last.number), (None, kept.tries));
        reasons.extend(last.error.clone());
    }
    reasons.sort();
    assert_eq!(reasons, [vec!["too many"; 6], vec!["too old"; 2]].concat());

    // How often a receiver took nothing is counted until it takes something, and then what else waits is due in its order.
    pass(SignedDuration::from_hours(1));
    let failing = async || store.find(us.0, ours.id).await.expect("read").expect("there").failing;
    let before = failing().await;
    let first = store.take(all, lease).await.expect("taken").remove(0).delivery;
    let hours = Next::Again(SignedDuration::from_hours(6));
    let stale = store.conclude(us.0, first.id, &tried(first.tries + 1, later), &hours).await;
    assert!(!stale.expect("written"));
    assert_eq!(failing().await, before);
    assert!(store.conclude(us.0, first.id, &tried(1, later), &hours).await.expect("written"));
    let after = failing().await.expect("it is noted");
    assert_eq!(after.tries, before.map_or(0, |it| it.tries) + 1);
    assert!(before.is_none_or(|it| it.since == after.since));
    for next in [Next::Delivered, hours.clone(), Next::Back] {
        let other = delivery(ours.id, later);
        store.put(us.0, &other, &entry(us.0, later)).await.expect("kept");
        let taken = store.take(all, lease).await.expect("taken");
        assert_eq!(taken.iter().map(|it| it.delivery.id).collect::<Vec<_>>(), [other.id]);
        assert!(store.conclude(us.0, other.id, &tried(1, later), &next).await.expect("written"));
        let counted: Option<Failing> = failing().await;
        assert_eq!(counted.map(|it| it.tries), (next == hours).then_some(1));
    }
    assert_eq!(store.take(all, lease).await.expect("taken").len(), 2, "both are due at once");
    assert!(!store.remove(them.0, ours.id, None, &entry(them.0, at)).await.expect("stored"));
    let refused = store.remove(us.0, ours.id, Some(&[0, 99]), &entry(us.0, at)).await;
    assert!(matches!(refused, Err(EventError::Changed)), "{refused:?}");
    assert!(store.remove(us.0, ours.id, None, &entry(us.0, at)).await.expect("stored"));
}
