//! Environment variables that slugline does not know.

use std::collections::BTreeSet;

use clap::Command;

use crate::domain::nearest::nearest;

const PREFIX: &str = "SLUGLINE_";
/// Those that are not for flags. `cargo run` passes on what the build script sets.
const WITHOUT_FLAG: [&str; 5] = [
    "SLUGLINE_BOOTSTRAP_EMAIL",
    "SLUGLINE_BOOTSTRAP_PASSWORD",
    "SLUGLINE_BOOTSTRAP_TOKEN",
    "SLUGLINE_CACHE_DIR",
    "SLUGLINE_COMMIT",
];
/// Kubernetes sets these for a service that is called `slugline`.
const OF_KUBERNETES: [&str; 2] = ["SLUGLINE_PORT", "SLUGLINE_SERVICE_"];

/// Logs a warning for each variable that no command reads: its name may be misspelled.
pub fn warn_of_unknown_variables(command: &Command) {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for (variable, meant) in unknown(command, names) {
        let hint = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        tracing::warn!(variable, "unknown environment variable {variable} ignored{hint}");
    }
}

/// The unknown ones among these names, each with the known one that is nearest.
fn unknown(
    command: &Command,
    names: impl Iterator<Item = String>,
) -> Vec<(String, Option<String>)> {
    let mut known = BTreeSet::from(WITHOUT_FLAG.map(str::to_owned));
    collect(command, &mut known);
    let is_known = |name: &str| {
        known.contains(name) || OF_KUBERNETES.iter().any(|start| name.starts_with(start))
    };
    let unknown = names.filter(|name| name.starts_with(PREFIX) && !is_known(name));
    let with_meant = |name: String| {
        // Compared without the prefix, which all have in common.
        let bare = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
        let meant = nearest(name.strip_prefix(PREFIX).unwrap_or_default(), bare);
        let meant = meant.map(|bare| format!("{PREFIX}{bare}"));
        (name, meant)
    };
    unknown.map(with_meant).collect()
}

/// The variables of a command's flags, and of those of its subcommands.
fn collect(command: &Command, known: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(|arg| arg.get_env());
    known.extend(variables.map(|name| name.to_string_lossy().into_owned()));
    for command in command.get_subcommands() {
        collect(command, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_variables_are_found() {
        let command = crate::cli::command();
        let found = |name: &str| unknown(&command, [name.to_owned()].into_iter()).pop();
        let (_, meant) = found("SLUGLINE_TRUSTED_PROXY").unwrap();
        assert_eq!(meant.unwrap(), "SLUGLINE_TRUSTED_PROXIES");
        assert_eq!(found("SLUGLINE_COLOR").unwrap().1, None);
        for known in ["SLUGLINE_TOKEN", "SLUGLINE_URL", "SLUGLINE_COMMIT", "PATH"] {
            assert_eq!(found(known), None);
        }
        assert_eq!(found("SLUGLINE_PORT_8080_TCP"), None, "of Kubernetes");
    }
}
