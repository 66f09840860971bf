use std::fs;
use std::path::Path;

use super::{Cluster, check_user};
use crate::error::{ClusterError, IoContext as _};
use crate::folder::{Folder, State, random_hex, sync_folder};
use crate::initialize::{draft, remove_drafts};
use crate::run_user::RunUser;

impl Cluster {
    /// Makes a cluster whose data comes from elsewhere: `fill` puts it into an empty directory, which becomes the
    /// cluster's data directory only when it returns. With what is in it already, nothing is done, and `false` returned.
    ///
    /// The cluster gets a name and a password file of its own; that its superuser has that password is the caller's to
    /// see to. After an error, or a kill at any moment, the next call begins anew.
    ///
    /// # Errors
    ///
    /// As for [`Cluster::open`], and what `fill` fails with.
    pub async fn receive<E: From<ClusterError>>(
        home: &Path,
        user: RunUser,
        fill: impl AsyncFnOnce(&Path) -> Result<(), E>,
    ) -> Result<bool, E> {
        let folder = Folder::create(home)?;
        let _lock = folder.lock()?;
        check_user(&folder, user, folder.data_owner()?)?;
        if folder.data().exists() {
            return Ok(false);
        }
        remove_drafts(&folder)?;
        folder.keep_password(&random_hex::<24>().map_err(ClusterError::from)?.into())?;
        let id = format!("plinth-{}", random_hex::<8>().map_err(ClusterError::from)?);
        folder.keep_state(&State { id, port: None })?;
        folder.ensure_certificate(user)?;
        let data = draft(&folder, user)?;
        fill(&data.0).await?;
        fs::rename(&data.0, folder.data()).context("rename", &data.0)?;
        sync_folder(folder.home()).context("flush", folder.home())?;
        Ok(true)
    }
}
