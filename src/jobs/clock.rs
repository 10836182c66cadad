//! The time. It is passed to what depends on it, so that tests can set it.

use std::time::Duration;

/// A source of time. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's time.
    #[default]
    System,
    /// The time that a test has set, in milliseconds.
    #[cfg(test)]
    Manual(tokio::sync::watch::Receiver<u64>),
}

impl Clock {
    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        match self {
            Self::System => crate::commands::now_ms(),
            #[cfg(test)]
            Self::Manual(now_ms) => *now_ms.borrow(),
        }
    }

    /// Waits for a time.
    pub(super) async fn sleep(&self, duration: Duration) {
        match self {
            Self::System => tokio::time::sleep(duration).await,
            #[cfg(test)]
            Self::Manual(now_ms) => {
                let mut now_ms = now_ms.clone();
                let until_ms = self.now_ms() + u64::try_from(duration.as_millis()).unwrap_or(0);
                let _gone = now_ms.wait_for(|now_ms| *now_ms >= until_ms).await;
            }
        }
    }
}
