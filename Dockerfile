# docker build -t castway . ; how to run it is in compose.yaml.

FROM node:22-bookworm-slim AS pages
WORKDIR /castway/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY web ./
COPY clients/js/package.json /castway/clients/js/package.json
COPY clients/js/src /castway/clients/js/src
RUN npm run build

FROM rust:1-bookworm AS program
WORKDIR /castway
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
COPY migrations migrations
COPY src src
COPY --from=pages /castway/web/dist web/dist
RUN cargo build --release --locked --bin castway && strip target/release/castway \
 && install -d -m 0700 /out/data && install target/release/castway /out/castway

# glibc and nothing else: no shell, no package manager. Its user nonroot is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=program --chown=nonroot:nonroot /out/data /data
COPY --from=program /out/castway /usr/local/bin/castway
ENV CASTWAY_DATA_DIR=/data
WORKDIR /data
VOLUME /data
# Casts and calls need TCP 8080 and 8443 (443 instead with a domain) and UDP 3478. Relayed addresses of clients take no ports.
EXPOSE 8080/tcp 8443/tcp 5349/tcp 3478/udp 3478/tcp
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["castway", "health"]
# SIGTERM tells the clients; `docker stop -t` must be longer than CASTWAY_DRAIN.
ENTRYPOINT ["castway"]
