//! The filter of the log.

use anyhow::bail;
use tracing_subscriber::EnvFilter;

use crate::domain::nearest::hint;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Checks a filter: a level, or targets with levels, such as `slugline=debug,info`. A word that is
/// not a level is refused, because [`EnvFilter`] takes it for a target, and logs nothing else.
pub(super) fn check(filter: String) -> anyhow::Result<String> {
    if filter.trim().is_empty() {
        bail!("names no level ({})", LEVELS.join(", "));
    }
    // Fields of spans may contain commas and equals signs; `EnvFilter` checks those directives.
    let directives = filter.split(',').filter(|_| !filter.contains('['));
    for directive in directives.map(str::trim).filter(|directive| !directive.is_empty()) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            let levels = LEVELS.join(", ");
            bail!("`{level}` is not a level ({levels}){}", hint(level, LEVELS));
        }
    }
    EnvFilter::try_new(&filter)?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directive_has_a_level() {
        let valid =
            ["info", "WARN", "slugline=debug,info", "off,hyper::proto=trace", "[a{b=c}]=warn"];
        for filter in valid {
            assert_eq!(check(filter.to_owned()).unwrap(), filter);
        }
        assert!(check(" ".to_owned()).is_err(), "nothing would be logged");
        for (filter, level, meant) in [
            ("verbose", "verbose", ""),
            ("inf", "inf", "info"),
            ("info;", "info;", "info"),
            ("slugline=debgu,info", "debgu", "debug"),
            ("slugline", "slugline", ""),
        ] {
            let error = check(filter.to_owned()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{level}` is not a level")), "{error}");
            assert_eq!(error.contains("did you mean"), !meant.is_empty(), "{error}");
            assert!(meant.is_empty() || error.ends_with(&format!("`{meant}`?")), "{error}");
        }
    }
}
