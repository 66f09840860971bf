//! Everything the process can be told from outside. Nothing else reads flags or the environment.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use plinth_adapter_notify::Sender;
use plinth_core::OrgId;
use plinth_egress::Network;
use plinth_models::Provider;
use plinth_tenancy::audit::Link;
use secrecy::SecretString;

/// Makes Postgres answer people: questions in plain language in, SQL and rows out.
///
/// Every flag can also be set by the environment variable that stands beside it.
#[derive(Debug, Parser)]
#[command(name = "plinth", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogSettings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API, with a Postgres of its own unless it is given one.
    Serve(ServeSettings),
    /// Do the runs of workflows, beside servers of the same database and without listening.
    Worker(ServeSettings),
    /// The organizations of this installation: list them, set their plans.
    #[command(subcommand)]
    Organization(OrganizationCommand),
    /// The audit trails: verify them, tell where they stand.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make an organization with its owner and a first API key; prints them as JSON.
    ///
    /// Works beside a running server and before its first start.
    Bootstrap(BootstrapSettings),
    /// People and their sign-ins.
    #[command(subcommand)]
    User(UserCommand),
    /// Start everything, load a sample database, ask questions of it and stay up.
    Demo(DemoSettings),
    /// The sample database: an online shop and its support desk.
    #[command(subcommand)]
    Sample(SampleCommand),
    /// The master key, under which every stored credential is sealed, and the keys that sign tokens.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Run the Postgres processes of branches, on this machine. In embedded mode `plinth serve` starts it when the first
    /// project is made, and leaves it running when it stops itself.
    Node(NodeSettings),
    /// Print the OpenAPI document of the API.
    Openapi(OpenapiSettings),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LogSettings {
    /// How log lines are written.
    #[arg(long, env = "PLINTH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub(crate) log_format: LogFormat,
    /// Which log lines are written, like `info` or `plinth=debug,warn` [default: info; for the demo: warn].
    #[arg(long, env = "PLINTH_LOG", global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Where Plinth keeps what it knows.
#[derive(Clone, Debug, Args)]
pub(crate) struct StorageSettings {
    /// Folder for keys and, without a database URL, for the embedded Postgres [default: /var/lib/plinth for root, else
    /// the user's data directory].
    #[arg(long, env = "PLINTH_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Plinth's own database; without one it runs an embedded Postgres in its data folder.
    #[arg(long, env = "PLINTH_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<SecretString>,
    /// The URL to migrate with, if another role owns the tables than serves [default: the database URL].
    #[arg(long, env = "PLINTH_MIGRATE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) migrate_url: Option<SecretString>,
    /// 32 random bytes as 64 hex digits or base64, which seal every stored credential (`openssl rand -hex 32`).
    /// Needed with a database URL; without one it is made in the data folder.
    #[arg(long, env = "PLINTH_MASTER_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) master_key: Option<SecretString>,
    /// Earlier master keys, separated by commas: they still open what they sealed, until `plinth keys rotate` has put all of
    /// it under the master key.
    #[arg(
        long,
        env = "PLINTH_MASTER_KEY_PREVIOUS",
        hide_env_values = true,
        value_name = "KEYS",
        requires = "master_key"
    )]
    pub(crate) master_key_previous: Option<SecretString>,
    /// Folder of the PostgreSQL server programs (14 or newer) [default: looked for on PATH and where distributions put
    /// them].
    #[arg(long, env = "PLINTH_POSTGRES_BIN", value_name = "DIR")]
    pub(crate) postgres_bin: Option<PathBuf>,
    /// How many connections to its own database Plinth holds at most for requests; workers have as many besides.
    #[arg(long, env = "PLINTH_DATABASE_CONNECTIONS", default_value = "16", value_parser = at_least_one, value_name = "N")]
    pub(crate) database_connections: usize,
}

