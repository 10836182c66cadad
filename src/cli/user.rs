//! `slugline user`: through a running service.

use std::io::Write;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{OperatorArgs, data_of};
use super::table;
use crate::domain::ids::{UserId, WorkspaceId};

/// `slugline user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create a user; prints a link by which the user sets a password. The first user is a
    /// superadmin, and owns the workspaces without an owner
    #[command(after_help = "Examples:
  slugline user create --email ada@example.com --superadmin
  slugline user create --email bo@example.com \\
    --workspace ws_01h455vb4pex5vsknk084sn02q")]
    Create(CreateArgs),
    /// List all users: a header and one line each, with tab-separated columns
    #[command(after_help = "Example:
  slugline user list --json")]
    List(ListArgs),
    /// Print a link by which a user sets another password, once
    #[command(after_help = "Example:
  slugline user link user_01h455vb4pex5vsknk084sn02q")]
    Link(OneArgs),
    /// Block a user: all sessions end, and tokens are refused
    #[command(after_help = "Example:
  slugline user block user_01h455vb4pex5vsknk084sn02q")]
    Block(OneArgs),
    /// Unblock a user
    #[command(after_help = "Example:
  slugline user unblock user_01h455vb4pex5vsknk084sn02q")]
    Unblock(OneArgs),
    /// Turn a user's two-factor authentication off: for one who has lost the app and the codes
    #[command(after_help = "Example:
  slugline user disable-2fa user_01h455vb4pex5vsknk084sn02q")]
    #[command(name = "disable-2fa")]
    DisableTwoFactor(OneArgs),
    /// Delete a user; the personal data can't be read from then on
    #[command(after_help = "Example:
  slugline user delete user_01h455vb4pex5vsknk084sn02q")]
    Delete(OneArgs),
}

/// `slugline user create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The email address
    #[arg(long)]
    email: String,
    /// The display name
    #[arg(long)]
    name: Option<String>,
    /// Make the user a superadmin, who manages all users
    #[arg(long)]
    superadmin: bool,
    /// Add the user to this workspace
    #[arg(long, value_name = "ID")]
    workspace: Option<WorkspaceId>,
    /// The role there: owner (if it has none), admin, member, viewer or billing [default: member]
    #[arg(long, requires = "workspace")]
    role: Option<String>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// `slugline user list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Write a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// A command on one user.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The user's id: user_…
    id: UserId,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Runs the command, writing to `out`.
pub fn run(command: &UserCommand, mut out: impl Write) -> anyhow::Result<()> {
    match command {
        UserCommand::Create(args) => create(args, &mut out),
        UserCommand::List(args) => list(args, &mut out),
        UserCommand::Link(args) => {
            let linked = post(args, "/link")?;
            Ok(writeln!(out, "{}", table::cell(&linked["link"]))?)
        }
        UserCommand::Block(args) => patch(args, &json!({ "blocked": true }), &mut out),
        UserCommand::Unblock(args) => patch(args, &json!({ "blocked": false }), &mut out),
        UserCommand::DisableTwoFactor(args) => {
            patch(args, &json!({ "two_factor": false }), &mut out)
        }
        UserCommand::Delete(args) => {
            let client = args.operator.service()?;
            data_of(client.request(Method::DELETE, &format!("/admin/users/{}", args.id)))?;
            Ok(writeln!(out, "deleted {}", args.id)?)
        }
    }
}

fn create(args: &CreateArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let CreateArgs { email, name, superadmin, workspace, role, json: is_json, operator } = args;
    let body = json!({
        "email": email,
        "name": name,
        "role": superadmin.then_some("SUPERADMIN"),
        "workspace": workspace.map(|id| id.to_string()),
        "workspace_role": role,
    });
    let client = operator.service()?;
    let made = data_of(client.request(Method::POST, "/admin/users").json(&body))?;
    if *is_json {
        return Ok(writeln!(out, "{made}")?);
    }
    writeln!(out, "{}", table::cell(&made["link"]))?;
    out.flush()?;
    let (id, role) = (table::cell(&made["user"]["id"]), table::cell(&made["user"]["role"]));
    Ok(writeln!(std::io::stderr(), "created {id} ({role}); the link sets the password, once")?)
}

fn list(args: &ListArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let users = args.operator.service()?.list("/admin/users")?;
    if args.json {
        return Ok(writeln!(out, "{users}")?);
    }
    let columns =
        ["id", "role", "verified", "blocked", "two_factor", "created_at", "email", "name"];
    table::print(out, &columns, users.as_array().into_iter().flatten())
}

fn post(args: &OneArgs, path: &str) -> anyhow::Result<Value> {
    args.operator.service()?.post(&format!("/admin/users/{}{path}", args.id))
}

fn patch(args: &OneArgs, body: &Value, out: &mut impl Write) -> anyhow::Result<()> {
    let client = args.operator.service()?;
    data_of(client.request(Method::PATCH, &format!("/admin/users/{}", args.id)).json(body))?;
    Ok(writeln!(out, "changed {}", args.id)?)
}
