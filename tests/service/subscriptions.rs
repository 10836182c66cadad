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
