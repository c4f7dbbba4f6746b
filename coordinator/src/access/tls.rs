//! Certificates: the server's own, and what a client's says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::judge::Certificate;
use super::read_bounded;

/// What a port speaks below its TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// gRPC.
    Http2,
    /// Probes, people.
    Http1,
}

/// Where the server's certificate, its key and the clients' authority are.
#[derive(Debug, Clone)]
pub(super) struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_authority: Option<PathBuf>,
}

/// What the files hold: the same bytes are the same certificates.
#[derive(PartialEq, Eq)]
pub(super) struct TlsBytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authority: Option<Vec<u8>>,
}

/// Ready to shake hands on either kind of port.
#[derive(Debug, Clone)]
pub(super) struct TlsConfigs {
    http2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
}

impl TlsConfigs {
    pub fn of(&self, speaks: Speaks) -> Arc<ServerConfig> {
        Arc::clone(match speaks {
            Speaks::Http2 => &self.http2,
            Speaks::Http1 => &self.http1,
        })
    }
}

impl TlsFiles {
    /// Reads them all. An error says which cannot be read.
    pub fn read(&self) -> Result<TlsBytes, String> {
        let read = |path: &Path| read_bounded(path);
        Ok(TlsBytes {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            client_authority: self.client_authority.as_deref().map(read).transpose()?,
        })
    }

    /// Makes configurations of what was read. An error says which file is wrong, and how.
    pub fn configs(&self, bytes: &TlsBytes) -> Result<TlsConfigs, String> {
        let chain = certificates(&self.certificate, &bytes.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes.key)
            .map_err(|_| format!("{} has no private key in PEM", self.key.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let builder = match self.client_authority.as_ref().zip(bytes.client_authority.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((path, pem)) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, pem)? {
                    roots.add(authority).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                // Whoever shows none has a token, or asks for health: each call is judged.
                let verifier = verifier.allow_unauthenticated().build();
                builder.with_client_cert_verifier(verifier.map_err(|error| format!("{}: {error}", path.display()))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!("{} and {} do not make a pair: {error}", self.certificate.display(), self.key.display())
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsConfigs { http2: Arc::new(config), http1 })
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(format!("{} has no certificates in PEM", path.display())),
    }
}

/// What a verified client certificate says of its holder.
pub(super) fn of_client(der: &CertificateDer<'_>) -> Result<Certificate, x509_cert::der::Error> {
    let certificate = x509_cert::Certificate::from_der(der)?.tbs_certificate;
    let mut names: Vec<String> = Vec::new();
    for attribute in certificate.subject.0.iter().flat_map(|part| part.0.iter()) {
        if attribute.oid == COMMON_NAME {
            let value = &attribute.value;
            let text = match value.tag() {
                Tag::Utf8String => Utf8StringRef::try_from(value)?.as_str().to_owned(),
                Tag::PrintableString => PrintableStringRef::try_from(value)?.as_str().to_owned(),
                Tag::TeletexString => TeletexStringRef::try_from(value)?.as_str().to_owned(),
                Tag::Ia5String => Ia5StringRef::try_from(value)?.as_str().to_owned(),
                _ => continue,
            };
            names.push(text);
        }
    }
    if let Some((_, alternative)) = certificate.get::<SubjectAltName>()? {
        for name in alternative.0 {
            match name {
                GeneralName::DnsName(name)
                | GeneralName::Rfc822Name(name)
                | GeneralName::UniformResourceIdentifier(name) => {
                    names.push(name.as_str().to_owned());
                }
                _ => {}
            }
        }
    }
    let expires = SystemTime::UNIX_EPOCH + certificate.validity.not_after.to_unix_duration();
    Ok(Certificate { names, expires })
}
