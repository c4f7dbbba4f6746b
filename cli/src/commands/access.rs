//! `token` and `dev-certs`: what coordinators and their clients let each other in by.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use muster_telemetry::Stderr;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use sha2::{Digest, Sha256};

use crate::args::{DevCertsArgs, TokenArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{manner, output};

/// So that scanners for leaked secrets can know one.
const PREFIX: &str = "muster_";
/// Names that a coordinator on this machine is called by.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// A clock that is a little behind must not refuse what was just made.
const MARGIN: Duration = Duration::from_secs(300);

/// `muster token NAME`.
pub fn token(args: &TokenArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Failure::new(format!("there are no random numbers: {error}")))?;
    let token = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    let mut entry = format!(
        "- name: {}\n  role: {}\n  token_sha256: {}\n",
        args.name,
        args.role.word(),
        hex::encode(Sha256::digest(token.as_bytes()))
    );
    if let Some(good_for) = args.expires {
        let _ = writeln!(entry, "  expires: {}", text_of(SystemTime::now() + good_for)?);
    }
    if let Some(file) = &args.output {
        write_new(file, &format!("{token}\n"), true, false)?;
        output::print(&entry)?;
        let line = format!("the token is in {}; the entry goes into the coordinator's --tokens file", file.display());
        manner::remark(stderr, &line);
    } else {
        output::print(&format!("{token}\n\n{entry}"))?;
        let line = "the token is shown this once: hand it over by a way that is safe, as a --token-file or as MUSTER_TOKEN; \
                    the entry goes into the coordinator's --tokens file";
        manner::remark(stderr, line);
    }
    Ok(Exit::Fine)
}

/// A time after RFC 3339, in whole seconds.
fn text_of(time: SystemTime) -> Result<String, Failure> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    timestamp.map(|time| time.to_string()).ok_or_else(|| Failure::usage("--expires is too far away"))
}

/// `muster dev-certs [DIR]`.
pub fn dev_certs(args: &DevCertsArgs) -> Result<Exit, Failure> {
    let files = make(args).map_err(|error| Failure::usage(format!("no certificates can be made: {error}")))?;
    let dir = &args.dir;
    if let Some((name, ..)) = files.iter().find(|(name, ..)| !args.force && dir.join(name).exists()) {
        return Err(Failure::new(format!("there is a {} already", dir.join(name).display()))
            .help("give another folder, or --force: everything that was issued before is of no use then"));
    }
    std::fs::create_dir_all(dir).map_err(|error| Failure::new(format!("cannot make {}: {error}", dir.display())))?;
    for (name, text, private) in &files {
        write_new(&dir.join(name), text, *private, args.force)?;
    }
    output::remark(&how_to_try(dir))?;
    Ok(Exit::Fine)
}

/// Name, text, and whether only its owner may read it.
type NewFile = (String, String, bool);

/// An authority, whose key is forgotten, and what it issues.
fn make(args: &DevCertsArgs) -> Result<Vec<NewFile>, rcgen::Error> {
    let mut params = params("Muster, for trying it out", Vec::new(), args.expires)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut files = vec![("ca.pem".to_owned(), authority.pem(), false)];
    let mut access =
        String::from("# Who may come in with the certificates beside this file; `muster token` makes more entries.\n");
    let hosts = HERE.iter().map(|host| (*host).to_owned()).chain(args.host.iter().cloned()).collect();
    let issued = [
        ("server", hosts, ExtendedKeyUsagePurpose::ServerAuth),
        ("worker", Vec::new(), ExtendedKeyUsagePurpose::ClientAuth),
        ("operator", Vec::new(), ExtendedKeyUsagePurpose::ClientAuth),
        ("viewer", Vec::new(), ExtendedKeyUsagePurpose::ClientAuth),
    ];
    for (name, hosts, purpose) in issued {
        if purpose == ExtendedKeyUsagePurpose::ClientAuth {
            let _ = writeln!(access, "- {{name: {name}, role: {name}, certificate: {name}}}");
        }
        let mut params = self::params(name, hosts, args.expires)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        files.push((format!("{name}.pem"), certificate.pem(), false));
        files.push((format!("{name}.key"), key.serialize_pem(), true));
    }
    files.push(("access.yaml".to_owned(), access, false));
    Ok(files)
}

fn params(name: &str, hosts: Vec<String>, good_for: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(MARGIN);
    params.not_after = epoch + now + good_for;
    Ok(params)
}

fn how_to_try(dir: &Path) -> String {
    let dir = dir.display();
    let client = |role: &str| format!("--tls-ca {dir}/ca.pem --tls-cert {dir}/{role}.pem --tls-key {dir}/{role}.key");
    format!(
        "Certificates for trying it out are in {dir}, keys that only you can read beside them. Each of these in a shell of its own:\n\n  \
         muster coordinator --tls-cert {dir}/server.pem --tls-key {dir}/server.key --tls-client-ca {dir}/ca.pem --tokens {dir}/access.yaml\n  \
         muster worker --coordinator https://localhost:7470 {}\n  \
         muster runs --coordinator https://localhost:7470 {}\n",
        client("worker"),
        client("operator")
    )
}

/// Writes a file that is not there, or only over one when that was asked for. A private one is so from its first byte on.
fn write_new(file: &Path, text: &str, private: bool, over: bool) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        let failure = Failure::new(format!("cannot write {}: {error}", file.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => failure.help("give another file: nothing is written over"),
            _ => failure,
        }
    };
    if over
        && let Err(error) = std::fs::remove_file(file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(cannot(error));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(if private { 0o600 } else { 0o644 });
    options.open(file).and_then(|mut file| file.write_all(text.as_bytes())).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_private_and_nothing_is_written_over_unasked() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("certs");
        let args = |force| DevCertsArgs {
            dir: dir.clone(),
            host: vec!["muster.example".to_owned()],
            expires: Duration::from_secs(3600),
            force,
        };
        dev_certs(&args(false)).expect("made");
        let read = |name: &str| std::fs::read(dir.join(name)).expect("a file");
        let mode = |name: &str| std::fs::metadata(dir.join(name)).expect("a file").permissions().mode() & 0o777;
        for role in ["server", "worker", "operator", "viewer"] {
            assert_eq!(mode(&format!("{role}.key")), 0o600);
        }
        let before = read("server.pem");
        let refused = dev_certs(&args(false)).expect_err("it is there").to_string();
        assert!(refused.contains("already") && refused.contains("--force"), "{refused}");
        assert_eq!(read("server.pem"), before);
        dev_certs(&args(true)).expect("made anew");
        assert_ne!(read("server.pem"), before);
        assert_eq!(mode("server.key"), 0o600);
    }
}
