# The stand-in for the image of Prometheus: base-images builds it. Its user and its folder are those of the public one.
FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends prometheus \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o nobody -g nogroup /prometheus
USER 65534:65534
VOLUME /prometheus
ENTRYPOINT ["prometheus"]
