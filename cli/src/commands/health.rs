//! `health`: what a container's health check runs.

use std::time::Duration;

use serde_json::json;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::args::HealthArgs;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// A coordinator that has not answered by then is ill: whoever runs this waits for an end.
const PATIENCE: Duration = Duration::from_secs(10);

/// `muster health`.
pub async fn health(args: HealthArgs) -> Result<Exit, Failure> {
    let target = args.coordinator.target();
    let place = target.place();
    let asked = async {
        let client = Client::connect(target).await?;
        let request = HealthCheckRequest { service: args.service.clone() };
        HealthClient::new(client.channel()).check(request).await.map_err(|status| {
            if status.code() == tonic::Code::NotFound {
                return Failure::usage(format!("there is no service {:?} {place}", args.service))
                    .help("such as muster.v1.WorkerService; without --service, all of them together");
            }
            client.failure(status)
        })
    };
    let silent = || Failure::new(format!("no answer {place} within {} s", PATIENCE.as_secs()));
    let answer = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| silent())??;
    let serving = answer.into_inner().status == ServingStatus::Serving as i32;
    if args.json {
        output::print_json(&json!({ "serving": serving }))?;
    } else if serving {
        output::print("serving\n")?;
    } else {
        return Err(Failure::new(format!("the coordinator {place} does not serve now"))
            .help("its log says why; GET /readyz on its --http-listen does too"));
    }
    Ok(if serving { Exit::Fine } else { Exit::Other })
}
