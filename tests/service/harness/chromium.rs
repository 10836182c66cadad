//! A headless Chromium, controlled over the `DevTools` protocol: it loads a page and reports
//! everything that ran or was blocked.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAMS: [&str; 4] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/snap/bin/chromium",
];

pub struct Chromium {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    sent: u64,
    /// The page that has been loaded last, by the number of its loading.
    loaded: String,
    faults: Vec<String>,
    _profile: TempDir,
}

impl Chromium {
    /// One tab; `None`, with a message, if Chromium is not installed.
    pub fn start() -> Option<Self> {
        let Some(program) = PROGRAMS.into_iter().find(|path| Path::new(path).exists()) else {
            eprintln!("passed over: there is no Chromium (Debian's package `chromium`)");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // It reads from the descriptor 3 and writes to 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 >/dev/null 2>&1", "sh", program])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut browser = Self {
            process,
            input,
            output: BufReader::new(output),
            session: None,
            sent: 0,
            loaded: String::new(),
            faults: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach)["sessionId"].clone();
        browser.session = session.as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        Some(browser)
    }

    /// Loads a page; gives what ran on it, what its policy refused, and what it loaded.
    pub fn load(&mut self, url: &str) -> Vec<String> {
        self.faults.clear();
        let gone = self.call("Page.navigate", json!({ "url": url }));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
        while gone["loaderId"] != self.loaded {
            self.hear();
        }
        // Pending events arrive before the response.
        let scripts = self.evaluate("document.scripts.length");
        if scripts != 0 {
            self.faults.push(format!("{scripts} scripts"));
        }
        std::mem::take(&mut self.faults)
    }

    /// Everything that ran, was blocked or was loaded on the page since it was loaded.
    pub fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// Makes the window so large, as a phone's.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": true,
        });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Evaluates an expression on the page, regardless of its policy.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        self.call("Runtime.evaluate", asked)["result"]["value"].take()
    }

    #[allow(clippy::needless_pass_by_value, reason = "it is made for the call")]
    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, &params);
        loop {
            let mut message = self.hear();
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(message.to_string().as_bytes()).unwrap();
        self.input.write_all(&[0]).unwrap();
        self.sent
    }

    /// The next message; what it says of the page is noted.
    fn hear(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "Chromium has ended");
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let params = &message["params"];
        let fault = match message["method"].as_str().unwrap_or_default() {
            "Page.lifecycleEvent" if params["name"] == "load" => {
                self.loaded = params["loaderId"].as_str().map(str::to_owned).unwrap();
                None
            }
            "Page.javascriptDialogOpening" => {
                self.send("Page.handleJavaScriptDialog", &json!({ "accept": true }));
                Some("a dialog")
            }
            "Runtime.consoleAPICalled" => Some("a word on the console"),
            "Runtime.exceptionThrown" => Some("an exception"),
            "Audits.issueAdded" if params["issue"]["code"] == "ContentSecurityPolicyIssue" => {
                Some("refused by the policy")
            }
            "Log.entryAdded" if params["entry"]["source"] == "security" => Some("a warning"),
            // Browsers ask for the site's icon by themselves.
            "Network.requestWillBeSent" if is_icon(params) => None,
            "Network.requestWillBeSent" if params["type"] != "Document" => Some("a request"),
            _ => None,
        };
        self.faults.extend(fault.map(|fault| format!("{fault}: {params}")));
        message
    }
}

fn is_icon(request: &Value) -> bool {
    request["request"]["url"].as_str().is_some_and(|url| url.ends_with("/favicon.ico"))
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _reaped_already = self.process.wait();
    }
}
