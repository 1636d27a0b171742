//! HTTP as plain text over a socket, so that a request can be wrong in any way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(30);

/// A request whose every header is the caller's.
pub struct Request {
    text: String,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers, one a line, names in lower case.
    pub headers: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without any header.
    pub fn new(method: &str, path: &str) -> Self {
        Self { text: format!("{method} {path} HTTP/1.1\r\n"), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.text += &format!("{name}: {value}\r\n");
        self
    }

    /// Gives it a body.
    #[must_use]
    pub fn body(self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self }
    }

    /// Sends it to `address` (host and port) and reads the reply to its end.
    ///
    /// # Errors
    /// When there is no connection, or no reply of HTTP.
    pub fn send(&self, address: &str) -> Result<Reply> {
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = self.body.len();
        let head = format!("{}Connection: close\r\nContent-Length: {length}\r\n\r\n", self.text);
        stream.write_all(head.as_bytes()).context("cannot send")?;
        stream.write_all(&self.body).context("cannot send")?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).context("cannot read the reply")?;
        parse(&bytes).context("this is no reply of HTTP")
    }
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers = headers.replace("\r\n", "\n").to_ascii_lowercase();
    let body = &bytes[end + 4..];
    let body = match headers.contains("transfer-encoding: chunked") {
        true => whole(body)?,
        false => body.to_vec(),
    };
    Some(Reply { status, headers, body })
}

/// A body of its chunks; none when the last one is missing.
fn whole(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunks.get(end + 2..end + 2 + length)?);
        chunks = chunks.get(end + 4 + length..)?;
    }
}
