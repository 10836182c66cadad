//! Campaigns and UTM templates, and the parameters that links inherit.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::Options;
use crate::labels::{TO, id, made};

#[test]
fn links_take_over_what_their_campaign_says() {
    let server = Options::links_only().start();
    let fields = json!({
        "name": "Spring sale", "description": "2027", "utm_source": "mail", "utm_campaign": "sale",
    });
    let campaign = server.api().post("/campaigns", &fields).expect(201).data();
    assert!(id(&campaign).starts_with("camp_"));
    assert_eq!(campaign["links"], 0);
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(&campaign[name], value, "{name}");
    }
    let path = format!("/campaigns/{}", id(&campaign));
    assert_eq!(server.api().get(&path).data(), campaign);

    let link = made(&server, json!({ "campaign": campaign["id"], "utm_source": "ads" }));
    assert_eq!(link["campaign"], campaign["id"]);
    assert_eq!((&link["utm_source"], &link["utm_campaign"]), (&json!("ads"), &json!("sale")));
    let none = json!({ "campaign": campaign["id"], "utm_campaign": null });
    let none = made(&server, none);
    assert_eq!((&none["utm_source"], &none["utm_campaign"]), (&json!("mail"), &Value::Null));
    assert_eq!(server.api().get(&path).data()["links"], 2);

    // A campaign that changes changes no link; and a link that joins it later keeps what it says.
    let changed = server.api().patch(&path, &json!({ "utm_source": "tv" })).expect(200).data();
    assert_eq!((&changed["utm_source"], &changed["utm_campaign"]), (&json!("tv"), &json!("sale")));
    let read = server.api().get(&format!("/links/{}", id(&none))).data();
    assert_eq!(read["utm_source"], "mail");
    let late = made(&server, json!({}));
    let joined = json!({ "campaign": campaign["id"] });
    let late = server.api().patch(&format!("/links/{}", id(&late)), &joined).expect(200).data();
    assert_eq!((&late["campaign"], &late["utm_source"]), (&campaign["id"], &Value::Null));

    let refused = server.api().delete(&path).problem(409, "CONFLICT");
    assert!(refused["detail"].as_str().unwrap().contains("3 links"), "{refused}");
    for link in [&link, &none] {
        let path = format!("/links/{}", id(link));
        server.api().patch(&path, &json!({ "campaign": null })).expect(200);
    }
    server.api().delete(&path).problem(409, "CONFLICT");
    server.api().delete(&format!("/links/{}", id(&late))).expect(204);
    server.api().delete(&path).expect(204);
    server.api().get(&path).problem(404, "NOT_FOUND");
    server.api().delete(&path).problem(404, "NOT_FOUND");
}

#[test]
fn names_of_campaigns_and_templates_are_unique_each_of_their_kind() {
    let server = Options::links_only().start();
    for path in ["/campaigns", "/utm-templates"] {
        let first = server.api().post(path, &json!({ "name": "Spring" })).expect(201).data();
        let taken = json!({ "name": " SPRING " });
        server.api().post(path, &taken).refuses(409, "CONFLICT", &["name"]);
        let second = server.api().post(path, &json!({ "name": "Summer" })).expect(201).data();
        let path_of = |thing: &Value| format!("{path}/{}", id(thing));
        server.api().patch(&path_of(&second), &taken).refuses(409, "CONFLICT", &["name"]);
        // Its own name in another spelling is free, and so is one that was given up.
        server.api().patch(&path_of(&first), &json!({ "name": "spring!" })).expect(200);
        server.api().patch(&path_of(&second), &taken).expect(200);

        let list = server.api().get(&format!("{path}?limit=1")).expect(200).json();
        assert_eq!(list["data"][0]["id"], second["id"], "newest first");
        assert_eq!((&list["meta"]["total"], &list["meta"]["page"]), (&json!(2), &json!(1)));
        let list = server.api().get(&format!("{path}?limit=1&page=2")).expect(200).json();
        assert_eq!(list["data"][0]["id"], first["id"]);

        for (body, field) in [
            (json!({}), "name"),
            (json!({ "name": "" }), "name"),
            (json!({ "name": "n".repeat(101) }), "name"),
            (json!({ "name": "a", "description": "d".repeat(1_001) }), "description"),
            (json!({ "name": "a", "utm_term": "a\nb" }), "utm_term"),
            (json!({ "name": "a", "colour": "red" }), "colour"),
        ] {
            server.api().post(path, &body).refuses(400, "VALIDATION_ERROR", &[field]);
        }
        let null = json!({ "name": null });
        server.api().patch(&path_of(&first), &null).refuses(400, "VALIDATION_ERROR", &["name"]);
        server.api().patch(&format!("{path}/camp_1"), &null).problem(404, "NOT_FOUND");
        server.api().delete(&path_of(&first)).expect(204);
        server.api().post(path, &json!({ "name": "spring!" })).expect(201);
    }
}

