//! What transforms may do, must not do, and how they are stopped.

use super::*;
use crate::spec::tree::from_json;

fn transform(program: &str) -> Result<Transform, SpecError> {
    let node = from_json(&serde_json::Value::from(program).to_string(), "test").unwrap();
    Transform::read(&Field::root("test", &node))
}

fn run(program: &str, record: &str) -> Result<String, String> {
    let transform = transform(program).unwrap_or_else(|error| panic!("{program}: {error}"));
    transform.apply(record.as_bytes()).map(|json| String::from_utf8(json).unwrap())
}

#[test]
fn whatever_may_not_end_or_differ_is_refused_by_name() {
    for program in [
        "now",
        "env",
        "$ENV",
        "env.HOME",
        "input",
        "[inputs]",
        "input_filename",
        "debug",
        "debug(.a)",
        "stderr",
        "halt",
        "halt_error",
        "halt_error(1)",
        "repeat(.)",
        "while(true; .)",
        "until(false; .)",
        "recurse(.a)",
        "recurse(.a; .b)",
        "localtime",
        "strflocaltime(\"%Y\")",
        "combinations",
        "infinite",
        "nan",
        "tobytes",
        "transpose",
        "def f: f; f",
        "def f: 1, f; f",
        "def f(g): g | f(g); f(.)",
        "def f: def g: f; g; f",
        "get_search_list",
        "import \"a\" as a; .",
        "include \"a\"; .",
        "{(now): 1}",
        "\"\\(now)\"",
        ".[now]",
        ".[1:now]",
        "-now",
        "try now",
        "reduce now as $x (0; .)",
        "if now then 1 else 2 end",
        ". as {(now): $x} | .",
        "@base32d \"x\"",
        "[limit(3; repeat(1))]",
        "muster_transform",
        "modulemeta",
        "splits(now)",
        "label $f | now",
        ". // now",
        "def f: now; 1",
        "$__loc__",
        "error(now)",
    ] {
        let error = transform(program).err().unwrap_or_else(|| panic!("{program} was taken")).to_string();
        assert!(error.starts_with("test:1:"), "{program}: {error}");
    }
    let told = |program: &str| transform(program).unwrap_err().to_string();
    assert_eq!(
        told("1 |\n  repeat(.)"),
        "test:2:3: \"repeat\" may never end, or grow without bound; \
         use .[], range(n), limit(n; …) or reduce over what the record has"
    );
    assert_eq!(
        told("def f: 1, f; f"),
        "test:1:11: \"f\" calls itself; recursion cannot be bounded; use .., walk or reduce"
    );
}

#[test]
fn what_is_bounded_is_taken() {
    for (program, record, output) in [
        (".", "{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}"),
        ("[.[] | . * 2 + 1]", "[1,2]", "[3,5]"),
        ("[range(3), range(1; 3), range(6; 0; -3)]", "0", "[0,1,2,1,2,6,3]"),
        ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
        ("[foreach .[] as $x (0; . + $x)]", "[1,2,3]", "[1,3,6]"),
        ("def double(f): f * 2; def twice: double(.a); {x: twice}", "{\"a\":4}", "{\"x\":8}"),
        ("def f($x; g): $x + g; f(1; 2)", "0", "3"),
        ("[..]", "[[1]]", "[[[1]],[1],1]"),
        ("[recurse]", "[1]", "[[1],1]"),
        (".a += 1 | .b *= 3 | .c -= 1", "{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":2,\"b\":6,\"c\":2}"),
        ("[(1, 2) + (10, 20)]", "0", "[11,12,21,22]"),
        ("[(1, 2) * (10, 20)]", "0", "[10,20,20,40]"),
        ("[.[] += (1, 10)]", "[1]", "[[2],[11]]"),
        ("join(\"-\")", "[\"a\",\"b\"]", "\"a-b\""),
        ("{a: {b: 1}} * {a: {c: 2}}", "0", "{\"a\":{\"b\":1,\"c\":2}}"),
        ("\"ab\" * 2", "0", "\"abab\""),
        ("to_entries | from_entries | with_entries(.value += 1) | map_values(. + 1)", "{\"a\":1}", "{\"a\":3}"),
        ("gsub(\"[aeiou]\"; \"*\") | @base64 \"\\(.)\"", "\"hello\"", "\"aCpsbCo=\""),
        ("strptime(\"%Y-%m-%d\") | mktime | todate", "\"2015-10-06\"", "\"2015-10-06T00:00:00Z\""),
        ("try error(\"x\") catch .", "0", "\"x\""),
        ("first(.[] | select(. > 1))", "[1,2,3]", "2"),
        ("label $out | (1, break $out, 2)", "0", "1"),
        (". as [$a, {b: $c}] | $a + $c", "[1,{\"b\":2}]", "3"),
        (".a.b? // \"none\"", "{\"a\":1}", "\"none\""),
    ] {
        assert_eq!(run(program, record).as_deref(), Ok(output), "{program}");
    }
}

