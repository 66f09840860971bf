use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::civil::Date;
use plinth_core::{OrgId, StoreError};
use plinth_nl2sql::model::Usage;

use crate::{ModelRef, Money, Prices, Spending, UsageRow, UsageStore};

/// Which sum a use goes to.
type Sum = (Date, ModelRef);

#[derive(Clone, Default)]
struct Used {
    label: String,
    usage: Usage,
    cost: Money,
}

/// What was used and is not written yet.
///
/// Requests only add to sums in memory; one writer a server adds those to the database's, a row for each organization, day
/// and model, so that no request waits for another's lock. What a server that is killed had not written is lost: a second's
/// worth.
pub(crate) struct Ledger {
    store: Arc<dyn UsageStore>,
    waiting: Mutex<HashMap<OrgId, HashMap<Sum, Used>>>,
    /// One writes at a time: what it has written it takes off afterwards.
    writing: tokio::sync::Mutex<()>,
}

impl Ledger {
    pub(crate) fn new(store: Arc<dyn UsageStore>) -> Self {
        Self { store, waiting: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    /// Adds a use.
    pub(crate) fn note(
        &self,
        org: OrgId,
        (day, model): Sum,
        label: &str,
        usage: Usage,
        prices: &Prices,
    ) {
        if usage == Usage::default() {
            return;
        }
        let mut waiting = self.waiting.lock().expect("not poisoned");
        let sum = waiting.entry(org).or_default().entry((day, model)).or_default();
        label.clone_into(&mut sum.label);
        sum.usage += usage;
        sum.cost = sum.cost.plus(prices.cost(usage));
    }

    /// What waits of an organization, from `since` on.
    pub(crate) fn waiting(&self, org: OrgId, since: Date) -> Spending {
        let waiting = self.waiting.lock().expect("not poisoned");
        let mut all = Spending::default();
        for ((day, _), used) in waiting.get(&org).into_iter().flatten() {
            if *day >= since {
                all.tokens += used.usage.prompt_tokens + used.usage.completion_tokens;
                all.cost = all.cost.plus(used.cost);
            }
        }
        all
    }

    /// Writes what waits; what cannot be written goes on waiting. `written` is told whose sums have grown, while what was
    /// written is still counted here: for a moment twice, never not at all.
    pub(crate) async fn flush(&self, written: impl Fn(OrgId)) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let orgs: Vec<OrgId> = self.waiting.lock().expect("not poisoned").keys().copied().collect();
        let mut outcome = Ok(());
        for org in orgs {
            let sums = {
                let waiting = self.waiting.lock().expect("not poisoned");
                waiting.get(&org).cloned().unwrap_or_default()
            };
            let mut rows: Vec<UsageRow> = sums
                .iter()
                .map(|((day, model), it)| UsageRow {
                    day: *day,
                    model: *model,
                    label: it.label.clone(),
                    usage: it.usage,
                    cost: it.cost,
                })
                .collect();
            // In one order everywhere: two servers never wait for each other in a circle.
            rows.sort_by_key(|it| (it.day, it.model));
            match self.store.add(org, &rows).await {
                Ok(()) => {
                    written(org);
                    self.take_off(org, &sums);
                }
                // One organization's trouble is not the others'.
                Err(err) => outcome = Err(err),
            }
        }
        outcome
    }

    /// What was written waits no longer; what came meanwhile does.
    fn take_off(&self, org: OrgId, written: &HashMap<Sum, Used>) {
        let mut waiting = self.waiting.lock().expect("not poisoned");
        let Some(sums) = waiting.get_mut(&org) else { return };
        for (sum, it) in written {
            let Some(left) = sums.get_mut(sum) else { continue };
            if left.usage == it.usage {
                sums.remove(sum);
                continue;
            }
            left.usage.calls -= it.usage.calls;
            left.usage.prompt_tokens -= it.usage.prompt_tokens;
            left.usage.completion_tokens -= it.usage.completion_tokens;
            left.cost = Money::from_nanos(left.cost.nanos() - it.cost.nanos());
        }
        if sums.is_empty() {
            waiting.remove(&org);
        }
    }
}
