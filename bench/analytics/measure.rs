//! Runs the queries and measures their latency.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use slugline::projections::clickhouse::ClickHouse as Reading;
use slugline::queries::analytics::{Analytics, AnalyticsQuery, AsOf, Format, Number};

use crate::options::Options;
use crate::questions::{Class, Question};

/// Asks as the service does.
pub struct Asker {
    analytics: Analytics,
    as_of: AsOf,
}

/// The latency of a query.
#[derive(Debug, Serialize)]
pub struct Line {
    pub name: &'static str,
    pub class: Class,
    /// The table that answered.
    pub table: &'static str,
    pub rows_read: u64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    /// The same of single clicks, half of the time.
    pub naive_ms: f64,
}

impl Line {
    /// The speedup over the query of single clicks.
    pub fn gain(&self) -> f64 {
        self.naive_ms / self.p50_ms
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, table, rows_read, p50_ms, p95_ms, naive_ms, .. } = self;
        let gain = self.gain();
        write!(
            f,
            "{name:<43} {p50_ms:>8.1} {p95_ms:>8.1} {naive_ms:>9.1} {gain:>6.1}  {table} {rows_read}"
        )
    }
}

/// What a batch took beside its questions.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Batch {
    pub batch_ms: f64,
    /// The mean latency of the queries sent one by one.
    pub one_ms: f64,
}

/// A file, and how fast it came.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Export {
    pub clicks: u64,
    pub bytes: usize,
    pub clicks_per_second: f64,
}

impl Asker {
    /// Of clicks up to an offset, all of them past.
    pub fn new(reading: Reading, through: u64, now_ms: u64) -> Self {
        // A minute later: so that the last ones are sealed, as most are when a question comes.
        let as_of = AsOf { offset: through, at_ms: now_ms, lag_ms: 0 };
        Self { analytics: Analytics::new(reading, None, None), as_of }
    }

    /// Asks a question, again and again.
    pub async fn measure(&self, question: &Question, options: &Options) -> anyhow::Result<Line> {
        // At no time is anything sealed: all is read by its offset.
        let nothing_sealed = AsOf { at_ms: 0, ..self.as_of };
        let mut naive = Vec::new();
        for _ in 0..options.naive_runs {
            naive.push(self.ask(question, nothing_sealed).await?.0);
        }
        let mut took = Vec::new();
        let mut how = ("", 0);
        self.ask(question, self.as_of).await?;
        for _ in 0..options.runs {
            let (each, table, rows_read) = self.ask(question, self.as_of).await?;
            took.push(each);
            how = (table, rows_read);
        }
        Ok(Line {
            name: question.name,
            class: question.class,
            table: how.0,
            rows_read: how.1,
            p50_ms: quantile(&mut took, 0.5),
            p95_ms: quantile(&mut took, 0.95),
            naive_ms: quantile(&mut naive, 0.5),
        })
    }

    async fn ask(
        &self,
        question: &Question,
        as_of: AsOf,
    ) -> anyhow::Result<(Duration, &'static str, u64)> {
        let started = Instant::now();
        let report = self.analytics.run(&question.query, as_of).await?;
        anyhow::ensure!(!report.rows.is_empty(), "{} has no answer", question.name);
        Ok((started.elapsed(), report.cost.table, report.cost.rows_read))
    }

    /// All clicks of 30 days as a file; how many a second.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2⁵²")]
    pub async fn export(&self, question: &Question) -> anyhow::Result<Export> {
        let report = self.analytics.run(&question.query, self.as_of).await?;
        let Some(Number::Count(clicks)) = report.rows.first().and_then(|row| row.metrics.first())
        else {
            anyhow::bail!("{} counts no clicks", question.name);
        };
        let started = Instant::now();
        let file = self.analytics.export(&question.query, Format::Parquet, None, self.as_of);
        let (mut file, mut bytes) = (file.await?, 0);
        while let Some(piece) = file.next().await? {
            bytes += piece.len();
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Export { clicks: *clicks, bytes, clicks_per_second: *clicks as f64 / seconds })
    }

    /// The queries as a batch and one by one.
    pub async fn batch(&self, questions: Vec<AnalyticsQuery>) -> anyhow::Result<Batch> {
        let started = Instant::now();
        for question in &questions {
            self.analytics.run(question, self.as_of).await?;
        }
        let each = u32::try_from(questions.len())?;
        let one_ms = started.elapsed().as_secs_f64() * 1_000.0 / f64::from(each);
        let started = Instant::now();
        for answer in self.analytics.run_all(questions, self.as_of).await {
            answer?;
        }
        Ok(Batch { batch_ms: started.elapsed().as_secs_f64() * 1_000.0, one_ms })
    }
}

/// The time within which this part of the answers came, in milliseconds.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn quantile(took: &mut [Duration], part: f64) -> f64 {
    took.sort_unstable();
    let at = ((took.len() as f64 * part).ceil() as usize).clamp(1, took.len()) - 1;
    took.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1_000.0)
}
