//! Hashes and verifies passwords, of users and of links.
//!
//! Argon2id with 19 MiB and two passes, as recommended by OWASP's password storage cheat sheet,
//! takes about 20 ms of CPU time. It must not delay redirects, so it runs on its own thread of low
//! priority, behind a queue no longer than that thread can work off before callers give up. The
//! thread keeps the memory for the next hash: mapping it each time stalls the other threads.

use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash as Phc, Salt};
use argon2::password_hash::{self, try_generate_salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::limits::{PASSWORD_QUEUE_LEN, PASSWORD_QUEUE_TIMEOUT, PASSWORD_THREADS};
use crate::log::thread_pool::{PoolError, ThreadPool};

/// What a guess is verified against where there is no hash. It has the parameters of real ones, so
/// that the time of an answer doesn't tell whether a user exists.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                     $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The memory of a thread.
type Memory = Vec<Block>;

/// Hashes and verifies passwords. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    pool: ThreadPool<Memory>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { pool: ThreadPool::new("passwords", PASSWORD_THREADS, PASSWORD_QUEUE_LEN) }
    }
}

impl Passwords {
    /// Hashes a password with a random salt. Returns a PHC string.
    ///
    /// # Errors
    /// `Overloaded` if too many passwords are waiting.
    pub async fn hash(&self, password: String) -> Result<String> {
        let hash = self.run(PASSWORD_QUEUE_TIMEOUT, move |memory| {
            let mut hash = Phc::new(DUMMY)?;
            hash.salt = Some(Salt::new(&try_generate_salt()?)?);
            hash.hash = Some(digest(memory, password.as_bytes(), &hash)?);
            password_hash::Result::Ok(hash.to_string())
        });
        hash.await?.map_err(ServiceError::changes_unavailable)
    }

    /// Whether the password matches the hash, a PHC string. Without a hash, it takes the same time
    /// and is false.
    ///
    /// # Errors
    /// `Overloaded` if too many passwords are waiting.
    pub async fn is_right(&self, guess: String, phc: Option<String>) -> Result<bool> {
        self.run(PASSWORD_QUEUE_TIMEOUT, move |memory| {
            let hash = Phc::new(phc.as_deref().unwrap_or(DUMMY));
            let is_right = hash.is_ok_and(|hash| {
                let output = digest(memory, guess.as_bytes(), &hash).ok();
                // Outputs are compared in constant time.
                output.is_some() && output == hash.hash
            });
            is_right && phc.is_some()
        })
        .await
    }

    /// Runs `work` on one of the threads. It is skipped if its caller has given up by then.
    async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T> {
        self.pool.run(timeout, work).await.map_err(|error| match error {
            PoolError::Busy => overloaded(),
            PoolError::Panicked => ServiceError::changes_unavailable("hashing panicked"),
            PoolError::Io(error) => error.into(),
        })
    }
}

/// Hashes a password with the parameters and the salt of a hash.
fn digest(memory: &mut Memory, password: &[u8], of: &Phc) -> password_hash::Result<Output> {
    let params = Params::try_from(of)?;
    let algorithm = Algorithm::try_from(of.algorithm.as_str())?;
    let version = of.version.map_or(Ok(Version::default()), Version::try_from)?;
    let (Some(salt), Some(like)) = (of.salt, of.hash) else {
        return Err(password_hash::Error::PasswordInvalid);
    };
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::default());
    }
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..like.len()).unwrap_or_default();
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(password, &salt, output, memory)?;
    Ok(Output::new(output)?)
}

