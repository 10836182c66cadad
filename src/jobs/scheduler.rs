//! Runs tasks periodically.

use std::time::Duration;

use tokio::task::JoinSet;

use super::Clock;

/// Runs periodic tasks until it is dropped.
#[derive(Default)]
pub struct Scheduler {
    clock: Clock,
    tasks: JoinSet<()>,
}

impl Scheduler {
    /// Runs a task with its state after `delay`, and then again a `period` after each end of it. A panic is logged
    /// and ends only that run. Needs a Tokio runtime.
    pub fn every<S: Clone + Send + 'static, F>(
        &mut self,
        name: &'static str,
        [delay, period]: [Duration; 2],
        state: S,
        task: impl Fn(S) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let clock = self.clock.clone();
        self.tasks.spawn(async move {
            clock.sleep(delay).await;
            loop {
                // Aborted with the scheduler.
                let mut run = JoinSet::new();
                run.spawn(task(state.clone()));
                if let Some(Err(error)) = run.join_next().await {
                    tracing::error!(task = name, %error, "a scheduled task failed");
                }
                clock.sleep(period).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::{mpsc, watch};

    use super::*;

    #[tokio::test]
    async fn a_task_runs_in_each_period_until_the_scheduler_is_dropped() {
        let (time, now_ms) = watch::channel(0);
        let (runs, mut run) = mpsc::unbounded_channel();
        let mut scheduler = Scheduler { clock: Clock::Manual(now_ms), tasks: JoinSet::new() };
        let periods = [Duration::from_secs(5), Duration::from_secs(60)];
        let state = (runs, Arc::new(AtomicBool::new(false)));
        scheduler.every("test", periods, state, |(runs, has_run)| async move {
            runs.send(()).unwrap();
            assert!(has_run.swap(true, Ordering::Relaxed), "the first run panics");
        });
        for (earlier, due) in [(4_999, 5_000), (64_999, 65_000), (124_999, 125_000)] {
            // The scheduler, the task and its sleep.
            while time.receiver_count() < 3 {
                tokio::task::yield_now().await;
            }
            time.send_replace(earlier);
            tokio::task::yield_now().await;
            assert!(run.try_recv().is_err());
            time.send_replace(due);
            assert_eq!(run.recv().await, Some(()));
        }
        drop(scheduler);
        assert_eq!(run.recv().await, None);
    }
}
