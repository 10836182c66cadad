//! The lifecycle of the engine process: crashes, restarts and shutdown.

use super::*;

#[test]
fn a_killed_child_is_replaced_and_the_data_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(dir.path());
    let (before, child) = (up(&engine), pid(engine.pid().unwrap()));
    sql(&before, "", "CREATE TABLE slugline.t (a UInt64) ENGINE = MergeTree ORDER BY a").unwrap();
    sql(&before, "", "INSERT INTO slugline.t SELECT number FROM numbers(1000)").unwrap();

    kill_process(child, Signal::KILL).unwrap();
    let endpoint = engine.endpoint();
    within(Duration::from_secs(2), "the endpoint goes", || {
        (endpoint.borrow().as_ref() != Some(&before)).then_some(())
    });
    let after = up(&engine);
    assert_ne!(after.password, before.password);
    assert_ne!(engine.pid(), Some(child.as_raw_nonzero().get().unsigned_abs()));
    assert_eq!(sql(&after, "", "SELECT sum(a) FROM slugline.t").unwrap(), "499500");
    engine.shutdown(Duration::from_secs(5));
    assert!(endpoint.borrow().is_none());
}

#[test]
fn stop_signals_to_the_child_are_ignored_and_shutdown_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(dir.path());
    let (at, child) = (up(&engine), pid(engine.pid().unwrap()));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(child, signal).unwrap();
    }
    assert_eq!(sql(&at, "", "SELECT sleep(0.5)").unwrap(), "0");
    assert_eq!(engine.pid().map(pid), Some(child), "the same child answers");
    let asked = Instant::now();
    engine.shutdown(Duration::from_secs(30));
    assert!(!alive(child));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[test]
fn shutdown_and_drop_end_even_a_busy_child() {
    let dir = tempfile::tempdir().unwrap();
    for dropped in [false, true] {
        let engine = start(dir.path());
        let (at, child) = (up(&engine), pid(engine.pid().unwrap()));
        run_long(&at.url, at.password.expose());
        let asked = Instant::now();
        if dropped {
            drop(engine);
        } else {
            engine.shutdown(Duration::from_millis(200));
        }
        assert!(!alive(child));
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
}

#[test]
fn an_engine_that_cannot_start_is_tried_again_and_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(EngineOptions {
        exe: env!("CARGO_BIN_EXE_slugline").into(),
        lib: dir.path().join("no-such-library.so"),
        data_dir: dir.path().join("data"),
        run_dir: dir.path().join("run"),
        config: EngineConfig::default(),
    })
    .unwrap();
    let mut children = std::collections::HashSet::new();
    within(Duration::from_secs(30), "three children are tried", || {
        children.extend(engine.pid());
        (children.len() >= 3).then_some(())
    });
    assert!(engine.endpoint().borrow().is_none());
    engine.shutdown(Duration::from_secs(5));
}
