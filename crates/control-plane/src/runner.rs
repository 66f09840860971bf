use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plinth_connections::{Location, Vault};
use plinth_core::{Clock, StoreError, chain};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::outcome::{came_of, rolled_back};
use crate::preload;
use crate::{
    BranchId, BranchState, Change, ChangeError, ControlPlaneStore, EndpointEvent, EndpointState,
    Made, NodeInfo, Operation, OperationStatus, Role, Step, Substrate, SubstrateError, TakenChain,
    TakenInquiry, Tree, Wanted, WantedDatabase, WantedRole,
};

/// How long a chain is a node's before it must say that it still works on it.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// How long a node may take to answer what is asked about a branch.
const ANSWER_LEASE: SignedDuration = SignedDuration::from_mins(10);
/// How often it says so.
const EXTEND_EVERY: Duration = Duration::from_secs(8);
/// How often a node looks for work when there was none.
const LOOK_EVERY: Duration = Duration::from_millis(60);
/// How often a node says that it lives.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked what it can do.
const OFFERS_EVERY: Duration = Duration::from_secs(30);
/// How often a step is tried before its chain is given up.
const ATTEMPTS: i32 = 3;
/// How many chains a node works on at once: more would only wait for the same disk.
const AT_ONCE: usize = 4;
/// How often it is looked for what is to be done because its time has come.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// How often it is written down what branches use.
const MEASURE_EVERY: Duration = Duration::from_mins(1);
/// How often it is looked for what is deleted for good.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long the node waits before it asks a database again that did not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a runner is made from.
pub struct RunnerParts {
    /// Where projects are kept.
    pub store: Arc<dyn ControlPlaneStore>,
    /// Opens passwords.
    pub vault: Vault,
    /// Files, processes and ports.
    pub substrate: Arc<dyn Substrate>,
    /// Who we are.
    pub node: NodeInfo,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Does what chains ask for, on one node.
#[derive(Clone)]
pub struct Runner {
    pub(crate) store: Arc<dyn ControlPlaneStore>,
    pub(crate) vault: Vault,
    pub(crate) substrate: Arc<dyn Substrate>,
    pub(crate) node: NodeInfo,
    pub(crate) clock: Arc<dyn Clock>,
    instance: Uuid,
}

impl Runner {
    /// Puts it together.
    pub fn new(parts: RunnerParts) -> Self {
        let RunnerParts { store, vault, substrate, node, clock } = parts;
        Self { store, vault, substrate, node, clock, instance: Uuid::new_v4() }
    }

