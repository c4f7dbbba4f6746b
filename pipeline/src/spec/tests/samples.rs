//! Pipelines that use every key of the format, and others that are wrong in their shape.

/// What the others are made of.
pub(super) const WHOLE: &str = r#"muster: 1
name: test
parameters:
  base: { type: url, default: "http://host.test" }
  key: { description: "Which herd." }
source:
  list:
    request: { url: "${param:base}/list" }
    pagination: { page_number: {} }
    items: $.items
    id: $.id
  detail: { request: { url: "${param:base}/${record:id}" } }
schema:
  type: object
transform: |
  {id,
   name}
load:
  request: { url: "${param:base}/home" }
limits:
  get_timeout: 3s
"#;

const OTHER_LOAD: &str = "  request: { method: PUT, url: \"${param:base}/home\", headers: { X-Key: \"${file:key}\" } }\n  wrap: { items: $batch, source: muster }\n  compress: gzip\n  idempotency_header: X-Once\n  per_record: { outcomes: .results }";

const STYLES: [&str; 8] = [
    "page_number: { first: 0, size: 50, size_parameter: per_page, total: { header: X-Total }, more: $.more }",
    "offset: {}",
    "offset: { parameter: skip, first: 1, limit_parameter: take, limit: 30, total: $.total, more: $.more }",
    "cursor: { next: $.next }",
    "cursor: { parameter: after, first: \"0\", next: { header: X-Next }, more: $.more, total: $.total }",
    "next_url: { next: $.next, total: $.count }",
    "link_header: {}",
    "single: { total: $.count }",
];

const LOADS: [&str; 7] = [
    "  request: { url: \"${param:base}/home\" }\n  body: ndjson\n  idempotency_header: none",
    "  request: { method: PUT, url: \"${param:base}/home/${record:id}\" }\n  body: record",
    "  request: { method: PATCH, url: \"${param:base}/home\" }\n  auth: { bearer: \"${env:T}\" }",
    "  files: { url: \"file:///tmp/${param:key}\" }\n  compress: gzip",
    "  files: { url: \"s3://bucket/x\", endpoint: \"${param:base}\", region: here, access_key_id: \"${env:A}\", secret_access_key: \"${file:B}\" }",
    "  postgres: { url: \"${env:DB}\", table: animals }",
    "  postgres: { url: \"${env:DB}\", table: zoo.animals, update_by: [id] }\n  on_doubt: hold",
];

const AUTHS: [&str; 6] = [
    "none",
    "{ bearer: \"${env:T}\" }",
    "{ api_key: { header: X-Key, value: \"${env:T}\" } }",
    "{ api_key: { query: key, value: \"${file:T}\" } }",
    "{ oauth2: { token_url: \"${param:base}/token\", client_id: me, client_secret: \"${env:T}\" } }",
    "{ oauth2: { token_url: \"${param:base}/token\", client_id: me, client_secret: \"${env:T}\", scope: a b, audience: x, send: body } }",
];

/// Pipelines that together use every key.
pub(super) fn samples() -> Vec<String> {
    let full = WHOLE.replace(
        "load:",
        "load:\n  on_doubt: hold\n  answer: any\n  settle_after: 1.5s\n  not_applied: [{ status: [503] }]",
    );
    let full = full
        .replace("page_number: {}", "page_number: { parameter: p, first: 0, total_pages: '$.meta[\"the pages\"]' }");
    let probe = full.replace(
        "on_doubt: hold",
        "on_doubt: probe\n  probe: { url: \"${param:base}/home/${record:id}\", absent: [404, 204] }",
    );
    let other = WHOLE
        .replace("  key: { description", "  born_after: { type: time, default: 2026-01-01T00:00:00Z, watermark: {} }\n  key: { description")
        .replace("source:", "source:\n  auth: { basic: { user: me, password: \"${env:PW}\" } }\n  headers: { X-Tenant: \"${param:key}\" }")
        .replace("detail: {", "enrich: { lines: { request: { url: \"${param:base}/${record:id}/lines\" }, optional: true } }\n  detail: {")
        .replace("    id: $.id", "    id: $.id\n    version: item\n    max_pages: 7\n    order_check: relist")
        .replace("type: object", "type: object\n  properties: { id: true }")
        .replace("transform:", "on_schema_drift: report\noutput_schema: { type: object }\ntransform:")
        .replace("get_timeout: 3s", "concurrency: { fixed: 9 }\n  rate: 600/m\n  burst: 5")
        .replace("  request: { url: \"${param:base}/home\" }", OTHER_LOAD);
    let mut texts = vec![WHOLE.to_owned(), full, probe, other];
    for style in STYLES {
        texts.push(WHOLE.replace("page_number: {}", style));
    }
    for load in LOADS {
        texts.push(WHOLE.replace("  request: { url: \"${param:base}/home\" }", load));
    }
    for auth in AUTHS {
        texts.push(WHOLE.replace("source:", &format!("source:\n  auth: {auth}")));
    }
    let (head, tail) =
        (WHOLE.find("    request: { url: \"${param:base}/list").unwrap(), WHOLE.find("  detail:").unwrap());
    texts.push(format!("{}    ids: {{ parameter: key }}\n{}", &WHOLE[..head], &WHOLE[tail..]));
    texts.push(format!("{}    ids: {{ file: \"${{param:key}}.txt\" }}\n{}", &WHOLE[..head], &WHOLE[tail..]));
    texts.push(WHOLE.replace("detail: { request: { url: \"${param:base}/${record:id}\" } }", "detail: none"));
    texts
}

/// Pipelines that are wrong in what stands where, whatever it says.
pub(super) fn wrong_in_shape() -> Vec<String> {
    let table = [
        ("    items:", "    itms:"),
        ("limits:", "limit:"),
        ("    id: $.id\n", ""),
        ("name: test\n", ""),
        ("page_number: {}", "curser: {}"),
        ("page_number: {}", ""),
        ("page_number: {}", "page_number: {}, single: {}"),
        ("muster: 1", "muster: 2"),
        ("name: test", "name: My Test"),
        ("name: test", "name: 7"),
        ("3s", "3"),
        ("get_timeout: 3s", "page_size: 8MB"),
        ("get_timeout: 3s", "retry_budget: 20"),
        ("get_timeout: 3s", "concurrency: 0"),
        ("get_timeout: 3s", "hedge_copies: lots"),
        ("get_timeout: 3s", "burst: 5"),
        ("$.items", "items"),
        ("limits:\n  get_timeout: 3s", "limits: fast"),
        ("/home\" }", "/home\", method: GET }"),
        ("/home\" }", "/home\" }\n  on_doubt: hodl"),
        ("/home\" }", "/home\" }\n  files: { url: \"file:///x\" }"),
        ("/home\" }", "/home\" }\n  rejected: [200]"),
        ("/home\" }", "/home\" }\n  rejected: 400"),
        ("/home\" }", "/home\" }\n  not_applied: [{ body: x }]"),
        ("/${record:id}", "/x"),
        ("source:", "source:\n  auth: { bearer: letmein }"),
        ("source:", "source:\n  headers: { Authorization: x }"),
        ("type: url", "type: uri"),
        ("type: object", "type: objekt"),
    ];
    table.iter().map(|(from, to)| WHOLE.replacen(from, to, 1)).collect()
}
