//! The main job as a newcomer sees it: `muster demo`.

use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::Value;

/// What a demo said of itself, after it said that all is well.
struct Told {
    seed: u64,
    animals: u64,
    wall: f64,
    longest_stall: f64,
}

async fn demo(seed: u64) -> Told {
    let folder = tempfile::tempdir().expect("a folder");
    let seed_text = seed.to_string();
    let arguments = ["demo", "--seed", &seed_text, "--db", "muster.db", "--json"];
    let ended: Ended = Start::muster(folder.path(), arguments).run().await.with_code(0);
    let told = ended.json();
    assert_eq!(told["state"], "finished", "seed {seed}");
    assert_eq!((&told["verdict"]["complete"], &told["verdict"]["balanced"]), (&Value::from(true), &Value::from(true)));
    assert_eq!(told["verdict"]["possible_copies"], 0, "a stall of 15 s is no doubt: {}", told["verdict"]);
    let book = &told["book"];
    assert_eq!(book["perfect"], true, "seed {seed}: {book}");
    assert_eq!(book["listed"], book["animals"], "seed {seed}: {book}");
    assert_eq!(told["verdict"]["counts"]["loaded"], book["animals"], "seed {seed}");
    assert!(book["counters"]["sorry"].as_u64() > Some(0), "seed {seed} met no chaos: {book}");
    Told {
        seed,
        animals: book["animals"].as_u64().expect("a number"),
        wall: told["wall_seconds"].as_f64().expect("a number"),
        longest_stall: book["longest_post_stall_ms"].as_f64().expect("a number") / 1000.0,
    }
}

/// Two seeds side by side, or as many as `MUSTER_TEST_SEEDS` says one after the other, with their times: a GET that
/// stalls costs next to nothing, so a run takes little longer than the longest stall of a POST.
#[tokio::test(flavor = "multi_thread")]
async fn every_animal_comes_home_through_chaos() {
    let Ok(seeds) = std::env::var("MUSTER_TEST_SEEDS") else {
        let _turn = turn::heavy().await;
        tokio::join!(demo(1), demo(2));
        return;
    };
    let _turn = turn::alone().await;
    let mut worst = f64::MIN;
    println!("seed  animals  wall s  longest POST stall s  difference s");
    for seed in 1..=seeds.parse().expect("MUSTER_TEST_SEEDS is a number") {
        let Told { seed, animals, wall, longest_stall } = demo(seed).await;
        worst = worst.max(wall - longest_stall);
        println!("{seed:>4}  {animals:>7}  {wall:>6.2}  {longest_stall:>20.2}  {:>12.2}", wall - longest_stall);
    }
    println!("the largest difference is {worst:.2} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_that_refuses_what_it_had_before_takes_every_animal_once() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["demo", "--seed", "3", "--animals", "1500", "--strict", "--db", "muster.db", "--json"];
    let told = Start::muster(folder.path(), arguments).run().await.with_code(0).json();
    assert_eq!(told["book"]["perfect"], true, "{}", told["book"]);
    assert_eq!(told["book"]["counters"]["cut_short"], 0, "{}", told["book"]);
}
