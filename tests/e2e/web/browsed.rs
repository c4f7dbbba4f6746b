//! The dashboard in a real browser: a run from the form to its verdict, with all that an operator does on the way.

use std::path::Path;
use std::time::Duration;

use animals_api::{Amount, ChaosOn, Config, Disconnect, Server};
use muster_tests::browser::{Browser, DOWNLOADS, ENTER, Look, TAB};
use muster_tests::deadline::until_some;
use muster_tests::pipelines::{HOLD, folder as pipeline_folder, variant};
use muster_tests::turn;
use serde_json::Value;

use super::Site;
use crate::stand_in;

const LOOKS: [Look; 4] = [
    Look { width: 1280, height: 900, dark: false },
    Look { width: 1280, height: 900, dark: true },
    Look { width: 390, height: 844, dark: false },
    Look { width: 390, height: 844, dark: true },
];

/// Some animals have the wrong shape, and of the POSTs some stall beyond the time that the pipeline gives them.
fn eventful() -> Server {
    let stall = Duration::from_millis(1_200)..=Duration::from_millis(1_500);
    let calm = Config { malformed: Amount::Count(3), ..Config::calm(600) };
    let late = Config { chaos: 0.25, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..calm };
    stand_in(Config { disconnect: Disconnect::Process, latency: Duration::from_millis(60), ..late })
}

/// Doubts are left to an operator.
fn held(folder: &Path) -> String {
    let patience = "post_timeout: 400ms\n  settle_after: 400ms";
    let text = variant(&[("max_batch: 100", "max_batch: 20"), HOLD, ("post_timeout: 25s", patience)]);
    pipeline_folder(folder, "held", &text).to_str().expect("a path").to_owned()
}

/// Nothing is wrong with the page, however it is looked at.
async fn check(browser: &Browser) {
    let url = browser.url().await;
    for look in LOOKS {
        browser.look(look).await;
        let wrong = browser.script(include_str!("checks.js")).await;
        assert_eq!(wrong, Value::Array(Vec::new()), "{url}, {look:?}: {wrong:#}");
    }
    browser.look(LOOKS[0]).await;
}

/// With the Tab key one gets to every control, in order, and sees where one is.
async fn check_keyboard(browser: &Browser) {
    let url = browser.url().await;
    let all = "a[href], button:not([hidden]), input:not([type=hidden]), select, summary, pre[tabindex]";
    let seen = format!("document.querySelectorAll('{all}')");
    let count = browser
        .script(&format!("return [...{seen}].filter(e => e.getClientRects().length && !e.closest('details:not([open]) > :not(summary)')).length"))
        .await
        .as_u64()
        .expect("a number");
    browser.script("document.activeElement.blur(); window.scrollTo(0, 0); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex');").await;
    let mut reached = 0;
    for _ in 0..count {
        browser.press(TAB).await;
        let here = browser
            .script(
                "const e = document.activeElement; const s = getComputedStyle(e); \
                 return [e === document.body, s.outlineStyle, parseFloat(s.outlineWidth), e.outerHTML.slice(0, 120), e.matches('.skip')]",
            )
            .await;
        if here[0] == true {
            break;
        }
        reached += 1;
        assert!(here[1] != "none" && here[2].as_f64() >= Some(1.0), "{url}: the focus cannot be seen: {here}");
        assert!(reached > 1 || here[4] == true, "{url}: the first way is to the content: {here}");
    }
    assert_eq!(reached, count, "{url}: the keyboard does not get to all of it");
}

/// Nobody complained, and nobody else was asked for anything.
async fn assert_quiet(browser: &Browser, site: &Site) {
    let errors = browser.errors().await;
    assert!(errors.is_empty(), "the console has errors: {errors:#?}");
    let own = site.url("/");
    let requests = browser.requests().await;
    let others: Vec<_> = requests.iter().filter(|url| !url.starts_with(&own) && !url.starts_with("data:")).collect();
    assert!(!requests.is_empty() && others.is_empty(), "other places were asked: {others:?}");
}