#[test]
fn a_template_fills_what_is_not_said() {
    let server = Options::links_only().start();
    let template = json!({ "name": "Mail", "utm_source": "mail", "utm_medium": "email" });
    let template = server.api().post("/utm-templates", &template).expect(201).data();
    assert!(id(&template).starts_with("utm_"));
    assert!(template.get("links").is_none());
    let campaign = json!({ "name": "C", "utm_medium": "other", "utm_campaign": "c" });
    let campaign = server.api().post("/campaigns", &campaign).expect(201).data();
    let utm = |link: &Value| {
        ["utm_source", "utm_medium", "utm_campaign"]
            .map(|name| link[name].as_str().map(str::to_owned))
    };
    let texts = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned));

    let fields = json!({
        "utm_template": template["id"], "campaign": campaign["id"], "utm_source": "own",
    });
    let link = made(&server, fields);
    assert_eq!(utm(&link), texts([Some("own"), Some("email"), Some("c")]));
    assert!(link.get("utm_template").is_none(), "it is not remembered");

    // A change is filled from the template that it names, and from nothing else.
    let path = format!("/links/{}", id(&link));
    let change = json!({ "utm_template": template["id"], "utm_medium": null });
    let link = server.api().patch(&path, &change).expect(200).data();
    assert_eq!(utm(&link), texts([Some("mail"), None, Some("c")]));
    let anew = json!({ "destination": TO, "campaign": campaign["id"] });
    let link = server.api().put(&path, &anew).expect(200).data();
    assert_eq!(utm(&link), texts([None, None, None]));

    server.api().delete(&format!("/utm-templates/{}", id(&template))).expect(204);
    server.api().patch(&path, &change).refuses(400, "VALIDATION_ERROR", &["utm_template"]);
}

/// A campaign that is being deleted while links join it: none is left without it.
#[test]
fn no_link_is_left_without_its_campaign() {
    let server = Options::links_only().start();
    for round in 0..8 {
        let name = json!({ "name": format!("Round {round}") });
        let campaign = server.api().post("/campaigns", &name).expect(201).data();
        let path = format!("/campaigns/{}", id(&campaign));
        let is_deleted = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let body = json!({ "destination": TO, "campaign": campaign["id"] });
                    let status = server.api().post("/links", &body).status;
                    assert!(status == 201 || status == 400, "{status}");
                });
            }
            scope.spawn(|| {
                let status = server.api().delete(&path).status;
                is_deleted.store(status == 204, Ordering::SeqCst);
            });
        });
        let list = format!("/links/count?campaign={}", id(&campaign));
        let links = server.api().get(&list).data()["links"].as_u64().unwrap();
        if is_deleted.load(Ordering::SeqCst) {
            assert_eq!(links, 0);
        } else {
            assert_eq!(server.api().get(&path).data()["links"], links);
        }
    }
}
