//! Analytics queries compared with a count of the same clicks one by one.
//!
//! The clicks are written into the log by the tests themselves: so they know each of them, and
//! count in a way that has nothing in common with the service's own.

mod batches;
mod buckets;
mod chunks;
mod comparison;
mod expected;
mod fact;
mod filter;
mod filters;
mod hostile;
mod pages;
mod question;
mod random;
mod rng;
mod rows;
mod runner;
mod time;
mod world;
