//! Files that a manifest has from the web, which here is a small server on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Error, Result, ensure};
use end_to_end::{Answer, Gleaner, JobFolder, Swarm};
use gleaner_protocol::BlobHash;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

const WORDS: &[u8] = b"one\ntwo\nthree\n";

/// Serves files until the test ends.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Result<Self> {
        Self::serve(answer)
    }

    /// One that shows a certificate; what its authority is known by is written to `authority`.
    fn start_secured(authority: &Path) -> Result<Self> {
        let rcgen::CertifiedKey { cert, key_pair } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(authority, cert.pem())?;
        let key = PrivateKeyDer::try_from(key_pair.serialize_der()).map_err(Error::msg)?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        let config = Arc::new(config);
        Self::serve(move |stream, seen| {
            let connection = ServerConnection::new(Arc::clone(&config))?;
            answer(StreamOwned::new(connection, stream), seen)
        })
    }

    fn serve(
        answer: impl Fn(TcpStream, &Mutex<Vec<String>>) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is what some tests are about.
                let _ = answer(stream, &requests);
            }
        });
        Ok(Self { port, seen })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn secured_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// The requests so far: paths, and from which byte on.
    fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn answer(stream: impl Read + Write, seen: &Mutex<Vec<String>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = stream.by_ref().lines();
    let first = lines.next().context("a request has a line")??;
    let path = first.split(' ').nth(1).context("a request has a path")?.to_owned();
    let mut from = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse()?;
        }
    }
    let stream = stream.get_mut();
    let asked = if from == 0 { path.clone() } else { format!("{path} from {from}") };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let (head, body) = match path.as_str() {
        "/words" | "/breaks" if from > 0 => ("206 Partial Content".to_owned(), &WORDS[from..]),
        "/words" => ("200 OK".to_owned(), WORDS),
        // Announces all and gives some.
        "/breaks" => {
            let length = WORDS.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
            return Ok(stream.write_all(&WORDS[..5])?);
        }
        "/moved" => ("302 Found\r\nLocation: /words".to_owned(), &b""[..]),
        "/round" => ("302 Found\r\nLocation: /round".to_owned(), &b""[..]),
        "/huge" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n")?;
            return Ok(());
        }
        _ => ("404 Not Found".to_owned(), &b"no such file"[..]),
    };
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n", body.len())?;
    write!(stream, "Connection: close\r\n\r\n")?;
    Ok(stream.write_all(body)?)
}

fn hash_of(bytes: &[u8]) -> String {
    format!("blake3:{}", BlobHash::of(bytes))
}

/// A job whose items are the lines of what is at `url`.
fn job(url: &str, hash: &str) -> Result<JobFolder> {
    let stage = format!(
        "[[stage]]\nname = \"loud\"\nmodule = \"tasks.wasm\"\nfunction = \"shout\"\n\
         lines = {{ field = \"line\", file = {{ url = \"{url}\", hash = \"{hash}\" }} }}\n\
         reduce = \"lines\""
    );
    JobFolder::of_test_tasks("", &stage)
}

/// Somebody's machine: a data folder of its own.
struct Machine {
    gleaner: Gleaner,
    data: TempDir,
}

impl Machine {
    fn new() -> Result<Self> {
        Ok(Self { gleaner: Gleaner::find()?, data: tempfile::tempdir()? })
    }

    fn check(&self, folder: &JobFolder) -> Result<Answer> {
        let manifest = folder.manifest();
        let manifest = manifest.to_str().context("a path is text")?;
        self.gleaner.ask(self.data.path(), &["check", manifest])
    }
}

#[test]
fn a_file_from_the_web_is_fetched_once_and_computed_like_any_other() -> Result<()> {
    let server = Server::start()?;
    let folder = job(&server.url("/moved"), &hash_of(WORDS))?;
    let swarm = Swarm::with_workers(&[1])?;
    let expected = BTreeMap::from([("loud/loud.txt".to_owned(), b"ONE\nTWO\nTHREE\n".to_vec())]);
    ensure!(swarm.compute(&folder.manifest())? == expected, "the words are other ones");
    ensure!(server.take_requests() == ["/moved", "/words"], "it was fetched otherwise");
    ensure!(swarm.compute(&folder.manifest())? == expected, "the second time it differs");
    ensure!(server.take_requests().is_empty(), "it was fetched again");
    swarm.stop()?;
    ensure!(Gleaner::find()?.run(&folder.manifest())? == expected, "`run` gives other bytes");
    Ok(())
}

