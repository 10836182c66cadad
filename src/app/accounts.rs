//! The accounts service, and the key files that it needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::commands::accounts::{AccountSettings, Accounts, check_credentials};
use crate::commands::{Bootstrap, Commands, now_ms};
use crate::config::Settings;
use crate::http::Site;
use crate::identity::{JwtKeys, PersonalData, jwt, personal_data};
use crate::jobs::Scheduler;
use crate::projections::index::{Index, ReadUsers};

/// When the first purge starts, and how often it is checked what is due.
const PURGE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3_600)];
/// How often it is checked whether the keys of JWTs are due for rotation.
const ROTATE_EVERY: Duration = Duration::from_secs(3_600);

/// Opens the accounts service.
pub fn open(
    settings: &Settings,
    site: &Site,
    (commands, index): (&Commands, &Arc<Index>),
    key: &[u8; 32],
) -> anyhow::Result<(Accounts, JwtKeys)> {
    let data = settings.data_dir.as_path();
    let named = |path: &Path| path.display().to_string();
    let path = data.join(personal_data::FILE);
    if !path.exists() && has_personal_data(index)? {
        anyhow::bail!(
            "{} is missing: without it no user can sign in. Copy it from a backup",
            path.display()
        );
    }
    let personal = PersonalData::open(&path).with_context(|| named(&path))?;
    let path = data.join(jwt::FILE);
    let jwt = JwtKeys::open(&path, &site.base, now_ms()).with_context(|| named(&path))?;
    let accounts = AccountSettings {
        sign_up: settings.sign_up,
        jwt_lifetime: settings.jwt_lifetime,
        issuer: site.host.clone(),
        has_mail: settings.mail.is_some(),
    };
    let parts = (commands.clone(), Arc::clone(index));
    let accounts = Accounts::new(parts, (personal, jwt.clone()), key, accounts);
    Ok((accounts, jwt))
}

/// Rotates the keys of JWTs, and purges deleted workspaces and unused keys, periodically.
pub fn keep_up(scheduler: &mut Scheduler, accounts: Accounts, keys: JwtKeys) {
    scheduler.every("jwt-keys", [ROTATE_EVERY; 2], keys, |keys| async move {
        let rotated = tokio::task::spawn_blocking(move || keys.rotate_if_due(now_ms())).await;
        match rotated {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "rotating the keys of JWTs failed"),
            Err(error) => tracing::error!(%error, "rotating the keys of JWTs panicked"),
        }
    });
    scheduler.every("purge", PURGE, accounts, |accounts| async move {
        if let Err(error) = accounts.purge().await {
            tracing::error!(%error, "purging deleted workspaces failed; retrying in an hour");
        }
    });
}

/// Whether a user has an email address, which only the keys can open.
fn has_personal_data(index: &Index) -> anyhow::Result<bool> {
    Ok(index.users()?.iter().any(|user| !user.email.is_empty()))
}

/// The email address and the password of the first superadmin, from the environment.
pub struct FirstSuperadmin(Option<(String, String)>);

impl FirstSuperadmin {
    /// Reads the variables. Checked before anything is created.
    pub fn from_environment() -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let email = variable("SLUGLINE_BOOTSTRAP_EMAIL");
        match (email, variable("SLUGLINE_BOOTSTRAP_PASSWORD")) {
            (None, None) => Ok(Self(None)),
            (Some(email), Some(password)) => {
                check_credentials(&email, &password).map_err(anyhow::Error::msg)?;
                Ok(Self(Some((email, password))))
            }
            _ => anyhow::bail!(
                "SLUGLINE_BOOTSTRAP_EMAIL and SLUGLINE_BOOTSTRAP_PASSWORD are required together"
            ),
        }
    }

    /// Sets up the first superadmin. Returns the token of the link that does so, if the environment
    /// does not.
    pub async fn set_up(
        self,
        accounts: &Accounts,
        bootstrap: &Bootstrap,
    ) -> anyhow::Result<Option<String>> {
        let Some(user) = bootstrap.user() else {
            if self.0.is_some() {
                tracing::warn!(
                    "SLUGLINE_BOOTSTRAP_EMAIL is ignored: the data folder has users already, or tokens \
                     of an earlier version; use `slugline user create`"
                );
            }
            return Ok(None);
        };
        let (_, token) = accounts.operator_link(user).map_err(anyhow::Error::msg)?;
        let Some((email, password)) = self.0 else { return Ok(Some(token)) };
        accounts.set_up(&token, &email, password).await.map_err(anyhow::Error::msg)?;
        Ok(None)
    }
}
