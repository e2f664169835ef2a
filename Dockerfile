# Two stages: the first resolves nothing and compiles nothing, it installs what requirements.lock names; the second takes
# over the finished environment and has neither pip nor a compiler's leftovers in it.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/mm-daemon \
    && pip --python /opt/mm-daemon/bin/python install --no-cache-dir --require-hashes -r requirements.lock \
    && pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY mm_daemon mm_daemon
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/mm-daemon/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl \
    # What the compiled modules were made from, and the tests of libraries: nothing imports them.
    && find /opt/mm-daemon/lib \( -name '*.c' -o -name '*.pyx' -o -path '*/site-packages/*/tests' \) -prune -exec rm -rf {} +

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="mm-daemon" \
      org.opencontainers.image.description="A market-making daemon for Polymarket's order book" \
      org.opencontainers.image.licenses="MIT"
# A fixed number, so that a mounted state directory or key file can be given to it from outside.
RUN groupadd --gid 10001 mm-daemon \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mm-daemon \
    && install --directory --owner=mm-daemon --group=mm-daemon --mode=0700 /var/lib/mm-daemon
COPY --from=build /opt/mm-daemon /opt/mm-daemon
COPY config /etc/mm-daemon
# The bytecode is in the image already, and the root file system may be read-only.
ENV PATH=/opt/mm-daemon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATE_DIRECTORY=/var/lib/mm-daemon
USER 10001:10001
WORKDIR /var/lib/mm-daemon
VOLUME /var/lib/mm-daemon
# Health, metrics and the dashboard; only reachable from outside when [http] names a host and a token is given.
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["mm-daemon", "health", "--config", "/etc/mm-daemon/mm-daemon.toml"]
ENTRYPOINT ["mm-daemon"]
CMD ["run", "--config", "/etc/mm-daemon/mm-daemon.toml"]
