//! One request on one connection: found, sent, answered, told apart.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use gleaner_protocol::api::ApiError;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{ClientError, OpenError};

/// What a request carries.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

const ADDRESS_FILE: &str = "api-address";
const TOKEN_FILE: &str = "api-token";

/// A connection on loopback is there at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// An answer in JSON is a list of jobs, files or workers at most: far below this.
const JSON_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A coordinator as its data folder tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    data: PathBuf,
}

/// An answer with a status of success, its body not yet read.
pub(crate) struct Answer {
    address: SocketAddr,
    request: String,
    response: Response<Incoming>,
}

impl Endpoint {
    pub(crate) fn open(data: &Path) -> Result<Self, OpenError> {
        let endpoint = Self { data: data.to_owned() };
        endpoint.address()?;
        endpoint.token()?;
        Ok(endpoint)
    }

    /// Sends a request and waits for the head of its answer for `limit`.
    ///
    /// Address and token are read each time, so that a coordinator that was restarted at another
    /// port is found again.
    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: Body,
        limit: Duration,
    ) -> Result<Answer, ClientError> {
        let (address, token) = (self.address()?, self.token()?);
        let request = request
            .header(HOST, address.to_string())
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(body)
            .expect("paths are escaped, and a token is visible ASCII");
        let name = format!("{} {}", request.method(), request.uri().path());
        let timed_out = |_| ClientError::TimedOut { address, request: name.clone(), limit };
        let response = tokio::time::timeout(limit, exchange(address, request, &name))
            .await
            .map_err(timed_out)??;
        Answer { address, request: name, response }.check().await
    }

    fn address(&self) -> Result<SocketAddr, OpenError> {
        let expected = "the loopback address of a coordinator";
        let path = self.data.join(ADDRESS_FILE);
        // The token must not leave this machine.
        match self.read(&path)?.trim().parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(address),
            _ => Err(OpenError::Damaged { path, expected }),
        }
    }

    fn token(&self) -> Result<String, OpenError> {
        let path = self.data.join(TOKEN_FILE);
        let token = self.read(&path)?.trim().to_owned();
        if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(token);
        }
        Err(OpenError::Damaged { path, expected: "the token of a coordinator" })
    }

    fn read(&self, path: &Path) -> Result<String, OpenError> {
        std::fs::read_to_string(path).map_err(|source| {
            let folder = self.data.clone();
            match source.kind() {
                io::ErrorKind::NotFound if !folder.exists() => OpenError::NoCoordinator { folder },
                io::ErrorKind::NotFound => OpenError::NotRunning { folder },
                _ => OpenError::Read { path: path.to_owned(), source },
            }
        })
    }
}

async fn exchange(
    address: SocketAddr,
    request: Request<Body>,
    name: &str,
) -> Result<Response<Incoming>, ClientError> {
    let lost = |source| ClientError::ReplyLost { address, request: name.to_owned(), source };
    let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| ClientError::Unreachable { address, source })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    // It ends when the answer has been read or dropped; what breaks it is reported there.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(lost)
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The body as JSON.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, ClientError> {
        let request = self.request.clone();
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::Malformed { request, reason: error.to_string() })
    }

    /// The next bytes of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.response.body_mut().frame().await {
            let frame = frame.map_err(|source| ClientError::ReplyLost {
                address: self.address,
                request: self.request.clone(),
                source,
            })?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Itself when it says success, or that a blob is not held; else what it says instead.
    async fn check(self) -> Result<Self, ClientError> {
        let status = self.status();
        if status.is_success()
            || (status == StatusCode::NOT_FOUND && self.request.starts_with("HEAD"))
        {
            return Ok(self);
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Unauthorised { address: self.address });
        }
        let request = self.request.clone();
        let bytes = self.bytes().await?;
        match serde_json::from_slice::<ApiError>(&bytes) {
            Ok(error) => Err(ClientError::Refused { status: status.as_u16(), error }),
            Err(_) => Err(ClientError::Malformed { request, reason: format!("status {status}") }),
        }
    }

    async fn bytes(self) -> Result<Bytes, ClientError> {
        let (address, request) = (self.address, self.request);
        match Limited::new(self.response.into_body(), JSON_BYTES_MAX).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(match error.downcast::<hyper::Error>() {
                Ok(source) => ClientError::ReplyLost { address, request, source: *source },
                Err(error) => ClientError::Malformed { request, reason: error.to_string() },
            }),
        }
    }
}
