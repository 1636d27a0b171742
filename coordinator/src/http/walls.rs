//! Who is let in: programs of this machine that can read the token, and no web page.
//!
//! A web page could reach a loopback port by a name of its own that points there (DNS rebinding)
//! or by a request across origins; `Host` and `Origin` tell both. The token tells users of one
//! machine apart.

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use gleaner_coordinator_core::Owner;

use super::answer::Fault;

/// What a request must show.
#[derive(Clone, Debug)]
pub(super) struct Walls {
    /// A hash of the token, so that comparing takes the same time for any two tokens.
    token: blake3::Hash,
    hosts: [String; 2],
}

impl Walls {
    pub(super) fn new(port: u16, token: &str) -> Self {
        let hosts = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}"));
        Self { token: blake3::hash(token.as_bytes()), hosts }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Fault> {
        if !self.is_our_host(text(headers, header::HOST).unwrap_or_default()) {
            return Err(forbidden("the `Host` of the request is not this coordinator's address"));
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = text(headers, header::ORIGIN).unwrap_or_default();
            if !origin.strip_prefix("http://").is_some_and(|host| self.is_our_host(host)) {
                return Err(forbidden("the request comes from a page of another origin"));
            }
        }
        let token = text(headers, header::AUTHORIZATION).and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token)
        });
        match token {
            Some(token) if blake3::hash(token.as_bytes()) == self.token => Ok(()),
            _ => Err(unauthorized()),
        }
    }

    fn is_our_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
    }
}

/// Stands before every route on loopback: who passes is the operator.
pub(super) async fn guard(
    State(walls): State<Walls>,
    mut request: Request,
    next: Next,
) -> Result<Response, Fault> {
    walls.check(request.headers())?;
    request.extensions_mut().insert(Owner::Operator);
    Ok(next.run(request).await)
}

/// Marks every answer, those of [`guard`] too: no browser may run, guess at or keep it.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let mut response = next.run(request).await;
    response.headers_mut().extend(HEADERS);
    response
}

/// A header that is there once, as text.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn forbidden(error: &str) -> Fault {
    let hint = "use a Gleaner client, or the address in the file `api-address`";
    Fault::new(StatusCode::FORBIDDEN, error, hint)
}

fn unauthorized() -> Fault {
    let error = "the request lacks the token of this coordinator";
    let hint = "send `Authorization: Bearer` and the text in the file `api-token` of the \
                coordinator's folder";
    Fault::new(StatusCode::UNAUTHORIZED, error, hint)
}
