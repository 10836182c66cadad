//! `slugline token`: through a running service, or on the data folder. An owner who has lost all
//! tokens can thus create another: write access to the folder is enough.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;
use tokio::runtime::Runtime;

use super::client::{OperatorArgs, data_of};
use super::offline::log_folder;
use super::table;
use crate::app::{last_used_file, open_log};
use crate::commands::{Commands, Policies, now_ms};
use crate::domain::ids::{TokenId, WorkspaceId};
use crate::http::{TokenBody, Tokens};
use crate::log::DataLock;
use crate::projections::index::Index;
use crate::queries::links::Links;

/// `slugline token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token; prints only its secret to standard output, once, unless --json is given
    #[command(after_help = "Example:
  slugline token create --name ci --abilities links:read,links:write \\
    --expires 90d")]
    Create(CreateArgs),
    /// List a workspace's tokens: a header and one line each, with tab-separated columns
    #[command(after_help = "Example:
  slugline token list --json")]
    List(ListArgs),
    /// Revoke a token, except a workspace's last valid one with the ability *
    #[command(after_help = "Example:
  slugline token revoke tok_01h455vb4pex5vsknk084sn02q")]
    Revoke(RevokeArgs),
}

/// `slugline token create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The name, at most 100 characters
    #[arg(long)]
    name: String,
    /// The abilities, separated by commas, or * for all
    #[arg(long, value_delimiter = ',', value_name = "ABILITY,…", default_value = "*")]
    abilities: Vec<String>,
    /// When it expires: a duration such as 90d, or a time such as 2030-01-31T23:00:00Z [default:
    /// never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// The spelling of the secret, for clients of other products that check it: slugline (slk_…),
    /// lynklens (123456|…) or linktj (lnktj_…)
    #[arg(long, default_value = "slugline")]
    format: String,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scope: Scope,
}

/// `slugline token list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Write a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scope: Scope,
}

/// `slugline token revoke`
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The token's id: tok_…
    id: TokenId,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// The workspace of the tokens.
#[derive(Debug, Args)]
struct Scope {
    /// The workspace's ID [default: the only one that is not personal]
    #[arg(long, value_name = "ID")]
    workspace: Option<WorkspaceId>,
    #[command(flatten)]
    operator: OperatorArgs,
}

impl Scope {
    /// The path in the API.
    fn path(&self) -> String {
        let query = self.workspace.map(|id| format!("?workspace={id}"));
        format!("/admin/tokens{}", query.unwrap_or_default())
    }
}

/// Runs the command, writing to `out`.
pub fn run(command: &TokenCommand, mut out: impl Write) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create(args) => create(args, &mut out),
        TokenCommand::List(args) => list(args, &mut out),
        TokenCommand::Revoke(args) => revoke(args, &mut out),
    }
}

fn create(args: &CreateArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let CreateArgs { name, abilities, expires, format, json, scope } = args;
    let expires_at = expires.as_deref().map(expiry).transpose()?;
    let body = json!({
        "name": name, "abilities": abilities, "expires_at": expires_at, "format": format,
    });
    let made = if let Some(client) = scope.operator.client()? {
        data_of(client.request(Method::POST, &scope.path()).json(&body))?
    } else {
        let body: TokenBody = serde_json::from_value(body)?;
        let made = offline(scope.operator.data_dir(), |tokens, runtime| {
            runtime.block_on(tokens.create_in(scope.workspace, None, body, None))
        })?;
        json!(made.data)
    };
    if *json {
        return Ok(writeln!(out, "{made}")?);
    }
    writeln!(out, "{}", table::cell(&made["token"]))?;
    out.flush()?;
    let id = table::cell(&made["id"]);
    Ok(writeln!(std::io::stderr(), "created {id}; its secret is not shown again")?)
}

fn list(args: &ListArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let scope = &args.scope;
    let tokens = match scope.operator.client()? {
        Some(client) => client.list(&scope.path())?,
        None => {
            json!(offline(scope.operator.data_dir(), |tokens, _| tokens.list_in(scope.workspace))?)
        }
    };
    if args.json {
        return Ok(writeln!(out, "{tokens}")?);
    }
    let columns = ["id", "prefix", "created_at", "expires_at", "last_used_at", "abilities", "name"];
    table::print(out, &columns, tokens.as_array().into_iter().flatten())
}

fn revoke(args: &RevokeArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let RevokeArgs { id, operator } = args;
    if let Some(client) = operator.client()? {
        data_of(client.request(Method::DELETE, &format!("/admin/tokens/{id}")))?;
    } else {
        offline(operator.data_dir(), |tokens, runtime| {
            runtime.block_on(tokens.revoke_anywhere(*id, None))
        })?;
    }
    Ok(writeln!(out, "revoked {id}")?)
}

/// A duration from now or a time, as an API timestamp.
fn expiry(given: &str) -> anyhow::Result<String> {
    let at = match humantime::parse_duration(given) {
        Ok(duration) => {
            let at_ms = u128::from(now_ms()).saturating_add(duration.as_millis());
            i64::try_from(at_ms).ok().and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok())
        }
        Err(_) => given.parse().ok(),
    };
    let wrong = || {
        format!(
            "--expires: `{given}` is neither a duration such as 90d nor a time such as \
                 2030-01-31T23:00:00Z"
        )
    };
    Ok(at.with_context(wrong)?.to_string())
}

/// Opens the tokens of a data folder without a running service, and runs `work`.
fn offline<T, E: Display>(
    data: &Path,
    work: impl FnOnce(&Tokens, &Runtime) -> Result<T, E>,
) -> anyhow::Result<T> {
    let folder = log_folder(data, "mutations")?;
    let _lock = DataLock::acquire(data)?;
    let log = Arc::new(open_log(&folder)?);
    let index = Arc::new(Index::open(&data.join("index"), &*log)?);
    // No link is changed, so the policy does not matter.
    let (commands, writer) = Commands::start(log, Arc::clone(&index), Policies::default())?;
    let last_used = Arc::new(last_used_file::read(data));
    let tokens = Tokens::new(commands, Links::new(Arc::clone(&index)), Arc::clone(&last_used));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = work(&tokens, &runtime);
    drop(tokens);
    let _panicked = writer.join();
    // The next start applies the rest from the log.
    let _flushed = index.flush();
    last_used_file::save(data, &last_used);
    result.map_err(|problem| anyhow!("{problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_duration_or_a_time() {
        assert_eq!(expiry("2030-01-31T23:00:00+02:00").unwrap(), "2030-01-31T21:00:00Z");
        let at: Timestamp = expiry("90d").unwrap().parse().unwrap();
        let days = (at.as_millisecond() - now_ms().cast_signed()) / (24 * 3_600 * 1_000);
        assert!((89..=90).contains(&days), "{days}");
        for wrong in ["soon", "2030-01-31", "9999999999y", ""] {
            let error = expiry(wrong).unwrap_err().to_string();
            assert!(error.contains("--expires"), "{error}");
        }
    }
}
