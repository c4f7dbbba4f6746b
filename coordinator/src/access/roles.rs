//! Who may make which call. A method that is not listed here fails the build.

use serde::Deserialize;

use super::coverage::every_method_is_listed;

/// What a token or a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Reads: runs, verdicts, records, workers.
    Viewer,
    /// Starts, stops and settles runs too.
    Operator,
    /// Leases batches and reports them.
    Worker,
}

impl Role {
    /// Its word in the access file.
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Worker => "worker",
        }
    }
}

/// Whom a call admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admits {
    /// Whoever reaches the port.
    Anyone,
    /// Whoever has one of these roles; the first is the one to ask for.
    Roles(&'static [Role]),
}

impl Admits {
    /// Whether it admits this role.
    pub fn role(self, role: Role) -> bool {
        match self {
            Admits::Anyone => true,
            Admits::Roles(roles) => roles.contains(&role),
        }
    }
}

/// Readers: an operator may see what he does.
pub(crate) const VIEWER: Admits = Admits::Roles(&[Role::Viewer, Role::Operator]);
const OPERATOR: Admits = Admits::Roles(&[Role::Operator]);
const WORKER: Admits = Admits::Roles(&[Role::Worker]);
const ANY_ROLE: Admits = Admits::Roles(&[Role::Viewer, Role::Operator, Role::Worker]);

/// Every method of every service that is served. The comments in `muster/v1/*.proto` say the same, and a test compares.
///
/// Health is open: what asks for it has no credentials (Kubernetes' probes), and it says no more than whether the port
/// serves. Reflection is for any role: what it tells is published, but nothing needs to be told to strangers.
pub(crate) const METHODS: &[(&str, Admits)] = &[
    ("muster.v1.RunService/StartRun", OPERATOR),
    ("muster.v1.RunService/GetRun", VIEWER),
    ("muster.v1.RunService/ListRuns", VIEWER),
    ("muster.v1.RunService/WatchRun", VIEWER),
    ("muster.v1.RunService/CancelRun", OPERATOR),
    ("muster.v1.RunService/PauseRun", OPERATOR),
    ("muster.v1.RunService/ResumeRun", OPERATOR),
    ("muster.v1.RunService/RedriveRun", OPERATOR),
    ("muster.v1.RunService/SettleDelivery", OPERATOR),
    ("muster.v1.RunService/DeleteRun", OPERATOR),
    ("muster.v1.RunService/SetRunShare", OPERATOR),
    ("muster.v1.AuditService/VerifyRun", VIEWER),
    ("muster.v1.AuditService/GetRecord", VIEWER),
    ("muster.v1.AuditService/ListDeadLetters", VIEWER),
    ("muster.v1.AuditService/ListInDoubt", VIEWER),
    ("muster.v1.AuditService/ExportLedger", VIEWER),
    ("muster.v1.AuditService/GetHistory", VIEWER),
    ("muster.v1.AuditService/GetReport", VIEWER),
    ("muster.v1.PipelineService/ListPipelines", VIEWER),
    // A worker needs the pipeline of what it leases.
    ("muster.v1.PipelineService/GetPipeline", ANY_ROLE),
    ("muster.v1.FleetService/ListWorkers", VIEWER),
    ("muster.v1.WorkerService/AcquireLeases", WORKER),
    ("muster.v1.WorkerService/Attend", WORKER),
    ("muster.v1.WorkerService/RenewLeases", WORKER),
    ("muster.v1.WorkerService/ReadItems", WORKER),
    ("muster.v1.WorkerService/ReserveRequests", WORKER),
    ("muster.v1.WorkerService/ReportPressure", WORKER),
    ("muster.v1.WorkerService/BeginDelivery", WORKER),
    ("muster.v1.WorkerService/CompleteBatch", WORKER),
    ("muster.v1.WorkerService/ReleaseLeases", WORKER),
    ("externalscaler.ExternalScaler/IsActive", VIEWER),
    ("externalscaler.ExternalScaler/StreamIsActive", VIEWER),
    ("externalscaler.ExternalScaler/GetMetricSpec", VIEWER),
    ("externalscaler.ExternalScaler/GetMetrics", VIEWER),
    ("grpc.health.v1.Health/Check", Admits::Anyone),
    ("grpc.health.v1.Health/Watch", Admits::Anyone),
    ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ANY_ROLE),
    ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", ANY_ROLE),
];

