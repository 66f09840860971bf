use std::fs;
use std::net::{IpAddr, TcpListener};
use std::process::Stdio;
use std::time::Instant;

use nix::sys::signal::Signal;
use secrecy::ExposeSecret as _;
use tokio::process::Command;
use tokio::time::sleep;

use super::stop::is_alive;
use super::{Cluster, LOOK_EVERY, Running};
use crate::connection::ConnectionParameters;
use crate::error::{ClusterError, IoContext as _};
use crate::folder::{State, write_whole};
use crate::initialize::plain_surroundings;
use crate::log;
use crate::postmaster::{Phase, PidFile, answers, reachable};
use crate::process::{exists, signal};
use crate::settings::ClusterSettings;

/// How many free ports are tried before a start fails.
const PORT_ATTEMPTS: u32 = 5;

impl Cluster {
    pub(super) async fn start_on(
        &mut self,
        port: Option<u16>,
    ) -> Result<ConnectionParameters, ClusterError> {
        if let Some(connection) = self.connection() {
            return Ok(connection);
        }
        if let Some(connection) = self.adopt(port).await? {
            return Ok(connection);
        }
        self.end_children().await?;
        let mut attempt = 1;
        loop {
            let chosen = self.choose_port(port)?;
            match self.launch(chosen).await {
                // Somebody took it between our look and the server's.
                Err(ClusterError::Start { .. }) if !is_free(&self.settings.listen, chosen) => {
                    if port.is_some() || attempt == PORT_ATTEMPTS {
                        return Err(ClusterError::PortTaken { port: chosen });
                    }
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Takes over a server that runs on the folder, and starts none.
    ///
    /// # Errors
    ///
    /// As for [`Cluster::start`].
    pub async fn adopt_running(&mut self) -> Result<Option<ConnectionParameters>, ClusterError> {
        match self.connection() {
            Some(connection) => Ok(Some(connection)),
            None => self.adopt(self.settings.port).await,
        }
    }

    /// Takes other settings. A running server reads them at once, as far as they apply without a restart.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Setting`] for one that cannot be written; [`ClusterError::Io`] if the server cannot be told.
    pub fn reconfigure(&mut self, settings: ClusterSettings) -> Result<(), ClusterError> {
        self.settings = settings;
        if let Some(Running { pid, port, .. }) = self.running {
            self.write_configuration(port)?;
            signal(pid, Signal::SIGHUP).context("signal PostgreSQL on", self.folder.home())?;
        }
        Ok(())
    }

    /// Takes over a server that runs on the folder. `None` if there is none (any more).
    async fn adopt(
        &mut self,
        port: Option<u16>,
    ) -> Result<Option<ConnectionParameters>, ClusterError> {
        let data = self.folder.data();
        let Some(file) = PidFile::read(&data).context("read postmaster.pid in", &data)? else {
            return Ok(None);
        };
        if !is_alive(file.pid, &self.folder) {
            if exists(file.pid) {
                // The number now belongs to a stranger, or to what ended and was not reaped yet, as in a container
                // whose first process reaps nobody: either would keep Postgres from starting.
                let stale = data.join("postmaster.pid");
                fs::remove_file(&stale).context("remove", &stale)?;
            }
            return Ok(None);
        }
        self.running = Some(Running { pid: file.pid, child: None, port: file.port.unwrap_or(0) });
        if file.phase == Phase::Stopping {
            // It may wait for its sessions to end by themselves.
            self.stop().await?;
            return Ok(None);
        }
        match self.wait_ready(0).await {
            Ok(running_port) if port.is_none_or(|wanted| wanted == running_port) => {
                tracing::info!(folder = %self.folder.home().display(), pid = file.pid, "adopted a running PostgreSQL");
                if self.write_configuration(running_port)? {
                    // Reads its configuration again.
                    signal(file.pid, Signal::SIGHUP).context("signal PostgreSQL on", &data)?;
                }
                return Ok(self.connection());
            }
            Ok(_) => tracing::info!(
                pid = file.pid,
                "a running PostgreSQL has another port: it is stopped and started anew"
            ),
            Err(error) => {
                tracing::warn!(pid = file.pid, %error, "a running PostgreSQL cannot be used: it is stopped and started anew");
            }
        }
        self.stop().await?;
        Ok(None)
    }

    /// Starts a server on a port and waits until it is ready.
    async fn launch(&mut self, port: u16) -> Result<ConnectionParameters, ClusterError> {
        self.write_configuration(port)?;
        self.limit_log();
        let log_file = self.folder.log();
        let log = log::open(&log_file).context("open", &log_file)?;
        let log_start = log.metadata().context("look at", &log_file)?.len();
        let program = self.installation.program("postgres");
        let mut command = Command::new(&program);
        command.arg("-D").arg(self.folder.data());
        command
            .arg("-c")
            .arg(format!("config_file={}", self.folder.text(&self.folder.server_file())?));
        plain_surroundings(&mut command, self.folder.home());
        self.user.apply(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("open", &log_file)?)
            .stderr(log);
        // A Ctrl-C on our terminal is for us: we stop the server once nobody needs it.
        command.process_group(0);
        let child = command.spawn().context("run", &program)?;
        let pid = child
            .id()
            .and_then(|pid| pid.try_into().ok())
            .expect("a process that was not waited for has a number");
        self.running = Some(Running { pid, child: Some(child), port });
        match self.wait_ready(log_start).await {
            Ok(_) => {
                self.folder.keep_state(&State { id: self.id.clone(), port: Some(port) })?;
                let folder = self.folder.home().display();
                tracing::info!(%folder, pid, port, version = %self.installation.version(), "PostgreSQL is ready");
                Ok(self.connection_on(port))
            }
            Err(error) => {
                self.stop().await?;
                Err(error)
            }
        }
    }

    /// Waits until the running server says that it is ready and answers on its port, which is
    /// returned.
    async fn wait_ready(&mut self, log_start: u64) -> Result<u16, ClusterError> {
        let deadline = Instant::now() + self.settings.start_limit;
        let data = self.folder.data();
        let log = self.folder.log();
        let Some(running) = &mut self.running else {
            unreachable!("only called on a running server")
        };
        loop {
            let ended = match &mut running.child {
                Some(child) => {
                    child.try_wait().context("wait for", &data)?.map(|status| status.to_string())
                }
                None => (!is_alive(running.pid, &self.folder)).then(|| "it was adopted".to_owned()),
            };
            if let Some(status) = ended {
                self.running = None;
                return Err(ClusterError::Start { status, tail: log::tail(&log, log_start), log });
            }
            if let Some(PidFile { pid, port: Some(port), phase: Phase::Ready }) =
                PidFile::read(&data).context("read postmaster.pid in", &data)?
                && pid == running.pid
                && answers(reachable(&self.settings.listen), port).await
            {
                running.port = port;
                return Ok(port);
            }
            if Instant::now() > deadline {
                return Err(ClusterError::NotReady {
                    limit: self.settings.start_limit,
                    tail: log::tail(&log, log_start),
                    log,
                });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Writes the configuration where it is not so already, and says whether it was not.
    fn write_configuration(&self, port: u16) -> Result<bool, ClusterError> {
        let files = [
            (self.folder.server_file(), self.settings.server_file(&self.folder, &self.id, port)?),
            (self.folder.access_file(), self.settings.access_file()),
        ];
        let mut changed = false;
        if let Some(own) = &self.settings.certificate {
            let parts = [
                (self.folder.certificate_key(), own.key.expose_secret(), 0o600, Some(self.user)),
                (self.folder.certificate(), own.chain.as_str(), 0o644, None),
            ];
            for (path, text, mode, owner) in parts {
                write_whole(&path, text.as_bytes(), mode, owner)?;
            }
            changed = true;
        }
        for (path, text) in files {
            if fs::read_to_string(&path).is_ok_and(|present| present == text) {
                continue;
            }
            write_whole(&path, text.as_bytes(), 0o644, None)?;
            changed = true;
        }
        Ok(changed)
    }

    fn choose_port(&self, wanted: Option<u16>) -> Result<u16, ClusterError> {
        let free = |port: &u16| is_free(&self.settings.listen, *port);
        if let Some(port) = wanted {
            return Some(port).filter(free).ok_or(ClusterError::PortTaken { port });
        }
        let range = &self.settings.ports;
        let remembered = self.folder.state()?.and_then(|state| state.port);
        if let Some(port) = remembered.filter(|port| range.contains(port)).filter(free) {
            return Ok(port);
        }
        let count = u32::from(range.end().saturating_sub(*range.start())) + 1;
        for _ in 0..100 {
            let mut bytes = [0; 2];
            getrandom::fill(&mut bytes)?;
            let place = u32::from(u16::from_le_bytes(bytes)) % count;
            let port = u16::try_from(u32::from(*range.start()) + place).unwrap_or(*range.end());
            if free(&port) {
                return Ok(port);
            }
        }
        let any = TcpListener::bind((reachable(&self.settings.listen), 0))
            .and_then(|listener| listener.local_addr());
        Ok(any.context("find a free port for", self.folder.home())?.port())
    }
}

fn is_free(listen: &[IpAddr], port: u16) -> bool {
    listen.iter().all(|address| TcpListener::bind((*address, port)).is_ok())
}
