//! Whose certificates a link trusts, where its configuration names a file.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Reads the certificates of a file.
///
/// # Errors
/// What is wrong with it, for the operator.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let shown = path.display();
    let unreadable = |error: &dyn std::fmt::Display| format!("read {shown}: {error}");
    let mut authorities = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        authorities
            .add(certificate)
            .map_err(|error| format!("use a certificate in {shown}: {error}"))?;
    }
    if authorities.is_empty() {
        return Err(format!("use {shown}: there is no certificate in it"));
    }
    Ok(authorities)
}
