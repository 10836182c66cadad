//! Credits that imports reserve.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::harness::{Answer, Server, eventually};
use crate::imports::{begin, counts, ended};
use crate::plans::{PLANS, create, grant, options, set_plan, start, used};

/// A file of links; each thousandth can't be taken.
fn file_of(rows: u64) -> String {
    let mut file = String::from("destination\n");
    for row in 0..rows {
        let scheme = if row % 1_000 == 7 { "ftp" } else { "https" };
        writeln!(file, "{scheme}://example.com/{row}").unwrap();
    }
    file
}

/// The balance and the reserved credits.
fn credits(server: &Server) -> (Value, Value) {
    let credits = server.api().get("/billing/credits").data()[0].clone();
    (credits["balance"].clone(), credits["reserved"].clone())
}

/// The number of credits in the ledger by kind of entry, those of debits with a reservation apart.
/// Each balance follows from the entries before it.
fn fold_ledger(server: &Server) -> BTreeMap<String, i64> {
    let (mut entries, mut page) = (Vec::new(), 1);
    loop {
        let listed = server.api().get(&format!("/billing/ledger?limit=100&page={page}")).json();
        entries.extend(listed["data"].as_array().unwrap().clone());
        if listed["meta"]["total"] == entries.len() {
            break;
        }
        page += 1;
    }
    let (mut sums, mut balance, mut reserved) = (BTreeMap::<_, i64>::new(), 0, 0);
    for entry in entries.iter().rev() {
        let (name, amount) = (entry["entry"].as_str().unwrap(), entry["amount"].as_i64().unwrap());
        let is_reserved = entry["reservation"].is_string();
        match name {
            "debited" if is_reserved => reserved += amount,
            "reserved" | "released" => (balance, reserved) = (balance + amount, reserved - amount),
            _ => balance += amount,
        }
        assert!(reserved >= 0, "{entry}");
        assert_eq!(entry["balance"], balance, "{entry}");
        let name = if is_reserved { "debited from a reservation" } else { name };
        *sums.entry(name.to_owned()).or_default() += amount;
    }
    assert_eq!(credits(server), (json!(balance), json!(reserved)));
    sums
}

/// Others can take neither the credits nor the part of the allowance that an import needs. A kill
/// changes nothing about that, and what is left is released once.
#[test]
fn an_import_reserves_what_it_needs_across_kills() {
    const ROWS: u64 = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let server = options(&folder, PLANS).start();
    let plan = json!({ "plan": "acme/core", "overrides": { "links_per_month": 3_000 } });
    set_plan(&server, &plan).expect(200);
    grant(&server, &json!({ "kind": "links", "amount": 3_005 })).expect(201);
    let begun = begin(&server, "?format=csv", &file_of(ROWS)).expect(202).data();
    let import = begun["id"].as_str().unwrap();
    eventually("credits are reserved", || (credits(&server).1 != 0).then_some(()));
    while create(&server).status == 201 {}
    let job = server.api().get(&format!("/imports/{import}")).data();
    assert_eq!(job["state"], "running");
    let (balance, reserved) = credits(&server);
    assert_eq!(balance, 0);
    assert!(reserved.as_u64().is_some_and(|reserved| reserved > 0), "{reserved}");
    let data = server.data.clone();
    drop(server);

    let server = options(&folder, PLANS).with_data(&data).start();
    assert_eq!(counts(&ended(&server, import)), [ROWS, ROWS - 6, 0, 0, 0, 6]);
    let expected = [
        ("debited", -5),
        ("debited from a reservation", -2_994),
        ("granted", 3_005),
        ("released", 6),
        ("reserved", -3_000),
    ];
    assert_eq!(fold_ledger(&server), expected.map(|(name, sum)| (name.to_owned(), sum)).into());
    assert_eq!(used(&server, "links_per_month")["used"], ROWS - 6 + 5);
    let ledger = server.api().get("/billing/ledger?limit=1").data();
    assert_eq!((&ledger[0]["entry"], &ledger[0]["subject"]), (&json!("released"), &json!(import)));
    let audited = server.api().get("/audit?action=credits.reserved").data();
    assert_eq!((audited.as_array().unwrap().len(), &audited[0]["subject"]), (1, &json!(import)));
    assert!(server.stop().success());
    let events = data.dump("mutations");
    let of_import = |kind: &str| {
        let mut events = events.iter().filter(|event| event["kind"] == kind);
        let event = events.next().unwrap()["event"].clone();
        assert_eq!((&event["import"], events.next()), (&json!(import), None));
        json!([event["amount"], event["allowance"]])
    };
    assert_eq!(of_import("CreditsReserved"), json!([3_000, 3_000]));
    assert_eq!(of_import("CreditsReleased"), json!([6, null]));
}

