//! Redis by TLS: whom to trust, and who this node is.

use std::sync::Arc;

use ::redis::{Client, ClientTlsConfig, ConnectionInfo, TlsCertificates};
use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{Redis, error::RedisError};

/// What is set beside the URL.
#[derive(Debug, Clone, Default)]
pub(super) struct Tls {
    authority: Option<Vec<u8>>,
    identity: Option<ClientTlsConfig>,
}

/// With feature `redis-tls`.
impl Redis {
    /// Trusts these authorities, and no others: certificates in PEM. Default: those that the system trusts, which are the ones in
    /// the files that the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name, if they are set.
    ///
    /// # Errors
    ///
    /// They are no certificates, or no address is `rediss://`, or this is in use.
    pub fn root_certificates(self, authorities: impl Into<Vec<u8>>) -> Result<Self, RedisError> {
        let authorities = authorities.into();
        let all = CertificateDer::pem_slice_iter(&authorities).collect::<Result<Vec<_>, _>>();
        if all.is_ok_and(|all| all.is_empty()) {
            return Err(RedisError::protocol("there is no certificate in it"));
        }
        self.set_tls(|tls| tls.authority = Some(authorities))
    }

    /// Shows this certificate, with its key, both in PEM: Redis asks for one unless it has `tls-auth-clients no`. Default: none.
    ///
    /// # Errors
    ///
    /// They are no certificate and key, or no address is `rediss://`, or this is in use.
    pub fn client_certificate(
        self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Result<Self, RedisError> {
        let identity = ClientTlsConfig { client_cert: certificate.into(), client_key: key.into() };
        self.set_tls(|tls| tls.identity = Some(identity))
    }

    fn set_tls(mut self, set: impl FnOnce(&mut Tls)) -> Result<Self, RedisError> {
        let servers = Arc::get_mut(&mut self.servers).ok_or(RedisError::protocol("it is in use"))?;
        set(&mut servers.tls);
        servers.check_tls()?;
        Ok(self)
    }
}

impl Tls {
    /// A client for this address.
    pub(super) fn client(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        // Where nobody has chosen who computes, the TLS that Redis's client stands on panics if more than one could.
        if CryptoProvider::get_default().is_none() {
            // An error is somebody's choice just now.
            let _ = ring::default_provider().install_default();
        }
        if self.authority.is_none() && self.identity.is_none() {
            return Ok(Client::open(info)?);
        }
        let certificates = TlsCertificates { client_tls: self.identity.clone(), root_cert: self.authority.clone() };
        Ok(Client::build_with_tls(info, certificates)?)
    }
}
