//! Texts that would run in a browser, or change a page, if they were not escaped: context endings ×
//! payloads × encodings, and some others.

/// Texts that would end the context in which a value is placed.
const ENDINGS: [&str; 9] =
    ["", "\">", "'>", "</title>", "</textarea>", "</style>", "</code></dd>", "-->", "]]>"];

/// Texts that would run or change the page. None of them contacts another host.
const PAYLOADS: [&str; 20] = [
    "<script>alert(1)</script>",
    "<script src=/evil.js></script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert&#40;1)</script></svg>",
    "<iframe src=\"javascript:alert(1)\"></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href=javascript:alert(1)>x</a>",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href=//evil.invalid/>",
    "<link rel=stylesheet href=/evil.css>",
    "<style>*{background:url(/evil)}</style>",
    "<form action=//evil.invalid><button>x",
    "<object data=javascript:alert(1)>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
];

/// Whole values: for places that take an address, for headers, templates, and readers of text.
const VALUES: [&str; 46] = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "javascript&colon;alert(1)",
    "javascript&#58;alert(1)",
    "\u{1}javascript:alert(1)",
    "javascript://example.com/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "vbscript:msgbox(1)",
    "//evil.invalid/",
    "/\\evil.invalid/",
    "https://example.com/\"onmouseover=\"alert(1)",
    "https://example.com/'><script>alert(1)</script>",
    "https://user:pass@example.com/",
    "https://example.com/\u{202e}gpj.exe",
    "mailto:a@example.com?bcc=b@example.com&body=x",
    "a@example.com\" onfocus=alert(1) autofocus x=\"",
    "\" onmouseover=alert(1) x=\"",
    "' onmouseover=alert(1) x='",
    "` onmouseover=alert(1) x=`",
    " onfocus=alert(1) autofocus=",
    "x\r\nSet-Cookie: evil=1\r\n\r\n<script>alert(1)</script>",
    "x\r\nContent-Security-Policy: script-src *",
    "x%0d%0aLocation:%20//evil.invalid",
    "{{ 7 * 7 }}",
    "{{ slug|safe }}",
    "{% include \"page.css\" %}",
    "{# comment #}",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "#{alert(1)}",
    "<%= alert(1) %>",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "\u{ff1c}script\u{ff1e}alert(1)\u{ff1c}/script\u{ff1e}",
    "\u{2028}alert(1)\u{2029}",
    "\u{202e}<script>alert(1)</script>\u{202c}",
    "\u{200b}<\u{200b}script>alert(1)</script>",
    "\u{feff}<script>alert(1)</script>",
    "<scr\u{0}ipt>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&amp;lt;script&amp;gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "<!--><script>alert(1)</script>-->",
];

/// More than five hundred texts, each another one.
pub fn texts() -> Vec<String> {
    let mut texts: Vec<String> = VALUES.iter().map(|text| (*text).to_owned()).collect();
    for ending in ENDINGS {
        for payload in PAYLOADS {
            let text = format!("{ending}{payload}");
            texts.extend([upside(&text), in_numbers(&text), text]);
        }
    }
    texts.sort();
    texts.dedup();
    texts
}

/// The same with every other letter of the other case, and blanks of other kinds: which is all the
/// same to a browser.
fn upside(text: &str) -> String {
    let letters = text.char_indices().map(|(at, letter)| match letter {
        ' ' => '\u{c}',
        letter if at % 2 == 1 => letter.to_ascii_uppercase(),
        letter => letter,
    });
    letters.collect()
}

/// The same with what HTML means something by written as a number.
fn in_numbers(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter {
        '<' | '>' | '"' | '\'' => format!("&#x{:x};", u32::from(letter)),
        letter => letter.to_string(),
    });
    letters.collect()
}
