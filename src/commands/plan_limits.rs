//! Plan limits. A command is checked here after it is authorized and before it is decided.

use super::decide::CommandHandler;
use crate::domain::command::Command;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::projections::index::ReadRanges;

impl<R: ReadRanges> CommandHandler<'_, R> {
    /// Refuses a command that exceeds the plan of the actor's workspace.
    pub(super) fn check_limits(&self, command: &Command) -> Result<()> {
        let adds_link = matches!(command, Command::CreateLink(_) | Command::RestoreLink { .. });
        match self.actor.plan.max_links {
            Some(max) if adds_link && self.state.link_count(self.actor.workspace)? >= max => {
                let message =
                    format!("The workspace's plan allows {max} links: delete some first.");
                Err(ServiceError::new(ErrorCode::PlanLimit, message))
            }
            _ => Ok(()),
        }
    }
}
