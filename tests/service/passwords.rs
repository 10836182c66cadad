//! Password-protected links: the form, its protection, the cookie and the attempt limit.

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::json;

use crate::harness::{Answer, Link, Options, Server, shared};

const PASSWORD: &str = "open sesame";

fn locked(server: &Server) -> Link {
    let body = json!({ "kind": "text", "payload": { "text": "treasure" }, "password": PASSWORD });
    server.api().create(&body)
}

/// A form as a browser has it: its guard, and the cookie that came with it.
pub struct Form {
    pub guard: String,
    pub cookie: String,
}

impl Form {
    /// The form of a page.
    #[track_caller]
    pub fn of(page: &Answer) -> Self {
        assert_eq!(page.header("referrer-policy"), "same-origin");
        let guard = page.text.split("name=\"guard\" value=\"").nth(1);
        let guard = guard.unwrap_or_else(|| panic!("no guard: {page:?}")).split('"').next();
        Self { guard: guard.unwrap().to_owned(), cookie: cookie(page) }
    }

    /// Sends the form with these fields and its CSRF token.
    pub fn send(&self, server: &Server, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("guard", &self.guard).extend_pairs(fields);
        server
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", &self.cookie)
            .body(body.finish())
    }
}

struct Door<'a> {
    server: &'a Server,
    link: Link,
    form: Form,
}

impl<'a> Door<'a> {
    fn of(server: &'a Server) -> Self {
        let link = locked(server);
        let page = server.visit_path(&format!("/l/{}", link.slug)).send().expect(401);
        assert!(!page.headers.contains_key("www-authenticate"), "{page:?}");
        assert!(page.text.contains("type=\"password\"") && !page.text.contains("treasure"));
        Self { server, form: Form::of(&page), link }
    }

    fn request(&self, password: &str) -> RequestBuilder {
        let path = format!("/l/{}/unlock", self.link.slug);
        self.form.send(self.server, &path, &[("password", password)])
    }

    fn guess(&self, password: &str, address: &str) -> Answer {
        Answer::to(self.request(password).header("x-forwarded-for", address))
    }

    fn visit(&self, cookie: &str) -> Answer {
        let path = format!("/l/{}", self.link.slug);
        self.server.visit_path(&path).header("cookie", cookie).send()
    }
}

/// The cookie that an answer sets, as a browser sends it.
#[track_caller]
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[test]
fn whoever_knows_the_password_sees_the_page() {
    let server = shared();
    let door = Door::of(&server);
    let wrong = door.guess("open barley", "192.0.2.1").expect(401);
    assert!(wrong.text.contains("not the password") && !wrong.text.contains("open barley"));
    assert!(!wrong.headers.contains_key("set-cookie"), "no key, and the form's own is there");

    let right = door.guess(PASSWORD, "192.0.2.1").expect(200);
    let set = right.header("set-cookie");
    for part in ["unlock_", "; HttpOnly", "; SameSite=Lax", "; Path=/;", "; Max-Age="] {
        assert!(set.contains(part), "{set}");
    }
    let next = format!("url=/{}\"", door.link.slug);
    assert!(right.text.contains(&next), "{}", right.text);
    let key = cookie(&right);
    assert!(door.visit(&key).expect(200).text.contains("treasure"));
    door.visit(&format!("a=b; {key}")).expect(200);
    door.visit(&key.replace('a', "b")).expect(401);
    assert_eq!(
        server.visit_path(&format!("/l/{}/unlock", door.link.slug)).follow(),
        format!("/{}", door.link.slug)
    );
}

#[test]
fn a_key_is_for_one_link_at_one_version() {
    let server = shared();
    let (door, other) = (Door::of(&server), Door::of(&server));
    let key = cookie(&door.guess(PASSWORD, "192.0.2.2").expect(200));
    other.visit(&key).expect(401);
    let (name, value) = key.split_once('=').unwrap();
    let others_name = cookie(&other.guess(PASSWORD, "192.0.2.2").expect(200));
    let forged = format!("{}={value}", others_name.split_once('=').unwrap().0);
    assert_ne!(forged, format!("{name}={value}"));
    other.visit(&forged).expect(401);

    door.visit(&key).expect(200);
    server.api().patch(&door.link.path(), &json!({ "title": "new" })).expect(200);
    door.visit(&key).expect(401);
}

#[test]
fn ten_guesses_are_taken_and_the_eleventh_refused() {
    let server = shared();
    let (door, other) = (Door::of(&server), Door::of(&server));
    let (here, neighbour) = ("2001:db8:7:7::1", "2001:db8:7:7:ffff::2");
    for guess in 0..10 {
        door.guess(&format!("guess {guess}"), here).expect(401);
    }
    for address in [here, neighbour] {
        let refused = door.guess(PASSWORD, address).expect(429);
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=900).contains(&wait), "{wait}");
        assert!(!refused.headers.contains_key("set-cookie"), "{refused:?}");
    }
    door.guess(PASSWORD, "2001:db8:7:8::1").expect(200);
    other.guess(PASSWORD, here).expect(200);
}

