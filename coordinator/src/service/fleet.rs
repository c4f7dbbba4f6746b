//! FleetService.

use std::sync::Arc;

use muster_proto::v1::{self, fleet_service_server::FleetService};
use tonic::{Request, Response, Status};

use super::{page, render};
use crate::store::Store;

/// Shows workers.
pub(crate) struct Fleets {
    pub store: Arc<dyn Store>,
}

#[tonic::async_trait]
impl FleetService for Fleets {
    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let before = page::before(&request.page_token)?;
        let rows = self.store.workers(before, size, request.include_gone).await?;
        let next_page_token = page::next_token(&rows, size, |row| row.row.to_string());
        let workers = rows.iter().map(render::worker).collect();
        Ok(Response::new(v1::ListWorkersResponse { workers, next_page_token }))
    }
}
