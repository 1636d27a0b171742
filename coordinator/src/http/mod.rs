//! The control API: HTTP and JSON, as `gleaner_protocol::api` says, through two doors.
//!
//! Invariants: it listens on loopback alone, and there every route, known or not, needs the token
//! of the file `api-token`, and a `Host` and `Origin` of this machine, so that neither another user
//! nor a web page can use it; from elsewhere the same routes are reached through [`RemoteDoor`]
//! alone, by those who have proved a key that is on the list, and only as far as their own jobs
//! go; every answer that is not one of the contract's is an [`ApiError`]; result bytes are
//! attachments that no browser runs. Deliberately absent: what requests mean, which is behind
//! [`Control`].

mod answer;
mod callers;
mod control;
mod credentials;
mod remote;
mod routes;
mod streamed;
mod walls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::middleware;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::blobs::Blobs;

pub use control::{Control, ControlError, UnitsRequest};
pub use credentials::{CredentialError, load_or_create_token};
pub use remote::RemoteDoor;
pub use streamed::{BodyWriter, ReaderGone, Streamed, streamed};

use credentials::AddressFile;
use walls::{Walls, guard, harden};

/// How long requests under way may take to end when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Why the control API could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken, or may not be used.
    #[error("cannot listen on {address}; choose another port with --api-port")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The token or the address could not be put where clients look for it.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
}

/// A running control API. Dropped, it stops without waiting for requests under way.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    remote: RemoteDoor,
    task: JoinHandle<io::Result<()>>,
    stop: DropGuard,
    address_file: AddressFile,
}

impl Server {
    /// Serves `control` and `blobs` on the loopback address at `port`, any free one when 0. The
    /// address stands in `data`/`api-address` until the server stops; the token that clients need
    /// is the one in `data`/`api-token`, made when it is not there.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start<C: Control>(
        data: &Path,
        port: u16,
        control: Arc<C>,
        blobs: Blobs,
    ) -> Result<Self, ServeError> {
        let token = load_or_create_token(data)?;
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listen_error = |source| ServeError::Listen { address: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let address_file = AddressFile::write(data, address)?;
        let stop = CancellationToken::new();
        let walls = Walls::new(address.port(), &token);
        let routes = routes::router(control, blobs, stop.clone());
        let remote = RemoteDoor::new(routes.clone(), stop.clone());
        let local = routes
            .layer(middleware::from_fn_with_state(walls, guard))
            .layer(middleware::from_fn(harden));
        // Answers are small and waited for: holding them back to fill packets would only delay.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let stopped = stop.clone().cancelled_owned();
        let serve = axum::serve(listener, local).with_graceful_shutdown(stopped);
        let task = tokio::spawn(serve.into_future());
        Ok(Self { address, remote, task, stop: stop.drop_guard(), address_file })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The door to the same routes for submitters from elsewhere.
    pub fn remote_door(&self) -> RemoteDoor {
        self.remote.clone()
    }

    /// Where the address is written down while the server runs.
    pub fn address_path(&self) -> PathBuf {
        self.address_file.path().to_owned()
    }

    /// Takes no more requests, lets those under way end, for five seconds at most, and removes the
    /// address file.
    pub async fn stop(self) {
        drop(self.stop);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(STOP_GRACE, self.task).await.is_err() {
            abort.abort();
        }
    }
}

#[cfg(test)]
mod tests;
