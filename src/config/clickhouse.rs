//! Which ClickHouse to use.

use super::{ClickHouseChoice, ServeArgs, Source};
use crate::projections::clickhouse::Target;

/// The embedded one, unless another is named.
pub(super) fn choice(args: &ServeArgs) -> ClickHouseChoice {
    let or = |text: &Option<String>, default: &str| text.clone().unwrap_or(default.to_owned());
    match &args.clickhouse_url {
        Some(url) => ClickHouseChoice::Server(Target {
            url: url.to_string(),
            user: or(&args.clickhouse_user, "default"),
            password: or(&args.clickhouse_password, ""),
            database: or(&args.clickhouse_database, "slugline"),
        }),
        None => ClickHouseChoice::Embedded {
            lib: args.engine_lib.clone().map_or(Source::Fetched, Source::File),
            memory_bytes: args.engine_memory_mb.map(|mib| mib << 20),
        },
    }
}
