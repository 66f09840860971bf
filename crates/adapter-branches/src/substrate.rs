use std::fs;
use std::path::Path;

use async_trait::async_trait;
use plinth_control_plane::{
    BranchId, BranchPlace, EndpointEvent, EndpointKind, EndpointPlace, Inquiry, Made, NodeOffers,
    Person, Point, ProjectId, Substrate, SubstrateError, Used, Wanted, WantedDatabase,
};
use plinth_local_postgres::{Cluster, ClusterSettings};

use crate::LocalBranches;
use crate::cell::{Cell, failed, keep_inherited};
use crate::copy::{self, Source};
use crate::front::Front;
use crate::history::{self, Failed, io_failed, there_already};
use crate::node::Inner;
use crate::roles::configure;
use crate::{pooler, standby};

#[async_trait]
impl Substrate for LocalBranches {
    async fn make_root(&self, branch: &BranchPlace) -> Result<Made, SubstrateError> {
        let inner = &*self.inner;
        let (home, user) = (inner.home(branch), inner.user(branch));
        let template = template(inner).await?;
        history::prepare(inner, branch)?;
        let mut made = None;
        let filled = Cluster::receive(&home, user, async |draft: &Path| {
            keep_inherited(&home, &template)?;
            history::archive(&home, user)?;
            let (from, to) = (template.join("data"), draft.to_owned());
            let work = move || copy::data_directory(&from, &to, Source::AtRest, user);
            let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)??;
            let size_bytes = i64::try_from(done.bytes).unwrap_or(i64::MAX);
            made = Some(Made { storage: done.method, size_bytes, lsn: None, at: None });
            Ok::<_, Failed>(())
        });
        filled.await.map_err(|it| it.0)?;
        let made = made.unwrap_or_else(|| there_already(&home));
        history::first_base(inner, branch, made.storage).await?;
        Ok(made)
    }

    async fn copy(
        &self,
        source: &BranchPlace,
        point: Point,
        branch: &BranchPlace,
    ) -> Result<Made, SubstrateError> {
        history::make(&self.inner, source, point, branch).await
    }

    async fn copy_schema(
        &self,
        source: &BranchPlace,
        branch: &BranchPlace,
        databases: &[WantedDatabase],
    ) -> Result<(), SubstrateError> {
        crate::schema::copy(&self.inner, source, branch, databases).await
    }

    async fn snapshot(
        &self,
        source: &BranchPlace,
        point: Point,
        snapshot: &BranchPlace,
    ) -> Result<Made, SubstrateError> {
        history::make_at_rest(&self.inner, source, point, snapshot).await
    }

    async fn replace(
        &self,
        branch: &BranchPlace,
        source: &BranchPlace,
        point: Point,
        preserve: Option<&BranchPlace>,
    ) -> Result<Made, SubstrateError> {
        let inner = &*self.inner;
        let next = beside(branch, "next")?;
        let old = beside(branch, "old")?;
        let (home, next_home) = (inner.home(branch), inner.home(&next));
        let kept = preserve.map_or_else(|| inner.home(&old), |it| inner.home(it));
        // Cut off at the very end: everything is in its place.
        if preserve.is_some() && kept.exists() && home.exists() && !next_home.exists() {
            return Ok(there_already(&home));
        }
        let made = if home.exists() {
            history::make(inner, source, point, &next).await?
        } else {
            there_already(&next_home)
        };
        let cell = inner.cell(branch);
        cell.adopt(inner, branch).await?;
        let mut held = cell.hold().await;
        // What followed it has another past than what comes.
        standby::remove_all(inner, branch).await?;
        cell.stop(inner, &mut held).await?;
        let swap = || {
            if home.exists() {
                if preserve.is_none() {
                    let _ = fs::remove_dir_all(&kept);
                }
                fs::rename(&home, &kept)?;
            }
            fs::rename(&next_home, &home)
        };
        swap().map_err(|err| io_failed(&err))?;
        drop(held);
        inner.forget(&next.branch);
        if preserve.is_none() {
            gone(kept).await?;
        }
        Ok(made)
    }

    async fn configure(&self, branch: &BranchPlace, wanted: &Wanted) -> Result<(), SubstrateError> {
        let cell = self.inner.cell(branch);
        let mut held = cell.hold().await;
        let started = cell.start(&self.inner, branch, &mut held).await?;
        let connection = Cell::connection(&held)
            .ok_or_else(|| SubstrateError::Failed("the branch's Postgres has ended".to_owned()))?;
        let done = configure(&connection, wanted).await;
        if wanted.ends_sessions() {
            // Whoever is logged in to a pooler would go on with what others log in with.
            cell.end_pooler().await;
            for follower in standby::of(&self.inner, branch) {
                self.inner.cell(&follower).end_pooler().await;
            }
        }
        if started {
            cell.stop(&self.inner, &mut held).await?;
        }
        done
    }

    async fn own(
        &self,
        branch: &BranchPlace,
        database: &WantedDatabase,
        people: &[Person],
    ) -> Result<(), SubstrateError> {
        let cell = self.inner.cell(branch);
        let mut held = cell.hold().await;
        let started = cell.start(&self.inner, branch, &mut held).await?;
        let connection = Cell::connection(&held)
            .ok_or_else(|| SubstrateError::Failed("the branch's Postgres has ended".to_owned()))?;
        let done = crate::own::bring_up(&connection, database, people).await;
        if started {
            cell.stop(&self.inner, &mut held).await?;
        }
        done
    }

    async fn open(&self, endpoint: &EndpointPlace) -> Result<bool, SubstrateError> {
        let is_open = {
            let mut fronts = self.inner.fronts.lock().expect("not poisoned");
            let changed = fronts.get(&endpoint.id).is_some_and(|it| it.change(endpoint.clone()));
            if !changed {
                // It leads elsewhere now: the old port is given back first.
                fronts.remove(&endpoint.id);
            }
            changed
        };
        if !is_open {
            let front = Front::open(&self.inner, endpoint.clone()).await?;
            self.inner.fronts.lock().expect("not poisoned").insert(endpoint.id.clone(), front);
        }
        let server = standby::server(endpoint)?;
        self.inner.cell(&server).adopt(&self.inner, &server).await
    }

    fn is_running(&self, endpoint: &EndpointPlace) -> bool {
        standby::server(endpoint).is_ok_and(|it| self.inner.cell(&it).port().is_some())
    }

    async fn start(&self, endpoint: &EndpointPlace) -> Result<(), SubstrateError> {
        self.open(endpoint).await?;
        standby::wake(&self.inner, endpoint).await?;
        let cell = self.inner.cell(&standby::server(endpoint)?);
        let now = self.inner.clock.now().as_millisecond();
        cell.used_at.store(now, std::sync::atomic::Ordering::Release);
        Ok(())
    }

    async fn suspend(&self, endpoint: &EndpointPlace) -> Result<(), SubstrateError> {
        let server = standby::server(endpoint)?;
        let cell = self.inner.cell(&server);
        cell.adopt(&self.inner, &server).await?;
        let mut held = cell.hold().await;
        cell.stop(&self.inner, &mut held).await?;
        Ok(())
    }

    async fn close(&self, endpoint: &EndpointPlace) -> Result<(), SubstrateError> {
        let front = self.inner.fronts.lock().expect("not poisoned").remove(&endpoint.id);
        drop(front);
        self.suspend(endpoint).await?;
        if endpoint.kind == EndpointKind::ReadOnly {
            standby::remove(&self.inner, endpoint).await?;
        }
        Ok(())
    }

    async fn remove(&self, branch: &BranchPlace) -> Result<(), SubstrateError> {
        let inner = &*self.inner;
        let home = inner.home(branch);
        let cell = inner.cell(branch);
        if home.join("data").exists() {
            cell.adopt(inner, branch).await?;
        }
        let mut held = cell.hold().await;
        cell.stop(inner, &mut held).await?;
        if home.exists() {
            let trash = inner.home(&beside(branch, "gone")?);
            let _ = fs::remove_dir_all(&trash);
            fs::rename(&home, &trash).map_err(|err| io_failed(&err))?;
            gone(trash).await?;
        }
        drop(held);
        inner.forget(&branch.branch);
        // The last branch takes the project's folder with it.
        let _ = fs::remove_dir(inner.project(&branch.project));
        Ok(())
    }

    async fn sweep(&self, kept: &[(ProjectId, BranchId)]) -> Result<(), SubstrateError> {
        let inner = &*self.inner;
        let Ok(projects) = fs::read_dir(inner.projects()) else { return Ok(()) };
        let mut failed = None;
        let standbys = standby::folders(inner);
        for project in projects.flatten() {
            let name = project.file_name().to_string_lossy().into_owned();
            for branch in fs::read_dir(project.path()).into_iter().flatten().flatten() {
                let folder = branch.file_name().to_string_lossy().into_owned();
                let is_kept =
                    |id: &str| kept.iter().any(|(p, b)| p.as_str() == name && b.as_str() == id);
                // Between the two renamings of a replacement the next state is the only one.
                let is_next = folder
                    .strip_suffix("-next")
                    .is_some_and(|id| is_kept(id) && !project.path().join(id).exists());
                let follows = standbys.contains(&(name.clone(), folder.clone()));
                if is_kept(&folder) || is_next || follows || inner.is_looked_at(&folder) {
                    continue;
                }
                tracing::info!(
                    project = name,
                    branch = folder,
                    "removing what belongs to nobody any more"
                );
                let (Ok(project), Ok(branch_id)) = (name.parse(), folder.parse()) else { continue };
                let place = BranchPlace {
                    project,
                    number: 0,
                    branch: branch_id,
                    settings: serde_json::Value::Null,
                    libraries: Vec::new(),
                    history_retention_seconds: 0,
                    computes: None,
                };
                // One that resists keeps none of the others.
                if let Err(err) = self.orphan(&place, &branch.path()).await {
                    failed.get_or_insert(err);
                }
            }
            let _ = fs::remove_dir(project.path());
        }
        failed.map_or(Ok(()), Err)
    }

    async fn inquire(
        &self,
        branch: &BranchPlace,
        inquiry: &Inquiry,
    ) -> Result<String, SubstrateError> {
        crate::inquiry::answer(self, branch, inquiry).await
    }

    async fn usage(&self, branch: &BranchPlace) -> Result<Used, SubstrateError> {
        crate::meter::used(&self.inner, branch).await
    }

    async fn maintain(&self, branch: &BranchPlace) -> Result<(), SubstrateError> {
        history::keep_up(&self.inner, branch).await
    }

    fn offers(&self) -> NodeOffers {
        // The one of its own type, which the node asks at its start too.
        Self::offers(self)
    }

    async fn event(&self) -> EndpointEvent {
        let mut told = self.inner.told.lock().await;
        match told.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    async fn stop(&self) {
        self.inner.fronts.lock().expect("not poisoned").clear();
        for cell in self.inner.cells() {
            let mut held = cell.hold().await;
            if let Err(error) = cell.stop(&self.inner, &mut held).await {
                tracing::error!(%error, "a branch's Postgres could not be stopped");
            }
        }
    }
}

