//! Tests of the linearizability checker.

use crate::scenarios::linear::{Ask, Operation, Reply, is_linearizable};

fn operation(called: u64, answered: u64, ask: Ask, reply: Reply) -> Operation {
    Operation { called, answered, ask, reply }
}

fn link(title: u64, version: u64) -> Reply {
    Reply::Link { title, version }
}

fn change(title: u64) -> Ask {
    Ask::Change { title, only_if: None }
}

#[test]
fn good_histories_are_accepted() {
    let create = || operation(0, 10, Ask::Create { title: 1 }, link(1, 1));
    let histories: [&[Operation]; 5] = [
        &[],
        &[create(), operation(11, 12, Ask::Read, link(1, 1))],
        // A read concurrent with a change may see either version.
        &[
            create(),
            operation(20, 40, change(2), link(2, 2)),
            operation(25, 30, Ask::Read, link(2, 2)),
            operation(26, 31, Ask::Read, link(1, 1)),
        ],
        // An operation without an answer may have happened much later, or never.
        &[
            create(),
            operation(20, 21, change(2), Reply::Unknown),
            operation(30, 31, Ask::Read, link(1, 1)),
            operation(40, 41, Ask::Read, link(2, 2)),
        ],
        &[
            create(),
            operation(20, 21, Ask::Delete, Reply::Unknown),
            operation(30, 31, Ask::Read, link(1, 1)),
        ],
    ];
    for history in histories {
        assert!(is_linearizable(history), "{history:?}");
    }
}

#[test]
fn bad_histories_are_rejected() {
    let create = || operation(0, 10, Ask::Create { title: 1 }, link(1, 1));
    let histories: [&[Operation]; 6] = [
        // Two get the same slug.
        &[create(), operation(5, 9, Ask::Create { title: 2 }, link(2, 1))],
        // A read of what was before.
        &[
            create(),
            operation(20, 21, change(2), link(2, 2)),
            operation(30, 31, Ask::Read, link(1, 1)),
        ],
        // A lost update: two changes, and both are the second version.
        &[
            create(),
            operation(20, 30, change(2), link(2, 2)),
            operation(20, 30, change(3), link(3, 2)),
        ],
        // A change that its condition forbids.
        &[create(), operation(20, 21, Ask::Change { title: 2, only_if: Some(7) }, link(2, 2))],
        // Back from the dead.
        &[
            create(),
            operation(20, 21, Ask::Delete, Reply::Gone),
            operation(30, 31, Ask::Read, link(1, 1)),
        ],
        // Seen and then unseen, of one that was cut off.
        &[
            create(),
            operation(20, 21, change(2), Reply::Unknown),
            operation(30, 31, Ask::Read, link(2, 2)),
            operation(40, 41, Ask::Read, link(1, 1)),
        ],
    ];
    for history in histories {
        assert!(!is_linearizable(history), "{history:?}");
    }
}