/// Where endpoints of branches are, and how they are reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct EndpointSettings {
    /// The name or address under which clients reach endpoints; it stands in connection URIs and certificates.
    #[arg(long, env = "PLINTH_ADVERTISED_HOST", default_value = "127.0.0.1", value_parser = host_name, value_name = "HOST")]
    pub(crate) advertised_host: String,
    /// The address that endpoints listen on [default: loopback if the advertised host is an address of it, else every
    /// address].
    #[arg(long, env = "PLINTH_NODE_LISTEN", value_name = "ADDRESS")]
    pub(crate) node_listen: Option<IpAddr>,
    /// Ports of this machine for endpoints (the lower half) and the servers behind them (the upper half). No connection
    /// that somebody types in may lead there.
    #[arg(long, env = "PLINTH_NODE_PORTS", default_value = "24000-27999", value_parser = ports, value_name = "FIRST-LAST")]
    pub(crate) node_ports: RangeInclusive<u16>,
    /// As root: the user id from which on each project gets one of its own; the system must use none of them.
    #[arg(long, env = "PLINTH_NODE_FIRST_UID", default_value_t = 500_000_000, value_name = "UID")]
    pub(crate) node_first_uid: u32,
}

impl EndpointSettings {
    /// The address that endpoints listen on.
    pub(crate) fn listen(&self) -> IpAddr {
        let host = self.advertised_host.parse::<IpAddr>();
        self.node_listen.unwrap_or(match host {
            Ok(address) if address.is_loopback() => address,
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        })
    }

    /// The ports of endpoints.
    pub(crate) fn endpoint_ports(&self) -> RangeInclusive<u16> {
        *self.node_ports.start()..=self.middle()
    }

    /// The ports of the servers behind them.
    pub(crate) fn server_ports(&self) -> RangeInclusive<u16> {
        self.middle() + 1..=*self.node_ports.end()
    }

    fn middle(&self) -> u16 {
        let (first, last) = (self.node_ports.start(), self.node_ports.end());
        first + (last - first) / 2
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NodeSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
    #[command(flatten)]
    pub(crate) endpoints: EndpointSettings,
    /// Stop the node that runs on the data folder, with every Postgres of it, and do nothing else.
    #[arg(long)]
    pub(crate) stop: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct OpenapiSettings {
    /// Of which family of routes.
    #[arg(value_enum, default_value_t = Family::Platform)]
    pub(crate) family: Family,
}

/// The documents that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// Plinth's own API, under `/v1` and `/api`.
    Platform,
    /// The management API of projects and branches, under `/api/v2`.
    ControlPlane,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServeSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
    /// Address and port to listen on.
    #[arg(
        long,
        env = "PLINTH_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS:PORT"
    )]
    pub(crate) listen: SocketAddr,
    /// The URL under which callers reach this server [default: http:// and the listen address].
    #[arg(long, env = "PLINTH_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Networks beside public ones that connections may reach, like `10.0.0.0/8`. Embedded mode allows this machine.
    #[arg(long, env = "PLINTH_EGRESS_ALLOW", value_delimiter = ',', value_name = "NETWORKS")]
    pub(crate) egress_allow: Vec<Network>,
    /// Networks of the proxies in front, like `10.0.0.0/8`: whom they name in `X-Forwarded-For` is believed.
    #[arg(long, env = "PLINTH_TRUSTED_PROXIES", value_delimiter = ',', value_name = "NETWORKS")]
    pub(crate) trusted_proxies: Vec<Network>,
    /// For how many days an organization that its owner deleted can be restored.
    #[arg(long, env = "PLINTH_DELETION_GRACE_DAYS", default_value = "14", value_parser = days, value_name = "N")]
    pub(crate) deletion_grace_days: i64,
    /// How many HTTP worker threads run [default: one for each core].
    #[arg(long, env = "PLINTH_HTTP_WORKERS", value_name = "N")]
    pub(crate) http_workers: Option<usize>,
    #[command(flatten)]
    pub(crate) limits: LimitSettings,
    #[command(flatten)]
    pub(crate) model: ModelSettings,
    #[command(flatten)]
    pub(crate) mail: MailSettings,
    #[command(flatten)]
    pub(crate) endpoints: EndpointSettings,
    /// Seconds between two looks at a connected database in the background, about; 0 for never looking.
    #[arg(long, env = "PLINTH_HEALTH_CHECK_SECONDS", default_value_t = 300, value_name = "S")]
    pub(crate) health_check_seconds: u32,
    /// Runs of workflows under way at once in this process; 0 leaves them to others (`plinth worker`).
    #[arg(long, env = "PLINTH_WORKFLOW_RUNS", default_value_t = 1024, value_name = "N")]
    pub(crate) workflow_runs: usize,
    /// Runs of one organization's workflows under way at once, in all processes together.
    #[arg(
        long,
        env = "PLINTH_WORKFLOW_RUNS_PER_ORGANIZATION",
        default_value_t = 512,
        value_name = "N"
    )]
    pub(crate) workflow_runs_per_organization: u32,
}

