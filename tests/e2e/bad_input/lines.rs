//! Command lines and pipeline files: refused before anything is made or asked.

use std::path::Path;

use muster_tests::pipelines::variant;

use super::{Case, Later, Scene};

pub(super) const CASES: &[Case] = &[
    Case {
        what: "a pipeline that nobody knows",
        code: 2,
        says: &["there is no built-in pipeline \"animal\"", "did you mean animals?", "./animal.yaml"],
        make: |_| line(["run", "animal"]),
    },
    Case {
        what: "a pipeline file that is not there",
        code: 2,
        says: &["cannot read the pipeline file ./nowhere.yaml", "give the path of a pipeline file"],
        make: |_| line(["run", "./nowhere.yaml"]),
    },
    Case {
        what: "a folder for a pipeline file",
        code: 2,
        says: &["cannot read the pipeline file ./", "give the path of a *.yaml in that folder"],
        make: |_| line(["run", "./"]),
    },
    Case {
        what: "broken YAML: a key without its colon",
        code: 2,
        says: &["./own.yaml:2:1: ", "write `name: value`"],
        make: |folder| own(&folder, "muster: 1\nname\nsource: {}\n"),
    },
    Case {
        what: "broken YAML: a tab",
        code: 2,
        says: &["./own.yaml:2:7: ", "found a tab", "indent with blanks, not with tabs"],
        make: |folder| own(&folder, "muster: 1\nname: x\n\tdescription: y\n"),
    },
    Case {
        what: "broken YAML: a quote that is not closed",
        code: 2,
        says: &["./own.yaml:", "close the quote"],
        make: |folder| own(&folder, "muster: 1\nname: \"x\nsource: {}\n"),
    },
    Case {
        what: "an empty pipeline file",
        code: 2,
        says: &["./own.yaml:1:1: this must be a table of keys, not nothing"],
        make: |folder| own(&folder, ""),
    },
    Case {
        what: "a pipeline file that is no text",
        code: 2,
        says: &["cannot read the pipeline file ./own.yaml", "a YAML file, in UTF-8"],
        make: |folder| {
            std::fs::write(folder.join("own.yaml"), b"\xff\xfe\x00").expect("a file");
            line(["run", "./own.yaml"])
        },
    },
    Case {
        what: "a key that does not exist",
        code: 2,
        says: &["./own.yaml:30:3: source.lsit: there is no such key; did you mean \"list\"?"],
        make: |folder| own(&folder, &variant(&[("  list:\n", "  lsit:\n")])),
    },
    Case {
        what: "a value of the wrong kind",
        code: 2,
        says: &["./own.yaml:75:14: load.max_batch: this must be a whole number from 1 to 10000, not a text"],
        make: |folder| own(&folder, &variant(&[("max_batch: 100", "max_batch: lots")])),
    },
    Case {
        what: "a parameter that does not exist",
        code: 2,
        says: &["bose_url: there is no such parameter; did you mean \"base_url\"?"],
        make: |_| line(["run", "animals", "--set", "bose_url=http://127.0.0.1:1"]),
    },
    Case {
        what: "a parameter that is missing",
        code: 2,
        says: &["base_url: this parameter must be set", "--set base_url=VALUE"],
        make: |folder| own(&folder, &variant(&[("    default: http://127.0.0.1:3123\n", "")])),
    },
    Case {
        what: "a parameter that is given twice",
        code: 2,
        says: &["--set gives base_url more than once", "give it once"],
        make: |_| line(["run", "animals", "--set", "base_url=http://h:1", "--set", "base_url=http://h:2"]),
    },
    Case {
        what: "a URL without its scheme",
        code: 2,
        says: &["base_url: \"127.0.0.1:3123\" is not a URL", "such as http://127.0.0.1:3123"],
        make: |_| line(["run", "animals", "--set", "base_url=127.0.0.1:3123"]),
    },
    Case {
        what: "a URL with a password",
        code: 2,
        says: &["base_url: a URL must not carry a user name or password"],
        make: |_| line(["run", "animals", "--set", "base_url=http://me:canary@127.0.0.1:3123"]),
    },
    Case {
        what: "fetch slots that cannot be meant",
        code: 2,
        says: &["--concurrency 0 cannot be used", "give 1 to 10,000"],
        make: |_| line(["run", "animals", "--concurrency", "0"]),
    },
    Case {
        what: "--resume where no run is",
        code: 2,
        says: &["there is no run in muster.db to go on with", "leave --resume out", "--db FILE"],
        make: |_| line(["run", "animals", "--resume"]),
    },
    Case {
        what: "a coordinator that is not there",
        code: 1,
        says: &["no coordinator answers at http://127.0.0.1:1", "muster coordinator", "--coordinator URL"],
        make: |_| line(["start", "animals", "--coordinator", "http://127.0.0.1:1"]),
    },
    Case {
        what: "a coordinator that is not there, where a run's ledger is",
        code: 1,
        says: &[
            "no coordinator answers at http://127.0.0.1:1",
            "or look into what `muster run` has left here: --db muster.db",
        ],
        make: |folder| {
            std::fs::write(folder.join("muster.db"), "").expect("a file");
            line(["verify", "latest", "--coordinator", "http://127.0.0.1:1"])
        },
    },
    Case {
        what: "a coordinator's URL with a password",
        code: 2,
        says: &["\"127.0.0.1:7470\" is no coordinator's URL: it carries a user or password"],
        make: |_| line(["runs", "--coordinator", "http://me:canary@127.0.0.1:7470"]),
    },
    Case {
        what: "a database URL that cannot be meant",
        code: 2,
        says: &["\"mysql://…@host/db\" is no database that this program can use: write sqlite://FILE or postgres://"],
        make: |_| line(["coordinator", "--listen", "127.0.0.1:0", "--database", "mysql://me:canary@host/db"]),
    },
    Case {
        what: "a PostgreSQL URL with a setting that nobody knows",
        code: 2,
        says: &[
            "the database's URL has an unknown one; it is written like postgres://user:password@host:5432/database",
        ],
        make: |_| {
            line([
                "coordinator",
                "--listen",
                "127.0.0.1:0",
                "--database",
                "postgres://me:canary@host/db?pasword=canary",
            ])
        },
    },
    Case {
        what: "a PostgreSQL database where a file is meant",
        code: 2,
        says: &["--db names a SQLite file", "--coordinator URL"],
        make: |_| line(["verify", "latest", "--db", "postgres://me:canary@host/db"]),
    },
];

fn line<const N: usize>(words: [&str; N]) -> Later<Scene> {
    let scene = Scene::of(words);
    Box::pin(async { scene })
}

/// A pipeline of one's own in a file, and the command that runs it.
fn own(folder: &Path, yaml: &str) -> Later<Scene> {
    std::fs::write(folder.join("own.yaml"), yaml).expect("a file");
    line(["run", "./own.yaml"])
}
