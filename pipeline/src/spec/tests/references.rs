//! Where references may stand beside URLs, headers and credentials, and what is said where they may not.

use super::samples::WHOLE;
use super::*;

fn read(from: &str, to: &str) -> Result<Pipeline, String> {
    assert!(WHOLE.contains(from), "{from}");
    Pipeline::from_yaml(&WHOLE.replacen(from, to, 1), "p.yaml").map_err(|error| error.to_string())
}

const LOAD: &str = "  request: { url: \"${param:base}/home\" }";
const PAGES: &str = "pagination: { page_number: {} }";

fn oauth2(more: &str) -> String {
    format!(
        "source:\n  auth: {{ oauth2: {{ token_url: \"http://t.test\", client_id: me, client_secret: \"${{env:S}}\", {more} }} }}\n"
    )
}

#[test]
fn what_goes_out_as_it_is_may_refer_to_parameters() {
    for (from, to) in [
        (LOAD, format!("{LOAD}\n  wrap: {{ items: $batch, of: [\"$${{x}} ${{param:key}}\", 1], \"$batches\": $ }}")),
        (PAGES, "pagination: { cursor: { next: $.next, first: \"${param:key}$${\" } }".to_owned()),
        ("source:\n", oauth2("scope: \"read:${param:key}\", audience: \"${param:base}\"")),
        (LOAD, "  files: { url: \"s3://bucket\", region: \"${param:key}\" }".to_owned()),
    ] {
        let pipeline = read(from, &to).unwrap_or_else(|error| panic!("{to}: {error}"));
        let again = Pipeline::from_canonical(pipeline.canonical()).unwrap();
        assert_eq!(again.revision(), pipeline.revision());
        assert!(pipeline.canonical().contains("${param:"), "the canonical form has references, not what they refer to");
    }
}

#[test]
fn no_reference_goes_out_to_the_letter() {
    const SECRET: &str = "a secret must not stand here: this is shown, and goes out as part of what is sent";
    let wrap = |what: &str| (LOAD, format!("{LOAD}\n  wrap: {{ items: $batch, {what} }}"));
    let cursor = |first: &str| (PAGES, format!("pagination: {{ cursor: {{ next: $.next, first: \"{first}\" }} }}"));
    for ((from, to), expected) in [
        (wrap("by: \"${env:T}\""), format!("p.yaml:20:30: load.wrap.by: {SECRET}; put it under auth or headers")),
        (wrap("by: [{ x: \"${file:T}\" }]"), format!("p.yaml:20:36: load.wrap.by[0].x: {SECRET}")),
        (wrap("by: \"${param:kye}\""), "load.wrap.by: the parameter \"kye\" is not declared".to_owned()),
        (wrap("by: \"${now}\""), "load.wrap.by: \"${now}\" does not say what kind of reference it is".to_owned()),
        (wrap("\"${param:key}\": 1"), "a reference must not stand in the name of a key".to_owned()),
        (cursor("${env:T}"), format!("source.list.pagination.cursor.first: {SECRET}")),
        (cursor("${record:id}"), "${record:id} has no meaning here".to_owned()),
        (("source:\n", oauth2("scope: \"${env:T}\"")), format!("source.auth.oauth2.scope: {SECRET}")),
        (("source:\n", oauth2("audience: \"${file:T}\"")), format!("source.auth.oauth2.audience: {SECRET}")),
        (
            (LOAD, "  files: { url: \"s3://b\", region: \"${env:T}\" }".to_owned()),
            format!("load.files.region: {SECRET}"),
        ),
    ] {
        let error = read(from, &to).map(drop).unwrap_err();
        assert!(error.contains(&expected), "{error}\nis not\n{expected}");
    }
}
