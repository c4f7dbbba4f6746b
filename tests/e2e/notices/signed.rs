//! How docs/OPERATIONS.md checks a signature, in Python: it knows ours, and no other.

use std::path::{Path, PathBuf};

use animals_api::Config;
use muster_tests::cluster::Cluster;
use muster_tests::turn;

use super::*;
use crate::stand_in;

/// Reads a secret, headers and a body from the folder, and says what it thinks of each.
const ASK: &str = r#"
import json, pathlib
headers, body = json.loads(pathlib.Path("headers").read_text()), pathlib.Path("raw").read_bytes()
secret = pathlib.Path("secret").read_text().strip()
other = "whsec_" + base64.b64encode(b"x" * 32).decode()
late = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)}
print(is_ours(secret, headers, body), is_ours(other, headers, body), is_ours(secret, headers, body + b" "),
      is_ours(secret, late, body), is_ours(secret, {**headers, "webhook-id": "msg_1"}, body))
"#;

fn of_the_page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATIONS.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let (_, rest) = text.split_once("```python\n").expect("a block");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_knows_our_signature_and_no_other() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(50));
    let receiver = Receiver::start(&[]).await;
    let secret = [("MUSTER_NOTIFY_SECRET", SECRET)];
    let cluster = Cluster::with(folder.path(), &["--notify-url", &receiver.url], &secret).await;
    let _worker = cluster.worker("w1", &[]);
    cluster.start_run("animals", &server.base_url()).await;
    let message = receiver.has_accepted(1).await.remove(0);
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a file");
    write("headers", json!(message.headers).to_string().as_bytes());
    write("raw", &message.raw);
    write("secret", format!("{SECRET}\n").as_bytes());
    write("check.py", format!("{}{ASK}", of_the_page()).as_bytes());
    let tools = std::env::var_os("MUSTER_TEST_TOOLS").expect("./tests/run sets MUSTER_TEST_TOOLS: a venv");
    let python = PathBuf::from(tools).join("bin/python3");
    let checking = Start::program(&python, folder.path(), ["check.py"]).run();
    let ended = within("it is checked", checking).await.with_code(0);
    assert_eq!(ended.stdout.trim(), "True False False False False", "{}", ended.stderr);
}
