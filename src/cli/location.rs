//! Which service a command works with.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::config::http_url;

/// The flags of [`ServiceLocation`].
#[derive(Debug, Args)]
struct LocationArgs {
    /// URL of the service [default: the service on the data folder]. Flags take precedence over
    /// environment variables, and --url over --data-dir
    #[arg(long, env = "SLUGLINE_URL", value_name = "URL", value_parser = service_url)]
    url: Option<String>,
    /// The data folder of a service that runs on this machine
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
}

/// The service that is named first by `--url`, `--data-dir`, `SLUGLINE_URL` and
/// `SLUGLINE_DATA_DIR`, or else that of the default data folder.
#[derive(Debug)]
pub struct ServiceLocation {
    /// `None` if the data folder counts.
    pub url: Option<String>,
    /// The data folder, which may be that of the URL's service.
    pub data_dir: PathBuf,
    /// Whether nothing names a service.
    pub is_default: bool,
}

fn service_url(text: &str) -> anyhow::Result<String> {
    http_url(text).map(|_| text.to_owned())
}

impl FromArgMatches for ServiceLocation {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let LocationArgs { url, data_dir } = LocationArgs::from_arg_matches(matches)?;
        let [by_url, by_folder] = ["url", "data_dir"].map(|id| matches.value_source(id));
        let is_flag = |source: Option<ValueSource>| source == Some(ValueSource::CommandLine);
        let url = url.filter(|_| is_flag(by_url) || !is_flag(by_folder));
        let is_default = url.is_none() && by_folder == Some(ValueSource::DefaultValue);
        Ok(Self { url, data_dir, is_default })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ServiceLocation {
    fn augment_args(command: Command) -> Command {
        LocationArgs::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        LocationArgs::augment_args_for_update(command)
    }
}