async fn run_id(browser: &Browser) -> String {
    let url =
        until_some("the page of a run", async || Some(browser.url().await).filter(|url| url.contains("/runs/held-")))
            .await;
    url.rsplit('/').next().expect("an ID").to_owned()
}

/// From the form to the end of the run, on one page that nobody reloads.
async fn start_and_watch(browser: &Browser, site: &Site, server: &Server) -> String {
    browser.goto(&site.url("/")).await;
    assert_eq!(browser.text(".empty h2").await, "No runs yet");
    check(browser).await;
    browser.click("a.button[href='/runs/new']").await;
    check(browser).await;
    browser.script("document.querySelector('#pipeline').value = 'held'").await;
    browser.click(".filter button").await;
    browser.wait_for("#set-1").await;
    check(browser).await;
    check_keyboard(browser).await;
    browser.write("#set-1", "no url").await;
    browser.click("form.start button.primary").await;
    let wrong = browser.text(".notice.bad").await;
    assert!(wrong.contains("base_url"), "{wrong}");
    check(browser).await;
    // What a form is refused with is an answer with an error's status, which the browser notes; nothing else is amiss.
    let noted = browser.errors().await;
    assert!(noted.iter().all(|note| note.contains("status of 400")), "{noted:?}");
    browser.write("#set-1", &server.base_url()).await;
    browser.click("form.start button.primary").await;
    let id = run_id(browser).await;
    browser.script("window.sameDocument = true").await;
    let first =
        browser.wait_for_text(".overall strong", |text| text.ends_with('%') && text != "0%" && text != "?%").await;
    browser.wait_for_text(".overall strong", |text| text != first).await;
    browser.wait_for(".plot path.line").await;
    assert_eq!(browser.script("return window.sameDocument").await, true, "it was loaded anew on the way");
    assert!(browser.text("#part-workers").await.contains("w1"));
    check(browser).await;
    browser.wait_for_text("#part-state .badge", |text| text == "finished").await;
    let verdict = browser.wait_for_text(".headline .verdict", |text| !text.is_empty()).await;
    assert_eq!(verdict, "complete and balanced");
    browser.wait_for("#part-controls form[action$='/delete']").await;
    assert_eq!(browser.script("return window.sameDocument").await, true, "it was loaded anew at its end");
    check(browser).await;
    check_keyboard(browser).await;
    id
}

/// What a target has is too much to be said by a key that ends a line.
async fn assert_enter_sends_nothing(browser: &Browser) {
    browser
        .script(
            "window.keys = []; window.sent = false; \
             document.addEventListener('keydown', (event) => window.keys.push(event.key), { once: true }); \
             document.addEventListener('submit', () => { window.sent = true; });",
        )
        .await;
    browser.press(ENTER).await;
    let told = browser.script("return [window.keys?.[0] ?? null, window.sent ?? null]").await;
    assert_eq!(told, serde_json::json!(["Enter", false]), "Enter in a note settles deliveries");
}

/// No choice is offered that is none.
async fn assert_some_of_them_is_for_several(browser: &Browser) {
    let choices = "return [...document.querySelectorAll('form.one')].every((form) => \
                   (form.parentNode.querySelectorAll('.ids a').length > 1) === !!form.querySelector('details'))";
    assert_eq!(browser.script(choices).await, true, "`some of them` is for several");
}

async fn settle_all(browser: &Browser, site: &Site, id: &str) {
    browser.goto(&site.url(&format!("/runs/{id}"))).await;
    browser.click("#part-in-doubt a").await;
    browser.wait_for("form.one").await;
    check(browser).await;
    check_keyboard(browser).await;
    for note in ["#all input[name=note]", "form.one input[name=note]"] {
        if browser.find(note).await.is_some() {
            browser.write(note, "import log").await;
            assert_enter_sends_nothing(browser).await;
        }
    }
    assert_some_of_them_is_for_several(browser).await;
    browser.click("form.one button[value=applied]").await;
    let done = browser.text(".notice.good").await;
    assert!(done.starts_with(&format!("1 delivery of run {id} settled: ")), "{done}");
    check(browser).await;
    // The others together, unless there is but one.
    for button in ["#all button[value=applied]", "form.one button[value=applied]"] {
        if browser.find(button).await.is_some() {
            // The page that is left has such a notice, too.
            browser.script("document.body.dataset.left = ''").await;
            browser.click(button).await;
            browser.wait_for("body:not([data-left]) .notice.good").await;
        }
    }
    assert_eq!(browser.text(".empty h2").await, "Nothing is in doubt");
}

