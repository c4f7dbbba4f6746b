//! The form that starts a run, sent by hand.

use animals_api::Config;
use muster_tests::turn;
use reqwest::StatusCode;

use super::Site;
use crate::stand_in;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_try_with_other_values_leads_to_the_run_of_the_first() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(10)));
    let site = Site::start(folder.path()).await;
    let form = |base_url: &str| format!("pipeline=animals&request_id=first-try&set.base_url={base_url}");
    let first = site.submit("/runs/new", &form(&server.base_url())).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{first:?}");
    let page = first.header("location").to_owned();
    let again = site.submit("/runs/new", &form(&server.base_url())).await;
    assert_eq!((again.status, again.header("location")), (StatusCode::SEE_OTHER, page.as_str()));

    let other = site.submit("/runs/new", &form("http://127.0.0.1:9")).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert!(other.text.contains("It is among <a href=\"/runs\">the runs</a>"), "{}", other.text);
    assert!(!other.text.contains("first-try"), "that name is another run's: {}", other.text);

    // Nobody works on it yet: it goes on for some time, and has taken none.
    let told = |text: &str| (text.contains("<span>for "), text.contains("<span>took "));
    assert_eq!(told(&site.get(&page).await.text), (true, false));
    let _worker = site.cluster.worker("w1", &[]);
    site.cluster.watch(page.trim_start_matches("/runs/")).await;
    assert_eq!(told(&site.get(&page).await.text), (false, true));
}
