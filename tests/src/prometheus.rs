//! A real Prometheus, which scrapes what a test tells it to.

use std::path::Path;

use serde_json::Value;
use url::Url;

use crate::cluster::free_port;
use crate::deadline::until_some;
use crate::http;
use crate::process::{Process, Start};
use crate::programs;

/// A server. Dropped, it is killed.
#[derive(Debug)]
pub struct Prometheus {
    url: Url,
    _process: Process,
}

impl Prometheus {
    /// Scrapes these jobs, each at so many addresses, every second, and judges by these rules.
    pub async fn scraping(folder: &Path, jobs: &[(&str, &[&str])], rules: &Path) -> Prometheus {
        let jobs: Vec<Value> = jobs
            .iter()
            .map(|(name, targets)| serde_json::json!({"job_name": name, "static_configs": [{"targets": targets}]}))
            .collect();
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": jobs,
        });
        // JSON is YAML.
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config.to_string()).expect("a file");
        let (port, data) = (free_port(), folder.join("prometheus"));
        let flags = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let mut process = Start::program(&programs::prometheus(), folder, flags).start();
        let url = Url::parse(&format!("http://127.0.0.1:{port}/")).expect("a URL");
        let ready = url.join("-/ready").expect("a URL");
        let client = http::client().expect("a client");
        until_some("Prometheus is ready", async || {
            assert_eq!(process.has_ended(), None, "Prometheus has ended:\n{}", process.stderr());
            let answer = client.get(ready.clone()).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Prometheus { url, _process: process }
    }

    /// What an expression is now: the series it gives, as Prometheus has them; or why it is none.
    ///
    /// # Errors
    /// Prometheus' own words.
    pub async fn ask(&self, expression: &str) -> Result<Vec<Value>, String> {
        let mut url = self.url.join("api/v1/query").expect("a URL");
        url.query_pairs_mut().append_pair("query", expression);
        let answer = self.get(url).await;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default()),
            _ => Err(format!("{expression}: {}", answer["error"])),
        }
    }

    /// The one number that an expression gives; nothing while it gives none.
    ///
    /// # Panics
    /// When it is no expression, or gives several.
    pub async fn number(&self, expression: &str) -> Option<f64> {
        let found = self.ask(expression).await.expect("an expression");
        assert!(found.len() <= 1, "{expression} gives {found:?}");
        found.first()?["value"][1].as_str()?.parse().ok()
    }

    /// Its rules, as it judges them.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.get(self.url.join("api/v1/rules").expect("a URL")).await;
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// An error of the API comes with a body that says why.
    async fn get(&self, url: Url) -> Value {
        let answer = http::client().expect("a client").get(url).send().await.expect("an answer");
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
    }
}
