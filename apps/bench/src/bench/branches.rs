//! How long it takes from asking for a branch to its first row, and to wake an endpoint that sleeps: on the machine's own
//! file system, and on one that shares blocks, beside `CREATE DATABASE … TEMPLATE` on the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use plinth_local_postgres::{Cluster, ClusterSettings, ConnectionParameters, Installation};
use secrecy::ExposeSecret as _;
use serde_json::{Value as Json, json};

use super::figure::{Aim, Figure, Unit, median, time};
use super::{Options, Stage};
use crate::client::Client;
use crate::process::{Folder, Model, Plinth};
use crate::terminal::say;

/// How long operations may take that an answer did not wait for.
const LIMIT: Duration = Duration::from_mins(10);
/// About as many bytes as a row of the table takes.
const ROW_BYTES: u64 = 1000;
/// What fills the table: a key and a text.
const FILL: &str = "CREATE TABLE bench AS SELECT g AS id, repeat(md5(g::text), 29) AS text FROM generate_series(1, ROWS) g";
/// What is asked first.
const FIRST: &str = "SELECT id FROM bench LIMIT 1";

/// Measures on each file system that there is.
pub(super) async fn measure(stage: &Stage<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for place in [Place::own(), Place::xfs(stage.options)] {
        match place {
            Ok(place) => figures.extend(on(stage, &place).await?),
            Err(reason) => say(&format!("· not on a file system that shares blocks: {reason:#}")),
        }
    }
    Ok(figures)
}

/// A folder on a file system.
struct Place {
    /// How it is called in the report.
    name: String,
    /// What is mounted there and has to be unmounted.
    mounted: Option<PathBuf>,
    folder: Folder,
}

impl Place {
    fn own() -> Result<Self> {
        let folder = Folder::create()?;
        let name = kind_of(folder.path()).unwrap_or_else(|| "file system".to_owned());
        Ok(Self { name, mounted: None, folder })
    }

    /// A file that is mounted as an XFS with shared blocks.
    fn xfs(options: &Options) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "only root can mount one");
        let folder = Folder::create()?;
        let (image, at) = (folder.path().join("image"), folder.path().join("mounted"));
        let largest = options.sizes.iter().max().copied().unwrap_or_default();
        // The table, its log, the first base, and as much again for the peer; only what is written takes room.
        File::create(&image)?.set_len((largest * 10 + 4096) << 20)?;
        fs::create_dir(&at)?;
        run(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at))?;
        Ok(Self { name: "loop-mounted xfs".to_owned(), mounted: Some(at), folder })
    }

    fn path(&self) -> &Path {
        self.mounted.as_deref().unwrap_or_else(|| self.folder.path())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(at) = &self.mounted {
            // What still ends on it keeps it busy for a moment.
            for _ in 0..50 {
                if run(Command::new("umount").arg(at)).is_ok() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            say(&format!("! {} is still mounted", at.display()));
        }
    }
}

/// Which file system a folder is on, by the longest mount point above it.
fn kind_of(folder: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let of = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        folder.starts_with(at).then(|| (at.len(), kind.to_owned()))
    };
    mounts.lines().filter_map(of).max().map(|it| it.1)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.with_context(|| format!("{} cannot be run", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", command.get_program().display(), said.trim());
    Ok(())
}

/// The node of a server, which outlives it.
struct Node<'a> {
    binary: &'a Path,
    data: PathBuf,
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let mut command = Command::new(self.binary);
        command.args(["node", "--stop", "--data-dir"]).arg(&self.data);
        if let Err(error) = run(&mut command) {
            say(&format!("! the node may still run: {error:#}"));
        }
    }
}

/// What was measured for one size, in seconds.
struct Taken {
    size_mb: u64,
    storage: String,
    branch: Vec<f64>,
    template: Vec<f64>,
    resume: Vec<f64>,
    awake: Vec<f64>,
}

async fn on(stage: &Stage<'_>, place: &Place) -> Result<Vec<Figure>> {
    let folder = Folder::create_in(place.path())?;
    let plinth = Plinth::start(stage.binary, &folder, Model::None).await?;
    let node = Node { binary: stage.binary, data: folder.path().join("plinth") };
    let psql = stage.databases.programs().join("psql");
    let mut all = Vec::new();
    for size_mb in &stage.options.sizes {
        say(&format!("· {size_mb} MB on {} …", place.name));
        let mut taken = ours(stage.options, &plinth, &psql, &folder, *size_mb).await?;
        taken.template = peer(stage.options, &folder, *size_mb).await?;
        all.push(taken);
    }
    drop(node);
    plinth.stop()?;
    Ok(figures(&place.name, &all))
}

