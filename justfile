# Everyday commands. `just` lists them; none is needed to build, to run or to test.

default:
    @just --list

# The main job against the stand-in API.
demo *FLAGS:
    cargo run --release -- demo {{FLAGS}}

# Everything CI runs.
test *FLAGS:
    ./tests/run {{FLAGS}}

# What the compiler and the linter say, quickly.
check:
    cargo clippy --workspace --all-targets --features muster-tests/planted-bugs -- -D warnings
    cargo fmt --all --check

# Whole runs beside a bare HTTP client: docs/PERFORMANCE.md. `just bench plain latency --rounds 5 --json now.json`
bench *FLAGS="plain latency small":
    cargo build --release --workspace --bins
    cargo run --release -p muster-tests --bin bench -- {{FLAGS}}

# The pictures in docs/captures, from real runs on a pseudo-terminal.
captures:
    cargo build --release --workspace --bins --features muster-tests/planted-bugs
    cargo run --release -p muster-tests --features planted-bugs --bin captures -- docs/captures

# The pictures in docs/dashboard, from real runs in Chromium. `just screens /tmp/all --all` has every page, in all ways.
screens *FLAGS="docs/dashboard":
    cargo build --release --workspace --bins --features muster-tests/planted-bugs
    cargo run --release -p muster-tests --features planted-bugs --bin screens -- {{FLAGS}}

# Licences, bans and sources of all dependencies; advisories where their database can be reached.
deny:
    ./tests/deny
