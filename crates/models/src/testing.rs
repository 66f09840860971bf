//! The contracts that every [`ModelStore`] and every [`UsageStore`] keep; run them against each.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use plinth_connections::Sealed;
use plinth_core::{OrgId, UserId};
use plinth_nl2sql::model::Usage;
use plinth_tenancy::AuditEntry;

use crate::{
    Budget, ModelConfig, ModelId, ModelName, ModelPolicy, ModelRef, ModelStore, Money, Prices,
    Provider, PutModelError, StoredModel, UsageRow, UsageStore,
};

/// A model as a test needs it.
fn model(org: OrgId, user: UserId, name: &str, at: Timestamp) -> StoredModel {
    let config = ModelConfig {
        id: ModelId::new(at),
        org,
        name: ModelName::parse(name).expect("a good name"),
        provider: Provider::Anthropic,
        base_url: "https://models.example.com".to_owned(),
        model: "tiny-1".to_owned(),
        has_key: true,
        ca_certificate: Some("authorities".to_owned()),
        time_limit: Duration::from_secs(20),
        prices: Prices { input: Money::from_nanos(3_000), output: Money::from_nanos(15_000) },
        is_active: true,
        revision: 1,
        created_by: user,
        created_at: at,
        updated_at: at,
    };
    StoredModel { config, key: Some(Sealed { key_version: 1, bytes: vec![1, 2, 3] }) }
}

fn entry(org: OrgId, at: Timestamp) -> AuditEntry {
    AuditEntry::of_plinth(org, at, "test", "model.tested")
}

/// Records and decisions: what is kept comes back, names are unique in an organization, changes build on what was read,
/// and another organization sees and touches nothing.
pub async fn models(store: &dyn ModelStore, two: [(OrgId, UserId); 2], at: Timestamp) {
    let [(ours, ann), (theirs, bob)] = two;
    let since = Date::constant(2026, 1, 1);
    let empty = store.read(ours, since).await.expect("read");
    assert_eq!(empty, crate::OrgModels::default());

    let first = model(ours, ann, "First", at);
    store.insert(&first, &entry(ours, at)).await.expect("kept");
    let again = model(ours, ann, "First", at);
    let taken = store.insert(&again, &entry(ours, at)).await.expect_err("taken");
    assert!(matches!(taken, PutModelError::NameTaken));
    store.insert(&model(theirs, bob, "First", at), &entry(theirs, at)).await.expect("another's");
    assert_eq!(store.read(ours, since).await.expect("read").models, [first.clone()]);

    let mut changed = first.clone();
    changed.config.name = ModelName::parse("Second").expect("good");
    changed.config.has_key = false;
    changed.config.ca_certificate = None;
    changed.config.is_active = false;
    changed.config.revision = 2;
    changed.key = None;
    store.update(&changed, &entry(ours, at)).await.expect("changed");
    assert_eq!(store.read(ours, since).await.expect("read").models, [changed.clone()]);
    let late = store.update(&changed, &entry(ours, at)).await.expect_err("not as it was read");
    assert!(matches!(late, PutModelError::Changed));
    let mut foreign = changed.clone();
    (foreign.config.org, foreign.config.revision) = (theirs, 3);
    let foreign = store.update(&foreign, &entry(theirs, at)).await.expect_err("another's");
    assert!(matches!(foreign, PutModelError::Changed));

    let policy = ModelPolicy {
        default_model: Some(ModelRef::Own(first.config.id)),
        budget: Budget { tokens: Some(5), cost: Some(Money::from_nanos(7)) },
        installation_prices: first.config.prices,
        currency: Some("EUR".to_owned()),
        revision: 1,
    };
    assert!(store.put_policy(ours, &policy, &entry(ours, at)).await.expect("kept"));
    assert!(!store.put_policy(ours, &policy, &entry(ours, at)).await.expect("late"));
    assert_eq!(store.read(ours, since).await.expect("read").policy, policy);
    assert_eq!(store.read(theirs, since).await.expect("read").policy, ModelPolicy::default());

    let id = first.config.id;
    assert!(!store.remove(theirs, id, &entry(theirs, at)).await.expect("another's"));
    assert!(store.remove(ours, id, &entry(ours, at)).await.expect("removed"));
    assert!(!store.remove(ours, id, &entry(ours, at)).await.expect("gone"));
    let left = store.read(ours, since).await.expect("read");
    assert!(left.models.is_empty());
    assert_eq!(left.policy.default_model, None, "what is gone is nobody's default");
    assert_eq!(store.read(theirs, since).await.expect("read").models.len(), 1);
}

/// Sums: what is added adds up, by day and model, for its own organization.
pub async fn usage(store: &dyn UsageStore, models: &dyn ModelStore, two: [(OrgId, UserId); 2]) {
    let [(ours, _), (theirs, _)] = two;
    let row = |day, model, tokens| UsageRow {
        day: Date::constant(2026, 2, day),
        model,
        label: format!("{model}"),
        usage: Usage { calls: 1, prompt_tokens: tokens, completion_tokens: 1 },
        cost: Money::from_nanos(10),
    };
    let rows = [row(1, ModelRef::Installation, 5), row(2, ModelRef::Embedded, 6)];
    store.add(ours, &rows).await.expect("added");
    store.add(ours, &rows[..1]).await.expect("added");
    let (first, last) = (Date::constant(2026, 2, 1), Date::constant(2026, 2, 28));
    let all = store.between(ours, first, last).await.expect("read");
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].usage, Usage { calls: 2, prompt_tokens: 10, completion_tokens: 2 });
    assert_eq!(all[0].cost, Money::from_nanos(20));
    assert_eq!(all[1], rows[1]);
    let tail = store.between(ours, Date::constant(2026, 2, 2), last).await.expect("read");
    assert_eq!(tail, [rows[1].clone()]);
    assert_eq!(models.read(ours, first).await.expect("read").used, all);
    assert!(store.between(theirs, first, last).await.expect("read").is_empty());
}
