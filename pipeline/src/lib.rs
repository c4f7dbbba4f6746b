//! Pipelines: what to move from where to where, and how, said in a YAML file.
//!
//! This crate reads and checks the file ([`Pipeline`]), makes it ready to run ([`CompiledPipeline`]) and carries its
//! requests ([`Requester`]): listing, fetching, validating, transforming, loading. It knows nothing of leases, gRPC or
//! the ledger.

mod built_in;
mod compiled;
mod drift;
mod enrich;
mod error;
mod format;
mod http;
mod list;
mod load;
mod propose;
mod record_id;
mod sample;
mod schema;
mod spec;
mod target;
mod transform;

pub use built_in::{built_in, built_in_names};
pub use compiled::{CompiledPipeline, ItemTooLarge, Processed, RecordError, Stage};
pub use drift::{Drift, Unknown};
pub use enrich::EnrichPart;
pub use error::{Place, SpecError};
pub use format::FORMAT_SCHEMA;
pub use http::{
    Cassette, CassetteError, ClosedHosts, Cost, FetchError, Fleet, Get, LookError, Looked, Messenger, NoReply, Oddity,
    Played, Player, PostOutcome, ProbeOutcome, Process, Recorder, Reply, Requester, RequesterConfig, RequesterError,
    RequesterStats, Sent, SentEnding, Turn, excerpt, host_of, look, proxy_url,
};
pub use list::{ListError, ListSource, ListStyle, ListedItem, Nameless, Page};
pub use load::{Loader, Prober, RecordAnswer, idempotency_key, sha256};
pub use propose::{Proposal, ProposeError, Wish, propose};
pub use record_id::{MAX_RECORD_ID_BYTES, RecordId, RecordIdError};
pub use sample::{Sample, SampledRecord, Unread, Wanted};
pub use schema::{MAX_UNKNOWN_FIELDS, MAX_UNKNOWN_PATH};
pub use spec::{
    Limits, LoadSpec, OnDoubt, OnDrift, Parameter, ParameterKind, Pipeline, Rate, SecretReference, SourceSpec,
    Watermark,
};
pub use target::{Delivery, Target, postgres_options};
