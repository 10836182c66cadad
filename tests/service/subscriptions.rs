//! Subscriptions: what payment providers report by signed webhooks.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::accounts::operator;
use crate::harness::{Answer, Options, Server};

const PLANS: &str = "default = 'acme/free'\n\
    [[plans]]\nid = 'acme/free'\nname = 'Free'\nlimits = { links_per_month = 1 }\n\
    [[plans]]\nid = 'acme/core'\nname = 'Core'\nlimits = { links_per_month = 3 }\n";
const STRIPE: &str = "whsec_of_the_stripe_endpoint";
const GENERIC: &str = "a secret of the generic reports";

fn start() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plans.toml");
    fs::write(&file, PLANS).unwrap();
    let options = Options::links_only().flag("--plans", &file);
    let options = options.env("SLUGLINE_STRIPE_WEBHOOK_SECRET", STRIPE);
    (options.env("SLUGLINE_BILLING_WEBHOOK_SECRET", GENERIC).start(), folder)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signature(secret: &str, at: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    let tag: [u8; 32] = mac.finalize().into_bytes().into();
    let tag = slugline::identity::signing::hex(&tag);
    format!("t={at},v1={tag}")
}

fn send(server: &Server, name: &str, header: &str, signature: &str, body: &str) -> Answer {
    let request = server.api_as("").request(Method::POST, &format!("/billing/webhooks/{name}"));
    let request = request.header("content-type", "application/json").header(header, signature);
    Answer::to(request.body(body.to_owned()))
}

fn stripe(server: &Server, event: &Value) -> Answer {
    let body = event.to_string();
    send(server, "stripe", "stripe-signature", &signature(STRIPE, now(), &body), &body)
}

fn generic(server: &Server, report: &Value) -> Answer {
    let body = report.to_string();
    send(server, "generic", "slugline-signature", &signature(GENERIC, now(), &body), &body)
}

fn event(id: &str, created: u64, kind: &str, object: &Value) -> Value {
    json!({ "id": id, "object": "event", "created": created, "type": kind, "data": { "object": object } })
}

