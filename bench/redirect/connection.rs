//! One keep-alive connection of the load generator.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http_head;

/// Holds a whole response of either server many times over.
const BUFFER: usize = 8 * 1024;

/// A connection that has at most one request under way.
#[derive(Debug)]
pub struct Connection {
    server: SocketAddr,
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// The server announced that it closes: the next request needs a new connection.
    spent: bool,
}

impl Connection {
    /// Connects to a server.
    pub async fn open(server: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            server,
            stream: connect(server).await?,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            spent: false,
        })
    }

    /// Sends a request and takes its response, which must be a redirect, to the last byte.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        if self.spent {
            self.stream = connect(self.server).await?;
            self.spent = false;
        }
        self.stream.write_all(request).await.context("cannot send a request")?;
        let mut filled = 0;
        let head = loop {
            filled += self.receive(filled).await?;
            if let Some(head) = http_head::read(&self.buffer[..filled])? {
                break head;
            }
            ensure!(filled < BUFFER, "a response head of more than {BUFFER} B");
        };
        self.spent = head.closes;
        let mut missing = (head.length + head.body)
            .checked_sub(filled)
            .context("more bytes than one response")?;
        while missing > 0 {
            let more = self.receive(0).await?;
            missing = missing.checked_sub(more).context("more bytes than one response")?;
        }
        Ok(())
    }

    async fn receive(&mut self, at: usize) -> anyhow::Result<usize> {
        let received =
            self.stream.read(&mut self.buffer[at..]).await.context("cannot receive a response")?;
        ensure!(received > 0, "the server closed the connection unannounced");
        Ok(received)
    }
}

async fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream =
        TcpStream::connect(server).await.with_context(|| format!("cannot connect to {server}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