    /// Works until `until` is done, then ends what it works on. Takes over first what an earlier process left.
    pub async fn run(&self, until: impl Future<Output = ()>) {
        let mut until = std::pin::pin!(until);
        let mut chains = JoinSet::new();
        let beating = tokio::spawn(self.clone().beat());
        let telling = tokio::spawn(self.clone().tell());
        let answering = tokio::spawn(self.clone().answer_all());
        let mut is_open = false;
        let mut swept = tokio::time::Instant::now();
        let mut kept_up = swept;
        let mut measured = swept;
        loop {
            if !is_open {
                // Endpoints answer before new work is begun.
                match self.open_all().await {
                    Ok(()) => is_open = true,
                    Err(err) => {
                        tracing::warn!(error = chain(&err), "the node waits for the database");
                        tokio::select! {
                            () = &mut until => break,
                            () = tokio::time::sleep(PATIENCE) => continue,
                        }
                    }
                }
            }
            while chains.try_join_next().is_some() {}
            let pause = if chains.len() >= AT_ONCE {
                LOOK_EVERY
            } else {
                match self.store.take(&self.node.name, self.instance, LEASE).await {
                    Ok(Some(taken)) => {
                        let runner = self.clone();
                        chains.spawn(async move { runner.work(taken).await });
                        Duration::ZERO
                    }
                    Ok(None) => LOOK_EVERY,
                    Err(err) => {
                        tracing::warn!(error = chain(&err), "the node waits for the database");
                        PATIENCE
                    }
                }
            };
            if kept_up.elapsed() > UPKEEP_EVERY {
                kept_up = tokio::time::Instant::now();
                if let Err(err) = self.keep_up().await {
                    tracing::warn!(error = chain(&err), "the node waits for the database");
                }
            }
            if measured.elapsed() > MEASURE_EVERY {
                measured = tokio::time::Instant::now();
                if let Err(err) = self.measure().await {
                    tracing::warn!(error = chain(&err), "the node waits for the database");
                }
            }
            if swept.elapsed() > SWEEP_EVERY && chains.is_empty() {
                swept = tokio::time::Instant::now();
                let done = match self.sweep().await {
                    Ok(()) => self.maintain().await,
                    Err(err) => Err(err),
                };
                if let Err(err) = done {
                    tracing::warn!(error = chain(&err), "the node waits for the database");
                }
            }
            tokio::select! {
                () = &mut until => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        while chains.join_next().await.is_some() {}
        beating.abort();
        telling.abort();
        answering.abort();
    }

    /// Says again and again that this node lives.
    async fn beat(self) {
        let mut node = self.node.clone();
        let mut looked = tokio::time::Instant::now();
        loop {
            if looked.elapsed() > OFFERS_EVERY {
                looked = tokio::time::Instant::now();
                // Somebody may have installed something meanwhile.
                let substrate = self.substrate.clone();
                if let Ok(offers) = tokio::task::spawn_blocking(move || substrate.offers()).await {
                    node.offers = offers;
                }
            }
            if let Err(err) = self.store.beat(&node).await {
                tracing::debug!(error = chain(&err), "the node's sign of life waits");
            }
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    /// Writes down what endpoints do by themselves.
    async fn tell(self) {
        loop {
            let event = self.substrate.event().await;
            for _ in 0..20 {
                match self.note(&event).await {
                    Ok(()) => break,
                    Err(err) => {
                        tracing::debug!(error = chain(&err), "an endpoint's state waits");
                        tokio::time::sleep(PATIENCE).await;
                    }
                }
            }
        }
    }

    /// Answers what is asked about branches.
    async fn answer_all(self) {
        let mut answers = JoinSet::new();
        loop {
            while answers.try_join_next().is_some() {}
            let taken = if answers.len() >= AT_ONCE {
                Ok(None)
            } else {
                self.store.take_inquiry(&self.node.name, self.instance, ANSWER_LEASE).await
            };
            match taken {
                Ok(Some(taken)) => {
                    let runner = self.clone();
                    answers.spawn(async move { runner.answer(taken).await });
                }
                Ok(None) => tokio::time::sleep(LOOK_EVERY * 2).await,
                Err(err) => {
                    tracing::debug!(error = chain(&err), "what is asked about branches waits");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }

    async fn answer(&self, taken: TakenInquiry) {
        let answer = async {
            let tree = self.store.load(taken.org, &taken.project).await.ok().flatten();
            let gone = || SubstrateError::Refused("the branch is gone".to_owned());
            let tree = tree.filter(|it| it.branch(&taken.branch).is_some()).ok_or_else(gone)?;
            self.substrate.inquire(&tree.place(&taken.branch), &taken.inquiry).await
        };
        let answer = answer.await;
        if let Err(error) = &answer {
            tracing::info!(branch = %taken.branch, %error, "nothing could be found out about a branch");
        }
        if let Err(err) = self.store.answer(taken.org, taken.id, &answer.into()).await {
            tracing::warn!(error = chain(&err), "an answer about a branch is lost");
        }
    }

    async fn note(&self, event: &EndpointEvent) -> Result<(), ChangeError> {
        let (org, project, id) = match event {
            EndpointEvent::Started { org, project, endpoint }
            | EndpointEvent::Suspended { org, project, endpoint, .. } => (*org, project, endpoint),
        };
        let Some(tree) = self.store.load(org, project).await? else { return Ok(()) };
        let Some(endpoint) = tree.endpoint(id) else { return Ok(()) };
        let mut endpoint = endpoint.clone();
        let now = self.clock.now();
        match event {
            EndpointEvent::Started { .. } => {
                endpoint.state = EndpointState::Active;
                (endpoint.started_at, endpoint.last_active) = (Some(now), Some(now));
            }
            EndpointEvent::Suspended { last_active, .. } => {
                endpoint.state = EndpointState::Idle;
                (endpoint.suspended_at, endpoint.last_active) = (Some(now), Some(*last_active));
            }
        }
        endpoint.updated_at = now;
        if let EndpointEvent::Suspended { .. } = event {
            self.note_usage(&tree, &endpoint.branch).await;
        }
        let change = Change { endpoints: vec![endpoint], ..Change::of(&tree) };
        self.store.commit(&change).await
    }

    /// Opens every endpoint's port, and takes over the servers that run.
    async fn open_all(&self) -> Result<(), StoreError> {
        for (org, id) in self.store.projects_of(&self.node.name).await? {
            let Some(tree) = self.store.load(org, &id).await? else { continue };
            for endpoint in tree.endpoints.iter().filter(|it| it.state != EndpointState::Init) {
                match self.substrate.open(&tree.endpoint_place(endpoint)).await {
                    Ok(runs) => self.set_right(org, &tree, endpoint, runs).await,
                    Err(err) => {
                        tracing::error!(endpoint = %endpoint.id, error = %err, "an endpoint could not be opened");
                    }
                }
            }
        }
        self.sweep().await
    }

    /// Rows say what is so, also after a crash.
    async fn set_right(
        &self,
        org: plinth_core::OrgId,
        tree: &Tree,
        endpoint: &crate::Endpoint,
        runs: bool,
    ) {
        let (project, id) = (tree.project.id.clone(), endpoint.id.clone());
        let event = match (runs, endpoint.state) {
            (true, EndpointState::Idle) => EndpointEvent::Started { org, project, endpoint: id },
            (false, EndpointState::Active) => {
                let last_active = endpoint.last_active.unwrap_or_else(|| self.clock.now());
                EndpointEvent::Suspended { org, project, endpoint: id, last_active }
            }
            _ => return,
        };
        if let Err(err) = self.note(&event).await {
            tracing::warn!(endpoint = %endpoint.id, error = chain(&err), "an endpoint's state could not be written");
        }
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let kept = self.store.kept(&self.node.name, self.clock.now() - crate::RECOVERABLE).await?;
        if let Err(err) = self.substrate.sweep(&kept).await {
            tracing::warn!(error = %err, "not everything that is left of earlier work could be removed");
        }
        Ok(())
    }

    /// Keeps every branch's history as long as it has to be, and no longer. Sees to it that rows say of endpoints what is so:
    /// a Postgres that is killed while it is written down that it runs leaves them wrong.
    async fn maintain(&self) -> Result<(), StoreError> {
        for (org, id) in self.store.projects_of(&self.node.name).await? {
            let Some(tree) = self.store.load(org, &id).await? else { continue };
            for endpoint in tree.endpoints.iter().filter(|it| it.pending.is_none()) {
                let runs = self.substrate.is_running(&tree.endpoint_place(endpoint));
                self.set_right(org, &tree, endpoint, runs).await;
            }
            for branch in tree.branches.iter().filter(|it| it.state == BranchState::Ready) {
                if let Err(err) = self.substrate.maintain(&tree.place(&branch.id)).await {
                    tracing::warn!(branch = %branch.id, error = %err, "a branch's history could not be looked after");
                }
            }
        }
        Ok(())
    }

    async fn work(&self, taken: TakenChain) {
        let (org, id) = (taken.org, taken.id);
        let holding = async {
            loop {
                tokio::time::sleep(EXTEND_EVERY).await;
                match self.store.extend(org, id, self.instance, LEASE).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(err) => tracing::warn!(error = chain(&err), "a lease could not be kept"),
                }
            }
        };
        tokio::select! {
            () = holding => tracing::warn!(chain = %id, "another process took over the work"),
            () = self.do_all(taken) => {}
        }
    }

    async fn do_all(&self, taken: TakenChain) {
        let mut operations = taken.chain.operations.clone();
        let mut failed: Option<String> = None;
        let last = operations.len() - 1;
        for at in 0..operations.len() {
            if operations[at].status.is_final() {
                if operations[at].status == OperationStatus::Failed {
                    failed = operations[at].error.clone();
                }
                continue;
            }
            if failed.is_some() {
                operations[at].status = OperationStatus::Cancelled;
                operations[at].updated_at = self.clock.now();
                continue;
            }
            match self.one(&taken, &mut operations[at], at == last).await {
                // Written together with the end of the chain: whoever sees the one sees the other.
                Ok(()) if at == last => return,
                Ok(()) => {}
                Err(error) => failed = Some(error),
            }
        }
        let undone = match &failed {
            Some(_) => self.undo(&taken, &operations).await,
            None => Ok(()),
        };
        if let Err(error) = undone {
            tracing::error!(project = %taken.project, error, "work could not be undone; it is tried again");
            tokio::time::sleep(PATIENCE).await;
            // The lease runs out, and the chain is taken again.
            return;
        }
        self.until_written(&taken, |tree, now| {
            let mut change = Change::of(tree);
            change.operations.clone_from(&operations);
            change.finished = Some(taken.id);
            if failed.is_some() {
                rolled_back(tree, &operations, now, &mut change);
            }
            change
        })
        .await;
    }

    /// Does one operation, and writes what came of it together with its end.
    async fn one(
        &self,
        taken: &TakenChain,
        operation: &mut Operation,
        is_last: bool,
    ) -> Result<(), String> {
        let begun = self.clock.now();
        let started = tokio::time::Instant::now();
        operation.status = OperationStatus::Running;
        operation.updated_at = begun;
        let running = operation.clone();
        self.until_written(taken, |tree, _| Change {
            operations: vec![running.clone()],
            ..Change::of(tree)
        })
        .await;
        let outcome = loop {
            let Some(tree) = self.tree(taken).await else {
                break Err("the project is gone".to_owned());
            };
            match self.step(&tree, &operation.step).await {
                Ok(made) => break Ok(made),
                Err(SubstrateError::Refused(text) | SubstrateError::Missing(text)) => {
                    break Err(text);
                }
                Err(SubstrateError::Failed(text)) => {
                    operation.failures += 1;
                    tracing::warn!(operation = %operation.id, action = operation.action.as_str(), attempt = operation.failures, error = text, "an operation failed");
                    if operation.failures >= ATTEMPTS {
                        break Err(text);
                    }
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        };
        let now = self.clock.now();
        operation.updated_at = now;
        operation.duration_ms = i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX);
        match outcome {
            Ok(made) => {
                operation.status = OperationStatus::Finished;
                let done = operation.clone();
                self.until_written(taken, |tree, now| {
                    let mut change = Change { operations: vec![done.clone()], ..Change::of(tree) };
                    came_of(tree, &done.step, made, now, &mut change);
                    change.finished = is_last.then_some(taken.id);
                    change
                })
                .await;
                Ok(())
            }
            Err(error) => {
                operation.status = OperationStatus::Failed;
                operation.error = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn step(&self, tree: &Tree, step: &Step) -> Result<Option<Made>, SubstrateError> {
        let it = &self.substrate;
        let endpoint = |id| {
            let found = tree.endpoint(id).map(|it| tree.endpoint_place(it));
            found.ok_or_else(|| SubstrateError::Refused("the endpoint is gone".to_owned()))
        };
        match step {
            Step::MakeRoot { branch } => it.make_root(&tree.place(branch)).await.map(Some),
            Step::Copy { branch, source, point } => {
                it.copy(&tree.place(source), *point, &tree.place(branch)).await.map(Some)
            }
            Step::CopySchema { branch, source } => {
                let mut wanted = Wanted::default();
                self.as_rows_say(tree, branch, &mut wanted).await?;
                let (source, branch) = (tree.place(source), tree.place(branch));
                let made = it.make_root(&branch).await?;
                it.configure(&branch, &wanted).await?;
                it.copy_schema(&source, &branch, &wanted.databases).await?;
                Ok(Some(made))
            }
            Step::Snapshot { snapshot, source, point } => {
                let (source, snapshot) = (tree.place(source), tree.place(snapshot));
                it.snapshot(&source, *point, &snapshot).await.map(Some)
            }
            Step::Finalize { branch, target, .. } => {
                self.finalize(tree, branch, target).await.map(|()| None)
            }
            Step::Replace { branch, source, point, preserve } => {
                let preserve = preserve.as_ref().map(|it| tree.place(it));
                let (branch, source) = (tree.place(branch), tree.place(source));
                it.replace(&branch, &source, *point, preserve.as_ref()).await.map(Some)
            }
            Step::Configure {
                branch,
                drop_roles,
                drop_databases,
                rename_database,
                cut_sessions_of,
            } => {
                let mut wanted = Wanted {
                    drop_roles: drop_roles.clone(),
                    drop_databases: drop_databases.clone(),
                    rename_database: rename_database.clone(),
                    cut_sessions_of: cut_sessions_of.clone(),
                    ..Wanted::default()
                };
                self.as_rows_say(tree, branch, &mut wanted).await?;
                it.configure(&tree.place(branch), &wanted).await.map(|()| None)
            }
            Step::Own { branch, database, owner, people } => {
                let database = WantedDatabase { name: database.clone(), owner: owner.clone() };
                it.own(&tree.place(branch), &database, people).await.map(|()| None)
            }
            Step::Start { endpoint: id } => it.start(&endpoint(id)?).await.map(|()| None),
            Step::Reopen { endpoint: id } => it.open(&endpoint(id)?).await.map(|_| None),
            Step::Suspend { endpoint: id } => {
                let place = endpoint(id)?;
                it.suspend(&place).await?;
                self.note_usage(tree, &place.branch.branch).await;
                Ok(None)
            }
            Step::Close { endpoint: id } => match endpoint(id) {
                Ok(place) => {
                    it.close(&place).await?;
                    self.note_usage(tree, &place.branch.branch).await;
                    Ok(None)
                }
                // Its row went with an earlier attempt.
                Err(_) => Ok(None),
            },
            Step::Remove { branch } => it.remove(&tree.place(branch)).await.map(|()| None),
        }
    }

    /// The roles and databases that a branch has by its rows.
    async fn as_rows_say(
        &self,
        tree: &Tree,
        branch: &BranchId,
        wanted: &mut Wanted,
    ) -> Result<(), SubstrateError> {
        for role in tree.roles_of(branch) {
            let password = self.password(tree, role).await?;
            wanted.roles.push(WantedRole { name: role.name.clone(), password });
        }
        wanted.databases = tree
            .databases_of(branch)
            .map(|it| WantedDatabase { name: it.name.clone(), owner: it.owner.clone() })
            .collect();
        let libraries = preload::chosen(&tree.project.settings);
        wanted.extensions =
            libraries.iter().filter(|it| it.makes_extension).map(|it| it.name).collect();
        Ok(())
    }

    /// Writes down what a server that has stopped has used; if that fails, with the next measurement.
    async fn note_usage(&self, tree: &Tree, branch: &BranchId) {
        if let Err(err) = self.measure_one(tree, branch).await {
            tracing::debug!(%branch, error = chain(&err), "what a branch used waits");
        }
    }

    /// Lets the endpoints of one branch lead to another. Those that the other has are closed, if it gets some.
    async fn finalize(
        &self,
        tree: &Tree,
        branch: &BranchId,
        target: &BranchId,
    ) -> Result<(), SubstrateError> {
        let moved: Vec<_> = tree.endpoints_of(target).collect();
        if !moved.is_empty() {
            for endpoint in tree.endpoints_of(branch) {
                self.substrate.close(&tree.endpoint_place(endpoint)).await?;
            }
        }
        for endpoint in moved {
            let mut place = tree.endpoint_place(endpoint);
            self.substrate.close(&place).await?;
            place.branch.branch = branch.clone();
            if endpoint.state == EndpointState::Active {
                self.substrate.start(&place).await?;
            } else {
                self.substrate.open(&place).await?;
            }
        }
        Ok(())
    }

    /// Lets endpoints lead where the rows say, after a replacement that did not come about.
    async fn unfinalize(
        &self,
        tree: &Tree,
        branch: &BranchId,
        target: &BranchId,
    ) -> Result<(), SubstrateError> {
        for endpoint in tree.endpoints_of(target) {
            let place = tree.endpoint_place(endpoint);
            let mut moved = place.clone();
            moved.branch.branch = branch.clone();
            self.substrate.close(&moved).await?;
            self.substrate.open(&place).await?;
        }
        for endpoint in tree.endpoints_of(branch) {
            self.substrate.open(&tree.endpoint_place(endpoint)).await?;
        }
        Ok(())
    }

    async fn password(
        &self,
        tree: &Tree,
        role: &Role,
    ) -> Result<Option<secrecy::SecretString>, SubstrateError> {
        let Some(sealed) = &role.password else { return Ok(None) };
        let at = Location {
            org: tree.project.org,
            table: "cp_roles",
            column: "password",
            record: role.id,
        };
        let opened = self.vault.open(at, sealed).await;
        opened.map(Some).map_err(|err| SubstrateError::Failed(chain(&err)))
    }

    /// Removes what a chain that failed has made.
    async fn undo(&self, taken: &TakenChain, operations: &[Operation]) -> Result<(), String> {
        let Some(tree) = self.tree(taken).await else { return Ok(()) };
        for operation in operations {
            if let Step::Finalize { branch, target, .. } = &operation.step {
                let back = self.unfinalize(&tree, branch, target).await;
                back.map_err(|err| err.to_string())?;
            }
        }
        // An endpoint that was to be made listens no more.
        for endpoint in tree.endpoints.iter().filter(|it| it.state == EndpointState::Init) {
            let closed = self.substrate.close(&tree.endpoint_place(endpoint)).await;
            closed.map_err(|err| err.to_string())?;
        }
        for operation in operations {
            let Some(branch) = operation.step.makes() else { continue };
            for endpoint in tree.endpoints_of(branch) {
                let place = tree.endpoint_place(endpoint);
                self.substrate.close(&place).await.map_err(|err| err.to_string())?;
            }
            self.substrate.remove(&tree.place(branch)).await.map_err(|err| err.to_string())?;
        }
        Ok(())
    }

    /// The project; waits for the database as long as it takes.
    async fn tree(&self, taken: &TakenChain) -> Option<Tree> {
        loop {
            match self.store.load(taken.org, &taken.project).await {
                Ok(tree) => return tree,
                Err(err) => {
                    tracing::warn!(error = chain(&err), "the node waits for the database");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }

    /// Writes a change, made anew from what is there now each time that somebody else was faster.
    async fn until_written(&self, taken: &TakenChain, make: impl Fn(&Tree, Timestamp) -> Change) {
        loop {
            let Some(tree) = self.tree(taken).await else { return };
            match self.store.commit(&make(&tree, self.clock.now())).await {
                Ok(()) => return,
                Err(ChangeError::Changed) => {}
                Err(err) => {
                    tracing::warn!(project = %taken.project, error = chain(&err), "the node waits for the database");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }
}