/// How far one question or statement may go.
#[derive(Clone, Debug, Args)]
pub(crate) struct LimitSettings {
    /// Rows in an answer unless the caller says otherwise.
    #[arg(long, env = "PLINTH_DEFAULT_ROWS", default_value_t = 10_000, value_name = "N")]
    pub(crate) default_rows: u64,
    /// Rows in an answer that a caller may ask for at most.
    #[arg(long, env = "PLINTH_MAX_ROWS", default_value_t = 1_000_000, value_name = "N")]
    pub(crate) max_rows: u64,
    /// Size of an answer at most, in MiB.
    #[arg(long, env = "PLINTH_MAX_RESULT_MIB", default_value_t = 256, value_name = "MIB")]
    pub(crate) max_result_mib: u64,
    /// Seconds that a statement may run unless the caller says otherwise.
    #[arg(long, env = "PLINTH_STATEMENT_SECONDS", default_value = "30", value_parser = seconds, value_name = "S")]
    pub(crate) statement_seconds: Duration,
    /// Seconds that a caller may let a statement run at most.
    #[arg(long, env = "PLINTH_MAX_STATEMENT_SECONDS", default_value = "300", value_parser = seconds, value_name = "S")]
    pub(crate) max_statement_seconds: Duration,
    /// Sessions on one connected database at most.
    #[arg(long, env = "PLINTH_SESSIONS_PER_CONNECTION", default_value = "8", value_parser = at_least_one, value_name = "N")]
    pub(crate) sessions_per_connection: usize,
}

/// A language model, used beside the embedded engine.
#[expect(clippy::struct_field_names, reason = "the names are those of the flags")]
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelSettings {
    /// Base URL of the model's API, like `https://api.openai.com/v1` or `http://127.0.0.1:11434`; without one the embedded
    /// engine answers alone, unless an organization has a model of its own.
    #[arg(long, env = "PLINTH_LLM_BASE_URL", value_name = "URL", requires = "llm_model")]
    pub(crate) llm_base_url: Option<String>,
    /// Which protocol it speaks: `openai` (also vLLM, llama.cpp and most others), `anthropic`, `gemini` or `ollama`.
    #[arg(long, env = "PLINTH_LLM_PROVIDER", default_value = "openai", value_name = "PROVIDER")]
    pub(crate) llm_provider: Provider,
    /// Name of the model.
    #[arg(long, env = "PLINTH_LLM_MODEL", value_name = "NAME", requires = "llm_base_url")]
    pub(crate) llm_model: Option<String>,
    /// Key for that API, if it wants one.
    #[arg(long, env = "PLINTH_LLM_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) llm_api_key: Option<SecretString>,
    /// File of certificate authorities, as PEM, to trust for that API beside the machine's.
    #[arg(long, env = "PLINTH_LLM_CA_FILE", value_name = "FILE", requires = "llm_base_url")]
    pub(crate) llm_ca_file: Option<PathBuf>,
    /// Seconds that the model may take for one answer.
    #[arg(long, env = "PLINTH_LLM_SECONDS", default_value = "30", value_parser = seconds, value_name = "S")]
    pub(crate) llm_seconds: Duration,
}

