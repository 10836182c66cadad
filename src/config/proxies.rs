//! The settings of reverse proxies.

use anyhow::{Context, bail};
use http::HeaderName;

use super::{ServeArgs, named};
use crate::clicks::TrustedProxies;

/// The trusted proxies, and the header in which they name the client.
pub(super) fn check(args: &ServeArgs) -> anyhow::Result<TrustedProxies> {
    let trusted = named("trusted-proxies", args.trusted_proxies.as_deref(), |text| {
        Ok(text.unwrap_or_default().parse::<TrustedProxies>()?)
    })?;
    let header = named("client-ip-header", args.client_ip_header.as_deref(), |name| {
        name.map(|name| {
            name.parse::<HeaderName>().with_context(|| format!("`{name}` is not a header's name"))
        })
        .transpose()
    })?;
    match header {
        None => Ok(trusted),
        Some(_) if trusted == TrustedProxies::default() => {
            bail!("client-ip-header requires trusted-proxies: only they are believed")
        }
        Some(header) => Ok(trusted.with_client_ip_header(header)),
    }
}
