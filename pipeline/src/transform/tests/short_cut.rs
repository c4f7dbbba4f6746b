//! The short cut gives what jq gives, and nothing where jq fails.

use std::borrow::Cow;

use jaq_json::Val;

use super::transform;
use crate::transform::direct::Direct;
use crate::transform::shape::Shape;
use crate::transform::{Transform, compile, functions, parse_program, shaped, work};
use crate::{Pipeline, built_in};

fn read(json: &str) -> Val {
    jaq_json::read::parse_single(json.as_bytes()).unwrap()
}

fn is_short(transform: &Transform, record: &str) -> bool {
    transform.shape.as_ref().is_some_and(|shape| shaped(shape, &read(record), &mut Vec::new()))
}

/// Holds a program with its short cut against itself without; says for how many records that was taken.
fn taken(program: &str, records: &[&str]) -> usize {
    let with = transform(program).unwrap_or_else(|error| panic!("{program}: {error}"));
    let without = Transform { shape: None, ..with.clone() };
    let same = |record: &&&str| {
        let same = with.apply(record.as_bytes()) == without.apply(record.as_bytes());
        assert!(same, "{program} of {}", &record[..record.len().min(200)]);
        is_short(&with, record)
    };
    records.iter().filter(same).count()
}

/// How many programs there are in a shape.
fn programs(shape: &Shape) -> usize {
    match shape {
        Shape::Direct(_) => 0,
        Shape::Object(members) => members.iter().map(|(_, member)| programs(member)).sum(),
        Shape::Program(_) => 1,
    }
}

/// How many programs there are in the shape of a program; `None` where it has no shape.
fn programs_of(program: &str) -> Option<usize> {
    transform(program).unwrap().shape.map(|shape| programs(&shape))
}

const RECORDS: [&str; 12] = [
    "{}",
    "null",
    "[1]",
    "7",
    r#"{"id":7,"name":{"first":"Ann"},"friends":[1,2],"born_at":1.50}"#,
    r#"{"id":100001,"name":"Bo","friends":[]}"#,
    r#"{"id":"7","name":null,"friends":{"a":[]}}"#,
    r#"{"id":false,"name":{"first":null},"friends":"a,,b","born_at":null}"#,
    r#"{"id":0,"name":{},"friends":"","born_at":1353466383123}"#,
    r#"{"id":-123456789012345678901234567890,"name":{"first":"000"},"friends":"0","born_at":1e400}"#,
    r#"{"id":[],"name":{"first":false},"friends":",","born_at":"spring"}"#,
    r#"{"id":-0.0,"name":{"first":{"é\"\\":"🦫\u0000"}},"friends":"é,🦫","born_at":-62167219200000.1}"#,
];

#[test]
fn the_short_cut_gives_what_jq_gives() {
    let mut short = 0;
    for (program, programs) in [
        ("{id, name, born_at, friends}", Some(0)),
        ("{ id, \"a b\": .friends, n: {deep: .name.first, none: {}}, sum: (.id + 1) }", Some(0)),
        ("{ id: 1, x: .name.first, id: .name }", Some(0)),
        ("{ x: { id: 1, y: .id, id: .name }, z: . }", Some(0)),
        ("{ x: (.friends[]?), y: (1, 2) }", Some(2)),
        ("{ x: empty }", Some(1)),
        ("{ x: error(\"no\") }", Some(1)),
        ("{ x: .id?, y: .friends[0], \"\": null, z: [range(.id)] }", Some(3)),
        ("{ x: (def todate_ms: 1; 5 | todate_ms), y: (def not: 7; not) }", Some(2)),
        ("{ x: (. as $r | $r.id), y: (.name | . as $null | null) }", Some(2)),
        ("{ x: { (.name.first): 1 }, y: .id }", Some(1)),
        ("{ x: { y: { z: [.id], \"\\u00e9\\\"\\t\": .name } }, w: (.id | tojson) }", Some(1)),
        ("{ x: { y: (.id[]) , y: 1 } }", Some(1)),
        ("{ x: (.name | error), x: 1 }", None),
        ("{ \"n\\(.id)\": 1 }", None),
        ("{ (.name): 1 }", None),
        (".id as $x | { $x }", None),
        ("[{ id }]", None),
        ("def f: {}; {}", None),
        ("{}", Some(0)),
        (".", Some(0)),
        (".name.first // .id", Some(0)),
        (".name | {first} | .first", Some(0)),
        ("{ born_at: (.born_at | if . == null then null else todate_ms end), friends: (.friends / \",\") }", Some(0)),
        ("{ at: (.born_at // 0 | todate_ms), none: (.friends // []), old: (.born_at < 0 and (.id | not)) }", Some(0)),
        (
            "{ x: (if .id == 7 then \"seven\" elif .id then .name.\"first\" else {id} end), y: (if .id then 1 end) }",
            Some(0),
        ),
        ("{ x: (.name.first + \"!\"), y: -(.id), z: (.id * 2 - 1 | . / 3) }", Some(0)),
        ("{ x: (.id % 4), y: (.id / 0) }", Some(0)),
        ("{ x: 1e1000, y: 0.10, z: -1.50, w: 007, v: 123456789012345678901234567890, u: -(0.0) }", Some(0)),
    ] {
        assert_eq!(programs_of(program), programs, "{program}");
        short += taken(program, &RECORDS);
    }
    assert!(short >= 100, "the short cut was taken {short} times");
}

