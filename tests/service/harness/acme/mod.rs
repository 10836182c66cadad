//! A test certificate authority (RFC 8555) on the loopback interface: it issues certificates for
//! hosts that answer its challenge at a given address, and records protocol violations.

mod jws;
mod protocol;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use protocol::{Reply, State};

const THREE_MONTHS: Duration = Duration::from_secs(90 * 24 * 3_600);

/// See the module. Lives as long as the tests do.
pub struct AcmeServer {
    address: SocketAddr,
    /// The root certificate (PEM) of its TLS and of issued certificates.
    pub root: String,
    folder: TempDir,
    state: Arc<Mutex<State>>,
}

impl AcmeServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();

        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate().unwrap();
        let root = params.self_signed(&root_key).unwrap().pem();
        let issuer = Issuer::new(params, root_key);
        let own_key = KeyPair::generate().unwrap();
        let own = CertificateParams::new([address.ip().to_string()]).unwrap();
        let own = own.signed_by(&own_key, &issuer).unwrap();
        let secret = PrivateKeyDer::try_from(own_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], secret)
            .unwrap();

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), &root).unwrap();
        let base = format!("https://{address}");
        let state = State::new(base, issuer, root.clone(), THREE_MONTHS);
        let state = Arc::new(Mutex::new(state));
        let (shared, config) = (Arc::clone(&state), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, config) = (Arc::clone(&shared), Arc::clone(&config));
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    let stream = StreamOwned::new(connection, stream.unwrap());
                    // Whoever breaks off is not answered.
                    let _broken_off = serve(stream, &shared);
                });
            }
        });
        Self { address, root, folder, state }
    }

    pub fn directory(&self) -> String {
        format!("https://{}/directory", self.address)
    }

    /// The file with its root.
    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Port 80 of each host is here.
    pub fn hosts_lead_to(&self, address: SocketAddr) {
        self.state.lock().unwrap().hosts_lead_to = Some(address);
    }

    /// Makes each order fail or succeed.
    pub fn fail(&self, fails: bool) {
        self.state.lock().unwrap().fails = fails;
    }

    /// Sets the validity period of new certificates.
    pub fn certificates_last(&self, lifetime: Duration) {
        self.state.lock().unwrap().lifetime = lifetime;
    }

    /// The host of each order, in the order of the orders.
    pub fn orders(&self) -> Vec<String> {
        self.state.lock().unwrap().orders.iter().map(|order| order.host.clone()).collect()
    }

    /// Whom it may write to, of each account.
    pub fn accounts(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.accounts.iter().map(|account| account.contact.clone()).collect()
    }

    /// Forgets all accounts.
    pub fn forget_accounts(&self) {
        self.state.lock().unwrap().accounts.clear();
    }

    /// Fails the test where the service did not keep to the protocol.
    #[track_caller]
    pub fn expect_no_wrongs(&self) {
        assert_eq!(self.state.lock().unwrap().wrongs, Vec::<String>::new());
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// One request and its answer.
fn serve(stream: Stream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut length, mut is_jose) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        let Some((name, value)) = line.split_once(": ") else { break };
        match name {
            "content-length" => length = value.parse().unwrap(),
            "content-type" => is_jose = value == "application/jose+json",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let reply = state.lock().unwrap().reply(method, path, is_jose.then_some(body.as_slice()));
    let mut stream = reader.into_inner();
    write_reply(&mut stream, method, &reply)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn write_reply(stream: &mut Stream, method: &str, reply: &Reply) -> std::io::Result<()> {
    let Reply { status, headers, body } = reply;
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    let body = if method == "HEAD" { "" } else { body };
    write!(stream, "Content-Length: {}\r\n\r\n{body}", body.len())
}
