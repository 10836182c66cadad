//! The responses of the authority and its protocol checks.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use rcgen::{CertificateSigningRequestParams, DistinguishedName, Issuer, KeyPair, SanType};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::jws::{Jwk, Jws, decode};

pub struct State {
    base: String,
    issuer: Issuer<'static, KeyPair>,
    root: String,
    pub lifetime: Duration,
    pub hosts_lead_to: Option<SocketAddr>,
    pub fails: bool,
    nonces: HashSet<String>,
    made: u64,
    pub accounts: Vec<AcmeAccount>,
    pub orders: Vec<Order>,
    pub wrongs: Vec<String>,
}

pub struct AcmeAccount {
    key: Jwk,
    pub contact: String,
}

pub struct Order {
    pub host: String,
    account: usize,
    token: String,
    /// Of the order; the authorization's follows from it.
    status: &'static str,
    chain: String,
    objection: String,
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        Self::json(status, &json!({ "type": kind, "detail": detail, "status": status }))
    }

    fn at(mut self, location: String) -> Self {
        self.headers.push(("Location", location));
        self
    }
}

impl State {
    pub fn new(
        base: String,
        issuer: Issuer<'static, KeyPair>,
        root: String,
        lifetime: Duration,
    ) -> Self {
        Self {
            base,
            issuer,
            root,
            lifetime,
            hosts_lead_to: None,
            fails: false,
            nonces: HashSet::new(),
            made: 0,
            accounts: Vec::new(),
            orders: Vec::new(),
            wrongs: Vec::new(),
        }
    }

    /// The answer to a request; `signed` is its body, where it calls itself signed.
    pub fn reply(&mut self, method: &str, path: &str, signed: Option<&[u8]>) -> Reply {
        let mut reply = match (method, path, signed) {
            ("GET", "/directory", None) => self.directory(),
            ("HEAD", "/nonce", None) => Reply::json(200, &Value::Null),
            ("POST", _, Some(body)) => self.signed(path, body).unwrap_or_else(|wrong| {
                self.wrongs.push(format!("{path}: {wrong}"));
                Reply::problem(400, "malformed", wrong)
            }),
            _ => {
                self.wrongs.push(format!("{method} {path}"));
                Reply::problem(405, "malformed", "no such thing")
            }
        };
        let nonce = self.unique("nonce");
        self.nonces.insert(nonce.clone());
        reply.headers.push(("Replay-Nonce", nonce));
        reply
    }

    fn directory(&self) -> Reply {
        let url = |path: &str| format!("{}/{path}", self.base);
        let body = json!({
            "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
            "revokeCert": url("revoke"), "keyChange": url("key"),
        });
        Reply::json(200, &body)
    }

