//! The part of the service that authenticates.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use slugline::commands::accounts::{AccountSettings, Accounts, SignUpMode};
use slugline::commands::{Commands, Policies, now_ms};
use slugline::domain::plan::catalogue::Catalogues;
use slugline::identity::{JwtKeys, PersonalData, jwt, personal_data};
use slugline::log::Log;
use slugline::projections::index::Index;
use slugline::queries::links::Links;
use slugline::queries::plans::Plans;

use crate::history;

/// Reads of tokens, users, workspaces and plans.
pub struct Service {
    pub links: Links,
    pub plans: Plans,
    pub accounts: Accounts,
    pub jwt: JwtKeys,
    /// When the service was opened, in milliseconds since the Unix epoch.
    pub opened_at_ms: u64,
}

impl Service {
    /// Opens the data in a folder.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let log: Arc<dyn Log> = Arc::new(history::open(folder)?);
        let index = Arc::new(Index::open(&folder.join("index"), &*log)?);
        let (commands, _thread) = Commands::start(log, Arc::clone(&index), Policies::default())?;
        let personal = PersonalData::open(&folder.join(personal_data::FILE))?;
        let jwt = JwtKeys::open(&folder.join(jwt::FILE), "http://localhost", now_ms())?;
        let settings = AccountSettings {
            sign_up: SignUpMode::Closed,
            jwt_lifetime: Duration::from_secs(3_600),
            issuer: "localhost".to_owned(),
            has_mail: false,
        };
        let parts = (commands, Arc::clone(&index));
        let accounts = Accounts::new(parts, (personal, jwt.clone()), &[7; 32], settings);
        let plans = Plans::new(Arc::clone(&index), Catalogues::default());
        Ok(Self { links: Links::new(index), plans, accounts, jwt, opened_at_ms: now_ms() })
    }
}