/// Their names alone.
pub(crate) const NAMES: &[&str] = &{
    let mut names = [""; METHODS.len()];
    let mut at = 0;
    while at < METHODS.len() {
        names[at] = METHODS[at].0;
        at += 1;
    }
    names
};

// Deny by default begins here: the build fails at a method that has no role, and at a row that is no method.
const _: () = assert!(
    every_method_is_listed(muster_proto::FILE_DESCRIPTOR_SET, NAMES)
        + every_method_is_listed(tonic_health::pb::FILE_DESCRIPTOR_SET, NAMES)
        + every_method_is_listed(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET, NAMES)
        + every_method_is_listed(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET, NAMES)
        == METHODS.len(),
    "access/roles.rs lists what is no method, or lists it twice"
);

/// Whom the call of a path admits; nothing: there is no such call.
pub(crate) fn of_path(path: &str) -> Option<Admits> {
    let name = path.strip_prefix('/')?;
    METHODS.iter().find(|(method, _)| *method == name).map(|(_, admits)| *admits)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Compiles the check with these rows, as the build does.
    fn build(names: &[&str]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/access/coverage.rs");
        std::fs::write(folder.path().join("methods.bin"), muster_proto::FILE_DESCRIPTOR_SET).unwrap();
        let program = format!(
            "#![allow(dead_code)]\ninclude!({check:?});\n\
             const _: usize = every_method_is_listed(include_bytes!(\"methods.bin\"), &{names:?});\n"
        );
        std::fs::write(folder.path().join("roles.rs"), program).unwrap();
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let flags = ["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "roles.rs"];
        let built = Command::new(rustc).args(flags).current_dir(folder.path()).output().expect("rustc");
        if built.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&built.stderr).into_owned()) }
    }

    #[test]
    fn a_method_without_a_role_fails_the_build() {
        build(NAMES).unwrap();
        for left_out in ["muster.v1.RunService/SettleDelivery", "externalscaler.ExternalScaler/GetMetrics"] {
            let names: Vec<_> = NAMES.iter().copied().filter(|name| *name != left_out).collect();
            let error = build(&names).unwrap_err();
            let (_, method) = left_out.split_once('/').unwrap();
            assert!(error.contains(method) && error.contains("every_method_is_listed"), "{error}");
        }
        let twice: Vec<_> = NAMES.iter().copied().chain(["muster.v1.RunService/StartRun"]).collect();
        assert!(build(&twice).unwrap_err().contains("StartRun"));
    }

    /// What a comment says after "Role: ", as a set of words.
    fn said(comment: &str) -> Option<Vec<String>> {
        let (_, after) = comment.split_once("Role: ")?;
        let (words, _) = after.split_once('.').expect("a full stop");
        Some(words.split(',').map(|word| word.trim().to_owned()).collect())
    }

    #[test]
    fn the_protos_say_the_same() {
        let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
        let folders = ["muster/v1", "keda"].map(|folder| std::fs::read_dir(protos.join(folder)).unwrap());
        let mut compared = 0;
        for file in folders.into_iter().flatten() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let package = text.lines().find_map(|line| line.strip_prefix("package ")).unwrap().trim_end_matches(';');
            let (mut comment, mut service, mut of_service) = (String::new(), String::new(), None);
            for line in text.lines().map(str::trim) {
                if let Some(words) = line.strip_prefix("//") {
                    comment.push_str(words);
                    continue;
                }
                let about = std::mem::take(&mut comment);
                if let Some(name) = line.strip_prefix("service ") {
                    name.trim_end_matches(" {").clone_into(&mut service);
                    of_service = said(&about);
                } else if let Some(call) = line.strip_prefix("rpc ") {
                    let (name, _) = call.split_once('(').unwrap();
                    let words = said(&about).or(of_service.clone()).expect("a role");
                    let path = format!("/{package}.{service}/{name}");
                    let expected: &[Role] = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                        ["viewer"] => &[Role::Viewer, Role::Operator],
                        ["operator"] => &[Role::Operator],
                        ["worker"] => &[Role::Worker],
                        ["viewer", "worker"] => &[Role::Viewer, Role::Operator, Role::Worker],
                        _ => panic!("{path}: {words:?}"),
                    };
                    assert_eq!(of_path(&path), Some(Admits::Roles(expected)), "{path}");
                    compared += 1;
                }
            }
        }
        let ours = METHODS.iter().filter(|(name, _)| !name.starts_with("grpc.")).count();
        assert_eq!(compared, ours);
    }
}
