//! PipelineService.

use std::sync::Arc;

use muster_pipeline::Pipeline;
use muster_proto::v1::{self, pipeline_service_server::PipelineService};
use tonic::{Code, Request, Response, Status};

use super::error::{invalid, status, unusable};
use super::page;
use crate::catalog::Catalog;
use crate::store::Store;

/// Shows pipelines.
pub(crate) struct Pipelines {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
}

fn summary(pipeline: &Pipeline) -> v1::PipelineSummary {
    let parameters = pipeline.parameters().iter().map(|parameter| v1::PipelineParameter {
        name: parameter.name.clone(),
        description: parameter.description.clone(),
        default_value: parameter.default.clone(),
    });
    v1::PipelineSummary {
        name: pipeline.name().to_owned(),
        revision: pipeline.revision().to_owned(),
        description: pipeline.description().to_owned(),
        parameters: parameters.collect(),
    }
}

fn whole(pipeline: &Pipeline) -> v1::Pipeline {
    v1::Pipeline {
        name: pipeline.name().to_owned(),
        revision: pipeline.revision().to_owned(),
        canonical: pipeline.canonical().to_owned(),
    }
}

#[tonic::async_trait]
impl PipelineService for Pipelines {
    async fn list_pipelines(
        &self,
        request: Request<v1::ListPipelinesRequest>,
    ) -> Result<Response<v1::ListPipelinesResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let catalog = self.catalog.now().await.map_err(|error| unusable(&error))?;
        let found: Vec<_> = catalog.after(&request.page_token).take(size as usize).map(summary).collect();
        let next_page_token = page::next_token(&found, size, |pipeline| pipeline.name.clone());
        Ok(Response::new(v1::ListPipelinesResponse { pipelines: found, next_page_token }))
    }

    async fn get_pipeline(
        &self,
        request: Request<v1::GetPipelineRequest>,
    ) -> Result<Response<v1::GetPipelineResponse>, Status> {
        let v1::GetPipelineRequest { revision, name } = request.into_inner();
        let found = match (revision.as_str(), name.as_str()) {
            ("", "") => return Err(invalid("PIPELINE_UNNAMED", "set revision or name")),
            ("", name) => {
                let catalog = self.catalog.now().await.map_err(|error| unusable(&error))?;
                catalog.get(name).map_err(unusable)?.map(whole)
            }
            (revision, _) => match self.catalog.get_revision(revision) {
                Some(pipeline) => Some(whole(pipeline)),
                None => self.store.pipeline(revision).await?.map(|stored| v1::Pipeline {
                    name: stored.name,
                    revision: stored.revision,
                    canonical: stored.canonical,
                }),
            },
        };
        let unknown = || {
            let text =
                format!("this coordinator knows no pipeline {}", if revision.is_empty() { &name } else { &revision });
            status(Code::NotFound, "PIPELINE_UNKNOWN", text)
        };
        Ok(Response::new(v1::GetPipelineResponse { pipeline: Some(found.ok_or_else(unknown)?) }))
    }
}
