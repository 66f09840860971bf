//! The contract of [`AlertStore`].

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Limit, OrgId, UserId};
use plinth_queries::QueryId;
use plinth_tenancy::Email;
use plinth_tenancy::outbox::Letter;
use plinth_tenancy::testing::entry;
use serde_json::json;

use super::{
    Alert, AlertError, AlertId, AlertState, AlertStore, Conclusion, Episode, Evaluation,
    EvaluationId, Mute, Notice, Standing, Told, Whom,
};
use crate::condition::Verdict;
use crate::result::Glance;

fn alert((org, owner): (OrgId, UserId), name: &str, at: Timestamp) -> Alert {
    Alert {
        id: AlertId::new(at),
        org,
        name: name.to_owned(),
        description: String::new(),
        owner,
        query: QueryId::new(at),
        query_version: Some(2),
        parameters: json!({ "of": 3 }).as_object().expect("an object").clone(),
        condition: json!({ "type": "has_rows" }),
        schedule: json!({ "every": "hour" }),
        notify: json!({}),
        rearm_seconds: Some(600),
        enabled: true,
        mute: Some(Mute::Until(at)),
        paused: None,
        standing: Standing::new(at),
        due_at: Some(at),
        tried: 0,
        fence: 0,
        revision: 1,
        created_at: at,
        updated_at: at,
    }
}

fn conclusion(owner: UserId, at: Timestamp) -> Conclusion {
    let episode = Some(Episode { since: at, told_at: Some(at) });
    let standing =
        Standing { state: AlertState::Triggered, since: at, episode, trouble_told: false };
    let letter = |again| Letter::AlertTriggered {
        alert: "late".to_owned(),
        found: "3 rows".to_owned(),
        since: at,
        again,
    };
    Conclusion {
        name: "late".to_owned(),
        episode_before: None,
        standing,
        evaluation: Some(Evaluation {
            id: EvaluationId::new(at),
            owner: Some(owner),
            state: AlertState::Triggered,
            verdict: Some(Verdict::Met),
            glance: Some(Glance {
                columns: vec!["n".to_owned()],
                first: Some(vec![json!(3)]),
                row_count: 3,
                decimals: vec![Some(2)],
            }),
            error: None,
            query: Some(QueryId::new(at)),
            notice: Some(Notice::Triggered),
            tries: 1,
            started_at: at,
            ended_at: at,
        }),
        due_at: Some(at + SignedDuration::from_hours(1)),
        pause: None,
        told: vec![
            Told { to: Whom::Owner, letter: letter(false) },
            Told {
                to: Whom::Address(Email::parse("cy@example.com").expect("good")),
                letter: letter(true),
            },
        ],
        at,
    }
}