#[test]
fn the_animals_need_no_program() {
    let pipeline = Pipeline::from_yaml(built_in("animals").unwrap(), "animals.yaml").unwrap();
    let canonical: serde_json::Value = serde_json::from_str(pipeline.canonical()).unwrap();
    let program = canonical["transform"].as_str().unwrap();
    assert_eq!(programs_of(program), Some(0));
    let animals = [
        r#"{"id":1,"name":"Prairie Dog","born_at":1353466383123,"friends":"Badger,Blue Whale,Gazelle"}"#,
        r#"{"id":2,"name":"","born_at":null,"friends":""}"#,
        r#"{"id":3,"name":"Bo","born_at":1444102907.778,"friends":"Ann"}"#,
        r#"{"id":4,"name":"Cy","friends":"Ann,"}"#,
    ];
    assert_eq!(taken(program, &animals), animals.len());
    let odd = [
        r#"{"id":5,"name":"Di","born_at":"spring","friends":""}"#,
        r#"{"id":6,"name":"Ed","born_at":1e30,"friends":""}"#,
        r#"{"id":7,"name":"Flo","born_at":1}"#,
        r#"{"id":8,"name":"Gus","born_at":1,"friends":["Ann"]}"#,
        "[]",
    ];
    assert_eq!(taken(program, &odd), 0);
}

/// Holds each of these expressions against jq, for each record: the same value, digit by digit, or an error.
fn hold(expressions: &[String], records: &[&str]) {
    // Compiling each alone would take minutes.
    const WORK_OF: usize = 37;
    let mut counts = 0_usize;
    for some in expressions.chunks(48) {
        let entries: Vec<_> =
            some.iter().enumerate().map(|(at, it)| format!("k{at}: (try [{it}] catch null)")).collect();
        let program = format!("{{ {} }}", entries.join(", "));
        let filter = compile(&program, false).ok().unwrap();
        let directs = some.iter().map(|it| Direct::of(&parse_program(it).ok().unwrap()));
        let directs: Vec<_> = directs.collect::<Option<_>>().unwrap();
        for record in records {
            let input = read(record);
            let Ok(Val::Obj(expected)) = crate::transform::run(&filter, input.clone()) else { panic!("{program}") };
            for ((expression, direct), expected) in some.iter().zip(&directs).zip(expected.values()) {
                let expected = match expected {
                    Val::Arr(outputs) => Some(outputs[0].clone()),
                    _ => None,
                };
                functions::start_record();
                let made = direct.value(&input).map(Cow::into_owned);
                assert_eq!(format!("{made:?}"), format!("{expected:?}"), "{expression} of {record}");
                if made.is_some() && counts.is_multiple_of(WORK_OF) {
                    let directly = work::spent();
                    let alone = compile(expression, false).ok().unwrap();
                    drop(crate::transform::run(&alone, input.clone()));
                    assert!(directly >= work::spent(), "{expression} of {record}: {directly} steps");
                }
                counts += 1;
            }
        }
    }
}

const OPERANDS: [&str; 14] = [
    ".",
    ".a",
    ".b.c",
    ".t",
    ".l",
    "0",
    "-2.50",
    "1e3",
    "123456789012345678901234567890",
    "\"0\"",
    "\"a\\n,\\u00e9\"",
    "null",
    "[]",
    "{k: .a, \"t\": {t}}",
];

const ODD: [&str; 11] = [
    "null",
    "[1]",
    "{}",
    r#"{"a":1,"b":{"c":2.5},"t":"00","l":[1,[2],null]}"#,
    r#"{"a":"x","b":{"c":"0"},"t":"","l":[]}"#,
    r#"{"a":false,"b":null,"t":"a,b,,0","l":["a"]}"#,
    r#"{"a":null,"b":{},"t":7,"l":{"k":{"d":1}}}"#,
    r#"{"a":{"k":{"e":0}},"b":{"c":-9223372036854775808},"t":"é,🦫","l":{"k":{"d":2}}}"#,
    r#"{"a":[1,1,2],"b":{"c":1e400},"t":"000","l":[1]}"#,
    r#"{"a":9223372036854775807,"b":{"c":-1},"t":"1","l":[[]]}"#,
    r#"{"a":true,"b":{"c":1353466383123.4},"t":"0a0","l":{"k":0,"t":{}}}"#,
];

#[test]
fn each_operator_gives_what_jq_gives() {
    let mut expressions = Vec::new();
    for op in ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or", "//", "|"] {
        for left in OPERANDS {
            expressions.extend(OPERANDS.map(|right| format!("({left}) {op} ({right})")));
        }
    }
    hold(&expressions, &ODD);
}