fn overloaded() -> ServiceError {
    let message = "Too many passwords are waiting to be checked; please try again.";
    ServiceError::unavailable(ErrorCode::Overloaded, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::mpsc::channel;

    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_password_is_hashed_and_verified() {
        let passwords = Passwords::default();
        let phc = passwords.hash("open sesame".to_owned()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        Argon2::default().verify_password(b"open sesame", &Phc::new(&phc).unwrap()).unwrap();
        let other: Phc = Argon2::default().hash_password(b"open sesame").unwrap();
        let other = Some(other.to_string());
        assert_eq!(passwords.is_right("open sesame".to_owned(), other).await, Ok(true));
        assert_ne!(passwords.hash("open sesame".to_owned()).await.unwrap(), phc, "salted");
        for (guess, is_right) in [("open sesame", true), ("open sesam", false), ("", false)] {
            let answer = passwords.is_right(guess.to_owned(), Some(phc.clone())).await;
            assert_eq!(answer, Ok(is_right), "{guess}");
            assert_eq!(passwords.is_right(guess.to_owned(), None).await, Ok(false), "{guess}");
        }
        let garbled = Some("garbled".to_owned());
        assert_eq!(passwords.is_right("open sesame".to_owned(), garbled).await, Ok(false));
    }

    /// A hash that cannot be parsed, or has cheaper parameters, would be told by the time it takes.
    #[test]
    fn a_missing_hash_costs_the_same_as_a_present_one() {
        let phc: Phc = Argon2::default().hash_password(b"open sesame").unwrap();
        let dummy = Phc::new(DUMMY).unwrap();
        assert_eq!(dummy.algorithm, phc.algorithm);
        assert_eq!((dummy.version, &dummy.params), (phc.version, &phc.params));
        let lengths = |phc: &Phc| {
            (phc.salt.map(|salt| salt.len()), phc.hash.as_ref().map(|hash| hash.as_bytes().len()))
        };
        assert_eq!(lengths(&dummy), lengths(&phc));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_panic_ends_nothing() {
        let passwords = Passwords::default();
        let (started, starts) = channel();
        let (go_on, wait) = channel::<()>();
        let blocking = tokio::spawn({
            let passwords = passwords.clone();
            async move {
                let work = move |_: &mut Memory| {
                    started.send(()).unwrap();
                    wait.recv().is_ok()
                };
                passwords.run(LONG, work).await
            }
        });
        tokio::task::spawn_blocking(move || starts.recv().unwrap()).await.unwrap();
        let timed_out =
            passwords.run(Duration::from_millis(1), |_| panic!("its caller left")).await;
        assert_eq!(timed_out, Err::<(), _>(overloaded()));
        assert!(overloaded().retry_after_seconds.is_some());
        let (ran, runs) = channel();
        let queue = passwords.pool.queue().unwrap();
        // The one that timed out is still in the queue.
        for _ in 1..PASSWORD_QUEUE_LEN {
            let ran = ran.clone();
            queue.try_send(Box::new(move |_| ran.send(()).unwrap())).unwrap();
        }
        assert_eq!(passwords.run(LONG, |_| ()).await, Err(overloaded()));
        drop((ran, queue));
        go_on.send(()).unwrap();
        assert_eq!(blocking.await.unwrap(), Ok(true));
        let counted = tokio::task::spawn_blocking(move || runs.iter().count()).await.unwrap();
        assert_eq!(counted, PASSWORD_QUEUE_LEN - 1, "the queue is worked off");
        let panicked = passwords.run(LONG, |_| panic!("a defect")).await;
        assert_eq!(
            panicked.map_err(|error| error.code),
            Err::<(), _>(ErrorCode::ChangesUnavailable)
        );
        assert_eq!(passwords.run(LONG, |_| 7).await, Ok(7));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_thread_has_low_priority_and_ends_with_the_last_clone() {
        /// The niceness and the folder of this thread.
        fn this_thread() -> (i32, std::path::PathBuf) {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
            let folder = std::fs::read_link("/proc/thread-self").unwrap();
            (fields.nth(16).unwrap().parse().unwrap(), std::path::Path::new("/proc").join(folder))
        }
        let passwords = Passwords::default();
        let clone = passwords.clone();
        let (niceness, thread) = passwords.run(LONG, |_| this_thread()).await.unwrap();
        assert_eq!(niceness, 19);
        drop(passwords);
        assert_eq!(clone.run(LONG, |_| 7).await, Ok(7));
        assert!(thread.exists());
        drop(clone);
        while thread.exists() {
            tokio::task::yield_now().await;
        }
    }
}
