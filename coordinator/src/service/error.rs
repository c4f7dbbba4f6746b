//! Errors on the wire: a gRPC code for programs, a google.rpc.ErrorInfo with a stable reason, a sentence for people.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::catalog::CatalogError;
use crate::store::{Misuse, StoreError};

/// The domain of all our reasons.
pub(crate) const DOMAIN: &str = "muster";

/// An error with its reason.
pub(crate) fn status(code: Code, reason: &str, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, []))
}

/// A request that makes no sense.
pub(crate) fn invalid(reason: &str, message: impl Into<String>) -> Status {
    status(Code::InvalidArgument, reason, message)
}

/// The pipeline that was asked for, or the folder of all of them, cannot be used as it is now.
pub(crate) fn unusable(error: &CatalogError) -> Status {
    match error {
        CatalogError::Spec(_) | CatalogError::Twice { .. } => invalid("PIPELINE_INVALID", error.to_string()),
        CatalogError::Unreadable { .. } => status(Code::FailedPrecondition, "PIPELINE_UNREADABLE", error.to_string()),
    }
}

/// No such run.
pub(crate) fn run_unknown(id: &str) -> Status {
    status(Code::NotFound, "RUN_UNKNOWN", format!("there is no run {id:?}"))
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let (code, reason) = match &error {
            StoreError::Unavailable(_) => (Code::Unavailable, "STORE_UNAVAILABLE"),
            StoreError::Damaged(_) => (Code::Internal, "STORE_DAMAGED"),
            StoreError::ReadOnly => (Code::FailedPrecondition, "STORE_READ_ONLY"),
        };
        if let StoreError::Damaged(detail) = &error {
            tracing::error!(
                detail,
                { muster_telemetry::names::NEXT } = "the call is answered INTERNAL",
                "the ledger is damaged or this program is wrong"
            );
        }
        status(code, reason, error.to_string())
    }
}

impl From<Misuse> for Status {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::SessionUnknown => status(
                Code::FailedPrecondition,
                "SESSION_UNKNOWN",
                "no worker of this session works here: it asks for leases first",
            ),
            Misuse::TokenUnknown => invalid("LEASE_TOKEN_INVALID", "no such lease was ever granted"),
            Misuse::OtherSession => {
                status(Code::PermissionDenied, "LEASE_OF_ANOTHER_SESSION", "the lease was granted to another session")
            }
            Misuse::DeliveryConflict(detail) => status(Code::FailedPrecondition, "DELIVERY_CONFLICT", detail),
            Misuse::DeliveryInvalid(detail) => invalid("DELIVERY_INVALID", detail),
            Misuse::ReportConflict => {
                status(Code::FailedPrecondition, "REPORT_CONFLICT", "another report was made under this lease")
            }
            Misuse::ReportInvalid(detail) => invalid("REPORT_INVALID", detail),
        }
    }
}
