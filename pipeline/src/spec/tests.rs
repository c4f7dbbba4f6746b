//! Broken pipelines, each with the message that a person gets.

use super::samples::{WHOLE, samples};
use super::*;

fn message(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    match Pipeline::from_yaml(&WHOLE.replacen(from, to, 1), "p.yaml") {
        Ok(_) => panic!("{to} was taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        // the grammar
        ("muster: 1", "muster: [1", "p.yaml:2:5: this is not the YAML of a pipeline: "),
        (
            "name: test",
            "name: test\nname: again",
            "p.yaml:3:1: this is not the YAML of a pipeline: duplicate mapping key: name",
        ),
        // keys
        ("    items:", "    itms:", "p.yaml:10:5: source.list.itms: there is no such key; did you mean \"items\"?"),
        ("limits:", "limit:", "p.yaml:20:1: limit: there is no such key; did you mean \"limits\"?"),
        ("  get_timeout", "  speed", "p.yaml:21:3: limits.speed: there is no such key; known here: concurrency, "),
        ("    id: $.id\n", "", "p.yaml:8:5: source.list: the key \"id\" is missing"),
        ("name: test\n", "", "p.yaml:1:1: the key \"name\" is missing"),
        (
            "page_number: {}",
            "curser: {}",
            "p.yaml:9:19: source.list.pagination.curser: there is no such key; did you mean \"cursor\"?",
        ),
        // values
        ("muster: 1", "muster: 2", "p.yaml:1:9: muster: this version of the format is not known; write muster: 1"),
        ("name: test", "name: My Test", "p.yaml:2:7: name: a name has 1 to 64 characters of a to z, 0 to 9, - and _"),
        ("name: test", "name: 7", "p.yaml:2:7: name: this must be a text, not a number; put it in quotes"),
        (
            "3s",
            "3",
            "p.yaml:21:16: limits.get_timeout: \"3\" is not a duration such as 3s or 50ms (units: us, ms, s, m, h)",
        ),
        ("3s", "2h", "p.yaml:21:16: limits.get_timeout: this must be from 1ms to 1h"),
        (
            "get_timeout: 3s",
            "page_size: 8MB",
            "p.yaml:21:14: limits.page_size: \"8MB\" is not a size such as 512KiB or 8MiB",
        ),
        (
            "get_timeout: 3s",
            "retry_budget: 20",
            "p.yaml:21:17: limits.retry_budget: \"20\" is not a share from 0% to 100%",
        ),
        (
            "get_timeout: 3s",
            "concurrency: 0",
            "p.yaml:21:16: limits.concurrency: this must be a whole number from 1 to 4096, not 0",
        ),
        (
            "get_timeout: 3s",
            "hedge_copies: lots",
            "p.yaml:21:17: limits.hedge_copies: this must be a whole number from 1 to 8",
        ),
        ("$.items", "items", "p.yaml:10:12: source.list.items: \"items\" is not a path such as $.items"),
        ("limits:\n  get_timeout: 3s", "limits: fast", "p.yaml:20:9: limits: this must be a table of keys, not a text"),
        // load
        (
            "/home\" }",
            "/home\", method: GET }",
            "p.yaml:19:49: load.request.method: \"GET\" is not known; known here: POST, PUT, PATCH",
        ),
        (
            "/home\" }",
            "/home\" }\n  on_doubt: hodl",
            "p.yaml:20:13: load.on_doubt: \"hodl\" is not known; did you mean \"hold\"?",
        ),
        (
            "/home\" }",
            "/home\" }\n  on_doubt: probe",
            "p.yaml:20:13: load.on_doubt: where to ask the target for a record is missing; say it under load.probe.url, ",
        ),
        (
            "/home\" }",
            "/home\" }\n  probe: { url: \"${param:base}/home/${record:id}\" }",
            "p.yaml:20:10: load.probe: nobody asks the target unless on_doubt says so; write on_doubt: probe above it",
        ),
        (
            "/home\" }",
            "/home\" }\n  on_doubt: probe\n  probe: { url: \"${param:base}/home\" }",
            "p.yaml:21:17: load.probe.url: this URL is the same for every record; put ${record:id} into it",
        ),
        (
            "/home\" }",
            "/home\" }\n  on_doubt: probe\n  probe: { absent: [404] }",
            "p.yaml:21:10: load.probe: the key \"url\" is missing",
        ),
        (
            "/home\" }",
            "/home\" }\n  on_doubt: probe\n  probe: { url: \"${param:base}/${record:id}\", absent: [200] }",
            "p.yaml:21:55: load.probe.absent: 200 cannot mean both present and absent; drop it from one of them",
        ),
        (
            "/home\" }",
            "/home\" }\n  on_doubt: probe\n  probe: { url: \"${param:base}/${record:id}\", present: [] }",
            "p.yaml:21:56: load.probe.present: without a status no answer would ever mean this; name at least one",
        ),
        (
            "/home\" }",
            "/home\" }\n  on_doubt: probe\n  probe: { url: \"${param:base}/${record:id}\", present: [403] }",
            "p.yaml:21:56: load.probe.present: 403 says nothing about a record",
        ),
        (
            "/home\" }",
            "/home\" }\n  on_doubt: probe\n  probe: { url: \"${param:base}/${record:id}\", absent: [500] }",
            "p.yaml:21:56: load.probe.absent[0]: this must be a whole number from 200 to 499, not 500",
        ),
        (
            "/home\" }",
            "/home\" }\n  max_batch: 0",
            "p.yaml:20:14: load.max_batch: this must be a whole number from 1 to 10000, not 0",
        ),
        (
            "/home\" }",
            "/home\" }\n  rejected: [200]",
            "p.yaml:20:14: load.rejected[0]: this must be a whole number from 400 to 499, not 200",
        ),
        ("/home\" }", "/home\" }\n  rejected: 400", "p.yaml:20:13: load.rejected: this must be a list, not a number"),
        (
            "/home\" }",
            "/home\" }\n  not_applied: [{ status: [500], body: \"(Sorry\" }]",
            "p.yaml:20:40: load.not_applied[0].body: this is not a regular expression: unclosed group",
        ),
        (
            "/home\" }",
            "/home\" }\n  not_applied: [{ body: x }]",
            "p.yaml:20:17: load.not_applied[0]: the key \"status\" is missing",
        ),
        // references
        (
            "${param:base}/list",
            "${param:bas}/list",
            "p.yaml:8:21: source.list.request.url: the parameter \"bas\" is not declared under parameters; did you mean \"base\"?",
        ),
        (
            "${param:base}/list",
            "${base}/list",
            "\"${base}\" does not say what kind of reference it is; write ${param:base} for a parameter",
        ),
        (
            "${param:base}/list",
            "${evn:KEY}/list",
            "${evn:…} is not a reference that may stand here; known here: param:NAME, record:id, env:NAME, file:PATH",
        ),
        (
            "${param:base}/list",
            "${env:KEY}/list",
            "p.yaml:8:21: source.list.request.url: a secret must not stand in a URL: URLs are shown and logged; put it under",
        ),
        (
            "/list\"",
            "/${record:id}\"",
            "source.list.request.url: ${record:id} has no meaning here; it stands in URLs that are asked for one record only",
        ),
        (
            "/${record:id}",
            "/x",
            "p.yaml:12:29: source.detail.request.url: this URL is the same for every record; put ${record:id} into it",
        ),
        // parameters
        ("type: url", "type: uri", "p.yaml:4:17: parameters.base.type: \"uri\" is not known; did you mean \"url\"?"),
        ("http://host.test\" }", "host.test\" }", "p.yaml:4:31: parameters.base.default: \"host.test\" is not a URL"),
        ("description: \"Which herd.\"", "required: false", "a parameter that is not required needs a default"),
        ("type: url,", "type: url, required: true,", "a parameter with a default is never required; drop one of them"),
        // schema
        ("type: object", "type: objekt", "p.yaml:14:9: schema: this is not a JSON Schema of 2020-12: "),
        ("type: object", "$ref: http://host.test/s.json", "p.yaml:14:3: schema: this JSON Schema cannot be used: "),
        // transform
        (
            "   name}",
            "   name: now}",
            "p.yaml:17:10: transform: \"now\" depends on the clock or place of the worker; a transform must",
        ),
        ("   name}", "   name", "p.yaml:17:8: transform: this is not jq: expected closing brace here"),
        (
            "   name}",
            "   name: mpa(.)}",
            "p.yaml:17:10: transform: there is no function \"mpa\" for transforms; did you mean \"map\"?",
        ),
        ("   name}", "   name: $nam}", "p.yaml:17:10: transform: variable $nam is not defined"),
    ] {
        let message = message(from, to);
        if !message.contains(expected) {
            wrong.push(format!("{to}\n  got:      {message}\n  expected: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_name_of_another_type_is_no_pipeline() {
    for (text, expected) in [
        ("", "p.yaml: this must be a table of keys, not nothing"),
        ("- 1", "p.yaml:1:1: this must be a table of keys, not a list"),
    ] {
        let message = Pipeline::from_yaml(text, "p.yaml").unwrap_err().to_string();
        assert!(message.starts_with(expected) || message.contains("this must be a table of keys"), "{message}");
    }
}

#[test]
fn an_error_gives_its_parts() {
    let error = Pipeline::from_yaml(&WHOLE.replace("3s", "3"), "p.yaml").unwrap_err();
    assert_eq!((error.origin(), error.dotted_key()), ("p.yaml", "limits.get_timeout"));
    assert_eq!(error.place(), Some(crate::Place { line: 21, column: 16 }));
}

#[test]
fn defaults_are_filled_in() {
    let pipeline = Pipeline::from_yaml(WHOLE, "p.yaml").unwrap();
    let load = pipeline.load();
    assert_eq!((load.max_batch, load.on_doubt, load.max_attempts), (100, OnDoubt::Retry, 8));
    assert_eq!(
        (load.post_timeout.as_secs(), load.settle_after, load.max_rejected_in_a_row),
        (25, load.post_timeout, 3)
    );
    assert_eq!(pipeline.limits(), &Limits::default());
    assert!((pipeline.source().max_gone - 0.01).abs() < 1e-12);
    let named: Vec<(&str, bool)> = pipeline.parameters().iter().map(|p| (p.name.as_str(), p.required)).collect();
    assert_eq!(named, [("base", false), ("key", true)]);
}

#[test]
fn what_does_not_use_newer_keys_keeps_its_revision() {
    // Another one only when a default is another: then the same file says something else.
    let revision = "eb72e1a163a4b15043d444595b7a20a98e8062146370817dcaa50e38d478f261";
    assert_eq!(Pipeline::from_yaml(crate::built_in("animals").unwrap(), "animals").unwrap().revision(), revision);
}

#[test]
fn a_canonical_form_survives_every_setting() {
    for text in &samples() {
        let pipeline = Pipeline::from_yaml(text, "p.yaml").unwrap_or_else(|error| panic!("{error} in\n{text}"));
        let again = Pipeline::from_canonical(pipeline.canonical()).unwrap();
        assert_eq!((again.canonical(), again.revision()), (pipeline.canonical(), pipeline.revision()));
        assert_eq!(again.parameters(), pipeline.parameters());
    }
    let error = Pipeline::from_canonical("{\"muster\":1,").unwrap_err();
    assert!(error.to_string().starts_with("the stored pipeline: this is not the canonical form"), "{error}");
}

#[test]
fn parameters_are_checked_and_filled_in() {
    let pipeline = Pipeline::from_yaml(WHOLE, "p.yaml").unwrap();
    let resolve = |pairs: &[(&str, &str)]| {
        let given = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        pipeline.resolve_parameters(&given).map_err(|error| error.to_string())
    };
    let resolved = resolve(&[("key", "cows"), ("base", "https://Host.TEST:443/api//")]).unwrap();
    assert_eq!((resolved["base"].as_str(), resolved["key"].as_str()), ("https://host.test/api", "cows"));
    assert_eq!(resolve(&[("key", "cows")]).unwrap()["base"], "http://host.test");
    for (given, expected) in [
        (vec![("key", "a"), ("bsae", "x")], "pipeline test: bsae: there is no such parameter; did you mean \"base\"?"),
        (vec![], "pipeline test: key: this parameter must be set: Which herd; set it with --set key=VALUE"),
        (
            vec![("key", "a"), ("base", "host")],
            "pipeline test: base: \"host\" is not a URL (relative URL without a base)",
        ),
        (vec![("key", "a"), ("base", "ftp://host")], "is not an http or https URL; write it whole"),
        (vec![("key", "a"), ("base", "http://u:canary@host")], "a URL must not carry a user name or password"),
        (vec![("key", "a"), ("base", "http://host/?q=1")], "must end with its path: a path is put after it"),
    ] {
        let message = resolve(&given).unwrap_err();
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
}

#[test]
fn all_that_must_be_set_is_said_at_once() {
    let text = WHOLE.replace(", default: \"http://host.test\" }", " }");
    let pipeline = Pipeline::from_yaml(&text, "p.yaml").unwrap();
    assert_eq!(
        pipeline.resolve_parameters(&BTreeMap::new()).unwrap_err().to_string(),
        "pipeline test: these parameters must be set: base; key: Which herd; set them with --set base=VALUE --set key=VALUE"
    );
}

#[test]
fn a_record_cannot_choose_its_host() {
    let text = WHOLE.replace("${param:base}/${record:id}", "http://${record:id}.host.test/");
    let pipeline = Pipeline::from_yaml(&text, "p.yaml").unwrap();
    let error = pipeline.compile(&BTreeMap::from([("key".to_owned(), "a".to_owned())])).unwrap_err();
    assert!(
        error.to_string().contains("source.detail.request.url: the record's ID must not stand in the host"),
        "{error}"
    );
}
