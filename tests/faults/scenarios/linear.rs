//! A linearizability checker: is there an order of the operations, each between its call and its
//! answer, that a single link could have produced? (Herlihy and Wing, "Linearizability", 1990; the
//! search is Wing and Gong's, with memoization.)

use std::collections::HashSet;

/// An operation on one slug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Create {
        title: u64,
    },
    Read,
    /// Change the title, perhaps only if the link is at this version.
    Change {
        title: u64,
        only_if: Option<u64>,
    },
    Delete,
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The link after the operation.
    Link {
        title: u64,
        version: u64,
    },
    Gone,
    NotFound,
    /// The slug is taken.
    Conflict,
    /// The link is at another version.
    Mismatch,
    /// The answer was cut off: it may have happened or not, then or later.
    Unknown,
}

/// One operation: when it was called and answered, on one clock.
#[derive(Debug, Clone)]
pub struct Operation {
    pub called: u64,
    pub answered: u64,
    pub ask: Ask,
    pub reply: Reply,
}

/// A link: title and version; `None` while there is none.
type State = Option<(u64, u64)>;

/// Applies an operation to a single link: the new state and the reply.
fn apply(state: State, ask: &Ask) -> (State, Reply) {
    let link = |title, version| (Some((title, version)), Reply::Link { title, version });
    match (ask, state) {
        (Ask::Create { title }, None) => link(*title, 1),
        (Ask::Create { .. }, some) => (some, Reply::Conflict),
        (_, None) => (None, Reply::NotFound),
        (Ask::Read, Some((title, version))) => link(title, version),
        (Ask::Change { only_if: Some(expected), .. }, Some((_, version)))
            if *expected != version =>
        {
            (state, Reply::Mismatch)
        }
        (Ask::Change { title, .. }, Some((_, version))) => link(*title, version + 1),
        (Ask::Delete, Some(_)) => (None, Reply::Gone),
    }
}

/// Whether the history is linearizable.
pub fn is_linearizable(history: &[Operation]) -> bool {
    let mut search =
        Search { history, done: vec![0; history.len().div_ceil(64)], tried: HashSet::new() };
    search.from(None)
}

struct Search<'a> {
    history: &'a [Operation],
    /// A bit for each operation that has its place.
    done: Vec<u64>,
    tried: HashSet<(Vec<u64>, State)>,
}

impl Search<'_> {
    fn is_done(&self, at: usize) -> bool {
        self.done[at / 64] & (1 << (at % 64)) != 0
    }

    fn from(&mut self, state: State) -> bool {
        let is_open = |at: &usize| !self.is_done(*at);
        let open: Vec<_> = (0..self.history.len()).filter(is_open).collect();
        let is_unknown = |at: &usize| self.history[*at].reply == Reply::Unknown;
        if open.iter().all(is_unknown) {
            // The remaining operations may never have happened.
            return true;
        }
        if !self.tried.insert((self.done.clone(), state)) {
            return false;
        }
        // Whatever comes next must have been called before the first of the others was answered.
        let answered = open.iter().filter(|at| !is_unknown(at));
        let first = answered.map(|at| self.history[*at].answered).min().unwrap_or(u64::MAX);
        for at in open {
            let Operation { called, ask, reply, .. } = &self.history[at];
            if *called > first {
                continue;
            }
            let (next, would_be) = apply(state, ask);
            if *reply != Reply::Unknown && *reply != would_be {
                continue;
            }
            self.done[at / 64] |= 1 << (at % 64);
            if self.from(next) {
                return true;
            }
            self.done[at / 64] &= !(1 << (at % 64));
        }
        false
    }
}
