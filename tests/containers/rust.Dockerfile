# The stand-in for the image of Rust: base-images builds it.
FROM debian:bookworm-slim
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/
COPY toolchain /usr/local
