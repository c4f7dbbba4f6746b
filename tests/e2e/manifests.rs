//! What is deployed is locked down as docs/SECURITY.md promises: read from the files themselves. What runs in the end is
//! asked by tests/containers/run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The documents of a YAML file.
fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("YAML")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// All YAML files in a folder and below it.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "yaml") {
            found.push(entry);
        }
    }
}

fn is(value: &Value, pointer: &str, wanted: &Value) -> bool {
    value.pointer(pointer) == Some(wanted)
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The value of a container's variable.
fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    list(container, "/env").iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

/// Rules about keys that hold wherever they stand, in patches too.
fn forbidden(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let at = format!("{at}/{key}");
                let allowed = match key.as_str() {
                    "hostNetwork" | "hostPID" | "hostIPC" | "privileged" | "allowPrivilegeEscalation" => inner == false,
                    "runAsNonRoot" | "readOnlyRootFilesystem" => inner == true,
                    "automountServiceAccountToken" => inner == false,
                    "hostPath" | "hostPort" | "procMount" | "serviceAccountName" => false,
                    "runAsUser" | "runAsGroup" => inner.as_u64().is_some_and(|id| id > 0),
                    "seccompProfile" => inner["type"] == "RuntimeDefault",
                    "capabilities" => *inner == serde_json::json!({"drop": ["ALL"]}),
                    _ => true,
                };
                if !allowed {
                    found.push(format!("{at} is {inner}"));
                }
                forbidden(inner, &at, found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                forbidden(inner, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// What a pod that runs something must say; a patch says only what it changes.
fn unsaid(pod: &Value, found: &mut Vec<String>) {
    let (yes, no) = (Value::Bool(true), Value::Bool(false));
    let runtime = Value::from("RuntimeDefault");
    let mut must = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    must(is(pod, "/automountServiceAccountToken", &no), "the pod gets a service account's token".to_owned());
    must(is(pod, "/securityContext/runAsNonRoot", &yes), "the pod may run as root".to_owned());
    must(is(pod, "/securityContext/seccompProfile/type", &runtime), "the pod has no seccomp profile".to_owned());
    for container in ["/containers", "/initContainers"].into_iter().flat_map(|kind| list(pod, kind)) {
        let name = &container["name"];
        must(is(container, "/securityContext/readOnlyRootFilesystem", &yes), format!("{name} can write to its root"));
        must(is(container, "/securityContext/allowPrivilegeEscalation", &no), format!("{name} may gain privileges"));
        must(!list(container, "/securityContext/capabilities/drop").is_empty(), format!("{name} has capabilities"));
        must(container.pointer("/resources/limits/memory").is_some(), format!("{name} may take all memory"));
        must(container.pointer("/resources/requests/cpu").is_some(), format!("{name} says nothing of its CPU"));
        if let Some(drain) = variable(container, "MUSTER_DRAIN_TIMEOUT").and_then(|drain| drain.parse::<u64>().ok()) {
            let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
            must(grace > drain, format!("{name} drains for {drain} s and is killed after {grace} s"));
        }
    }
}

/// What is wrong with a manifest.
fn violations(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for document in documents(text) {
        forbidden(&document, "", &mut found);
        let pods = ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
        for pod in pods.into_iter().filter_map(|at| document.pointer(at)) {
            if list(pod, "/containers").iter().any(|container| container.get("image").is_some()) {
                unsaid(pod, &mut found);
            }
        }
    }
    found
}

/// What is wrong with a compose file.
fn compose_violations(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let seconds = |value: &Value| value.as_str()?.trim_end_matches('s').parse::<u64>().ok();
    for document in documents(text) {
        for (name, service) in document["services"].as_object().expect("services") {
            let mut must = |holds: bool, what: &str| {
                if !holds {
                    found.push(format!("{name} {what}"));
                }
            };
            must(service["read_only"] == true, "can write to its root");
            must(service["cap_drop"] == serde_json::json!(["ALL"]), "has capabilities");
            must(service.get("cap_add").is_none(), "gets capabilities");
            must(service.get("privileged").is_none(), "is privileged");
            must(list(service, "/security_opt").contains(&"no-new-privileges:true".into()), "may gain privileges");
            let loopback = |port: &Value| port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:"));
            must(list(service, "/ports").iter().all(loopback), "is published on other addresses than loopback");
            if let Some(drain) = seconds(&service["environment"]["MUSTER_DRAIN_TIMEOUT"]) {
                let grace = seconds(&service["stop_grace_period"]).unwrap_or(10);
                must(grace > drain, "is killed while it drains");
            }
        }
    }
    found
}

#[test]
fn all_manifests_are_locked_down() {
    let mut found = Vec::new();
    files(&root().join("deploy/kubernetes"), &mut found);
    let mut pods = 0;
    for file in &found {
        let text = std::fs::read_to_string(file).expect("a file");
        assert_eq!(violations(&text), Vec::<String>::new(), "{}", file.display());
        pods += text.matches("readOnlyRootFilesystem: true").count();
    }
    assert_eq!(pods, 2, "containers of a coordinator and a worker are in {found:?}");
}

#[test]
fn every_service_of_compose_is_locked_down() {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).expect("a file");
    assert_eq!(compose_violations(&text), Vec::<String>::new());
}

#[test]
fn coordinators_are_asked_for_their_health_and_nobody_else() {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).expect("a file");
    let services = &documents(&text)[0]["services"];
    for name in ["coordinator", "coordinator-a", "coordinator-b"] {
        assert_eq!(services[name]["healthcheck"]["test"], serde_json::json!(["CMD", "muster", "health"]), "{name}");
    }
    for name in ["worker", "worker-postgres"] {
        assert!(services[name]["command"].is_array() && services[name].get("healthcheck").is_none(), "{name}");
    }
    // What the image asks, it asks of workers and commands, too.
    let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).expect("a file");
    let (_, image) = dockerfile.split_once(" AS muster\n").expect("the image of all programs");
    let (image, _) = image.split_once("\nFROM ").expect("another image");
    assert!(!image.lines().any(|line| line.starts_with("HEALTHCHECK ")), "{image}");
}

#[test]
fn what_scripts_read_at_the_root_is_in_the_image_of_the_tests() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).expect("a file");
    let ignored = read(".dockerignore");
    let allowed: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let scripts = ["tests/run", "tests/protos", "tests/deny", "tests/containers/manifests"].map(read).concat();
    let words = scripts.split(|c: char| !c.is_ascii_alphanumeric() && !"._-/".contains(c));
    let named: BTreeSet<&str> = words.map(|word| word.trim_end_matches('.')).collect();
    let here = root().read_dir().expect("the root").map(|entry| entry.expect("an entry").path());
    let names = here.filter(|path| path.is_file()).filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
    let read: Vec<String> = names.filter(|name| named.contains(name.as_str())).collect();
    assert!(read.len() >= 5, "{read:?}");
    let missing: Vec<&String> = read.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), ".dockerignore keeps {missing:?} out");
}

