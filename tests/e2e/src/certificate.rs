//! A certificate for loopback, and its authority, which browsers can be configured to trust.

use std::{error::Error, fs, io, path::Path, process::Command, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// A certificate for `localhost` and `127.0.0.1`, new for each test.
#[derive(Debug)]
pub struct Certificate {
    authority: rcgen::Certificate,
    server: rcgen::Certificate,
    key: KeyPair,
}

impl Certificate {
    /// Creates an authority, and a certificate of it.
    ///
    /// # Errors
    ///
    /// Returns the error of the library.
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_key = KeyPair::generate()?;
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "server of a test");
        let server = params.signed_by(&key, &issuer)?;
        Ok(Self { authority, server, key })
    }

    /// Returns the configuration of a server that speaks these protocols only.
    ///
    /// # Errors
    ///
    /// Returns the error of the library.
    pub fn server(&self, protocols: &[&str]) -> Result<Arc<ServerConfig>, Box<dyn Error + Send + Sync>> {
        let chain = vec![CertificateDer::from(self.server.der().to_vec())];
        let key = PrivateKeyDer::try_from(self.key.serialize_der())?;
        let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Writes certificate and key, one after the other, as haproxy expects them; nginx takes the file for both.
    ///
    /// # Errors
    ///
    /// Errors if the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.server.pem() + &self.key.serialize_pem())
    }

    /// Writes the authority, for a client to trust.
    ///
    /// # Errors
    ///
    /// Errors if the file cannot be written.
    pub fn write_authority(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.authority.pem())
    }

    /// Puts the authority into a new NSS database, where Chromium and Firefox look up trusted authorities.
    ///
    /// # Errors
    ///
    /// Errors if the directory cannot be created, or certutil is missing or fails.
    pub fn trust_in(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let authority = directory.join("authority.pem");
        self.write_authority(&authority)?;
        let database = format!("sql:{}", directory.display());
        let certutil = |arguments: &[&str]| {
            let output = Command::new("certutil").args(arguments).args(["-d", &database]).output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            output.status.success().then_some(()).ok_or_else(|| io::Error::other(format!("certutil: {said}")))
        };
        certutil(&["-N", "--empty-password"])?;
        certutil(&["-A", "-n", "authority of a test", "-t", "C,,", "-i", &authority.to_string_lossy()])
    }
}