fn workspace(server: &Server) -> String {
    let all = operator(server).get("/admin/workspaces").data();
    let all = all.as_array().unwrap();
    let found = all.iter().find(|workspace| workspace["name"] == "default");
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

fn subscription(server: &Server) -> [Value; 3] {
    let data = server.api().get("/billing/subscription").expect(200).data();
    [data["plan"].clone(), data["status"].clone(), data["ends_at"].clone()]
}

fn plan(server: &Server) -> Value {
    server.api().get("/user/limits").data()["plan"]["id"].clone()
}

#[test]
fn a_subscription_of_stripe_runs_from_checkout_to_its_end() {
    let (server, _folder) = start();
    let id = workspace(&server);
    let at = now();
    assert_eq!(plan(&server), "acme/free");
    server.api().get("/billing/subscription").expect(404);
    let invoice = |id: &str, amount: u64| {
        json!({
            "id": id, "object": "invoice", "currency": "eur", "amount_paid": amount,
            "amount_due": 800, "payment_intent": format!("pi_{id}"),
            "parent": { "subscription_details": { "subscription": "sub_1" } },
            "lines": { "data": [{ "period": { "start": at, "end": at + 2_592_000 } }] },
        })
    };
    // Stripe keeps no order.
    let paid = event("evt_2", at + 1, "invoice.paid", &invoice("in_1", 800));
    stripe(&server, &paid).problem(409, "CONFLICT");
    let session = json!({
        "id": "cs_1", "mode": "subscription", "subscription": "sub_1", "client_reference_id": id,
        "payment_status": "paid", "metadata": { "plan": "acme/core" },
    });
    let checkout = event("evt_1", at, "checkout.session.completed", &session);
    stripe(&server, &checkout).expect(204);
    stripe(&server, &paid).expect(204);
    assert_eq!(subscription(&server), [json!("acme/core"), json!("active"), Value::Null]);
    assert_eq!(plan(&server), "acme/core");
    for _ in 0..3 {
        server.api().create(&json!({ "destination": "https://example.com/" }));
    }
    let failed = event("evt_3", at + 2, "invoice.payment_failed", &invoice("in_2", 0));
    stripe(&server, &failed).expect(204);
    assert_eq!(subscription(&server)[1], "past_due");
    let state = json!({
        "id": "sub_1", "status": "active", "cancel_at_period_end": true,
        "items": { "data": [{
            "price": { "lookup_key": "acme/core" },
            "current_period_start": at, "current_period_end": at + 100,
        }] },
    });
    stripe(&server, &event("evt_4", at + 3, "customer.subscription.updated", &state)).expect(204);
    assert_eq!(subscription(&server)[1], "canceled");
    assert!(subscription(&server)[2].is_string());
    let ended = event("evt_5", at + 4, "customer.subscription.deleted", &json!({ "id": "sub_1" }));
    stripe(&server, &ended).expect(204);
    server.api().get("/billing/subscription").expect(404);
    assert_eq!(plan(&server), "acme/free");
    let refund = json!({
        "id": "ch_1", "payment_intent": "pi_in_1", "amount_refunded": 300, "currency": "eur",
    });
    stripe(&server, &event("evt_6", at + 5, "charge.refunded", &refund)).expect(204);
    let invoices = server.api().get("/billing/invoices").data();
    let find = |id: &str| invoices.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
    let shown = |id: &str| {
        let one = find(id);
        json!([one["status"], one["amount"], one["refunded"], one["currency"]])
    };
    assert_eq!(shown("in_1"), json!(["refunded", "8.00", "3.00", "EUR"]));
    assert_eq!(shown("in_2"), json!(["failed", "8.00", "0.00", "EUR"]));
    assert_replays_change_nothing(server, &[&checkout, &paid, &failed, &ended]);
}

/// A replay of each event changes nothing, nor do events that do not matter.
fn assert_replays_change_nothing(server: Server, events: &[&Value]) {
    for event in events {
        stripe(&server, event).expect(204);
    }
    stripe(&server, &event("evt_7", now(), "customer.created", &json!({}))).expect(204);
    server.api().get("/billing/subscription").expect(404);
    let data = server.data.clone();
    assert!(server.stop().success());
    let events = data.dump("mutations");
    let kinds = [
        "SubscriptionStarted",
        "SubscriptionRenewed",
        "SubscriptionPastDue",
        "SubscriptionCanceled",
        "SubscriptionExpired",
        "PaymentRefunded",
    ];
    for kind in kinds {
        assert_eq!(events.iter().filter(|event| event["kind"] == kind).count(), 1, "{kind}");
    }
}

#[test]
fn forged_reports_change_nothing() {
    let (server, _folder) = start();
    let id = workspace(&server);
    let report = json!({
        "id": "r1", "at": "2026-11-27T10:00:00Z", "type": "subscription.started",
        "workspace": id, "subscription": "s1", "plan": "acme/core",
    });
    let body = report.to_string();
    let header = "slugline-signature";
    let forged = [
        signature("another secret of some length", now(), &body),
        signature(GENERIC, now() - 3_600, &body),
        signature(GENERIC, now(), &body.replace("acme/core", "unlimited")),
        signature(STRIPE, now(), &body),
        String::new(),
        "t=1,v1=00".to_owned(),
    ];
    for signature in &forged {
        send(&server, "generic", header, signature, &body).problem(401, "INVALID_API_KEY");
    }
    let stripe_body =
        event("evt_1", now(), "customer.subscription.deleted", &json!({ "id": "s1" }));
    let signed = signature(GENERIC, now(), &stripe_body.to_string());
    send(&server, "stripe", "stripe-signature", &signed, &stripe_body.to_string()).expect(401);
    assert_eq!(plan(&server), "acme/free");
    let unused = Options::links_only().start();
    generic(&unused, &report).problem(404, "NOT_FOUND");
    generic(&server, &report).expect(204);
    assert_eq!(plan(&server), "acme/core");
}

#[test]
fn a_report_names_what_is_wrong_with_it() {
    let (server, _folder) = start();
    let id = workspace(&server);
    let base = |extra: Value| {
        let mut report = json!({
            "id": "r1", "at": "2026-11-27T10:00:00Z", "workspace": id,
            "subscription": "s1", "plan": "acme/core", "type": "subscription.started",
        });
        report.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        report
    };
    for (extra, field) in [
        (json!({ "type": "subscription.exploded" }), "type"),
        (json!({ "plan": "acme/none" }), "plan"),
        (json!({ "plan": null }), "plan"),
        (json!({ "subscription": "" }), "subscription"),
        (json!({ "workspace": "here" }), "workspace"),
        (json!({ "id": "" }), "id"),
        (json!({ "colour": 1 }), "colour"),
        (json!({ "type": "credits.bought", "kind": "wishes", "credits": 1 }), "kind"),
        (json!({ "type": "credits.bought", "kind": "links", "credits": 5 }), "invoice"),
        (
            json!({ "type": "subscription.paid",
            "invoice": { "id": "i", "amount": "-1", "currency": "EUR" } }),
            "invoice",
        ),
    ] {
        generic(&server, &base(extra)).refuses(400, "VALIDATION_ERROR", &[field]);
    }
    let nowhere = json!({ "workspace": "ws_01kaj9m3v8e9qrs4t5v6w7x8y9" });
    generic(&server, &base(nowhere)).expect(404);
    generic(&server, &base(json!({}))).expect(204);
    let second = json!({ "id": "r2", "subscription": "s2" });
    generic(&server, &base(second)).refuses(409, "CONFLICT", &["subscription"]);
    let bought = json!({
        "id": "r3", "type": "credits.bought", "kind": "links", "credits": 5,
        "invoice": { "id": "i1", "amount": "4.50", "currency": "EUR" },
    });
    generic(&server, &base(bought)).expect(204);
    let balance = || server.api().get("/billing/credits").data()[0]["balance"].clone();
    assert_eq!(balance(), 5);
    let refund = json!({
        "id": "r4", "type": "payment.refunded", "payment": "i1", "refunded_minor": 450,
    });
    generic(&server, &base(refund)).expect(204);
    assert_eq!(balance(), 0);
}

fn auto_recharge(server: &Server) -> Value {
    server.api().get("/billing/auto-recharge").data()[0].clone()
}

fn open_recharges(server: &Server) -> Value {
    operator(server).get("/admin/recharges").expect(200).data()
}

fn balance(server: &Server) -> Value {
    server.api().get("/billing/credits").data()[0]["balance"].clone()
}

/// The report that requested credits are bought.
fn bought(id: &str, recharge: &Value) -> Value {
    json!({
        "id": id, "at": "2026-11-27T10:00:00Z", "type": "credits.bought",
        "workspace": recharge["workspace"], "recharge": recharge["id"],
        "kind": "links", "credits": recharge["amount"],
        "invoice": { "id": format!("invoice-{id}"), "amount": "4.50", "currency": "EUR" },
    })
}

fn failed(id: &str, recharge: &Value) -> Value {
    json!({
        "id": id, "at": "2026-11-27T10:00:00Z", "type": "recharge.failed",
        "workspace": recharge["workspace"], "recharge": recharge["id"], "reason": "declined",
    })
}

const RECHARGE: &str = "/billing/auto-recharge";

#[test]
fn credits_are_requested_bought_and_after_failures_no_longer_requested() {
    let (server, _folder) = start();
    let settings = |threshold: u64| {
        json!({
            "kind": "links", "enabled": true, "threshold": threshold, "amount": 3,
            "monthly_limit": 9,
        })
    };
    assert_eq!(auto_recharge(&server)["threshold"], Value::Null);
    let set = server.api().put(RECHARGE, &settings(1)).expect(200).data();
    assert_eq!((&set["enabled"], &set["open"]["amount"]), (&json!(true), &json!(3)));
    assert_eq!(set, auto_recharge(&server));
    let open = open_recharges(&server);
    assert_eq!(open, json!([set["open"]]));
    let id = workspace(&server);
    assert_eq!((&open[0]["workspace"], &open[0]["kind"]), (&json!(id), &json!("links")));

    let mut other = bought("r1", &open[0]);
    other["credits"] = json!(4);
    generic(&server, &other).refuses(400, "VALIDATION_ERROR", &["credits"]);
    other["recharge"] = json!("recharge-1");
    generic(&server, &other).refuses(400, "VALIDATION_ERROR", &["recharge"]);
    generic(&server, &bought("r1", &open[0])).expect(204);
    generic(&server, &bought("r1", &open[0])).expect(204);
    generic(&server, &failed("r2", &open[0])).expect(204);
    assert_eq!(balance(&server), 3, "once");
    let state = auto_recharge(&server);
    let summary = |state: &Value| json!([state["requested"], state["failures"], state["open"]]);
    assert_eq!(summary(&state), json!([3, 0, null]));
    assert_eq!(open_recharges(&server), json!([]));

    // Beyond the allowance of one link, each uses a credit.
    server.api().put(RECHARGE, &settings(3)).expect(200);
    server.api().create(&json!({ "destination": "https://example.com/" }));
    for failures in 1..=3 {
        server.api().create(&json!({ "destination": "https://example.com/" }));
        let open = open_recharges(&server);
        generic(&server, &failed(&format!("f{failures}"), &open[0])).expect(204);
        generic(&server, &failed(&format!("f{failures}"), &open[0])).expect(204);
        assert_eq!(summary(&auto_recharge(&server)), json!([3, failures, null]));
    }
    assert_eq!(auto_recharge(&server)["enabled"], false);
    assert_eq!(balance(&server), 0);
    server.api().put(RECHARGE, &settings(3)).expect(200);
    let before = auto_recharge(&server);
    assert_eq!((&before["failures"], before["open"].is_object()), (&json!(0), true));
    let data = server.data.clone();
    assert!(server.stop().success());
    let events = data.dump("mutations");
    let count = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    let counts = ["RechargeRequested", "RechargeFailed", "CreditsGranted"].map(count);
    assert_eq!(counts, [5, 3, 1]);
}

#[test]
fn auto_recharge_is_checked_and_set_by_those_who_may() {
    let (server, _folder) = start();
    let base = |extra: Value| {
        let mut body = json!({
            "kind": "links", "enabled": true, "threshold": 1, "amount": 5, "monthly_limit": 10,
        });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    for (extra, field) in [
        (json!({ "kind": "wishes" }), "kind"),
        (json!({ "threshold": 0 }), "threshold"),
        (json!({ "threshold": -1 }), "threshold"),
        (json!({ "amount": 0 }), "amount"),
        (json!({ "amount": 11 }), "amount"),
        (json!({ "monthly_limit": 0 }), "monthly_limit"),
        (json!({ "monthly_limit": -5 }), "monthly_limit"),
        (json!({ "monthly_limit": 1.5 }), "monthly_limit"),
        (json!({ "enabled": "yes" }), "enabled"),
        (json!({ "colour": 1 }), "colour"),
    ] {
        server.api().put(RECHARGE, &base(extra)).refuses(400, "VALIDATION_ERROR", &[field]);
    }
    assert_eq!(auto_recharge(&server)["amount"], Value::Null);
    let token = json!({ "name": "t", "abilities": ["user:write", "workspace:write"] });
    let secret = server.api().post("/tokens", &token).expect(201).data()["token"].clone();
    let api = server.api_as(secret.as_str().unwrap());
    api.put(RECHARGE, &base(json!({}))).problem(403, "FORBIDDEN");
    server.api().get("/admin/recharges").problem(403, "FORBIDDEN");
}

/// In newer versions of Stripe's API, an invoice does not name its payment.
#[test]
fn payments_of_stripe_that_are_reported_apart_are_found_by_refunds_and_recharges() {
    let (server, _folder) = start();
    let (id, at) = (workspace(&server), now());
    let session = json!({
        "id": "cs_1", "mode": "subscription", "subscription": "sub_1", "client_reference_id": id,
        "payment_status": "paid", "metadata": { "plan": "acme/core" },
    });
    stripe(&server, &event("evt_1", at, "checkout.session.completed", &session)).expect(204);
    let invoice = json!({
        "id": "in_1", "object": "invoice", "currency": "eur", "amount_paid": 800,
        "parent": { "subscription_details": { "subscription": "sub_1" } },
    });
    let payment = json!({
        "id": "inpay_1", "object": "invoice_payment", "invoice": "in_1", "amount_paid": 800,
        "currency": "eur", "status": "paid",
        "payment": { "type": "payment_intent", "payment_intent": "pi_1" },
    });
    let payment = event("evt_2", at + 1, "invoice_payment.paid", &payment);
    stripe(&server, &payment).problem(409, "CONFLICT");
    stripe(&server, &event("evt_3", at + 1, "invoice.paid", &invoice)).expect(204);
    stripe(&server, &payment).expect(204);
    let refund = json!({
        "id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 800, "currency": "eur",
    });
    stripe(&server, &event("evt_4", at + 2, "charge.refunded", &refund)).expect(204);
    let invoices = server.api().get("/billing/invoices").data();
    assert_eq!((&invoices[0]["id"], &invoices[0]["status"]), (&json!("in_1"), &json!("refunded")));

    let settings = json!({
        "kind": "links", "enabled": true, "threshold": 5, "amount": 2, "monthly_limit": 4,
    });
    server.api().put(RECHARGE, &settings).expect(200);
    let intent = |id: &str| {
        let open = open_recharges(&server)[0].clone();
        json!({
            "id": id, "object": "payment_intent", "currency": "eur", "amount_received": 300,
            "last_payment_error": { "code": "card_declined" },
            "metadata": {
                "workspace": open["workspace"], "recharge": open["id"], "credits": "2",
            },
        })
    };
    let failed = event("evt_5", at + 3, "payment_intent.payment_failed", &intent("pi_2"));
    stripe(&server, &failed).expect(204);
    assert_eq!(auto_recharge(&server)["failures"], 1);
    let raised = json!({
        "kind": "links", "enabled": true, "threshold": 6, "amount": 2, "monthly_limit": 4,
    });
    server.api().put(RECHARGE, &raised).expect(200);
    let paid = event("evt_6", at + 4, "payment_intent.succeeded", &intent("pi_3"));
    stripe(&server, &paid).expect(204);
    stripe(&server, &paid).expect(204);
    assert_eq!(balance(&server), 2);
    // A payment of something else, which has a checkout or an invoice.
    let other = json!({ "id": "pi_9", "currency": "eur", "amount_received": 300 });
    stripe(&server, &event("evt_7", at + 5, "payment_intent.succeeded", &other)).expect(204);
    assert_eq!(balance(&server), 2);
    let invoices = server.api().get("/billing/invoices?limit=1");
    assert_eq!(invoices.json()["meta"]["total"], 2);
    assert_eq!(invoices.data()[0]["id"], "pi_3");
}
