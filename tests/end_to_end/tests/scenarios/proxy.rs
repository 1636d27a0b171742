//! A coordinator's control API behind a proxy that can hold a request back at a chosen point, so
//! that what happens between a client and its coordinator can be cut anywhere.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::{Swarm, wait_until};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where a request is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The coordinator has half of its body, and never gets the rest.
    HalfTheBody,
    /// The coordinator has answered, and nobody hears it.
    Answered,
    /// The client has half of the answer's body, and never gets the rest.
    HalfTheAnswer,
}

/// A cut: the next request that begins so is held at the point.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Its method and the begin of its path.
    pub begins: &'static str,
    /// Where.
    pub at: Point,
}

/// A running proxy. It ends with the test's process.
pub struct Proxy {
    /// A data folder whose coordinator is the proxy.
    data: TempDir,
    shared: Arc<Shared>,
    cuts_reached: Receiver<()>,
}

struct Shared {
    /// Where the coordinator says that it listens.
    upstream: PathBuf,
    cut: Mutex<Option<Cut>>,
    requests: Mutex<Vec<String>>,
    /// The clients whose requests are held.
    held: Mutex<Vec<TcpStream>>,
    reached: Mutex<Sender<()>>,
}

impl Proxy {
    /// Starts one in front of the coordinator of `swarm`.
    pub fn start(swarm: &Swarm) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let data = tempfile::tempdir()?;
        let folder = data.path().join("coordinator");
        fs::create_dir(&folder)?;
        fs::write(folder.join("api-address"), listener.local_addr()?.to_string())?;
        fs::write(folder.join("api-token"), swarm.api_token()?)?;
        let (reached, cuts_reached) = mpsc::channel();
        let shared = Arc::new(Shared {
            upstream: swarm.coordinator_folder().join("api-address"),
            cut: Mutex::default(),
            requests: Mutex::default(),
            held: Mutex::default(),
            reached: Mutex::new(reached),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A connection that breaks is the client's to notice.
                thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Ok(Self { data, shared, cuts_reached })
    }

    /// The data folder for commands that are to go through the proxy.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Cuts the next request that fits.
    pub fn cut(&self, cut: Cut) {
        *lock(&self.shared.cut) = Some(cut);
    }

    /// Waits until the cut is reached.
    pub fn wait_for_cut(&self) -> Result<()> {
        self.cuts_reached.recv_timeout(PATIENCE).context("the cut was not reached")
    }

    /// Ends the connections of the requests that are held.
    pub fn let_go(&self) {
        for client in lock(&self.shared.held).drain(..) {
            // One that has gone is let go already.
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// The requests that came since this was last asked: method and path.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.shared.requests))
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> Result<()> {
        let (head, body) = read_head(&mut client)?;
        let line = head.lines().next().unwrap_or_default();
        let request = line.rsplit_once(' ').map_or(line, |(request, _)| request).to_owned();
        lock(&self.requests).push(request.clone());
        let cut = lock(&self.cut).take_if(|cut| request.starts_with(cut.begins));
        let (mut upstream, address) = self.connect()?;
        upstream.write_all(with_host(&head, &address).as_bytes())?;
        upstream.write_all(&body)?;
        let left = content_length(&head).saturating_sub(body.len() as u64);
        if let Some(Cut { at: Point::HalfTheBody, .. }) = cut {
            io::copy(&mut (&mut client).take(left / 2), &mut upstream)?;
            return self.hold(client);
        }
        io::copy(&mut (&mut client).take(left), &mut upstream)?;
        let mut first = [0];
        upstream.read_exact(&mut first)?;
        if let Some(Cut { at: Point::Answered, .. }) = cut {
            return self.hold(client);
        }
        client.write_all(&first)?;
        if cut.is_some() {
            let (head, body) = read_head(&mut upstream)?;
            client.write_all(head.as_bytes())?;
            client.write_all(&body)?;
            let half = content_length(&head) / 2;
            let left = half.saturating_sub(body.len() as u64);
            io::copy(&mut (&mut upstream).take(left), &mut client)?;
            return self.hold(client);
        }
        io::copy(&mut upstream, &mut client)?;
        Ok(client.shutdown(Shutdown::Both)?)
    }

    /// Tells that the cut is reached, and holds the connection until the client ends it or
    /// [`Proxy::let_go`] does.
    fn hold(&self, mut client: TcpStream) -> Result<()> {
        lock(&self.held).push(client.try_clone()?);
        lock(&self.reached).send(())?;
        // What still comes is of no interest.
        let _ = io::copy(&mut client, &mut io::sink());
        Ok(())
    }

    /// The coordinator, once there is one.
    fn connect(&self) -> Result<(TcpStream, String)> {
        wait_until("a coordinator behind the proxy", PATIENCE, || {
            let Ok(address) = fs::read_to_string(&self.upstream) else { return Ok(None) };
            let address = address.trim().to_owned();
            Ok(TcpStream::connect(&address).ok().map(|stream| (stream, address)))
        })
    }
}

/// The head of a request or an answer, and what came of its body with it.
fn read_head(peer: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes)?, body));
        }
        let read = peer.read(&mut buffer)?;
        anyhow::ensure!(read > 0, "the peer went away");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// The head as if the client had called the coordinator itself, for one request alone.
fn with_host(head: &str, address: &str) -> String {
    let is_ours = |line: &&str| !line.to_ascii_lowercase().starts_with("host:");
    let mut lines: Vec<_> = head.trim_end().lines().filter(is_ours).map(str::to_owned).collect();
    lines.push(format!("Host: {address}"));
    lines.push("Connection: close\r\n\r\n".to_owned());
    lines.join("\r\n")
}

fn content_length(head: &str) -> u64 {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
