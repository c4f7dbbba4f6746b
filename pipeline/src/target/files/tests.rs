use super::*;
use crate::{Pipeline, RequesterConfig, Target};

fn target(load: &str) -> Result<Target, String> {
    let yaml = format!(
        "muster: 1\nname: t\nsource:\n  list:\n    request: {{ url: 'http://h.test/l' }}\n    pagination: {{ page_number: {{}} }}\n    \
         items: $.i\n    id: $.id\n  detail:\n    request: {{ url: 'http://h.test/${{record:id}}' }}\nload:\n  {load}\n"
    );
    let compiled = Pipeline::from_yaml(&yaml, "t").and_then(|pipeline| pipeline.compile(&BTreeMap::new()));
    compiled.map(|compiled| compiled.target().clone()).map_err(|error| error.to_string())
}

async fn deliver(target: &Target, ids: &[RecordId], records: &[&[u8]]) -> PostOutcome {
    let requester = Requester::new(&crate::Limits::default(), &RequesterConfig::default()).unwrap();
    let body = target.body(records.iter().copied());
    let delivery = Delivery { run: "run/../1", ids: ids.iter().collect(), records: records.to_vec(), body, key: "" };
    target.deliver(&requester, delivery, Instant::now() + Duration::from_secs(20), Turn::default()).await
}

#[tokio::test]
async fn the_same_records_are_the_same_file_whatever_is_in_them() {
    let place = std::env::temp_dir().join(format!("muster-files-{}", std::process::id()));
    let target = target(&format!("files: {{ url: 'file://{}/a/b' }}", place.display())).unwrap();
    let ids = [RecordId::from(1), RecordId::from(2)];
    for second in [b"2".as_slice(), b"{\"changed\":2}"] {
        assert_eq!(deliver(&target, &ids, &[b"1", second]).await, PostOutcome::Applied { status: 0 });
    }
    let folder = place.join("a/b/run%2F%2E%2E%2F1");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), "1\n{\"changed\":2}\n");
    // Something else has the folder's name.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    let outcome = deliver(&target, &ids, &[b"1", b"2"]).await;
    assert!(
        matches!(&outcome, PostOutcome::PipelineWrong { detail, .. } if detail.contains("something else has that name")),
        "{outcome:?}"
    );
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn urls_that_no_file_can_go_to_are_refused() {
    for (files, expected) in [
        ("{ url: 'file://relative/dir' }", "not the URL of an absolute folder"),
        ("{ url: 'ftp://host.test/dir' }", "files cannot go to ftp://"),
        ("{ url: 'here' }", "is not a URL"),
        ("{ url: 's3://me:canary@bucket' }", "user name or password"),
        ("{ url: 's3://bucket/a?b' }", "neither ? nor #"),
        ("{ url: 's3://bucket/%FF' }", "the prefix %FF is not UTF-8"),
        ("{ url: 's3://bucket/a%2F..%2Fb' }", "the prefix a/../b cannot stand in a URL"),
        ("{ url: 'file:///dir', region: x }", "region says nothing beside a folder"),
        ("{ url: 's3://bucket', access_key_id: '${env:A}' }", "secret_access_key is missing"),
    ] {
        let error = target(&format!("files: {files}")).unwrap_err();
        assert!(error.contains(expected) && !error.contains("canary"), "{error}");
    }
}

#[test]
fn a_name_depends_on_run_ids_and_order_alone() {
    let (one, two) = (RecordId::from(1), RecordId::from(2));
    let name = key("run", &[&one, &two]);
    assert_eq!(name, key("run", &[&one, &two]));
    for other in [key("run", &[&two, &one]), key("run", &[&one]), key("run2", &[&one, &two])] {
        assert_ne!(name, other);
    }
}
