//! TLS for connections to Redis: trusted roots and the client certificate.

use ::redis::{Client, ClientTlsConfig, ConnectionInfo, TlsCertificates};
use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};

use super::error::RedisError;

/// The TLS settings that the URL does not contain.
#[derive(Debug, Clone, Default)]
pub(super) struct Tls {
    roots: Option<Vec<u8>>,
    identity: Option<ClientTlsConfig>,
}

impl Tls {
    pub(super) fn set_roots(&mut self, certificates: Vec<u8>) {
        self.roots = Some(certificates);
    }

    pub(super) fn set_identity(&mut self, certificate: Vec<u8>, key: Vec<u8>) {
        self.identity = Some(ClientTlsConfig { client_cert: certificate, client_key: key });
    }

    pub(super) fn is_default(&self) -> bool {
        self.roots.is_none() && self.identity.is_none()
    }

    /// Errors if the root certificates contain no certificate, which the client does not report.
    pub(super) fn check_roots(&self) -> Result<(), RedisError> {
        let Some(roots) = &self.roots else { return Ok(()) };
        match CertificateDer::pem_slice_iter(roots).next() {
            None => Err(RedisError::protocol("root certificates contain no certificate")),
            Some(_) => Ok(()),
        }
    }

    /// Creates a client for this server. Does not connect.
    pub(super) fn client(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        // rustls panics if several crypto providers are compiled in and none is the default of the process, so `ring` becomes
        // the default unless there is one.
        if CryptoProvider::get_default().is_none() {
            // An error means that another thread has just set a default.
            let _ = ring::default_provider().install_default();
        }
        if self.is_default() {
            return Ok(Client::open(info)?);
        }
        let certificates = TlsCertificates { client_tls: self.identity.clone(), root_cert: self.roots.clone() };
        Ok(Client::build_with_tls(info, certificates)?)
    }
}
