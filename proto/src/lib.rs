//! Muster's wire protocol: the types and services generated from `muster/v1/*.proto`, and those of KEDA that it serves;
//! nothing else.
//!
//! The .proto files are the documentation of every message and call.

/// Package `muster.v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic, rust_2018_idioms, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("muster.v1");
}

/// KEDA's package `externalscaler`.
#[allow(missing_docs, clippy::all, clippy::pedantic, rust_2018_idioms, reason = "generated")]
pub mod keda {
    tonic::include_proto!("externalscaler");
}

/// Version of the worker protocol (`muster/v1/worker.proto`) that this build speaks. 2 added probes, 3 deliveries that
/// are applied in part, records that come whole with the list, and what else pipelines can say since then, 4 rates that
/// all processes share and runs that are passed over.
pub const PROTOCOL: i32 = 4;
/// The oldest version that a coordinator of this build works with.
pub const OLDEST_PROTOCOL: i32 = 1;

/// The encoded `FileDescriptorSet` of all packages, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/muster.bin"));
