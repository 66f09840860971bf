use std::error::Error;

use crate::{OrgId, chain};

/// Sweeps one organization after the other by `sweep`, which says how much it swept; gives the sum. What fails for one is
/// logged, and comes again with the next sweep: no other organization's turn depends on it.
pub async fn sweep_each<F, E>(
    what: &'static str,
    organizations: Vec<OrgId>,
    sweep: impl Fn(OrgId) -> F,
) -> u64
where
    F: Future<Output = Result<u64, E>>,
    E: Error,
{
    let mut swept = 0;
    for org in organizations {
        match sweep(org).await {
            Ok(many) => swept += many,
            Err(err) => {
                let error = chain(&err);
                tracing::warn!(org.id = %org, what, error, "an organization was not swept; it comes again");
            }
        }
    }
    swept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreError;
    use uuid::Uuid;

    #[tokio::test]
    async fn what_fails_for_one_organization_keeps_no_other_from_its_turn() {
        let org = |number| OrgId::from_uuid(Uuid::from_u128(number));
        let swept = sweep_each("dust", vec![org(1), org(2), org(3)], |it| async move {
            if it == org(2) { Err(StoreError::Unavailable("away".into())) } else { Ok(5) }
        });
        assert_eq!(swept.await, 10);
    }
}
