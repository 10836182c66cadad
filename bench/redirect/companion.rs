//! Other requests beside the redirects, at a fixed rate whatever the answers are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::slugline::Api;
use crate::traffic::public_address;

/// The number of users who sign in, in turn: so many that at 200 per second, the limit of attempts
/// per account is not reached while the first ones wait.
pub const USERS: u32 = 128;
/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";

/// The number of QR codes whose images are requested. With the sizes, there are so many images that
/// hardly any is requested twice, and answered from the cache.
pub const QR_CODES: u32 = 64;
/// The widths of these images.
const QR_SIZES: std::ops::Range<u32> = 300..900;

/// What is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Companion {
    /// Sign-ins of [users](USERS), each from another address.
    SignIns,
    /// PNG images of [QR codes](QR_CODES) with gradient and logo.
    QrImages,
}

/// The milliseconds of each answer by its status; 0 if there was none.
pub type Answers = BTreeMap<u16, Vec<f64>>;

impl Companion {
    /// In the plural.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignIns => "sign-ins",
            Self::QrImages => "QR images",
        }
    }

    async fn request(self, api: Api, number: u32) -> reqwest::Result<reqwest::Response> {
        let mut random = Xoshiro256PlusPlus::from_rng(&mut rand::rng());
        match self {
            Self::SignIns => api.sign_in(number % USERS, public_address(&mut random)).await,
            Self::QrImages => api.qr_image(number % QR_CODES, random.random_range(QR_SIZES)).await,
        }
    }

    /// Sends requests for the duration of a phase, and waits for all answers.
    pub async fn send(self, api: Api, per_second: u32, phase: Duration) -> Answers {
        let mut due = tokio::time::interval(Duration::from_secs(1) / per_second);
        let (end, mut sent) = (Instant::now() + phase, JoinSet::new());
        for number in 0_u32.. {
            due.tick().await;
            if Instant::now() >= end {
                break;
            }
            let api = api.clone();
            sent.spawn(async move {
                let begun = Instant::now();
                let answer = self.request(api, number).await;
                let status = answer.map_or(0, |answer| answer.status().as_u16());
                (status, begun.elapsed().as_secs_f64() * 1e3)
            });
        }
        let mut answers = Answers::new();
        while let Some(answer) = sent.join_next().await {
            let (status, ms) = answer.unwrap_or_default();
            answers.entry(status).or_default().push(ms);
        }
        answers
    }
}

/// The email address of a user.
pub fn email(user: u32) -> String {
    format!("user-{user}@example.com")
}