/// What is kept of alerts, and what workers rely on. `pass` moves the database's clock, which stands at `at`; `letters`
/// gives to whom letters go.
///
/// # Panics
///
/// If the contract is broken.
pub async fn alert_store_contract(
    store: &dyn AlertStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
    pass: impl Fn(SignedDuration),
    letters: impl AsyncFn() -> Vec<String>,
) {
    let lease = Duration::from_secs(3);
    let ours = alert(us, "late", at);
    store.insert(&ours, 2, &entry(us.0, at)).await.expect("kept");
    assert_eq!(store.find(us.0, ours.id).await.expect("read"), Some(ours.clone()));
    assert_eq!(store.find(them.0, ours.id).await.expect("read"), None);
    let same = Alert { id: AlertId::new(at), ..ours.clone() };
    let refused = store.insert(&same, 2, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(AlertError::NameTaken(_))));
    let refused = store.insert(&same, 1, &entry(us.0, at)).await;
    assert!(matches!(refused, Err(AlertError::TooMany(1))));
    let theirs = alert(them, "late", at);
    store.insert(&theirs, 2, &entry(them.0, at)).await.expect("kept");
    assert_eq!(store.list(us.0, None, Limit::ONE).await.expect("read"), [ours.clone()]);

    // Each is taken by one; a lease that is over makes it free, and the older number says nothing any more.
    let taken = store.take(5, 5, lease).await.expect("taken");
    let ids: BTreeSet<_> = taken.iter().map(|it| it.id).collect();
    assert_eq!(ids, [ours.id, theirs.id].into());
    assert!(store.take(5, 5, lease).await.expect("taken").is_empty());
    let first = taken.iter().find(|it| it.id == ours.id).expect("there").fence;
    pass(SignedDuration::from_secs(2));
    assert!(store.keep(us.0, ours.id, first, lease).await.expect("kept"));
    assert!(!store.keep(them.0, ours.id, first, lease).await.expect("kept"));
    pass(SignedDuration::from_secs(2));
    let again = store.take(5, 5, lease).await.expect("taken");
    assert_eq!(again.iter().map(|it| it.id).collect::<Vec<_>>(), [theirs.id], "ours was kept");
    pass(SignedDuration::from_secs(2));
    let second = store.take(5, 5, lease).await.expect("taken").remove(0);
    assert_eq!(second.id, ours.id);
    assert!(!store.keep(us.0, ours.id, first, lease).await.expect("kept"));
    assert!(!store.conclude(us.0, ours.id, first, &conclusion(us.1, at)).await.expect("written"));
    assert!(letters().await.is_empty());

    // What failed for now is due again, and counted.
    let pause = Duration::from_secs(20);
    assert!(store.again(us.0, ours.id, second.fence, pause).await.expect("written"));
    assert!(!store.take(5, 5, lease).await.expect("taken").iter().any(|it| it.id == ours.id));
    pass(SignedDuration::from_secs(21));
    let all = store.take(5, 5, lease).await.expect("taken");
    let third = all.into_iter().find(|it| it.id == ours.id).expect("due");
    assert_eq!(third.tried, 1);

    // What came of it is written with what is told.
    let conclusion = conclusion(us.1, at);
    assert!(!store.conclude(them.0, ours.id, third.fence, &conclusion).await.expect("written"));
    assert!(store.conclude(us.0, ours.id, third.fence, &conclusion).await.expect("written"));
    let mut told = letters().await;
    told.sort();
    assert_eq!(told, ["ann@example.com", "cy@example.com"]);
    let stands = store.find(us.0, ours.id).await.expect("read").expect("there");
    assert_eq!((stands.standing, stands.due_at), (conclusion.standing, conclusion.due_at));
    assert_eq!(stands.tried, 0);
    let kept = store.evaluations(us.0, ours.id, None, Limit::default()).await.expect("read");
    assert_eq!(Some(&kept[0]), conclusion.evaluation.as_ref());
    let others = store.evaluations(them.0, ours.id, None, Limit::default()).await.expect("read");
    assert!(others.is_empty());
    let glances = store.glances(us.0, ours.id, us.1, 3).await.expect("read");
    assert_eq!(glances[0]["query"].first("n"), Some(&json!(3)));
    let others = store.glances(us.0, ours.id, them.1, 3).await.expect("read");
    assert!(others.is_empty(), "nobody looks back at what another found");

    // A change takes it from whoever has it.
    pass(SignedDuration::from_hours(2));
    let held = store.take(5, 5, lease).await.expect("taken");
    let held = held.into_iter().find(|it| it.id == ours.id).expect("due");
    let mut rename = |it: &mut Alert| {
        "later".clone_into(&mut it.name);
        it.revision += 1;
        Ok(Some(entry(us.0, at)))
    };
    let changed = store.change(us.0, ours.id, &mut rename).await.expect("stored").expect("there");
    assert_eq!((changed.name.as_str(), changed.revision), ("later", 2));
    assert!(!store.keep(us.0, ours.id, held.fence, lease).await.expect("kept"));
    let nothing = store.change(them.0, ours.id, &mut |_| Ok(None)).await.expect("stored");
    assert!(nothing.is_none());

    // Many of one make nobody else wait.
    for number in 0..20 {
        let one = alert(us, &format!("alert {number}"), at);
        store.insert(&one, 100, &entry(us.0, at)).await.expect("kept");
    }
    pass(SignedDuration::from_secs(4));
    let round = store.take(4, 3, lease).await.expect("taken");
    assert!(round.iter().any(|it| it.id == theirs.id));
    assert_eq!(round.iter().filter(|it| it.org == us.0).count(), 3);

    assert_eq!(store.sweep(them.0, SignedDuration::ZERO, 0).await.expect("swept"), 0);
    assert_eq!(store.sweep(us.0, SignedDuration::from_hours(9), 0).await.expect("swept"), 1);
    assert!(!store.remove(them.0, ours.id, None, &entry(them.0, at)).await.expect("stored"));
    let refused = store.remove(us.0, ours.id, Some(&[0, 99]), &entry(us.0, at)).await;
    assert!(matches!(refused, Err(AlertError::Changed)), "{refused:?}");
    assert!(store.remove(us.0, ours.id, None, &entry(us.0, at)).await.expect("stored"));
    assert!(store.find(us.0, ours.id).await.expect("read").is_none());
}