#[test]
fn each_form_gives_what_jq_gives() {
    let mut expressions = Vec::new();
    let more = ["true", "false", ".a // .t", ".t / \",\"", ".l.\"k\"", ".l + .l", ".l - [] | {l: .}"];
    for it in OPERANDS.into_iter().chain(more) {
        expressions.extend(
            [
                "(IT) | not",
                "(IT) | todate_ms",
                "(IT) | tojson",
                "(IT) | tojson | tojson",
                "-(IT)",
                "(IT).k",
                "(IT).k.\"d\"",
                "(IT)[\"t\"]",
                "if (IT) then . else .a end",
                "if (IT) then 1 end",
                "if .a then (IT) elif .t then (IT) | not else .l end",
                "if .a == 1 then (IT) elif .b.c > 1 then -1 end",
                "{x: (IT), \"y z\": {a}, x: 1, t}",
                "{x: (IT)} | .x",
                "{x: (IT)} | {y: .x} | {y: .y, z: (. + .)}",
                "((IT) // .a) | (. // 0)",
                "((IT) + (IT)) + (IT)",
                "(IT) | . + . | . + .",
                "(IT) | {a: ., b: .} | .a == .b",
                "[] == (IT)",
                "(.a and (IT)) or (.t | not)",
            ]
            .map(|form| form.replace("IT", it)),
        );
    }
    hold(&expressions, &ODD);
}

#[test]
fn what_may_have_no_output_or_several_or_binds_a_name_is_a_program() {
    for expression in [
        ".[]",
        "..",
        "empty",
        "error",
        "1, 2",
        ".a?",
        ".a.b?.c",
        "(.a)?",
        "try .a",
        ".a[0]",
        ".a[1:]",
        ".[.a]",
        ".\"\\(.a)\"",
        "\"\\(.a)\"",
        "@json \"x\"",
        "[.a]",
        "{(.a): 1}",
        "{\"x\\(.a)\": 1}",
        ". as $x | 1",
        ". as [$x] | 1",
        "def f: 1; f",
        "def todate_ms: 1; todate_ms",
        "label $f | 1",
        "reduce .a as $x (0; 1)",
        ".a |= 1",
        ".a = 1",
        ".a += 1",
        ".a //= 1",
        "first(.a)",
        "not(.)",
        "fromjson",
        "length",
        "1 + (.a | empty)",
        "if .a then 1 else empty end",
        "{x: (1, 2)}",
        "-.a[]",
    ] {
        assert!(Direct::of(&parse_program(expression).ok().unwrap()).is_none(), "{expression}");
    }
}

#[test]
fn a_deep_expression_is_a_program() {
    let sum = |terms: usize| format!("{{ x: ({}.id) }}", "1 + ".repeat(terms));
    let objects = format!("{}.id{}", "{ x: ".repeat(60), " }".repeat(60));
    for (program, programs) in [(sum(60), 0), (sum(70), 1), (objects, 0)] {
        assert_eq!(programs_of(&program), Some(programs), "{program}");
        assert!(taken(&program, &RECORDS) >= 5, "{program}");
    }
}

#[test]
fn the_short_cut_stays_within_the_bounds_of_jq() {
    let zeros = format!("{{\"t\":\"{}\"}}", "0".repeat(3_000_000));
    for (program, short) in [
        ("{ x: .t }", 1),
        ("{ x: (.t == .t), y: (.t < \"1\"), z: (.t + \"0\" == .t) }", 1),
        ("{ x: (.t + .t) }", 0),
        ("{ x: (.t * 2) }", 0),
        ("{ x: .t, y: .t, z: .t }", 1),
        ("{ x: .t, y: .t, z: .t, w: .t }", 0),
        ("{ x: .t, y: .t, z: .t, w: {} }", 0),
        ("{ x: .t, y: .t, z: .t, w: { v: {} } }", 0),
        ("{ x: .t, y: .t, z: .t, w: { v: .u } }", 0),
    ] {
        assert_eq!(taken(program, &[&zeros]), short, "{program}");
    }
    let deep = format!("{{\"d\":{}1{}}}", "[".repeat(126), "]".repeat(126));
    for (program, short) in [("{ x: .d }", 1), ("{ x: . }", 0), ("{ x: { y: .d } }", 0), ("{ x: .d } | .x", 1)] {
        assert_eq!(taken(program, &[&deep]), short, "{program}");
    }
}

#[test]
fn the_short_cut_takes_no_more_steps_than_jq_may() {
    let items = format!("{{\"l\":[{}0]}}", "0,".repeat(299_999));
    let nested = format!("{}.l{}", "{ x: ".repeat(40), " }".repeat(40));
    let compared: Vec<_> = (0..40).map(|at| format!("x{at}: (.l == .l)")).collect();
    for program in [
        nested,
        format!("{{ {} }}", compared.join(", ")),
        "{ x: (.l - .l) }".to_owned(),
        format!("{{ x: (.l{}) }}", " | {a: ., b: .}".repeat(6)),
    ] {
        assert_eq!(programs_of(&program), Some(0), "{program}");
        assert_eq!(taken(&program, &[&items]), 0, "{program}");
        let error = transform(&program).unwrap().apply(items.as_bytes()).unwrap_err();
        assert!(error.contains("steps"), "{program}: {error}");
    }
}
