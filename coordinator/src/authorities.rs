//! Whose certificates are believed where the web is asked: for files of a manifest, and for news.

use rustls_native_certs::load_native_certs;
use tracing::warn;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Believes the authorities that this machine does, so that an organisation's own works as in every
/// other program; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. Where the machine has none, as in
/// many containers, those that Mozilla trusted when this program was built.
pub fn tls_of_this_machine() -> TlsConfig {
    let found = load_native_certs();
    for error in &found.errors {
        warn!(%error, "certificates of this machine not read");
    }
    let roots: Vec<_> =
        found.certs.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    let roots = match roots.is_empty() {
        true => RootCerts::WebPki,
        false => RootCerts::new_with_certs(&roots),
    };
    TlsConfig::builder().root_certs(roots).build()
}
