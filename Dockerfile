# All images of this repository; docker-compose.yml and deploy/kubernetes run them.
#
#   docker build --target muster .        coordinator, worker and commands
#   docker build --target animals-api .   the stand-in API of demo and tests
#   docker build --target tests .         the toolchain and what ./tests/run needs; last, because the classic builder builds
#                                         all that stands before its target
#
# It works with BuildKit and with the classic builder, so it does without mounts and here-documents. The programs run as
# nobody in particular (10001), write to /data alone, and need no more than a read-only root and no capabilities.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# `dev` compiles much faster, for a try.
ARG PROFILE=release
ENV CARGO_PROFILE_RELEASE_STRIP=true CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_DEV_STRIP=true CARGO_PROFILE_DEV_DEBUG=false \
    CARGO_INCREMENTAL=0

# Dependencies first, with empty programs: this layer stays until a manifest changes.
COPY Cargo.toml Cargo.lock ./
COPY animals-api/Cargo.toml animals-api/
COPY cli/Cargo.toml cli/
COPY coordinator/Cargo.toml coordinator/
COPY pipeline/Cargo.toml pipeline/
COPY proto/Cargo.toml proto/
COPY telemetry/Cargo.toml telemetry/
COPY tests/Cargo.toml tests/
COPY tests/postgres/Cargo.toml tests/postgres/
COPY worker/Cargo.toml worker/
RUN set -eu; \
    for crate in animals-api cli coordinator pipeline proto telemetry tests tests/postgres worker; do \
        mkdir -p "$crate/src" "$crate/benches"; echo '//! Empty.' >"$crate/src/lib.rs"; \
        sed -n '/^\[\[bench\]\]/,/^$/s/^name = "\(.*\)"/\1/p' "$crate/Cargo.toml" >/tmp/benches; \
        while read -r bench; do printf '//! Empty.\nfn main() {}\n' >"$crate/benches/$bench.rs"; done </tmp/benches; \
    done; \
    mkdir -p coordinator/tests tests/e2e; \
    for program in animals-api/src cli/src coordinator/src worker/src coordinator/tests/promises tests/e2e; do \
        case "$program" in */src | */e2e) program="$program/main" ;; esac; \
        printf '//! Empty.\nfn main() {}\n' >"$program.rs"; \
    done; \
    printf '//! Empty.\nfn main() {}\n' >proto/build.rs; \
    cargo build --locked --profile "$PROFILE" --package muster --package animals-api --bins

COPY pipelines pipelines
COPY proto proto
COPY pipeline pipeline
COPY telemetry telemetry
COPY animals-api animals-api
COPY coordinator coordinator
COPY worker worker
COPY cli cli
# Files keep the time of their last change, which is before the empty programs were compiled.
RUN set -eu; \
    find . -name '*.rs' -not -path './target/*' -exec touch {} +; \
    cargo build --locked --profile "$PROFILE" --package muster --package animals-api --bins; \
    folder=$PROFILE; if [ "$PROFILE" = dev ]; then folder=debug; fi; \
    install -D --target-directory=/out "target/$folder/muster" "target/$folder/animals-api"; \
    install -d -o 10001 -g 10001 -m 0750 /data

FROM debian:bookworm-slim AS muster
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=10001:10001 /data /data
COPY --from=build /out/muster /usr/local/bin/
USER 10001:10001
# A ledger, where nothing else is said, is /data/muster.db. Not a VOLUME: workers have no use for one.
WORKDIR /data
EXPOSE 7470
# No HEALTHCHECK: `muster health` asks a coordinator, so whoever runs one says it (docker-compose.yml does, Kubernetes has its
# probes); a worker or a command in this image would be called unhealthy by it.
ENTRYPOINT ["muster"]
CMD ["coordinator", "--help"]

FROM debian:bookworm-slim AS animals-api
COPY --from=build /out/animals-api /usr/local/bin/
USER 10001:10001
ENV ANIMALS_API_BIND=0.0.0.0
EXPOSE 3123
# There is no HTTP client in here, and need not be.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3123; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; grep -q 'Hello' <&3"]
ENTRYPOINT ["animals-api"]

FROM rust:1.95-slim-bookworm AS tests
# Newest of the Debian release that the base image is of: the tests do not depend on their versions. PostgreSQL wants its user
# to have a name.
# hadolint ignore=DL3008
RUN mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
    && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        chromium chromium-driver curl fonts-liberation git jq postgresql prometheus python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --no-log-init --uid 10001 --user-group --home-dir /tmp muster \
    && install -d -o muster -g muster /target /src \
    && if ! { cargo fmt --version && cargo clippy --version; }; then rustup component add clippy rustfmt; fi
# What cargo fetches and builds stays on the volume.
ENV CARGO_HOME=/target/cargo CARGO_TARGET_DIR=/target HOME=/tmp
WORKDIR /src
COPY --chown=10001:10001 . .
USER 10001:10001
VOLUME /target
ENTRYPOINT ["./tests/run"]
