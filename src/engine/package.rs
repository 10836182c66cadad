//! The npm packages that slugline fetches: the engine, the country database, the crawler list.

use super::error::FetchError;

/// One file of one npm package.
#[derive(Debug, Clone)]
pub struct Package {
    /// The package's name, with its scope.
    pub name: &'static str,
    /// A version or a range of versions (the highest is taken); `None` for the latest.
    pub version: Option<&'static str>,
    /// The file to unpack.
    pub entry: Entry,
    /// The pinned SHA-512 of the tarball as npm writes it (`sha512-…`); if `None`, the registry's
    /// is used.
    pub integrity: Option<&'static str>,
    /// The approximate size of the tarball, in bytes.
    pub packed_bytes: u64,
    /// The approximate size of the file, in bytes.
    pub unpacked_bytes: u64,
    /// The alternative to fetching, as the end of a sentence "…, or …".
    pub hint: &'static str,
}

/// Which file of a package to unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The file of this name, in any folder of the package.
    Named(&'static str),
    /// The file with this stem at the package's top level: the extensions of shared libraries
    /// differ between systems.
    Stem(&'static str),
}

impl Entry {
    /// Whether this is the name of the requested file.
    pub fn matches(self, file_name: &str) -> bool {
        match self {
            Self::Named(name) => file_name == name,
            Self::Stem(stem) => file_name.rsplit_once('.').is_some_and(|(front, _)| front == stem),
        }
    }

    /// The name to show to a user.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Named(name) | Self::Stem(name) => name,
        }
    }
}

/// The version of `ClickHouse` that this slugline supports.
const ENGINE_VERSION: &str = "26.7.3-stable.1";

/// The engine's package for a system, with its integrity if pinned.
type EngineBuild = (&'static str, &'static str, &'static str, Option<&'static str>);

/// Operating system, processor, package, integrity of [`ENGINE_VERSION`].
const ENGINE_BUILDS: [EngineBuild; 4] = [
    (
        "linux",
        "x86_64",
        "@chdb/lib-linux-x64-gnu",
        Some(
            "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
        ),
    ),
    ("linux", "aarch64", "@chdb/lib-linux-arm64-gnu", None),
    ("macos", "aarch64", "@chdb/lib-darwin-arm64", None),
    ("macos", "x86_64", "@chdb/lib-darwin-x64", None),
];

impl Package {
    /// The engine for the system slugline runs on.
    ///
    /// # Errors
    ///
    /// [`FetchError::Platform`] if the engine is not available for this system, or this slugline is
    /// built for musl: libchdb needs glibc.
    pub fn engine() -> Result<Self, FetchError> {
        let libc = if cfg!(target_env = "musl") { "linux-musl" } else { std::env::consts::OS };
        Self::engine_for(libc, std::env::consts::ARCH)
    }

    /// The engine for an operating system and processor, in Rust's names.
    fn engine_for(os: &'static str, arch: &'static str) -> Result<Self, FetchError> {
        let (_, _, name, integrity) = ENGINE_BUILDS
            .into_iter()
            .find(|build| (build.0, build.1) == (os, arch))
            .ok_or(FetchError::Platform { os, arch })?;
        Ok(Self {
            name,
            version: Some(ENGINE_VERSION),
            entry: Entry::Stem("libchdb"),
            integrity,
            packed_bytes: 178_000_000,
            unpacked_bytes: 567_000_000,
            hint: "pass --engine-lib FILE with a libchdb of your own, or --clickhouse-url URL to use a ClickHouse server",
        })
    }

    /// The database that maps IP addresses to countries.
    pub fn countries() -> Self {
        Self {
            name: "@ip-location-db/geo-whois-asn-country-mmdb",
            version: None,
            entry: Entry::Named("geo-whois-asn-country.mmdb"),
            integrity: None,
            packed_bytes: 8_000_000,
            unpacked_bytes: 8_000_000,
            hint: "pass --geo-db FILE with a country database of your own",
        }
    }

    /// The list of patterns that identify crawlers by user agent.
    pub fn crawlers() -> Self {
        Self {
            name: "crawler-user-agents",
            version: Some("1.x"),
            entry: Entry::Named("crawler-user-agents.json"),
            integrity: None,
            packed_bytes: 100_000,
            unpacked_bytes: 1_000_000,
            hint: "pass --crawler-list FILE with a list of your own",
        }
    }

    /// The package's name and version for npm's command line.
    pub(super) fn spec(&self) -> String {
        format!("{}@{}", self.name, self.version.unwrap_or("latest"))
    }

    /// The package's folder in the cache: one per name and requested version.
    pub(super) fn folder(&self) -> String {
        self.spec().trim_start_matches('@').replace('/', "-")
    }

    /// The peak disk usage of a fetch, in bytes: npm's copy, the tarball, the file.
    pub(super) fn needs_bytes(&self) -> u64 {
        2 * self.packed_bytes + self.unpacked_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_published_system_has_its_package() {
        let linux = Package::engine_for("linux", "x86_64").unwrap();
        assert_eq!(linux.spec(), "@chdb/lib-linux-x64-gnu@26.7.3-stable.1");
        assert_eq!(linux.folder(), "chdb-lib-linux-x64-gnu@26.7.3-stable.1");
        assert!(linux.integrity.unwrap().starts_with("sha512-"));
        assert_eq!(Package::engine_for("macos", "aarch64").unwrap().name, "@chdb/lib-darwin-arm64");
    }

    #[test]
    fn an_unsupported_system_gets_an_alternative() {
        for (os, arch) in [("freebsd", "x86_64"), ("linux-musl", "x86_64")] {
            let text = Package::engine_for(os, arch).unwrap_err().to_string();
            assert!(text.contains(&format!("{os}/{arch}")), "{text}");
            assert!(text.contains("--clickhouse-url"), "{text}");
        }
    }

    #[test]
    fn a_stem_matches_any_extension_and_nothing_else() {
        let entry = Entry::Stem("libchdb");
        assert!(entry.matches("libchdb.so") && entry.matches("libchdb.dylib"));
        assert!(!entry.matches("libchdb") && !entry.matches("libchdb.so.sig"));
        assert!(!Entry::Named("a.json").matches("b.json"));
    }
}