async fn ours(
    options: &Options,
    plinth: &Plinth,
    psql: &Path,
    folder: &Folder,
    size_mb: u64,
) -> Result<Taken> {
    let mut client = plinth.client();
    let body = json!({ "project": { "name": format!("bench of {size_mb} MB") } });
    let made = call(&mut client, "POST", "/api/v2/projects", Some(&body)).await?;
    let project = format!("/api/v2/projects/{}", text(&made["project"]["id"])?);
    let uri = text(&made["connection_uris"][0]["connection_uri"])?;
    settled(&mut client, &project).await?;
    ask(psql, &uri, &FILL.replace("ROWS", &rows(size_mb).to_string()))?;
    ask(psql, &uri, "VACUUM ANALYZE bench")?;
    // The first copies after so much was written wait for the disk, which is no branch's doing.
    nix::unistd::sync();

    let mut taken = Taken {
        size_mb,
        storage: String::new(),
        branch: Vec::new(),
        template: Vec::new(),
        resume: Vec::new(),
        awake: Vec::new(),
    };
    let branches = format!("{project}/branches");
    for round in 0..options.rounds {
        let body = json!({ "branch": { "name": format!("b{round}") }, "endpoints": [{ "type": "read_write" }] });
        let begun = Instant::now();
        let made = call(&mut client, "POST", &branches, Some(&body)).await?;
        ask(psql, &text(&made["connection_uris"][0]["connection_uri"])?, FIRST)?;
        taken.branch.push(begun.elapsed().as_secs_f64());
        settled(&mut client, &project).await?;
        let branch = format!("{branches}/{}", text(&made["branch"]["id"])?);
        let is = call(&mut client, "GET", &branch, None).await?;
        taken.storage = text(&is["branch"]["storage"])?;
        call(&mut client, "DELETE", &format!("{branch}?hard_delete=true"), None).await?;
        settled(&mut client, &project).await?;
    }
    let endpoint = format!("{project}/endpoints/{}", text(&made["endpoints"][0]["id"])?);
    for _ in 0..options.rounds {
        call(&mut client, "POST", &format!("{endpoint}/suspend"), None).await?;
        settled(&mut client, &project).await?;
        let left = running_in(&folder.path().join("plinth/node/projects"))?;
        ensure!(left == 0, "a suspended endpoint costs {left} processes");
        let begun = Instant::now();
        ask(psql, &uri, FIRST)?;
        taken.resume.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        ask(psql, &uri, FIRST)?;
        taken.awake.push(begun.elapsed().as_secs_f64());
    }
    call(&mut client, "DELETE", &project, None).await?;
    Ok(taken)
}

/// The same with a copy of a database in one cluster, of which nobody may be in the source; by the faster strategy.
async fn peer(options: &Options, folder: &Folder, size_mb: u64) -> Result<Vec<f64>> {
    let named = std::env::var_os("PLINTH_POSTGRES_BIN").map(PathBuf::from);
    let home = Folder::create_in(folder.path())?;
    let mut settings = ClusterSettings::new(home.path().join("peer"));
    settings.server = vec![("max_wal_size".to_owned(), "512MB".to_owned())];
    let mut cluster = Cluster::open(Installation::find(named.as_deref())?, settings).await?;
    let connection = cluster.start().await?;
    let admin = session(&connection, "postgres").await?;
    admin.batch_execute("CREATE DATABASE source").await?;
    let source = session(&connection, "source").await?;
    source.batch_execute(&FILL.replace("ROWS", &rows(size_mb).to_string())).await?;
    source.batch_execute("VACUUM ANALYZE bench").await?;
    drop(source);
    nix::unistd::sync();
    let mut best: Option<Vec<f64>> = None;
    for strategy in ["WAL_LOG", "FILE_COPY"] {
        let mut times = Vec::new();
        for _ in 0..options.rounds {
            let begun = Instant::now();
            let copy = format!("CREATE DATABASE copied TEMPLATE source STRATEGY {strategy}");
            admin.batch_execute(&copy).await?;
            let copied = session(&connection, "copied").await?;
            copied.query(FIRST, &[]).await?;
            times.push(begun.elapsed().as_secs_f64());
            drop(copied);
            admin.batch_execute("DROP DATABASE copied WITH (FORCE)").await?;
        }
        let middle = |it: &[f64]| median(it.iter().copied());
        if best.as_ref().is_none_or(|it| middle(&times) < middle(it)) {
            best = Some(times);
        }
    }
    cluster.stop().await?;
    Ok(best.unwrap_or_default())
}

async fn session(
    connection: &ConnectionParameters,
    database: &str,
) -> Result<tokio_postgres::Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&connection.host)
        .port(connection.port)
        .user(&connection.user)
        .password(connection.password.expose_secret())
        .dbname(database);
    let (client, driver) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(async move {
        // It ends with the session; what was asked gets the error.
        let _ = driver.await;
    });
    Ok(client)
}

