//! `slugline link`: links of a workspace, through a running service.

use std::io::Write;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value};

use super::client::{ApiClient, Remote, Unreachable, data_of, segment};
use super::table;

/// `slugline link …`
#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Create a link; prints its short URL
    #[command(after_help = "Examples:
  slugline link create https://example.com/spring
  slugline link create https://example.com/spring --slug spring \\
    --tag print --set max_clicks=100
  slugline link create --set kind=text --set 'payload={\"text\":\"Hello\"}'")]
    Create(CreateArgs),
    /// List links, newest first
    #[command(after_help = "Examples:
  slugline link list --tag print
  slugline link list --search example.com --sort clicks --json")]
    List(ListArgs),
    /// Show a link
    #[command(after_help = "Examples:
  slugline link show spring
  slugline link show go.example.com/spring")]
    Show(ShowArgs),
    /// Change a link; what is not given stays
    #[command(after_help = "Examples:
  slugline link update spring --destination https://example.com/summer
  slugline link update spring --set title=null --set enabled=false")]
    Update(UpdateArgs),
    /// Delete links, which can be restored for 30 days
    #[command(after_help = "Example:
  slugline link delete spring summer")]
    Delete(DeleteArgs),
}

/// `slugline link create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Where the link leads
    destination: Option<String>,
    /// The domain [default: the workspace's default domain]
    #[arg(long)]
    domain: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    output: Output,
}

/// `slugline link update`
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// The slug or the ID of the link; a slug may follow its domain
    link: String,
    /// Where the link leads
    #[arg(long, value_name = "URL")]
    destination: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    output: Output,
}

/// Fields of a link.
#[derive(Debug, Args)]
struct Fields {
    /// The slug
    #[arg(long)]
    slug: Option<String>,
    /// The title
    #[arg(long)]
    title: Option<String>,
    /// The folder
    #[arg(long)]
    folder: Option<String>,
    /// A tag; can be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Any other field of the API; the value is JSON, or else text. Can be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = field)]
    set: Vec<(String, Value)>,
}

/// `slugline link list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only links that have this text in slug, destination or title
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only links with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only links in this folder
    #[arg(long)]
    folder: Option<String>,
    /// Only links of this domain
    #[arg(long)]
    domain: Option<String>,
    /// What to sort by, such as clicks [default: created]
    #[arg(long, value_name = "FIELD")]
    sort: Option<String>,
    /// The number of links
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// The page, beginning with 1
    #[arg(long, default_value_t = 1)]
    page: u32,
    #[command(flatten)]
    output: Output,
}

/// `slugline link show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The slug or the ID of the link; a slug may follow its domain
    link: String,
    #[command(flatten)]
    output: Output,
}

