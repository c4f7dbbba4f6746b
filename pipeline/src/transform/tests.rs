//! What transforms may do, must not do, and how they are stopped.

use super::*;
use crate::spec::tree::from_json;

mod short_cut;

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
        "def true: 1; true",
        "def f(null): 1; f(2)",
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
        ("reduce range(90000) as $i (0; [.]) | length", "0"),
        ("reduce range(90000) as $i ({}; {a: .}) | tojson | length", "0"),
        ("reduce range(90000) as $i ({}; .a = .) | 1", "0"),
        ("reduce range(90000) as $i ({}; . as $all | .a |= $all) | 1", "0"),
        ("reduce range(90000) as $i ({}; . as $all | .a += $all) | 1", "0"),
        ("reduce range(90000) as $i ([]; group_by(1) | [.] | group_by(1)) | 1", "0"),
        ("(reduce range(90000) as $i (.; .)) |= 1", "0"),
        ("reduce range(40) as $i ([1]; [.[], .[]]) | length", "0"),
        ("reduce range(40) as $i ([1]; [., .] | flatten) | length", "0"),
        ("reduce range(40) as $i (\"x\"; \"\\(.)\\(.)\") | length", "0"),
        ("reduce range(40) as $i (\"x\"; .[0:0] = .) | length", "0"),
        ("reduce range(40) as $i (\"\\\"\"; @json) | length", "0"),
        ("reduce range(120) as $i (\"xxxx\"; @base64) | length", "0"),
        ("reduce range(40) as $i (1; [., .]) | tojson | length", "0"),
        ("reduce range(40) as $i ([1]; . + .) | . == .", "0"),
        ("(reduce range(50) as $i (1; [., .])) == (reduce range(50) as $i (1; [., .])) | 1", "0"),
        ("[range(9000)] | [.[] as $a | .[] as $b | .[] as $c | $a] | length", "0"),
        ("[range(9000)] | try ([.[] as $a | .[] as $b | .[] as $c | $a] | length) catch 0", "0"),
        ("[range(9000)] | .[][]? |= 1 | . as $l | [$l[] | . as $x | $l | first(.[]) | $x] | length", "0"),
        ("[range(90000)] | [.[] as $x | index($x)] | length", "0"),
        ("[range(90000)] | . as $l | [.[] | $l - $l] | length", "0"),
        ("[range(90000)] | . as $l | [.[] | $l | sort] | length", "0"),
        ("[range(90000)] | . as $l | [.[] | $l | contains($l)] | length", "0"),
        ("[range(90000)] | . as $l | [.[] | $l[1:] | length] | length", "0"),
        ("[range(90000)] | . as $l | [.[] | try ($l | .a) catch 0] | length", "0"),
        ("\"a\" * 4000000 | [indices(\"a\" * 2000000)] | length", "0"),
        ("[(\"a\" * 4000000) as $t | range(90000) | $t | explode | length] | length", "0"),
        ("[(\"a\" * 4000000) as $t | range(90000) | $t | test(\"b\")] | length", "0"),
        ("[(\"a\" * 4000000) as $t | range(90000) | \"b\" | test($t)?] | length", "0"),
        ("[range(90000) | \"a\" | test(\"(\\\\w{200}){200}\")?] | length", "0"),
        ("def a: ., .; def b: a | a | a | a; def c: b | b | b | b; def d: c | c | c | c; [d] | length", "0"),
        (
            "def a: . + 1; def b: a|a|a|a|a|a|a|a; def c: b|b|b|b|b|b|b|b; def d: c|c|c|c|c|c|c|c; \
          def e: d|d|d|d|d|d|d|d; def f: e|e|e|e|e|e|e|e; def g: f|f|f|f|f|f|f|f; def h: g|g|g|g|g|g|g|g; h|h",
            "0",
        ),
        ("def a: [.]; def b: a|a|a|a|a|a|a|a; def c: b|b|b|b|b|b|b|b; def d: c|c|c|c|c|c|c|c; d | length", "0"),
        ("reduce range(100000) as $i (\"9\"; . + \"9999999999\") | fromjson | 1", "0"),
        ("fromjson | length", &text_of_json(&format!("{}{}", "[".repeat(3000), "]".repeat(3000)))),
        ("fromjson | length", &text_of_json(&format!("#\"\n{}{}", "[".repeat(3000), "]".repeat(3000)))),
        ("(\"[\" * 200000) + (\"]\" * 200000) | fromjson | length", "0"),
    ] {
        let error = run(program, record).unwrap_err();
        let bounded = ["steps", "too large", "larger than", "deeper than"];
        assert!(bounded.iter().any(|word| error.contains(word)), "{program}: {error}");
    }
    assert_eq!(run("[range(100000)] | length", "0").unwrap(), "100000", "the next record starts anew");
}

fn text_of_json(json: &str) -> String {
    serde_json::Value::from(json).to_string()
}