async fn redrive(browser: &Browser, site: &Site, id: &str) {
    browser.goto(&site.url(&format!("/runs/{id}"))).await;
    assert!(browser.text("#part-failures").await.contains("validate"));
    browser.click("#part-failures p a").await;
    browser.wait_for("form.act").await;
    check(browser).await;
    check_keyboard(browser).await;
    assert_eq!(browser.text("form.act button").await, "Redrive all dead letters");
    browser.click("form.act button").await;
    browser.wait_for_text("#part-state", |text| text.contains("round 2")).await;
    browser.wait_for_text("#part-state .badge", |text| text == "finished").await;
    let rounds = browser.wait_for_text("#part-verdict", |text| text.contains("All rounds")).await;
    assert!(rounds.contains("round 2: dead letters redriven"), "{rounds}");
    check(browser).await;
}

/// The report is a file that holds the verdict, and is as well made as the pages: nothing is asked for to show it.
async fn download_report(browser: &Browser, folder: &Path, site: &Site, id: &str) {
    browser.goto(&site.url(&format!("/runs/{id}"))).await;
    browser.click("#report").await;
    let file = folder.join(DOWNLOADS).join(format!("{id}.html"));
    let text = until_some("the report is downloaded", async || std::fs::read_to_string(&file).ok()).await;
    assert!(
        text.contains("Complete and balanced") && text.contains("600 of 600 listed records accounted for"),
        "{text}"
    );
    assert!(text.contains("dead letters redriven"), "both rounds are told of: {text}");
    assert_quiet(browser, site).await;
    let url = format!("file://{}", file.display());
    browser.goto(&url).await;
    assert_eq!(browser.text(".headline").await, "Complete and balanced");
    check(browser).await;
    let drawn = browser.script("return document.querySelectorAll('.plot path.line').length").await;
    assert_eq!(drawn, 3, "records, and a delivery's time: mean and longest");
    assert_eq!(browser.errors().await, Vec::<String>::new());
    let asked = browser.requests().await;
    assert!(asked.iter().all(|asked| *asked == url), "the page asks for more than itself: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_does_all_of_a_run_in_a_browser() {
    let _turn = turn::heavy().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), eventful());
    let site = Site::with(folder.path(), &["--pipelines", &held(folder.path())]).await;
    let _worker = site.cluster.worker("w1", &["--concurrency", "8"]);
    let browser = Browser::start(folder.path()).await;
    browser.look(LOOKS[0]).await;

    let id = start_and_watch(&browser, &site, &server).await;
    settle_all(&browser, &site, &id).await;
    redrive(&browser, &site, &id).await;

    browser.goto(&site.url(&format!("/runs/{id}"))).await;
    browser.write("#record", "7").await;
    browser.click("form.inline button").await;
    let story = browser.wait_for_text(".story", |text| !text.is_empty()).await;
    assert!(story.contains("announced: ") && story.contains("listed on page 1"), "{story}");
    check(&browser).await;
    check_keyboard(&browser).await;
    for page in [
        "/runs",
        "/workers",
        "/pipelines",
        "/pipelines/held",
        &format!("/runs/{id}/verdict"),
        &format!("/runs/{id}/dead-letters"),
    ] {
        browser.goto(&site.url(page)).await;
        check(&browser).await;
    }
    // The theme is the system's until somebody chooses, and then his.
    browser.click("#theme").await;
    browser.goto(&site.url("/runs")).await;
    assert_eq!(browser.script("return document.documentElement.dataset.theme").await, "dark");
    assert_quiet(&browser, &site).await;
    download_report(&browser, folder.path(), &site, &id).await;

    let run = site.get(&format!("/api/v1/runs/{id}")).await.fine();
    assert_eq!((&run["overall"]["dead_letter"], &run["overall"]["in_doubt"]), (&3.into(), &0.into()));
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
}