/// `slugline link delete`
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The slugs or IDs of the links; a slug may follow its domain
    #[arg(required = true)]
    links: Vec<String>,
    /// Delete for good, with all clicks
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Output {
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be FIELD=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

impl Fields {
    /// The body of a request, with more fields that may be given.
    fn body(&self, more: &[(&str, &Option<String>)]) -> Value {
        let Self { slug, title, folder, tags, set } = self;
        let named = [("slug", slug), ("title", title), ("folder", folder)];
        let named = named.iter().chain(more).filter_map(|(name, value)| {
            value.as_ref().map(|value| ((*name).to_owned(), Value::from(value.as_str())))
        });
        let mut body: Map<_, _> = named.collect();
        if !tags.is_empty() {
            body.insert("tags".to_owned(), Value::from(tags.clone()));
        }
        body.extend(set.iter().cloned());
        Value::Object(body)
    }
}

/// Runs the command, writing to `out`.
pub fn run(command: &LinkCommand, mut out: impl Write) -> anyhow::Result<()> {
    match command {
        LinkCommand::Create(args) => create(args, &mut out),
        LinkCommand::List(args) => list(args, &mut out),
        LinkCommand::Show(args) => show(args, &mut out),
        LinkCommand::Update(args) => update(args, &mut out),
        LinkCommand::Delete(args) => delete(args, &mut out),
    }
}

fn create(args: &CreateArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let CreateArgs { destination, domain, fields, output } = args;
    let body = fields.body(&[("destination", destination), ("domain", domain)]);
    let client = ApiClient::remote(&output.remote)?;
    let link = data_of(client.request(Method::POST, "/links").json(&body))?;
    print_url(&link, output, out)
}

fn update(args: &UpdateArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let UpdateArgs { link, destination, fields, output } = args;
    let body = fields.body(&[("destination", destination)]);
    let client = ApiClient::remote(&output.remote)?;
    let link = data_of(client.request(Method::PATCH, &path(link)).json(&body))?;
    print_url(&link, output, out)
}

fn print_url(link: &Value, output: &Output, out: &mut impl Write) -> anyhow::Result<()> {
    if output.json {
        return Ok(writeln!(out, "{link}")?);
    }
    let url = link["short_url"].as_str().context("the service answered without a short URL")?;
    Ok(writeln!(out, "{url}")?)
}

fn list(args: &ListArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let ListArgs { search, tag, folder, domain, sort, limit, page, output } = args;
    let filters =
        [("q", search), ("tag", tag), ("folder", folder), ("domain", domain), ("sort", sort)];
    let filters: Vec<_> =
        filters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
    let client = ApiClient::remote(&output.remote)?;
    let request = client.request(Method::GET, "/links").query(&filters);
    let links = data_of(request.query(&[("limit", limit), ("page", page)]))?;
    if output.json {
        return Ok(writeln!(out, "{links}")?);
    }
    let columns = ["short_url", "clicks", "created_at", "destination"];
    table::print(out, &columns, links.as_array().into_iter().flatten())
}

fn show(args: &ShowArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let link = ApiClient::remote(&args.output.remote)?.get(&path(&args.link))?;
    if args.output.json {
        return Ok(writeln!(out, "{link}")?);
    }
    let fields = link.as_object().context("the service answered without a link")?;
    let is_set = |value: &Value| !value.is_null() && value.as_array().is_none_or(|a| !a.is_empty());
    for (name, value) in fields.iter().filter(|(_, value)| is_set(value)) {
        writeln!(out, "{name:<16} {}", table::cell(value))?;
    }
    Ok(())
}

fn delete(args: &DeleteArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let client = ApiClient::remote(&args.output.remote)?;
    let (mut failures, mut deleted, mut fatal) = (0, Vec::new(), None);
    for link in &args.links {
        let request = client.request(Method::DELETE, &path(link));
        let request = if args.purge { request.query(&[("purge", "true")]) } else { request };
        match data_of(request).with_context(|| format!("cannot delete {link}")) {
            Ok(_) if args.output.json => deleted.push(link.as_str()),
            Ok(_) => writeln!(out, "deleted {link}")?,
            // The others would fail, too.
            Err(error) if args.links.len() == 1 || error.is::<Unreachable>() => {
                fatal = Some(error);
                break;
            }
            Err(error) => {
                failures += 1;
                writeln!(std::io::stderr(), "slugline: {error:#}")?;
            }
        }
    }
    if args.output.json {
        writeln!(out, "{}", serde_json::json!({ "deleted": deleted }))?;
    }
    if let Some(error) = fatal {
        return Err(error);
    }
    ensure!(failures == 0, "{failures} of {} links were not deleted", args.links.len());
    Ok(())
}

/// The path of a link in the API, by its ID or its slug, which may follow the domain:
/// `go.example.com/spring`.
pub(super) fn path(link: &str) -> String {
    let bare = link.split_once("://").map_or(link, |(_, bare)| bare);
    match bare.split_once('/') {
        Some((domain, slug)) => format!("/links/{}?domain={}", segment(slug), segment(domain)),
        None => format!("/links/{}", segment(bare)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slug_may_follow_its_domain() {
        assert_eq!(path("spring"), "/links/spring");
        let qualified = "/links/spring?domain=go%2Eexample%2Ecom";
        assert_eq!(path("go.example.com/spring"), qualified);
        assert_eq!(path("https://go.example.com/spring"), qualified);
    }

    #[test]
    fn a_field_is_json_or_text() {
        assert_eq!(field("max_clicks=5"), Ok(("max_clicks".to_owned(), json!(5))));
        assert_eq!(field("title=null"), Ok(("title".to_owned(), Value::Null)));
        assert_eq!(field("title=a=b"), Ok(("title".to_owned(), json!("a=b"))));
        assert!(field("title").is_err());
    }
}
