//! A minimal HTTP client to check whether a starting engine is up.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::endpoint::{Password, USER};

/// The timeout for each of connecting, writing and reading.
const LIMIT: Duration = Duration::from_secs(2);
/// The maximum response size, in bytes.
const ANSWER_BYTES: u64 = 64 * 1024;

/// A loopback port that is currently free.
///
/// If another program takes it first, the engine fails to start and is restarted on another port
/// with another password.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Runs a statement in the engine on this port, as the user slugline.
///
/// # Errors
///
/// An error if nothing listens, or if the status is not 200; its text is the response.
pub(super) fn execute(port: u16, password: &Password, statement: &str) -> io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let (password, length) = (password.expose(), statement.len());
    let request = format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         X-ClickHouse-User: {USER}\r\nX-ClickHouse-Key: {password}\r\n\
         Content-Length: {length}\r\n\r\n{statement}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
}
