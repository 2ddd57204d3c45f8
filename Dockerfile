# Two stages; every step is an npm script that the tests run, so this file only strings them together.
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl build-essential npm \
 && rm -rf /var/lib/apt/lists/*
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain 1.95.0
ENV PATH=/root/.cargo/bin:$PATH
WORKDIR /src
COPY . .
RUN npm run build
# What the image holds and nothing else: dist/image/{cnx,cnx-assets/,state/}.
RUN npm run build:image

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build --chown=nonroot:nonroot /src/dist/image/ /opt/cnx/
USER nonroot
# The root file system may be read-only: state goes to this volume, addons are loaded from beside the binary.
VOLUME ["/opt/cnx/state"]
EXPOSE 8080 8443 9901
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["/opt/cnx/cnx", "health"]
ENTRYPOINT ["/opt/cnx/cnx"]
CMD ["run", "--config", "/etc/cnx/gateway.yaml"]