#[test]
fn a_coordinator_of_compose_that_gets_tls_takes_nothing_from_the_workers() {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).expect("a file");
    let (before, rest) = text.split_once("x-coordinator-environment:").expect("what coordinators share");
    let with_tls =
        format!("{before}x-coordinator-environment:{}", rest.replacen("  MUSTER_INSECURE: \"true\"\n", "", 1));
    let services = &documents(&with_tls)[0]["services"];
    for (name, is_insecure) in
        [("coordinator", false), ("coordinator-b", false), ("worker", true), ("worker-postgres", true)]
    {
        let environment = &services[name]["environment"];
        assert_eq!(environment["MUSTER_INSECURE"] == "true", is_insecure, "{name}: {environment}");
        assert_eq!(environment["MUSTER_HTTP_LISTEN"], "0.0.0.0:7480", "{name}");
    }
}

#[test]
fn nobody_is_let_in_by_default_and_keda_asks_the_coordinator() {
    let read = |file: &str| {
        let text = std::fs::read_to_string(root().join("deploy/kubernetes").join(file)).expect("a file");
        documents(&text)
    };
    let deny = serde_json::json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    assert!(read("base/network-policy.yaml").iter().any(|policy| policy["spec"] == deny));

    let (base, scaled) = (read("base/kustomization.yaml"), read("components/keda/scaled-object.yaml"));
    let service = read("base/coordinator.yaml").into_iter().find(|one| one["kind"] == "Service").expect("a service");
    let trigger = &scaled[0]["spec"]["triggers"][0];
    let of = |value: &Value| value.as_str().expect("a text").to_owned();
    let address = format!(
        "{}.{}.svc:{}",
        of(&service["metadata"]["name"]),
        of(&base[0]["namespace"]),
        service["spec"]["ports"][0]["port"]
    );
    assert_eq!(trigger["type"], "external-push");
    assert_eq!(trigger["metadata"]["scalerAddress"], address.as_str());
}