fn rows(size_mb: u64) -> u64 {
    (size_mb << 20) / ROW_BYTES
}

fn text(value: &Json) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("no text: {value}"))
}

/// A call that succeeds; while other operations are under way it waits.
async fn call(client: &mut Client, method: &str, path: &str, body: Option<&Json>) -> Result<Json> {
    let begun = Instant::now();
    loop {
        let answer = client.request(method, path, body).await?;
        if (200..300).contains(&answer.status) {
            return if answer.body.is_empty() { Ok(Json::Null) } else { answer.json() };
        }
        let said = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 423, "{method} {path}: {} {said:.500}", answer.status);
        ensure!(begun.elapsed() < LIMIT, "{method} {path}: operations do not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until nothing is under way in a project.
async fn settled(client: &mut Client, project: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let all = call(client, "GET", &format!("{project}/operations?limit=10"), None).await?;
        let all = all["operations"].as_array().cloned().unwrap_or_default();
        if let Some(bad) = all.iter().find(|it| it["status"] == "failed") {
            bail!("an operation failed: {bad}");
        }
        if all.iter().all(|it| it["status"] == "finished" || it["status"] == "skipped") {
            return Ok(());
        }
        ensure!(begun.elapsed() < LIMIT, "operations do not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks through an endpoint as people do: a program that starts, logs in with TLS, and ends.
fn ask(psql: &Path, uri: &str, sql: &str) -> Result<()> {
    let mut command = Command::new(psql);
    command.args([uri, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    run(&mut command)
}

/// How many processes work in a folder.
fn running_in(folder: &Path) -> Result<usize> {
    let all = fs::read_dir("/proc")?.flatten();
    let works = |it: &fs::DirEntry| {
        fs::read_link(it.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    };
    Ok(all.filter(works).count())
}

fn figures(place: &str, all: &[Taken]) -> Vec<Figure> {
    let middle = |it: &[f64]| median(it.iter().copied());
    let mut figures = Vec::new();
    for it in all {
        let (branch, template) = (middle(&it.branch), middle(&it.template));
        let shares = it.storage == "reflink";
        figures.push(Figure {
            what: format!("branch to first query, {} MB, {place} ({})", it.size_mb, it.storage),
            ours: time(branch),
            peer: format!("{} with TEMPLATE", time(template)),
            number: branch * 1000.0,
            unit: Unit::Milliseconds,
            // Where every block is copied it takes as long as the disk does.
            aim: (shares && it.size_mb <= 1024).then_some(Aim::AtMost(1000.0)),
            details: json!({
                "storage": it.storage, "branch_seconds": it.branch, "template_seconds": it.template,
            }),
        });
        let resume = middle(&it.resume);
        figures.push(Figure {
            what: format!("resume from suspend, {} MB, {place}", it.size_mb),
            ours: time(resume),
            peer: format!("{} while it runs", time(middle(&it.awake))),
            number: resume * 1000.0,
            unit: Unit::Milliseconds,
            aim: Some(Aim::AtMost(500.0)),
            details: json!({ "resume_seconds": it.resume, "awake_seconds": it.awake }),
        });
    }
    if let ([first, .., last], true) = (all, all.len() > 1) {
        let growth = middle(&last.branch) / middle(&first.branch);
        figures.push(Figure {
            what: format!(
                "a branch of {} MB for one of {} MB, {place}",
                last.size_mb, first.size_mb
            ),
            ours: format!("{growth:.2} × the time"),
            peer: format!(
                "{:.2} × with TEMPLATE",
                middle(&last.template) / middle(&first.template)
            ),
            number: growth,
            unit: Unit::Times,
            aim: (last.storage == "reflink").then_some(Aim::AtMost(1.3)),
            details: json!({}),
        });
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(size_mb: u64, storage: &str, branch: f64) -> Taken {
        Taken {
            size_mb,
            storage: storage.to_owned(),
            branch: vec![branch],
            template: vec![2.0],
            resume: vec![0.4],
            awake: vec![0.1],
        }
    }

    #[test]
    fn only_where_blocks_are_shared_a_branch_must_not_grow_with_the_data() {
        let met = |all: &[Taken]| {
            let figures = figures("here", all);
            figures.iter().map(Figure::is_met).collect::<Vec<_>>()
        };
        let shared = [taken(100, "reflink", 0.5), taken(1000, "reflink", 0.9)];
        assert_eq!(met(&shared), [Some(true), Some(true), Some(true), Some(true), Some(false)]);
        let copied = [taken(100, "copy", 0.5), taken(1000, "copy", 9.0)];
        assert_eq!(met(&copied), [None, Some(true), None, Some(true), None]);
    }

    #[test]
    fn a_folder_is_on_some_file_system() {
        assert!(kind_of(&std::env::temp_dir().canonicalize().unwrap()).is_some());
    }
}
