//! A POST to an address that a job names.
//!
//! Invariants: where only public addresses may be called, it is the address connected to that is
//! looked at, whatever its name said before or says later; no redirect is followed, no proxy used,
//! nothing of the answer but its status looked at.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::addresses::is_public;
use crate::authorities::tls_of_this_machine;

/// How long a call may take, from the look-up of the name to the answer's headers.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The most of an answer's headers that is read.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Who may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Whoever the operator's own job names, on this machine or its networks too.
    Anywhere,
    /// Addresses of the public internet.
    PublicOnly,
}

/// Why an address was not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// It is not for submitters from elsewhere; a retry does not help.
    #[error("{address} is no public address, and only the operator's own jobs may call others")]
    NotPublic {
        /// The address.
        address: SocketAddr,
    },
    /// It answered something else than success.
    #[error("it answered with status {status}, which is no success")]
    Status {
        /// The status.
        status: u16,
    },
    /// It was not reached or did not answer.
    #[error("it was not reached: {0}")]
    Call(Error),
    /// There is no thread to call it from.
    #[error("it was not called: {0}")]
    Thread(std::io::Error),
    /// A defect of Gleaner or of what it calls with.
    #[error("the call ended without an answer")]
    Lost,
}

/// Sends `body` and waits for the answer. On a thread of its own, which a coordinator that stops
/// does not wait for.
pub(super) async fn post(url: String, body: Vec<u8>, reach: Reach) -> Result<(), PostError> {
    let (sender, answer) = oneshot::channel();
    let call = move || drop(sender.send(call(&url, &body, reach, DefaultResolver::default())));
    thread::Builder::new().name("notice".to_owned()).spawn(call).map_err(PostError::Thread)?;
    answer.await.unwrap_or(Err(PostError::Lost))
}

fn call(url: &str, body: &[u8], reach: Reach, resolver: impl Resolver) -> Result<(), PostError> {
    let config = Config::builder()
        .timeout_global(Some(TIME_MAX))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_response_header_size(HEADER_BYTES_MAX)
        .max_idle_connections(0)
        .proxy(None)
        .tls_config(tls_of_this_machine())
        .user_agent("gleaner")
        .build();
    let resolver = Guarded { reach, resolver };
    let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
    let sent = agent.post(url).content_type("application/json").send(body);
    match sent {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(PostError::Status { status: answer.status().as_u16() }),
        Err(error) => Err(refusal(error)),
    }
}

fn refusal(error: Error) -> PostError {
    match error {
        Error::Other(other) => match other.downcast::<NotPublic>() {
            Ok(refused) => PostError::NotPublic { address: refused.0 },
            Err(other) => PostError::Call(Error::Other(other)),
        },
        error => PostError::Call(error),
    }
}

/// Finds addresses, and gives none that may not be called.
#[derive(Debug)]
struct Guarded<R> {
    reach: Reach,
    resolver: R,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is no public address")]
struct NotPublic(SocketAddr);

impl<R: Resolver> Resolver for Guarded<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.resolver.resolve(uri, config, timeout)?;
        let refused = match self.reach {
            Reach::Anywhere => None,
            Reach::PublicOnly => found.iter().find(|address| !is_public(address.ip())),
        };
        match refused {
            None => Ok(found),
            Some(address) => Err(Error::Other(Box::new(NotPublic(*address)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Says that any name is at one address.
    #[derive(Debug)]
    struct Fixed(SocketAddr);

    impl Resolver for Fixed {
        fn resolve(
            &self,
            _: &Uri,
            _: &Config,
            _: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, Error> {
            let mut found = self.empty();
            found.push(self.0);
            Ok(found)
        }
    }

    /// Answers one call with `answer`, and gives what it was sent.
    fn listener(answer: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = Vec::new();
            let mut buffer = [0; 4096];
            while !got.ends_with(b"}") {
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "the call ended early");
                got.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(got).unwrap()
        };
        (address, thread::spawn(serve))
    }

    #[test]
    fn an_operators_job_may_call_this_machine() {
        let (address, served) = listener("HTTP/1.1 204 No Content\r\n\r\n");
        let url = format!("http://{address}/hook?a=b");
        call(&url, b"{\"job\":\"job-1\"}", Reach::Anywhere, DefaultResolver::default()).unwrap();
        let got = served.join().unwrap();
        assert!(got.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{got}");
        assert!(got.to_lowercase().contains("content-type: application/json\r\n"), "{got}");
        assert!(got.ends_with("\r\n\r\n{\"job\":\"job-1\"}"), "{got}");
    }

    #[test]
    fn no_name_leads_a_stranger_to_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let port = address.port();
        for url in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
            format!("http://localhost:{port}/"),
            format!("http://2130706433:{port}/"),
            format!("http://user@127.0.0.1:{port}/"),
        ] {
            let refused = call(&url, b"{}", Reach::PublicOnly, DefaultResolver::default());
            assert!(matches!(refused, Err(PostError::NotPublic { .. })), "{url}: {refused:?}");
        }
        // A name that was public when somebody looked, and leads here when it is called.
        let url = format!("http://rebound.example:{port}/");
        let refused = call(&url, b"{}", Reach::PublicOnly, Fixed(address));
        assert!(matches!(refused, Err(PostError::NotPublic { .. })), "{refused:?}");
        let nobody = listener.accept().expect_err("somebody called");
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_redirect_is_no_success_and_is_not_followed() {
        let (address, served) = listener("HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n");
        let url = format!("http://{address}/");
        let refused = call(&url, b"{}", Reach::Anywhere, DefaultResolver::default());
        assert!(matches!(refused, Err(PostError::Status { status: 302 })), "{refused:?}");
        served.join().unwrap();
    }
}
