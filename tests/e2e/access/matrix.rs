//! Every method of every service with every kind of credentials. The methods come from the descriptors, so that one that is
//! new tomorrow is tried too.

use muster_tests::turn;
use muster_worker::{CallChannel, Way};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::{Keys, channel, reason, replace, tls_url};

/// Messages as bytes; every request is an empty message, which any type can be.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = ();
    type Decode = ();
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        let length = bytes::Buf::remaining(bytes);
        bytes::Buf::advance(bytes, length);
        Ok(Some(()))
    }
}

/// `package.Service/Method` of all that is served.
fn methods() -> Vec<String> {
    let sets = [
        muster_proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = Vec::new();
    for file in sets.iter().flat_map(|set| FileDescriptorSet::decode(*set).expect("descriptors").file) {
        for service in &file.service {
            let path = |method: &str| format!("{}.{}/{method}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| path(method.name())));
        }
    }
    assert!(methods.len() > 30, "{methods:?}");
    methods
}

/// What came of a call: all that a service itself says is past the judge.
async fn call(channel: &CallChannel, method: &str) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = format!("/{method}").parse().expect("a path");
    let asked = Request::new(futures::stream::iter([()]));
    grpc.streaming(asked, path, Raw).await.map(drop)
}

/// The roles that a method admits, by the rules that people are told; none: it is open.
fn admitted(method: &str) -> Option<&'static [&'static str]> {
    let (service, name) = method.split_once('/').expect("a service");
    let changes = ["Start", "Cancel", "Pause", "Resume", "Redrive", "Settle", "Delete", "Set"];
    match service {
        "grpc.health.v1.Health" => None,
        "muster.v1.WorkerService" => Some(&["worker"]),
        "muster.v1.PipelineService" if name == "GetPipeline" => Some(&["viewer", "operator", "worker"]),
        _ if service.starts_with("grpc.reflection.") => Some(&["viewer", "operator", "worker"]),
        _ if changes.iter().any(|verb| name.starts_with(verb)) => Some(&["operator"]),
        _ => Some(&["viewer", "operator"]),
    }
}

fn is_past_the_judge(answer: &Result<(), Status>) -> bool {
    let Err(status) = answer else { return true };
    let judged = ["CREDENTIALS_MISSING", "CREDENTIALS_UNKNOWN", "CREDENTIALS_EXPIRED", "ROLE_REQUIRED"];
    !judged.contains(&reason(status).as_str()) && status.code() != Code::Unavailable
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_admits_its_roles_and_nobody_else() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let mut list = std::fs::read_to_string(keys.file("access.yaml")).expect("the list");
    for role in ["viewer", "operator", "worker"] {
        list += &keys.token(&format!("{role}.token"), &format!("{role}-by-token"), role).await;
    }
    let expired = keys.token("expired.token", "late", "operator").await;
    list += &expired;
    list += "  expires: 2020-01-01T00:00:00Z\n";
    keys.token("unknown.token", "unknown", "operator").await;
    replace(&keys.file("access.yaml"), &list);
    let cluster = keys.cluster(&[]).await;
    let url = tls_url(&cluster);

    let refusals = [
        (keys.nobody(), "CREDENTIALS_MISSING"),
        (keys.bearing("unknown.token"), "CREDENTIALS_UNKNOWN"),
        (keys.bearing("expired.token"), "CREDENTIALS_EXPIRED"),
        // The server's own certificate is of the right authority, and of nobody who may come in.
    ];
    for (credentials, expected) in &refusals {
        let channel = channel(&url, credentials);
        for method in methods() {
            let answer = call(&channel, &method).await;
            match admitted(&method) {
                None => assert!(is_past_the_judge(&answer), "{method}: {answer:?}"),
                Some(_) => {
                    let status = answer.expect_err(&method);
                    assert_eq!(
                        (status.code(), reason(&status).as_str()),
                        (Code::Unauthenticated, *expected),
                        "{method}"
                    );
                }
            }
        }
    }
    for role in ["viewer", "operator", "worker"] {
        for credentials in [keys.certified(role), keys.bearing(&format!("{role}.token"))] {
            let channel = channel(&url, &credentials);
            for method in methods() {
                let answer = call(&channel, &method).await;
                if admitted(&method).is_none_or(|roles| roles.contains(&role)) {
                    assert!(is_past_the_judge(&answer), "{role}: {method}: {answer:?}");
                    continue;
                }
                let status = answer.expect_err(&method);
                assert_eq!(status.code(), Code::PermissionDenied, "{role}: {method}: {status:?}");
                let info = status.get_error_details().error_info().cloned().expect("a reason");
                assert_eq!((info.reason.as_str(), info.domain.as_str()), ("ROLE_REQUIRED", "muster"), "{method}");
                let told: Vec<_> = info.metadata["roles"].split(',').map(str::to_owned).collect();
                assert_eq!(told, admitted(&method).expect("roles"), "{method}");
                assert!(status.message().contains(&told[0]) && status.message().contains(role), "{status:?}");
            }
        }
    }
    let unlisted = call(&channel(&url, &keys.nobody()), "muster.v1.RunService/Frobnicate").await;
    assert_eq!(unlisted.expect_err("no such call").code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_reaches_nothing() {
    let _turn = turn::light().await;
    let (place, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (keys, others) = (Keys::make(place.path()).await, Keys::make(elsewhere.path()).await);
    let cluster = keys.cluster(&[]).await;
    let wrong = muster_worker::CredentialArgs { tls_ca: Some(keys.file("ca.pem")), ..others.certified("operator") };
    let way = Way::to(&tls_url(&cluster), &wrong).expect("a way");
    for method in methods() {
        let answer = call(&way.channel(), &method).await;
        assert!(answer.is_err(), "{method}");
        let trouble = way.trouble().expect("it is known why");
        assert!(trouble.contains("does not take this client's certificate"), "{method}: {trouble}");
    }
}
