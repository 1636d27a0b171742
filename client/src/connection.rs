//! One request on one connection: found, sent, answered, told apart.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gleaner_network::ApiBytes;
use gleaner_protocol::api::ApiError;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::projects::Projects;
use crate::remote::Remote;
use crate::to_the_end::ToTheEnd;
use crate::{ClientError, OpenError, Place};

/// What a request carries.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

const ADDRESS_FILE: &str = "api-address";
const TOKEN_FILE: &str = "api-token";

/// A connection on loopback is there at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// An answer in JSON is a list of jobs, files or workers at most: far below this.
const JSON_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a request from elsewhere names as its host: HTTP wants one, and who is meant is known.
const REMOTE_HOST: &str = "gleaner";

/// Where a coordinator is.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    /// On this machine.
    Local(Local),
    /// Anywhere.
    Remote(Arc<Remote>),
}

/// A coordinator of this machine as its data folder tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    data: PathBuf,
}

/// An answer with a status of success, its body not yet read.
pub(crate) struct Answer {
    place: Place,
    request: String,
    response: Response<Incoming>,
}

impl Endpoint {
    pub(crate) fn open(data: &Path) -> Result<Self, OpenError> {
        let local = Local { data: data.to_owned() };
        local.address()?;
        local.token()?;
        Ok(Self::Local(local))
    }

    pub(crate) fn open_project(projects: Projects, name: &str) -> Result<Self, OpenError> {
        Ok(Self::Remote(Arc::new(Remote::open(projects, name)?)))
    }

    pub(crate) async fn close(&self) {
        if let Self::Remote(remote) = self {
            remote.close().await;
        }
    }

    /// Sends a request and waits for the head of its answer for `limit`.
    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: Body,
        limit: Duration,
    ) -> Result<Answer, ClientError> {
        let built = "paths are escaped, and a token is visible ASCII";
        match self {
            Self::Local(local) => {
                let (address, token) = (local.address()?, local.token()?);
                let request = request
                    .header(HOST, address.to_string())
                    .header(AUTHORIZATION, format!("Bearer {token}"));
                let request = request.body(body).expect(built);
                ask(Place::Address(address), connect(address), request, limit).await
            }
            Self::Remote(remote) => {
                let request = request.header(HOST, REMOTE_HOST).body(body).expect(built);
                let place = Place::Project(remote.name().to_owned());
                ask(place, connect_to_project(remote), request, limit).await
            }
        }
    }
}

impl Local {
    /// Read each time, as is the token, so that a coordinator that was restarted at another port is
    /// found again.
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

/// Sends `request` over the stream that `connecting` leads to, and waits for the head of its answer.
async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    place: Place,
    connecting: impl Future<Output = Result<S, ClientError>>,
    request: Request<Body>,
    limit: Duration,
) -> Result<Answer, ClientError> {
    let name = format!("{} {}", request.method(), request.uri().path());
    let lost = |source| {
        let (place, request) = (place.clone(), name.clone());
        ClientError::ReplyLost { place, request, source }
    };
    let exchanged = async { exchange(connecting.await?, request).await.map_err(lost) };
    let response = match tokio::time::timeout(limit, exchanged).await {
        Ok(response) => response?,
        Err(_) => return Err(ClientError::TimedOut { place, request: name, limit }),
    };
    Answer { place, request: name, response }.check().await
}

async fn connect_to_project(remote: &Remote) -> Result<ApiBytes, ClientError> {
    remote.connect().await.map_err(|source| {
        let (project, source) = (remote.name().to_owned(), Box::new(source));
        ClientError::Remote { project, source }
    })
}

async fn connect(address: SocketAddr) -> Result<TcpStream, ClientError> {
    tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| ClientError::Unreachable { address, source })
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> hyper::Result<Response<Incoming>> {
    let stream = TokioIo::new(ToTheEnd::new(stream));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    // It ends when the answer has been read or dropped; what breaks it is reported there.
    tokio::spawn(connection);
    sender.send_request(request).await
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
                place: self.place.clone(),
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
            return Err(ClientError::Unauthorised { place: self.place });
        }
        let request = self.request.clone();
        let bytes = self.bytes().await?;
        match serde_json::from_slice::<ApiError>(&bytes) {
            Ok(error) => Err(ClientError::Refused { status: status.as_u16(), error }),
            Err(_) => Err(ClientError::Malformed { request, reason: format!("status {status}") }),
        }
    }

    async fn bytes(self) -> Result<Bytes, ClientError> {
        let (place, request) = (self.place, self.request);
        match Limited::new(self.response.into_body(), JSON_BYTES_MAX).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(match error.downcast::<hyper::Error>() {
                Ok(source) => ClientError::ReplyLost { place, request, source: *source },
                Err(error) => ClientError::Malformed { request, reason: error.to_string() },
            }),
        }
    }
}