#[test]
fn a_connection_that_breaks_is_gone_on_with() -> Result<()> {
    let (server, machine) = (Server::start()?, Machine::new()?);
    let zeros = format!("sha256:{}", "0".repeat(64));
    let answer = machine.check(&job(&server.url("/breaks"), &zeros)?)?;
    ensure!(answer.code == 1 && answer.stderr.contains("got sha256:"), "{answer:?}");
    let (_, told) = answer.stderr.split_once("got ").context("it tells the hash")?;
    let hash = told.split_whitespace().next().context("a hash")?;
    ensure!(server.take_requests() == ["/breaks", "/breaks from 5"], "it began anew");
    let answer = machine.check(&job(&server.url("/breaks"), hash)?)?;
    ensure!(answer.code == 0 && answer.stderr.contains("trying again"), "{answer:?}");
    Ok(())
}

#[test]
fn what_cannot_be_fetched_is_told_in_a_line() -> Result<()> {
    let (server, machine) = (Server::start()?, Machine::new()?);
    let zeros = format!("sha256:{}", "0".repeat(64));
    let gone = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let cases = [
        (server.url("/none"), "was answered with HTTP status 404"),
        (server.url("/words"), "is another file than the manifest says: expected sha256:0000"),
        (server.url("/huge"), "has more than 17179869184 bytes, the most that `stage.loud.lines"),
        (server.url("/round"), "cannot be reached: too many redirects"),
        (format!("http://{gone}/words"), "cannot be reached"),
    ];
    for (url, words) in cases {
        let answer = machine.check(&job(&url, &zeros)?)?;
        ensure!(answer.code == 1 && answer.stderr.contains(words), "{url}: {answer:?}");
        ensure!(answer.stderr.contains("job.toml: line 8, column "), "{url}: {answer:?}");
        ensure!(answer.stderr.contains("hint: "), "{url}: {answer:?}");
    }
    Ok(())
}

#[test]
fn the_authorities_of_this_machine_are_believed_and_no_others() -> Result<()> {
    let mut machine = Machine::new()?;
    let authority = machine.data.path().join("authority.pem");
    let server = Server::start_secured(&authority)?;
    let folder = job(&server.secured_url("/words"), &hash_of(WORDS))?;
    let stranger = machine.check(&folder)?;
    ensure!(stranger.code == 1, "{stranger:?}");
    ensure!(stranger.stderr.contains("certificate"), "it does not say why: {stranger:?}");
    ensure!(server.take_requests().is_empty(), "it spoke to a stranger");
    let believed = format!("SSL_CERT_FILE={}", authority.display());
    machine.gleaner = machine.gleaner.behind(&["env", &believed]);
    let known = machine.check(&folder)?;
    ensure!(known.code == 0, "{known:?}");
    ensure!(server.take_requests() == ["/words"], "it was fetched otherwise");
    Ok(())
}

#[test]
fn a_download_that_somebody_changed_is_fetched_again() -> Result<()> {
    let (server, machine) = (Server::start()?, Machine::new()?);
    let folder = job(&server.url("/words"), &hash_of(WORDS))?;
    ensure!(machine.check(&folder)?.code == 0, "it is sound");
    let kept = machine.data.path().join("downloads").join(hash_of(WORDS).replace(':', "-"));
    std::fs::write(&kept, b"one\ntwo\nfour!\n")?;
    ensure!(machine.check(&folder)?.code == 0, "it is mended");
    ensure!(std::fs::read(&kept)? == WORDS, "what was changed is still there");
    ensure!(server.take_requests() == ["/words", "/words"], "it was fetched otherwise");
    Ok(())
}
