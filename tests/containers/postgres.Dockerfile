# The stand-in for the image of PostgreSQL: base-images builds it. It knows of the public one's ways what
# docker-compose.yml uses: POSTGRES_USER, POSTGRES_PASSWORD, and a database of the user's name.
FROM debian:bookworm-slim
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
# The public image's user has this number.
# hadolint ignore=DL3008
RUN groupadd --system --gid 999 postgres \
    && useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql postgres \
    && mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
    && apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres -m 0700 "$PGDATA"
COPY postgres-entrypoint /usr/local/bin/docker-entrypoint.sh
USER 999:999
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