/// Many addresses together guess no more often than a link allows. Whoever has unlocked it before
/// is not affected.
#[test]
fn guesses_from_many_addresses_are_bounded_for_a_link() {
    let server = shared();
    let (door, other) = (Door::of(&server), Door::of(&server));
    let key = cookie(&door.guess(PASSWORD, "192.0.2.6").expect(200));
    for guess in 0..100 {
        door.guess("open barley", &format!("2001:db8:8:{guess:x}::1")).expect(401);
    }
    let refused = door.guess(PASSWORD, "192.0.2.6").expect(429);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert!(refused.text.contains("Too many wrong passwords"), "{}", refused.text);
    door.visit(&key).expect(200);
    other.guess(PASSWORD, "192.0.2.6").expect(200);
}

#[test]
fn a_right_password_makes_the_wrong_ones_forgotten() {
    let server = shared();
    let door = Door::of(&server);
    for _ in 0..2 {
        for guess in 0..9 {
            door.guess(&format!("guess {guess}"), "192.0.2.3").expect(401);
        }
        door.guess(PASSWORD, "192.0.2.3").expect(200);
    }
}

/// Concurrent attempts can't bypass the limit.
#[test]
fn guesses_at_the_same_moment_are_counted_too() {
    let server = shared();
    let door = Door::of(&server);
    let compared: usize = std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..30)
            .map(|guess| {
                let request = door.request(&format!("guess {guess}"));
                let request = request.header("x-forwarded-for", "192.0.2.4");
                scope.spawn(move || usize::from(Answer::to(request).status == 401))
            })
            .collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).sum()
    });
    assert_eq!(compared, 10);
}

#[test]
fn another_sites_form_is_refused() {
    let server = shared();
    let door = Door::of(&server);
    let forged = |answer: Answer| {
        let answer = answer.expect(403);
        let set = answer.headers.get("set-cookie").map(|set| set.to_str().unwrap().to_owned());
        assert!(!set.unwrap_or_default().contains("unlock_"), "{answer:?}");
    };
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        forged(Answer::to(door.request(PASSWORD).header(name, value)));
    }
    let with = |guard: &str, cookie: &str| {
        let form = Form { guard: guard.to_owned(), cookie: cookie.to_owned() };
        let path = format!("/l/{}/unlock", door.link.slug);
        Answer::to(form.send(&server, &path, &[("password", PASSWORD)]))
    };
    let other = Door::of(&server).form;
    forged(with(&door.form.guard, "form="));
    forged(with("", &door.form.cookie));
    forged(with(&door.form.guard, &other.cookie));
    forged(with(&other.guard, &other.cookie));
    // None of that was a guess, and the visitor's own form is good.
    let origin = server.request(Method::GET, "/").build().unwrap().url().origin();
    let own = door.request(PASSWORD).header("origin", origin.ascii_serialization());
    Answer::to(own.header("sec-fetch-site", "same-origin")).expect(200);
}

#[test]
fn what_is_no_form_is_refused() {
    let server = shared();
    let door = Door::of(&server);
    let path = format!("/l/{}/unlock", door.link.slug);
    let send = |kind: &str, body: String| {
        let request = server.request(Method::POST, &path).header("content-type", kind);
        Answer::to(request.header("cookie", &door.form.cookie).body(body)).status
    };
    assert_eq!(send("application/json", "{}".to_owned()), 415);
    assert_eq!(send("application/x-www-form-urlencoded", "a=".repeat(60_000)), 413);
    assert_eq!(send("application/x-www-form-urlencoded", "%ff%00=%".to_owned()), 403);
    assert_eq!(Answer::to(server.request(Method::PUT, &path)).status, 405);
}

/// What a visitor guesses is written nowhere, right or wrong; the key is the owner's alone, and
/// holds over a restart.
#[test]
fn passwords_are_written_nowhere() {
    let options = Options::links_only().behind_proxy().flag("--log", "trace");
    let server = options.start();
    let data = server.data.clone();
    let door = Door::of(&server);
    door.guess("wr0ng-pa55word", "192.0.2.5").expect(401);
    let key = cookie(&door.guess(PASSWORD, "192.0.2.5").expect(200));
    let path = format!("/l/{}", door.link.slug);
    let log = server.stop_for_log();
    let files = data.files();
    for secret in ["wr0ng-pa55word", PASSWORD, "open+sesame", &key] {
        assert!(log.iter().all(|line| !line.contains(secret)), "{secret} is in the log");
        let holds =
            |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        let found = files.iter().find(|(_, bytes)| holds(bytes));
        assert!(found.is_none(), "{secret} is in {:?}", found.map(|(path, _)| path));
    }
    let server = Options::links_only().with_data(&data).start();
    server.visit_path(&path).header("cookie", &key).send().expect(200);
    assert!(server.stop().success());
    std::fs::remove_file(data.path().join("unlock.key")).unwrap();
    let server = Options::links_only().with_data(&data).start();
    server.visit_path(&path).header("cookie", &key).send().expect(401);
}
