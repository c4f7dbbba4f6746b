//! What the page says of Kubernetes, as far as it goes without a cluster.

use super::operator::Operator;
use super::page::{OPERATIONS, Who, commands, root};
use crate::skipped;

const SECTION: &str = "Install / In Kubernetes";

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_is_told_can_be_done_and_the_overlay_has_use_for_it() {
    if !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|at| at.join("kubectl").is_file()) {
        return skipped("there is no kubectl: nobody runs what the page says of it");
    }
    let mut operator = Operator::new(&OPERATIONS, Who::Kubernetes, "");
    operator.has_muster();
    for folder in ["deploy", "pipelines"] {
        std::os::unix::fs::symlink(root().join(folder), operator.folder().join(folder)).expect("a link");
    }
    operator.does(SECTION).await;
    let rendered = std::fs::read_to_string(operator.folder().join("muster.yaml")).expect("what kustomize made");
    let blocks = OPERATIONS.section(SECTION, Who::Kubernetes);
    let told: Vec<String> = blocks.iter().flat_map(|block| commands(&block.text)).collect();
    let names = told.iter().filter_map(|line| line.split_once("create secret generic ")?.1.split(' ').next());
    let mut secrets = 0;
    // This overlay is without KEDA.
    for name in names.filter(|name| *name != "muster-keda") {
        secrets += 1;
        assert!(rendered.contains(&format!("secretName: {name}\n")), "nobody mounts {name}\n{rendered}");
    }
    assert_eq!(secrets, 3, "{told:#?}");
}
