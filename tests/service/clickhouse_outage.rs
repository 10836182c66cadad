//! ClickHouse becomes unavailable; redirects and links keep working.

use serde_json::{Value, json};

use crate::harness::{ClickHouseServer, Options, Server, TOKEN, eventually, is_alive, within};

#[test]
fn without_clickhouse_links_and_redirects_go_on_and_analytics_say_so() {
    let server = Options::new().clickhouse_away().start();
    let link = server.link_to("https://example.com/before");
    assert_eq!(server.visit(&link).follow(), "https://example.com/before");
    let changed = json!({ "destination": "https://example.com/after" });
    server.api().patch(&link.path(), &changed).expect(200);
    let read = server.api().get(&link.path()).expect(200).data();
    assert_eq!((&read["clicks"], &read["unique_visitors"]), (&Value::Null, &Value::Null));
    assert_eq!(server.visit(&link).follow(), "https://example.com/after");
    assert_eq!(server.readiness()["projections"]["clickhouse"]["state"], "away");

    for path in
        ["/analytics", &format!("{}/countries", link.path()), &format!("{}/clicks", link.path())]
    {
        let refused = server.api().get(path);
        refused.problem(503, "ANALYTICS_UNAVAILABLE");
        assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    // A link that isn't there is no matter of ClickHouse's.
    server.api().get("/links/nothing/clicks").problem(404, "NOT_FOUND");
}

/// The engine is killed under visits, again and again: each click is counted, and once.
#[test]
fn an_engine_that_dies_is_back_and_has_each_click_once() {
    let server = Options::new().start();
    server.await_analytics();
    let link = server.link();
    let mut visits = 0;
    for _ in 0..3 {
        let engine = eventually("there is an engine", || server.engine_pid());
        for visit in 0..60 {
            server.visit(&link).send().expect(302);
            visits += 1;
            if visit == 30 {
                kill(engine);
            }
        }
        eventually("the engine is gone", || (!is_alive(engine)).then_some(()));
        eventually("another engine is there", || server.engine_pid().filter(|pid| *pid != engine));
    }
    server.await_clicks(&link, visits);
}

#[test]
fn the_engine_goes_with_the_service_however_that_goes() {
    let server = Options::new().start();
    server.await_analytics();
    let engine = eventually("there is an engine", || server.engine_pid());
    kill(server.pid());
    let limit = std::time::Duration::from_secs(2);
    within(limit, "the engine is gone", || (!is_alive(engine)).then_some(()));
}

/// The engine waits five seconds for open connections before it stops.
#[test]
fn no_idle_connection_delays_the_end() {
    let server = Options::new().start();
    server.await_analytics();
    server.api().get("/analytics").expect(200);
    let begun = std::time::Instant::now();
    assert!(server.stop().success());
    assert!(begun.elapsed() < std::time::Duration::from_millis(4_800), "{:?}", begun.elapsed());
}

/// One slugline's engine is another's server: the same code speaks to both.
#[test]
fn a_clickhouse_server_can_be_named() {
    let clickhouse = ClickHouseServer::start();
    let server = clickhouse.serve(Options::new()).start();
    assert_eq!(server.engine_pid(), None, "no engine of its own is started");
    let link = server.link();
    server.visit(&link).send().expect(302);
    server.await_clicks(&link, 1);
    assert!(
        !server.stderr.contains(clickhouse.endpoint.password.expose()),
        "the password is not logged"
    );

    // The server has the analytics of one log; another slugline refuses to use it.
    let other = clickhouse.serve(Options::new()).start();
    eventually("the other one is told", || other.stderr.contains("of another log").then_some(()));
    other.api_as(TOKEN).get("/analytics").problem(503, "ANALYTICS_UNAVAILABLE");
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn clicks_of_a_time_without_clickhouse_are_projected_later() {
    let first = Options::new().clickhouse_away().start();
    let link = first.link();
    for _ in 0..5 {
        first.visit(&link).send().expect(302);
    }
    let data = first.data.clone();
    assert!(first.stop().success());
    let second: Server = Options::at(&data).start();
    second.await_clicks(&link, 5);
}
