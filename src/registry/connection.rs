//! What belongs to a client's connection: how the jobs that it starts run. The limits are the server's, see [`Config`].

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::OnceCell;

use super::working_dir::WorkingDirectory;
use crate::config::Config;
use crate::process::launcher::path_before_uvx;
use crate::process::shell::Shell;
use crate::process::spawn::Variables;

/// `clientInfo.name` of clients whose own limit on a tool call is ten minutes or more by default. The others' is
/// often 60 s, and some do not say.
const PATIENT_CLIENTS: &[&str] = &[
    "claude-code",
    "gemini-cli-mcp-client",
    "Visual Studio Code",
    "Visual Studio Code - Insiders",
];

/// How the jobs of one client run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Connection {
    pub shell: Shell,
    /// Where jobs run that name no directory.
    pub directory: WorkingDirectory,
    /// The environment that the client gave to its server. In JSON, whose keys are text, a list of pairs.
    #[serde(serialize_with = "as_pairs", deserialize_with = "from_pairs")]
    pub environment: Variables,
    /// Whether jobs get the login shell's variables besides.
    pub login_env: bool,
    /// The longest wait of one call, where it is configured.
    pub max_wait: Option<Duration>,
    /// The environment of its jobs, once the first one starts.
    #[serde(skip)]
    pub(super) of_jobs: OnceCell<Arc<Variables>>,
}

impl Connection {
    /// That of this process's own client.
    pub fn of(config: &Config) -> Self {
        let mut environment: Variables = env::vars_os().collect();
        environment.extend(path_before_uvx().map(|path| ("PATH".into(), path)));
        Self {
            shell: config.shell.clone(),
            directory: WorkingDirectory::find(config.cwd.as_deref()),
            environment,
            login_env: config.login_env,
            max_wait: config.max_wait_seconds,
            of_jobs: OnceCell::new(),
        }
    }

    /// The home directory of the client's user, if it is named.
    pub fn home(&self) -> Option<PathBuf> {
        let home = self.environment.get(&OsString::from("HOME")).map(PathBuf::from);
        home.or_else(dirs::home_dir)
    }

    /// The longest wait that a call by this client gets.
    pub fn wait_cap(&self, client_name: Option<&str>) -> Duration {
        self.max_wait.unwrap_or_else(|| match client_name {
            Some(name) if PATIENT_CLIENTS.contains(&name) => Duration::from_secs(600),
            _ => Duration::from_secs(45),
        })
    }
}

fn as_pairs<S: Serializer>(variables: &Variables, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(variables)
}

fn from_pairs<'de, D: Deserializer<'de>>(from: D) -> Result<Variables, D::Error> {
    Ok(Vec::deserialize(from)?.into_iter().collect())
}
