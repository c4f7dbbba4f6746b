//! Who may come in: by which token or certificate, to which calls, for how long, and how many at once.

mod exhaustion;
mod matrix;
mod refusals;
mod rotation;
mod sessions;
mod whole_runs;

use std::path::{Path, PathBuf};

use muster_tests::cluster::Cluster;
use muster_tests::process::Start;
use muster_worker::{CallChannel, CredentialArgs, Way};
use tonic::Status;
use tonic_types::StatusExt;

/// A folder with certificates, tokens and the list of who may come in.
pub(crate) struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Made by the program itself, as a user would.
    pub(crate) async fn make(place: &Path) -> Keys {
        let folder = place.join("keys");
        Start::muster(place, ["dev-certs", "keys"]).run().await.with_code(0);
        Keys { folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.file(name).to_str().expect("a path").to_owned()
    }

    /// A new token in a file of this name, and the entry that lets it in.
    pub(crate) async fn token(&self, file: &str, name: &str, role: &str) -> String {
        let output = self.text(file);
        let line = ["token", name, "--role", role, "--output", &output];
        Start::muster(self.folder.parent().expect("a place"), line).run().await.with_code(0).stdout
    }

    /// The flags of a coordinator that has all this.
    fn flags(&self) -> Vec<String> {
        let files = [
            ("--tls-cert", "server.pem"),
            ("--tls-key", "server.key"),
            ("--tls-client-ca", "ca.pem"),
            ("--tokens", "access.yaml"),
        ];
        files.iter().flat_map(|(flag, file)| [(*flag).to_owned(), self.text(file)]).collect()
    }

    async fn cluster(&self, more: &[&str]) -> Cluster {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Cluster::with(self.folder.parent().expect("a place"), &flags, &[]).await
    }

    /// Of a client that shows nothing.
    fn nobody(&self) -> CredentialArgs {
        CredentialArgs { tls_ca: Some(self.file("ca.pem")), ..CredentialArgs::default() }
    }

    /// Of one that has this certificate.
    fn certified(&self, name: &str) -> CredentialArgs {
        let [cert, key] = ["pem", "key"].map(|end| Some(self.file(&format!("{name}.{end}"))));
        CredentialArgs { tls_cert: cert, tls_key: key, ..self.nobody() }
    }

    /// Of one that has the token in this file.
    fn bearing(&self, file: &str) -> CredentialArgs {
        CredentialArgs { token_file: Some(self.file(file)), ..self.nobody() }
    }
}

/// Puts another file in the place of one, in one step, as editors and Kubernetes do.
pub(crate) fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(&new, file).expect("in its place");
}

fn tls_url(cluster: &Cluster) -> String {
    cluster.url().replace("http://", "https://")
}

fn channel(url: &str, credentials: &CredentialArgs) -> CallChannel {
    Way::to(url, credentials).expect("a way").channel()
}

/// The reason that a coordinator gave.
fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}
