//! `slugline workspace`: through a running service.

use std::io::Write;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, json};

use super::client::{OperatorArgs, data_of};
use super::table;
use crate::domain::ids::WorkspaceId;

/// `slugline workspace …`
#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// List all workspaces: a header and one line each, with tab-separated columns
    #[command(after_help = "Example:
  slugline workspace list --json")]
    List(ListArgs),
    /// Set the plan of a workspace, which applies to the next request
    #[command(after_help = "Example:
  slugline workspace plan ws_01h455vb4pex5vsknk084sn02q pro \\
    --set links_per_month=500")]
    Plan(PlanArgs),
    /// Grant credits to a workspace, which are used beyond the monthly allowance of its plan
    #[command(after_help = "Example:
  slugline workspace credits ws_01h455vb4pex5vsknk084sn02q links 1000")]
    Credits(CreditsArgs),
}

/// `slugline workspace list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Write a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// `slugline workspace plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The workspace's id: ws_…
    workspace: WorkspaceId,
    /// The id of a plan in the catalogue; `default` for the default plan
    plan: String,
    /// A limit that differs from the plan's, such as `links_per_month=500` or `domains=unlimited`
    #[arg(long = "set", value_name = "LIMIT=VALUE", value_parser = override_of)]
    overrides: Vec<(String, Option<u64>)>,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// `slugline workspace credits`
#[derive(Debug, Args)]
pub struct CreditsArgs {
    /// The workspace's id: ws_…
    workspace: WorkspaceId,
    #[arg(help = "What they are for: links, qr_codes or events")]
    kind: String,
    /// The number of credits
    amount: u64,
    /// When unused credits expire, such as 2030-01-31T23:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Why
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    operator: OperatorArgs,
}

fn override_of(text: &str) -> Result<(String, Option<u64>), String> {
    let (limit, value) = text.split_once('=').ok_or("must be LIMIT=VALUE")?;
    let value = match value {
        "unlimited" => None,
        number => Some(number.parse().map_err(|_| "the value is not a whole number")?),
    };
    Ok((limit.to_owned(), value))
}

/// Runs the command, writing to `out`.
pub fn run(command: &WorkspaceCommand, mut out: impl Write) -> anyhow::Result<()> {
    match command {
        WorkspaceCommand::List(args) => list(args, &mut out),
        WorkspaceCommand::Plan(args) => set_plan(args, &mut out),
        WorkspaceCommand::Credits(args) => grant(args, &mut out),
    }
}

fn list(args: &ListArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let client = args.operator.service()?;
    let columns = ["id", "plan", "members", "created_at", "name"];
    let found = client.list("/admin/workspaces")?;
    if args.json {
        return Ok(writeln!(out, "{found}")?);
    }
    table::print(out, &columns, found.as_array().into_iter().flatten())
}

fn set_plan(args: &PlanArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut overrides = Map::new();
    for (limit, value) in &args.overrides {
        let is_set = overrides.insert(limit.clone(), json!(value)).is_some();
        anyhow::ensure!(!is_set, "--set {limit} is given twice");
    }
    let plan = (args.plan != "default").then_some(&args.plan);
    let path = format!("/admin/workspaces/{}/plan", args.workspace);
    let body = json!({ "plan": plan, "overrides": overrides });
    let changed = data_of(args.operator.service()?.request(Method::PUT, &path).json(&body))?;
    let plan = changed["plan"].as_str().unwrap_or_default();
    Ok(writeln!(out, "{} has the plan {plan}", args.workspace)?)
}

fn grant(args: &CreditsArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let body = json!({
        "kind": args.kind,
        "amount": args.amount,
        "expires_at": args.expires_at,
        "note": args.note,
    });
    let path = format!("/admin/workspaces/{}/credits", args.workspace);
    let granted = data_of(args.operator.service()?.request(Method::POST, &path).json(&body))?;
    let id = granted["id"].as_str().unwrap_or_default();
    Ok(writeln!(out, "granted {} credits for {}: {id}", args.amount, args.kind)?)
}
