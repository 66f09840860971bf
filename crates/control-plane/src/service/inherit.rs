use jiff::Timestamp;
use plinth_connections::Vault;
use uuid::Uuid;

use super::at;
use crate::{BranchId, ControlPlaneError, Database, Point, Role, Tree};

/// Roles and databases of a branch that is made from another, as far as they were there at that point. Each password is
/// sealed anew, for the place where it is kept.
pub(crate) async fn inherit(
    vault: &Vault,
    tree: &Tree,
    from: &BranchId,
    to: &BranchId,
    point: Point,
    now: Timestamp,
) -> Result<(Vec<Role>, Vec<Database>), ControlPlaneError> {
    let was_there = |created: Timestamp| match point {
        Point::Time(at) => created <= at,
        Point::Head | Point::Lsn(_) => true,
    };
    let org = tree.project.org;
    let mut roles = Vec::new();
    let owners: Vec<_> =
        tree.databases_of(from).filter(|it| was_there(it.created_at)).map(|it| &it.owner).collect();
    for role in tree.roles_of(from) {
        if !was_there(role.created_at) && !owners.contains(&&role.name) {
            continue;
        }
        let id = Uuid::new_v4();
        let password = match &role.password {
            Some(sealed) => {
                let password = vault.open(at(org, role.id), sealed).await?;
                Some(vault.seal(at(org, id), &password).await?)
            }
            None => None,
        };
        roles.push(Role { id, branch: to.clone(), password, updated_at: now, ..role.clone() });
    }
    let databases = tree
        .databases_of(from)
        .filter(|it| was_there(it.created_at))
        .map(|it| Database { id: 0, branch: to.clone(), updated_at: now, ..it.clone() })
        .collect();
    Ok((roles, databases))
}
