//! The filter of the log.

use anyhow::bail;
use tracing_subscriber::EnvFilter;

use crate::domain::nearest::hint;

/// The filter if none is set.
const DEFAULT: &str = "info";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Checks a filter, or gives the default for an empty one: a level, or targets with levels, such as
/// `slugline=debug,info`. A word that is not a level is refused, because [`EnvFilter`] takes it for a
/// target, and logs nothing else.
pub(super) fn check(filter: String) -> anyhow::Result<String> {
    // Such as a variable that is set to nothing, which would log nothing.
    if filter.split(',').all(|directive| directive.trim().is_empty()) {
        return Ok(DEFAULT.to_owned());
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
        for nothing in ["", " ", ","] {
            assert_eq!(check(nothing.to_owned()).unwrap(), DEFAULT);
        }
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
