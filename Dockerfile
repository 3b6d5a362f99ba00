# syntax=docker/dockerfile:1
# The image of a gateway. Pin the base for production by digest: --build-arg NODE_IMAGE=node:26.10.0-bookworm-slim@sha256:…
ARG NODE_IMAGE=node:26.10.0-bookworm-slim

# The build stage: compiler, bundler, test tools. None of it is in the image.
FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY tools/node-runtime/package.json tools/node-runtime/package.json
RUN npm ci
COPY tsconfig.json tsconfig.build.json nest-cli.json ./
COPY scripts scripts
COPY client client
COPY src src
RUN npm run build

# Production dependencies only.
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY tools/node-runtime/package.json tools/node-runtime/package.json
RUN npm ci --omit=dev --ignore-scripts

FROM ${NODE_IMAGE} AS run
ARG VERSION=1.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="support-bot" \
      org.opencontainers.image.description="Sluice, a streaming chat gateway, deployed as a customer-support assistant" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json ./
# Packs are outside config/, which a ConfigMap's mount hides.
COPY packs packs
COPY config config
ENV NODE_ENV=production \
    SLUICE_REVISION="${REVISION}" \
    CONFIG_PATH=/app/config/production.yaml \
    NODE_OPTIONS="--max-old-space-size=256 --max-semi-space-size=32"
# The official image's user node has this id; by number, so that Kubernetes can see that it is not root.
USER 1000:1000
EXPOSE 8080 9090
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 CMD ["node", "dist/cli/sluice.js", "health"]
ENTRYPOINT ["node", "dist/main.js"]