/// How mail leaves: invitations, password resets, notices.
#[derive(Clone, Debug, Args)]
pub(crate) struct MailSettings {
    /// The mail server, like `smtps://user:password@mail.example.com` or `smtp://user:password@mail.example.com:587`.
    /// Without one mail is left in the data folder.
    #[arg(
        long,
        env = "PLINTH_SMTP_URL",
        hide_env_values = true,
        value_name = "URL",
        requires = "mail_from"
    )]
    pub(crate) smtp_url: Option<SecretString>,
    /// From whom mail is, like `Plinth <plinth@example.com>`.
    #[arg(long, env = "PLINTH_MAIL_FROM", value_name = "SENDER")]
    pub(crate) mail_from: Option<Sender>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BootstrapSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
    /// The organization's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: String,
    /// The owner's e-mail address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: String,
    /// A password with which the owner can sign in, at least 8 characters; one that they have stays.
    #[arg(long, env = "PLINTH_OWNER_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub(crate) password: Option<SecretString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// List every organization, one JSON object a line.
    List(OrganizationListSettings),
    /// Set how much an organization may call.
    SetPlan(SetPlanSettings),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct OrganizationListSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SetPlanSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
    /// The organization's id.
    #[arg(value_name = "ORGANIZATION")]
    pub(crate) organization: OrgId,
    /// `free`: 30 requests a minute and 1,000 a day; `pro`: 120 and 10,000; `self-hosted`: 60,000 a minute; `custom`: the
    /// numbers that follow.
    #[arg(value_enum)]
    pub(crate) plan: PlanName,
    /// Requests a minute, for `custom`.
    #[arg(long, value_name = "N", required_if_eq("plan", "custom"), value_parser = plan_number)]
    pub(crate) per_minute: Option<u32>,
    /// Requests a day, for `custom`.
    #[arg(long, value_name = "N", required_if_eq("plan", "custom"), value_parser = plan_number)]
    pub(crate) per_day: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanName {
    Free,
    Pro,
    Custom,
    SelfHosted,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check every entry of every trail, or of one; ends with 1 if one is not whole.
    Verify(AuditVerifySettings),
    /// Print where each trail ends, to be written down elsewhere: `verify --anchor` finds a trail that was set back.
    Head(AuditHeadSettings),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AuditVerifySettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
    /// Only this organization's trail.
    #[arg(long, value_name = "ID")]
    pub(crate) organization: Option<OrgId>,
    /// What `audit head` printed for the organization earlier, as NUMBER:HASH.
    #[arg(long, value_name = "NUMBER:HASH", requires = "organization", value_parser = anchor)]
    pub(crate) anchor: Option<Link>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AuditHeadSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
    /// Only this organization's trail.
    #[arg(long, value_name = "ID")]
    pub(crate) organization: Option<OrgId>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoSettings {
    #[command(flatten)]
    pub(crate) serve: ServeSettings,
    /// Leave after the questions, with 0 only if every answer was right.
    #[arg(long)]
    pub(crate) exit: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Print a link with which somebody chooses a new password; for who cannot be sent mail.
    ///
    /// It is good once, and for an hour; links that were made before it no longer are.
    ResetPassword(ResetPasswordSettings),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ResetPasswordSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
    /// Address and port that the server listens on.
    #[arg(
        long,
        env = "PLINTH_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS:PORT"
    )]
    pub(crate) listen: SocketAddr,
    /// The URL under which people reach the server [default: http:// and the listen address].
    #[arg(long, env = "PLINTH_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Their e-mail address.
    #[arg(value_name = "ADDRESS")]
    pub(crate) email: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RotateSigningSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
    /// Use it at once and forget all others, because somebody else has one: every access token ends within a second,
    /// and clients get new ones with their refresh tokens.
    #[arg(long)]
    pub(crate) compromised: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SampleCommand {
    /// Load it into an empty database.
    Load(SampleSettings),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Put everything under a new master key, while servers go on.
    ///
    /// In embedded mode it makes the new key itself; with a database URL it takes `PLINTH_MASTER_KEY` for it. What was
    /// interrupted is continued by running it again.
    Rotate(KeysSettings),
    /// Say which master keys are in use; prints JSON.
    Status(KeysSettings),
    /// Make a new key that signs access tokens, used an hour from now, when everybody can know it.
    ///
    /// Servers do so themselves every 30 days.
    RotateSigning(RotateSigningSettings),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct KeysSettings {
    #[command(flatten)]
    pub(crate) storage: StorageSettings,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SampleSettings {
    /// The database to load into; the role must be allowed to make tables in its schema `public`.
    #[arg(long, env = "PLINTH_SAMPLE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: SecretString,
    /// Drop an earlier sample first.
    #[arg(long)]
    pub(crate) replace: bool,
    /// A role that may read the sample afterwards.
    #[arg(long, value_name = "ROLE")]
    pub(crate) reader: Option<String>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("a whole number, at least 1".to_owned()),
    }
}

/// A host as it stands in a URI: a name or an address.
fn host_name(text: &str) -> Result<String, String> {
    let is_name = (1..=253).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._".contains(&it));
    if is_name || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("a host name or an address, without a port".to_owned())
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "two ports above 1023, at least 16 apart, like 24000-27999".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let (first, last): (u16, u16) =
        (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first < 1024 || last < first.saturating_add(16) {
        return Err(wrong());
    }
    Ok(first..=last)
}

fn days(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(days @ 0..=3650) => Ok(days),
        _ => Err("a number of days, 0 to 3650".to_owned()),
    }
}

fn plan_number(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..=2_000_000_000) => Ok(number),
        _ => Err("a whole number, 1 to 2000000000".to_owned()),
    }
}

