//! Logos and brand defaults of QR codes.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{SVG, data_uri, decoded, ids, made, of, path, text, with};
use crate::harness::{Answer, NameServer, Options, Server};
use crate::plans::{set_plan, start};

fn upload(server: &Server, content_type: &str, image: impl Into<Vec<u8>>) -> Answer {
    let request = server.api().request(Method::POST, "/qr-logos");
    Answer::to(request.header("content-type", content_type).body(image.into()))
}

/// Serves an image over TLS at `/logo`, a redirect to it at `/moved`, and too much at `/large`; its
/// certificate for `logos.test` is written to a file.
fn serve_images(certificate: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let made = rcgen::generate_simple_self_signed(["logos.test".to_owned()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    let secret = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], secret);
    let config = Arc::new(config.unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut reader = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
            let mut first = String::new();
            let _broken_off = reader.read_line(&mut first);
            let mut line = first.clone();
            while !line.trim().is_empty() {
                line.clear();
                let _broken_off = reader.read_line(&mut line);
            }
            let body = match first.split(' ').nth(1) {
                Some("/logo") => SVG.to_owned(),
                Some("/large") => "x".repeat((2 << 20) + 1),
                _ => String::new(),
            };
            let status = if body.is_empty() { "302 Found\r\nLocation: /logo" } else { "200 OK" };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
            let _gone = reader.get_mut().write_all((head + &body).as_bytes());
        }
    });
    address
}

/// Fetched once over https from a host that may be reached; a redirect is not followed.
#[test]
fn a_logo_is_fetched_from_a_url() {
    let (names, folder) = (NameServer::start(), tempfile::tempdir().unwrap());
    let certificate = folder.path().join("logos.crt");
    let port = serve_images(&certificate).port();
    names.host("logos.test", "127.0.0.1");
    let options = Options::links_only()
        .flag("--dns-server", names.address.to_string())
        .env("SSL_CERT_FILE", &certificate);
    let url = |scheme: &str, path: &str| format!("{scheme}://logos.test:{port}{path}");
    let server = options.clone().start();
    let link = server.link();
    let private = server.api().post("/qr-codes", &with(&link, "logo_url", url("https", "/logo")));
    private.refuses(400, "VALIDATION_ERROR", &["logo_url"]);
    drop(server);

    let options = options.flag("--outgoing-allow", "127.0.0.1");
    let server = options.clone().env("SLUGLINE_FETCH_LOGOS", "off").start();
    let off =
        server.api().post("/qr-codes", &with(&server.link(), "logo_url", url("https", "/logo")));
    off.refuses(400, "VALIDATION_ERROR", &["logo_url"]);
    assert!(off.json()["errors"]["logo_url"].to_string().contains("upload it"), "{off:?}");
    drop(server);

    let server = options.start();
    let link = server.link();
    let code = made(&server, &with(&link, "logo_url", url("https", "/logo")));
    assert_eq!(ids(&server.api().get("/qr-logos")), [text(&code, "logo")]);
    let none = json!({ "logo_url": null });
    let none = server.api().patch(&path(&code), &none).expect(200).data();
    assert_eq!(none["logo"], Value::Null);
    let again = json!({ "logo_url": url("https", "/logo") });
    assert_eq!(server.api().patch(&path(&code), &again).data()["logo"], code["logo"]);
    for (scheme, path) in [("https", "/moved"), ("https", "/large"), ("http", "/logo")] {
        let asked = with(&link, "logo_url", url(scheme, path));
        server.api().post("/qr-codes", &asked).refuses(400, "VALIDATION_ERROR", &["logo_url"]);
    }
}