/// What is wrong with the way in which a deployment is asked who comes, by the patches of the component for it.
fn open_doors(coordinator: &str, worker: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    let pod = |text: &str| documents(text)[0]["spec"]["template"]["spec"].clone();
    let (coordinator, worker) = (pod(coordinator), pod(worker));
    let (serving, working) = (&coordinator["containers"][0], &worker["containers"][0]);
    let insecure = list(serving, "/env").iter().find(|variable| variable["name"] == "MUSTER_INSECURE");
    must(insecure.is_some_and(|variable| variable["$patch"] == "delete"), "the coordinator stays insecure");
    for name in ["MUSTER_TLS_CERT", "MUSTER_TLS_KEY", "MUSTER_TLS_CLIENT_CA", "MUSTER_TOKENS"] {
        must(variable(serving, name).is_some(), "the coordinator lacks a certificate, a key or the access file");
    }
    let encrypted = variable(working, "MUSTER_COORDINATOR").is_some_and(|url| url.starts_with("https://"));
    must(encrypted && variable(working, "MUSTER_TLS_CA").is_some(), "a worker speaks in clear, or to anybody");
    for (pod, container) in [(&coordinator, serving), (&worker, working)] {
        for mount in list(container, "/volumeMounts") {
            must(mount["readOnly"] == true, "a secret can be written");
        }
        for volume in list(pod, "/volumes") {
            // Of whole secrets, which have keys and tokens, others than the pod's group see nothing.
            let private = volume["secret"]["defaultMode"] == 0o440 || volume["secret"].get("items").is_some();
            must(volume["secret"]["secretName"].is_string() && private, "a secret is open to others");
        }
    }
    for probe in ["/startupProbe/httpGet/scheme", "/readinessProbe/httpGet/scheme"] {
        must(is(serving, probe, &"HTTPS".into()), "a probe speaks in clear");
    }
    must(variable(working, "MUSTER_TOKEN").is_none(), "a token stands in a manifest");
    found
}

#[test]
fn deployments_ask_who_comes() {
    let read = |file: &str| std::fs::read_to_string(root().join("deploy/kubernetes").join(file)).expect("a file");
    let access = ["coordinator", "worker"].map(|file| read(&format!("components/access/{file}.yaml")));
    assert_eq!(open_doors(&access[0], &access[1]), Vec::<String>::new());
    let changes = [
        ("$patch: delete", "value: \"true\""),
        ("name: MUSTER_TOKENS", "name: MUSTER_OTHERS"),
        ("scheme: HTTPS", "scheme: HTTP"),
        ("readOnly: true", "readOnly: false"),
        ("defaultMode: 288", "defaultMode: 292"),
    ];
    for (from, to) in changes {
        let bad = access[0].replacen(from, to, 1);
        assert_ne!(bad, access[0], "{from:?} is there");
        assert_ne!(open_doors(&bad, &access[1]), Vec::<String>::new(), "{from:?} became {to:?}");
    }
    let in_clear = access[1].replacen("https://", "http://", 1);
    assert_ne!(open_doors(&access[0], &in_clear), Vec::<String>::new());
    for overlay in ["sqlite", "postgres"] {
        let overlay = &documents(&read(&format!("overlays/{overlay}/kustomization.yaml")))[0];
        assert!(list(overlay, "/components").contains(&"../../components/access".into()), "{overlay}");
    }
    let [scaled, authentication] = ["scaled-object", "authentication"]
        .map(|file| documents(&read(&format!("components/keda/{file}.yaml"))).remove(0));
    assert_eq!(scaled["spec"]["triggers"][0]["authenticationRef"]["name"], authentication["metadata"]["name"]);
}

/// Each change to a good file that makes it a bad one is found.
fn assert_noticed(good: &str, changes: &[(&str, &str)], judge: fn(&str) -> Vec<String>) {
    for (from, to) in changes {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from:?} is there");
        assert_ne!(judge(&bad), Vec::<String>::new(), "{from:?} became {to:?}");
    }
}

#[test]
fn what_is_less_locked_down_is_noticed() {
    let worker = std::fs::read_to_string(root().join("deploy/kubernetes/base/worker.yaml")).expect("a file");
    let changes = [
        ("automountServiceAccountToken: false", "automountServiceAccountToken: true"),
        ("automountServiceAccountToken: false", "hostNetwork: true"),
        ("runAsNonRoot: true", "runAsNonRoot: false"),
        ("runAsUser: 10001", "runAsUser: 0"),
        ("type: RuntimeDefault", "type: Unconfined"),
        ("readOnlyRootFilesystem: true", "privileged: true"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
        ("drop: [ALL]", "drop: [NET_RAW]"),
        ("drop: [ALL]", "add: [SYS_ADMIN]"),
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
        ("emptyDir: {}", "hostPath: {path: /}"),
        ("terminationGracePeriodSeconds: 75", "terminationGracePeriodSeconds: 60"),
    ];
    assert_noticed(&worker, &changes, violations);

    let compose = std::fs::read_to_string(root().join("docker-compose.yml")).expect("a file");
    let changes = [
        ("read_only: true", "read_only: false"),
        ("cap_drop: [ALL]", "cap_drop: []"),
        ("no-new-privileges:true", "no-new-privileges:false"),
        ("127.0.0.1:${MUSTER_PORT", "${MUSTER_PORT"),
        ("stop_grace_period: 75s", "stop_grace_period: 10s"),
    ];
    assert_noticed(&compose, &changes, compose_violations);
}