/// Reads what [`crate::commands`] prints of a link.
fn anchor(text: &str) -> Result<Link, String> {
    let wrong =
        || "a number, a colon and 64 hex digits, as `plinth audit head` prints them".to_owned();
    let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
    let number: i64 = number.parse().ok().filter(|it| *it >= 0).ok_or_else(wrong)?;
    if hash.len() != 64 || !hash.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(Link { number, hash: bytes })
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err("a number of seconds, at least 1".to_owned()),
    }
}

/// The command line, with a help that is the whole reference: every variable with its flag, whichever command it is for.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let variables = variables(&command);
    let width = variables.iter().map(|it| it.name.len()).max().unwrap_or(0);
    let mut text = String::from(
        "Environment variables, each for the flag beside it (`plinth COMMAND --help` explains the flags):",
    );
    for Variable { name, flag, commands } in &variables {
        let _ = write!(text, "\n  {name:width$}  --{flag} ({})", commands.join(", "));
    }
    command.after_long_help(text)
}

/// A variable that sets a flag.
struct Variable {
    name: String,
    flag: String,
    /// Which commands have it; `all` if it does not depend on the command.
    commands: Vec<String>,
}

/// Every variable that some command knows, in the order of the help.
fn variables(command: &clap::Command) -> Vec<Variable> {
    fn collect(command: &clap::Command, path: &str, known: &mut Vec<Variable>) {
        for argument in command.get_arguments() {
            let Some(name) = argument.get_env().and_then(|it| it.to_str()) else { continue };
            if let Some(variable) = known.iter_mut().find(|it| it.name == name) {
                variable.commands.push(path.to_owned());
                continue;
            }
            let flag = argument.get_long().unwrap_or_default().to_owned();
            let commands = vec![if path.is_empty() { "all".to_owned() } else { path.to_owned() }];
            known.push(Variable { name: name.to_owned(), flag, commands });
        }
        for below in command.get_subcommands() {
            let path = format!("{path} {}", below.get_name());
            collect(below, path.trim_start(), known);
        }
    }
    let mut known = Vec::new();
    collect(command, "", &mut known);
    known
}

/// The `PLINTH_…` variables of `present` that no command knows. A mistyped name would otherwise be a setting that
/// silently does nothing.
pub(crate) fn unknown_variables(present: impl Iterator<Item = String>) -> Vec<String> {
    let known = variables(&Cli::command());
    let mut unknown: Vec<_> = present
        .filter(|it| it.starts_with("PLINTH_") && !known.iter().any(|known| known.name == *it))
        .collect();
    unknown.sort();
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistyped_variable_is_found() {
        let present = ["PLINTH_LISTEN", "PLINTH_LISTENS", "PATH", "PLINTH_DATABASE_URL"];
        let unknown = unknown_variables(present.into_iter().map(str::to_owned));
        assert_eq!(unknown, ["PLINTH_LISTENS"]);
    }

    #[test]
    fn every_flag_of_serve_has_a_variable() {
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").expect("there");
        for argument in serve.get_arguments().filter(|it| it.get_id() != "help") {
            assert!(argument.get_env().is_some(), "{}", argument.get_id());
        }
    }
}