impl LocalBranches {
    /// Removes a folder that no row knows, and ends what still runs on it.
    async fn orphan(&self, place: &BranchPlace, home: &Path) -> Result<(), SubstrateError> {
        if home.join("data/PG_VERSION").exists() && home.join("data/postmaster.pid").exists() {
            // Whoever it runs as: the owner of its files.
            let settings = ClusterSettings::new(home);
            let mut cluster =
                Cluster::open(self.inner.installation.clone(), settings).await.map_err(failed)?;
            if cluster.adopt_running().await.map_err(failed)?.is_some() {
                cluster.stop().await.map_err(failed)?;
            }
        }
        pooler::end_leftover(home);
        self.inner.forget(&place.branch);
        gone(home.to_owned()).await
    }
}

/// A folder beside a branch's, of work on it.
pub(crate) fn beside(branch: &BranchPlace, what: &str) -> Result<BranchPlace, SubstrateError> {
    let id = format!("{}-{what}", branch.branch).parse();
    let id = id.map_err(|_| SubstrateError::Refused("the branch's id is too long".to_owned()))?;
    Ok(BranchPlace { branch: id, ..branch.clone() })
}

pub(crate) async fn gone(folder: std::path::PathBuf) -> Result<(), SubstrateError> {
    let work = tokio::task::spawn_blocking(move || match fs::remove_dir_all(&folder) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    });
    let done = work.await.map_err(|err| SubstrateError::Failed(err.to_string()))?;
    done.map_err(|err| SubstrateError::Failed(format!("the files could not be removed: {err}")))
}

/// The folder of the cluster from which roots are copied, made when it is first needed: initializing takes seconds.
async fn template(inner: &Inner) -> Result<std::path::PathBuf, SubstrateError> {
    let _one = inner.template.lock().await;
    let folder =
        inner.settings.folder.join(format!("template-{}", inner.installation.version().major));
    let mut settings = ClusterSettings::new(&folder);
    settings.run_as = Some(inner.template_user());
    // Opening makes it; nothing is started.
    let cluster = Cluster::open(inner.installation.clone(), settings).await.map_err(failed)?;
    Ok(cluster.folder().to_owned())
}
