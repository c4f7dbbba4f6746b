//! A real browser: Chromium without a window, asked over WebDriver (W3C) by plain HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::deadline::{until_some, within};
use crate::process::{Process, Start};
use crate::{http, programs};

/// What WebDriver calls an element by.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// What WebDriver sends for the Tab key.
pub const TAB: &str = "\u{e004}";
/// And for Enter.
pub const ENTER: &str = "\u{e007}";

/// Where it puts what is downloaded, in the folder of its files.
pub const DOWNLOADS: &str = "downloads";
/// How long a browser may take to end.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// One window of a browser of its own.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    session: String,
    _driver: Process,
}

/// An element of the page that is shown.
#[derive(Debug, Clone)]
pub struct Element(String);

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// In CSS pixels.
    pub width: u32,
    /// The same.
    pub height: u32,
    /// Whether the system is said to be dark.
    pub dark: bool,
}

impl Browser {
    /// Starts one whose files are in this folder.
    pub async fn start(folder: &Path) -> Browser {
        let (driver, port) = driver(folder).await;
        let client = http::client().expect("a client");
        let profile = folder.join("profile");
        // Root may not have a sandbox, and containers have little shared memory.
        let flags = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-GB"];
        let flags: Vec<String> = flags
            .iter()
            .map(|flag| (*flag).to_owned())
            .chain([format!("--user-data-dir={}", profile.display()), "--force-color-profile=srgb".to_owned()])
            .collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": programs::chromium(), "args": flags, "prefs": {
                "download.default_directory": folder.join(DOWNLOADS),
                "download.prompt_for_download": false,
            } },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let base = format!("http://127.0.0.1:{port}/session");
        let opened = ask(&client, Method::POST, &base, &wanted).await.expect("a session");
        let session = format!("{base}/{}", opened["sessionId"].as_str().expect("an ID"));
        let browser = Browser { client, session, _driver: driver };
        // It begins with a page of its own, which is no affair of a test's.
        browser.goto("about:blank").await;
        browser.requests().await;
        browser
    }

    async fn command(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        ask(&self.client, method, &format!("{}{path}", self.session), body).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.command(Method::POST, path, &body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Sets size and theme of what is shown from now on.
    pub async fn look(&self, look: Look) {
        let size = json!({ "width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let value = if look.dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }, { "name": "prefers-reduced-motion", "value": "reduce" }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    /// Goes to a page, and waits until it is loaded.
    pub async fn goto(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Where it is.
    pub async fn url(&self) -> String {
        let url = self.command(Method::GET, "/url", &Value::Null).await.expect("a URL");
        url.as_str().expect("text").to_owned()
    }

    /// The title of what is shown.
    pub async fn title(&self) -> String {
        let title = self.command(Method::GET, "/title", &Value::Null).await.expect("a title");
        title.as_str().expect("text").to_owned()
    }

    /// The element of a CSS selector, if it is there.
    pub async fn find(&self, css: &str) -> Option<Element> {
        let found = self.command(Method::POST, "/element", &json!({ "using": "css selector", "value": css })).await;
        found.ok().and_then(|found| found[ELEMENT].as_str().map(|id| Element(id.to_owned())))
    }

    /// The same once it is there.
    pub async fn wait_for(&self, css: &str) -> Element {
        until_some(&format!("there is {css}"), async || self.find(css).await).await
    }

    /// The text of an element, once it says something that will do.
    pub async fn wait_for_text(&self, css: &str, will_do: impl Fn(&str) -> bool) -> String {
        until_some(&format!("{css} says it"), async || {
            let element = self.find(css).await?;
            // It may be another one by now.
            let text = self.command(Method::GET, &format!("/element/{}/text", element.0), &Value::Null).await.ok()?;
            text.as_str().filter(|text| will_do(text)).map(str::to_owned)
        })
        .await
    }

    /// The text of an element that is there.
    pub async fn text(&self, css: &str) -> String {
        self.wait_for_text(css, |_| true).await
    }

    /// Clicks on an element, as soon as there is one that can be clicked on.
    pub async fn click(&self, css: &str) {
        until_some(&format!("{css} can be clicked on"), async || {
            let element = self.find(css).await?;
            self.command(Method::POST, &format!("/element/{}/click", element.0), &json!({})).await.ok()
        })
        .await;
    }

    /// Types into an element.
    pub async fn write(&self, css: &str, text: &str) {
        let element = self.wait_for(css).await;
        self.post(&format!("/element/{}/clear", element.0), json!({})).await;
        self.post(&format!("/element/{}/value", element.0), json!({ "text": text })).await;
    }

    /// Presses a key, wherever the focus is.
    pub async fn press(&self, key: &str) {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.post("/actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] })).await;
    }

    /// What a script gives: the body of a function.
    pub async fn script(&self, body: &str) -> Value {
        self.post("/execute/sync", json!({ "script": body, "args": [] })).await
    }

    /// The same within the frame of a CSS selector, whatever it shows.
    pub async fn script_in_frame(&self, css: &str, body: &str) -> Value {
        let frame = self.wait_for(css).await;
        self.post("/frame", json!({ "id": { ELEMENT: frame.0 } })).await;
        let given = self.script(body).await;
        self.post("/frame", json!({ "id": null })).await;
        given
    }

    /// What is shown as a PNG: the whole page, or as much of it as the window has room for.
    pub async fn picture(&self, whole: bool) -> Vec<u8> {
        let shot = json!({ "format": "png", "captureBeyondViewport": whole, "optimizeForSpeed": false });
        let shown = self.devtools("Page.captureScreenshot", shot).await;
        STANDARD.decode(shown["data"].as_str().expect("a picture")).expect("base64")
    }

    /// What the console has said since the last time, as errors.
    pub async fn errors(&self) -> Vec<String> {
        let said = self.post("/se/log", json!({ "type": "browser" })).await;
        let entries = said.as_array().expect("entries").iter();
        entries.filter(|entry| entry["level"] == "SEVERE").map(|entry| entry["message"].to_string()).collect()
    }

    /// URLs that pages have asked for since the last time.
    pub async fn requests(&self) -> Vec<String> {
        let said = self.post("/se/log", json!({ "type": "performance" })).await;
        let messages = said.as_array().expect("entries").iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent").then(|| message["params"]["request"]["url"].clone())
        });
        messages.filter_map(|url| url.as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Browser {
    /// Ends the browser, however the test ended: one whose driver is killed under it stays.
    fn drop(&mut self) {
        let Some((host, path)) = self.session.trim_start_matches("http://").split_once('/') else { return };
        // In a drop there is nothing to await with, and nobody to tell.
        let _ = TcpStream::connect(host).and_then(|mut driver| {
            driver.set_read_timeout(Some(LEAVES_WITHIN))?;
            write!(driver, "DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
            driver.read_to_end(&mut Vec::new())
        });
    }
}

/// Starts the driver, and gives its port. It takes a free one for IPv6, and ends when that is taken for IPv4: then another.
async fn driver(folder: &Path) -> (Process, u16) {
    until_some("a driver finds a port", async || {
        let mut driver = Start::program(&programs::chromedriver(), folder, ["--port=0"]).env("HOME", folder).start();
        let port = until_some("the driver says its port, or ends", async || {
            let said = driver.stdout();
            let port = said.split_once("started successfully on port ").and_then(|(_, after)| {
                let digits = after.split_once('.')?.0;
                digits.parse::<u16>().ok()
            });
            (port.is_some() || driver.has_ended().is_some()).then_some(port)
        });
        let port = port.await?;
        Some((driver, port))
    })
    .await
}

async fn ask(client: &Client, method: Method, url: &str, body: &Value) -> Result<Value, String> {
    let mut request = client.request(method.clone(), url);
    if method == Method::POST {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = within("the driver answers", request.send()).await.map_err(|error| error.to_string())?;
    let fine = answer.status().is_success();
    let text = within("the driver's answer", answer.text()).await.map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    if fine { Ok(value["value"].clone()) } else { Err(value["value"]["message"].to_string()) }
}
