//! Whether the time of a failed sign-in reveals that an address has an account.

use std::path::Path;
use std::time::Instant;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use slugline::commands::accounts::{Credentials, SessionKind};
use slugline::domain::error::ErrorCode;

use crate::service::Service;
use crate::statistics::as_f64;
use crate::{Options, history};

const SEED: u64 = 0x0065_6e75_6d65_7261;
/// Sign-ins before the first measured one: they start the thread and fill its memory.
const WARM_UP: usize = 20;
/// A difference of the means within this many standard errors is none.
const MAX_STANDARD_ERRORS: f64 = 2.0;

/// Times of sign-ins.
#[derive(Debug, Default)]
struct Sample {
    ms: Vec<f64>,
}

/// Signs in with wrong passwords, one after another, and compares the times.
pub fn measure(folder: &Path, options: &Options) -> anyhow::Result<()> {
    let service = Service::open(folder)?;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut existing: Vec<bool> = (0..options.sign_ins).map(|number| number % 2 == 0).collect();
    existing.shuffle(&mut random);
    let attempts: Vec<_> = existing
        .iter()
        .map(|is_existing| (*is_existing, email(*is_existing, &mut random)))
        .collect();
    let [mut unknown, mut known] = [Sample::default(), Sample::default()];
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    runtime.block_on(async {
        for (_, email) in attempts.iter().take(WARM_UP) {
            fail(&service, email).await?;
        }
        for (is_existing, email) in &attempts {
            let sample = if *is_existing { &mut known } else { &mut unknown };
            sample.ms.push(fail(&service, email).await?);
        }
        anyhow::Ok(())
    })?;
    let difference = known.mean() - unknown.mean();
    let error = known.standard_error().hypot(unknown.standard_error());
    println!("\n| failed sign-ins | n | mean | standard error |\n|---|---|---|---|");
    for (name, sample) in [("unknown address", &unknown), ("existing address", &known)] {
        let (mean, error) = (sample.mean(), sample.standard_error());
        println!("| {name} | {} | {mean:.3} ms | {error:.3} ms |", sample.ms.len());
    }
    println!(
        "difference of the means: {difference:+.3} ms, {:.1} standard errors: {}",
        difference.abs() / error,
        if difference.abs() <= MAX_STANDARD_ERRORS * error { "within 2" } else { "NOT within 2" },
    );
    Ok(())
}

fn email(is_existing: bool, random: &mut Xoshiro256PlusPlus) -> String {
    // Of the same length and form.
    let number = random.random_range(0..history::KNOWN_USERS);
    let name = if is_existing { "user" } else { "none" };
    format!("{name}-{number}@example.com")
}

/// Signs in with a wrong password; returns the milliseconds that it took.
async fn fail(service: &Service, email: &str) -> anyhow::Result<f64> {
    let credentials =
        Credentials { email: email.to_owned(), password: "incorrect horse".to_owned(), code: None };
    let started = Instant::now();
    let answer = service.accounts.sign_in(credentials, SessionKind::Jwt, String::new()).await;
    let took = started.elapsed();
    let code = answer.err().map(|error| error.code);
    anyhow::ensure!(code == Some(ErrorCode::InvalidCredential), "unexpected result: {code:?}");
    Ok(took.as_secs_f64() * 1e3)
}

impl Sample {
    fn mean(&self) -> f64 {
        self.ms.iter().sum::<f64>() / as_f64(self.ms.len() as u64)
    }

    fn standard_error(&self) -> f64 {
        let (mean, count) = (self.mean(), as_f64(self.ms.len() as u64));
        let squares: f64 = self.ms.iter().map(|ms| (ms - mean).powi(2)).sum();
        (squares / (count - 1.0) / count).sqrt()
    }
}
