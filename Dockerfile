# docker build -t castway .
# docker run -d --name castway -p 8080:8080/tcp -p 3478:3478/udp -v castway:/data -e CASTWAY_TCP_PORT=8080 castway
# compose.yaml and docs/containers.md have more.

# Where the build gets things from: each can be set with --build-arg, or in .env with Compose.
ARG NODE_IMAGE=node:22-bookworm-slim
ARG RUST_IMAGE=rust:1-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# Pages are the same for every processor.
FROM --platform=$BUILDPLATFORM $NODE_IMAGE AS pages
# An npm registry; empty: npm's own.
ARG NPM_REGISTRY=
WORKDIR /castway/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund ${NPM_REGISTRY:+"--registry=$NPM_REGISTRY"}
COPY web ./
COPY clients/js/package.json /castway/clients/js/package.json
COPY clients/js/src /castway/clients/js/src
# build.rs takes built pages that say so.
RUN npm run build && echo image >dist/.sources

FROM $RUST_IMAGE AS program
# What stands in for crates.io in cargo, such as sparse+https://…/; empty: crates.io.
ARG CARGO_REGISTRY=
WORKDIR /castway
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
COPY docs/api/asyncapi.json docs/api/
COPY migrations migrations
COPY src src
COPY --from=pages /castway/web/dist web/dist
RUN cargo build --release --locked --bin castway \
    ${CARGO_REGISTRY:+--config 'source.crates-io.replace-with="mirror"' --config "source.mirror.registry='$CARGO_REGISTRY'"} \
 && strip target/release/castway \
 && install -d -m 0700 /out/data && install target/release/castway /out/castway

# glibc, certificates of the public authorities and nothing else: no shell, no package manager. Its user nonroot is 65532.
FROM $BASE_IMAGE
LABEL org.opencontainers.image.title="Castway" \
      org.opencontainers.image.description="Shows a device's screen on another screen: signaling, TURN relay and pages in one program" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/castway/
COPY --from=program --chown=65532:65532 /out/data /data
COPY --from=program /out/castway /usr/local/bin/castway
ENV CASTWAY_DATA_DIR=/data
WORKDIR /data
VOLUME /data
USER 65532:65532
# What casts and calls need with CASTWAY_TCP_PORT=8080: one TCP port for everything else, and the relay's. Relayed addresses of clients take none.
EXPOSE 8080/tcp 3478/udp
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["castway", "health"]
# SIGTERM tells the clients; `docker stop -t` must be longer than CASTWAY_DRAIN.
ENTRYPOINT ["castway"]