#[test]
fn what_is_counted_gives_what_jq_gives() {
    for (program, record, output) in [
        (".[] |= . + 1", "[1,2]", "[2,3]"),
        (".[][] |= . + 1", "[[1],[2,3]]", "[[2],[3,4]]"),
        ("[path(.[].a[])]", "[{\"a\":[1,2]}]", "[[0,\"a\",0],[0,\"a\",1]]"),
        ("[paths]", "{\"a\":[1]}", "[[\"a\"],[\"a\",0]]"),
        ("del(.[] | select(. > 1))", "[1,2,3]", "[1]"),
        ("del(.[].a)", "[{\"a\":1,\"b\":2}]", "[{\"b\":2}]"),
        ("del(..)?, 1", "0", "1"),
        ("[.[][(0, 1)]]", "[[1,2],[3,4]]", "[1,3,2,4]"),
        ("[.x[].a[.n]]", "{\"n\":1,\"x\":[{\"a\":[1,2]},{\"a\":[3,4]}]}", "[2,4]"),
        (".x[].a[.n] |= 0", "{\"n\":1,\"x\":[{\"a\":[1,2]}]}", "{\"n\":1,\"x\":[{\"a\":[1,0]}]}"),
        (".[1:] = [9]", "[1,2,3]", "[1,9]"),
        (".[1:][] |= . + 1", "[1,2,3]", "[1,3,4]"),
        ("[.[]?, .a[]?]", "{\"a\":[1]}", "[[1],1]"),
        ("walk(if type == \"number\" then . + 1 else . end)", "[1,[2,{\"a\":3}]]", "[2,[3,{\"a\":4}]]"),
        ("setpath([\"a\", 0]; 1)", "{\"a\":[0]}", "{\"a\":[1]}"),
        ("delpaths([[\"a\"]])", "{\"a\":1,\"b\":2}", "{\"b\":2}"),
        ("pick(.a.b)", "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1}}"),
        ("(.a, .b) |= . + 1", "{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":3}"),
        ("[path(first(.[] | select(. > 1)))]", "[1,2,3]", "[[1]]"),
        ("def f: .a; def trim: .b; f |= 1 | trim |= 2", "{}", "{\"a\":1,\"b\":2}"),
        ("[.[] | try error catch ., (.x? // 7)]", "[\"e\"]", "[\"e\",7]"),
        ("\"\\(.) and \\([.])\"", "\"a\"", "\"a and [\\\"a\\\"]\""),
        ("[fromjson], (try (\"[\" | fromjson) catch \"no\") | select(. != \"no\")", "\"1 [2]\"", "[1,[2]]"),
        ("try fromjson catch .[0:8]", &text_of_json(&"[".repeat(200)), "\"fromjson\""),
        ("[.[] | tojson, tostring, @text, @json]", "[\"a\"]", "[\"\\\"a\\\"\",\"a\",\"a\",\"\\\"a\\\"\"]"),
        ("[. == [1], . < [2], . - [1], . != {}]", "[1]", "[true,true,[],true]"),
        (
            "[flatten(0), flatten(1), flatten(2), flatten(9e99)]",
            "[[1,[2,[3]]],[]]",
            "[[[1,[2,[3]]],[]],[1,[2,[3]]],[1,2,[3]],[1,2,3]]",
        ),
        ("reduce range(145) as $i (1; [.]) | flatten(1000)", "0", "[1]"),
        ("reduce range(145) as $i (1; [.]) | walk(.) == . and (tojson | length) == 291", "0", "true"),
        ("reduce range(145) as $i (1; [.]) | [paths, (..| 1), (.. |= .)[]] | length", "0", "292"),
        ("reduce range(145) as $i (1; [.]) | del(.. | select(. == 1)) | flatten", "0", "[]"),
        ("[has(0), contains([1]), index(1), indices([1])]", "[1]", "[true,true,0,[0]]"),
    ] {
        assert_eq!(run(program, record).as_deref(), Ok(output), "{program}");
    }
}

#[test]
fn ten_thousand_items_are_no_trouble() {
    let items: Vec<_> = (0..10_000)
        .map(|id| serde_json::json!({"id": id, "name": format!("n{id}"), "k": id % 10, "t": ["a", "b"]}))
        .collect();
    let record = serde_json::Value::from(items).to_string();
    for (program, output) in [
        ("map({id, n: (.name | ascii_upcase), both: \"\\(.id) \\(.name)\"}) | length", "10000"),
        ("map({(.name): .id}) | add | to_entries | length", "10000"),
        ("map({key: .name, value: .}) | from_entries | with_entries(.value |= .id) | length", "10000"),
        ("group_by(.k) | map({k: .[0].k, n: length}) | length", "10"),
        ("walk(if type == \"string\" then ascii_upcase else . end) | length", "10000"),
        ("map([.t]) | flatten | length", "20000"),
        ("reduce .[] as $x ({}; .[\"k\\($x.k)\"] += [$x.id]) | length", "10"),
        ("reduce .[] as $x ({}; .[$x.name] = $x) | length", "10000"),
        ("reduce .[] as $x ([]; . + [$x]) | length", "10000"),
        ("map(.name) | join(\",\") | split(\",\") | unique | length", "10000"),
        ("sort_by(.k, .name) | map(select(.name | test(\"^n1\"))) | length", "1111"),
        ("[.[] | select(.t | index(\"a\"))] | tojson | fromjson | length", "10000"),
        ("[paths] | length", "70000"),
        ("[.. | numbers] | length", "20000"),
        ("del(.[].t) | map_values(.id) | unique_by(. % 7) | length", "7"),
        ("map(select(\"2015-10-06\" | test(\"^\\\\d{4}-[0-9]{2}-\\\\d{2}$\"))) | length", "10000"),
        ("[.[].name | gsub(\"n\"; \"m\")] | length", "10000"),
        ("[limit(5; .[])] + [first(.[]), last(.[])] | length", "7"),
        ("any(.[]; .id == 9999) and all(.[]; .id >= 0) | if . then 1 else 0 end", "1"),
        ("min_by(.id).id + max_by(.id).id", "9999"),
    ] {
        assert_eq!(run(program, &record).as_deref(), Ok(output), "{program}");
    }
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
