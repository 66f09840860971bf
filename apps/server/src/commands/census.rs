use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use plinth_control_plane::{Census, ControlPlaneStore};
use plinth_core::StoreError;

/// A node that has not said for so long that it lives does not.
const ALIVE: SignedDuration = SignedDuration::from_secs(15);

/// Tells `/metrics` how many branches, endpoints and operations there are. Every server tells the same numbers, those of the
/// database that all have in common.
pub(super) struct Counted {
    store: Arc<dyn ControlPlaneStore>,
    /// What was told before: what there is no more of is 0, and does not stay as it was.
    told: BTreeSet<(String, String, String)>,
}

impl Counted {
    pub(super) fn new(store: Arc<dyn ControlPlaneStore>) -> Self {
        Self { store, told: BTreeSet::new() }
    }

    /// Counts once.
    pub(super) async fn tick(&mut self) -> Result<(), StoreError> {
        let found = self.store.census().await?;
        let mut gone = std::mem::take(&mut self.told);
        for Census { what, kind, state, many } in found {
            // Whole numbers of this size are exact.
            tell(&what, &kind, &state, i32::try_from(many).unwrap_or(i32::MAX));
            let told = (what, kind, state);
            gone.remove(&told);
            self.told.insert(told);
        }
        let nodes = self.store.nodes(ALIVE).await?;
        for (limits, held) in [("held", true), ("not_held", false)] {
            let many = nodes.iter().filter(|it| it.offers.limits == held).count();
            let many = f64::from(u32::try_from(many).unwrap_or(u32::MAX));
            metrics::gauge!("plinth_nodes", "limits" => limits).set(many);
        }
        for (what, kind, state) in gone {
            tell(&what, &kind, &state, 0);
            self.told.insert((what, kind, state));
        }
        Ok(())
    }
}

fn tell(what: &str, kind: &str, state: &str, many: i32) {
    let (kind, state, many) = (kind.to_owned(), state.to_owned(), f64::from(many));
    match what {
        "branches" => metrics::gauge!("plinth_branches", "state" => state).set(many),
        "endpoints" => {
            metrics::gauge!("plinth_endpoints", "type" => kind, "state" => state).set(many);
        }
        "operations" => {
            metrics::gauge!("plinth_operations", "action" => kind, "status" => state).set(many);
        }
        _ => {}
    }
}