#[test]
fn numbers_and_texts_come_out_as_they_went_in() {
    for json in [
        "123456789012345678901234567890",
        "1.10",
        "-0.0",
        "1e400",
        "0.1",
        "\"\\u0000\\u001f\"",
        "\"é🦫\"",
        "\"a/b\"",
        "[{\"\":null},[],{}]",
        "-9223372036854775808",
    ] {
        assert_eq!(run("{a: .} | .a", json).unwrap(), json);
    }
}

#[test]
fn exactly_one_output_is_demanded() {
    for (program, reason) in [("empty", "no output"), (".[]", "more than one output"), ("1, error(\"late\")", "late")] {
        let error = run(program, "[1,2]").unwrap_err();
        assert!(error.contains(reason), "{program}: {error}");
    }
}

#[test]
fn an_error_of_the_program_is_told_briefly() {
    assert_eq!(
        run(".a.b", "{\"a\":5}").unwrap_err(),
        "cannot index 5 with \"b\" (line 1, column 2 near \"a.b\" of the transform)"
    );
    let long = run(".b.c", &format!("{{\"b\":[\"{}\"]}}", "x".repeat(10_000))).unwrap_err();
    assert!(long.chars().count() <= 400 && long.contains("… (line 1, column "), "{long}");
}

#[test]
fn what_json_cannot_carry_is_an_error() {
    for program in ["0 / 0", "{(1 | tostring): (1 / 0)}", "{a: [log]}"] {
        assert!(run(program, "-1").unwrap_err().contains("JSON cannot carry"), "{program}");
    }
    assert!(run("{(.|tojson|fromjson): 1}", "1").unwrap_err().contains("a key of JSON must be a text"));
    assert!(run("@base64d", "\"/w==\"").unwrap_err().contains("not UTF-8"));
}

#[test]
fn a_record_cannot_make_a_transform_eat_the_worker() {
    for (program, record) in [
        ("[range(.)] | length", "1000000000000"),
        ("[range(0; 1; 0)]", "0"),
        ("try ([range(1000000)] | length) catch 0", "0"),
        ("[range(1000) as $i | range(1000)] | length", "0"),
        ("\"ab\" * .", "1000000000000"),
        ("\"ab\" * .", "99999999999999999999999"),
        ("reduce range(100) as $i (\"ab\"; . + .) | length", "0"),
        ("reduce range(100) as $i ([1]; . + .) | length", "0"),
        ("reduce range(100) as $i (\"ab\"; . += .) | length", "0"),
        ("reduce range(100) as $i (\"ab\"; [., .] | add) | length", "0"),
        ("reduce range(100) as $i (\"ab\"; [., .] | join(\"\")) | length", "0"),
        ("reduce range(100) as $i (3; . * .) | 1", "0"),
        ("reduce range(60) as $i (.; [., .])", "0"),
        ("reduce range(200) as $i (.; [.])", "0"),
    ] {
        let error = run(program, record).unwrap_err();
        let bounded = ["steps", "too large", "larger than", "deeper than"];
        assert!(bounded.iter().any(|word| error.contains(word)), "{program}: {error}");
    }
    assert_eq!(run("[range(100000)] | length", "0").unwrap(), "100000", "the next record starts anew");
}