#[test]
fn an_import_that_cannot_be_paid_is_refused_at_its_start() {
    let (server, _folder) = start(PLANS);
    let plan = json!({ "plan": "acme/core", "overrides": { "links_per_month": 3 } });
    set_plan(&server, &plan).expect(200);
    grant(&server, &json!({ "kind": "links", "amount": 4 })).expect(201);
    let run = |query: &str| {
        let begun = begin(&server, &format!("?format=csv{query}"), &file_of(7 + 3)).expect(202);
        ended(&server, begun.data()["id"].as_str().unwrap())
    };
    let refused = run("");
    assert_eq!((&refused["state"], counts(&refused)), (&json!("failed"), [0; 6]));
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("only 7 more this month: 3 credits are missing"), "{error}");
    let dry = run("&dry_run=true");
    assert_eq!((&dry["state"], &dry["error"]), (&refused["state"], &refused["error"]));
    assert_eq!(counts(&run("&dry_run=true&on_conflict=skip")), [10, 7, 0, 0, 0, 3]);
    assert_eq!(fold_ledger(&server).into_keys().collect::<Vec<_>>(), ["granted"]);
    // It may need fewer: then it gets what there is.
    assert_eq!(counts(&run("&on_conflict=skip")), [10, 7, 0, 0, 0, 3]);
    assert_eq!(credits(&server), (json!(0), json!(0)));
    assert_eq!(fold_ledger(&server)["debited from a reservation"], -4);
}

/// Rows are read in batches of 500; the allowance and the credits are those of all of them.
#[test]
fn a_dry_run_counts_the_allowance_once() {
    let (server, _folder) = start(PLANS);
    let plan = json!({ "plan": "acme/core", "overrides": { "links_per_month": 600 } });
    set_plan(&server, &plan).expect(200);
    grant(&server, &json!({ "kind": "links", "amount": 100 })).expect(201);
    let run = |query: &str| {
        let query = format!("?format=csv&on_conflict=skip{query}");
        let begun = begin(&server, &query, &file_of(1_300)).expect(202).data();
        counts(&ended(&server, begun["id"].as_str().unwrap()))
    };
    let dry = run("&dry_run=true");
    assert_eq!(dry, [1_300, 700, 0, 0, 0, 600]);
    assert_eq!(credits(&server).0, 100, "nothing is debited");
    assert_eq!(run(""), dry, "the import does what the dry run said");
}

/// Of an import that is canceled, and of one that is lost.
#[test]
fn the_reservation_of_an_import_that_is_gone_is_released() {
    const SECRET: &str = "secret-of-a-scheduler";
    let folder = tempfile::tempdir().unwrap();
    let started = options(&folder, PLANS).env("SLUGLINE_CRON_SECRET", SECRET);
    let server = started.start();
    set_plan(&server, &json!({ "plan": "acme/core" })).expect(200);
    grant(&server, &json!({ "kind": "links", "amount": 9_000 })).expect(201);
    let begin = |server: &Server| {
        let begun = begin(server, "?format=csv", &file_of(6_000)).expect(202).data();
        eventually("credits are reserved", || (credits(server).1 != 0).then_some(()));
        format!("/imports/{}", begun["id"].as_str().unwrap())
    };
    server.api().delete(&begin(&server)).expect(204);
    assert_eq!(credits(&server).1, 0);
    begin(&server);
    let data = server.data.clone();
    drop(server);
    fs::remove_dir_all(data.path().join("imports")).unwrap();
    let server = started.with_data(&data).start();
    assert_ne!(credits(&server).1, 0);
    let renew = format!("/compat/linktj/api/cron?secret={SECRET}&task=renew");
    Answer::to(server.request(reqwest::Method::POST, &renew)).expect(200);
    assert_eq!(credits(&server).1, 0);
    fold_ledger(&server);
}
