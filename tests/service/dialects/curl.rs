//! curl lines as documents show them.

/// What a curl line requests.
#[derive(Debug, PartialEq, Eq)]
pub struct Curl {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

impl Curl {
    pub fn parse(line: &str) -> Self {
        let mut words = words(line).into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"), "{line}");
        let (mut method, mut url, mut headers, mut body) = (None, None, Vec::new(), None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-X" => method = words.next(),
                "-H" => {
                    let header = words.next().unwrap();
                    let (name, value) = header.split_once(':').unwrap();
                    headers.push((name.to_owned(), value.trim().to_owned()));
                }
                "-d" => body = words.next(),
                option if option.starts_with('-') => panic!("{option} in {line}"),
                _ => url = Some(word),
            }
        }
        let of_body = if body.is_some() { "POST" } else { "GET" };
        let method = method.unwrap_or_else(|| of_body.to_owned());
        // As curl does by itself.
        let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if body.is_some() && !has_type {
            let form = "application/x-www-form-urlencoded".to_owned();
            headers.push(("Content-Type".to_owned(), form));
        }
        Self { method, url: url.unwrap(), headers, body }
    }
}

/// The words of a shell line, with its quotes and continuations resolved.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.trim().chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => match letters.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn curl_lines_are_read_as_a_shell_would() {
    let line =
        "curl -X PUT \"https://x.example/a?b=1&c=2\" \\\n  -H \"A: b c\" \\\n  -d '{\"d\": \"e\"}'";
    let curl = Curl::parse(line);
    assert_eq!((curl.method.as_str(), curl.url.as_str()), ("PUT", "https://x.example/a?b=1&c=2"));
    assert_eq!(curl.headers[0], ("A".to_owned(), "b c".to_owned()));
    assert_eq!(curl.headers[1].0, "Content-Type");
    assert_eq!(curl.body.as_deref(), Some("{\"d\": \"e\"}"));
    assert_eq!(Curl::parse("curl https://x.example").method, "GET");
}