#[test]
fn logos_are_stored_once_and_kept_while_they_are_used() {
    let server = Options::links_only().start();
    let link = server.link();
    let uploaded = upload(&server, "image/svg+xml", SVG).expect(201).data();
    let logo = text(&uploaded, "id");
    assert_eq!(upload(&server, "image/svg+xml", SVG).expect(200).data()["id"], logo.as_str());
    let code = made(&server, &with(&link, "logo", data_uri()));
    assert_eq!((&code["logo"], &code["logo_size"]), (&json!(logo), &json!(20)));
    assert_eq!(
        decoded(&server, &format!("{}/image?size=600", path(&code))),
        text(&code, "content")
    );
    let path_of_logo = format!("/qr-logos/{logo}");
    assert_eq!(server.api().get(&path_of_logo).data()["uses"], 1);
    assert_eq!(ids(&server.api().get("/qr-logos")), [logo.as_str()]);
    let image = server.api().get(&format!("{path_of_logo}/image")).expect(200);
    assert_eq!(image.header("content-type"), "image/svg+xml");
    assert!(image.header("cache-control").contains("immutable"));
    assert!(image.text.contains("<svg"), "{image:?}");
    server.api().delete(&path_of_logo).problem(409, "CONFLICT");

    // A deleted link can be restored with its code and the logo.
    server.api().delete(&link.path()).expect(204);
    server.api().delete(&path_of_logo).problem(409, "CONFLICT");
    server.api().delete(&format!("/links/{}?purge=true", link.id)).expect(204);
    assert_eq!(server.api().get(&path_of_logo).data()["uses"], 0);
    server.api().delete(&path_of_logo).expect(204);
    server.api().get(&path_of_logo).problem(404, "NOT_FOUND");

    let evil = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script>\
         <circle r='9' onload='alert(1)'/></svg>";
    let kept = upload(&server, "image/svg+xml", evil);
    if kept.status == 201 {
        let image = format!("/qr-logos/{}/image", text(&kept.data(), "id"));
        assert!(!server.api().get(&image).text.contains("alert"));
    } else {
        kept.refuses(400, "VALIDATION_ERROR", &["body"]);
    }
    upload(&server, "image/png", b"no image").refuses(400, "VALIDATION_ERROR", &["body"]);
    upload(&server, "image/png", vec![0; 10 << 20]).problem(413, "PAYLOAD_TOO_LARGE");
    let untyped = server.api().request(Method::POST, "/qr-logos").body(SVG);
    Answer::to(untyped).problem(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[test]
fn defaults_are_taken_by_new_codes() {
    let server = Options::links_only().start();
    let link = server.link();
    let mut old = made(&server, &of(&link));
    assert_eq!(old["total_scans"].take(), 0, "unknown later, without analytics");
    let none = server.api().get("/qr-defaults").data();
    assert!(none.as_object().unwrap().values().all(Value::is_null));
    let brand = json!({ "color": "#000080", "corner_style": "dot", "logo": data_uri() });
    let set = server.api().put("/qr-defaults", &brand).expect(200).data();
    assert_eq!((&set["color"], &set["size"]), (&json!("#000080"), &Value::Null));
    assert_eq!(server.api().get("/qr-defaults").data(), set);
    let new = made(&server, &of(&link));
    assert_eq!((&new["color"], &new["corner_style"]), (&json!("#000080"), &json!("dot")));
    assert_eq!(new["logo"], set["logo"]);
    let own = made(&server, &json!({ "link": link.slug, "color": "#004000", "logo": null }));
    assert_eq!((&own["color"], &own["logo"]), (&json!("#004000"), &Value::Null));
    assert_eq!(server.api().get(&path(&old)).data(), old);

    let domain = json!({ "hostname": "go.example.com" });
    let domain = text(&server.api().post("/domains", &domain).expect(201).data(), "id");
    let of_domain = format!("/domains/{domain}/qr-defaults");
    server.api().put(&of_domain, &json!({ "size": 512 })).expect(200);
    assert_eq!(server.api().get("/domains/go.example.com/qr-defaults").data()["size"], 512);
    assert_eq!(server.api().get("/qr-defaults").data(), set);
    let bad = json!({ "color": "x", "link": "y" });
    server.api().put("/qr-defaults", &bad).refuses(400, "VALIDATION_ERROR", &["link"]);
    let bad = json!({ "color": "x", "size": 1 });
    server.api().put(&of_domain, &bad).refuses(400, "VALIDATION_ERROR", &["color", "size"]);
    server.api().put("/domains/nowhere.example/qr-defaults", &json!({})).problem(404, "NOT_FOUND");
    server.api().put("/qr-defaults", &json!({})).expect(200);
    assert_eq!(server.api().get("/qr-defaults").data(), none);
}

#[test]
fn the_logo_of_a_refused_request_is_not_stored() {
    let plans =
        "[[plans]]\nid = \"acme/free\"\nname = \"Free\"\nlimits = { qr_codes_per_month = 1 }\n";
    let (server, _folder) = start(plans);
    set_plan(&server, &json!({ "plan": "acme/free" })).expect(200);
    let link = server.link();
    let code = made(&server, &of(&link));
    let with_logo = |name: &str, value: Value| {
        let mut body = with(&link, "logo", data_uri());
        body[name] = value;
        body
    };
    let refuse_all = || {
        let post = |body: Value| server.api().post("/qr-codes", &body);
        post(with_logo("link", json!("nothing-here"))).problem(404, "NOT_FOUND");
        post(with_logo("margin", json!(21))).refuses(400, "VALIDATION_ERROR", &["margin"]);
        post(with_logo("color", json!("#eeeeee"))).refuses(400, "VALIDATION_ERROR", &["color"]);
        post(with_logo("size", json!(500))).problem(402, "INSUFFICIENT_CREDITS");
        let body = json!({ "logo": data_uri() });
        let change = server.api().request(Method::PATCH, &path(&code)).json(&body);
        let outdated = Answer::to(change.header("if-match", "\"7\""));
        outdated.problem(412, "PRECONDITION_FAILED");
    };
    refuse_all();
    assert!(ids(&server.api().get("/qr-logos")).is_empty());
    // What was there before stays.
    let logo = text(&upload(&server, "image/svg+xml", SVG).expect(201).data(), "id");
    refuse_all();
    assert_eq!(ids(&server.api().get("/qr-logos")), [logo.as_str()]);
    let changed = server.api().patch(&path(&code), &json!({ "logo": data_uri() })).expect(200);
    assert_eq!(changed.data()["logo"], logo.as_str());
}