    fn unique(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}-{}-{}", self.made, uuid::Uuid::new_v4().simple())
    }

    /// A signed request: first whose it is, and whether it comes for the first time.
    fn signed(&mut self, path: &str, body: &[u8]) -> Result<Reply, &'static str> {
        let jws = Jws::parse(body).ok_or("no JWS")?;
        if jws.header["url"] != format!("{}{path}", self.base) {
            return Err("signed for another address");
        }
        if !self.nonces.remove(jws.header["nonce"].as_str().unwrap_or_default()) {
            return Err("a nonce that is not ours, or was used before");
        }
        if path == "/account" {
            return self.account(&jws);
        }
        let prefix = format!("{}/account/", self.base);
        let account = jws.header["kid"].as_str().and_then(|kid| kid.strip_prefix(&prefix));
        let account: usize = account.and_then(|number| number.parse().ok()).ok_or("no kid")?;
        let Some(known) = self.accounts.get(account) else {
            return Ok(Reply::problem(400, "accountDoesNotExist", "no such account"));
        };
        if jws.header.get("jwk").is_some() || !jws.is_signed_by(&known.key) {
            return Err("not signed by the account's key");
        }
        if path == "/order" {
            return self.order(account, &jws.payload);
        }
        let (noun, number) = path[1..].split_once('/').ok_or("no such path")?;
        let number: usize = number.parse().map_err(|_| "no such path")?;
        if noun == "account" {
            self.accounts[account].contact = contact(&jws.payload);
            return Ok(Reply::json(200, &json!({ "status": "valid" })));
        }
        let order = self.orders.get(number).filter(|order| order.account == account);
        let order = order.ok_or("no such thing of this account")?;
        let asks = jws.payload.is_null();
        match noun {
            "order" if asks => Ok(Reply::json(200, &self.shown(number))),
            "authorization" if asks => Ok(Reply::json(200, &self.authorization(number))),
            "certificate" if asks => {
                let body = format!("{}{}", order.chain, self.root);
                Ok(Reply { status: 200, headers: Vec::new(), body })
            }
            "challenge" if jws.payload == json!({}) => Ok(self.challenge(number)),
            "finalize" => self.finalize(number, &jws.payload),
            _ => Err("no such thing"),
        }
    }

    fn account(&mut self, jws: &Jws) -> Result<Reply, &'static str> {
        let key = Jwk::of(&jws.header["jwk"]).ok_or("no key")?;
        if !jws.is_signed_by(&key) {
            return Err("not signed by its own key");
        }
        if jws.payload["termsOfServiceAgreed"] != true {
            return Err("the terms are not agreed to");
        }
        self.accounts.push(AcmeAccount { key, contact: contact(&jws.payload) });
        let location = format!("{}/account/{}", self.base, self.accounts.len() - 1);
        Ok(Reply::json(201, &json!({ "status": "valid" })).at(location))
    }

    fn order(&mut self, account: usize, payload: &Value) -> Result<Reply, &'static str> {
        let identifiers = payload["identifiers"].as_array().ok_or("no identifiers")?;
        let [identifier] = identifiers.as_slice() else { return Err("not one host") };
        let host = identifier["value"].as_str().ok_or("no host")?.to_owned();
        if identifier["type"] != "dns" {
            return Err("no name");
        }
        if self.orders.iter().any(|order| matches!(order.status, "pending" | "ready")) {
            return Err("an order while another is open");
        }
        let (token, objection) = (self.unique("token"), String::new());
        let status = if self.fails { "failed" } else { "pending" };
        self.orders.push(Order { host, account, token, status, chain: String::new(), objection });
        if self.fails {
            return Ok(Reply::problem(500, "serverInternal", "the authority is out of order"));
        }
        let number = self.orders.len() - 1;
        let location = format!("{}/order/{number}", self.base);
        Ok(Reply::json(201, &self.shown(number)).at(location))
    }

    fn shown(&self, number: usize) -> Value {
        let (base, order) = (&self.base, &self.orders[number]);
        let mut shown = json!({
            "status": order.status,
            "identifiers": [{ "type": "dns", "value": order.host }],
            "authorizations": [format!("{base}/authorization/{number}")],
            "finalize": format!("{base}/finalize/{number}"),
        });
        if order.status == "valid" {
            shown["certificate"] = format!("{base}/certificate/{number}").into();
        }
        shown
    }

    fn authorization(&self, number: usize) -> Value {
        let order = &self.orders[number];
        let status = match order.status {
            "pending" | "invalid" => order.status,
            _ => "valid",
        };
        let challenge = |kind: &str| {
            let url = format!("{}/challenge/{number}", self.base);
            json!({ "type": kind, "url": url, "token": order.token, "status": status })
        };
        let mut http = challenge("http-01");
        if status == "invalid" {
            let kind = "urn:ietf:params:acme:error:unauthorized";
            http["error"] = json!({ "type": kind, "detail": order.objection });
        }
        json!({
            "identifier": { "type": "dns", "value": order.host },
            "status": status,
            "challenges": [challenge("dns-01"), http],
        })
    }

    /// Looks whether the host answers.
    fn challenge(&mut self, number: usize) -> Reply {
        let order = &self.orders[number];
        let expected = format!("{}.{}", order.token, self.accounts[order.account].key.thumbprint());
        let found = self.look(order);
        let order = &mut self.orders[number];
        if found.as_deref() == Ok(expected.as_str()) {
            order.status = "ready";
        } else {
            order.status = "invalid";
            order.objection = format!("the host says {found:?}");
        }
        let authorization = self.authorization(number);
        let mut challenge = authorization["challenges"][1].clone();
        // The authority only says that it is going to look.
        challenge["status"] = "processing".into();
        challenge.as_object_mut().unwrap().remove("error");
        Reply::json(200, &challenge)
    }

    fn look(&self, order: &Order) -> Result<String, String> {
        let address = self.hosts_lead_to.ok_or("it leads nowhere")?;
        let url = format!("http://{address}/.well-known/acme-challenge/{}", order.token);
        let answer = super::super::client().get(url).header("host", &order.host).send();
        let answer = answer.and_then(reqwest::blocking::Response::error_for_status);
        answer.and_then(reqwest::blocking::Response::text).map_err(|error| error.to_string())
    }

    fn finalize(&mut self, number: usize, payload: &Value) -> Result<Reply, &'static str> {
        let request = payload["csr"].as_str().and_then(decode).ok_or("no request")?;
        let mut request = CertificateSigningRequestParams::from_der(&request.into())
            .map_err(|_| "a request that is none, or not signed by its key")?;
        let order = &mut self.orders[number];
        let host = SanType::DnsName(order.host.as_str().try_into().map_err(|_| "no name")?);
        if order.status != "ready" {
            return Err("the order is not ready");
        }
        if request.params.subject_alt_names != [host] {
            return Err("a request for other names");
        }
        if request.params.distinguished_name != DistinguishedName::new() {
            return Err("a request for a subject");
        }
        let now = OffsetDateTime::now_utc();
        request.params.not_before = now - Duration::from_secs(1);
        request.params.not_after = now + self.lifetime;
        order.chain = request.signed_by(&self.issuer).map_err(|_| "can't be signed")?.pem();
        order.status = "valid";
        let mut shown = self.shown(number);
        // It takes the authority a moment.
        shown["status"] = "processing".into();
        shown.as_object_mut().unwrap().remove("certificate");
        Ok(Reply::json(200, &shown))
    }
}

fn contact(payload: &Value) -> String {
    payload["contact"][0].as_str().unwrap_or_default().to_owned()
}
