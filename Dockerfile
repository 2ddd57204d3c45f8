# Two stages; every step is an npm script that the tests run, so this file only strings them together.
FROM node:22-bookworm AS build
COPY --from=rust:1.95-bookworm /usr/local/cargo /usr/local/cargo
COPY --from=rust:1.95-bookworm /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH
WORKDIR /src
COPY . .
# Takes longer than what `npm run build` would do by itself, and runs faster.
RUN npm run build:addon -- shipped
RUN npm run build
# Lays out what the image holds and nothing else: dist/image/{cnx,cnx-assets/,state/}.
RUN npm run build:image

# Node needs libstdc++, which distroless/cc has; there is no shell and no package in it.
FROM gcr.io/distroless/cc-debian12:nonroot
# Owned by root, so that the gateway cannot change its own code.
COPY --from=build /src/dist/image/cnx /opt/cnx/cnx
COPY --from=build /src/dist/image/cnx-assets /opt/cnx/cnx-assets
COPY --from=build --chown=nonroot:nonroot /src/dist/image/state /opt/cnx/state
USER nonroot
# The root file system may be read-only: only the state is written, to this volume; addons are loaded from beside the binary.
VOLUME ["/opt/cnx/state"]
EXPOSE 8080 8443 9901
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["/opt/cnx/cnx", "health"]
ENTRYPOINT ["/opt/cnx/cnx"]
CMD ["run", "--config", "/etc/cnx/gateway.yaml"]