#[test]
fn every_function_that_is_allowed_exists() {
    for name in words::ALLOWED {
        let known = (0..4).any(|arity| {
            let arguments = if arity == 0 { String::new() } else { format!("({})", vec!["."; arity].join("; ")) };
            transform(&format!("{name}{arguments}")).is_ok()
        });
        assert!(known, "{name}");
        let page = include_str!("../../../docs/PIPELINES.md");
        assert!(page.contains(&format!("`{name}`")), "docs/PIPELINES.md does not list {name}");
    }
}

#[test]
fn an_error_names_the_place_where_it_came_up() {
    let animals = "{\n  id,\n  born_at: (.born_at | if . == null then null else todate_ms end),\n  friends: (.friends / \",\")\n}";
    for (program, record, place) in [
        (animals, r#"{"born_at":"spring","friends":""}"#, "line 3, column 52 near \"todate_ms\""),
        (animals, r#"{"born_at":1,"friends":7}"#, "line 4, column 14 near \"friends\""),
        (".a | .b.c", r#"{"a":{"b":7}}"#, "line 1, column 7 near \"b.c\""),
        ("[.[] | error(\"no\")]", "[1]", "line 1, column 8 near \"error\""),
        ("def f: error(\"no\"); .a |= f", r#"{"a":1}"#, "line 1, column 27 near \"f\""),
        ("(try error(\"x\") catch .) | tonumber", "1", "line 1, column 28 near \"tonumber\""),
        ("first(.a[]) | map(.x)", r#"{"a":[[1]]}"#, "line 1, column 20 near \"x\""),
        ("reduce .[] as $x (0; . + $x)", r#"[1,"a"]"#, "line 1, column 26 near \"\""),
    ] {
        let error = run(program, record).unwrap_err();
        let place = place.strip_suffix(" near \"\"").unwrap_or(place);
        assert!(error.contains(&format!("({place}")) && error.ends_with(" of the transform)"), "{program}: {error}");
    }
    assert!(!run("empty", "1").unwrap_err().contains("line"));
    // Updates and paths work all the same in the form that tells: the error is the program's own.
    let error = run("del(.a) | .b += 1 | path(.c) as $p | error($p[0])", r#"{"a":1}"#).unwrap_err();
    assert!(error.starts_with("\"c\"") || error.starts_with('c'), "{error}");
    assert!(error.contains("line 1, column 38 near \"error\""), "{error}");
}

#[test]
fn the_short_cut_gives_what_jq_gives() {
    let programs = [
        ("{id, name, born_at, friends}", true),
        ("{ id, \"a b\": .friends, n: {deep: .name.first, none: {}}, sum: (.id + 1) }", true),
        ("{ id: 1, x: .name.first, id: .name }", true),
        ("{ x: (.friends[]?), y: (1, 2) }", true),
        ("{ x: empty }", true),
        ("{ x: error(\"no\") }", true),
        ("{ x: .id?, y: .friends[0], \"\": null, z: [range(.id)] }", true),
        ("{ \"n\\(.id)\": 1 }", false),
        ("{ (.name): 1 }", false),
        (".id as $x | { $x }", false),
        ("[{ id }]", false),
    ];
    let records = [
        "{}",
        "null",
        "[1]",
        "7",
        r#"{"id":7,"name":{"first":"Ann"},"friends":[1,2],"born_at":1.50}"#,
        r#"{"id":100001,"name":"Bo","friends":[]}"#,
        r#"{"id":"7","name":null,"friends":{"a":[]}}"#,
    ];
    let mut short = 0;
    for (program, has_shape) in programs {
        let with = transform(program).unwrap();
        assert_eq!(with.shape.is_some(), has_shape, "{program}");
        let without = Transform { shape: None, ..with.clone() };
        for record in records {
            let input = jaq_json::read::parse_single(record.as_bytes()).unwrap();
            short += usize::from(with.shape.as_ref().is_some_and(|shape| shaped(shape, &input).is_some()));
            assert_eq!(with.apply(record.as_bytes()), without.apply(record.as_bytes()), "{program} of {record}");
        }
    }
    assert!(short >= 12, "the short cut was taken {short} times");
}
